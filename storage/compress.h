/*
 * compress: the part of store.h that makes a layer's plain blob smaller, for registries. Layers made here (commit,
 * import, archives) are kept as they came; they are compressed when they first go somewhere, by coracle-unpack, and the
 * compressed blob is in the store from then on. Until an image's record names it, the next sweep may take it: hold the
 * store (store_hold) meanwhile.
 */
#pragma once

#include <stdint.h>

struct err;
struct store;
struct store_compress_job;

/* Compresses the plain blob of a layer, whose digest is the layer's diff_id, to "gzip" or "zstd"; several jobs may run
 * side by side. The same layer gives the same blob. not_found for a blob that is not there. */
struct err *store_compress_start(struct store *s, const char *diff_id, const char *format,
                                 struct store_compress_job **ret) __attribute__((warn_unused_result));
/* Waits for it; the compressed blob is in the store then. Frees the job either way. */
struct err *store_compress_finish(struct store *s, struct store_compress_job *take_job, char ret_digest[72],
                                  int64_t *ret_size) __attribute__((warn_unused_result));
/* Kills it and drops what it has written. Frees the job. */
void store_compress_cancel(struct store *s, struct store_compress_job *take_job);
