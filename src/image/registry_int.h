/*
 * registry_int: one repository on one registry, as the distribution protocol (OCI distribution-spec 1.1) sees it.
 *
 * What is learnt by the first answer stays for the run: whether plain http is spoken (tried only where the user has
 * allowed it, or on loopback, which nobody can listen on), and the Authorization header. A 401 in the middle of a pull
 * renews the token. Credentials are looked up when a registry first asks for them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "image/auth_int.h"
#include "image/client_int.h"

struct config;
struct err;
struct host;

struct registry {
    const struct host *host;
    const struct config *config;
    struct fetch_client *client;
    char *name;    /* for messages and credentials: "docker.io", "localhost:5000" */
    char *address; /* host[:port] that is connected to */
    char *repo;
    const char *schemes[2]; /* to try, in this order */
    size_t n_schemes, scheme;
    bool settled; /* schemes[scheme] has answered */
    bool loopback;
    struct tls_files tls;
    char *authorization;       /* "Authorization: …", or NULL */
    bool had_creds;            /* the user's credentials were shown */
    const struct creds *login; /* shown instead of what is stored; borrowed, or NULL */
    char *refresh_token;       /* that a token service gave for them, or NULL */
    bool push;                 /* tokens are asked for that allow writing */
    struct strv mounts;        /* and those that allow reading these repositories of the same registry */
};

/* A repository of a registry ("docker.io"), or, with `mirror`, the same repository at that URL. */
struct err *registry_new(const struct host *h, const struct config *config, struct fetch_client *client,
                         const char *domain, const char *repo, const char *mirror, struct registry **ret)
    __attribute__((warn_unused_result));
void registry_free(struct registry *r);

struct registry_answer {
    char *content_type, *digest; /* headers, NULL where absent or not a digest */
    char *link;                  /* the header of a list that goes on, or NULL */
    struct str body;             /* at most MANIFEST_MAX */
};
void registry_answer_done(struct registry_answer *a);

/* GET or HEAD of a manifest by tag or digest. not_found, auth and network errors are told in docker's words. */
struct err *registry_manifest(struct registry *r, const char *ref, bool head, struct registry_answer *ret)
    __attribute__((warn_unused_result));
/* GET of something else that the registry's host has, by its path there; `what` is for messages. */
struct err *registry_get(struct registry *r, const char *path, const char *what, struct registry_answer *ret)
    __attribute__((warn_unused_result));
/* A small blob (an image config) into memory. Its digest is not checked here. */
struct err *registry_small_blob(struct registry *r, const char *digest, int64_t size, struct registry_answer *ret)
    __attribute__((warn_unused_result));

/* One page of the repository's tags (distribution-spec "Listing Tags"); `query` ("?last=…") as the page before it said,
 * or "". */
struct err *registry_tags(struct registry *r, const char *query, struct registry_answer *ret)
    __attribute__((warn_unused_result));

/* "?last=x&n=100" of `</v2/name/tags/list?last=x&n=100>; rel="next"`, the Link header of a list; "" where there is no
 * more. Owned. */
struct err *registry_next_page(const char *link, char **ret) __attribute__((warn_unused_result));

struct registry_blob {
    const char *digest;
    int64_t size, offset;
    int file, bell; /* -1: none; borrowed */
};
/* Starts a blob's download; the caller waits for `x` among others and then calls registry_blob_done(). */
struct err *registry_blob_start(struct registry *r, const struct registry_blob *b, struct fetch_xfer *x)
    __attribute__((warn_unused_result));
/* Judges a transfer that is done. *ret_again: the token had expired, a new one is there: start it again. */
struct err *registry_blob_done(struct registry *r, const char *digest, const struct fetch_xfer *x, bool *ret_again)
    __attribute__((warn_unused_result));

/* ---- writing ---- */

/* Whether the repository has a blob. The first request of a push: it settles scheme and credentials. */
struct err *registry_blob_there(struct registry *r, const char *digest, bool *ret) __attribute__((warn_unused_result));

/* One step of an upload (distribution-spec "Pushing blobs"). */
struct registry_step {
    const char *method;
    const char *path, *url; /* below /v2/<repo>/, or a place that the registry has named */
    bool elsewhere;         /* that place is of another origin: no credential, no exception from TLS's rules */
    const char *range;      /* Content-Range of a chunk, or NULL */
    int file;               /* -1: no body */
    int64_t from, length;   /* of it */
    int64_t delay;          /* nanoseconds to wait before */
};
struct err *registry_step_start(struct registry *r, const struct registry_step *s, struct fetch_xfer *x)
    __attribute__((warn_unused_result));
/* Writes a manifest. corrupt when the registry says that it has another digest. */
struct registry_manifest {
    const char *tag, *digest, *media_type;
    const struct str *text;
};
struct err *registry_manifest_put(struct registry *r, const struct registry_manifest *m)
    __attribute__((warn_unused_result));

/* ---- auth.c ---- */

/* Answers a 401: finds credentials, gets a token, sets r->authorization. auth errors when that is not possible. */
struct err *registry_authorize(struct registry *r, const struct fetch_xfer *x) __attribute__((warn_unused_result));
/* Refused: a token service over plain http, unless on loopback or on the plain-http registry's own host. Pure. */
struct err *realm_check(const char *realm, const char *registry_address, bool registry_is_http)
    __attribute__((warn_unused_result));

/* ---- failure.c ---- */

/* The error for an answer of status 400 and more; `what` is "manifest for x:tag" or "blob sha256:…". */
struct err *registry_failure(const struct registry *r, const struct fetch_xfer *x, const char *what)
    __attribute__((returns_nonnull, warn_unused_result));

/* ---- hosts.c ---- */

/* True for localhost, 127.0.0.0/8 and ::1, with or without port. */
bool host_is_loopback(const char *address);
/* True when an insecure-registries entry (host[:port] or CIDR) covers the address. */
bool host_is_insecure(const struct strv *entries, const char *address);
/* Authorities and client certificate from the certs.d directories of docker and containers. */
struct err *tls_find(const struct host *h, const char *address, struct tls_files *ret)
    __attribute__((warn_unused_result));
void tls_files_done(struct tls_files *t);
