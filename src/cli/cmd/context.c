/*
 * context: docker's contexts choose a daemon. There is none here, so there is one context, "default", which scripts may
 * show, list, look at and use; others cannot be made.
 */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#define DESCRIPTION "This user's own containers: there is no daemon"

struct opts {
    char *format;
    bool quiet;
};

#define AT(m) offsetof(struct opts, m)
#define FORMAT                                                                                                         \
    {                                                                                                                  \
        .name = "format", .letter = 'f', .type = CLI_STRING, .offset = AT(format),                                     \
        .help = "Format output: json, or a Go TEMPLATE"                                                                \
    }

static const struct cli_flag inspect_flags[] = {FORMAT, {.name = NULL}};

static const struct cli_flag ls_flags[] = {
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only show context names"},
    {.name = NULL},
};

static struct err *only_default(const char *name) {
    if (!strcmp(name, "default"))
        return NULL;
    return err_hint(err_new(ERR_NOT_FOUND, "context \"%s\": context not found", name),
                    "there is no daemon to choose: the one context is \"default\"");
}

static struct err *list(struct cli_ctx *c, int *ret_code) {
    static const char *const headers[][2] = {{"Name", "NAME"},
                                             {"Description", "DESCRIPTION"},
                                             {"DockerEndpoint", "DOCKER ENDPOINT"},
                                             {"Error", "ERROR"},
                                             {NULL, NULL}};
    static const struct cli_table table = {
        .default_format = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
        .headers = headers,
    };
    const struct opts *o = c->opts;
    (void)ret_code;
    autojson rows = json_array();
    struct json *row = json_object();
    json_set_bool(row, "Current", true);
    json_set_str(row, "Description", DESCRIPTION);
    json_set_str(row, "DockerEndpoint", "");
    json_set_str(row, "Error", "");
    json_set_str(row, "Name", "default");
    json_push(rows, row);
    return cli_render_rows(c, &table, rows, o->quiet ? "{{.Name}}" : o->format, false);
}

static struct err *show(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    fputs("default\n", c->out);
    return NULL;
}

static struct err *use(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    TRY(only_default(c->args[0]));
    fputs("default\n", c->out);
    fflush(c->out);
    fputs("Current context is now \"default\"\n", stderr);
    return NULL;
}

static struct err *inspect(struct cli_ctx *c, int *ret_code) {
    const struct opts *o = c->opts;
    autojson all = json_array();
    TRY(cli_check_format(o->format, ret_code));
    for (int i = 0; i < c->n_args; i++)
        TRY(only_default(c->args[i]));
    struct json *v = json_object(), *metadata = json_object();
    json_set_str(metadata, "Description", DESCRIPTION);
    json_set_str(v, "Name", "default");
    json_set(v, "Metadata", metadata);
    json_set(v, "Endpoints", json_object());
    json_push(all, v);
    return cli_render_objects(c, all, o->format);
}

const struct cmd cmd_context_inspect = {
    .name = "inspect",
    .group = "context",
    .summary = "Display detailed information on one or more contexts",
    .usage = "[OPTIONS] [CONTEXT] [CONTEXT...]",
    .max_args = -1,
    .usage_exit = 1,
    .flags = inspect_flags,
    .opts_size = sizeof(struct opts),
    .run = inspect,
};

const struct cmd cmd_context_ls = {
    .name = "ls",
    .group = "context",
    .aliases = "list",
    .summary = "List contexts",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = ls_flags,
    .opts_size = sizeof(struct opts),
    .run = list,
};

const struct cmd cmd_context_show = {
    .name = "show",
    .group = "context",
    .summary = "Print the name of the current context",
    .usage = "",
    .max_args = 0,
    .usage_exit = 1,
    .run = show,
};

const struct cmd cmd_context_use = {
    .name = "use",
    .group = "context",
    .summary = "Set the default context, of which there is one",
    .usage = "CONTEXT",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .run = use,
};
