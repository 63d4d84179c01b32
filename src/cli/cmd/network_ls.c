/* network ls. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

struct opts {
    bool no_trunc, quiet;
    char *format;
    struct strv filter;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag ls_flags[] = {
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Provide filter values (e.g. \"driver=bridge\")"},
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Do not truncate the output"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only display network IDs"},
    {.name = NULL},
};

static const char *const headers[][2] = {
    {"ID", "NETWORK ID"},     {"Name", "NAME"}, {"Driver", "DRIVER"}, {"Scope", "SCOPE"},          {"IPv6", "IPV6"},
    {"Internal", "INTERNAL"}, {"IPv4", "IPV4"}, {"Labels", "LABELS"}, {"CreatedAt", "CREATED AT"}, {NULL, NULL},
};

static struct json *row_of(const struct json *v, const struct opts *o) {
    struct json *row = json_object();
    autofree char *id = o->no_trunc ? mem_dup(json_text(v, "Id")) : mem_dupn(json_text(v, "Id"), ID_SHORT_LEN);
    autostr struct str created = STR_INIT;
    autostr struct str labels = STR_INIT;
    cli_created_at(json_int_value(json_get(v, "CreatedNs"), 0), &created);
    json_set_str(row, "CreatedAt", str_c(&created));
    json_set_str(row, "Driver", json_text(v, "Driver"));
    json_set_str(row, "ID", id);
    json_set_str(row, "IPv4", "true");
    json_set_str(row, "IPv6", json_bool_value(json_get(v, "EnableIPv6"), false) ? "true" : "false");
    json_set_str(row, "Internal", json_bool_value(json_get(v, "Internal"), false) ? "true" : "false");
    cli_labels_text(json_get(v, "Labels"), &labels);
    json_set_str(row, "Labels", str_c(&labels));
    json_set_str(row, "Name", json_text(v, "Name"));
    json_set_str(row, "Scope", json_text(v, "Scope"));
    return row;
}

/* One value of a filter against a network. docker's name and id match any part. */
static bool value_matches(const void *network, const char *key, const char *value) {
    const struct json *v = network;
    if (!strcmp(key, "driver"))
        return str_eq(json_text(v, "Driver"), value);
    if (!strcmp(key, "name"))
        return strstr(json_text(v, "Name"), value) != NULL;
    if (!strcmp(key, "id"))
        return str_starts(json_text(v, "Id"), value);
    if (!strcmp(key, "scope"))
        return str_eq(json_text(v, "Scope"), value);
    if (!strcmp(key, "type"))
        return json_bool_value(json_get(v, "Builtin"), false) == str_eq(value, "builtin");
    return !strcmp(key, "dangling"); /* looked at before: keep_dangling */
}

/* "dangling" means that no container uses it: told apart by what prune would remove. */
static struct err *keep_dangling(struct cli_ctx *c, const char *wanted, struct json **list) {
    autostrv struct strv unused = {.n = 0};
    bool dangling = str_eq(wanted, "true") || str_eq(wanted, "1");
    TRY(engine_network_unused(c->engine, &unused));
    struct json *kept = json_array();
    JSON_EACH(v, *list)
    if (strv_has(&unused, json_text(v, "Name")) == dangling)
        json_push(kept, json_copy(v));
    json_free(*list);
    *list = kept;
    return NULL;
}

static struct err *list(struct cli_ctx *c, struct strmap *filters, struct json *rows) {
    static const char *const keys[] = {"dangling", "driver", "id", "label", "name", "scope", "type", NULL};
    const struct opts *o = c->opts;
    autojson all = NULL;
    TRY(cli_filters_parse(&o->filter, keys, filters));
    TRY(engine_network_list(c->engine, &all));
    if (strmap_get(filters, "dangling"))
        TRY(keep_dangling(c, strmap_get(filters, "dangling"), &all));
    JSON_EACH(v, all)
    if (cli_filters_match(filters, value_matches, v) &&
        cli_labels_match(json_get(v, "Labels"), strmap_get(filters, "label")))
        json_push(rows, row_of(v, o));
    return NULL;
}

static struct err *run_ls(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct cli_table table = {
        .default_format = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
        .headers = headers,
        .quiet_is_id = true,
    };
    struct strmap filters = {.n = 0};
    autojson rows = json_array();
    struct err *e = list(c, &filters, rows);
    strmap_done(&filters);
    return e ? e : cli_render_rows(c, &table, rows, o->format, o->quiet);
}

const struct cmd cmd_network_ls = {
    .name = "ls",
    .group = "network",
    .aliases = "list",
    .summary = "List networks",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = ls_flags,
    .opts_size = sizeof(struct opts),
    .run = run_ls,
};
