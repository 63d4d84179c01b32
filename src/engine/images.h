/*
 * images: the part of engine.h that is about images: getting them, looking at them, naming and removing them.
 *
 * An image is its config's digest; a reference (name:tag or name@digest) is a name of it, and it goes with the last of
 * its tags. Every operation that makes names or layers holds the store against the sweeper for as long as it runs, so
 * that nothing it has counted on goes meanwhile. Views are JSON in the shapes of docker's API.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "image/image.h"
#include "image/location.h"

struct engine;
struct err;
struct json;

/* What a user typed as a reference, and the image that a reference, an id or a prefix of one means (image.h's
 * image_ref_parse() and image_find()), with the "short-name-aliases" of the configuration applied to bare names. */
struct err *engine_ref_parse(const struct engine *e, const char *text, struct image_ref *ret)
    __attribute__((warn_unused_result));
struct err *engine_image_find(struct engine *e, const char *text, char ret_id[65], char **ret_reference)
    __attribute__((warn_unused_result));

/* When a registry is asked: always; only where the image is not stored; never; or always, but what is stored is good
 * enough when the registry has no other image or cannot be asked. */
enum engine_pull_policy { PULL_ALWAYS, PULL_MISSING, PULL_NEVER, PULL_NEWER };
/* "always", "missing", "never" or "newer"; a usage error in docker's words otherwise. */
struct err *engine_pull_policy_parse(const char *text, enum engine_pull_policy *ret)
    __attribute__((warn_unused_result));

struct engine_pull {
    const char *reference, *platform; /* platform may be NULL */
    enum engine_pull_policy policy;
    struct image_progress_fn progress;
    const int *interrupted_fd; /* readable: stop, leave a resumable partial; NULL: none */
};
/* Pulls an image, or loads it where the reference is a file or directory (image/location.h). ret->reference is owned by
 * the caller; NULL for an image without a name. */
struct err *engine_image_pull(struct engine *e, const struct engine_pull *p, struct image_pulled *ret)
    __attribute__((warn_unused_result));

/* The tags of a reference's repository, as the registry lists them. Appended. */
struct err *engine_image_tags(struct engine *e, const char *reference, const int *interrupted_fd, struct strv *out)
    __attribute__((warn_unused_result));

/* An array of docker's image summaries (Id, RepoTags, RepoDigests, Created, Size, Labels, Containers), newest first. */
struct err *engine_image_list(struct engine *e, struct json **ret) __attribute__((warn_unused_result));
/*
 * docker's image inspect object. `platform` (NULL: any) must be the image's: not_found says what it is. "GraphDriver"
 * names the directories of the layers; "Descriptor" is the manifest's.
 */
struct err *engine_image_inspect(struct engine *e, const char *name, const char *platform, struct json **ret)
    __attribute__((warn_unused_result));
/* The image's manifest as it is stored, appended; not_found for one that never had any (it gets one when it is pushed
 * or saved). */
struct err *engine_image_manifest(struct engine *e, const char *name, const char *platform, struct str *out)
    __attribute__((warn_unused_result));
/*
 * docker's history, newest first: an array of {"Id","Created","CreatedBy","Tags","Size","Comment"}. Only the first has
 * an id: the others are "<missing>", as layers have no images of their own.
 */
struct err *engine_image_history(struct engine *e, const char *name, const char *platform, struct json **ret)
    __attribute__((warn_unused_result));
/* {"ContentSize":N,"Platform":"linux/arm64","Manifest":digest}: what its blobs take up as they are stored and pushed,
 * and what for. "Manifest" is missing where an image has none. */
struct err *engine_image_content(struct engine *e, const char *name, struct json **ret)
    __attribute__((warn_unused_result));

/* Untags, and deletes the image with its last name. *ret: array of {"Untagged":…} and {"Deleted":…}. in_use as docker
 * without force. */
struct err *engine_image_remove(struct engine *e, const char *name, bool force, struct json **ret)
    __attribute__((warn_unused_result));
/* The names with which an image may go: those before it, too. */
enum engine_image_names { ENGINE_IMAGE_UNNAMED, ENGINE_IMAGE_DIGESTS, ENGINE_IMAGE_TAGS };
/* Deletes an image, by its whole id, that no container uses, unless it has other names than these or others share it
 * with us; *ret as above, empty then. conflict: a container uses it, running or not. */
struct err *engine_image_prune(struct engine *e, const char *id, enum engine_image_names names, struct json **ret)
    __attribute__((warn_unused_result));
/* Points `target` (a reference) at the image `source`. */
struct err *engine_image_tag(struct engine *e, const char *source, const char *target)
    __attribute__((warn_unused_result));

/* docker load from a descriptor: an archive or a directory. */
struct err *engine_image_load(struct engine *e, int fd, const char *platform, struct image_progress_fn progress,
                              struct strv *ret_references, struct strv *ret_ids) __attribute__((warn_unused_result));
/* docker save to a descriptor, of a directory where the format is one. */
struct err *engine_image_save(struct engine *e, const struct strv *names, enum image_format format, int fd)
    __attribute__((warn_unused_result));

/* Where an image is to go, in skopeo's words (image/location.h). */
struct err *engine_location_parse(const char *text, struct image_location *ret) __attribute__((warn_unused_result));
void engine_location_done(struct image_location *l);
#define autoenginelocation __attribute__((cleanup(engine_location_done))) struct image_location

/* One image to where `to` says, which is no registry; `fd` is the file or directory. An OCI layout that is there gets
 * it beside what it has. */
struct err *engine_image_write(struct engine *e, const char *name, const struct image_location *to, int fd)
    __attribute__((warn_unused_result));
/* The same of an index (bundle.h) whose image for this machine has that id. */
struct err *engine_index_write(struct engine *e, const char *id, const char *index, const struct image_location *to,
                               int fd) __attribute__((warn_unused_result));
/* The image for another platform of the index that a name (as typed) stands for; not_found where it stands for none, or
 * that has none for the platform. */
struct err *engine_image_member(struct engine *e, const char *reference, const char *platform, char ret_id[65])
    __attribute__((warn_unused_result));

struct engine_import {
    int fd;
    const char *url; /* to fetch it from instead, or NULL */
    const int *interrupted_fd;
    const char *reference, *message, *platform; /* each may be NULL */
    const struct strv *changes;
};
/* docker import; the new image's hex id. */
struct err *engine_image_import(struct engine *e, const struct engine_import *i, char ret_id[65])
    __attribute__((warn_unused_result));
