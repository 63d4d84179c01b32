#include "cli/cli_int.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool color, details, follow, latest, names, timestamps;
    char *since, *until, *tail;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "color",
     .type = CLI_BOOL,
     .offset = AT(color),
     .help = "Show the names of containers in colors of their own (podman)"},
    {.name = "details", .type = CLI_BOOL, .offset = AT(details), .help = "Show extra details provided to logs"},
    {.name = "follow", .letter = 'f', .type = CLI_BOOL, .offset = AT(follow), .help = "Follow log output"},
    {.name = "latest",
     .letter = 'l',
     .type = CLI_BOOL,
     .offset = AT(latest),
     .help = "Show the logs of the latest created container (podman)"},
    {.name = "names",
     .type = CLI_BOOL,
     .offset = AT(names),
     .help = "Show the container's name before each line, instead of the id (podman)"},
    {.name = "since",
     .type = CLI_STRING,
     .offset = AT(since),
     .help = "Show logs since a time (\"2026-01-02T13:23:37Z\") or for a while (\"42m\")"},
    {.name = "tail",
     .letter = 'n',
     .type = CLI_STRING,
     .offset = AT(tail),
     .def = "all",
     .help = "Number of lines to show from the end of the logs"},
    {.name = "timestamps", .letter = 't', .type = CLI_BOOL, .offset = AT(timestamps), .help = "Show timestamps"},
    {.name = "until", .type = CLI_STRING, .offset = AT(until), .help = "Show logs before a time or until a while ago"},
    {.name = NULL},
};

static struct err *reading(const struct opts *o, struct monitor_log_read *ret) {
    int64_t now = clock_now();
    *ret = (struct monitor_log_read){
        .tail = -1,
        .follow = o->follow,
        .timestamps = o->timestamps,
        .details = o->details,
        .out = STDOUT_FILENO,
        .err = STDERR_FILENO,
        .lock_fd = -1,
        .interrupt_fd = -1,
    };
    /* docker takes what is no number for "all", and so do we */
    if (!str_to_i64(o->tail, 0, INT64_MAX, &ret->tail))
        ret->tail = -1;
    if (o->since)
        TRY(clock_parse_since(o->since, now, &ret->since));
    if (o->until)
        TRY(clock_parse_since(o->until, now, &ret->until));
    return NULL;
}

/* Which containers: those named, or --latest. */
static struct err *named(const struct cli_ctx *c, struct strv *ret) {
    const struct opts *o = c->opts;
    const struct engine_list newest = {.all = true, .last = 1};
    autorows rows = {.n = 0};
    for (int i = 0; i < c->n_args; i++)
        strv_push(ret, c->args[i]);
    if (!o->latest && !c->n_args)
        return err_new(ERR_USAGE, "'coracle %s' requires 1 argument", c->called_as);
    if (o->latest && c->n_args)
        return err_new(ERR_USAGE, "--latest and containers cannot be used together");
    if (!o->latest)
        return NULL;
    TRY(engine_container_list(c->engine, &newest, &rows));
    if (!rows.n)
        return err_new(ERR_NOT_FOUND, "there is no container");
    strv_push(ret, rows.v[0]->id);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0};
    struct engine_logs l = {.by_name = o->names, .colour = o->color};
    TRY(named(c, &names));
    TRY(reading(o, &l.read));
    l.names = names.v;
    l.n = names.n;
    if (names.n == 1 && !o->names)
        return engine_container_logs(c->engine, names.v[0], &l.read);
    return engine_containers_logs(c->engine, &l);
}

const struct cmd cmd_logs = {
    .name = "logs",
    .group = "container",
    .top_level = true,
    .summary = "Fetch the logs of a container",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .description =
        "Prints what a container has written to its standard output and error. Of several containers, or with\n"
        "--names, each line has the container's short id or name before it; those that are followed come as\n"
        "they are written, others one container after the other.",
    .min_args = 0,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
