/* system reset: back to nothing. */
#include "cli/cli_int.h"
#include "engine/check.h"

#include <stddef.h>

struct opts {
    bool force;
};

static const struct cli_flag flags[] = {
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = offsetof(struct opts, force),
     .help = "Do not prompt for confirmation"},
    {.name = NULL},
};

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autofree char *warning = mem_printf("WARNING! This will remove everything in %s:\n"
                                        "  - all containers, running or not\n"
                                        "  - all images\n"
                                        "  - all networks\n"
                                        "  - all volumes with their data\n\n",
                                        c->host->data_root);
    return o->force || cli_confirm(c, warning) ? engine_reset(c->engine) : NULL;
}

const struct cmd cmd_system_reset = {
    .name = "reset",
    .group = "system",
    .summary = "Remove everything: containers, images, networks, volumes",
    .usage = "[OPTIONS]",
    .description =
        "Asks, then stops and removes all containers and removes the whole content of the store: images, networks, "
        "volumes with their data, what is in quarantine, the journal of events. The files of container users (of "
        "subordinate ids) go too. The configuration and credentials stay. Directories of the user that containers or "
        "volumes have bound are not touched.",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
