/*
 * cgroup: what a user without root can have of the kernel's control groups, and what limits and pausing become of it.
 * Part of the runtime's interface (runtime.h), in a header of its own.
 *
 *     runtime_cgroup_make()        before the process: directories where the user may make them, or none
 *     runtime_limits_plan()        what holds each limit of the config there: a controller, an emulation, nobody
 * (refused) runtime_create()             (runtime.h) writes the limits and makes the process inside runtime_freeze(),
 * _thaw()    while it runs; runtime_resources_apply() again for other limits runtime_cgroup_remove()      after its
 * end; also by whoever clears up after a crash, from the paths alone
 *
 * Nothing here is ever a reason for a container without limits not to start; and one with limits never starts without
 * them in silence.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;
struct host;
struct json;

/* ---- cgroups ---- */

enum runtime_controller {
    RUNTIME_CPU,
    RUNTIME_CPUACCT, /* v2: part of cpu */
    RUNTIME_CPUSET,
    RUNTIME_MEMORY,
    RUNTIME_PIDS,
    RUNTIME_IO, /* v1: blkio */
    RUNTIME_FREEZER,
    RUNTIME_CONTROLLERS
};
/*
 * The cgroup of a container: a directory of the unified hierarchy (cgroup v2) where the user may make one, and one of
 * every version-1 hierarchy where they may. A machine has each controller in one or the other; ask for the directory of
 * a controller with runtime_cgroup_dir(). No directory at all is the common case of a user without delegation, and no
 * error.
 */
struct runtime_cgroup {
    int v2;                      /* -1: none */
    int v1[RUNTIME_CONTROLLERS]; /* each -1 or an own descriptor */
    struct strv paths;           /* the directories that were made, for removing them */
};
#define RUNTIME_CGROUP_NONE                                                                                            \
    {                                                                                                                  \
        .v2 = -1, .v1 = { -1, -1, -1, -1, -1, -1, -1 }                                                                 \
    }
/*
 * Makes one: beside the caller's own cgroup where the directory above is the user's, else below it; or below `parent`
 * (--cgroup-parent: a path from the root of the hierarchies, or, when it is relative, from the caller's cgroup), which
 * is an error when the user may not write there. `parent` NULL and nowhere to make one: none.
 */
struct err *runtime_cgroup_make(const struct host *h, const char *id, const char *parent, struct runtime_cgroup *ret)
    __attribute__((warn_unused_result));
/*
 * Before runtime_cgroup_make(), as the plain user: where that would make none, and the config has limits, the user's
 * systemd is asked to put the calling process into a scope in which it does (scope.c). Best effort; nothing for a
 * container without limits.
 */
void runtime_cgroup_claim(const struct host *h, const char *id, const struct json *config);
/* That of a running container's process, without paths; none where its cgroup is not one of ours. */
void runtime_cgroup_open(pid_t pid, struct runtime_cgroup *ret);
/* Closes the descriptors; the directories stay. */
void runtime_cgroup_done(struct runtime_cgroup *g);
#define autocgroup __attribute__((cleanup(runtime_cgroup_done))) struct runtime_cgroup
/* Removes the directories `paths`, killing what is left in them. Best effort. */
void runtime_cgroup_remove(const struct strv *paths);
/* Moves a process into the version-1 directories (into the other one it is born); 0 is the caller. */
struct err *runtime_cgroup_join_v1(const struct runtime_cgroup *g, pid_t pid) __attribute__((warn_unused_result));
/* The directory (borrowed) whose files are about this controller, -1 where there is none; *ret_v1 (may be NULL) tells
 * whose names they have. */
int runtime_cgroup_dir(const struct runtime_cgroup *g, enum runtime_controller c, bool *ret_v1);
/*
 * Sets the limits of "linux.resources" (may be NULL) in a cgroup (may be NULL or none), now or anew. What the cgroup
 * has no controller for is passed over: runtime_limits_plan() has settled it before.
 */
struct err *runtime_resources_apply(const struct json *resources, const struct runtime_cgroup *g)
    __attribute__((warn_unused_result));
/* Number of OOM kills so far, 0 where unknown. */
uint64_t runtime_cgroup_oom_kills(const struct runtime_cgroup *g);

/* The parent that a config's linux.cgroupsPath ("<parent>/<name>") asks for, owned, or NULL. */
char *runtime_cgroup_parent(const struct json *config) __attribute__((warn_unused_result));

/* ---- limits ---- */

/* What is done instead where no controller does it. */
struct runtime_emulation {
    int64_t memory;   /* bytes to be watched for (runtime_survey_memory()); 0: nothing */
    const char *cpus; /* processors that each process binds itself to, of `resources`; or NULL */
};
/*
 * Settles each limit of a config's "linux.resources" for a cgroup: enforced by it, emulated, without effect (both of
 * these add a warning, in docker's words where it has some), or refused: an error of kind unsupported with the way out.
 * `ret`, whose text is the config's, and `warnings` may be NULL.
 */
struct err *runtime_limits_plan(const struct json *config, const struct runtime_cgroup *g,
                                struct runtime_emulation *ret, struct strv *warnings)
    __attribute__((warn_unused_result));
/* The same for a container that is only being made, with a cgroup made for the look at it and removed again; of its
 * "oomScoreAdj" it is said, too, when that will have no effect. */
struct err *runtime_limits_probe(const struct host *h, const char *id, const struct json *config, struct strv *warnings)
    __attribute__((warn_unused_result));
/* Binds every process of a running container to processors. Needs the container's user namespace. */
struct err *runtime_affinity(pid_t init, const char *cpus) __attribute__((warn_unused_result));

/* What is remembered between two looks. */
struct runtime_survey {
    pid_t *pids;
    size_t n;
    /* Numbers of processes of the machine: the youngest one at a moment, and up to which none is looked at again; 0:
     * not known. */
    pid_t youngest, settled;
    int64_t at; /* that moment (clock_boot()); 0: nothing was looked at yet */
};
/*
 * Bytes of anonymous and shared memory that the container's processes have in RAM. Exact (pages that processes share
 * count once) only when more than `limit` seems to be used: up to there the sum of what each has is enough, and cheap.
 */
struct err *runtime_survey_memory(pid_t init, struct runtime_survey *s, int64_t limit, int64_t *ret_bytes)
    __attribute__((warn_unused_result));
void runtime_survey_done(struct runtime_survey *s);

/* ---- pause ---- */

/* What a freeze without a freezer must remember: processes that were stopped before, and are to stay so. */
struct runtime_stopped {
    pid_t *pids;
    size_t n;
};
/*
 * Halts every process of a container, and returns when they stand: by the cgroup's freezer where there is one; else
 * by SIGSTOP to each process of init's pid namespace and those below it, until none of them runs any more (who looks
 * can tell, as a parent in the container does that waits for stopped children). Needs the container's user namespace.
 * An error leaves them running.
 */
struct err *runtime_freeze(const struct runtime_cgroup *g, pid_t init, struct runtime_stopped *s)
    __attribute__((warn_unused_result));
/* Lets them go on; `s` is emptied. */
struct err *runtime_thaw(const struct runtime_cgroup *g, pid_t init, struct runtime_stopped *s)
    __attribute__((warn_unused_result));
