#include "cli/cmd/container_flags_int.h"

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    struct container_flags *f = c->opts;
    autocreated created = ENGINE_CREATED_INIT;
    TRY(container_flags_finish(c, f));
    TRY(container_flags_create(c, f, false, &created));
    if (*created.id)
        fprintf(c->out, "%s\n", created.id);
    return NULL;
}

const struct cmd cmd_create = {
    .name = "create",
    .group = "container",
    .top_level = true,
    .summary = "Create a new container",
    .usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    .min_args = 1,
    .max_args = -1,
    .stop_at_positional = true,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = cli_container_flags,
    .opts_size = sizeof(struct container_flags),
    .opts_done = container_flags_done,
    .run = run,
};
