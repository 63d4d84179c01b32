#include "cli/cli_int.h"

#include "engine/files.h"

static struct err *print_change(void *ctx, char kind, const char *path) {
    fprintf(ctx, "%c %s\n", kind, path);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    if (!*c->args[0])
        return err_new(ERR_USAGE, "container name cannot be empty");
    return engine_container_diff(c->engine, c->args[0], print_change, c->out);
}

const struct cmd cmd_diff = {
    .name = "diff",
    .group = "container",
    .top_level = true,
    .summary = "Inspect changes to files or directories on a container's filesystem",
    .description = "Lists what the container has changed since it was made from its image: A for added, C for changed, "
                   "D for deleted. Only the container's own layer is read, however large the image.",
    .usage = "CONTAINER",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .run = run,
};
