#include "cli/cli_int.h"

#include <stddef.h>

#include "engine/files.h"

struct opts {
    char *output;
};

static const struct cli_flag flags[] = {
    {.name = "output",
     .letter = 'o',
     .type = CLI_STRING,
     .offset = offsetof(struct opts, output),
     .complete = CLI_COMPLETE_FILES,
     .help = "Write to a file, instead of STDOUT"},
    {.name = NULL},
};

static struct err *export_to(void *ctx, int fd) {
    const struct cli_ctx *c = ctx;
    return engine_container_export(c->engine, c->args[0], fd);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    return cli_to_file(c, o->output, export_to, c);
}

const struct cmd cmd_export = {
    .name = "export",
    .group = "container",
    .top_level = true,
    .summary = "Export a container's filesystem as a tar archive",
    .description = "The root file system as the container sees it, without what is mounted in it: volumes and bind "
                   "mounts are empty directories. Owners are the container's, by number.",
    .usage = "[OPTIONS] CONTAINER",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
