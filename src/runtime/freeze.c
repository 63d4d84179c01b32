/*
 * freeze: pausing a container. The kernel's freezers hold every process of a cgroup and nobody in it can tell. Without
 * one each process gets SIGSTOP, over and over until a look at all of them finds none that runs: what stands cannot
 * fork, so that comes to an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { FREEZE_TIMEOUT_MS = 2000, LOOK_AGAIN_MS = 1, LOOKS = 2000, ROUNDS = 200, NESTED_MAX = 32 };

/* ---- freezers ---- */

static struct err *not_frozen(void) {
    return err_new(ERR_TIMEOUT, "its processes could not be frozen within %d seconds", FREEZE_TIMEOUT_MS / 1000);
}

static struct err *freeze_v2(int dir) {
    autofd int events = -1;
    char text[256];
    TRY(fd_open_at(dir, "cgroup.events", O_RDONLY, 0, &events));
    TRY(cgroup_write(dir, "cgroup.freeze", "1"));
    for (;;) {
        ssize_t n = pread(events, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        if (strstr(text, "frozen 1"))
            return NULL;
        struct pollfd p = {.fd = events, .events = POLLPRI};
        if (n <= 0 || poll(&p, 1, FREEZE_TIMEOUT_MS) <= 0)
            return not_frozen();
    }
}

/* Version 1 tells nobody when it is done, and a process that was forked meanwhile needs the word again. */
static struct err *freeze_v1(int dir) {
    for (int i = 0; i < LOOKS; i++) {
        autostr struct str state = STR_INIT;
        TRY(cgroup_write(dir, "freezer.state", "FROZEN"));
        if (cgroup_read(dir, "freezer.state", &state) && str_starts(str_c(&state), "FROZEN"))
            return NULL;
        (void)poll(NULL, 0, LOOK_AGAIN_MS);
    }
    return not_frozen();
}

/* ---- signals ---- */

/* Whether a process lives in the pid namespace `wanted` or in one below it. */
static bool in_pid_namespace(int proc, const char *pid, const struct stat *wanted) {
    struct stat st;
    autofree char *path = mem_printf("%s/ns/pid", pid);
    autofd int ns = openat(proc, path, O_RDONLY | O_CLOEXEC);
    for (int i = 0; ns >= 0 && i < NESTED_MAX && fstat(ns, &st) == 0; i++) {
        if (st.st_dev == wanted->st_dev && st.st_ino == wanted->st_ino)
            return true;
        fd_replace(&ns, sys_ns_parent(ns));
    }
    return false;
}

/* The letter of /proc/PID/stat, 0 when there is no such process. */
static char state_of(int proc, const char *pid) {
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("%s/stat", pid);
    const char *name = cgroup_read(proc, path, &text) ? strrchr(str_c(&text), ')') : NULL;
    return name && name[1] == ' ' ? name[2] : '\0';
}

struct round {
    int proc;
    const struct stat *ns;
    struct runtime_stopped *s;
    int signo;
    bool first; /* of a freeze: who stands already has been stopped by somebody else */
    size_t running;
};

static bool was_stopped(const struct runtime_stopped *s, pid_t pid) {
    for (size_t i = 0; i < s->n; i++)
        if (s->pids[i] == pid)
            return true;
    return false;
}

static void remember(struct runtime_stopped *s, pid_t pid) {
    s->pids = mem_resize(s->pids, s->n + 1, sizeof *s->pids);
    s->pids[s->n++] = pid;
}

static struct err *signal_one(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct round *r = ctx;
    int64_t pid;
    if (!str_to_i64(name, 1, INT32_MAX, &pid) || !in_pid_namespace(r->proc, name, r->ns))
        return NULL;
    autofd int pidfd = sys_pidfd_open((pid_t)pid);
    if (pidfd < 0 || !in_pid_namespace(r->proc, name, r->ns)) /* its number may have become another's */
        return NULL;
    char state = state_of(r->proc, name);
    bool stands = state == 'T' || state == 't', dead = state == 'Z' || state == 'X' || !state;
    if (r->signo == SIGSTOP && stands && r->first)
        remember(r->s, (pid_t)pid);
    if (dead || (r->signo == SIGSTOP && stands) || (r->signo == SIGCONT && was_stopped(r->s, (pid_t)pid)))
        return NULL;
    r->running++;
    (void)sys_pidfd_send_signal(pidfd, r->signo);
    return NULL;
}

/* Whether the process is the first of its pid namespace: the last number of its NSpid line is 1. */
static bool is_first(int proc, pid_t init) {
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("%d/status", (int)init);
    const char *line = cgroup_read(proc, path, &text) ? strstr(str_c(&text), "\nNSpid:") : NULL;
    const char *last = line ? memrchr(line, '\t', strcspn(line + 1, "\n") + 1) : NULL;
    return last && str_starts(last, "\t1\n");
}

/* Signals each process; *ret_running (may be NULL) counts those that did not stand. */
static struct err *signal_all(pid_t init, struct runtime_stopped *s, int signo, bool first, size_t *ret_running) {
    struct stat ns;
    autofd int proc = -1;
    autofree char *path = mem_printf("%d/ns/pid", (int)init);
    TRY(fd_open_dir(AT_FDCWD, "/proc", &proc));
    if (fstatat(proc, path, &ns, 0) < 0)
        return err_sys(errno, "look at the container's pid namespace");
    if (!is_first(proc, init))
        return err_hint(err_new(ERR_UNSUPPORTED, "it has neither a cgroup nor a pid namespace of its own, so that its "
                                                 "processes cannot be told from others"),
                        "start it without --pid, or in a login session that has cgroups (docs/limits.md)");
    struct round r = {.proc = proc, .ns = &ns, .s = s, .signo = signo, .first = first};
    TRY(io_each_entry(proc, signal_one, &r));
    if (ret_running)
        *ret_running = r.running;
    return NULL;
}

static struct err *freeze_by_signal(pid_t init, struct runtime_stopped *s) {
    size_t running = 1;
    for (int i = 0; i < ROUNDS && running; i++) {
        TRY(signal_all(init, s, SIGSTOP, i == 0, &running));
        if (running) /* the last of them may be on its way to a standstill, and nobody would tell us */
            (void)poll(NULL, 0, LOOK_AGAIN_MS);
    }
    return running ? not_frozen() : NULL;
}

static void forget(struct runtime_stopped *s) {
    free(s->pids);
    *s = (struct runtime_stopped){.n = 0};
}

/* ---- both ---- */

struct err *runtime_freeze(const struct runtime_cgroup *g, pid_t init, struct runtime_stopped *s) {
    bool v1;
    int dir = runtime_cgroup_dir(g, RUNTIME_FREEZER, &v1);
    struct err *e = dir < 0 ? freeze_by_signal(init, s) : v1 ? freeze_v1(dir) : freeze_v2(dir);
    if (e)
        err_free(runtime_thaw(g, init, s));
    return e;
}

struct err *runtime_thaw(const struct runtime_cgroup *g, pid_t init, struct runtime_stopped *s) {
    bool v1;
    int dir = runtime_cgroup_dir(g, RUNTIME_FREEZER, &v1);
    if (dir >= 0)
        return v1 ? cgroup_write(dir, "freezer.state", "THAWED") : cgroup_write(dir, "cgroup.freeze", "0");
    struct err *e = signal_all(init, s, SIGCONT, false, NULL);
    forget(s);
    return e;
}
