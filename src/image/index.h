/*
 * index: images for several platforms under one name, as docker's `manifest` commands make and show them: manifests
 * asked of registries, put together to an index (a manifest list, in docker's word), and sent back.
 *
 * An entry is {"Ref":canonical reference,"Descriptor":{"mediaType","digest","size","platform":{…}}}: docker's view of
 * one manifest. What an index lists must be in the registry; in another repository of the same registry it is mounted
 * from there, nothing is downloaded.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct config;
struct err;
struct host;
struct image_ref;
struct json;

struct image_remote {
    const struct host *host;
    const struct config *config;
    const int *interrupted_fd; /* or NULL */
};

struct image_manifest {
    char digest[72];
    char *media_type;
    struct str text; /* as the registry has it */
};
/* Frees the members. */
void image_manifest_done(struct image_manifest *m);
#define automanifest __attribute__((cleanup(image_manifest_done))) struct image_manifest
/* The manifest or index that a reference names, its digest verified. */
struct err *image_manifest_get(const struct image_remote *r, const struct image_ref *ref, struct image_manifest *ret)
    __attribute__((warn_unused_result));
/* The entries that a reference stands for: itself, with the platform that its config tells, or, of an index, each of
 * its manifests. Appended to an array; each has its "Manifest" with it, parsed. */
struct err *image_manifest_entries(const struct image_remote *r, const struct image_ref *ref, struct json *out)
    __attribute__((warn_unused_result));
/* The image config that a manifest names; of an index an object of them by platform ("linux/arm64/v8"). */
struct err *image_manifest_configs(const struct image_remote *r, const struct image_ref *ref,
                                   const struct image_manifest *m, struct json **ret)
    __attribute__((warn_unused_result));
/* Puts an index of `entries` under a reference, and what it lists beside it; docker's kind unless all of them are
 * OCI's.
 */
struct err *image_index_push(const struct image_remote *r, const struct image_ref *ref, const struct json *entries,
                             char ret_digest[72]) __attribute__((warn_unused_result));
/* The text of such an index. Pure. */
void image_index_make(const struct json *entries, const char **ret_media_type, struct str *out);
