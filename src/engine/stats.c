/*
 * stats: samples of what containers use. See observe.h. Where there is no cgroup, a sample is a dozen reads below /proc
 * for each container. Of two that are a second apart for the sake of the difference, the first one reads processor time
 * alone, and the second one relies on whose processes they were.
 */
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

struct target { /* a container */
    char id[ID_LEN + 1];
    char *name;
    pid_t init;      /* 0: does not run */
    uint64_t start;  /* of that process, where it has a cgroup; for ENGINE_STATS_SECOND */
    bool bare;       /* it has none */
    bool shares_net; /* it may have the host's network, or another one's */
};

struct engine_stats {
    struct engine *e;
    const struct strv *names;
    bool all;
    struct target *targets;
    size_t n;
    struct procs procs;
    bool known; /* `procs` has been found */
    uint64_t memory_total;
    ino_t host_net;
};

struct sampling {
    struct engine_stats *s;
    enum engine_stats_kind kind;
    struct engine_sample *v; /* of the targets, in their order */
    unsigned *have;
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

static bool has_none(const struct runtime_cgroup *g) {
    bool none = g->v2 < 0;
    for (size_t i = 0; i < ARRAY_LEN(g->v1); i++)
        none = none && g->v1[i] < 0;
    return none;
}

static unsigned sample_cgroup(const struct sampling *x, struct target *t, struct engine_sample *s) {
    autocgroup g = RUNTIME_CGROUP_NONE;
    bool v1 = false;
    if (!t->bare)
        runtime_cgroup_open(t->init, &g);
    t->bare = has_none(&g);
    if (t->bare)
        return 0;
    unsigned have = cgroup_cpu(&g, s) ? HAVE_CPU : 0;
    if (x->kind == ENGINE_STATS_FIRST)
        return have;
    have |= (cgroup_memory(&g, s) ? HAVE_MEMORY : 0) | (cgroup_io(&g, s) ? HAVE_IO : 0);
    int dir = runtime_cgroup_dir(&g, RUNTIME_PIDS, &v1);
    return have | (dir >= 0 && cgroup_number(dir, "pids.current", &s->tasks) ? HAVE_TASKS : 0);
}

/* ---- /proc ---- */

static uint64_t tick_ns(void) { return (uint64_t)(NSEC_PER_SEC / sysconf(_SC_CLK_TCK)); }

static void add_memory_and_io(pid_t pid, uint64_t rss, unsigned have, struct engine_sample *s) {
    autostr struct str text = STR_INIT;
    if (!(have & HAVE_MEMORY) && rss) {
        bool share = proc_file_read(pid, "smaps_rollup", FILE_MAX_BYTES, &text);
        s->memory += share ? proc_number(str_c(&text), "Pss:") << 10 : rss;
        str_clear(&text);
    }
    if (!(have & HAVE_IO) && proc_file_read(pid, "io", FILE_MAX_BYTES, &text)) {
        s->bytes_read += proc_number(str_c(&text), "read_bytes: ");
        s->written += proc_number(str_c(&text), "write_bytes: ");
    }
}

static void add_process(const struct sampling *x, struct procs_one *p) {
    struct proc_stat st;
    struct engine_sample *s = &x->v[p->container];
    unsigned have = x->have[p->container];
    if (!proc_stat_read(p->pid, &st) || (p->start && p->start != st.start)) /* another one has that pid now */
        return;
    p->start = st.start;
    if (p->pid == x->s->targets[p->container].init)
        s->alive = true;
    if (!(have & HAVE_CPU))
        s->cpu += (st.utime + st.stime + st.cutime + st.cstime) * tick_ns();
    if (x->kind == ENGINE_STATS_FIRST)
        return;
    if (!(have & HAVE_TASKS))
        s->tasks += st.threads > 0 ? (uint64_t)st.threads : 0;
    add_memory_and_io(p->pid, st.rss, have, s);
}

static struct err *find_processes(struct engine_stats *s) {
    if (s->known)
        return procs_again(&s->procs);
    pid_t *inits = mem_array(s->n + 1, sizeof *inits);
    for (size_t i = 0; i < s->n; i++)
        inits[i] = s->targets[i].init;
    struct err *e = procs_find(inits, s->n, &s->procs);
    s->known = !e;
    free(inits);
    return e;
}

static struct err *sample_processes(struct sampling *x) {
    const unsigned wanted = x->kind == ENGINE_STATS_FIRST ? HAVE_CPU : HAVE_ALL;
    struct engine_stats *s = x->s;
    bool needed = false;
    int64_t now = clock_boot();
    for (size_t i = 0; i < s->n; i++) {
        needed = needed || (s->targets[i].init && (x->have[i] & wanted) != wanted);
        if (!(x->have[i] & HAVE_CPU))
            x->v[i].at = now;
    }
    if (!needed)
        return NULL;
    TRY(find_processes(s));
    for (size_t i = 0; i < s->procs.n; i++)
        add_process(x, &s->procs.v[i]);
    return NULL;
}

/* docker counts nothing of the host's own network. */
static ino_t net_namespace(pid_t pid) {
    struct stat st;
    autofree char *path = mem_printf("/proc/%d/ns/net", (int)pid);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* "  eth0: received packets … (8 columns) sent …" */
static void sample_network(pid_t init, struct engine_sample *s) {
    autostr struct str text = STR_INIT;
    if (!proc_file_read(init, "net/dev", FILE_MAX_BYTES, &text))
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
static void set_limit(const struct engine_stats *st, struct engine_sample *s) {
    static const char key[] = "\"Memory\":";
    autostr struct str text = STR_INIT;
    bool there = false;
    s->memory_limit = st->memory_total;
    autoerr unread = store_container_text(st->e->store, s->id, "options.json", &text, &there);
    const char *at = unread || !there ? NULL : strstr(str_c(&text), key);
    uint64_t limit = at ? strtoull(at + sizeof key - 1, NULL, 10) : 0;
    if (limit && limit < s->memory_limit)
        s->memory_limit = limit;
}

/* ---- which containers ---- */

static void forget(struct engine_stats *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->targets[i].name);
    free(take_ptr(&s->targets));
    s->n = 0;
    procs_done(&s->procs);
    s->known = false;
}

static void add_target(struct engine_stats *s, const char *id, const char *name, pid_t init, const char *network) {
    struct target *t = &s->targets[s->n++];
    *t = (struct target){.name = mem_dup(name), .init = init > 0 ? init : 0};
    t->shares_net = str_eq(network, "host") || str_starts(network, "container:") || str_starts(network, "ns:");
    memcpy(t->id, id, ID_LEN);
}

static struct err *choose(struct engine_stats *s) {
    const struct engine_list l = {.all = s->all, .last = -1};
    autorows rows = {.n = 0};
    forget(s);
    if (s->names->n) {
        s->targets = mem_array(s->names->n, sizeof *s->targets);
        for (size_t i = 0; i < s->names->n; i++) {
            autocontainer c = ENGINE_CONTAINER_INIT;
            TRY(engine_container_load(s->e, s->names->v[i], &c));
            add_target(s, c.id, engine_container_name(&c), engine_state_alive(&c.state) ? c.state.pid : 0,
                       json_text(c.summary, "NetworkMode"));
        }
        return NULL;
    }
    TRY(engine_container_list(s->e, &l, &rows));
    s->targets = mem_array(rows.n + 1, sizeof *s->targets);
    for (size_t i = 0; i < rows.n; i++)
        add_target(s, rows.v[i]->id, rows.v[i]->name, rows.v[i]->alive ? rows.v[i]->pid : 0, rows.v[i]->network);
    return NULL;
}

/* ---- a sample ---- */

static uint64_t start_of(pid_t pid) {
    uint64_t start = 0;
    autoerr gone = proc_start_time(pid, &start);
    return gone ? 0 : start;
}

/* A first process that has ended has left its pid to anybody: add_process() finds that out of one without a cgroup. */
static bool has_ended(const struct sampling *x, const struct target *t) {
    return !t->init || (x->kind == ENGINE_STATS_SECOND && !t->bare && start_of(t->init) != t->start);
}

static void sample_own(struct sampling *x, size_t i) {
    struct target *t = &x->s->targets[i];
    struct engine_sample *s = &x->v[i];
    *s = (struct engine_sample){.name = mem_dup(t->name), .at = clock_boot()};
    memcpy(s->id, t->id, sizeof s->id);
    if (has_ended(x, t))
        return;
    s->alive = x->kind != ENGINE_STATS_SECOND || !t->bare;
    x->have[i] = sample_cgroup(x, t, s);
    if (x->kind == ENGINE_STATS_FIRST && !t->bare)
        t->start = start_of(t->init);
}

static void sample_around(const struct sampling *x, size_t i) {
    const struct target *t = &x->s->targets[i];
    if (x->kind == ENGINE_STATS_FIRST || !x->v[i].alive)
        return;
    set_limit(x->s, &x->v[i]);
    if (!t->shares_net || net_namespace(t->init) != x->s->host_net)
        sample_network(t->init, &x->v[i]);
}

struct err *engine_stats_sample(struct engine_stats *s, enum engine_stats_kind kind, struct engine_samples *ret) {
    if (kind != ENGINE_STATS_SECOND)
        TRY(choose(s));
    struct sampling x = {.s = s, .kind = kind};
    x.v = mem_array(s->n + 1, sizeof *x.v);
    x.have = mem_array(s->n + 1, sizeof *x.have);
    for (size_t i = 0; i < s->n; i++)
        sample_own(&x, i);
    struct err *bad = sample_processes(&x);
    for (size_t i = 0; !bad && i < s->n; i++)
        sample_around(&x, i);
    struct engine_samples out = {.v = x.v, .n = s->n};
    free(x.have);
    if (bad)
        engine_samples_done(&out);
    else
        *ret = out;
    return bad;
}

struct engine_stats *engine_stats_open(struct engine *e, const struct strv *names, bool all) {
    struct sysinfo si;
    struct engine_stats *s = mem_alloc(sizeof *s);
    *s = (struct engine_stats){.e = e, .names = names, .all = all};
    s->memory_total = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0;
    s->host_net = net_namespace(getpid());
    return s;
}

void engine_stats_free(struct engine_stats *s) {
    if (s)
        forget(s);
    free(s);
}

void engine_samples_done(struct engine_samples *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].name);
    free(s->v);
    *s = (struct engine_samples){.n = 0};
}
