/* stats: one sample of what containers use. See observe.h. */
#include "engine/engine_int.h"
#include "engine/observe.h"
#include "engine/procs_int.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 18 };

/* What has been read from a cgroup, and need not be summed up over processes. */
enum { HAVE_CPU = 1, HAVE_MEMORY = 2, HAVE_IO = 4, HAVE_TASKS = 8, HAVE_ALL = 15 };

struct sampling {
    struct engine *e;
    struct engine_samples out;
    pid_t *inits; /* 0: does not run */
    unsigned *have;
    uint64_t memory_total;
    ino_t host_net;
};

/* ---- cgroups ---- */

/* A number in a file of a cgroup; false when it is not there, or is "max". */
static bool cgroup_number(int dir, const char *file, uint64_t *ret) {
    autostr struct str text = STR_INIT;
    autoerr none = io_read_file(dir, file, FILE_MAX_BYTES, &text);
    if (none)
        return false;
    autofree char *line = mem_dupn(str_c(&text), strcspn(str_c(&text), "\n"));
    return str_to_u64(line, 10, UINT64_MAX, ret);
}

/* The number behind a word in a file of words and numbers. */
static bool cgroup_word(int dir, const char *file, const char *word, uint64_t *ret) {
    autostr struct str text = STR_INIT;
    autoerr none = io_read_file(dir, file, FILE_MAX_BYTES, &text);
    if (none)
        return false;
    *ret = proc_number(str_c(&text), word);
    return true;
}

static bool cgroup_cpu(const struct runtime_cgroup *g, struct engine_sample *s) {
    bool v1 = false;
    int dir = runtime_cgroup_dir(g, RUNTIME_CPUACCT, &v1);
    if (dir >= 0 && v1)
        return cgroup_number(dir, "cpuacct.usage", &s->cpu);
    if (dir < 0)
        dir = runtime_cgroup_dir(g, RUNTIME_CPU, &v1);
    uint64_t usec = 0;
    if (dir < 0 || v1 || !cgroup_word(dir, "cpu.stat", "usage_usec ", &usec))
        return false;
    s->cpu = usec * 1000;
    return true;
}

/* As docker counts: without the page cache that can be given back at once. */
static bool cgroup_memory(const struct runtime_cgroup *g, struct engine_sample *s) {
    bool v1 = false;
    uint64_t used, cache = 0, limit;
    int dir = runtime_cgroup_dir(g, RUNTIME_MEMORY, &v1);
    if (dir < 0 || !cgroup_number(dir, v1 ? "memory.usage_in_bytes" : "memory.current", &used))
        return false;
    (void)cgroup_word(dir, "memory.stat", v1 ? "total_inactive_file " : "inactive_file ", &cache);
    s->memory = used > cache ? used - cache : used;
    if (cgroup_number(dir, v1 ? "memory.limit_in_bytes" : "memory.max", &limit) && limit < s->memory_limit)
        s->memory_limit = limit;
    return true;
}

/* Lines of io.stat: "8:0 rbytes=1 wbytes=2 …". */
static void add_io_v2(const char *text, struct engine_sample *s) {
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        autofree char *one = mem_dupn(line, strcspn(line, "\n"));
        s->bytes_read += proc_number(one, "rbytes=");
        s->written += proc_number(one, "wbytes=");
    }
}

/* Lines "8:0 Read 1", "8:0 Write 2". */
static void add_io_v1(const char *text, struct engine_sample *s) {
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        autofree char *one = mem_dupn(line, strcspn(line, "\n"));
        s->bytes_read += proc_number(one, "Read ");
        s->written += proc_number(one, "Write ");
    }
}

static bool cgroup_io(const struct runtime_cgroup *g, struct engine_sample *s) {
    bool v1 = false;
    int dir = runtime_cgroup_dir(g, RUNTIME_IO, &v1);
    autostr struct str text = STR_INIT;
    if (dir < 0)
        return false;
    autoerr none = io_read_file(dir, v1 ? "blkio.throttle.io_service_bytes" : "io.stat", FILE_MAX_BYTES, &text);
    if (none)
        return false;
    if (v1)
        add_io_v1(str_c(&text), s);
    else
        add_io_v2(str_c(&text), s);
    return true;
}

static unsigned sample_cgroup(pid_t init, struct engine_sample *s) {
    autocgroup g;
    bool v1 = false;
    runtime_cgroup_open(init, &g);
    unsigned have = (cgroup_cpu(&g, s) ? HAVE_CPU : 0) | (cgroup_memory(&g, s) ? HAVE_MEMORY : 0) |
                    (cgroup_io(&g, s) ? HAVE_IO : 0);
    int dir = runtime_cgroup_dir(&g, RUNTIME_PIDS, &v1);
    return have | (dir >= 0 && cgroup_number(dir, "pids.current", &s->tasks) ? HAVE_TASKS : 0);
}

/* ---- /proc ---- */

static uint64_t tick_ns(void) { return (uint64_t)(NSEC_PER_SEC / sysconf(_SC_CLK_TCK)); }

static void add_process(pid_t pid, unsigned have, struct engine_sample *s) {
    struct proc_stat st;
    autostr struct str text = STR_INIT;
    if (!proc_stat_read(pid, &st))
        return;
    if (!(have & HAVE_CPU))
        s->cpu += (st.utime + st.stime + st.cutime + st.cstime) * tick_ns();
    if (!(have & HAVE_TASKS))
        s->tasks += st.threads > 0 ? (uint64_t)st.threads : 0;
    if (!(have & HAVE_MEMORY) && st.rss) {
        bool share = proc_file_read(pid, "smaps_rollup", FILE_MAX_BYTES, &text);
        s->memory += share ? proc_number(str_c(&text), "Pss:") << 10 : st.rss;
        str_clear(&text);
    }
    if (!(have & HAVE_IO) && proc_file_read(pid, "io", FILE_MAX_BYTES, &text)) {
        s->bytes_read += proc_number(str_c(&text), "read_bytes: ");
        s->written += proc_number(str_c(&text), "write_bytes: ");
    }
}

static struct err *sample_processes(struct sampling *x) {
    struct procs procs = {.n = 0};
    bool needed = false;
    for (size_t i = 0; i < x->out.n; i++)
        needed = needed || (x->inits[i] && x->have[i] != HAVE_ALL);
    if (!needed)
        return NULL;
    TRY(procs_find(x->inits, x->out.n, &procs));
    for (size_t i = 0; i < procs.n; i++)
        add_process(procs.v[i].pid, x->have[procs.v[i].container], &x->out.v[procs.v[i].container]);
    procs_done(&procs);
    return NULL;
}

static ino_t net_namespace(pid_t pid) {
    struct stat st;
    autofree char *path = mem_printf("/proc/%d/ns/net", (int)pid);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* "  eth0: received packets … (8 columns) sent …"; nothing for the host's own network, as docker has it. */
static void sample_network(pid_t init, ino_t host, struct engine_sample *s) {
    autostr struct str text = STR_INIT;
    if (net_namespace(init) == host || !proc_file_read(init, "net/dev", FILE_MAX_BYTES, &text))
        return;
    for (char *line = text.ptr; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0) {
        char *at = line + strspn(line, " "), *colon = strchr(at, ':'), *end = strchrnul(line, '\n');
        if (!colon || colon > end || str_starts(at, "lo:"))
            continue;
        at = colon + 1;
        for (int column = 0; column < 9; column++) {
            uint64_t n = strtoull(at, &at, 10);
            s->received += column == 0 ? n : 0;
            s->sent += column == 8 ? n : 0;
        }
    }
}

/* What --memory or update asked for: there may be no cgroup to ask. */
static void set_limit(const struct sampling *x, struct engine_sample *s) {
    static const char key[] = "\"Memory\":";
    autostr struct str text = STR_INIT;
    bool there = false;
    s->memory_limit = x->memory_total;
    autoerr unread = store_container_text(x->e->store, s->id, "options.json", &text, &there);
    const char *at = unread || !there ? NULL : strstr(str_c(&text), key);
    uint64_t limit = at ? strtoull(at + sizeof key - 1, NULL, 10) : 0;
    if (limit && limit < s->memory_limit)
        s->memory_limit = limit;
}

/* ---- all of them ---- */

static void add_sample(struct sampling *x, const char *id, const char *name, pid_t init) {
    struct engine_sample *s = &x->out.v[x->out.n];
    *s = (struct engine_sample){.name = mem_dup(name), .alive = init > 0, .at = clock_boot()};
    memcpy(s->id, id, sizeof s->id);
    x->inits[x->out.n] = init > 0 ? init : 0;
    x->out.n++;
}

static void make_room(struct sampling *x, size_t n) {
    x->out.v = mem_array(n + 1, sizeof *x->out.v);
    x->inits = mem_array(n + 1, sizeof *x->inits);
    x->have = mem_array(n + 1, sizeof *x->have);
}

static struct err *choose(struct sampling *x, const struct strv *names, bool all) {
    const struct engine_list l = {.all = all, .last = -1};
    autorows rows = {.n = 0};
    if (names->n) {
        make_room(x, names->n);
        for (size_t i = 0; i < names->n; i++) {
            autocontainer c = ENGINE_CONTAINER_INIT;
            TRY(engine_container_load(x->e, names->v[i], &c));
            add_sample(x, c.id, engine_container_name(&c), engine_state_alive(&c.state) ? c.state.pid : 0);
        }
        return NULL;
    }
    TRY(engine_container_list(x->e, &l, &rows));
    make_room(x, rows.n);
    for (size_t i = 0; i < rows.n; i++)
        add_sample(x, rows.v[i]->id, rows.v[i]->name, rows.v[i]->alive ? rows.v[i]->pid : 0);
    return NULL;
}

static struct err *sample(struct sampling *x, const struct strv *names, bool all) {
    struct sysinfo si;
    TRY(choose(x, names, all));
    x->memory_total = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0;
    x->host_net = net_namespace(getpid());
    for (size_t i = 0; i < x->out.n; i++) {
        if (!x->inits[i])
            continue;
        set_limit(x, &x->out.v[i]);
        x->have[i] = sample_cgroup(x->inits[i], &x->out.v[i]);
        sample_network(x->inits[i], x->host_net, &x->out.v[i]);
    }
    return sample_processes(x);
}

struct err *engine_stats_sample(struct engine *e, const struct strv *names, bool all, struct engine_samples *ret) {
    struct sampling x = {.e = e};
    struct err *bad = sample(&x, names, all);
    free(x.inits);
    free(x.have);
    if (bad)
        engine_samples_done(&x.out);
    else
        *ret = x.out;
    return bad;
}

void engine_samples_done(struct engine_samples *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].name);
    free(s->v);
    *s = (struct engine_samples){.n = 0};
}
