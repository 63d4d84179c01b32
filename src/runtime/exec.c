/*
 * exec: one more process in a running container. The caller is the plain user's command; a middle process joins the
 * target's namespaces by its pidfd, all in one call, and makes the real process as the caller's own child
 * (CLONE_PARENT). Neither is dumpable, and neither holds a descriptor of the host beyond what the program is given,
 * before it is inside.
 *
 * The middle process has nothing of its own to remember, so it works in the caller's memory, which is not dumpable
 * either meanwhile. The real one has a copy: it ends whenever its container does.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

struct exec {
    const struct runtime_exec *x;
    struct launch l;
    int middle;                   /* the middle process's socket */
    struct runtime_cgroup cgroup; /* the container's, or none */
};

/* Those that the config does not name are the host's, and there is nothing to join. */
static int namespaces_of(const struct json *config) {
    uint64_t flags = CLONE_NEWNS;
    JSON_EACH(it, json_path(config, "linux.namespaces"))
    flags |= namespace_flag(json_str_value(json_get(it, "type")));
    return (int)(flags & ~(uint64_t)CLONE_NEWUSER);
}

/* A container that has its own in its config may run on the host's network all the same, for want of one. */
static bool on_host_network(const struct exec *ex) {
    struct stat theirs, ours;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)ex->x->target);
    return stat(path, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 && theirs.st_ino == ours.st_ino &&
           theirs.st_dev == ours.st_dev;
}

static struct err *join(const struct exec *ex) {
    int flags = namespaces_of(ex->x->config);
    if (setns(ex->x->target_pidfd, flags | CLONE_NEWUSER) == 0)
        return NULL;
    if (errno == EPERM && on_host_network(ex) &&
        setns(ex->x->target_pidfd, (flags & ~CLONE_NEWNET) | CLONE_NEWUSER) == 0)
        return NULL;
    if (errno == EINVAL && setns(ex->x->target_pidfd, flags) == 0) /* we are in its user namespace already */
        return NULL;
    if (errno == ESRCH)
        return err_new(ERR_CONFLICT, "the container is not running");
    return err_sys(errno, "join the container's namespaces");
}

/* ---- the program's process ---- */

static struct err *become_program(struct exec *ex) {
    struct launch *l = &ex->l;
    if (l->tied && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_sys(errno, "set the parent-death signal");
    (void)setsid();
    TRY(launch_prepare(l));
    if (l->terminal)
        TRY(tty_open(-1, l->rows, l->cols, &l->master, &l->slave));
    TRY(launch_settle(l));
    if (l->terminal)
        TRY(sync_send(l->sync, SYNC_READY, 0, l->master));
    fd_replace(&l->master, -1);
    TRY(walls_raise(l));
    return launch_exec(l);
}

/* What served to get here must not be found by a path of the container (a link to /proc/self/fd/N/.. as a program). */
static void program_main(struct exec *ex) {
    const int keep[] = {ex->l.stdio[0], ex->l.stdio[1], ex->l.stdio[2], ex->l.sync};
    fd_close_all_but(keep, ARRAY_LEN(keep));
    struct err *e = become_program(ex);
    sync_send_err(ex->l.sync, e);
    _exit(1);
}

/* ---- the middle process ---- */

static pid_t clone_program(struct exec *ex, int *ret_pidfd) {
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT, .pidfd = (uint64_t)(uintptr_t)ret_pidfd};
    pid_t pid = -1;
    if (ex->cgroup.v2 >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (__u64)ex->cgroup.v2;
        pid = sys_clone3(&args);
        args.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
        args.cgroup = 0;
        if (pid < 0 && json_count(json_path(ex->x->config, "linux.resources"))) /* never without the limits */
            return -1;
    }
    if (pid < 0)
        pid = sys_clone3(&args);
    if (pid == 0)
        program_main(ex);
    return pid;
}

static struct err *middle_work(struct exec *ex) {
    const int keep[] = {ex->x->stdio[0], ex->x->stdio[1], ex->x->stdio[2],    ex->l.sync,
                        ex->middle,      ex->cgroup.v2,   ex->x->target_pidfd};
    autofd int pidfd = -1;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(errno, "prctl");
    TRY(runtime_cgroup_join_v1(&ex->cgroup, 0)); /* the command inherits it */
    fd_close_all_but(keep, ARRAY_LEN(keep));
    TRY(join(ex));
    if ((setgroups(0, NULL) < 0 && errno != EPERM) || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "become root of the container");
    pid_t pid = clone_program(ex, &pidfd);
    if (pid < 0 && errno == EACCES)
        return err_hint(err_sys(errno, "enter the container's cgroup"),
                        "it was started in another login session, whose cgroups this one may not enter");
    if (pid < 0)
        return err_sys(errno, "fork in the container");
    return sync_send(ex->middle, SYNC_PID, pid, pidfd);
}

static int middle_main(void *ctx) {
    struct exec *ex = ctx;
    struct err *e = middle_work(ex);
    if (e)
        sync_send_err(ex->middle, e);
    _exit(e != NULL);
}

static struct err *run_middle(struct exec *ex, struct runtime_proc *p) {
    int pair[2];
    struct sync_msg m;
    TRY(fd_socketpair(SOCK_SEQPACKET, pair));
    autofd int ours = pair[0];
    ex->middle = pair[1];
    int dumpable = prctl(PR_GET_DUMPABLE);
    pid_t pid = proc_borrow(middle_main, ex, SYS_BORROWED_VM, NULL);
    int saved = errno;
    if (dumpable == 1)
        (void)prctl(PR_SET_DUMPABLE, 1);
    fd_replace(&ex->middle, -1);
    if (pid < 0)
        return err_sys(saved, "fork");
    struct err *e = sync_recv(ours, &m);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (e)
        return e;
    if (m.type == SYNC_ERROR)
        return m.e;
    if (m.type != SYNC_PID || m.fd < 0)
        return err_new(ERR_SYSTEM, "the process that joins the container died");
    p->pid = m.pid;
    p->pidfd = m.fd;
    return NULL;
}

/* ---- the caller ---- */

/* A terminal's master comes first; end of file is execve. */
static struct err *wait_exec(struct runtime_proc *p) {
    struct sync_msg m;
    TRY(sync_recv(p->sync_fd, &m));
    if (m.type == SYNC_READY) {
        p->console = m.fd;
        TRY(sync_recv(p->sync_fd, &m));
    }
    if (m.type == SYNC_ERROR)
        return m.e;
    fd_replace(&p->sync_fd, -1);
    return NULL;
}

struct err *runtime_exec(const struct runtime_exec *x, struct runtime_proc *ret) {
    struct runtime_proc p = {.pid = -1, .pidfd = -1, .sync_fd = -1, .console = -1};
    struct exec ex = {.x = x, .middle = -1};
    int pair[2];
    TRY(fd_socketpair(SOCK_SEQPACKET, pair));
    runtime_cgroup_open(x->target, &ex.cgroup);
    p.sync_fd = pair[0];
    ex.l = (struct launch){.config = x->config,
                           .process = x->process,
                           .privileged = x->privileged,
                           .terminal = x->terminal,
                           .tied = !x->detach,
                           .rows = x->rows,
                           .cols = x->cols,
                           .stdio = {x->stdio[0], x->stdio[1], x->stdio[2]},
                           .sync = pair[1],
                           .exe = -1,
                           .master = -1,
                           .slave = -1};
    struct err *e = run_middle(&ex, &p);
    runtime_cgroup_done(&ex.cgroup);
    fd_close(pair[1]);
    if (!e)
        e = wait_exec(&p);
    if (e) {
        runtime_proc_done(&p);
        return e;
    }
    *ret = p;
    return NULL;
}
