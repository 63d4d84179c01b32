/*
 * exec: one more process in a running container. The caller is the plain user's command; a middle process joins the
 * target's namespaces by its pidfd, all in one call, and makes the real process as the caller's own child
 * (CLONE_PARENT). Neither is dumpable, and neither holds a descriptor of the host beyond what the program is given,
 * before it is inside.
 *
 * Both work in the caller's memory, which is not dumpable either meanwhile, one after the other: the caller waits for
 * the middle process, that for the execve of the program. Copies would cost more than all the rest. Two things follow:
 *
 *   - what looks files up, parses and allocates is done by the middle process, whose pid the container's namespace does
 *     not have; between the clone of the program's process, which container root may kill at any moment, and its execve
 *     the heap is not changed but to report a failure;
 *   - a change of ids resets the dumpable flag to fs.suid_dumpable: where an administrator has set that to 1 the
 *     processes get copies. So they do where a limit of memory could end one, and the caller with it, and in a monitor,
 *     which must not break; and so does a program that starts in a cgroup of its own, as only clone3 can do that.
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
#include "base/idmap.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { MIDDLE_STACK = 256 << 10, PROGRAM_STACK = 128 << 10 };

struct exec {
    const struct runtime_exec *x;
    struct launch l;
    struct runtime_cgroup cgroup; /* the container's, or none */
    int borrow;                   /* SYS_BORROWED_VM, or 0: copies */
    bool listener;                /* calls of the program are answered by somebody whom the caller has to tell first */
    _Alignas(16) char middle_stack[MIDDLE_STACK];
    _Alignas(16) char program_stack[PROGRAM_STACK];
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

/*
 * The cgroup namespace comes last where the program is to be born in the container's cgroup: who is in that namespace
 * and not in that cgroup may not enter it, as the hierarchy of systemd's machines is mounted (nsdelegate).
 */
static int late_namespaces(const struct exec *ex) {
    return ex->cgroup.v2 >= 0 ? namespaces_of(ex->x->config) & CLONE_NEWCGROUP : 0;
}

static struct err *join(const struct exec *ex) {
    int flags = namespaces_of(ex->x->config) & ~late_namespaces(ex);
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

static struct err *become_program(struct launch *l) {
    if (l->tied && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_sys(errno, "set the parent-death signal");
    (void)setsid();
    TRY(walls_raise(l));
    return launch_exec(l);
}

/* What served to get here must not be found by a path of the container (a link to /proc/self/fd/N/.. as a program). */
static int program_main(void *ctx) {
    struct exec *ex = ctx;
    struct launch *l = &ex->l;
    const int keep[] = {l->stdio[0], l->stdio[1], l->stdio[2], l->sync, l->slave};
    int late = late_namespaces(ex);
    bool joined = !late || setns(ex->x->target_pidfd, late) == 0;
    struct err *e = joined ? NULL : err_sys(errno, "join the container's cgroup namespace");
    fd_close_all_but(keep, ARRAY_LEN(keep));
    if (!e)
        e = become_program(l);
    sync_send_err(l->sync, e);
    err_free(e);
    _exit(1);
}

/* ---- the middle process ---- */

/* Everybody waits for the program's execve, but where that may need the caller's help. */
static int waiting(const struct exec *ex) { return ex->listener ? 0 : CLONE_VFORK; }

static pid_t clone_program(struct exec *ex) {
    const int v2 = ex->cgroup.v2;
    struct clone_args args = {.flags = (__u64)(CLONE_PARENT | waiting(ex)) | CLONE_INTO_CGROUP, .cgroup = (__u64)v2};
    pid_t pid = v2 >= 0 ? sys_clone3(&args) : -1;
    if (pid == 0)
        program_main(ex);
    if (pid > 0 || (v2 >= 0 && json_count(json_path(ex->x->config, "linux.resources")))) /* never without the limits */
        return pid;
    return clone(program_main, ex->program_stack + PROGRAM_STACK, CLONE_PARENT | waiting(ex) | ex->borrow | SIGCHLD,
                 ex);
}

/* To root of a container with ids of its own our pipes would belong to nobody. Who can change that is root of the
 * namespace above, on the way through which nothing else happens. */
static struct err *give_pipes(const struct exec *ex) {
    struct id_map m;
    bool mapped;
    autofd int above = -1;
    TRY(idmap_from_json(json_get(ex->x->config, "linux"), &m, &mapped));
    if (!mapped)
        return NULL;
    TRY(runtime_userns_shared_by(ex->x->target, &above));
    if (setns(above, CLONE_NEWUSER) < 0 && errno != EINVAL) /* EINVAL: a monitor is in it */
        return err_sys(errno, "enter the user namespace");
    nested_give(ex->l.stdio, &m);
    return NULL;
}

static struct err *enter(struct exec *ex) {
    const struct launch *l = &ex->l;
    const int keep[] = {l->stdio[0], l->stdio[1], l->stdio[2], l->sync, ex->cgroup.v2, ex->x->target_pidfd};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(errno, "prctl");
    TRY(runtime_cgroup_join_v1(&ex->cgroup, 0)); /* the command inherits it */
    fd_close_all_but(keep, ARRAY_LEN(keep));
    TRY(give_pipes(ex));
    TRY(join(ex));
    if ((setgroups(0, NULL) < 0 && errno != EPERM) || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "become root of the container");
    return NULL;
}

/* All that the program's process can do without; returns when that has executed its program, or has ended, or is left
 * to the caller. */
static struct err *middle_work(struct exec *ex) {
    struct launch *l = &ex->l;
    TRY(enter(ex));
    TRY(launch_prepare(l));
    if (l->terminal) {
        TRY(tty_open(-1, l->rows, l->cols, &l->master, &l->slave));
        TRY(sync_send(l->sync, SYNC_READY, 0, l->master));
    }
    TRY(launch_settle(l));
    pid_t pid = clone_program(ex);
    if (pid < 0 && errno == EACCES)
        return err_hint(err_sys(errno, "enter the container's cgroup"),
                        "it was started in another login session, whose cgroups this one may not enter");
    if (pid < 0)
        return err_sys(errno, "fork in the container");
    return sync_send(l->sync, SYNC_PID, pid, -1);
}

/* A signal for the user's job must not end one of us half-way; the caller, who waits, it does. */
static int middle_main(void *ctx) {
    struct exec *ex = ctx;
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    struct err *e = middle_work(ex);
    if (e)
        sync_send_err(ex->l.sync, e);
    err_free(e); /* it may be the caller's heap */
    _exit(0);
}

/*
 * Whether the caller's memory may be worked in. Not where what the middle process enters has a limit of memory (whose
 * end would be the caller's, too), or a time of its own (which is a page of the memory), and where a change of ids
 * would open it to others.
 */
static bool may_borrow(const struct exec *ex) {
    if (ex->x->tied || ex->listener || ex->cgroup.v1[RUNTIME_MEMORY] >= 0 ||
        (namespaces_of(ex->x->config) & CLONE_NEWTIME))
        return false;
    char dumpable = '1';
    autofd int fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &dumpable, 1) == 1 && dumpable != '1';
}

static struct err *run_middle(struct exec *ex) {
    ex->borrow = may_borrow(ex) ? SYS_BORROWED_VM : 0;
    pid_t pid = clone(middle_main, ex->middle_stack + MIDDLE_STACK, waiting(ex) | ex->borrow | SIGCHLD, ex);
    if (pid < 0)
        return err_sys(errno, "fork");
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return NULL;
}

/* ---- the caller ---- */

/* When both are known: the process's listener, and its number. */
static struct err *tell(const struct exec *ex, pid_t pid, int *listener) {
    const struct runtime_exec *x = ex->x;
    const struct hook_state st = {x->config, x->id ? x->id : "", x->bundle, "running", pid};
    if (*listener < 0 || pid < 0)
        return NULL;
    struct err *e = listener_tell(&st, *listener);
    fd_replace(listener, -1);
    if (e)
        (void)kill(pid, SIGKILL); /* ours, and not reaped */
    return e;
}

/*
 * Everything has been said by now: a terminal's master, what went wrong, the pid; in this order. Where there is a
 * listener it is being said, in any order, up to the execve.
 */
static struct err *hear(const struct exec *ex, int sock, struct runtime_proc *p) {
    autoerr failed = NULL;
    autofd int listener = -1;
    struct sync_msg m;
    do {
        TRY(sync_recv(sock, &m));
        if (m.type == SYNC_READY)
            p->console = m.fd;
        else if (m.type == SYNC_SECCOMP)
            fd_replace(&listener, m.fd);
        else if (m.type == SYNC_PID)
            p->pid = m.pid;
        else if (m.type == SYNC_ERROR && !failed)
            failed = m.e;
        if (!failed)
            failed = tell(ex, p->pid, &listener);
    } while (m.type != SYNC_EOF && (m.type != SYNC_PID || ex->listener));
    if (failed)
        return take_ptr(&failed);
    if (p->pid < 0)
        return err_new(ERR_SYSTEM, "the process that joins the container died");
    p->pidfd = sys_pidfd_open(p->pid);
    if (p->pidfd >= 0)
        return NULL;
    failed = err_sys(errno, "watch the process");
    (void)kill(p->pid, SIGKILL); /* ours, and not reaped: the number is its own */
    return take_ptr(&failed);
}

/*
 * Until nobody else works in our memory. vfork is over a moment before the kernel gives the program memory of its own,
 * and in that moment the process would show ours to its container. What was opened to be closed by exec is closed
 * later.
 */
static void wait_for_exec(int sock) {
    char any;
    ssize_t n;
    do
        n = recv(sock, &any, 1, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
}

static struct err *run(struct exec *ex, struct runtime_proc *p) {
    int pair[2], dumpable = prctl(PR_GET_DUMPABLE);
    TRY(fd_socketpair(SOCK_SEQPACKET, pair));
    autofd int ours = pair[0];
    ex->l.sync = pair[1];
    struct err *e = run_middle(ex);
    fd_close(pair[1]);
    if (!e)
        e = hear(ex, ours, p);
    wait_for_exec(ours);
    if (dumpable == 1)
        (void)prctl(PR_SET_DUMPABLE, 1);
    return e;
}

struct err *runtime_exec(const struct runtime_exec *x, struct runtime_proc *ret) {
    struct runtime_proc p = {.pid = -1, .pidfd = -1, .sync_fd = -1, .console = -1};
    struct exec ex;
    runtime_cgroup_open(x->target, &ex.cgroup);
    if (ex.cgroup.v2 >= 0 && json_count(json_path(x->config, "linux.resources")))
        scope_enter(x->target);
    ex.x = x;
    ex.listener = !x->privileged && listener_named(x->config);
    ex.l = (struct launch){.config = x->config,
                           .process = x->process,
                           .privileged = x->privileged,
                           .terminal = x->terminal,
                           .tied = x->tied,
                           .rows = x->rows,
                           .cols = x->cols,
                           .stdio = {x->stdio[0], x->stdio[1], x->stdio[2]},
                           .sync = -1,
                           .exe = -1,
                           .master = -1,
                           .slave = -1};
    if (runtime_cgroup_dir(&ex.cgroup, RUNTIME_CPUSET, NULL) < 0)
        ex.l.cpus = json_str_value(json_path(x->config, "linux.resources.cpu.cpus"));
    struct err *e = run(&ex, &p);
    launch_done(&ex.l);
    runtime_cgroup_done(&ex.cgroup);
    if (e) {
        runtime_proc_done(&p);
        return e;
    }
    *ret = p;
    return NULL;
}
