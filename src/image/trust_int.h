/*
 * trust: whether an image may come in, by the user's policy (containers-policy.json(5), the file that podman and skopeo
 * obey): ~/.config/containers/policy.json, else /etc/containers/policy.json, else everything is accepted, as docker
 * does. What is not understood is refused: a policy that cannot be parsed, a key that cannot be read, a signature whose
 * form is another.
 *
 *     trust_policy.c     the file, and the requirements for one image: of the most specific scope that it lies in
 *     trust_identity.c   whether what a signature is about is what was asked for
 *     trust_check.c      all requirements, each by one signature that holds
 *     trust_sigstore.c   cosign's signatures, in the repository itself
 *     trust_simple.c     simple signing: OpenPGP messages in a look-aside storage (lookaside.c says where)
 *
 * The order of a pull: trust_rules() before anything is asked of the registry, which is all where an image is accepted
 * or rejected as it stands; trust_check() when the manifest is known, before its config and layers are.
 * A signature vouches for a manifest's digest. That of the index, which the reference named, serves as well as that of
 * the manifest for the platform: the one names the other by digest.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct err;
struct host;
struct image_ref;
struct json;
struct registry;
struct store;

/* ---- policy ---- */

struct trust; /* a policy */
/* Reads the policy; *ret is NULL where there is none. */
struct err *trust_load(const struct host *h, struct trust **ret) __attribute__((warn_unused_result));
/* The same of a text that came from `path`. Pure. */
struct err *trust_parse(const char *text, size_t n, const char *path, struct trust **ret)
    __attribute__((warn_unused_result));
void trust_free(struct trust *t);
static inline void trust_freep(struct trust **t) { trust_free(*t); }
#define autotrust __attribute__((cleanup(trust_freep))) struct trust *

/* Where an image comes from. */
struct trust_source {
    const char *transport;       /* "docker", "docker-archive", "oci-archive", "oci", "dir" */
    const struct image_ref *ref; /* of docker, or NULL */
    const char *path, *tag;      /* of oci and dir: absolute path; tag may be NULL */
};
/* The scopes that it lies in, most specific first. Pure. */
void trust_scopes(const struct trust_source *source, struct strv *out);
/*
 * The requirements for an image. *ret is NULL where there is nothing to check (`t` may be NULL); denied where it is
 * rejected whatever it is signed with. Borrowed from `t`.
 */
struct err *trust_rules(const struct trust *t, const struct trust_source *source, const struct json **ret)
    __attribute__((warn_unused_result));
/* "docker://localhost:5000/x:1", for messages. Owned. */
char *trust_source_name(const struct trust_source *source) __attribute__((returns_nonnull, warn_unused_result));

/* ---- identity ---- */

/* Whether a signature about `signed_as` is one for `ref` (NULL: an image without a docker-like name) by a
 * "signedIdentity" object, NULL for the default. denied with the reason. Pure. */
struct err *trust_identity(const struct json *identity, const struct image_ref *ref, const char *signed_as)
    __attribute__((warn_unused_result));

/* ---- checking ---- */

struct trust_subject {
    const struct host *host;
    struct store *store;
    struct registry *registry; /* NULL: there can be no signatures */
    const struct trust_source *source;
    const char *digests[2]; /* what a signature may be for; [1] may be NULL */
};
/* NULL when every requirement holds; denied with the reasons otherwise. */
struct err *trust_check(const struct json *rules, const struct trust_subject *s) __attribute__((warn_unused_result));

/* A requirement under test: each signature that is found is told by one of these. */
struct trust_trial {
    const struct trust_subject *subject;
    const struct json *rule;
    bool accepted;
    size_t signatures; /* how many were looked at */
    struct str why;    /* why those did not hold */
};
/* Judges what a signature whose maker is proven says: {"critical":{…}} of the given type. */
void trust_judge_payload(struct trust_trial *t, const struct str *payload, const char *type);
/* Notes why one did not hold; takes the error. */
void trust_refuse(struct trust_trial *t, struct err *take_why);
/* The keys of the rule: contents of keyPath(s), or keyData(s) decoded. */
struct err *trust_keys(const struct json *rule, struct strv *out) __attribute__((warn_unused_result));

/* Tries every signature that the registry has; an error is one of the way, not of a signature. */
struct err *trust_try_sigstore(struct trust_trial *t) __attribute__((warn_unused_result));
struct err *trust_try_simple(struct trust_trial *t) __attribute__((warn_unused_result));

/* ---- look-aside ---- */

/* The look-aside storage for a repository, a URL without '/' at its end, owned: by registries.d, else the user's own
 * directory. */
struct err *lookaside_find(const struct host *h, const struct image_ref *ref, char **ret)
    __attribute__((warn_unused_result));
/* The same from one file's text: *ret (owned; NULL to begin with) is replaced by that of a scope with a lower index in
 * `scopes` than *rank, which is its own. corrupt for what is not the little YAML that such files are made of. Pure. */
struct err *lookaside_parse(const char *text, const struct strv *scopes, size_t *rank, char **ret)
    __attribute__((warn_unused_result));
