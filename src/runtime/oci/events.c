/*
 * events: what a container uses, as runc prints it: a line of JSON at an interval until it has ended, or one line with
 * --stats; and a line when the kernel has killed for want of memory. The numbers are the cgroup's; without one, what
 * the processes have now: times of those that have ended are then missing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime_int.h"

enum { STAT_MAX = 4096, INTERVAL_DEFAULT = 5, INTERVAL_MAX = 86400 };

struct usage {
    uint64_t cpu_ns, user_ns, kernel_ns, memory, memory_limit, pids, pids_limit;
};

/* ---- from a cgroup ---- */

static void of_cgroup_v1(const struct runtime_cgroup *g, struct usage *u) {
    bool v1;
    int cpu = runtime_cgroup_dir(g, RUNTIME_CPUACCT, &v1);
    if (cpu < 0 || !v1)
        return;
    u->cpu_ns = cgroup_number(cpu, "cpuacct.usage", "");
    u->user_ns = cgroup_number(cpu, "cpuacct.usage_user", "");
    u->kernel_ns = cgroup_number(cpu, "cpuacct.usage_sys", "");
}

static void of_cgroup_v2(const struct runtime_cgroup *g, struct usage *u) {
    const uint64_t us = 1000;
    if (g->v2 < 0)
        return;
    u->cpu_ns = cgroup_number(g->v2, "cpu.stat", "usage_usec") * us;
    u->user_ns = cgroup_number(g->v2, "cpu.stat", "user_usec") * us;
    u->kernel_ns = cgroup_number(g->v2, "cpu.stat", "system_usec") * us;
}

/* False where that controller is not ours: the processes are to be asked. */
static bool memory_of_cgroup(const struct runtime_cgroup *g, struct usage *u) {
    bool v1;
    int dir = runtime_cgroup_dir(g, RUNTIME_MEMORY, &v1);
    if (dir < 0)
        return false;
    u->memory = cgroup_number(dir, v1 ? "memory.usage_in_bytes" : "memory.current", "");
    u->memory_limit = cgroup_number(dir, v1 ? "memory.limit_in_bytes" : "memory.max", "");
    return true;
}

static bool pids_of_cgroup(const struct runtime_cgroup *g, struct usage *u) {
    int dir = runtime_cgroup_dir(g, RUNTIME_PIDS, NULL);
    if (dir < 0)
        return false;
    u->pids = cgroup_number(dir, "pids.current", "");
    u->pids_limit = cgroup_number(dir, "pids.max", "");
    return true;
}

/* ---- from the processes ---- */

struct sum {
    uint64_t user, kernel, count; /* ticks */
};

/* "PID (name) S …": the name may hold anything, the times are the 14th and 15th word. */
static struct err *add_times(void *ctx, const struct member *m) {
    struct sum *s = ctx;
    autostr struct str text = STR_INIT;
    autofree char *path = mem_printf("%s/stat", m->name);
    unsigned long long user, kernel;
    autoerr gone = io_read_file(m->proc, path, STAT_MAX, &text);
    const char *rest = gone ? NULL : strrchr(str_c(&text), ')');
    if (m->pidfd < 0 || !rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &kernel) != 2)
        return NULL;
    s->user += user;
    s->kernel += kernel;
    s->count++;
    return NULL;
}

static struct err *of_processes(const struct record *r, bool memory, bool pids, struct usage *u) {
    struct runtime_survey survey = {.n = 0};
    struct sum sum = {.count = 0};
    int64_t bytes = 0;
    uint64_t tick_ns = (uint64_t)NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
    TRY(members_each(r->pid, add_times, &sum));
    struct err *e = memory ? runtime_survey_memory(r->pid, &survey, 0, &bytes) : NULL;
    runtime_survey_done(&survey);
    if (!u->cpu_ns) {
        u->user_ns = sum.user * tick_ns;
        u->kernel_ns = sum.kernel * tick_ns;
        u->cpu_ns = u->user_ns + u->kernel_ns;
    }
    if (memory)
        u->memory = (uint64_t)bytes;
    if (pids)
        u->pids = sum.count;
    return e;
}

static struct err *measure(const struct record *r, const struct runtime_cgroup *g, struct usage *u) {
    *u = (struct usage){.cpu_ns = 0};
    of_cgroup_v1(g, u);
    of_cgroup_v2(g, u);
    bool memory = memory_of_cgroup(g, u), pids = pids_of_cgroup(g, u);
    return memory && pids && u->cpu_ns ? NULL : of_processes(r, !memory, !pids, u);
}

/* ---- telling ---- */

static struct json *section(struct json *parent, const char *name) {
    struct json *j = json_object();
    json_set(parent, name, j);
    return j;
}

/* runc's form; a limit that is none is left out. */
static struct json *data_of(const struct usage *u) {
    struct json *data = json_object();
    struct json *cpu = section(section(data, "cpu"), "usage");
    json_set(cpu, "total", json_uint(u->cpu_ns));
    json_set(cpu, "user", json_uint(u->user_ns));
    json_set(cpu, "kernel", json_uint(u->kernel_ns));
    struct json *memory = section(section(data, "memory"), "usage");
    json_set(memory, "usage", json_uint(u->memory));
    if (u->memory_limit)
        json_set(memory, "limit", json_uint(u->memory_limit));
    struct json *pids = section(data, "pids");
    json_set(pids, "current", json_uint(u->pids));
    if (u->pids_limit)
        json_set(pids, "limit", json_uint(u->pids_limit));
    return data;
}

static struct err *tell(const struct record *r, const char *type, struct json *take_data) {
    autojson event = json_object();
    json_set_str(event, "type", type);
    json_set_str(event, "id", r->id);
    if (take_data)
        json_set(event, "data", take_data);
    return print_json(event, JSON_COMPACT);
}

static struct err *tell_usage(const struct record *r, const struct runtime_cgroup *g) {
    struct usage u;
    TRY(measure(r, g, &u));
    return tell(r, "stats", data_of(&u));
}

static struct err *follow(const struct record *r, const struct runtime_cgroup *g, int64_t seconds) {
    uint64_t kills = runtime_cgroup_oom_kills(g);
    for (bool ended = false; !ended;) {
        uint64_t now = runtime_cgroup_oom_kills(g);
        if (now > kills)
            TRY(tell(r, "oom", NULL));
        kills = now;
        autoerr gone = tell_usage(r, g);
        TRY(proc_wait_end(r->pidfd, gone ? 0 : seconds * NSEC_PER_SEC, &ended));
        if (gone && !ended)
            return take_ptr(&gone);
    }
    return runtime_cgroup_oom_kills(g) > kills ? tell(r, "oom", NULL) : NULL;
}

/* Go's durations as far as they are whole seconds: "5s", "2m", or a number. */
static struct err *parse_interval(const char *text, int64_t *ret) {
    size_t n = text ? strspn(text, "0123456789") : 0;
    bool minutes = text && str_eq(text + n, "m");
    *ret = INTERVAL_DEFAULT;
    if (!text)
        return NULL;
    autofree char *digits = mem_dupn(text, n);
    if ((text[n] && !minutes && !str_eq(text + n, "s")) || !str_to_i64(digits, 1, INTERVAL_MAX, ret))
        return err_new(ERR_USAGE, "--interval takes seconds or minutes (5s, 1m), not '%s'", text);
    *ret *= minutes ? 60 : 1;
    return NULL;
}

struct err *cmd_events(struct oci *o, int argc, char **argv, int *ret_code) {
    bool once = false;
    const char *interval = NULL;
    const struct opt opts[] = {{"stats", 0, OPT_FLAG, &once}, {"interval", 0, OPT_STRING, &interval}};
    autorecord r = RECORD_INIT;
    autocgroup g = RUNTIME_CGROUP_NONE;
    int64_t seconds;
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    TRY(parse_interval(interval, &seconds));
    if (i != argc - 1)
        return err_new(ERR_USAGE, "events takes one container id");
    TRY(record_open(o, argv[i], &r));
    if (r.pidfd < 0)
        return err_new(ERR_CONFLICT, "container not running: %s", r.id);
    runtime_cgroup_open(r.pid, &g);
    *ret_code = 0;
    return once ? tell_usage(&r, &g) : follow(&r, &g, seconds);
}
