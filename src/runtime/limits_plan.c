/*
 * limits_plan: what becomes of each limit of "linux.resources" on this machine, for this user. In this order: the
 * cgroup's controller enforces it; something else does its work (emulated, and said); a mere preference among
 * containers is without effect, in docker's words; and a limit that nothing would hold is refused. None is dropped in
 * silence: every row of the table below ends in one of the four.
 */
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"

/* ---- what a cgroup takes ---- */

static unsigned has(int dir, bool v1, const char *v1_file, const char *v2_file, enum limits_takes bit) {
    const char *file = v1 ? v1_file : v2_file;
    return dir >= 0 && file && cgroup_has(dir, file) ? bit : 0;
}

unsigned limits_takes(const struct runtime_cgroup *g) {
    static const struct {
        enum runtime_controller controller;
        const char *v1, *v2;
        enum limits_takes bit;
    } files[] = {
        {RUNTIME_MEMORY, "memory.limit_in_bytes", "memory.max", TAKES_MEMORY},
        {RUNTIME_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max", TAKES_SWAP},
        {RUNTIME_MEMORY, "memory.soft_limit_in_bytes", "memory.low", TAKES_RESERVATION},
        {RUNTIME_MEMORY, "memory.swappiness", NULL, TAKES_SWAPPINESS},
        {RUNTIME_MEMORY, "memory.oom_control", NULL, TAKES_OOM},
        {RUNTIME_CPU, "cpu.cfs_quota_us", "cpu.max", TAKES_QUOTA},
        {RUNTIME_CPU, "cpu.shares", "cpu.weight", TAKES_SHARES},
        {RUNTIME_CPUSET, "cpuset.cpus", "cpuset.cpus", TAKES_CPUSET},
        {RUNTIME_PIDS, "pids.max", "pids.max", TAKES_PIDS},
        {RUNTIME_IO, "blkio.throttle.read_bps_device", "io.max", TAKES_THROTTLE},
        {RUNTIME_IO, "blkio.weight", "io.weight", TAKES_WEIGHT},
        {RUNTIME_IO, "blkio.bfq.weight", "io.bfq.weight", TAKES_WEIGHT},
        {RUNTIME_IO, "blkio.weight_device", NULL, TAKES_WEIGHT_DEVICE},
        {RUNTIME_IO, "blkio.bfq.weight_device", "io.bfq.weight", TAKES_WEIGHT_DEVICE},
    };
    unsigned takes = 0;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        bool v1;
        int dir = runtime_cgroup_dir(g, files[i].controller, &v1);
        takes |= has(dir, v1, files[i].v1, files[i].v2, files[i].bit);
    }
    return takes;
}

/* ---- the table ---- */

enum otherwise { EMULATED, NO_EFFECT, REFUSED };
#define NO_SUPPORT(what) "Your kernel does not support " what " or the cgroup is not mounted. "
static const struct row {
    const char *path; /* below linux.resources */
    const char *flag;
    enum limits_takes needs;
    enum otherwise otherwise;
    const char *text; /* the warning; of a refusal: what it would limit */
} rows[] = {
    {"memory.limit", "--memory", TAKES_MEMORY, EMULATED,
     "--memory is emulated: this user has no memory cgroup. The container is watched, and killed when its processes "
     "use more; what swap it may use is not limited, nor files in a tmpfs."},
    {"memory.swap", "--memory-swap", TAKES_SWAP, NO_EFFECT,
     NO_SUPPORT("swap limit capabilities") "Memory limited without swap."},
    {"memory.reservation", "--memory-reservation", TAKES_RESERVATION, NO_EFFECT,
     NO_SUPPORT("memory soft limit capabilities") "Limitation discarded."},
    {"memory.swappiness", "--memory-swappiness", TAKES_SWAPPINESS, NO_EFFECT,
     NO_SUPPORT("memory swappiness capabilities") "Memory swappiness discarded."},
    {"memory.disableOOMKiller", "--oom-kill-disable", TAKES_OOM, NO_EFFECT,
     "Your kernel does not support OomKillDisable. OomKillDisable discarded."},
    {"cpu.quota", "--cpus or --cpu-quota", TAKES_QUOTA, REFUSED, "processor time"},
    {"cpu.period", "--cpu-period", TAKES_QUOTA, REFUSED, "processor time"},
    {"cpu.shares", "--cpu-shares", TAKES_SHARES, NO_EFFECT, NO_SUPPORT("CPU shares") "Shares discarded."},
    {"cpu.cpus", "--cpuset-cpus", TAKES_CPUSET, EMULATED,
     "--cpuset-cpus is emulated: this user has no cpuset cgroup. The container's processes start with that affinity, "
     "and may change it."},
    {"cpu.mems", "--cpuset-mems", TAKES_CPUSET, REFUSED, "memory nodes"},
    {"pids.limit", "--pids-limit", TAKES_PIDS, REFUSED, "the number of processes"},
    {"blockIO.weight", "--blkio-weight", TAKES_WEIGHT, NO_EFFECT, NO_SUPPORT("Block I/O weight") "Weight discarded."},
    {"blockIO.weightDevice", "--blkio-weight-device", TAKES_WEIGHT_DEVICE, NO_EFFECT,
     NO_SUPPORT("Block I/O weight_device") "Weight-device discarded."},
    {"blockIO.throttleReadBpsDevice", "--device-read-bps", TAKES_THROTTLE, REFUSED, "the rate of a device"},
    {"blockIO.throttleWriteBpsDevice", "--device-write-bps", TAKES_THROTTLE, REFUSED, "the rate of a device"},
    {"blockIO.throttleReadIOPSDevice", "--device-read-iops", TAKES_THROTTLE, REFUSED, "the rate of a device"},
    {"blockIO.throttleWriteIOPSDevice", "--device-write-iops", TAKES_THROTTLE, REFUSED, "the rate of a device"},
};

/* A number that limits (negative ones lift a limit), a true, a list or a text with something in it. */
static bool asked_for(const struct json *v) {
    if (json_type(v) == JSON_NUMBER)
        return json_int_value(v, 0) > 0;
    if (json_type(v) == JSON_STRING)
        return *json_str_value(v);
    return v && (json_bool_value(v, false) || json_count(v) > 0);
}

static struct err *refuse(const struct row *row) {
    return err_hint(err_new(ERR_UNSUPPORTED,
                            "%s cannot be enforced: %s can be limited by a cgroup only, and this user has "
                            "none with that controller",
                            row->flag, row->text),
                    "where the user's systemd runs it gives one, as far as the administrator has it delegate the "
                    "controller (docs/limits.md); or leave the flag out");
}

/* Whether the container has a pid namespace that it shares with nobody: only by that can its processes be told from
 * others where there is no cgroup. */
static bool has_own_pids(const struct json *config) {
    const char *share = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_SHARE));
    bool own = false;
    JSON_EACH(it, json_path(config, "linux.namespaces"))
    if (str_eq(json_str_value(json_get(it, "type")), "pid"))
        own = !json_get(it, "path");
    if (!own || !share)
        return own;
    autojson shared = NULL;
    autoerr damaged = json_parse(share, strlen(share), SPEC_ANN_SHARE, 0, &shared);
    return !damaged && !json_get(shared, "pid");
}

static struct err *refuse_unseen(void) {
    return err_hint(err_new(ERR_UNSUPPORTED,
                            "--memory cannot be enforced: this user has no memory cgroup, and without one a container "
                            "is watched by its pid namespace, which this one shares with others (--pid)"),
                    "leave out --pid or the limit, or get a cgroup (docs/limits.md)");
}

/* The swap that comes with every memory limit is no news when that is watched already. */
static bool is_said(const struct row *row, unsigned takes) {
    return row->needs == TAKES_SWAP && !(takes & TAKES_MEMORY);
}

static void emulate(const struct json *resources, unsigned takes, struct runtime_emulation *e) {
    if (!(takes & TAKES_MEMORY))
        e->memory = json_int_value(json_path(resources, "memory.limit"), 0);
    if (!(takes & TAKES_CPUSET))
        e->cpus = json_str_value(json_path(resources, "cpu.cpus"));
}

struct err *limits_plan(const struct json *config, unsigned takes, struct runtime_emulation *ret,
                        struct strv *warnings) {
    const struct json *resources = json_path(config, "linux.resources");
    struct runtime_emulation e = {.memory = 0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        bool swappiness = row->needs == TAKES_SWAPPINESS; /* 0 is a value, too */
        const struct json *v = json_path(resources, row->path);
        if ((takes & row->needs) || !(asked_for(v) || (swappiness && v)))
            continue;
        if (row->otherwise == REFUSED)
            return refuse(row);
        if (warnings && !is_said(row, takes))
            strv_push(warnings, row->text);
    }
    emulate(resources, takes, &e);
    if (e.memory < 0)
        e.memory = 0;
    if (e.memory && !has_own_pids(config))
        return refuse_unseen();
    if (ret)
        *ret = e;
    return NULL;
}

/* Sections of which no row tells. Rules for devices are not among them: engines send docker's to everybody, and no
 * user namespace can make the nodes that they allow or deny. */
static void unheld_sections(const struct json *resources, const struct runtime_cgroup *g, struct strv *ret) {
    static const char *const nobody[] = {"hugepageLimits", "network", "rdma"};
    for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
        if (json_count(json_get(resources, nobody[i])))
            strv_push(ret, nobody[i]);
    if (json_count(json_get(resources, "unified")) && g->v2 < 0)
        strv_push(ret, "unified");
}

void limits_unheld(const struct json *config, const struct runtime_cgroup *g, struct strv *ret) {
    const struct json *resources = json_path(config, "linux.resources");
    unsigned takes = limits_takes(g);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!((takes | TAKES_CPUSET) & rows[i].needs) && asked_for(json_path(resources, rows[i].path)))
            strv_push(ret, rows[i].path);
    if (!(takes & TAKES_CPUSET) && asked_for(json_path(resources, "cpu.mems"))) /* the processors are bound to */
        strv_push(ret, "cpu.mems");
    unheld_sections(resources, g, ret);
}

struct err *runtime_limits_plan(const struct json *config, const struct runtime_cgroup *g,
                                struct runtime_emulation *ret, struct strv *warnings) {
    return limits_plan(config, json_count(json_path(config, "linux.resources")) ? limits_takes(g) : 0, ret, warnings);
}

static struct err *probe(const struct host *h, const char *id, const struct json *config, struct strv *warnings) {
    autocgroup g = RUNTIME_CGROUP_NONE;
    autofree char *parent = runtime_cgroup_parent(config);
    TRY(runtime_cgroup_make(h, id, parent, &g));
    struct err *e = runtime_limits_plan(config, &g, NULL, warnings);
    runtime_cgroup_remove(&g.paths);
    return e;
}

/* ---- where a scope is to be had, in a child: the command itself stays where it is ---- */

enum { WARNINGS_MAX = 1 << 14 };

struct probe_call {
    const struct host *h;
    const char *id;
    const struct json *config;
    int out; /* a line for each warning */
};

static struct err *probe_in_scope(void *ctx) {
    const struct probe_call *c = ctx;
    autostrv struct strv warnings = {.n = 0};
    runtime_cgroup_claim(c->h, c->id, c->config);
    TRY(probe(c->h, c->id, c->config, &warnings));
    for (size_t i = 0; i < warnings.n; i++) {
        autofree char *line = mem_printf("%s\n", warnings.v[i]);
        TRY(io_write_all(c->out, line, strlen(line)));
    }
    return NULL;
}

static struct err *probe_aside(const struct host *h, const char *id, const struct json *config, struct strv *warnings) {
    int p[2];
    autostr struct str text = STR_INIT_MAX(WARNINGS_MAX);
    TRY(fd_pipe(0, p));
    autofd int from = p[0];
    autofd int to = p[1];
    struct probe_call call = {h, id, config, to};
    TRY(runtime_userns_call(-1, probe_in_scope, &call));
    fd_replace(&to, -1);
    TRY(io_read_all(from, WARNINGS_MAX, "the look at limits", &text));
    for (const char *s = str_c(&text); *s; s += strcspn(s, "\n") + 1) {
        autofree char *line = mem_dupn(s, strcspn(s, "\n"));
        strv_push(warnings, line);
    }
    return NULL;
}

struct err *runtime_limits_probe(const struct host *h, const char *id, const struct json *config,
                                 struct strv *warnings) {
    autofree char *parent = runtime_cgroup_parent(config);
    limits_oom_said(json_get(config, "process"), warnings);
    if (!json_path(config, "linux.resources") && !parent)
        return NULL;
    return scope_wanted(h, config) ? probe_aside(h, id, config, warnings) : probe(h, id, config, warnings);
}
