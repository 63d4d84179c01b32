/*
 * stop: signals to PID 1 and deadlines. The kernel drops a signal to the init of a pid namespace that has no handler
 * for it, even when it comes from outside (SIGKILL and SIGSTOP apart). Waiting ten seconds for a process that cannot
 * have heard is what makes `stop` slow elsewhere; here such a process is killed at once. A blocked signal counts as
 * received: it may be read by sigwait or a signalfd.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "monitor/monitor_int.h"

enum { DEFAULT_TIMEOUT = 10 };

void stop_signal(struct mon *o, int signo) {
    if (signo > 0 && signo <= 64 && o->proc.pidfd >= 0)
        sys_pidfd_send_signal(o->proc.pidfd, signo);
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

/* Whether the container's first process can notice the signal. Unreaped children keep their pid, so it is the right
 * one. */
static bool can_receive(const struct mon *o, int signo) {
    char path[32];
    autostr struct str s = STR_INIT;
    if (signo == SIGKILL || signo == SIGSTOP)
        return true;
    snprintf(path, sizeof path, "/proc/%d/status", (int)o->proc.pid);
    autoerr e = io_read_file(AT_FDCWD, path, 1 << 16, &s);
    if (e || !is_namespace_init(str_c(&s)))
        return true;
    uint64_t heard = status_mask(str_c(&s), "\nSigCgt:") | status_mask(str_c(&s), "\nSigBlk:");
    return heard >> (signo - 1) & 1;
}

/* Kills after `seconds`, unless an earlier deadline runs already. */
static bool set_deadline(struct mon *o, int64_t seconds) {
    if (o->timer_fd < 0) {
        o->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (o->timer_fd < 0 || !mon_watch(o, o->timer_fd, (union ref){.kind = REF_TIMER}, EPOLLIN))
            return false;
    }
    struct itimerspec now;
    if (timerfd_gettime(o->timer_fd, &now) < 0)
        return false;
    if ((now.it_value.tv_sec || now.it_value.tv_nsec) && now.it_value.tv_sec < seconds)
        return true;
    const struct itimerspec at = {.it_value = {.tv_sec = seconds}};
    return timerfd_settime(o->timer_fd, 0, &at, NULL) == 0;
}

void stop_begin(struct mon *o, int signo, int64_t timeout) {
    if (!can_receive(o, signo)) {
        o->killed_at_once = true;
        stop_signal(o, SIGKILL);
        return;
    }
    stop_signal(o, signo);
    if (timeout == 0 || (timeout > 0 && !set_deadline(o, timeout)))
        stop_signal(o, SIGKILL);
}

void stop_deadline(struct mon *o) {
    uint64_t times;
    if (read(o->timer_fd, &times, sizeof times) == (ssize_t)sizeof times)
        stop_signal(o, SIGKILL);
}

void stop_from_signalfd(struct mon *o) {
    struct signalfd_siginfo si;
    if (read(o->signal_fd, &si, sizeof si) != (ssize_t)sizeof si)
        return;
    const struct json *notes = json_get(o->m->config, "annotations");
    const char *name = json_str_value(json_get(notes, "org.opencontainers.image.stopSignal"));
    int signo = SIGTERM;
    if (name) {
        autoerr e = proc_signal_parse(name, &signo);
        if (e)
            signo = SIGTERM;
    }
    stop_begin(o, signo, DEFAULT_TIMEOUT);
}
