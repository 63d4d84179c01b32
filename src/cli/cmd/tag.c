#include "cli/cli_int.h"

#include "engine/podman.h"

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

static struct err *run_untag(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autostrv struct strv names = {.n = 0};
    for (int i = 1; i < c->n_args; i++)
        strv_push(&names, c->args[i]);
    return engine_image_untag(c->engine, c->args[0], &names);
}

const struct cmd cmd_untag = {
    .name = "untag",
    .group = "image",
    .top_level = true,
    .summary = "Take names from an image, which stays",
    .usage = "IMAGE [IMAGE[:TAG]...]",
    .description = "Takes the names that follow from the image, or all that it has. podman's command of the same name.",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .run = run_untag,
};
