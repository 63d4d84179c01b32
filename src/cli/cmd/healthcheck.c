/* healthcheck: podman's command to check a container at once, for scripts. */
#include "cli/cli_int.h"

static struct err *run(struct cli_ctx *c, int *ret_code) {
    int code = 0;
    TRY(engine_container_healthcheck(c->engine, c->args[0], &code));
    if (code != 0)
        fprintf(c->out, "unhealthy\n");
    *ret_code = code != 0;
    return NULL;
}

const struct cmd cmd_healthcheck_run = {
    .name = "run",
    .group = "healthcheck",
    .summary = "Run a container's health check now",
    .usage = "CONTAINER",
    .description = "Carries out the check that the container was created with, waits for it, and exits with 1 when it\n"
                   "failed. The result counts like that of any other check.",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_RUNNING,
    .run = run,
};
