/* archive_int: what save, load and import share: manifests made here, and the files of an archive. */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct err;
struct json;
struct store;
struct store_archive;
struct store_layer_ref;

/* A descriptor as JSON. */
struct json *descriptor_json(const char *media_type, const char *digest, int64_t size)
    __attribute__((returns_nonnull, warn_unused_result));

struct made_layer {
    char digest[72];
    const char *media_type; /* static */
    int64_t size;
    int64_t diff_size; /* bytes when unpacked; 0 where it does not matter */
};
/* The same of layers in the store; as many as there are, owned. */
struct made_layer *made_layers(const struct store_layer_ref *layers, size_t n)
    __attribute__((returns_nonnull, warn_unused_result));
struct manifest_parts {
    const char *config; /* digest */
    int64_t config_size;
    const struct made_layer *layers;
    size_t n;
    const struct json *annotations; /* an object, or NULL */
    const char *config_type;        /* NULL: an image's */
};
/* Appends the text of an OCI manifest; the same input gives the same bytes. */
void manifest_make(const struct manifest_parts *p, struct str *out);

/* The layer media type for a file by its first bytes: plain, gzip or zstd. Static. */
struct err *layer_type_of(int dirfd, const char *name, const char **ret) __attribute__((warn_unused_result));
