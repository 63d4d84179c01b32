/*
 * runtime_int: what the files of the runtime share. Two processes become something else here:
 *
 *     init  (create.c → init.c)  the first process of a container: builds the root and everything below it, then
 * launches exec  (exec.c)             one more process in a running container: joins, then launches
 *
 * `struct launch` is what both have in common: the program, its user, its stdio and its walls (launch.c, walls.c).
 * The child talks to its parent over a SOCK_SEQPACKET pair (sync.c); end of file means that execve has happened.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "runtime/runtime.h"

struct err;
struct json;

/* ---- sync.c: messages between a child and its parent ---- */

enum sync_type {
    SYNC_EOF = 0,       /* the other side is gone, or has executed its program */
    SYNC_READY = 'R',   /* child: everything is set up; a pty master may come along */
    SYNC_NETNS = 'N',   /* child: here is my network namespace */
    SYNC_HOOKS = 'H',   /* child: namespaces and mounts are there, run prestart and createRuntime */
    SYNC_PID = 'P',     /* middle process: pid and pidfd of the real one */
    SYNC_SECCOMP = 'S', /* child: the listener of my filter */
    SYNC_GO = 'G',      /* parent: go on */
    SYNC_ERROR = 'E'    /* child: an encoded error */
};
struct sync_msg {
    enum sync_type type;
    pid_t pid;     /* SYNC_PID */
    int fd;        /* a descriptor that came along, owned, or -1 */
    struct err *e; /* SYNC_ERROR, owned */
};
/* Sends a message; `pid` matters for SYNC_PID only, `fd` is -1 or a descriptor to pass. */
struct err *sync_send(int sock, enum sync_type type, pid_t pid, int fd) __attribute__((warn_unused_result));
/* Sends an error (borrowed). Best effort: the parent may be gone. */
void sync_send_err(int sock, const struct err *e);
/* Waits for a message. */
struct err *sync_recv(int sock, struct sync_msg *ret) __attribute__((warn_unused_result));

/* ---- launch.c, walls.c, caps.c, limits.c, tty.c ---- */

struct caps {
    uint64_t bounding, effective, permitted, inheritable, ambient;
};

struct launch {
    const struct json *config;  /* the container's */
    const struct json *process; /* of what to run */
    bool privileged;            /* exec --privileged: every capability, no filter */
    bool terminal, tied;        /* tied: dies with its parent */
    bool make_cwd;              /* a missing working directory is made (create), not an error (exec) */
    unsigned short rows, cols;
    int stdio[3]; /* borrowed */
    int sync;
    int preserve_fds;
    int exe;           /* what to execute by descriptor (coracle-init), or -1 */
    int master, slave; /* pty, or -1 */
    struct strv args, env;
    char *program; /* args[0] found in PATH */
    struct caps caps;
    const char *cpus; /* processors to be bound to, where no cgroup does it; or NULL */
    bool no_new_privs;
    struct sock_filter *filter; /* NULL: unconfined */
    size_t n_filter;
    unsigned filter_flags;
    struct runtime_user user;
};
/* Reads what config and process say into the rest of `l`, and compiles the seccomp filter. No side effects. */
struct err *launch_prepare(struct launch *l) __attribute__((warn_unused_result));
/* Inside the container's root: user, HOME, working directory, limits, owner of stdio, and whether there is such a
 * program. */
struct err *launch_settle(struct launch *l) __attribute__((warn_unused_result));
/* Executes the program. Returns only with an error. */
struct err *launch_exec(struct launch *l) __attribute__((warn_unused_result));
/* Frees what was read and looked up, where a process outlives that (exec.c). */
void launch_done(struct launch *l);
/* The annotation of a config, borrowed, or NULL. */
const char *config_annotation(const struct json *config, const char *key);

/* The OCI capability lists; unknown names are left out, sets are cut to what the process holds. */
struct err *caps_load(const struct json *capabilities, bool all, struct caps *ret) __attribute__((warn_unused_result));
/* Everything from identity to seccomp that only the program itself is to live with; last before execve. */
struct err *walls_raise(struct launch *l) __attribute__((warn_unused_result));

/* "rlimits" of an OCI process. */
struct err *limits_apply(const struct json *process) __attribute__((warn_unused_result));
/* "oomScoreAdj": the caller takes it on, for what it makes until limits_oom_back() to inherit. fd: runtime_oom_open().
 * One below what the user may set is left out. */
struct oom_loan {
    bool lent;
    int64_t own; /* the caller's */
};
struct err *limits_oom_lend(const struct json *process, int fd, struct oom_loan *ret)
    __attribute__((warn_unused_result));
void limits_oom_back(int fd, const struct oom_loan *loan);
/* Warns of one that will have no effect: below what the user may set. */
void limits_oom_said(const struct json *process, struct strv *warnings);

/* traits.c: personality, scheduler and I/O priority, as the config wants them. */
struct err *traits_take(const struct launch *l) __attribute__((warn_unused_result));

/* "linux.mountLabel", borrowed; NULL where it is not there or empty. */
const char *mount_label(const struct json *linux_);
/* The option that puts the label (NULL: none) on all files of a file system, appended where its type has such a thing.
 * What the kernel itself shows (proc, sysfs, cgroup, mqueue) has labels of the policy's. */
void mount_label_option(const char *label, const char *type, struct strv *data);
/* The SELinux label or AppArmor profile of an OCI process, for the next execve. */
struct err *lsm_apply(const struct json *process) __attribute__((warn_unused_result));

/*
 * Opens a pty of the devpts directory `dir` (-1: the one that the calling mount namespace has at /dev/pts, verified).
 */
struct err *tty_open(int dir, unsigned short rows, unsigned short cols, int *ret_master, int *ret_slave)
    __attribute__((warn_unused_result));
/* Makes stdio of the process: the pty as controlling terminal, or the three descriptors. */
struct err *tty_attach(const struct launch *l) __attribute__((warn_unused_result));

/* ---- init stage ---- */

struct init {
    const struct runtime_create *c;
    const struct json *linux_;   /* config.linux */
    uint64_t made;               /* CLONE_NEW*: namespaces that are new */
    int root;                    /* the container's root mount */
    int proc, dev, devpts;       /* fresh mounts of the container, or -1 */
    bool dev_bound;              /* /dev is the user's bind mount: left alone */
    bool slave;                  /* propagation from the host is wanted by some mount */
    int null;                    /* O_PATH of the host's /dev/null, verified */
    struct nested *nested;       /* what was got ready above the container's own user namespace, or NULL */
    const struct mount_ids *ids; /* for mounts that have some of their own, or NULL */
    const char *label;           /* the SELinux label of file systems that are made for the container, or NULL */
    struct launch l;
};
/* Runs every stage and executes the program; reports errors over l.sync. Never returns. */
void init_main(struct init *in) __attribute__((noreturn));

/* A new upper directory gets owner and mode of the topmost lower layer. */
struct err *rootfs_adopt(const struct rootfs_plan *p) __attribute__((warn_unused_result));
/* Puts together what a plan says: a mount that is not attached, or (FUSE) a copy of one. */
struct err *rootfs_open(const struct rootfs_plan *p, int *ret_fd) __attribute__((warn_unused_result));
/*
 * A container with a user namespace of its own (nested.c) cannot reach what it is made of: the store, and the sources
 * of its mounts, may be closed to its root. So all of it is opened in the namespace above, as detached mounts.
 */
struct nested {
    int *sources; /* of the config's bind mounts and trees, in their order */
    size_t n, next;
};
/* In the middle process, in a mount namespace of its own: mounts, stdio, cgroup; then it goes into the container's user
 * namespace. */
struct err *nested_enter(struct init *in) __attribute__((warn_unused_result));
/* Gives those of three descriptors that are pipes to the root of a container with that map. */
void nested_give(const int stdio[3], const struct id_map *m);
/* The next of them. */
struct err *nested_source(struct nested *n, int *ret_tree) __attribute__((warn_unused_result));

/* Sets the propagation of every mount of the calling mount namespace as the config wants it. */
struct err *mounts_propagation(struct init *in) __attribute__((warn_unused_result));
/* coracle-init, to be executed through a read-only mount of its own; where the config wants it. */
struct err *init_program_open(struct init *in) __attribute__((warn_unused_result));
/* What one of the config's mounts puts into the container, detached; -1 where it is neither a bind mount nor a tree. */
struct err *mounts_clone_source(struct init *in, const struct json *mount, int *ret_tree)
    __attribute__((warn_unused_result));
/* Stages (rootfs.c, mounts.c, devices.c, confine.c). */
struct err *rootfs_attach(struct init *in) __attribute__((warn_unused_result));
struct err *mounts_apply(struct init *in) __attribute__((warn_unused_result));
/* Those that are bind mounts of the user's, less what cannot be mounted now, which is an error when `strict`. */
struct err *mounts_apply_binds(struct init *in, bool strict) __attribute__((warn_unused_result));
struct err *devices_make(struct init *in) __attribute__((warn_unused_result));
struct err *console_make(struct init *in) __attribute__((warn_unused_result));
struct err *sysctls_apply(struct init *in) __attribute__((warn_unused_result));
struct err *masks_apply(struct init *in) __attribute__((warn_unused_result));
struct err *readonly_apply(struct init *in) __attribute__((warn_unused_result));

/* The error for an upper layer that is in use. */
struct err *rootfs_in_use(void) __attribute__((returns_nonnull, warn_unused_result));
/* fuse.c: mounts by fuse-overlayfs on plan->base_dir in the calling (own) mount namespace; returns when it is there.
 * The program keeps `alive_fd` (or -1) open as long as it runs. */
struct err *fuse_mount(const struct rootfs_plan *plan, int alive_fd) __attribute__((warn_unused_result));

/* ---- mount helpers (mount_opts.c, mount_fs.c) ---- */

struct mount_opts {
    uint64_t attrs;       /* MOUNT_ATTR_* to set */
    uint64_t propagation; /* MS_PRIVATE … of a bind, 0: default */
    bool bind, recursive;
    bool ids_below;   /* "ridmap": ids of its own (mount_ids.c) are those of all mounts below, too */
    bool nofollow;    /* of a copy: a link at the end of its path is itself what is copied */
    struct strv data; /* what the file system itself understands */
};
/* Sorts the options of an OCI mount. Pure. */
void mount_opts_parse(const struct json *options, struct mount_opts *ret);
void mount_opts_done(struct mount_opts *o);

/* A new, still detached mount of a file system. On failure the error holds what the kernel had to say. */
struct err *mount_fs_new(const char *type, const char *source, const struct mount_opts *o, int *ret_fd)
    __attribute__((warn_unused_result));
/* A detached copy of what is at dirfd/path ("" is the descriptor itself), with attributes set. Falls back to recursive
 * where locked mounts lie below. */
struct err *mount_fs_clone(int dirfd, const char *path, const struct mount_opts *o, int *ret_fd)
    __attribute__((warn_unused_result));
/* Sets the attributes and the propagation of a mount and of all below it. */
struct err *mount_fs_attrs(int mount, const struct mount_opts *o) __attribute__((warn_unused_result));
/* Puts a detached mount on the directory or file that `dest` refers to. */
struct err *mount_fs_attach(int mount, int dest, const char *name) __attribute__((warn_unused_result));
/* Puts it on an entry of the directory `dir`; on a link itself, never on what the link leads to. */
struct err *mount_fs_attach_at(int mount, int dir, const char *name) __attribute__((warn_unused_result));
/* Opens, or makes, the directory (or empty file) `path` of the container for mounting on it. */
struct err *mount_dest(const struct init *in, const char *path, bool directory, int *ret_fd)
    __attribute__((warn_unused_result));
/*
 * Where the look-up of a path of the container may begin: what is right in the /dev or anywhere in the /proc that we
 * have mounted needs no walk from the root. *path becomes relative to the descriptor that is returned (borrowed).
 */
int mount_start(const struct init *in, const char **path);

/* ---- create.c ---- */

/* Takes away what a plan has mounted by fuse-overlayfs in the calling (own) mount namespace. */
void middle_unmount(const struct rootfs_plan *p);

/* The CLONE_NEW* flag of an OCI namespace type, 0 for an unknown one. */
uint64_t namespace_flag(const char *type);
/* ---- resources.c, resources_v1.c ---- */

/* Writes a value into a file of a cgroup, with a hint when the kernel refuses it. */
struct err *resource_set(int dir, const char *file, const char *value) __attribute__((warn_unused_result));
/* A number; a negative one is the word for no limit. */
struct err *resource_set_number(int dir, const char *file, int64_t value, const char *unlimited)
    __attribute__((warn_unused_result));
/* "major:minor <prefix>value" for each entry (its rate or weight) of a list of "blockIO" (may be NULL). */
struct err *resource_set_devices(int dir, const char *file, const struct json *list, const char *prefix)
    __attribute__((warn_unused_result));
/* Sections of "linux.resources" for directories of version 1. */
struct err *resources_v1_memory(int dir, const struct json *j) __attribute__((warn_unused_result));
struct err *resources_v1_cpu(int dir, const struct json *j) __attribute__((warn_unused_result));
struct err *resources_v1_blkio(int dir, const struct json *j) __attribute__((warn_unused_result));

/* ---- limits_plan.c ---- */

/* What the files of a cgroup can be told. */
enum limits_takes {
    TAKES_MEMORY = 1 << 0,
    TAKES_SWAP = 1 << 1,
    TAKES_RESERVATION = 1 << 2,
    TAKES_SWAPPINESS = 1 << 3,
    TAKES_OOM = 1 << 4,
    TAKES_QUOTA = 1 << 5,
    TAKES_SHARES = 1 << 6,
    TAKES_CPUSET = 1 << 7,
    TAKES_PIDS = 1 << 8,
    TAKES_THROTTLE = 1 << 9,
    TAKES_WEIGHT = 1 << 10,
    TAKES_WEIGHT_DEVICE = 1 << 11
};
unsigned limits_takes(const struct runtime_cgroup *g);
/* The pure half of runtime_limits_plan(). */
struct err *limits_plan(const struct json *config, unsigned takes, struct runtime_emulation *ret, struct strv *warnings)
    __attribute__((warn_unused_result));
/* The paths below "linux.resources" of a config that limit something, and that nothing in the cgroup would hold. */
void limits_unheld(const struct json *config, const struct runtime_cgroup *g, struct strv *ret);

/* ---- members.c ---- */

struct member {
    int proc; /* a descriptor of /proc */
    pid_t pid;
    const char *name; /* its directory there */
    int pidfd;        /* borrowed; -1: it has none, as a thread */
};
/* Calls `fn` for each process of the pid namespace whose first process is `init`, and of those below it. */
struct err *members_each(pid_t init, struct err *(*fn)(void *ctx, const struct member *m), void *ctx)
    __attribute__((warn_unused_result));
/* The same for those with a number in [from, to], threads that are no processes too. */
struct err *members_between(pid_t init, pid_t from, pid_t to, struct err *(*fn)(void *ctx, const struct member *m),
                            void *ctx) __attribute__((warn_unused_result));
/* Binds the calling process to processors ("0-3,7"). */
struct err *members_affinity_own(const char *cpus) __attribute__((warn_unused_result));

/* ---- cgroup_find.c: where a container's cgroup can be ---- */

extern const char cgroup_prefix[]; /* of the names of our directories */
/* One line of /proc/PID/cgroup. */
struct cgroup_line {
    bool v2;
    unsigned controllers; /* v1: bit set of enum runtime_controller; 0: a hierarchy that we do not use */
    char *mount;          /* mount point of the hierarchy; NULL when it is not mounted */
    char *path;
};
struct cgroup_lines {
    struct cgroup_line v[32];
    size_t n;
};
/* Reads /proc/PID/cgroup (0: the caller's). Nothing readable: no lines. `wanted`: only lines whose last component
 * begins so are looked at (their mount point is searched for), NULL: all. */
void cgroup_lines_read(pid_t pid, const char *wanted, struct cgroup_lines *ret);
void cgroup_lines_done(struct cgroup_lines *l);
/* Whether there is such a file. */
bool cgroup_has(int dir, const char *file);
/* The text of a file of a cgroup directory; false when it cannot be read. */
bool cgroup_read(int dir, const char *file, struct str *out);
/* The number after "key " in such a file, 0 when it is not there. */
uint64_t cgroup_number(int dir, const char *file, const char *key);
/* Writes a value; the error names both. */
struct err *cgroup_write(int dir, const char *file, const char *value) __attribute__((warn_unused_result));

/* Whether the caller may make cgroups of version 2 beside or below its own. */
bool cgroup_offered(const struct host *h);

/* ---- scope.c ---- */

/* Whether the user's systemd is there to be asked for a scope. */
bool scope_offered(const struct host *h);
/* Whether a container with that config needs one: it has limits, and the caller is where no cgroup can be made. */
bool scope_wanted(const struct host *h, const struct json *config);
/* Puts the calling command into the scope of a running container's cgroup, where it has one, so that it may enter that
 * cgroup. Best effort: who enters in vain hears of it then. */
void scope_enter(pid_t target);

/* ---- hooks.c ---- */

struct hook_state {
    const struct json *config;
    const char *id, *bundle, *status;
    pid_t pid;
};
/* The state of the specification, as hooks and listeners are told it. */
struct json *hooks_state(const struct hook_state *st) __attribute__((returns_nonnull, warn_unused_result));
/* Whether the config has hooks of that name. */
bool hooks_any(const struct json *config, const char *name);
/* Runs them in order; stops at the first that fails. */
struct err *hooks_run(const char *name, const struct hook_state *st) __attribute__((warn_unused_result));

/* ---- listener.c: who answers system calls in the container's place ---- */

/* Whether the config's seccomp profile names a socket for that. */
bool listener_named(const struct json *config);
/*
 * Sends the descriptor of a filter's notifications there, with the specification's "container process state"; st->pid
 * is that of the process. Its failure must be that of the start: nobody would answer.
 */
struct err *listener_tell(const struct hook_state *st, int notify_fd) __attribute__((warn_unused_result));

/* ---- timens.c ---- */

/* What a config says of a time namespace is checked: `made` are the namespaces to be made. */
struct err *timens_check(const struct json *linux_, uint64_t made) __attribute__((warn_unused_result));
/* Stage: makes one with "timeOffsets", and enters it. */
struct err *timens_enter(struct init *in) __attribute__((warn_unused_result));

/* ---- mount_ids.c: mounts with ids of their own ---- */

#define MOUNT_IDS_MAX 16
struct mount_ids {
    struct {
        const struct json *mount; /* borrowed from the config */
        int userns;               /* whose map it has */
    } v[MOUNT_IDS_MAX];
    size_t n;
};
/* Makes a user namespace for each mount of the config that asks for ids of its own; below the caller's, of which it
 * must be root. `joins`: the container goes into another one, and there can be none. */
struct err *mount_ids_plan(const struct json *config, bool joins, struct mount_ids *ret)
    __attribute__((warn_unused_result));
void mount_ids_done(struct mount_ids *m);
/* The namespace for that mount (borrowed), -1: none. */
int mount_ids_of(const struct mount_ids *m, const struct json *mount);
/* Gives a detached mount (and, `recursive`, those below it) its ids. */
struct err *mount_ids_give(int mount, int userns, bool recursive) __attribute__((warn_unused_result));

/* ---- userns.c ---- */
extern const char userns_record[], userns_kept[]; /* files of the run directory: who holds the namespace */
/* Writes who holds the namespace: a process that is inside, or, with fd >= 0, one that has this descriptor of it. */
struct err *userns_write_record(int dir, const char *name, pid_t pid, int fd, uint32_t ids)
    __attribute__((warn_unused_result));

/* ---- userns_keep.c ---- */
/* Leaves a process behind that holds the namespace until no container has started for two seconds. */
void userns_keep(int run_fd, int ns_fd, uint32_t ids);

/* ---- userns_nest.c ---- */

/* A descriptor of a new user namespace below the calling process's own, of which it is root, with that map. */
struct err *userns_nest(const struct id_map *m, int *ret_fd) __attribute__((warn_unused_result));

/* ---- userns_offer.c ---- */

/* The namespace that the monitor of container `id` offers in its directory of the run directory, and its pid. False
 * when none does. */
bool userns_ask(int run, const char *id, uid_t uid, int *ret_ns, pid_t *ret_pid);

/* ---- userns_make.c ---- */

/* Makes a user namespace with the user's default map and returns a descriptor of it. */
struct err *userns_make(const struct host *h, int *ret_fd, uint32_t *ret_ids) __attribute__((warn_unused_result));
