/* volume ls. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

struct opts {
    bool quiet;
    char *format;
    struct strv filter;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag ls_flags[] = {
    {.name = "cluster",
     .type = CLI_BOOL,
     .standing = CLI_REFUSED,
     .reason = "there is no swarm",
     .help = "Display only cluster volumes"},
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Provide filter values (e.g. \"dangling=true\")"},
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only display volume names"},
    {.name = NULL},
};

static const char *const headers[][2] = {
    {"Name", "VOLUME NAME"},
    {"Driver", "DRIVER"},
    {"Scope", "SCOPE"},
    {"Availability", "AVAILABILITY"},
    {"Mountpoint", "MOUNTPOINT"},
    {"Labels", "LABELS"},
    {"Links", "LINKS"},
    {"Group", "GROUP"},
    {"Size", "SIZE"},
    {"Status", "STATUS"},
    {NULL, NULL},
};

/* Sizes and counts are df's: docker shows N/A here, too. */
static struct json *row_of(const struct json *v) {
    static const char *const unknown[] = {"Availability", "Group", "Links", "Size", "Status"};
    struct json *row = json_object();
    autostr struct str labels = STR_INIT;
    cli_labels_text(json_get(v, "Labels"), &labels);
    json_set_str(row, "Driver", json_text(v, "Driver"));
    json_set_str(row, "Labels", str_c(&labels));
    json_set_str(row, "Mountpoint", json_text(v, "Mountpoint"));
    json_set_str(row, "Name", json_text(v, "Name"));
    json_set_str(row, "Scope", json_text(v, "Scope"));
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        json_set_str(row, unknown[i], "N/A");
    return row;
}

/* One value of a filter against a volume. */
static bool value_matches(const void *volume, const char *key, const char *value) {
    const struct json *v = volume;
    if (!strcmp(key, "driver"))
        return str_eq(json_text(v, "Driver"), value);
    if (!strcmp(key, "name"))
        return strstr(json_text(v, "Name"), value) != NULL;
    bool dangling = json_count(json_get(v, "Users")) == 0;
    return dangling == (str_eq(value, "true") || str_eq(value, "1"));
}

static struct err *run_ls(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    static const char *const keys[] = {"dangling", "driver", "label", "name", NULL};
    const struct opts *o = c->opts;
    const struct cli_table table = {.default_format = "table {{.Driver}}\t{{.Name}}", .headers = headers};
    autostrmap struct strmap filters = {.n = 0};
    autojson rows = json_array();
    autojson all = NULL;
    TRY(cli_filters_parse(&o->filter, keys, &filters));
    TRY(engine_volume_list(c->engine, false, &all));
    JSON_EACH(v, all)
    if (cli_filters_match(&filters, value_matches, v) &&
        cli_labels_match(json_get(v, "Labels"), strmap_get(&filters, "label")))
        json_push(rows, row_of(v));
    return cli_render_rows(c, &table, rows, o->quiet && !o->format ? "{{.Name}}" : o->format, false);
}

const struct cmd cmd_volume_ls = {
    .name = "ls",
    .group = "volume",
    .aliases = "list",
    .summary = "List volumes",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = ls_flags,
    .opts_size = sizeof(struct opts),
    .run = run_ls,
};
