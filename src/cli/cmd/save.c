#include "cli/cli_int.h"

#include <stddef.h>

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
    {.name = "platform",
     .type = CLI_STRING,
     .standing = CLI_REFUSED,
     .reason = "an image is stored for one platform",
     .help = "Save only the given platform variant"},
    {.name = NULL},
};

static struct err *save_to(struct cli_ctx *c, int fd) {
    autostrv struct strv names = {.n = 0};
    for (int i = 0; i < c->n_args; i++)
        strv_push(&names, c->args[i]);
    return engine_image_save(c->engine, &names, fd);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    return cli_to_file(c, o->output, save_to);
}

const struct cmd cmd_save = {
    .name = "save",
    .group = "image",
    .top_level = true,
    .summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
    .usage = "[OPTIONS] IMAGE [IMAGE...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
