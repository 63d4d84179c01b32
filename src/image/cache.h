/*
 * cache: what builds have made, for other machines: OCI content in a registry or in a layout directory, which any tool
 * can move. It is a manifest like an image's, but for the type of its config, so that nobody takes it for an image:
 *
 *     manifest   config  application/vnd.coracle.build.cache.v1+json
 *                layers  tars: layers of images, and others
 *     config     {"rootfs": {"type": "layers", "diff_ids": [one for each of the layers]}, IMAGE_CACHE_KEY: {…}}
 *
 * An image's config may have that member, too, and is then a cache of its own layers (inline). What is in it is the
 * business of src/build/caches_int.h. Here it is stored, sent, found, and brought in again: as with an image everything
 * is checked against its digest and unpacked by coracle-unpack, and the user's signature policy holds for it. Other
 * builders' caches have other keys for other steps, and are refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct err;
struct host;
struct image_ref;
struct json;
struct store;
struct store_layer_ref;

#define IMAGE_CACHE_KEY "coracle.build.cache.v1"

struct image_cache_place {
    const struct host *host;
    const struct config *config;
    struct store *store;
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
    const int *interrupted_fd;   /* readable when the user wants it to stop, or NULL */
    const struct image_ref *ref; /* in a registry; NULL: */
    const char *dir;             /* in an OCI layout; NULL: it is the image `name`, an id, of the store */
    const char *name;            /* a tag or digest in the layout */
};

struct image_cache; /* one that can be taken from */
/* Reads what a place has. Of `p` only `ref` and the other modules' objects must stay. not_found where it has no cache;
 * denied by the policy. */
struct err *image_cache_open(const struct image_cache_place *p, struct image_cache **ret)
    __attribute__((warn_unused_result));
void image_cache_free(struct image_cache *c);
/* The member, an object; borrowed. Whoever made it may be hostile. */
const struct json *image_cache_words(const struct image_cache *c);
/* The n-th of its layers, without a chain id; borrowed. NULL: there is no such. */
const struct store_layer_ref *image_cache_layer(const struct image_cache *c, int64_t n);
/* Whether a layer is one of them, by its contents. */
bool image_cache_has(const struct image_cache *c, const struct store_layer_ref *l) __attribute__((pure));
/* Has the store get the blobs of copies of such layers, side by side, and, of those that were given a chain id, the
 * layers themselves; sets their diff_size. May be called by any process that was forked meanwhile. */
struct err *image_cache_bring(struct image_cache *c, struct store_layer_ref *layers, size_t n)
    __attribute__((warn_unused_result));

struct image_cache_new {
    const struct json *words;
    struct store_layer_ref *layers; /* blobs of the store; those that are compressed have other names then */
    size_t n;
    const char *compression; /* of plain layers: "gzip", "zstd"; NULL: as they are */
};
/* Writes a cache to a registry or a layout (which is made where there is none), in the place of what was there under
 * that name. */
struct err *image_cache_write(const struct image_cache_place *p, const struct image_cache_new *n)
    __attribute__((warn_unused_result));
