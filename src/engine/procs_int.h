/*
 * procs: which processes are a container's, and what the kernel says of them. For top and stats.
 *
 * A container's processes are those in its mount namespace, which no other container has (a pid namespace may be
 * shared), and their descendants, whatever namespaces they made for themselves: an orphan becomes the first process's.
 * One pass over /proc finds those of any number of containers. Nothing here needs a cgroup.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct str;

struct procs {
    struct procs_one {
        pid_t pid;
        size_t container; /* index into `inits` */
        uint64_t start;   /* for the caller to keep: procs_again() carries it over, and has 0 where it is new */
    } * v;                /* by pid */
    size_t n;
    pid_t *others; /* of no container, by pid; for procs_again(), as the rest */
    size_t n_others;
    ino_t *namespaces;
    size_t n_namespaces;
};
/* The processes of the containers whose first processes these are; done with procs_done(). One that is gone has none.
 */
struct err *procs_find(const pid_t *inits, size_t n_inits, struct procs *ret) __attribute__((warn_unused_result));
/*
 * The same a moment later, for a third of the cost: who was there before is not asked again whose it is. So a pid may
 * meanwhile be another process's: the caller compares `start`.
 */
struct err *procs_again(struct procs *p) __attribute__((warn_unused_result));
void procs_done(struct procs *p);

/* /proc/PID/stat. Times in clock ticks, memory in bytes. */
struct proc_stat {
    pid_t pid, ppid, pgid;
    char comm[32], state;
    int tty, nice, threads;
    uint64_t utime, stime, cutime, cstime, start;
    uint64_t vsize, rss;
};
/* False when the process is gone. */
bool proc_stat_read(pid_t pid, struct proc_stat *ret);
/* The pure part: takes `text` (NUL-terminated) apart; false for what is not of that form. */
bool proc_stat_parse(const char *text, struct proc_stat *ret);
/* Appends /proc/PID/<file>, at most `max` bytes of it; false when it cannot be read. */
bool proc_file_read(pid_t pid, const char *file, size_t max, struct str *out);
/* The number behind "<key>" in a text of lines ("VmRSS:\t  123 kB"); 0 when it is not there. */
uint64_t proc_number(const char *text, const char *key);
