/* inspect: objects of one kind, or whatever a name turns out to be: a container, an image, a network, a volume, in this
 * order. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "engine/manifests.h"

struct opts {
    char *format, *type, *platform;
    bool size, verbose, raw, remote;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "format",
     .letter = 'f',
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: json, or a Go TEMPLATE"},
    {.name = "size",
     .letter = 's',
     .type = CLI_BOOL,
     .offset = AT(size),
     .only = "inspect",
     .help = "Display total file sizes of containers"},
    {.name = "type",
     .type = CLI_STRING,
     .offset = AT(type),
     .only = "inspect",
     .complete = CLI_COMPLETE_WORDS,
     .words = "container image network volume",
     .help = "Only inspect objects of this type"},
    {.name = NULL},
};

enum kind { KIND_CONTAINER, KIND_IMAGE, KIND_NETWORK, KIND_VOLUME, KIND_ANY };
static const char *const kinds[] = {"container", "image", "network", "volume"};

static struct err *inspect_one(struct cli_ctx *c, const char *name, enum kind kind, struct json **ret) {
    const struct opts *o = c->opts;
    if (kind == KIND_CONTAINER)
        return engine_container_inspect(c->engine, name, o->size, ret);
    autostr struct str unused = STR_INIT;
    if (kind == KIND_IMAGE && o->remote)
        return engine_manifest_look(c->engine, name, true, &unused, ret);
    if (kind == KIND_IMAGE)
        return engine_image_inspect(c->engine, name, o->platform, ret);
    if (kind == KIND_NETWORK)
        return engine_network_inspect(c->engine, name, ret);
    if (kind == KIND_VOLUME)
        return engine_volume_inspect(c->engine, name, ret);
    for (int k = KIND_CONTAINER; k < KIND_ANY; k++) {
        struct err *e = inspect_one(c, name, (enum kind)k, ret);
        if (!e || err_kind(e) != ERR_NOT_FOUND)
            return e;
        err_free(e);
    }
    return err_new(ERR_NOT_FOUND, "No such object: %s", name);
}

/* What was found is printed, then the errors of what was not; the exit code tells. */
static struct err *inspect(struct cli_ctx *c, enum kind kind, int *ret_code) {
    const struct opts *o = c->opts;
    TRY(cli_check_format(o->format, ret_code));
    autojson all = json_array();
    struct err *first = NULL;
    for (int i = 0; i < c->n_args; i++) {
        struct json *one = NULL;
        struct err *e = inspect_one(c, c->args[i], kind, &one);
        if (!e) {
            json_push(all, one);
            continue;
        }
        first = err_first(first, e);
        *ret_code = 1;
    }
    struct err *bad = json_count(all) || !o->format ? cli_render_objects(c, all, o->format) : NULL;
    return err_first(first, bad);
}

static struct err *run_any(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    if (!o->type || !*o->type)
        return inspect(c, KIND_ANY, ret_code);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        if (!strcmp(o->type, kinds[k]))
            return inspect(c, (enum kind)k, ret_code);
    return err_new(ERR_USAGE, "unknown type: \"%s\": must be one of \"container\", \"image\", \"network\", \"volume\"",
                   o->type);
}

static struct err *run_container(struct cli_ctx *c, int *ret_code) { return inspect(c, KIND_CONTAINER, ret_code); }

/* --raw: the manifest's bytes, stored or in the registry. */
static struct err *print_manifest(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    autostr struct str text = STR_INIT;
    autojson unused = NULL;
    TRY(o->remote ? engine_manifest_look(c->engine, name, false, &text, &unused)
                  : engine_image_manifest(c->engine, name, o->platform, &text));
    fwrite(str_c(&text), 1, text.len, c->out);
    return NULL;
}

static struct err *print_remote(struct cli_ctx *c, const char *name) {
    const struct opts *o = c->opts;
    autojson look = NULL;
    TRY(inspect_one(c, name, KIND_IMAGE, &look));
    return cli_render_oci(c, look, o->format);
}

static struct err *run_image(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    if (o->raw && o->format)
        return err_new(ERR_USAGE, "--raw shows the manifest as it is: it has no --format");
    if (o->remote && o->platform)
        return err_hint(err_new(ERR_USAGE, "--remote shows all platforms that there are"),
                        "one of them is in the template {{index .Image \"linux/arm64\"}}");
    if (o->remote && o->format && !str_eq(o->format, "json"))
        return cli_each(c, print_remote, ret_code);
    return o->raw ? cli_each(c, print_manifest, ret_code) : inspect(c, KIND_IMAGE, ret_code);
}

static struct err *run_network(struct cli_ctx *c, int *ret_code) { return inspect(c, KIND_NETWORK, ret_code); }
static struct err *run_volume(struct cli_ctx *c, int *ret_code) { return inspect(c, KIND_VOLUME, ret_code); }

const struct cmd cmd_inspect = {
    .name = "inspect",
    .top_level = true,
    .summary = "Return low-level information on containers, images, networks and volumes",
    .usage = "[OPTIONS] NAME|ID [NAME|ID...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run_any,
};

const struct cmd cmd_container_inspect = {
    .name = "inspect",
    .group = "container",
    .summary = "Display detailed information on one or more containers",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_CONTAINERS,
    .complete_rest = CLI_COMPLETE_CONTAINERS,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run_container,
};

static const struct cli_flag image_flags[] = {
    {.name = "format",
     .letter = 'f',
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: json, or a Go TEMPLATE"},
    {.name = "platform",
     .type = CLI_STRING,
     .offset = AT(platform),
     .help = "Inspect a specific platform of the image (linux/arm64)"},
    {.name = "raw", .type = CLI_BOOL, .offset = AT(raw), .help = "Show the image's manifest, byte for byte"},
    {.name = "remote",
     .type = CLI_BOOL,
     .offset = AT(remote),
     .help = "Show what the registry has under that name, without pulling it"},
    {.name = NULL},
};

const struct cmd cmd_image_inspect = {
    .name = "inspect",
    .group = "image",
    .summary = "Display detailed information on one or more images",
    .usage = "[OPTIONS] IMAGE [IMAGE...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .complete_rest = CLI_COMPLETE_IMAGES,
    .flags = image_flags,
    .opts_size = sizeof(struct opts),
    .run = run_image,
};

static const struct cli_flag network_flags[] = {
    {.name = "format",
     .letter = 'f',
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: json, or a Go TEMPLATE"},
    {.name = "verbose",
     .letter = 'v',
     .type = CLI_BOOL,
     .offset = AT(verbose),
     .help = "Verbose output for diagnostics (there is no more to tell)"},
    {.name = NULL},
};

const struct cmd cmd_network_inspect = {
    .name = "inspect",
    .group = "network",
    .summary = "Display detailed information on one or more networks",
    .usage = "[OPTIONS] NETWORK [NETWORK...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_NETWORKS,
    .complete_rest = CLI_COMPLETE_NETWORKS,
    .flags = network_flags,
    .opts_size = sizeof(struct opts),
    .run = run_network,
};

const struct cmd cmd_volume_inspect = {
    .name = "inspect",
    .group = "volume",
    .summary = "Display detailed information on one or more volumes",
    .usage = "[OPTIONS] VOLUME [VOLUME...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_VOLUMES,
    .complete_rest = CLI_COMPLETE_VOLUMES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run_volume,
};
