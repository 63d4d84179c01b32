/* system share: images for all users of a machine. */
#include "cli/cli_int.h"
#include "engine/shared.h"

#include "base/path.h"

#include <stddef.h>
#include <unistd.h>

struct opts {
    bool prune, quiet;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "prune", .type = CLI_BOOL, .offset = AT(prune), .help = "Take away what is shared there besides"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Do not list what is shared"},
    {.name = NULL},
};

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0}, shared = {.n = 0};
    autofree char *cwd = getcwd(NULL, 0);
    autofree char *dir = path_join(cwd ? cwd : "/", c->args[0]);
    for (int i = 1; i < c->n_args; i++)
        strv_push(&names, c->args[i]);
    TRY(engine_share(c->engine, dir, &names, o->prune, &shared));
    for (size_t i = 0; !o->quiet && i < shared.n; i++)
        fprintf(c->out, "%s\n", shared.v[i]);
    return NULL;
}

const struct cmd cmd_system_share = {
    .name = "share",
    .group = "system",
    .summary = "Put images into a directory from which all users of the machine have them",
    .usage = "[OPTIONS] DIRECTORY [IMAGE...]",
    .description =
        "Puts the named images, or all that have a name, into a directory that other users can name in their "
        "config.json: {\"additional-image-stores\": [\"DIRECTORY\"]}. They have the images then without pulling or "
        "copying them, read-only. The directory must exist and be empty or one of shared images; on the file system of "
        "the store nothing is copied. Files that not everybody may read, and setuid ones, are not laid open: others "
        "unpack those from the layers. Run it again after a pull.",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
