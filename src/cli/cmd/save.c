#include "cli/cli_int.h"

#include <fcntl.h>
#include <stddef.h>

struct opts {
    char *output, *format;
};

static const struct form {
    const char *word;
    enum image_format format;
    bool dir;
} forms[] = {{"docker-archive", IMAGE_SAVE_DOCKER, false},
             {"oci-archive", IMAGE_SAVE_OCI, false},
             {"oci-dir", IMAGE_SAVE_OCI_DIR, true},
             {"docker-dir", IMAGE_SAVE_DIR, true}};

static const struct cli_flag flags[] = {
    {.name = "format",
     .type = CLI_STRING,
     .offset = offsetof(struct opts, format),
     .def = "docker-archive",
     .complete = CLI_COMPLETE_WORDS,
     .words = "docker-archive oci-archive oci-dir docker-dir",
     .help = "What to write, as podman: \"docker-archive\", \"oci-archive\", or into a new directory \"oci-dir\", "
             "\"docker-dir\""},
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

static const struct form *find_form(const char *word) {
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (str_eq(word, forms[i].word))
            return &forms[i];
    return NULL;
}

static struct err *save_to(void *ctx, int fd) {
    struct cli_ctx *c = ctx;
    const struct opts *o = c->opts;
    autostrv struct strv names = {.n = 0};
    for (int i = 0; i < c->n_args; i++)
        strv_push(&names, c->args[i]);
    return engine_image_save(c->engine, &names, find_form(o->format)->format, fd);
}

static struct err *save_to_dir(struct cli_ctx *c, const char *path) {
    autofd int dir = -1;
    TRY(io_mkdirs(AT_FDCWD, path, 0755));
    TRY(fd_open_dir(AT_FDCWD, path, &dir));
    return save_to(c, dir);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct form *form = find_form(o->format);
    if (!form)
        return err_new(ERR_USAGE, "unknown format \"%s\": choose docker-archive, oci-archive, oci-dir or docker-dir",
                       o->format);
    if (form->dir && !o->output)
        return err_new(ERR_USAGE, "--format %s wants a directory: name it with -o", o->format);
    return form->dir ? save_to_dir(c, o->output) : cli_to_file(c, o->output, save_to, c);
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
