/*
 * observe: the part of engine.h that looks at what runs and what lies about: top, stats, df and prune. Views are in the
 * shapes of docker's API. Nothing here waits for a container, and none of it needs a cgroup: where a container has
 * none, the figures are sums over its processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct engine;
struct err;
struct json;

/*
 * docker's {"Titles":[…],"Processes":[[…],…]} of a running container. `options` is what ps gets, pids being the host's;
 * empty: "-ef", which is answered without ps. Where all words of it are podman's descriptors ("pid", "comm", "user",
 * "hpid" …, apart by commas or spaces) these are the columns, with pids and users as the container sees them. Errors:
 * conflict when it does not run, system for options that ps does not take or that leave no column PID.
 */
struct err *engine_container_top(struct engine *e, const char *name, const struct strv *options, struct json **ret)
    __attribute__((warn_unused_result));

/*
 * docker's /system/df as far as images go: {"LayersSize":N,"Images":[…]}: image summaries (engine_image_list) with
 * "SharedSize", the bytes of layers that other images have too, and "Containers", how many were made from each. A layer
 * counts once in LayersSize, however many images have it.
 */
struct err *engine_image_usage(struct engine *e, struct json **ret) __attribute__((warn_unused_result));
/* As image_usage's figures: what the inodes take on disk that give images other owners (docs/adr/one-id-map.md), and
 * what of it no container needs. */
void engine_idmaps_usage(struct engine *e, int64_t *ret_bytes, int64_t *ret_unused);
/* At the end of the command, in the background: what nothing refers to goes, whoever has left it. */
void engine_sweep(struct engine *e);
/* Tells docker's event "prune" of a kind of objects ("container"), with the bytes that it freed. */
void engine_prune_tell(const struct engine *e, const char *type, int64_t freed);

/* What a container uses. Of one that does not run everything is 0. */
struct engine_sample {
    char id[65];
    char *name;
    bool alive;
    int64_t at;                                   /* ns, CLOCK_BOOTTIME */
    uint64_t cpu;                                 /* ns so far, with that of processes that have ended */
    uint64_t memory, memory_limit;                /* bytes; without a limit of its own the machine's memory */
    uint64_t received, sent, bytes_read, written; /* so far: of its network namespace but lo; of block devices */
    uint64_t tasks;
};
struct engine_samples {
    struct engine_sample *v;
    size_t n;
};
struct engine_stats; /* what need not be found out anew for each sample */
/* Of the containers of these names (borrowed, for as long as it lives), or, without names, of all that run (`all`: and
 * the others). */
struct engine_stats *engine_stats_open(struct engine *e, const struct strv *names, bool all)
    __attribute__((returns_nonnull, warn_unused_result));
void engine_stats_free(struct engine_stats *s);
static inline void engine_stats_freep(struct engine_stats **s) { engine_stats_free(*s); }
#define autostats __attribute__((cleanup(engine_stats_freep))) struct engine_stats *
enum engine_stats_kind {
    ENGINE_STATS_WHOLE,
    ENGINE_STATS_FIRST, /* only to be the one before ENGINE_STATS_SECOND: of its figures only `cpu` is set */
    ENGINE_STATS_SECOND /* whole; of the containers that the one before found */
};
/*
 * A sample in the order of the names, or newest first; done with engine_samples_done(). From the container's cgroup
 * where it has one (v2 or v1, controller by controller), else from /proc: processor time is then as fine as the
 * kernel's tick, memory the proportional share (PSS).
 */
struct err *engine_stats_sample(struct engine_stats *s, enum engine_stats_kind kind, struct engine_samples *ret)
    __attribute__((warn_unused_result));
void engine_samples_done(struct engine_samples *s);
#define autosamples __attribute__((cleanup(engine_samples_done))) struct engine_samples
