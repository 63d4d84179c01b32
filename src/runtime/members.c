/* members: the processes of a container without a cgroup: those of its pid namespace, and of namespaces below it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { NESTED_MAX = 32, NEW_MAX = 200 };
#define SETTLE_NS (50 * NSEC_PER_MSEC)

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

/* Whether the process is the first of its pid namespace: the last number of its NSpid line is 1. */
static bool is_first(int proc, pid_t init) {
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("%d/status", (int)init);
    const char *line = cgroup_read(proc, path, &text) ? strstr(str_c(&text), "\nNSpid:") : NULL;
    const char *last = line ? memrchr(line, '\t', strcspn(line + 1, "\n") + 1) : NULL;
    return last && str_starts(last, "\t1\n");
}

struct walk {
    int proc;
    struct stat ns;
    struct err *(*fn)(void *ctx, const struct member *m);
    void *ctx;
};

static struct err *look_at(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct walk *w = ctx;
    int64_t pid;
    if (!str_to_i64(name, 1, INT32_MAX, &pid) || !in_pid_namespace(w->proc, name, &w->ns))
        return NULL;
    /* The descriptor of a thread that is no process is refused: what looks at one needs none. Its number may have
     * become another's. */
    autofd int pidfd = sys_pidfd_open((pid_t)pid);
    if (!in_pid_namespace(w->proc, name, &w->ns))
        return NULL;
    const struct member m = {.proc = w->proc, .pid = (pid_t)pid, .name = name, .pidfd = pidfd};
    return w->fn(w->ctx, &m);
}

static struct err *walk_begin(pid_t init, struct walk *w) {
    autofree char *path = mem_printf("%d/ns/pid", (int)init);
    TRY(fd_open_dir(AT_FDCWD, "/proc", &w->proc));
    if (fstatat(w->proc, path, &w->ns, 0) < 0)
        return err_sys(errno, "look at the container's pid namespace");
    if (!is_first(w->proc, init))
        return err_hint(err_new(ERR_UNSUPPORTED, "it has neither a cgroup nor a pid namespace of its own, so that its "
                                                 "processes cannot be told from others"),
                        "start it without --pid, or in a login session that has cgroups (docs/limits.md)");
    return NULL;
}

struct err *members_each(pid_t init, struct err *(*fn)(void *ctx, const struct member *m), void *ctx) {
    struct walk w = {.proc = -1, .fn = fn, .ctx = ctx};
    struct err *e = walk_begin(init, &w);
    if (!e)
        e = io_each_entry(w.proc, look_at, &w);
    fd_close(w.proc);
    return e;
}

struct err *members_between(pid_t init, pid_t from, pid_t to, struct err *(*fn)(void *ctx, const struct member *m),
                            void *ctx) {
    struct walk w = {.proc = -1, .fn = fn, .ctx = ctx};
    struct err *e = walk_begin(init, &w);
    for (pid_t pid = from; !e && pid <= to; pid++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", (int)pid);
        e = look_at(&w, name, 0);
    }
    fd_close(w.proc);
    return e;
}

/* ---- processors ---- */

/* A list like "0-3,7", which has been checked; what is not there, the kernel leaves out. */
static void cpu_set(const char *cpus, cpu_set_t *ret) {
    autostrv struct strv parts = {.n = 0};
    CPU_ZERO(ret);
    strv_split(&parts, cpus, ',');
    for (size_t i = 0; i < parts.n; i++) {
        char *dash = strchr(parts.v[i], '-');
        int64_t from = 0, to = -1;
        if (dash)
            *dash = '\0';
        if (!str_to_i64(parts.v[i], 0, CPU_SETSIZE - 1, &from) ||
            !str_to_i64(dash ? dash + 1 : parts.v[i], from, CPU_SETSIZE - 1, &to))
            continue;
        for (int64_t n = from; n <= to; n++)
            CPU_SET((size_t)n, ret);
    }
}

struct err *members_affinity_own(const char *cpus) {
    cpu_set_t set;
    cpu_set(cpus, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? err_sys(errno, "run on the processors %s", cpus) : NULL;
}

struct repin {
    cpu_set_t set;
    int tasks;
};

static struct err *repin_task(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct repin *r = ctx;
    int64_t tid;
    if (str_to_i64(name, 1, INT32_MAX, &tid) && sched_setaffinity((pid_t)tid, sizeof r->set, &r->set) < 0 &&
        errno != ESRCH)
        return err_sys(errno, "move a process to other processors");
    return NULL;
}

static struct err *repin(void *ctx, const struct member *m) {
    struct repin *r = ctx;
    autofree char *path = mem_printf("%s/task", m->name);
    autofd int tasks = openat(m->proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tasks < 0 ? NULL : io_each_entry(tasks, repin_task, r); /* it has ended */
}

struct err *runtime_affinity(pid_t init, const char *cpus) {
    struct repin r = {.tasks = -1};
    cpu_set(cpus, &r.set);
    return members_each(init, repin, &r);
}

/* ---- memory ---- */

/* "\nRssAnon:\t     1234 kB" of a status or smaps_rollup text, in bytes. */
static int64_t kilobytes(const struct str *text, const char *key) {
    const char *at = strstr(str_c(text), key);
    if (!at)
        return 0;
    at += strlen(key);
    at += strspn(at, " \t");
    autofree char *digits = mem_dupn(at, strspn(at, "0123456789"));
    int64_t n = 0;
    (void)str_to_i64(digits, 0, INT64_MAX / 1024, &n);
    return n * 1024;
}

/* -1 when it has ended. */
static int64_t memory_of(pid_t pid, bool exact) {
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("/proc/%d/%s", (int)pid, exact ? "smaps_rollup" : "status");
    if (!cgroup_read(AT_FDCWD, path, &text))
        return -1;
    return exact ? kilobytes(&text, "\nPss_Anon:") + kilobytes(&text, "\nPss_Shmem:")
                 : kilobytes(&text, "\nRssAnon:") + kilobytes(&text, "\nRssShmem:");
}

static struct err *note(void *ctx, const struct member *m) {
    struct runtime_survey *s = ctx;
    s->pids = mem_resize(s->pids, s->n + 1, sizeof *s->pids);
    s->pids[s->n++] = m->pid;
    return NULL;
}

/* Numbers of threads are like those of processes, and /proc has them, too, without listing them. */
static struct err *note_leader(void *ctx, const struct member *m) {
    const struct runtime_survey *s = ctx;
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("%s/status", m->name);
    autofree char *tgid = mem_printf("\nTgid:\t%d\n", (int)m->pid);
    for (size_t i = 0; i < s->n; i++)
        if (s->pids[i] == m->pid)
            return NULL;
    return cgroup_read(m->proc, path, &text) && strstr(str_c(&text), tgid) ? note(ctx, m) : NULL;
}

void runtime_survey_done(struct runtime_survey *s) {
    free(s->pids);
    *s = (struct runtime_survey){.n = 0};
}

/* Who has ended is forgotten. */
static int64_t sum(struct runtime_survey *s, bool exact) {
    int64_t bytes = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        int64_t one = memory_of(s->pids[i], exact);
        if (one < 0)
            continue;
        bytes += one;
        s->pids[n++] = s->pids[i];
    }
    s->n = n;
    return bytes;
}

/* The number that the youngest process of our pid namespace was given: the last word of /proc/loadavg; 0: not known. */
static pid_t youngest(void) {
    autostr struct str text = STR_INIT;
    int64_t pid = 0;
    const char *last = cgroup_read(AT_FDCWD, "/proc/loadavg", &text) ? strrchr(str_c(&text), ' ') : NULL;
    autofree char *number = last ? mem_dupn(last + 1, strcspn(last + 1, "\n")) : NULL;
    return number && str_to_i64(number, 1, INT32_MAX, &pid) ? (pid_t)pid : 0;
}

/*
 * Numbers are given in turn, so that those after the ones that are settled are all that can be new; a long way, or one
 * that began anew at the bottom, is a look at everybody. A process has its number before anybody can see it, and fork
 * may sleep in between: a number is settled when it was looked at SETTLE_NS after it was given. Those before init's own
 * are none of this container.
 */
static struct err *find_new(pid_t init, struct runtime_survey *s) {
    const pid_t now = youngest();
    const int64_t time = clock_boot();
    const bool first = !s->at, anew = now < s->youngest;
    if (now && now == s->settled)
        return NULL;
    if (!first && !anew && s->settled && now > s->settled && now - s->settled <= NEW_MAX) {
        TRY(members_between(init, s->settled + 1, now, note_leader, s));
    } else {
        s->n = 0;
        TRY(members_each(init, note, s));
    }
    if (!first && !anew && time - s->at < SETTLE_NS)
        return NULL;
    s->settled = first ? init : anew ? 0 : s->youngest;
    s->youngest = now;
    s->at = time;
    return NULL;
}

struct err *runtime_survey_memory(pid_t init, struct runtime_survey *s, int64_t limit, int64_t *ret_bytes) {
    TRY(find_new(init, s));
    int64_t bytes = sum(s, false);
    *ret_bytes = bytes > limit ? sum(s, true) : bytes;
    return NULL;
}
