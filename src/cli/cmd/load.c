#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

struct opts {
    bool quiet;
    char *input, *platform;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "input",
     .letter = 'i',
     .type = CLI_STRING,
     .offset = AT(input),
     .complete = CLI_COMPLETE_FILES,
     .help = "Read from a tar archive, instead of STDIN"},
    {.name = "platform", .type = CLI_STRING, .offset = AT(platform), .help = "Load only the given platform variant"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Suppress the load output"},
    {.name = NULL},
};

static struct err *load_from(struct cli_ctx *c, int fd) {
    const struct opts *o = c->opts;
    autostrv struct strv references = {.n = 0};
    autostrv struct strv ids = {.n = 0};
    struct cli_progress *progress = cli_progress_new(stderr, c->host->stderr_tty, true);
    const struct image_progress_fn fn = {cli_progress_event, progress};
    struct err *e = engine_image_load(c->engine, fd, o->platform, fn, &references, &ids);
    cli_progress_done(progress);
    TRY(e);
    cli_print_loaded(c->out, &references, &ids);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    if (!o->input && c->host->stdin_tty)
        return err_hint(err_new(ERR_USAGE, "requested load from stdin, but stdin is empty"),
                        "name an archive with -i, or redirect one");
    if (!o->input)
        return load_from(c, STDIN_FILENO);
    autofd int fd = -1;
    TRY(fd_open_at(AT_FDCWD, o->input, O_RDONLY, 0, &fd));
    return load_from(c, fd);
}

const struct cmd cmd_load = {
    .name = "load",
    .group = "image",
    .top_level = true,
    .summary = "Load an image from a tar archive or STDIN",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
