#include "cli/cli_int.h"

static struct err *pause_one(struct cli_ctx *c, const char *name) {
    TRY(engine_container_pause(c->engine, name));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *unpause_one(struct cli_ctx *c, const char *name) {
    TRY(engine_container_unpause(c->engine, name));
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *pause(struct cli_ctx *c, int *ret_code) { return cli_each(c, pause_one, ret_code); }
static struct err *unpause(struct cli_ctx *c, int *ret_code) { return cli_each(c, unpause_one, ret_code); }

static const struct cli_flag no_flags[] = {{.name = NULL}};

const struct cmd cmd_pause = {
    .name = "pause",
    .group = "container",
    .top_level = true,
    .summary = "Pause all processes within one or more containers",
    .usage = "CONTAINER [CONTAINER...]",
    .description = "Halts every process of a container by the freezer of its cgroup. Where the user has no cgroups, "
                   "each process gets SIGSTOP instead and, by unpause, SIGCONT: a process that waits for its "
                   "children's stops can tell, and containers that share its pid namespace stand still, too. stop "
                   "and kill let a paused container go on to its end.",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .complete_rest = CLI_COMPLETE_RUNNING,
    .flags = no_flags,
    .run = pause,
};

const struct cmd cmd_unpause = {
    .name = "unpause",
    .group = "container",
    .top_level = true,
    .summary = "Unpause all processes within one or more containers",
    .usage = "CONTAINER [CONTAINER...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .complete_rest = CLI_COMPLETE_RUNNING,
    .flags = no_flags,
    .run = unpause,
};
