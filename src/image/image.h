/*
 * image: what lies between a reference typed by a user and an image in the store: references, manifests, credentials,
 * the registry protocol, and the archive formats of save and load. The HTTP itself is done by coracle-fetch, the
 * unpacking by coracle-unpack; this module drives both and never touches untrusted bytes but as JSON with digests
 * already checked.
 *
 * A pull: resolve the reference (HEAD or GET manifest, index → platform), compare with the store, fetch config and the
 * missing layers in parallel (each blob streams into its partial file and, read from there as it grows, by
 * coracle-unpack, so that download, digest, inflation and file creation overlap), then record image and reference:
 * nothing becomes visible before every digest was right. An interrupted pull leaves partial blobs that the next one
 * resumes by Range.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct config;
struct err;
struct host;
struct json;
struct store;
struct store_image;

/* ---- references (distribution/reference grammar, docker's defaults) ---- */

struct image_ref {
    char *domain; /* "docker.io", "localhost:5000" */
    char *path;   /* "library/debian" */
    char *tag;    /* "latest" when neither tag nor digest was given; NULL with only a digest */
    char *digest; /* "sha256:…" or NULL */
};
/* Parses what a user typed. Usage errors in docker's words ("invalid reference format: repository name (x) must be
 * lowercase"). */
struct err *image_ref_parse(const char *text, struct image_ref *ret) __attribute__((warn_unused_result));
void image_ref_done(struct image_ref *r);
/* Canonical forms, owned: "docker.io/library/debian:12" (tag form, or @digest without tag) … */
char *image_ref_canonical(const struct image_ref *r) __attribute__((returns_nonnull, warn_unused_result));
/* … canonical name@digest … */
char *image_ref_with_digest(const struct image_ref *r, const char *digest)
    __attribute__((returns_nonnull, warn_unused_result));
/* … and as docker shows it ("debian", "localhost:5000/x"): name without tag. */
char *image_ref_familiar_name(const struct image_ref *r) __attribute__((returns_nonnull, warn_unused_result));
/* Familiar form of a canonical reference as stored ("docker.io/library/debian:12" → "debian:12"), owned. */
char *image_ref_familiar(const char *canonical) __attribute__((returns_nonnull, warn_unused_result));
/*
 * Finds the image a user means: a reference, an id, "sha256:id", or an id prefix. ret_reference gets the canonical
 * reference it matched by, owned, NULL for an id; may be NULL. not_found: "no such image: x".
 */
struct err *image_find(const struct store *s, const char *text, char ret_id[65], char **ret_reference)
    __attribute__((warn_unused_result));

/* The image as it is under that name (canonical; NULL: none): where it was pulled there by another manifest than its
 * record has now, its layers are the blobs of that one. ->index is the index that the name stands for, if it does.
 * Freed by store_image_free(). */
struct err *image_get(const struct store *s, const char *id, const char *reference, struct store_image **ret)
    __attribute__((warn_unused_result));

/* ---- platforms ---- */

struct image_platform {
    char *os, *arch, *variant; /* variant "" for none */
};
/*
 * "linux/arm64/v8", "arm64"; NULL gives the host's (DOCKER_DEFAULT_PLATFORM respected; a NULL host means this build's).
 */
struct err *image_platform_parse(const struct host *h, const char *text, struct image_platform *ret)
    __attribute__((warn_unused_result));
void image_platform_done(struct image_platform *p);
/* Whether an image of that os, architecture and variant ("" or NULL: none) is one for the platform, and no other. Pure.
 */
bool image_platform_suits(const struct image_platform *p, const char *os, const char *arch, const char *variant);

/* ---- manifests (OCI image-spec 1.1, docker schema 2) ---- */

/* Picks the best manifest of an index for a platform; not_found lists what there is. Pure. ret_digest owned. */
struct err *image_index_choose(const struct json *index, const struct image_platform *p, char **ret_digest,
                               int64_t *ret_size) __attribute__((warn_unused_result));
/* Validates manifest and config bytes and fills an image record (layers without chain state known). Pure but for
 * digests. */
struct err *image_build_record(const struct str *manifest, const char *manifest_digest, const struct str *config,
                               struct store_image **ret) __attribute__((warn_unused_result));

/* ---- operations ---- */

/* Progress events, called from the operation's own loop; everything borrowed. */
struct image_progress {
    const char *id;         /* layer's short digest, or NULL for the image as a whole */
    const char *status;     /* "Pulling fs layer", "Downloading", "Extracting", "Pull complete", "Already exists", …
                               docker's words */
    int64_t current, total; /* bytes, total 0 when unknown */
};
struct image_progress_fn {
    void (*fn)(void *ctx, const struct image_progress *p);
    void *ctx;
};

struct image_pull {
    const struct host *host;
    const struct config *config;
    struct store *store;
    const struct image_ref *ref;
    const char *platform; /* or NULL */
    struct err *(*userns)(void *ctx, int *ret_fd,
                          uint32_t *ret_ids); /* called when the first layer must be unpacked; the fd is borrowed */
    void *userns_ctx;
    struct image_progress_fn progress;
    const int *interrupted_fd; /* readable when the user wants it to stop, or NULL */
};
struct image_pulled {
    char id[65];
    char digest[72]; /* of the manifest or index that the reference named */
    bool up_to_date; /* nothing had to be fetched */
    char *reference; /* canonical, owned */
};
/* Pulls one image. Ctrl-C leaves resumable partials and no debris. */
struct err *image_pull(const struct image_pull *p, struct image_pulled *ret) __attribute__((warn_unused_result));

/*
 * The tags that the registry lists for the repository of p->ref (its tag does not matter), appended in the registry's
 * order. Only host, config, ref and interrupted_fd of `p` are looked at.
 */
struct err *image_tags(const struct image_pull *p, struct strv *out) __attribute__((warn_unused_result));

struct image_push {
    const struct host *host;
    const struct config *config;
    struct store *store;
    const struct image_ref *ref; /* with a tag */
    const char *id;              /* of the image; NULL: the one that has that name */
    const char *source;          /* and the name that it was meant by, or NULL */
    struct store_image *content; /* or what is no image: its blobs and its manifest are in the store, and nothing is
                                    recorded */
    const char *index;           /* digest of the index that is meant, where `id` is; NULL: none, or the name's */
    const char *platform;        /* that the image must be for, or NULL */
    const char *compression;     /* of layers that are not compressed yet: "gzip", "zstd"; NULL: gzip */
    struct image_progress_fn progress;
    const int *interrupted_fd; /* readable when the user wants it to stop, or NULL */
};
struct image_pushed {
    char id[65];
    char digest[72]; /* of the manifest, or of the index */
    int64_t size;    /* and its bytes */
};
/* Uploads one image, or all of the index (bundle.h) that its name stands for, unless a platform is asked for. What the
 * registry has got when it fails, it keeps: the next push goes on from there. */
struct err *image_push(const struct image_push *p, struct image_pushed *ret) __attribute__((warn_unused_result));

/* Fetches an http or https URL to the end of an open file. *ret_modified (may be NULL): Last-Modified in seconds, or 0
 * where the server does not tell. */
struct err *image_download(const struct host *h, const char *url, const int *interrupted_fd, int file,
                           int64_t *ret_modified) __attribute__((warn_unused_result));

struct image_import {
    struct store *store;
    const struct host *host;
    int fd;                      /* a root file system as tar, perhaps compressed */
    const struct image_ref *ref; /* or NULL */
    const char *message, *platform;
    const char *source; /* where it comes from, for the image's history: a URL; NULL: "-" */
    const struct strv
        *changes; /* Dockerfile instructions: CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR STOPSIGNAL ONBUILD */
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
};
/* Makes an image of one layer; returns its id. */
struct err *image_import(const struct image_import *i, char ret_id[65]) __attribute__((warn_unused_result));

struct image_commit {
    struct store *store;
    const char *base_id; /* hex id of the container's image */
    const char *container_id;
    const struct json *container_config; /* docker's Config object of the container */
    const struct image_ref *ref;         /* or NULL */
    const char *author, *message;        /* each may be NULL */
    const struct strv *changes;
    /* Gives the tar of the container's changes, taken by the commit, when everything else has been looked at; and says
     * afterwards whether it was whole. */
    struct err *(*open)(void *ctx, int *ret_fd);
    struct err *(*close)(void *ctx);
    void *open_ctx;
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
};
/* Makes an image of another one's layers and a new one; returns its id. */
struct err *image_commit(const struct image_commit *c, char ret_id[65]) __attribute__((warn_unused_result));

/* ---- check and repair ---- */

/* Whether an image's record says what its manifest and config say: corrupt when not. Where those are damaged or
 * missing, which is found otherwise, there is nothing to compare with. */
struct err *image_verify(const struct store *s, const char *id) __attribute__((warn_unused_result));
struct image_rebuild {
    struct store *store;
    const char *id; /* hex */
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
};
/* Makes an image's record, and layers that are missing, from the blobs in the store: from a manifest that names the
 * config. not_found when there is none. */
struct err *image_rebuild(const struct image_rebuild *r) __attribute__((warn_unused_result));
/* Makes the layers that the store lacks of an image that it knows, from blobs that are there, its own or others'. */
struct err *image_layers_make(const struct image_rebuild *r) __attribute__((warn_unused_result));

/*
 * Applies Dockerfile instructions (those of image_import.changes and HEALTHCHECK) to the "config" object of an image
 * config, in order; for import and commit. Usage errors name the instruction.
 */
struct err *image_changes_apply(struct json *config, const struct strv *changes) __attribute__((warn_unused_result));

/* The image's config JSON (parsed config blob) for spec_build and inspect. */
struct err *image_config(const struct store *s, const struct store_image *img, struct json **ret)
    __attribute__((warn_unused_result));
