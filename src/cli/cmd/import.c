#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

struct opts {
    struct strv change;
    char *message, *platform;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "change",
     .letter = 'c',
     .type = CLI_LIST,
     .offset = AT(change),
     .help = "Apply a Dockerfile instruction to the created image"},
    {.name = "message",
     .letter = 'm',
     .type = CLI_STRING,
     .offset = AT(message),
     .help = "Set the commit message of the imported image"},
    {.name = "platform", .type = CLI_STRING, .offset = AT(platform), .help = "Platform of the image (linux/arm64)"},
    {.name = NULL},
};

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const char *source = c->args[0];
    bool url = strstr(source, "://") != NULL;
    int interrupted = -1;
    if (url)
        TRY(cli_interrupt_fd(&interrupted));
    autofd int file = -1;
    if (!url && strcmp(source, "-") != 0)
        TRY(fd_open_at(AT_FDCWD, source, O_RDONLY, 0, &file));
    const struct engine_import i = {
        .fd = file >= 0 ? file : STDIN_FILENO,
        .url = url ? source : NULL,
        .interrupted_fd = url ? &interrupted : NULL,
        .reference = c->n_args > 1 ? c->args[1] : NULL,
        .message = o->message,
        .platform = o->platform,
        .changes = &o->change,
    };
    char id[65] = "";
    TRY(engine_image_import(c->engine, &i, id));
    fprintf(c->out, "sha256:%s\n", id);
    return NULL;
}

const struct cmd cmd_import = {
    .name = "import",
    .group = "image",
    .top_level = true,
    .summary = "Import the contents from a tarball to create a filesystem image",
    .usage = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_FILES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
