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
#include "runtime/cgroup.h"
#include "runtime/userns.h"

struct err;
struct host;
struct id_map;
struct json;
struct strv;

/* ---- containers ---- */

enum { RUNTIME_PRESERVE_MAX = 256 };

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
    /*
     * The container's ids, in those of the caller's user namespace: it gets one of its own with them, or joins one that
     * has them (`join` with CLONE_NEWUSER). NULL: it is in the caller's.
     */
    const struct id_map *map;
    /* Joined, and linux.resources set in it; NULL or none: limits are not applied (say so). */
    const struct runtime_cgroup *cgroup;
    int oom_fd;       /* runtime_oom_open(), for process.oomScoreAdj; borrowed */
    int preserve_fds; /* LISTEN_FDS-like extra descriptors 3..3+n-1, whether they close on exec or not */
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
    /* Called in the new process, as root of its user namespace, with its root directory (borrowed) before anything is
     * mounted in it; the host's files are still in reach. Its failure is that of runtime_create(). NULL: nothing. */
    struct err *(*prepare)(void *ctx, int root);
    void *ctx;
};
#define RUNTIME_SERVED_MAX 8
struct runtime_proc {
    pid_t pid;
    int pidfd;
    int sync_fd; /* held by runtime_start(); -1 afterwards */
    int console; /* pty master or -1 */
    /* Whose it is, for what a listener of its seccomp filter is told; borrowed from struct runtime_create. */
    const struct json *config;
    const char *id, *bundle;
    /* Readable at its end when a program has ended that makes one of the container's file systems; or -1. */
    int served[RUNTIME_SERVED_MAX];
    int n_served;
};
/* The caller's own oom_score_adj, for runtime_create(): before runtime_userns_enter(), which closes it to the caller,
 * too. -1: it cannot be opened. */
int runtime_oom_open(void);
/* Makes the container's first process, ready to exec. Must be called inside the user namespace. */
struct err *runtime_create(const struct runtime_create *c, struct runtime_proc *ret)
    __attribute__((warn_unused_result));
/* Runs it; the listener that the config's seccomp profile may name gets its descriptor before. On failure the process
 * is gone and reaped; kinds exec_not_found and exec_denied tell 127 from 126. */
struct err *runtime_start(struct runtime_proc *p) __attribute__((warn_unused_result));
/* Lets go of a process that was created with `detach`; closes sync_fd. */
struct err *runtime_detach(struct runtime_proc *p) __attribute__((warn_unused_result));
/* Kills and reaps a created process and closes its descriptors. */
void runtime_proc_done(struct runtime_proc *p);
/* Runs the poststart hooks of a config, for the process `pid`. */
struct err *runtime_poststart(const struct json *config, const char *id, const char *bundle, pid_t pid)
    __attribute__((warn_unused_result));
/* Runs the poststop hooks of a config. Best effort; the first failure is returned. */
struct err *runtime_poststop(const struct json *config, const char *id, const char *bundle)
    __attribute__((warn_unused_result));

struct runtime_exec {
    pid_t target;              /* the container's init */
    int target_pidfd;          /* its pidfd */
    const char *id, *bundle;   /* for what a seccomp listener is told; may be NULL */
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

/* ---- seccomp ---- */

struct sock_filter;
/*
 * Compiles the default profile (caps decide some rules, as in docker's) or a docker/OCI profile JSON into BPF. ret is
 * an owned array of *ret_n instructions, at most 4096; docker's empty profile "{}" means no filter: NULL and 0. Errors
 * name the rule. Pure but for uname(2), which a custom profile's minKernel asks for. `caps` is the bounding set.
 * *ret_flags (may be NULL): what to install it with, SECCOMP_FILTER_FLAG_NEW_LISTENER among it where calls are to be
 * answered by the profile's listener.
 */
struct err *runtime_seccomp_compile(const char *profile_json_or_null, uint64_t caps, struct sock_filter **ret,
                                    size_t *ret_n, unsigned *ret_flags) __attribute__((warn_unused_result));
/* The "linux.seccomp" section of an OCI config, as coracle-runtime gets it. */
struct err *runtime_seccomp_compile_oci(const struct json *seccomp, struct sock_filter **ret, size_t *ret_n,
                                        unsigned *ret_flags) __attribute__((warn_unused_result));

/* ---- users in the container ---- */

struct runtime_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[256];
    size_t n_groups;
    bool groups_asked; /* not only by the image's files */
    char home[256];
};
/*
 * Resolves "user[:group]" and extra groups with the passwd and group files below rootfd, which belong to the image:
 * regular files of at most 1 MiB, opened in-root and non-blocking. Numbers need no entry; overflow and nonsense are
 * errors, never uid 0 (CVE-2026-30892).
 */
struct err *runtime_user_resolve(int rootfd, const char *text, const struct strv *extra_groups,
                                 struct runtime_user *ret) __attribute__((warn_unused_result));
