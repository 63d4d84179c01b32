/*
 * bundle: images for several platforms, and what is attested of them, under one name: an index among the blobs.
 *
 * The store knows images by their configs, one for one platform. So a name that stands for an index is a name of that
 * image of it that suits this machine (store_target.index says of which index), and all that the index consists of is
 * kept with it: index, manifests, configs and layers as registries have them, as blobs, not unpacked. Whoever runs,
 * lists or inspects sees the one image; push, save and load see the index. What is attested of an image is in a
 * manifest for the platform unknown/unknown, which is never chosen for anything.
 *
 * Digests of an index are of manifests, and those of compressed layers: the images of a bundle are compressed when they
 * are made, so that the index is the same wherever it is sent.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct host;
struct image_parts;
struct json;
struct store;
struct store_image;

/* ---- making ---- */

struct image_bundle {
    struct store *store;
    struct store_image **images;
    size_t n;
    struct json *manifests, *attested; /* descriptors: of the images, of what is attested of them */
};
/* Adds an image: its config and manifest are written, its layers compressed, and nothing is recorded. `annotations` of
 * its descriptor, or NULL. Its number is its position. */
struct err *image_bundle_add(struct image_bundle *b, const struct image_parts *p, const struct json *annotations)
    __attribute__((warn_unused_result));
/* Adds statements (in-toto, JSON) on the image of that number, each with its predicate's type. */
struct image_statement {
    const char *predicate;
    struct json *statement;
};
struct err *image_bundle_attest(struct image_bundle *b, size_t number, const struct image_statement *list, size_t n)
    __attribute__((warn_unused_result));
/* Digest of the manifest of the image of that number, borrowed. */
const char *image_bundle_manifest(const struct image_bundle *b, size_t number) __attribute__((returns_nonnull));
/* What was recorded. */
struct image_bundled {
    char id[65];     /* of the image that has the names */
    size_t number;   /* which of them that is: the one for this machine, else the first */
    char digest[72]; /* of the index */
    int64_t size;    /* and its bytes */
};
/* Writes the index and records the image that suits the host, with all names at one moment. */
struct err *image_bundle_record(struct image_bundle *b, const struct host *h, const struct strv *names,
                                const struct json *annotations, struct image_bundled *ret)
    __attribute__((warn_unused_result));
/* Records one of the others, too, without a name. */
struct err *image_bundle_record_one(const struct image_bundle *b, size_t number, char ret_id[65])
    __attribute__((warn_unused_result));
void image_bundle_done(struct image_bundle *b);

/* ---- what the store has ---- */

struct image_member {
    struct store *store;
    const struct host *host;
    const char *reference; /* canonical */
    const char *platform;
    struct err *(*userns)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *userns_ctx;
};
/* The image for another platform of the index that a name stands for: it is recorded without a name, its layers are
 * made of their blobs. not_found where the name stands for no index, or that has none for the platform. */
struct err *image_member_get(const struct image_member *m, char ret_id[65]) __attribute__((warn_unused_result));
