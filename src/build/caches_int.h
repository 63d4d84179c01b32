/*
 * caches_int: the build cache of other machines, --cache-from and --cache-to. What a cache is as content, in a registry
 * or a directory, stands in image/cache.h; this is what is in one, the IMAGE_CACHE_KEY member of its config:
 *
 *     {"records": {key: {"layer": n, "created": ns, "step": text}},      n: which of the cache's layers; "link": true
 *                                                                       of one that lies on anything (--link)
 *      "notes":   {key: digest},                                         of what COPY --from takes, see cache.c
 *      "mounts":  {name: {"layer": n, "id": text}}}                      cache mounts, a tar each
 *
 * Taking from one is lazy: it is asked when a step is not in the store's own cache, and a step that is found is
 * believed with nothing brought here. Layers come when something is to lie on them or is taken of them, or when they
 * are the image's: then all that are missing come side by side, and those that nobody needs never do. What is brought
 * is from then on in the store's cache as if it had been made here, so a record says its time of making, and an image
 * that is wholly cached is the same image on every machine. A cache mount is brought when a command that has it must
 * really run and there is none by its name here: it begins with what the other machine had.
 *
 * Keys, times and texts are those of whoever made the cache. He is trusted with what the steps make, as the maker of a
 * base image is; with nothing else: indices and names are checked, contents by their digests, and every tar is unpacked
 * as an image's is. Where a cache cannot be read or what it promises is not there, that is told, and the stages are
 * begun again without that cache.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "image/image.h"

struct build_options;
struct err;
struct exec;
struct image_cache;
struct json;
struct state;
struct store_layer_ref;

enum cache_kind { CACHE_LOCAL, CACHE_REGISTRY, CACHE_INLINE };
struct cache_spec {
    enum cache_kind kind;
    const char *text; /* as typed, borrowed */
    char *dir;        /* of CACHE_LOCAL */
    char *name;       /* tag or digest there */
    char *reference;  /* of CACHE_REGISTRY */
    struct image_ref ref;
    char *compression; /* "gzip", "zstd" or "uncompressed" */
    bool bare;         /* a reference alone: an image of the store will do */
    bool max;          /* steps of all stages, not only those whose layers the image has */
    bool mounts;       /* and cache mounts */
    bool ignore_error;
    bool broken;               /* what it promised is not to be had */
    struct image_cache *cache; /* of --cache-from, where there is one */
};
struct caches {
    struct cache_spec *from, *to;
    size_t n_from, n_to;
};

/* ---- caches.c ---- */

/* Reads the flags. Usage errors in BuildKit's words where it has them. */
struct err *caches_parse(const struct build_options *o, struct caches *ret) __attribute__((warn_unused_result));
void caches_done(struct caches *c);

/* ---- caches_in.c ---- */

/* Looks what --cache-from has. A cache that cannot be had is told, and no error. */
struct err *caches_open(struct exec *x) __attribute__((warn_unused_result));
/* The record of a key with its layer as it would lie on those of `below`; the layer is not brought here, and the record
 * is pending in this stage until it is. *ret is NULL where no cache has it. */
struct err *caches_record(struct exec *x, const char *key, const struct state *below, struct json **ret)
    __attribute__((warn_unused_result));
/* Whether caches have layers of a state that are not here yet. */
bool caches_missing(const struct exec *x, const struct state *s);
/* Brings them here, all at once; what is pending about them becomes records of the store, and the layers' sizes are
 * known. An error where one is not to be had: the cache is `broken` then. */
struct err *caches_fetch(struct exec *x, const struct state *s) __attribute__((warn_unused_result));
/* The same of the blobs alone, whatever the layers lie on. */
struct err *caches_fetch_blobs(struct exec *x, const struct store_layer_ref *layers, size_t n)
    __attribute__((warn_unused_result));
/* Forgets the caches that are broken; false: none is. */
bool caches_drop_broken(struct exec *x);
/* The digest that a cache has noted, borrowed; "" where there is none. */
const char *caches_note(const struct exec *x, const char *key);
/* The tar of a cache mount, brought into the store's blobs; owned: image_layer_done(). */
struct err *caches_mount(struct exec *x, const char *name, struct store_layer_ref *ret, bool *ret_found)
    __attribute__((warn_unused_result));

/* ---- caches_out.c ---- */

/* Whether a --cache-to is the image itself. */
bool caches_wants_inline(const struct caches *c);
/* Puts the cache of the image's own layers into its config, where --cache-to wants that. */
struct err *caches_inline(struct exec *x) __attribute__((warn_unused_result));
/* Writes the others. */
struct err *caches_write(struct exec *x) __attribute__((warn_unused_result));
