/*
 * freeze: pausing a container. The kernel's freezers hold every process of a cgroup and nobody in it can tell. Without
 * one each process gets SIGSTOP, over and over until a look at all of them finds none that runs: what stands cannot
 * fork, so that comes to an end. But for who waits in vfork(2) for a child that stands: now and then those that stand
 * go on for a bit.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

/* Who stands still has to run for it. A busy machine gives nobody a processor for seconds at times, so only who waits
 * for a device or for another machine is not done by then. */
enum { FREEZE_TIMEOUT_MS = 5000, LOOK_AGAIN_MS = 1, NUDGE_EVERY = 200, NUDGE_MS = 10 };

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
    int64_t end = clock_boot() + FREEZE_TIMEOUT_MS * NSEC_PER_MSEC;
    do {
        autostr struct str state = STR_INIT;
        TRY(cgroup_write(dir, "freezer.state", "FROZEN"));
        if (cgroup_read(dir, "freezer.state", &state) && str_starts(str_c(&state), "FROZEN"))
            return NULL;
        (void)poll(NULL, 0, LOOK_AGAIN_MS);
    } while (clock_boot() < end);
    return not_frozen();
}

/* ---- signals ---- */

/* The letter of /proc/PID/stat, 0 when there is no such process. */
static char state_of(const struct member *m) {
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("%s/stat", m->name);
    const char *name = cgroup_read(m->proc, path, &text) ? strrchr(str_c(&text), ')') : NULL;
    return name && name[1] == ' ' ? name[2] : '\0';
}

struct round {
    struct runtime_stopped *s;
    int signo;
    bool first; /* of a freeze: who stands already has been stopped by somebody else */
    bool nudge; /* only those that stand go on: what others have been sent waits for them */
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

static struct err *signal_one(void *ctx, const struct member *m) {
    struct round *r = ctx;
    char state = state_of(m);
    bool stands = state == 'T' || state == 't', dead = state == 'Z' || state == 'X' || !state;
    if (r->signo == SIGSTOP && stands && r->first)
        remember(r->s, m->pid);
    if (dead || (r->signo == SIGSTOP && stands) || (r->signo == SIGCONT && was_stopped(r->s, m->pid)))
        return NULL;
    r->running++;
    if (r->nudge && !stands)
        return NULL;
    if (m->pidfd >= 0)
        (void)sys_pidfd_send_signal(m->pidfd, r->signo);
    return NULL;
}

/* Signals each process; *ret_running (may be NULL) counts those that did not stand. */
static struct err *signal_all(pid_t init, struct runtime_stopped *s, int signo, bool first, size_t *ret_running) {
    struct round r = {.s = s, .signo = signo, .first = first};
    TRY(members_each(init, signal_one, &r));
    if (ret_running)
        *ret_running = r.running;
    return NULL;
}

static struct err *nudge_all(pid_t init, struct runtime_stopped *s) {
    struct round r = {.s = s, .signo = SIGCONT, .nudge = true};
    return members_each(init, signal_one, &r);
}

static struct err *freeze_by_signal(pid_t init, struct runtime_stopped *s) {
    int64_t end = clock_boot() + FREEZE_TIMEOUT_MS * NSEC_PER_MSEC;
    size_t running;
    TRY(signal_all(init, s, SIGSTOP, true, &running));
    for (int i = 1; running && clock_boot() < end; i++) {
        bool nudge = i % NUDGE_EVERY == 0;
        if (nudge)
            TRY(nudge_all(init, s));
        /* some may be on their way to a standstill, and nobody would tell us */
        (void)poll(NULL, 0, nudge ? NUDGE_MS : LOOK_AGAIN_MS);
        TRY(signal_all(init, s, SIGSTOP, false, &running));
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
