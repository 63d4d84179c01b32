#include "cli/cli_int.h"

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    return engine_image_tag(c->engine, c->args[0], c->args[1]);
}

const struct cmd cmd_tag = {
    .name = "tag",
    .group = "image",
    .top_level = true,
    .summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    .usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .run = run,
};
