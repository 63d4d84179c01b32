#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    char *signal;
};

static const struct cli_flag flags[] = {
    {.name = "signal",
     .letter = 's',
     .type = CLI_STRING,
     .offset = offsetof(struct opts, signal),
     .complete = CLI_COMPLETE_SIGNALS,
     .help = "Signal to send to the container"},
    {.name = NULL},
};

static struct err *kill_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    TRY(engine_container_kill(c->engine, name, o->signal));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) { return cli_each(c, kill_one, ret_code); }

const struct cmd cmd_kill = {
    .name = "kill",
    .group = "container",
    .top_level = true,
    .summary = "Kill one or more running containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .complete_rest = CLI_COMPLETE_RUNNING,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
