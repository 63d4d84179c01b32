/*
 * stop: signals to PID 1. The kernel drops a signal to the init of a pid namespace that has no handler
 * for it, even when it comes from outside (SIGKILL and SIGSTOP apart). Waiting ten seconds for a process that cannot
 * have heard is what makes `stop` slow elsewhere; here such a process is killed at once. A blocked signal counts as
 * received: it may be read by sigwait or a signalfd.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "monitor/monitor_int.h"
#include "spec/spec.h"

enum { DEFAULT_TIMEOUT = 10 };
#define SECOND_LOOK (20 * NSEC_PER_MSEC)

void stop_signal(struct mon *o, int signo) {
    if (signo > 0 && signo <= 64 && o->proc.pidfd >= 0 && sys_pidfd_send_signal(o->proc.pidfd, signo) == 0)
        mon_tell_kill(o, signo);
    if (signo == SIGKILL)
        pause_over(o);
}

/* The value of a line "Name:\t…" of /proc/PID/status, borrowed; NULL when it is not there. */
static const char *status_value(const char *status, const char *name) {
    const char *p = strstr(status, name);
    return p ? p + strlen(name) : NULL;
}

static uint64_t status_mask(const char *status, const char *name) {
    const char *p = status_value(status, name);
    return p ? strtoull(p, NULL, 16) : 0;
}

/* Whether the process is PID 1 of a namespace below ours: its NSpid line has several numbers, the last of them 1. */
static bool is_namespace_init(const char *status) {
    const char *p = status_value(status, "\nNSpid:");
    if (!p)
        return false;
    size_t n = strcspn(p, "\n");
    const char *last = memrchr(p, '\t', n);
    return last && last > p && last + 2 == p + n && last[1] == '1';
}

enum hearing {
    DEAF,    /* the kernel drops the signal */
    MUFFLED, /* blocked just now: for sigwait and signalfd, or only for the moment of a fork */
    HEARS
};

/* How the container's first process takes a signal. Unreaped children keep their pid, so it is the right one. */
static enum hearing hearing(const struct mon *o, int signo) {
    char path[32];
    autostr struct str s = STR_INIT;
    if (signo == SIGKILL || signo == SIGSTOP)
        return HEARS;
    snprintf(path, sizeof path, "/proc/%d/status", (int)o->proc.pid);
    autoerr e = io_read_file(AT_FDCWD, path, 1 << 16, &s);
    if (e || !is_namespace_init(str_c(&s)))
        return HEARS;
    uint64_t bit = UINT64_C(1) << (signo - 1);
    if (status_mask(str_c(&s), "\nSigCgt:") & bit)
        return HEARS;
    return (status_mask(str_c(&s), "\nSigBlk:") & bit) ? MUFFLED : DEAF;
}

static void kill_at_once(struct mon *o) {
    o->killed_at_once = true;
    stop_signal(o, SIGKILL);
}

void stop_begin(struct mon *o, int signo, int64_t timeout) {
    enum hearing h = hearing(o, signo);
    if (h == DEAF) {
        kill_at_once(o);
        return;
    }
    stop_signal(o, signo);
    pause_over(o); /* what was sent is the first thing that it sees */
    if (timeout == 0) {
        stop_signal(o, SIGKILL);
        return;
    }
    int64_t before = o->deadlines.at[DEADLINE_STOP];
    int64_t deadline = timeout < 0 ? 0 : clock_boot() + timeout * NSEC_PER_SEC;
    bool set = true;
    if (deadline && (!before || deadline < before))
        set = timer_set(o, DEADLINE_STOP, deadline);
    if (h == MUFFLED) {
        o->second_look = signo;
        set &= timer_after(o, DEADLINE_LOOK, SECOND_LOOK);
    }
    if (!set)
        stop_signal(o, SIGKILL);
}

void stop_second_look(struct mon *o) {
    if (hearing(o, o->second_look) == DEAF)
        kill_at_once(o);
    o->second_look = 0;
}

/* The container's own signal to stop. */
static int own_signal(const struct mon *o) {
    const struct json *notes = json_get(o->m->config, "annotations");
    const char *name = json_str_value(json_get(notes, SPEC_ANN_STOP_SIGNAL));
    int signo = SIGTERM;
    autoerr bad = name ? proc_signal_parse(name, &signo) : NULL;
    return bad ? SIGTERM : signo;
}

void stop_own(struct mon *o) { stop_begin(o, own_signal(o), DEFAULT_TIMEOUT); }

/* SIGHUP, SIGUSR1 and so on tell a program something; these mean its end. */
void stop_by_user(struct mon *o, int signo) {
    if (signo != SIGKILL && signo != SIGTERM && signo != SIGINT && signo != SIGQUIT && signo != own_signal(o))
        return;
    o->by_user = true;
    o->once_more = false;
    if (o->waiting)
        again_cancel(o);
}

void stop_from_signalfd(struct mon *o) {
    struct signalfd_siginfo si;
    if (read(o->signal_fd, &si, sizeof si) != (ssize_t)sizeof si)
        return;
    o->leaving = true;
    if (o->waiting)
        again_cancel(o);
    else
        stop_own(o);
}
