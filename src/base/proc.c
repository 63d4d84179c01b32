/* proc: identity, signals and end of processes; starting them is in proc_spawn.c, signal names in proc_signal.c. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/sys/sys.h"

static struct err *gone(pid_t pid) { return err_new(ERR_NOT_FOUND, "process %d is gone", (int)pid); }

struct err *proc_start_time(pid_t pid, uint64_t *ret) {
    char text[1024];
    snprintf(text, sizeof text, "/proc/%d/stat", (int)pid);
    autofd int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT && errno != EPERM)
        return err_sys(errno, "open %s", text);
    if (fd < 0) {
        if (pid <= 0 || kill(pid, 0) < 0)
            return gone(pid);
        *ret = PROC_START_HIDDEN;
        return NULL;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0)
        return errno == ESRCH ? gone(pid) : err_sys(errno, "read the state of process %d", (int)pid);
    text[n] = '\0';
    char *p = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (!p)
        return err_new(ERR_CORRUPT, "the state of process %d cannot be read", (int)pid);
    *ret = strtoull(p + 1, NULL, 10);
    return NULL;
}

struct err *proc_open(pid_t pid, uint64_t start_time, int *ret_pidfd) {
    autofd int fd = pid > 0 ? sys_pidfd_open(pid) : -1;
    if (fd < 0)
        return pid <= 0 || errno == ESRCH || errno == EINVAL ? gone(pid) : err_sys(errno, "open process %d", (int)pid);
    uint64_t now;
    TRY(proc_start_time(pid, &now)); /* after the open: the pid cannot have passed to another since */
    if (now != start_time && now != PROC_START_HIDDEN && start_time != PROC_START_HIDDEN)
        return gone(pid);
    *ret_pidfd = take_fd(&fd);
    return NULL;
}

struct err *proc_signal(int pidfd, int signo) {
    if (sys_pidfd_send_signal(pidfd, signo) == 0)
        return NULL;
    if (errno == ESRCH)
        return err_new(ERR_NOT_FOUND, "the process is gone");
    return err_sys(errno, "send signal %d", signo);
}

struct err *proc_wait_end(int pidfd, int64_t timeout_ns, bool *ret_ended) {
    int64_t deadline = timeout_ns < 0 ? 0 : clock_boot() + timeout_ns;
    for (;;) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        int64_t left = timeout_ns < 0 ? 0 : deadline - clock_boot();
        if (left < 0)
            left = 0;
        const struct timespec ts = {.tv_sec = left / NSEC_PER_SEC, .tv_nsec = left % NSEC_PER_SEC};
        int n = ppoll(&p, 1, timeout_ns < 0 ? NULL : &ts, NULL);
        if (n >= 0) {
            *ret_ended = n > 0;
            return NULL;
        }
        if (errno != EINTR)
            return err_sys(errno, "wait for a process");
    }
}

struct err *proc_reap(pid_t pid, int *ret_code) {
    int status;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_sys(errno, "wait for process %d", (int)pid);
    *ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return NULL;
}
