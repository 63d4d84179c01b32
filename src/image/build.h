/*
 * build: layers and images one at a time, for `coracle build`: a layer is made of a tar and is nobody's; an image is
 * put together of layers that are in the store and a config. The caller holds the store (store_hold()) from before the
 * first layer until an image, or the build cache, refers to it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;
struct json;
struct store;
struct store_layer_ref;
struct store_unpacked;
struct strv;

struct image_layer {
    struct store *store;
    const char *parent; /* chain id, or NULL */
    int fd;             /* a tar, borrowed */
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
};
/* Reads a tar into a layer and a blob. They are nobody's: the caller holds the store until something refers to them.
 * The members of *ret are owned: image_layer_done(). */
struct err *image_layer_read(const struct image_layer *l, struct store_layer_ref *ret)
    __attribute__((warn_unused_result));
/* The same for one that the store has adopted with a plain tar. */
struct store_layer_ref image_layer_plain(const struct store_unpacked *u);
struct store_layer_ref image_layer_copy(const struct store_layer_ref *l);
void image_layer_done(struct store_layer_ref *l);
struct store_image;

struct image_parts {
    struct json *config; /* its "rootfs" is filled in */
    const struct store_layer_ref *layers;
    size_t n;
    const struct strv *names;       /* canonical references, may be none */
    const struct json *annotations; /* of the manifest; or NULL */
};
/* The "rootfs" that a config has of these layers. */
struct json *image_rootfs(const struct store_layer_ref *layers, size_t n)
    __attribute__((returns_nonnull, warn_unused_result));
/* Records an image of layers that are in the store, with its names, all at one moment. */
struct err *image_compose(struct store *s, const struct image_parts *p, char ret_id[65])
    __attribute__((warn_unused_result));
/* The same without a record: its config and manifest are blobs, its plain layers compressed ("gzip", "zstd"), and all
 * that a record would say is in *ret (store_image_free()). The names do not matter. */
struct err *image_compose_bare(struct store *s, const struct image_parts *p, const char *compression,
                               struct store_image **ret) __attribute__((warn_unused_result));
