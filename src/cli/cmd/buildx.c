/*
 * buildx: its commands about builders. A builder is a daemon that builds, and there is none here: one builder,
 * "default", is always ready, and scripts may list, look at and use it. What would make others is in absent.c.
 */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "build/build.h"

#define BUILDER "default"
#define DRIVER "coracle"

struct opts {
    char *format;
    bool no_trunc, bootstrap, is_default, global; /* they change nothing here */
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag ls_flags[] = {
    {.name = "format", .type = CLI_STRING, .offset = AT(format), .help = "Format the output", .def = "table"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Don't truncate output"},
    {.name = NULL},
};

static const struct cli_flag inspect_flags[] = {
    {.name = "bootstrap",
     .type = CLI_BOOL,
     .offset = AT(bootstrap),
     .help = "Ensure builder has booted before inspecting: it is always ready"},
    {.name = NULL},
};

static const struct cli_flag use_flags[] = {
    {.name = "default", .type = CLI_BOOL, .offset = AT(is_default), .help = "Set builder as default: it is"},
    {.name = "global", .type = CLI_BOOL, .offset = AT(global), .help = "Builder persists context changes: it does"},
    {.name = NULL},
};

static struct err *only_default(const char *name) {
    if (!strcmp(name, BUILDER))
        return NULL;
    return err_hint(err_new(ERR_NOT_FOUND, "no builder \"%s\" found", name),
                    "there is no daemon that builds: the one builder is \"" BUILDER "\"");
}

/* As buildx has it for programs: the builder with its nodes in it. */
static struct json *builder(const char *platforms) {
    autostrv struct strv parts = {.n = 0};
    struct json *node = json_object(), *nodes = json_array(), *names = json_array(), *v = json_object();
    strv_split(&parts, platforms, ',');
    for (size_t i = 0; i < parts.n; i++)
        json_push_str(names, parts.v[i] + strspn(parts.v[i], " "));
    json_set_str(node, "Name", BUILDER);
    json_set_str(node, "Endpoint", BUILDER);
    json_set_str(node, "Status", "running");
    json_set_str(node, "Version", "v" CORACLE_VERSION);
    json_set(node, "Platforms", names);
    json_push(nodes, node);
    json_set_str(v, "Name", BUILDER);
    json_set_str(v, "Driver", DRIVER);
    json_set_bool(v, "Current", true);
    json_set(v, "Nodes", nodes);
    return v;
}

/* A builder's row, and its node's: there it is as it stands in the table that docker's users know. */
static void push_row(struct json *rows, const char *name, const char *driver, const char *platforms) {
    struct json *row = json_object();
    json_set_str(row, "Name", name);
    json_set_str(row, "DriverEndpoint", driver);
    json_set_str(row, "Status", platforms ? "running" : "");
    json_set_str(row, "Buildkit", platforms ? "v" CORACLE_VERSION : "");
    json_set_str(row, "Platforms", platforms ? platforms : "");
    json_push(rows, row);
}

static struct err *list(struct cli_ctx *c, int *ret_code) {
    static const char *const headers[][2] = {{"Name", "NAME/NODE"},      {"DriverEndpoint", "DRIVER/ENDPOINT"},
                                             {"Status", "STATUS"},       {"Buildkit", "BUILDKIT"},
                                             {"Platforms", "PLATFORMS"}, {NULL, NULL}};
    static const struct cli_table table = {
        .default_format = "table {{.Name}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}",
        .headers = headers,
    };
    const struct opts *o = c->opts;
    (void)ret_code;
    autojson rows = json_array();
    autostr struct str platforms = STR_INIT;
    build_platforms(c->host, &platforms);
    if (str_eq(o->format, "json")) {
        json_push(rows, builder(str_c(&platforms)));
    } else {
        push_row(rows, BUILDER "*", DRIVER, NULL);
        push_row(rows, " \\_ " BUILDER, " \\_ " BUILDER, str_c(&platforms));
    }
    return cli_render_rows(c, &table, rows, o->format, false);
}

static struct err *inspect(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    autostr struct str platforms = STR_INIT;
    TRY(only_default(c->n_args ? c->args[0] : BUILDER));
    build_platforms(c->host, &platforms);
    fprintf(c->out,
            "Name:   " BUILDER "\nDriver: " DRIVER "\n\nNodes:\nName:             " BUILDER "\n"
            "Endpoint:         " BUILDER "\nStatus:           running\nBuildKit version: v" CORACLE_VERSION "\n"
            "Platforms:        %s\n",
            str_c(&platforms));
    return NULL;
}

static struct err *use(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    return only_default(c->args[0]);
}

static struct err *version(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    fputs("coracle v" CORACLE_VERSION "\n", c->out);
    return NULL;
}

const struct cmd cmd_buildx_inspect = {
    .name = "inspect",
    .group = "buildx",
    .summary = "Inspect the builder",
    .usage = "[NAME]",
    .max_args = 1,
    .usage_exit = 1,
    .flags = inspect_flags,
    .opts_size = sizeof(struct opts),
    .run = inspect,
};

const struct cmd cmd_buildx_ls = {
    .name = "ls",
    .group = "buildx",
    .summary = "List builders, of which there is one",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = ls_flags,
    .opts_size = sizeof(struct opts),
    .run = list,
};

const struct cmd cmd_buildx_use = {
    .name = "use",
    .group = "buildx",
    .summary = "Set the builder, of which there is one",
    .usage = "[OPTIONS] NAME",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .flags = use_flags,
    .opts_size = sizeof(struct opts),
    .run = use,
};

const struct cmd cmd_buildx_version = {
    .name = "version",
    .group = "buildx",
    .summary = "Show the version",
    .usage = "",
    .max_args = 0,
    .usage_exit = 1,
    .run = version,
};
