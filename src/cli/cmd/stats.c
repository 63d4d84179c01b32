/* stats: samples of what containers use, once, or anew each second. */
#include "cli/cli_int.h"
#include "engine/observe.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

struct opts {
    bool all, no_stream, no_trunc;
    char *format;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all),
     .help = "Show all containers (default shows just running)"},
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "no-stream",
     .type = CLI_BOOL,
     .offset = AT(no_stream),
     .help = "Disable streaming stats and only pull the first result"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Do not truncate output"},
    {.name = NULL},
};

static const char *const headers[][2] = {
    {"Container", "CONTAINER"},
    {"Name", "NAME"},
    {"ID", "CONTAINER ID"},
    {"CPUPerc", "CPU %"},
    {"MemUsage", "MEM USAGE / LIMIT"},
    {"MemPerc", "MEM %"},
    {"NetIO", "NET I/O"},
    {"BlockIO", "BLOCK I/O"},
    {"PIDs", "PIDS"},
    {NULL, NULL},
};

static const struct cli_table table = {
    .default_format = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t"
                      "{{.PIDs}}",
    .headers = headers,
};

/* ---- a row ---- */

/* docker's units.BytesSize: four significant digits, powers of 1024. */
static void binary_size(uint64_t bytes, struct str *out) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    size_t i = 0;
    for (; size >= 1024.0 && i + 1 < ARRAY_LEN(units); i++)
        size /= 1024.0;
    str_appendf(out, "%.4g%s", size, units[i]);
}

static void set_memory(struct json *row, const struct engine_sample *s) {
    autostr struct str usage = STR_INIT;
    autostr struct str share = STR_INIT;
    binary_size(s->memory, &usage);
    str_append(&usage, " / ");
    binary_size(s->memory_limit, &usage);
    str_appendf(&share, "%.2f%%", s->memory_limit ? 100.0 * (double)s->memory / (double)s->memory_limit : 0.0);
    json_set_str(row, "MemPerc", str_c(&share));
    json_set_str(row, "MemUsage", str_c(&usage));
}

static void set_pair(struct json *row, const char *key, uint64_t in, uint64_t out) {
    autostr struct str s = STR_INIT;
    cli_human_size((int64_t)in, 3, &s);
    str_append(&s, " / ");
    cli_human_size((int64_t)out, 3, &s);
    json_set_str(row, key, str_c(&s));
}

/* Between two samples; of one alone nothing is known. */
static void set_cpu(struct json *row, const struct engine_sample *s, const struct engine_sample *before) {
    autostr struct str text = STR_INIT;
    if (!s->alive)
        str_append(&text, "0.00%");
    else if (!before || s->at <= before->at)
        str_append(&text, "--");
    else
        str_appendf(&text, "%.2f%%",
                    s->cpu > before->cpu ? 100.0 * (double)(s->cpu - before->cpu) / (double)(s->at - before->at) : 0.0);
    json_set_str(row, "CPUPerc", str_c(&text));
}

static struct json *row_of(const struct engine_sample *s, const struct engine_sample *before, const char *asked,
                           bool no_trunc) {
    struct json *row = json_object();
    autofree char *id = mem_dupn(s->id, no_trunc ? ID_LEN : ID_SHORT_LEN);
    autostr struct str tasks = STR_INIT;
    str_appendf(&tasks, "%llu", (unsigned long long)s->tasks);
    set_pair(row, "BlockIO", s->bytes_read, s->written);
    set_cpu(row, s, before);
    json_set_str(row, "Container", asked ? asked : id);
    json_set_str(row, "ID", id);
    set_memory(row, s);
    json_set_str(row, "Name", s->name);
    set_pair(row, "NetIO", s->received, s->sent);
    json_set_str(row, "PIDs", str_c(&tasks));
    return row;
}

/* ---- a picture ---- */

static const struct engine_sample *find(const struct engine_samples *in, const char *id) {
    for (size_t i = 0; i < in->n; i++)
        if (in->v[i].alive && !strcmp(in->v[i].id, id))
            return &in->v[i];
    return NULL;
}

static struct err *render(struct cli_ctx *c, const struct engine_samples *now, const struct engine_samples *before) {
    const struct opts *o = c->opts;
    autojson rows = json_array();
    for (size_t i = 0; i < now->n; i++)
        json_push(rows, row_of(&now->v[i], find(before, now->v[i].id), c->n_args ? c->args[i] : NULL, o->no_trunc));
    return cli_render_rows(c, &table, rows, o->format, false);
}

/* Over the one before, line by line, so that nothing flickers. */
static void redraw(FILE *out, const char *text, bool first) {
    fputs(first ? "\033[2J\033[H" : "\033[H", out);
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        fprintf(out, "%.*s\033[K\n", (int)strcspn(text, "\n"), text);
    fputs("\033[J", out);
}

static struct err *show(struct cli_ctx *c, const struct engine_samples *now, const struct engine_samples *before,
                        bool first) {
    const struct opts *o = c->opts;
    if (o->no_stream || !c->host->stdout_tty) {
        TRY(render(c, now, before));
    } else {
        autofree char *text = NULL;
        size_t size = 0;
        struct cli_ctx picture = *c;
        picture.out = open_memstream(&text, &size);
        if (!picture.out)
            return err_sys(errno, "draw the table");
        struct err *bad = render(&picture, now, before);
        bool whole = fclose(picture.out) == 0;
        TRY(bad);
        redraw(c->out, whole ? text : "", first);
    }
    return fflush(c->out) == 0 ? NULL : err_new(ERR_SYSTEM, "write to standard output");
}

/* ---- the command ---- */

/* The next beat of the second's clock; *ret_over: the user has had enough. */
static struct err *await_beat(int interrupt_fd, int64_t at, bool *ret_over) {
    struct pollfd p = {.fd = interrupt_fd, .events = POLLIN};
    int64_t left = at - clock_boot();
    int n = poll(&p, 1, left > 0 ? (int)(left / NSEC_PER_MSEC + 1) : 0);
    if (n < 0 && errno != EINTR)
        return err_sys(errno, "wait for the next second");
    *ret_over = n > 0;
    return NULL;
}

static struct err *stream(struct cli_ctx *c, const struct strv *names, int interrupt_fd) {
    const struct opts *o = c->opts;
    autosamples before = {.n = 0};
    autostats stats = engine_stats_open(c->engine, names, o->all);
    int64_t beat = clock_boot();
    for (bool first = true;; first = false) {
        struct engine_samples now = {.n = 0};
        bool over = false;
        const enum engine_stats_kind pair = first ? ENGINE_STATS_FIRST : ENGINE_STATS_SECOND;
        struct err *bad = engine_stats_sample(stats, o->no_stream ? pair : ENGINE_STATS_WHOLE, &now);
        if (bad && !first && err_kind(bad) == ERR_NOT_FOUND) { /* one that was asked for has been removed */
            err_free(bad);
            return NULL;
        }
        TRY(bad);
        bad = first && o->no_stream ? NULL : show(c, &now, &before, first);
        engine_samples_done(&before);
        before = now;
        TRY(bad);
        if (!first && o->no_stream)
            return NULL;
        beat += NSEC_PER_SEC;
        TRY(await_beat(interrupt_fd, beat, &over));
        if (over)
            return err_new(ERR_INTERRUPTED, "interrupted");
    }
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    autostrv struct strv names = {.n = 0};
    int interrupt_fd;
    for (int i = 0; i < c->n_args; i++)
        strv_push(&names, c->args[i]);
    TRY(cli_interrupt_fd(&interrupt_fd));
    autoerr bad = stream(c, &names, interrupt_fd);
    if (bad && err_kind(bad) == ERR_INTERRUPTED) { /* how one leaves it */
        *ret_code = cli_interrupt_code();
        return NULL;
    }
    return take_ptr(&bad);
}

const struct cmd cmd_stats = {
    .name = "stats",
    .group = "container",
    .top_level = true,
    .summary = "Display a live stream of container(s) resource usage statistics",
    .usage = "[OPTIONS] [CONTAINER...]",
    .description = "Shows processor time, memory, network and block device traffic and the number of tasks, anew each "
                   "second. Figures come from the container's cgroup where it has one, else from its processes; memory "
                   "is then their proportional share of what is in memory",
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .complete_rest = CLI_COMPLETE_RUNNING,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
