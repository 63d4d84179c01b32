/*
 * manifest_int: manifests and image configs as plain data. Everything is parsed from bytes whose digest was right, but
 * whoever made the digest may be hostile: types, ranges and counts are all checked here, once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct json;
struct store_image;
struct image_platform;

#define MANIFEST_MAX ((size_t)4 << 20)
#define MANIFEST_LAYERS_MAX 500

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

struct descriptor {
    char *media_type;
    char *digest; /* passes digest_ok() */
    int64_t size; /* >= 0 */
};

struct manifest {
    char *media_type; /* of the four above */
    bool is_index;
    struct descriptor config; /* of a manifest */
    struct descriptor *layers;
    size_t n_layers;
    struct json *json; /* the parsed text: image_index_choose() reads an index from it */
};

/*
 * Parses an index or a manifest. `content_type` is the registry's header, or NULL; it decides only where the text has
 * no mediaType, and must not contradict it. Refused: both at once, schema 1, artifacts, unknown layer types.
 */
struct err *manifest_parse(const struct str *text, const char *content_type, struct manifest *ret)
    __attribute__((warn_unused_result));
void manifest_done(struct manifest *m);

/* unsupported for a media type that is none of layers. */
struct err *manifest_layer_type_check(const char *type) __attribute__((warn_unused_result));
/* Reads one descriptor: digest canonical, size in range. */
struct err *descriptor_parse(const struct json *j, struct descriptor *ret) __attribute__((warn_unused_result));
void descriptor_done(struct descriptor *d);

struct image_conf {
    char *os, *arch, *variant;
    int64_t created;      /* 0 when the config does not say */
    struct strv diff_ids; /* bottom first */
};
/* Parses an image config (OCI image-spec config.md, docker's v1.2 superset). */
struct err *image_conf_parse(const struct str *text, struct image_conf *ret) __attribute__((warn_unused_result));
void image_conf_done(struct image_conf *c);

/* How well a platform suits: 0 not at all, else the higher the better. variant may be "". */
int platform_score(const struct image_platform *want, const char *os, const char *arch, const char *variant);
/* Normalises spellings in place ("x86_64" → "amd64", "arm64/v8" → "arm64"). */
void platform_normalise(struct image_platform *p);
