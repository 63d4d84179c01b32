/*
 * pull_int: the two halves of a pull. pull.c finds out what the reference means (requests, manifests, the record);
 * layers.c brings in what is missing (downloads and unpackers side by side). layers.c serves load and import too, where
 * the blobs are in the store already and there is no registry.
 */
#pragma once

#include <stdint.h>

#include "image/image.h"

struct err;
struct fetch_client;
struct registry;
struct store;
struct store_image;

/* The user namespace that layers are unpacked in: asked for once, when the first layer needs it. */
struct unpack_ns {
    struct err *(*get)(void *ctx, int *ret_fd, uint32_t *ret_ids);
    void *ctx;
    int fd; /* -1 until asked for; borrowed from the caller of the operation */
    uint32_t ids;
};
struct err *unpack_ns_get(struct unpack_ns *ns) __attribute__((warn_unused_result));

struct config;
/* How many layers the configuration wants at work at once. */
size_t layers_at_once(const struct config *c) __attribute__((pure));

struct layers {
    struct store *store;
    struct registry *registry;   /* NULL: every blob is in the store */
    struct fetch_client *client; /* NULL when registry is */
    struct unpack_ns *ns;
    const struct image_progress_fn *progress;
    int interrupted_fd; /* -1: none */
    bool refer;         /* to others' files where they share them: store_unpack.refer */
    bool known;         /* the blobs have just been digested: store_unpack.known */
    size_t parallel;    /* layers at work at once: each a download with its unpacker */
};
/*
 * Brings in the blobs and layers of `img` that the store lacks, verified, and fills in their diff_size and the image's
 * size; of one without a chain id only the blob. *ret_fetched counts layers that had to be fetched or unpacked. On
 * failure what was completed stays (unreferenced), partial downloads stay for a resume, everything else is gone.
 */
struct err *layers_bring_in(const struct layers *l, struct store_image *img, size_t *ret_fetched)
    __attribute__((warn_unused_result));

/* Says one progress line. `id` may be NULL. */
void progress_say(const struct image_progress_fn *p, const char *id, const char *status, int64_t current,
                  int64_t total);
