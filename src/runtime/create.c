/*
 * create: one clone3 makes the process and every namespace of a container, inside its cgroup; the child (init.c) does
 * the rest.
 *
 * Some things a new process cannot come to by itself: a pid namespace only takes in children, another container's user
 * namespace must be entered first, and fuse-overlayfs must sit in a mount namespace that the container's is a copy of.
 * For those a middle process goes first and makes the real one as its sibling (CLONE_PARENT), then ends. The caller
 * itself could not come back from a pid namespace that it joined.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

struct create {
    struct runtime_create c; /* a copy: paths in the config add to what is joined */
    struct init in;
    uint64_t flags; /* CLONE_NEW* to make */
    int opened[8];  /* namespaces opened here */
    size_t n_opened;
    int theirs; /* the child's end of the socket */
    struct mount_ids ids;
    int alive[RUNTIME_SERVED_MAX]; /* for the programs of the root and of trees by FUSE, in this order */
    int n_alive;
};

static const struct {
    const char *type;
    uint64_t flag;
} kinds[] = {{"pid", CLONE_NEWPID}, {"network", CLONE_NEWNET},   {"mount", CLONE_NEWNS},  {"ipc", CLONE_NEWIPC},
             {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"user", CLONE_NEWUSER}, {"time", CLONE_NEWTIME}};

uint64_t namespace_flag(const char *type) {
    for (size_t i = 0; type && i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].type, type) == 0)
            return kinds[i].flag;
    return 0;
}

static uint64_t joined(const struct runtime_create *c) {
    uint64_t flags = 0;
    for (int i = 0; i < c->n_join; i++)
        flags |= c->join[i].clone_flag;
    return flags;
}

static struct err *join_path(struct create *cr, const char *path, uint64_t flag) {
    int fd;
    if (cr->c.n_join == (int)ARRAY_LEN(cr->c.join))
        return err_new(ERR_USAGE, "too many namespaces to join");
    TRY_CTX(fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd), "namespace to join");
    cr->opened[cr->n_opened++] = fd;
    cr->c.join[cr->c.n_join].fd = fd;
    cr->c.join[cr->c.n_join++].clone_flag = (unsigned)flag;
    return NULL;
}

static struct err *plan_namespaces(struct create *cr) {
    JSON_EACH(it, json_get(cr->in.linux_, "namespaces")) {
        const char *type, *path;
        TRY(json_get_str(it, "type", &type));
        TRY(json_get_str_opt(it, "path", NULL, &path));
        uint64_t flag = namespace_flag(type);
        if (!flag)
            return err_new(ERR_UNSUPPORTED, "namespaces of type %s", type);
        if (joined(&cr->c) & flag)
            continue;
        if (path && *path)
            TRY(join_path(cr, path, flag));
        else
            cr->flags |= flag;
    }
    cr->flags |= CLONE_NEWNS; /* the host's mounts are never touched */
    cr->flags &= ~(uint64_t)CLONE_NEWUSER;
    return timens_check(cr->in.linux_, cr->flags);
}

/* Where a cgroup holds the processes on their processors they need not hold themselves. */
static const char *affinity_of(const struct runtime_create *c) {
    const char *cpus = json_str_value(json_path(c->config, "linux.resources.cpu.cpus"));
    return c->cgroup && runtime_cgroup_dir(c->cgroup, RUNTIME_CPUSET, NULL) >= 0 ? NULL : cpus;
}

static void plan_init(struct create *cr) {
    struct runtime_create *c = &cr->c;
    cr->in = (struct init){.c = c,
                           .linux_ = cr->in.linux_,
                           .made = cr->flags,
                           .root = -1,
                           .proc = -1,
                           .dev = -1,
                           .devpts = -1,
                           .null = -1,
                           .ids = &cr->ids,
                           .label = mount_label(cr->in.linux_)};
    cr->in.l = (struct launch){.config = c->config,
                               .process = json_get(c->config, "process"),
                               .terminal = c->terminal,
                               .tied = !c->detach,
                               .make_cwd = true,
                               .rows = c->rows,
                               .cols = c->cols,
                               .sync = cr->theirs,
                               .stdio = {c->stdio[0], c->stdio[1], c->stdio[2]},
                               .preserve_fds = c->preserve_fds,
                               .exe = -1,
                               .master = -1,
                               .slave = -1,
                               .cpus = affinity_of(c)};
}

/* ---- making the process ---- */

/* Becomes init_main() in the child. -1 and errno on failure. */
static pid_t clone_init(struct create *cr, uint64_t extra, int *ret_pidfd) {
    const uint64_t later = CLONE_NEWTIME; /* timens.c */
    struct clone_args args = {.flags = (cr->flags & ~later) | CLONE_PIDFD | extra,
                              .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
                              .exit_signal = (extra & CLONE_PARENT) ? 0 : SIGCHLD};
    pid_t pid = -1;
    if (cr->c.cgroup && cr->c.cgroup->v2 >= 0 && !cr->c.map) { /* with a map we are in it already */
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (__u64)cr->c.cgroup->v2;
        pid = sys_clone3(&args);
        args.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
        args.cgroup = 0;
        if (pid < 0 && json_count(json_get(cr->in.linux_, "resources"))) /* never without its limits */
            return -1;
    }
    if (pid < 0)
        pid = sys_clone3(&args);
    if (pid == 0)
        init_main(&cr->in);
    return pid;
}

static struct err *clone_error(int why) {
    struct err *e = err_sys(why, "make the container's namespaces");
    return why == ENOSPC || why == EUSERS ? err_hint(e, "the limits in /proc/sys/user/max_*_namespaces are reached")
                                          : e;
}

static int count_fuse(const struct rootfs_plan *p) {
    int n = p->driver == ROOTFS_FUSE_OVERLAY;
    for (size_t i = 0; i < p->n_trees; i++)
        n += p->trees[i].plan.driver == ROOTFS_FUSE_OVERLAY;
    return n;
}

static bool needs_middle(const struct create *cr) {
    return cr->c.map || joined(&cr->c) & (CLONE_NEWPID | CLONE_NEWUSER) || cr->n_alive;
}

static struct err *middle_join(const struct create *cr, unsigned flag) {
    for (int i = 0; i < cr->c.n_join; i++)
        if (cr->c.join[i].clone_flag == flag && setns(cr->c.join[i].fd, (int)flag) < 0 &&
            (flag != CLONE_NEWUSER || errno != EINVAL)) /* EINVAL: we are in it */
            return err_sys(errno, "join a namespace of another container");
    return NULL;
}

/* The root last: it may cover what the others are made of. */
static struct err *middle_fuse(const struct create *cr) {
    const struct rootfs_plan *p = cr->c.rootfs;
    int n = 0;
    for (size_t i = 0; i < p->n_trees; i++)
        if (p->trees[i].plan.driver == ROOTFS_FUSE_OVERLAY)
            TRY(fuse_mount(&p->trees[i].plan, cr->alive[n++]));
    return p->driver == ROOTFS_FUSE_OVERLAY ? fuse_mount(p, cr->alive[n]) : NULL;
}

/* The container's copy of the mount must be the last one, so that fuse-overlayfs ends with the container. */
void middle_unmount(const struct rootfs_plan *p) {
    if (p->driver == ROOTFS_FUSE_OVERLAY)
        (void)umount2(p->base_dir, MNT_DETACH);
    for (size_t i = 0; i < p->n_trees; i++)
        if (p->trees[i].plan.driver == ROOTFS_FUSE_OVERLAY)
            (void)umount2(p->trees[i].plan.fuse_dir, MNT_DETACH);
}

static struct err *middle_mount(const struct create *cr) {
    if (!cr->n_alive)
        return NULL;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(errno, "make a mount namespace for fuse-overlayfs");
    return middle_fuse(cr);
}

/* The container has a user namespace of its own (nested.c). */
static struct err *middle_nest(struct create *cr) {
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(errno, "make a mount namespace");
    TRY(mounts_propagation(&cr->in));
    TRY(middle_fuse(cr));
    return nested_enter(&cr->in);
}

static struct err *middle_work(struct create *cr, int sock) {
    autofd int pidfd = -1;
    if (prctl(PR_SET_DUMPABLE, 0) < 0) /* before anybody in a joined pid namespace can see us */
        return err_sys(errno, "prctl");
    if (cr->c.map) {
        TRY(middle_nest(cr));
    } else {
        TRY(middle_join(cr, CLONE_NEWUSER));
        TRY(middle_mount(cr));
    }
    struct err *e = middle_join(cr, CLONE_NEWPID);
    pid_t pid = e ? -1 : clone_init(cr, CLONE_PARENT, &pidfd);
    if (!e && pid < 0)
        e = clone_error(errno);
    if (!cr->c.map)
        middle_unmount(cr->c.rootfs);
    return e ? e : sync_send(sock, SYNC_PID, pid, pidfd);
}

static struct err *clone_by_middle(struct create *cr, pid_t *ret_pid, int *ret_pidfd) {
    int pair[2];
    struct sync_msg m;
    TRY(fd_socketpair(SOCK_SEQPACKET, pair));
    autofd int ours = pair[0];
    autofd int theirs = pair[1];
    pid_t middle = fork();
    if (middle < 0)
        return err_sys(errno, "fork");
    if (middle == 0) {
        struct err *e = middle_work(cr, theirs);
        if (e)
            sync_send_err(theirs, e);
        _exit(e != NULL);
    }
    fd_replace(&theirs, -1);
    struct err *e = sync_recv(ours, &m);
    while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
        ;
    if (e)
        return e;
    if (m.type == SYNC_ERROR)
        return m.e;
    if (m.type != SYNC_PID || m.fd < 0)
        return err_new(ERR_SYSTEM, "the process that joins namespaces died");
    *ret_pid = m.pid;
    *ret_pidfd = m.fd;
    return NULL;
}

static struct err *clone_directly(struct create *cr, pid_t *ret_pid, int *ret_pidfd) {
    *ret_pid = clone_init(cr, 0, ret_pidfd);
    return *ret_pid < 0 ? clone_error(errno) : NULL;
}

/* The OOM score is inherited: the file of the new process's own could only be opened while that is open to others, a
 * container with the host's pid namespace among them. */
static struct err *make_process(struct create *cr, pid_t *ret_pid, int *ret_pidfd) {
    struct oom_loan loan;
    TRY(limits_oom_lend(json_get(cr->c.config, "process"), cr->c.oom_fd, &loan));
    struct err *e = needs_middle(cr) ? clone_by_middle(cr, ret_pid, ret_pidfd) : clone_directly(cr, ret_pid, ret_pidfd);
    limits_oom_back(cr->c.oom_fd, &loan);
    return e;
}

/* ---- hearing from it ---- */

static struct err *run_parent_hooks(const struct create *cr, const struct runtime_proc *p) {
    const struct hook_state st = {cr->c.config, cr->c.id, cr->c.bundle, "creating", p->pid};
    TRY(hooks_run("prestart", &st));
    TRY(hooks_run("createRuntime", &st));
    return sync_send(p->sync_fd, SYNC_GO, 0, -1);
}

static struct err *wait_ready(const struct create *cr, struct runtime_proc *p) {
    struct sync_msg m;
    TRY(sync_recv(p->sync_fd, &m));
    if (m.type == SYNC_NETNS) {
        autofd int netns = m.fd;
        TRY(cr->c.network(cr->c.ctx, netns));
        TRY(sync_recv(p->sync_fd, &m));
    }
    if (m.type == SYNC_HOOKS) {
        TRY(run_parent_hooks(cr, p));
        TRY(sync_recv(p->sync_fd, &m));
    }
    if (m.type == SYNC_ERROR)
        return m.e;
    if (m.type != SYNC_READY)
        return err_new(ERR_SYSTEM, "the container's first process was killed before it was ready");
    p->console = m.fd;
    return NULL;
}

/* The pipes by which the programs of FUSE are missed. */
static struct err *plan_served(struct create *cr, struct runtime_proc *p) {
    int n = count_fuse(cr->c.rootfs);
    if (n > RUNTIME_SERVED_MAX)
        return err_new(ERR_UNSUPPORTED, "%d mounts by fuse-overlayfs, at most %d can be", n, RUNTIME_SERVED_MAX);
    for (; cr->n_alive < n; cr->n_alive++) {
        int pair[2];
        TRY(fd_pipe(0, pair));
        p->served[p->n_served++] = pair[0];
        cr->alive[cr->n_alive] = pair[1];
    }
    return NULL;
}

static struct err *create(struct create *cr, struct runtime_proc *ret) {
    int pair[2];
    struct runtime_proc p = {.pid = -1,
                             .pidfd = -1,
                             .sync_fd = -1,
                             .console = -1,
                             .config = cr->c.config,
                             .id = cr->c.id,
                             .bundle = cr->c.bundle};
    if (cr->c.preserve_fds < 0 || cr->c.preserve_fds > RUNTIME_PRESERVE_MAX)
        return err_new(ERR_USAGE, "%d descriptors to pass on, at most %d can be", cr->c.preserve_fds,
                       RUNTIME_PRESERVE_MAX);
    TRY(runtime_resources_apply(json_get(cr->in.linux_, "resources"), cr->c.cgroup));
    TRY(plan_namespaces(cr));
    TRY(mount_ids_plan(cr->c.config, cr->c.map || joined(&cr->c) & CLONE_NEWUSER, &cr->ids));
    TRY(fd_socketpair(SOCK_SEQPACKET, pair));
    p.sync_fd = pair[0];
    cr->theirs = pair[1];
    plan_init(cr);
    struct err *e = plan_served(cr, &p);
    if (!e)
        e = make_process(cr, &p.pid, &p.pidfd);
    fd_close(cr->theirs);
    for (int i = 0; i < cr->n_alive; i++)
        fd_close(cr->alive[i]);
    if (!e && cr->c.cgroup)
        e = runtime_cgroup_join_v1(cr->c.cgroup, p.pid);
    if (!e && cr->c.meanwhile)
        e = cr->c.meanwhile(cr->c.ctx, p.pid);
    if (!e)
        e = wait_ready(cr, &p);
    if (e) {
        runtime_proc_done(&p);
        return e;
    }
    *ret = p;
    return NULL;
}

struct err *runtime_create(const struct runtime_create *c, struct runtime_proc *ret) {
    struct create cr = {.c = *c, .in = {.linux_ = json_get(c->config, "linux")}};
    struct err *e = create(&cr, ret);
    for (size_t i = 0; i < cr.n_opened; i++)
        fd_close(cr.opened[i]);
    mount_ids_done(&cr.ids);
    return e;
}

/* Up to its execve. */
static struct err *hear_start(const struct runtime_proc *p) {
    struct sync_msg m;
    TRY(sync_recv(p->sync_fd, &m));
    if (m.type == SYNC_SECCOMP) {
        autofd int listener = m.fd;
        const struct hook_state st = {p->config, p->id, p->bundle, "created", p->pid};
        TRY(listener_tell(&st, listener));
        fd_replace(&listener, -1);
        TRY(sync_recv(p->sync_fd, &m));
    }
    return m.type == SYNC_ERROR ? m.e : NULL;
}

/* It may have failed since it said that it was ready: then what it said comes first. */
struct err *runtime_start(struct runtime_proc *p) {
    struct err *unsent = sync_send(p->sync_fd, SYNC_GO, 0, -1);
    struct err *e = hear_start(p);
    if (!e)
        e = take_ptr(&unsent);
    err_free(unsent);
    if (e) {
        runtime_proc_done(p);
        return e;
    }
    fd_replace(&p->sync_fd, -1);
    return NULL;
}

/* From here on the container's process waits for whoever connects to its listener. */
struct err *runtime_detach(struct runtime_proc *p) {
    TRY(sync_send(p->sync_fd, SYNC_GO, 0, -1));
    fd_replace(&p->sync_fd, -1);
    return NULL;
}

void runtime_proc_done(struct runtime_proc *p) {
    if (p->pidfd >= 0)
        (void)sys_pidfd_send_signal(p->pidfd, SIGKILL);
    if (p->pid > 0)
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    fd_replace(&p->pidfd, -1);
    fd_replace(&p->sync_fd, -1);
    fd_replace(&p->console, -1);
    for (; p->n_served; p->n_served--)
        fd_close(p->served[p->n_served - 1]);
    p->pid = -1;
}
