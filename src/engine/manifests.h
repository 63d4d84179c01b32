/*
 * manifests: the part of engine.h that is about lists of manifests: made here, one file each in the store's root
 * (manifests/<reference, '/' as '+'>.json), and pushed when they are complete. A list refers to what is in registries;
 * no image of the store has to do with it.
 */
#pragma once

#include <stdbool.h>

struct engine;
struct err;
struct json;
struct str;

/* Adds what a reference stands for in its registry to a list; one that is no index. `amend`: the list may be there
 * already; else it must not. */
struct err *engine_manifest_add(struct engine *e, const char *list, const char *reference, bool amend)
    __attribute__((warn_unused_result));
/* Sets members of the platform of a list's entry: {"architecture","os","variant","os.version","os.features"}. */
struct err *engine_manifest_annotate(struct engine *e, const char *list, const char *reference,
                                     const struct json *platform) __attribute__((warn_unused_result));
/* A list of ours, as the entries of image/index.h; not_found. */
struct err *engine_manifest_list(struct engine *e, const char *list, struct json **ret)
    __attribute__((warn_unused_result));
struct err *engine_manifest_remove(struct engine *e, const char *list) __attribute__((warn_unused_result));
struct err *engine_manifest_push(struct engine *e, const char *list, char ret_digest[72])
    __attribute__((warn_unused_result));
/* What a registry has under a reference: {"Name","Manifest":{"mediaType","digest","size", and of an index
 * "schemaVersion" and "manifests"}}, with `image` also "Image": the image's config, of an index those by platform. The
 * manifest as it is there is appended to `raw`. Nothing is stored. */
struct err *engine_manifest_look(struct engine *e, const char *reference, bool image, struct str *raw,
                                 struct json **ret) __attribute__((warn_unused_result));
/* What a reference names: a list of ours, else what its registry says, as its JSON; `verbose`: docker's array of
 * entries (an object where there is one). */
struct err *engine_manifest_inspect(struct engine *e, const char *reference, bool verbose, struct json **ret)
    __attribute__((warn_unused_result));
