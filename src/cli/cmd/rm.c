#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    bool force, volumes;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "force",
     .letter = 'f',
     .type = CLI_BOOL,
     .offset = AT(force),
     .help = "Force the removal of a running container (uses SIGKILL)"},
    {.name = "link",
     .letter = 'l',
     .type = CLI_BOOL,
     .standing = CLI_REFUSED,
     .reason = "a link lasts as long as the container that has it",
     .help = "Remove the specified link"},
    {.name = "volumes",
     .letter = 'v',
     .type = CLI_BOOL,
     .offset = AT(volumes),
     .help = "Remove anonymous volumes of the container"},
    {.name = NULL},
};

static struct err *remove_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    struct err *e = engine_container_remove(c->engine, name, o->force, o->volumes);
    if (e && o->force && err_kind(e) == ERR_NOT_FOUND) { /* docker: a missing one is said, and is no failure under -f */
        cli_error(c, e);
        err_free(e);
        return NULL;
    }
    TRY(e);
    fprintf(c->out, "%s\n", name);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) { return cli_each(c, remove_one, ret_code); }

const struct cmd cmd_rm = {
    .name = "rm",
    .group = "container",
    .aliases = "remove",
    .top_level = true,
    .summary = "Remove one or more containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
