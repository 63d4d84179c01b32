/*
 * runtime: from an OCI config to a running process. Knows neither the store nor the network: it is given a rootfs plan,
 * file descriptors and a namespace map, and gives back a pid, a pidfd and, with a terminal, the master side of it.
 *
 * Calling sequence (the monitor does this; coracle-runtime too):
 *     runtime_userns_get()      a descriptor of the user's namespace: the one that a live monitor holds, else a new one
 *     runtime_userns_enter()    setns into it (the monitor stays there; single-threaded callers only)
 *     runtime_create()          one clone3 with every namespace; the child mounts, limits and drops itself and waits
 *     runtime_start()           lets it go on to execve; returns when exec has happened, or with the error instead
 *
 * The child reports failures as data over a CLOEXEC socket: EOF means exec succeeded. Nothing is ever executed from
 * inside the container's root before the walls are up (but startContainer hooks, as the specification wants it). The
 * child is not dumpable until exec. Nothing of the plan is recorded: mounts live in the container's mount namespace and
 * go with its last process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/rootfs_plan.h"
#include "runtime/userns.h"
#include "base/str.h"

struct err;
struct host;
struct id_map;
struct json;

/* ---- containers ---- */

struct runtime_create {
    const struct json *config; /* OCI runtime config */
    const struct rootfs_plan *rootfs;
    const char *id;
    const char *bundle;       /* for hooks' state; absolute or NULL */
    const char *init_program; /* absolute path of coracle-init, used when the spec asks for init */
    int stdio[3];             /* the container's own ends; ignored with a terminal */
    bool terminal;
    unsigned short rows, cols; /* initial size, 0: unset */
    struct {
        int fd;
        unsigned clone_flag;
    } join[8]; /* namespaces to join instead of making (pid, net, ipc, uts, user …) */
    int n_join;
    /* Joined, and linux.resources set in it; NULL or none: limits are not applied (say so). */
    const struct runtime_cgroup *cgroup;
    int preserve_fds; /* LISTEN_FDS-like extra descriptors 3..3+n-1 */
    /* Called with the container's new network namespace (borrowed) while its first process sets up the rest: what it
     * plugs in is there before the program runs, and its failure is that of runtime_create(). NULL: nothing to plug. */
    struct err *(*network)(void *ctx, int netns_fd);
    /*
     * Create and start in two processes (coracle-runtime): once the caller has called runtime_detach(), the container
     * outlives it, and waits until somebody connects to start_listener, a listening SOCK_SEQPACKET socket (only looked
     * at with `detach`), and calls runtime_start() on that connection. A caller that dies before that takes the
     * container with it.
     */
    bool detach;
    int start_listener;
    /*
     * Called while the new process `pid` prepares itself, so that what the caller has to do besides takes no time of
     * its own. Its failure is that of runtime_create(). NULL: nothing.
     */
    struct err *(*meanwhile)(void *ctx, pid_t pid);
    void *ctx;
};
struct runtime_proc {
    pid_t pid;
    int pidfd;
    int sync_fd; /* held by runtime_start(); -1 afterwards */
    int console; /* pty master or -1 */
};
/* Makes the container's first process, ready to exec. Must be called inside the user namespace. */
struct err *runtime_create(const struct runtime_create *c, struct runtime_proc *ret)
    __attribute__((warn_unused_result));
/* Runs it. On failure the process is gone and reaped; kinds exec_not_found and exec_denied tell 127 from 126. */
struct err *runtime_start(struct runtime_proc *p) __attribute__((warn_unused_result));
/* Lets go of a process that was created with `detach`; closes sync_fd. */
struct err *runtime_detach(struct runtime_proc *p) __attribute__((warn_unused_result));
/* Kills and reaps a created process and closes its descriptors. */
void runtime_proc_done(struct runtime_proc *p);
/* Runs the poststop hooks of a config. Best effort; the first failure is returned. */
struct err *runtime_poststop(const struct json *config, const char *id, const char *bundle)
    __attribute__((warn_unused_result));

struct runtime_exec {
    pid_t target;              /* the container's init */
    int target_pidfd;          /* its pidfd */
    const struct json *config; /* the container's OCI config: capabilities, seccomp, rlimits, masked user … */
    /* OCI process object of what to run (args, env, cwd, terminal); user text in its own member "user_text". */
    const struct json *process;
    bool privileged; /* all capabilities, no seccomp */
    int stdio[3];
    bool terminal;
    unsigned short rows, cols;
    bool tied; /* dies with the caller, which is a monitor: nothing may harm that, so it shares no memory */
};
/*
 * Starts a process in a running container: joins its namespaces by pidfd, forks, raises the same walls, execs. Called
 * from the plain user's process (it enters the user namespace of the target in a child). *ret: pid is a child of the
 * caller, in a session of its own; sync_fd is -1.
 */
struct err *runtime_exec(const struct runtime_exec *x, struct runtime_proc *ret) __attribute__((warn_unused_result));

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
 * Settles each limit of "linux.resources" (may be NULL) for a cgroup: enforced by it, emulated, without effect (both of
 * these add a warning, in docker's words where it has some), or refused: an error of kind unsupported with the way out.
 * `ret` and `warnings` may be NULL.
 */
struct err *runtime_limits_plan(const struct json *resources, const struct runtime_cgroup *g,
                                struct runtime_emulation *ret, struct strv *warnings)
    __attribute__((warn_unused_result));
/* The same for a container that is only being made, with a cgroup made for the look at it and removed again. */
struct err *runtime_limits_probe(const struct host *h, const char *id, const struct json *config, struct strv *warnings)
    __attribute__((warn_unused_result));
/* Binds every process of a running container to processors. Needs the container's user namespace. */
struct err *runtime_affinity(pid_t init, const char *cpus) __attribute__((warn_unused_result));

/* What is remembered between two looks. */
struct runtime_survey {
    pid_t *pids;
    size_t n;
    pid_t youngest; /* process of the machine */
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

/* ---- seccomp ---- */

struct sock_filter;
/*
 * Compiles the default profile (caps decide some rules, as in docker's) or a docker/OCI profile JSON into BPF. ret is
 * an owned array of *ret_n instructions, at most 4096; docker's empty profile "{}" means no filter: NULL and 0. Errors
 * name the rule. Pure but for uname(2), which a custom profile's minKernel asks for. `caps` is the bounding set.
 */
struct err *runtime_seccomp_compile(const char *profile_json_or_null, uint64_t caps, struct sock_filter **ret,
                                    size_t *ret_n) __attribute__((warn_unused_result));
/* The "linux.seccomp" section of an OCI config, as coracle-runtime gets it. */
struct err *runtime_seccomp_compile_oci(const struct json *seccomp, struct sock_filter **ret, size_t *ret_n,
                                        unsigned *ret_flags) __attribute__((warn_unused_result));

/* ---- users in the container ---- */

struct runtime_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[256];
    size_t n_groups;
    char home[256];
};
/*
 * Resolves "user[:group]" and extra groups with the passwd and group files below rootfd, which belong to the image:
 * regular files of at most 1 MiB, opened in-root and non-blocking. Numbers need no entry; overflow and nonsense are
 * errors, never uid 0 (CVE-2026-30892).
 */
struct err *runtime_user_resolve(int rootfd, const char *text, const struct strv *extra_groups,
                                 struct runtime_user *ret) __attribute__((warn_unused_result));
