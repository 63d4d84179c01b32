/*
 * proc: processes. A pid is only trusted together with its start time, or through a pidfd.
 * Where /proc is mounted with hidepid= (proc(5)), it tells nothing of a process that is not dumpable, be it one's own:
 * then that the pid is one of ours has to do. It is wrong where a process has ended without its record, and its pid
 * went to another hidden one of the same user.
 * Helpers are spawned with a closed world: an explicit argv and environment, only the given descriptors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { PROC_START_HIDDEN = 0 }; /* in place of a start time: the process is there, may be signalled, and is not shown */
/* Start time of a process in clock ticks since boot (/proc/PID/stat field 22); not_found when it is gone. */
struct err *proc_start_time(pid_t pid, uint64_t *ret) __attribute__((warn_unused_result));

/* Opens a pidfd and checks that the process is the one with that start time; not_found when it is gone or another. */
struct err *proc_open(pid_t pid, uint64_t start_time, int *ret_pidfd) __attribute__((warn_unused_result));

/* pidfd_send_signal. not_found when the process is gone. */
struct err *proc_signal(int pidfd, int signo) __attribute__((warn_unused_result));

/* Waits until a pidfd's process has ended; timeout_ns < 0 waits for ever. *ret_ended tells. */
struct err *proc_wait_end(int pidfd, int64_t timeout_ns, bool *ret_ended) __attribute__((warn_unused_result));

struct proc_spawn {
    const char *path; /* absolute */
    char *const *argv;
    char *const *envp; /* NULL: empty environment */
    int stdio[3];      /* -1: /dev/null */
    struct {
        int from, to;
    } fds[8]; /* more to pass; `to` >= 3 */
    size_t n_fds;
    bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
};

/* Starts a process; its pid and pidfd are the caller's to reap. Fails if the exec fails (reported over a pipe). */
struct err *proc_spawn(const struct proc_spawn *p, pid_t *ret_pid, int *ret_pidfd) __attribute__((warn_unused_result));

/*
 * Runs fn(ctx) in a child on a stack of its own, with every signal blocked; returns when the child has ended or has
 * executed a program, with its pid and (unless NULL) its pidfd, or -1 and errno. With SYS_BORROWED_VM (base/sys/sys.h)
 * in `flags` the child works in the caller's memory: nothing is copied, what it changes the caller sees, a SIGKILL
 * while it changes the heap leaves that broken, and what it does to its dumpable flag it does to the caller's. fn must
 * not return.
 */
pid_t proc_borrow(int (*fn)(void *ctx), void *ctx, int flags, int *ret_pidfd);

/* waitpid over EINTR; status as exit code, 128+n for a signal. */
struct err *proc_reap(pid_t pid, int *ret_code) __attribute__((warn_unused_result));

/* Number for "TERM", "SIGTERM", "15", "RTMIN+3"; usage error otherwise. */
struct err *proc_signal_parse(const char *s, int *ret) __attribute__((warn_unused_result));
/* "SIGTERM" into a static table entry; "" for unknown. */
const char *proc_signal_name(int signo);

/*
 * The title of a process: its name (the first word), and its command line, in place of the one that it was started
 * with, which may hold secrets of the user's and outlives the command in a process that was forked from it.
 * proc_title_init() is told main's arguments, once; proc_title() overwrites them, cut to the room that they leave:
 * nobody may read them after it.
 */
void proc_title_init(int argc, char **argv);
void proc_title(const char *title);
