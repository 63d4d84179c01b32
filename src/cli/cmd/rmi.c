#include "cli/cli_int.h"

#include <stddef.h>

struct opts {
    bool force, no_prune;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "force", .letter = 'f', .type = CLI_BOOL, .offset = AT(force), .help = "Force removal of the image"},
    {.name = "no-prune",
     .type = CLI_BOOL,
     .offset = AT(no_prune),
     .help = "Do not delete untagged parents (images have none here)"},
    {.name = "platform",
     .type = CLI_LIST,
     .standing = CLI_REFUSED,
     .reason = "an image is stored for one platform",
     .help = "Remove only the given platform variant"},
    {.name = NULL},
};

static struct err *remove_one(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    autojson report = NULL;
    TRY(engine_image_remove(c->engine, name, o->force, &report));
    JSON_EACH(entry, report) {
        const struct json *what = json_first(entry);
        fprintf(c->out, "%s: %s\n", json_key(what), json_str_value(what));
    }
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) { return cli_each(c, remove_one, ret_code); }

const struct cmd cmd_rmi = {
    .name = "rmi",
    .group = "image",
    .group_name = "rm",
    .aliases = "remove",
    .top_level = true,
    .summary = "Remove one or more images",
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
