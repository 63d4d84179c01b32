/*
 * build: what a build needs of the engine: root file systems that are worked on. A work is a container that is made of
 * layers and not of an image, in which a command runs or files are put, and whose changes become a layer; it is gone
 * with engine_work_free(). The store must be held (engine_build_hold()) from before the first layer until an image, or
 * the build cache, refers to what was made.
 */
#pragma once

#include <stdbool.h>

#include "engine/engine.h"

struct engine_work;
struct store;
struct store_layer_ref;
struct store_unpacked;

/* The engine's store, borrowed, held against the sweep until *ret_hold is closed; NULL: not held, only looked at. */
struct err *engine_build_hold(struct engine *e, struct store **ret, int *ret_hold) __attribute__((warn_unused_result));

/*
 * For who makes works: the same, with a place for them that nobody else sees: no list, no event, no name is told of
 * them, and when the last of the processes that work there is gone, however it ended, what is left is debris that the
 * next command takes away. Ended by engine_works_end().
 */
struct engine_works {
    struct store *store; /* the engine's, borrowed; held against the sweep */
    int hold, apart;
    char *tmp;
};
#define ENGINE_WORKS_INIT                                                                                              \
    { .hold = -1, .apart = -1 }
struct err *engine_works_begin(struct engine *e, struct engine_works *ret) __attribute__((warn_unused_result));
void engine_works_end(struct engine *e, struct engine_works *w);

/* A work from layers. `options` are a container's (image, cwd; for a command everything that run has); borrowed. */
struct err *engine_work_new(struct engine *e, const struct engine_base *base, const struct container_options *options,
                            struct engine_work **ret) __attribute__((warn_unused_result));
/* The same for its root alone, which nothing is started in. */
struct err *engine_work_on(struct engine *e, const struct strv *layers, struct engine_work **ret)
    __attribute__((warn_unused_result));
/* Runs the options' command to its end. Once. */
struct err *engine_work_run(struct engine_work *w, const struct monitor_io *io, int *ret_code)
    __attribute__((warn_unused_result));
/* The root directory, put together at the first call; borrowed. Only RESOLVE_IN_ROOT may be used in it. */
struct err *engine_work_root(struct engine_work *w, int *ret_root) __attribute__((warn_unused_result));
/* Starts putting a tar's entries below a directory of the root; engine_work_placed() waits for its end. */
struct err *engine_work_place(struct engine_work *w, int dir, int in_fd) __attribute__((warn_unused_result));
struct err *engine_work_placed(struct engine_work *w) __attribute__((warn_unused_result));
/* What has changed, as a layer on top of `parent` (chain id, or NULL); owned: image_layer_done(). Files whose time is
 * later than `latest` (s; INT64_MAX: none is) get that. */
struct err *engine_work_layer(struct engine_work *w, const char *parent, int64_t latest, struct store_layer_ref *ret)
    __attribute__((warn_unused_result));
/* The files of a layer of the store's as a layer on top of `parent` (chain id, or NULL), without a copy of them;
 * *ret_chain_id is its chain id. For layers that were made without looking at what lies below. */
struct err *engine_build_rebase(struct engine *e, const char *chain_id, const char *parent, char ret_chain_id[72])
    __attribute__((warn_unused_result));
void engine_work_free(struct engine_work *w);
static inline void engine_work_freep(struct engine_work **w) { engine_work_free(*w); }
#define autowork __attribute__((cleanup(engine_work_freep))) struct engine_work *

/* Lets go of what nothing refers to any more, in the background. */
void engine_build_sweep(struct engine *e);
/* Calls fn in a child that is root of the containers' user namespace. */
struct err *engine_build_call(struct engine *e, struct err *(*fn)(void *ctx), void *ctx)
    __attribute__((warn_unused_result));
/* A directory of the store's that may have files of subordinate ids as a tar among its blobs (*ret says its digest and
 * size), and such a tar below an empty one. O_PATH will do. The top's own owner and mode are not in it. */
struct err *engine_build_pack(struct engine *e, int dir, struct store_unpacked *ret)
    __attribute__((warn_unused_result));
struct err *engine_build_unpack(struct engine *e, int dir, int tar_fd) __attribute__((warn_unused_result));
struct image_cache_place;
/* Fills in what is the engine's of the place of a cache (image/cache.h). */
struct err *engine_cache_place(struct engine *e, struct image_cache_place *p) __attribute__((warn_unused_result));
struct image_parts;
/* Makes an image (image/build.h), and tells an event of each of its names. */
struct err *engine_build_image(struct engine *e, const struct image_parts *p, char ret_id[65])
    __attribute__((warn_unused_result));
struct image_bundle;
struct image_bundled;
/* Records an index of images (image/bundle.h), and tells an event of each of its names. */
struct err *engine_build_index(struct engine *e, struct image_bundle *b, const struct strv *names,
                               const struct json *annotations, struct image_bundled *ret)
    __attribute__((warn_unused_result));
/*
 * Images that pass through the store, as their build only writes them somewhere else (passing.c). Held from before the
 * image is made until it has its names, or is written: meanwhile none that passes is removed.
 */
struct err *engine_passing_begin(struct engine *e, int *ret_fd) __attribute__((warn_unused_result));
/* Says of an image without a name whether it passes, or stays: if one build wants that, it does. */
struct err *engine_passing_note(int fd, const char *id, bool stays) __attribute__((warn_unused_result));
/* The last to end removes what passes and has no name. Takes `fd`; -1 is fine. */
void engine_passing_end(struct engine *e, int fd);
/* What layers (chain ids, bottom first) make of the lowest of them, `below`, as one layer on top of those; times as
 * engine_work_layer() has them. Owned: image_layer_done(). */
struct err *engine_layers_sum(struct engine *e, const struct strv *layers, const struct strv *below, int64_t latest,
                              struct store_layer_ref *ret) __attribute__((warn_unused_result));
/* Writes the files of an image (an id) as a tar to out_fd, or, where that is -1, into a directory of the user's, whose
 * they become. */
struct err *engine_image_files(struct engine *e, const char *id, int out_fd, int dir_fd)
    __attribute__((warn_unused_result));
/* The same of several images as one tar, each below a directory of its own. */
struct engine_part {
    const char *id, *directory;
};
struct err *engine_images_tar(struct engine *e, const struct engine_part *parts, size_t n, int out_fd)
    __attribute__((warn_unused_result));
