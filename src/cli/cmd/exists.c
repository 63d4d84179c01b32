/* exists: podman's questions for scripts: 0 for yes, 1 for no, 125 where it cannot be told; nothing is printed. */
#include "cli/cli_int.h"

/* Takes the error of a look-up: what is not there is an answer. */
static struct err *answer(struct err *take_error, int *ret_code) {
    if (!take_error || err_kind(take_error) != ERR_NOT_FOUND)
        return take_error;
    err_free(take_error);
    *ret_code = 1;
    return NULL;
}

static struct err *run_container(struct cli_ctx *c, int *ret_code) {
    struct engine_container_facts facts;
    return answer(engine_container_facts(c->engine, c->args[0], &facts), ret_code);
}

static struct err *run_image(struct cli_ctx *c, int *ret_code) {
    autojson image = NULL;
    return answer(engine_image_inspect(c->engine, c->args[0], NULL, &image), ret_code);
}

static struct err *run_network(struct cli_ctx *c, int *ret_code) {
    autojson network = NULL;
    return answer(engine_network_inspect(c->engine, c->args[0], &network), ret_code);
}

static struct err *run_volume(struct cli_ctx *c, int *ret_code) {
    autojson volume = NULL;
    return answer(engine_volume_inspect(c->engine, c->args[0], &volume), ret_code);
}

const struct cmd cmd_container_exists = {
    .name = "exists",
    .group = "container",
    .summary = "Tell by the exit code whether a container exists",
    .usage = "CONTAINER",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_CONTAINERS,
    .run = run_container,
};

const struct cmd cmd_image_exists = {
    .name = "exists",
    .group = "image",
    .summary = "Tell by the exit code whether an image is stored",
    .usage = "IMAGE",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_IMAGES,
    .run = run_image,
};

const struct cmd cmd_network_exists = {
    .name = "exists",
    .group = "network",
    .summary = "Tell by the exit code whether a network exists",
    .usage = "NETWORK",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_NETWORKS,
    .run = run_network,
};

const struct cmd cmd_volume_exists = {
    .name = "exists",
    .group = "volume",
    .summary = "Tell by the exit code whether a volume exists",
    .usage = "VOLUME",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 125,
    .complete = CLI_COMPLETE_VOLUMES,
    .run = run_volume,
};
