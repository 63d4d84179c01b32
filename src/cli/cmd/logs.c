#include "cli/cli_int.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool details, follow, timestamps;
    char *since, *until, *tail;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "details", .type = CLI_BOOL, .offset = AT(details), .help = "Show extra details provided to logs"},
    {.name = "follow", .letter = 'f', .type = CLI_BOOL, .offset = AT(follow), .help = "Follow log output"},
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

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    struct monitor_log_read r = {
        .tail = -1,
        .follow = o->follow,
        .timestamps = o->timestamps,
        .details = o->details,
        .out = STDOUT_FILENO,
        .err = STDERR_FILENO,
        .lock_fd = -1,
        .interrupt_fd = -1,
    };
    int64_t now = clock_now();
    /* docker takes what is no number for "all", and so do we */
    if (!str_to_i64(o->tail, 0, INT64_MAX, &r.tail))
        r.tail = -1;
    if (o->since)
        TRY(clock_parse_since(o->since, now, &r.since));
    if (o->until)
        TRY(clock_parse_since(o->until, now, &r.until));
    return engine_container_logs(c->engine, c->args[0], &r);
}

const struct cmd cmd_logs = {
    .name = "logs",
    .group = "container",
    .top_level = true,
    .summary = "Fetch the logs of a container",
    .usage = "[OPTIONS] CONTAINER",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
