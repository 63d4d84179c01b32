#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    char *signal;
    int64_t timeout;
    bool timeout_set;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "signal",
     .letter = 's',
     .type = CLI_STRING,
     .offset = AT(signal),
     .complete = CLI_COMPLETE_SIGNALS,
     .help = "Signal to send to the container"},
    {.name = "timeout",
     .alias = "time",
     .letter = 't',
     .type = CLI_INT,
     .offset = AT(timeout),
     .set_offset = AT(timeout_set),
     .help = "Seconds to wait before killing the container"},
    {.name = NULL},
};

/* What the engine understands: -1 the container's own, -2 for ever. */
static int timeout_of(const struct opts *o) {
    if (!o->timeout_set)
        return -1;
    return o->timeout < 0 ? -2 : o->timeout > INT32_MAX ? INT32_MAX : (int)o->timeout;
}

static struct err *stop_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    bool at_once = false;
    TRY(engine_container_stop(c->engine, name, o->signal, timeout_of(o), &at_once));
    if (at_once)
        log_info("%s cannot receive the stop signal (its first process has no handler for it): killed at once", name);
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *restart_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    TRY(engine_container_restart(c->engine, name, o->signal, timeout_of(o)));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *stop(struct cli_ctx *c, int *ret_code) { return cli_each(c, stop_one, ret_code); }
static struct err *restart(struct cli_ctx *c, int *ret_code) { return cli_each(c, restart_one, ret_code); }

const struct cmd cmd_stop = {
    .name = "stop",
    .group = "container",
    .top_level = true,
    .summary = "Stop one or more running containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .description = "Sends the stop signal to a container's first process and kills it when the timeout has passed. A "
                   "process that has no handler for the "
                   "signal could never receive it, since it is the first of its namespace: it is killed at once.",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .complete_rest = CLI_COMPLETE_RUNNING,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = stop,
};

const struct cmd cmd_restart = {
    .name = "restart",
    .group = "container",
    .top_level = true,
    .summary = "Restart one or more containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = restart,
    .enters_containers = true,
};
