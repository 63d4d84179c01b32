#include "cli/cli_int.h"

#include <stddef.h>

#include "engine/files.h"

struct opts {
    char *author, *message;
    struct strv change;
    bool pause;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "author",
     .letter = 'a',
     .type = CLI_STRING,
     .offset = AT(author),
     .help = "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"},
    {.name = "change",
     .letter = 'c',
     .type = CLI_LIST,
     .offset = AT(change),
     .help = "Apply a Dockerfile instruction to the created image"},
    {.name = "message", .letter = 'm', .type = CLI_STRING, .offset = AT(message), .help = "Commit message"},
    {.name = "pause",
     .letter = 'p',
     .type = CLI_BOOL,
     .offset = AT(pause),
     .def = "true",
     .help = "Pause container during commit"},
    {.name = NULL},
};

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct engine_commit commit = {
        .container = c->args[0],
        .reference = c->n_args > 1 && *c->args[1] ? c->args[1] : NULL,
        .author = o->author,
        .message = o->message,
        .changes = &o->change,
        .pause = o->pause,
    };
    char id[65] = "";
    TRY(engine_container_commit(c->engine, &commit, id));
    fprintf(c->out, "sha256:%s\n", id);
    return NULL;
}

const struct cmd cmd_commit = {
    .name = "commit",
    .group = "container",
    .top_level = true,
    .summary = "Create a new image from a container's changes",
    .description =
        "The image has the layers of the container's image and one more with what the container has changed: "
        "only that is read and written. Its config is the container's, with the instructions of --change "
        "applied. A running container is paused meanwhile.",
    .usage = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
