#include "cli/cli_int.h"

#include <stddef.h>

#include "engine/podman.h"

struct opts {
    struct strv condition;
};

static const struct cli_flag flags[] = {
    {.name = "condition",
     .type = CLI_LIST,
     .offset = offsetof(struct opts, condition),
     .complete = CLI_COMPLETE_WORDS,
     .words = "created running paused exited stopped healthy unhealthy removed",
     .help = "Wait for one of these states instead (running, healthy, …); of one that has not ended -1 is printed"},
    {.name = NULL},
};

static struct err *wait_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    int code = 0;
    if (o->condition.n)
        TRY(engine_container_await(c->engine, name, &o->condition, &code));
    else
        TRY(engine_container_wait(c->engine, name, &code));
    fprintf(c->out, "%d\n", code);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) { return cli_each(c, wait_one, ret_code); }

const struct cmd cmd_wait = {
    .name = "wait",
    .group = "container",
    .top_level = true,
    .summary = "Block until one or more containers stop, then print their exit codes",
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

static struct err *rename_run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    return engine_container_rename(c->engine, c->args[0], c->args[1]);
}

const struct cmd cmd_rename = {
    .name = "rename",
    .group = "container",
    .top_level = true,
    .summary = "Rename a container",
    .usage = "CONTAINER NEW_NAME",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .run = rename_run,
};
