#include "cli/cli_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct opts {
    char *output;
};

static const struct cli_flag flags[] = {
    {.name = "output",
     .letter = 'o',
     .type = CLI_STRING,
     .offset = offsetof(struct opts, output),
     .complete = CLI_COMPLETE_FILES,
     .help = "Write to a file, instead of STDOUT"},
    {.name = "platform",
     .type = CLI_STRING,
     .standing = CLI_REFUSED,
     .reason = "an image is stored for one platform",
     .help = "Save only the given platform variant"},
    {.name = NULL},
};

/* A regular file appears whole or not at all; anything else (a pipe, /dev/null) is written as it is. */
static struct err *save_to_file(struct cli_ctx *c, const struct strv *names, const char *path) {
    struct stat st;
    autofd int fd = -1;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        TRY(fd_open_at(AT_FDCWD, path, O_WRONLY, 0, &fd));
        return engine_image_save(c->engine, names, fd);
    }
    autofree char *part = mem_printf("%s.part-%d", path, (int)getpid());
    TRY(fd_open_at(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd));
    struct err *e = engine_image_save(c->engine, names, fd);
    if (!e && rename(part, path) < 0)
        e = err_sys(errno, "rename %s to %s", part, path);
    if (e)
        unlink(part);
    return e;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0};
    for (int i = 0; i < c->n_args; i++)
        strv_push(&names, c->args[i]);
    if (o->output)
        return save_to_file(c, &names, o->output);
    if (c->host->stdout_tty)
        return err_new(ERR_USAGE, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    return engine_image_save(c->engine, &names, STDOUT_FILENO);
}

const struct cmd cmd_save = {
    .name = "save",
    .group = "image",
    .top_level = true,
    .summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
    .usage = "[OPTIONS] IMAGE [IMAGE...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
