/* manifest: lists of images for several platforms: looked at in registries, made here and pushed. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "engine/manifests.h"

struct opts {
    bool amend, insecure, purge, verbose;
    char *arch, *os, *os_version, *variant;
    struct strv os_features;
};

#define AT(m) offsetof(struct opts, m)
#define FLAG_INSECURE                                                                                                  \
    {                                                                                                                  \
        .name = "insecure", .type = CLI_BOOL, .standing = CLI_REFUSED,                                                 \
        .reason = "which registries may be insecure stands in the configuration (\"insecure-registries\")",            \
        .help = "Allow communication with an insecure registry"                                                        \
    }

static const struct cli_flag create_flags[] = {
    {.name = "amend", .letter = 'a', .type = CLI_BOOL, .offset = AT(amend), .help = "Amend an existing manifest list"},
    FLAG_INSECURE,
    {.name = NULL},
};
static const struct cli_flag plain_flags[] = {FLAG_INSECURE, {.name = NULL}};
static const struct cli_flag push_flags[] = {
    FLAG_INSECURE,
    {.name = "purge",
     .letter = 'p',
     .type = CLI_BOOL,
     .offset = AT(purge),
     .help = "Remove the local manifest list after push"},
    {.name = NULL},
};
static const struct cli_flag inspect_flags[] = {
    FLAG_INSECURE,
    {.name = "verbose",
     .letter = 'v',
     .type = CLI_BOOL,
     .offset = AT(verbose),
     .help = "Output additional info including layers and platform"},
    {.name = NULL},
};
static const struct cli_flag annotate_flags[] = {
    {.name = "arch", .type = CLI_STRING, .offset = AT(arch), .help = "Set architecture"},
    {.name = "os", .type = CLI_STRING, .offset = AT(os), .help = "Set operating system"},
    {.name = "os-features", .type = CLI_LIST, .offset = AT(os_features), .help = "Set operating system feature"},
    {.name = "os-version", .type = CLI_STRING, .offset = AT(os_version), .help = "Set operating system version"},
    {.name = "variant", .type = CLI_STRING, .offset = AT(variant), .help = "Set architecture variant"},
    {.name = NULL},
};

static struct err *add_all(struct cli_ctx *c, bool amend) {
    for (int i = 1; i < c->n_args; i++)
        TRY_CTX(engine_manifest_add(c->engine, c->args[0], c->args[i], amend || i > 1), "%s", c->args[i]);
    return NULL;
}

static struct err *run_create(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    TRY(add_all(c, o->amend));
    fprintf(c->out, "Created manifest list %s\n", c->args[0]);
    return NULL;
}

static struct err *run_add(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    return add_all(c, true);
}

static struct err *run_annotate(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const char *const set[][2] = {
        {"architecture", o->arch}, {"os", o->os}, {"os.version", o->os_version}, {"variant", o->variant}};
    autojson platform = json_object();
    for (size_t i = 0; i < ARRAY_LEN(set); i++)
        if (set[i][1])
            json_set_str(platform, set[i][0], set[i][1]);
    if (o->os_features.n)
        json_set_strv(platform, "os.features", &o->os_features);
    return engine_manifest_annotate(c->engine, c->args[0], c->args[1], platform);
}

/* docker shows manifests indented by tabs. */
static void print_tabbed(FILE *out, const struct json *j) {
    autostr struct str text = STR_INIT;
    json_render(j, JSON_PRETTY, &text);
    bool start = true;
    for (const char *s = str_c(&text); *s; s++) {
        if (start && str_starts(s, "    ")) {
            fputc('\t', out);
            s += 3;
            continue;
        }
        start = *s == '\n';
        fputc(*s, out);
    }
    fputc('\n', out);
}

static struct err *run_inspect(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    autojson j = NULL;
    if (c->n_args == 2) { /* an entry of a list of ours: it must be one */
        autojson list = NULL;
        TRY(engine_manifest_list(c->engine, c->args[0], &list));
    }
    TRY(engine_manifest_inspect(c->engine, c->args[c->n_args - 1], o->verbose, &j));
    print_tabbed(c->out, j);
    return NULL;
}

static struct err *run_push(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    char digest[72] = "";
    TRY(engine_manifest_push(c->engine, c->args[0], digest));
    fprintf(c->out, "%s\n", digest);
    return o->purge ? engine_manifest_remove(c->engine, c->args[0]) : NULL;
}

static struct err *remove_one(struct cli_ctx *c, const char *name) { return engine_manifest_remove(c->engine, name); }
static struct err *run_rm(struct cli_ctx *c, int *ret_code) { return cli_each(c, remove_one, ret_code); }

const struct cmd cmd_manifest_create = {
    .name = "create",
    .group = "manifest",
    .summary = "Create a local manifest list for annotating and pushing to a registry",
    .description = "Makes a list of images that are in registries, one a platform. Nothing is downloaded but their "
                   "manifests and configs",
    .usage = "MANIFEST_LIST MANIFEST [MANIFEST...]",
    .min_args = 2,
    .max_args = -1,
    .usage_exit = 1,
    .flags = create_flags,
    .opts_size = sizeof(struct opts),
    .run = run_create,
};

const struct cmd cmd_manifest_add = {
    .name = "add",
    .group = "manifest",
    .summary = "Add images to a local manifest list",
    .description = "podman's word for create --amend",
    .usage = "MANIFEST_LIST MANIFEST [MANIFEST...]",
    .min_args = 2,
    .max_args = -1,
    .usage_exit = 1,
    .flags = plain_flags,
    .opts_size = sizeof(struct opts),
    .run = run_add,
};

const struct cmd cmd_manifest_annotate = {
    .name = "annotate",
    .group = "manifest",
    .summary = "Add additional information to a local image manifest",
    .usage = "[OPTIONS] MANIFEST_LIST MANIFEST",
    .min_args = 2,
    .max_args = 2,
    .usage_exit = 1,
    .flags = annotate_flags,
    .opts_size = sizeof(struct opts),
    .run = run_annotate,
};

const struct cmd cmd_manifest_inspect = {
    .name = "inspect",
    .group = "manifest",
    .summary = "Display an image manifest, or manifest list",
    .description = "Shows a list that was made here, else what the registry has under that name",
    .usage = "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    .min_args = 1,
    .max_args = 2,
    .usage_exit = 1,
    .flags = inspect_flags,
    .opts_size = sizeof(struct opts),
    .run = run_inspect,
};

const struct cmd cmd_manifest_push = {
    .name = "push",
    .group = "manifest",
    .summary = "Push a manifest list to a repository",
    .usage = "[OPTIONS] MANIFEST_LIST",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .flags = push_flags,
    .opts_size = sizeof(struct opts),
    .run = run_push,
};

const struct cmd cmd_manifest_rm = {
    .name = "rm",
    .group = "manifest",
    .summary = "Delete one or more manifest lists from local storage",
    .usage = "MANIFEST_LIST [MANIFEST_LIST...]",
    .min_args = 1,
    .max_args = -1,
    .usage_exit = 1,
    .opts_size = sizeof(struct opts),
    .run = run_rm,
};
