/*
 * proc_spawn: one clone and one exec; the parent waits in the kernel until the exec, so the child may work in the
 * parent's memory and nothing is copied. What fails in the child before or in the exec comes back over a close-on-exec
 * pipe; EOF on it means that the program runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"

enum { SPAWN_FDS_MAX = ARRAY_LEN(((struct proc_spawn *)NULL)->fds), BORROWED_STACK = 256 << 10 };

enum spawn_stage { STAGE_FDS, STAGE_PARENT, STAGE_EXEC };

struct spawn_report {
    int errnum;
    enum spawn_stage stage;
};

struct spawn_child {
    const struct proc_spawn *p;
    int null_fd, report_fd;
    pid_t parent;
};

static _Noreturn void child_fail(const struct spawn_child *c, enum spawn_stage stage) {
    const struct spawn_report r = {.errnum = errno, .stage = stage};
    ssize_t n = write(c->report_fd, &r, sizeof r);
    (void)n;
    _exit(127);
}

/* Everything to its place. Sources go above all targets first, so that no target overwrites one still needed. */
static int child_place_fds(struct spawn_child *c) {
    int from[3 + SPAWN_FDS_MAX], to[3 + SPAWN_FDS_MAX + 1], high = 3;
    size_t n = 0;
    for (int i = 0; i < 3; i++, n++) {
        from[n] = c->p->stdio[i] >= 0 ? c->p->stdio[i] : c->null_fd;
        to[n] = i;
    }
    for (size_t i = 0; i < c->p->n_fds; i++, n++) {
        from[n] = c->p->fds[i].from;
        to[n] = c->p->fds[i].to;
        high = to[n] >= high ? to[n] + 1 : high;
    }
    c->report_fd = fcntl(c->report_fd, F_DUPFD_CLOEXEC, high);
    if (c->report_fd < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if ((from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, high)) < 0)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (dup2(from[i], to[i]) < 0)
            return -1;
    to[n] = c->report_fd;
    fd_close_all_but(to, n + 1);
    return 0;
}

/* Runs in the parent's memory, on a stack of its own: what it changes, the parent sees. */
static int child_run(void *ctx) {
    static char *const empty[] = {NULL};
    struct spawn_child *c = ctx;
    int report = c->report_fd;
    sys_signals_reset(); /* handled ones are at their default after exec by themselves; ignored ones would stay */
    if (c->p->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != c->parent))
        child_fail(c, STAGE_PARENT);
    if (child_place_fds(c) < 0) {
        c->report_fd = c->report_fd < 0 ? report : c->report_fd;
        child_fail(c, STAGE_FDS);
    }
    execve(c->p->path, c->p->argv, c->p->envp ? c->p->envp : empty);
    child_fail(c, STAGE_EXEC);
}

pid_t proc_borrow(int (*fn)(void *ctx), void *ctx, int flags, int *ret_pidfd) {
    _Alignas(16) char stack[BORROWED_STACK];
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old); /* no handler of ours runs in the child */
    flags |= CLONE_VFORK | SIGCHLD | (ret_pidfd ? CLONE_PIDFD : 0);
    pid_t pid = clone(fn, stack + sizeof stack, flags, ctx, ret_pidfd);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return pid;
}

static struct err *spawn_error(const struct proc_spawn *p, const struct spawn_report *r) {
    switch (r->stage) {
    case STAGE_FDS:
        return err_sys(r->errnum, "pass descriptors to %s", p->path);
    case STAGE_PARENT:
        return err_sys(r->errnum, "tie %s to its parent", p->path);
    case STAGE_EXEC:
        break;
    }
    return err_sys(r->errnum, "execute %s", p->path);
}

struct err *proc_spawn(const struct proc_spawn *p, pid_t *ret_pid, int *ret_pidfd) {
    if (p->n_fds > SPAWN_FDS_MAX)
        return err_new(ERR_UNSUPPORTED, "too many descriptors for %s", p->path);
    autofd int null_fd = -1, pidfd = -1, report_read = -1, report_write = -1;
    int pipe_fds[2];
    TRY(fd_open_at(AT_FDCWD, "/dev/null", O_RDWR, 0, &null_fd));
    TRY(fd_pipe(0, pipe_fds));
    report_read = pipe_fds[0];
    report_write = pipe_fds[1];
    struct spawn_child child = {.p = p, .null_fd = null_fd, .report_fd = report_write, .parent = getpid()};
    pid_t pid = proc_borrow(child_run, &child, SYS_BORROWED_VM, &pidfd);
    if (pid < 0)
        return err_sys(errno, "start %s", p->path);
    fd_replace(&report_write, -1);
    struct spawn_report r;
    ssize_t n;
    do
        n = read(report_read, &r, sizeof r);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof r) {
        waitpid(pid, NULL, 0);
        return spawn_error(p, &r);
    }
    *ret_pid = pid;
    *ret_pidfd = take_fd(&pidfd);
    return NULL;
}
