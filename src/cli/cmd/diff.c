#include "cli/cli_int.h"

#include <stddef.h>

#include "engine/files.h"

struct opts {
    char *format;
};

static struct err *print_change(void *ctx, char kind, const char *path) {
    fprintf(ctx, "%c %s\n", kind, path);
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    if (!*c->args[0])
        return err_new(ERR_USAGE, "container name cannot be empty");
    return engine_container_diff(c->engine, c->args[0], print_change, c->out);
}

const struct cmd cmd_diff = {
    .name = "diff",
    .group = "container",
    .top_level = true,
    .summary = "Inspect changes to files or directories on a container's filesystem",
    .description = "Lists what the container has changed since it was made from its image: A for added, C for changed, "
                   "D for deleted. Only the container's own layer is read, however large the image.",
    .usage = "CONTAINER",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .run = run,
};

/* ---- image diff, podman's ---- */

static const struct cli_flag image_flags[] = {{.name = "format",
                                               .type = CLI_STRING,
                                               .offset = offsetof(struct opts, format),
                                               .complete = CLI_COMPLETE_WORDS,
                                               .words = "json",
                                               .help = "Format output: json"},
                                              {.name = NULL}};

static struct err *add_change(void *ctx, char kind, const char *path) {
    const char *word = kind == 'A' ? "added" : kind == 'C' ? "changed" : "deleted";
    if (!json_get(ctx, word))
        json_set(ctx, word, json_array());
    json_push_str(json_get(ctx, word), path);
    return NULL;
}

static struct err *run_image(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const char *other = c->n_args > 1 ? c->args[1] : NULL;
    if (o->format && !str_eq(o->format, "json"))
        return err_new(ERR_USAGE, "unknown format \"%s\": choose json", o->format);
    if (!o->format)
        return engine_image_diff(c->engine, c->args[0], other, print_change, c->out);
    autojson j = json_object();
    autostr struct str text = STR_INIT;
    TRY(engine_image_diff(c->engine, c->args[0], other, add_change, j));
    json_render(j, JSON_PRETTY, &text);
    fprintf(c->out, "%s\n", str_c(&text));
    return NULL;
}

const struct cmd cmd_image_diff = {
    .name = "diff",
    .group = "image",
    .summary = "Inspect changes to the image's file systems",
    .description = "Lists how an image's files differ from those of a second one, or from those below its topmost "
                   "layer: A for added, C for changed, D for deleted. Nothing is mounted, and what both have in common "
                   "is not read",
    .usage = "[OPTIONS] IMAGE [IMAGE]",
    .examples = "coracle image diff app:2 app:1\n",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .flags = image_flags,
    .opts_size = sizeof(struct opts),
    .run = run_image,
};
