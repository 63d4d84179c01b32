/* ps: the engine's rows → filters → docker's placeholders. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

struct opts {
    bool all, latest, no_trunc, quiet, size;
    int64_t last;
    char *format;
    struct strv filter;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "all",
     .letter = 'a',
     .type = CLI_BOOL,
     .offset = AT(all),
     .help = "Show all containers (default shows just running)"},
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Filter output based on conditions provided"},
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "last",
     .letter = 'n',
     .type = CLI_INT,
     .offset = AT(last),
     .def = "-1",
     .help = "Show n last created containers (includes all states)"},
    {.name = "latest",
     .letter = 'l',
     .type = CLI_BOOL,
     .offset = AT(latest),
     .help = "Show the latest created container (includes all states)"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Don't truncate output"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only display container IDs"},
    {.name = "size", .letter = 's', .type = CLI_BOOL, .offset = AT(size), .help = "Display total file sizes"},
    {.name = NULL},
};

static const char *const headers[][2] = {
    {"ID", "CONTAINER ID"},
    {"Image", "IMAGE"},
    {"Command", "COMMAND"},
    {"CreatedAt", "CREATED AT"},
    {"RunningFor", "CREATED"},
    {"Status", "STATUS"},
    {"State", "STATE"},
    {"Ports", "PORTS"},
    {"Names", "NAMES"},
    {"Size", "SIZE"},
    {"Labels", "LABELS"},
    {"Mounts", "MOUNTS"},
    {"LocalVolumes", "LOCAL VOLUMES"},
    {"Networks", "NETWORKS"},
    {"Platform", "PLATFORM"},
    {NULL, NULL},
};

/* ---- rows ---- */

static void set_command(struct json *row, const char *command, bool no_trunc) {
    autostr struct str s = STR_INIT;
    str_append_c(&s, '"');
    cli_ellipsis(command, no_trunc ? SIZE_MAX : 20, &s);
    str_append_c(&s, '"');
    json_set_str(row, "Command", str_c(&s));
}

static void set_labels(struct json *row, const char *text) {
    autostr struct str s = STR_INIT;
    struct json *labels = cli_row_json(text);
    cli_labels_text(labels, &s);
    json_set_str(row, "Labels", str_c(&s));
    json_set(row, "__labels", labels ? labels : json_object()); /* for {{.Label "key"}} */
}

static void set_mounts(struct json *row, const char *text, bool no_trunc) {
    autostr struct str s = STR_INIT;
    autojson mounts = cli_row_json(text);
    int volumes = 0;
    JSON_EACH(m, mounts) {
        const char *name = json_str_value(json_get(m, "Name"));
        const char *source = name ? name : json_str_value(json_get(m, "Source"));
        volumes += name != NULL;
        if (!source)
            continue;
        str_append(&s, s.len ? "," : "");
        cli_ellipsis(source, no_trunc ? SIZE_MAX : 15, &s);
    }
    json_set_str(row, "Mounts", str_c(&s));
    str_clear(&s);
    str_appendf(&s, "%d", volumes);
    json_set_str(row, "LocalVolumes", str_c(&s));
}

static char *created_at(int64_t created) {
    autostr struct str at = STR_INIT;
    cli_created_at(created, &at);
    return str_take(&at);
}

static void set_size(struct json *row, const struct engine_row *r, bool known) {
    autostr struct str size = STR_INIT;
    cli_human_size(r->size_rw, 3, &size);
    if (known) {
        str_append(&size, " (virtual ");
        cli_human_size(r->size_rootfs, 3, &size);
        str_append_c(&size, ')');
    }
    json_set_str(row, "Size", str_c(&size));
}

/* Sizes cost a walk of what the container wrote: who names the column wants them. */
static bool is_sized(const struct opts *o) { return o->size || (o->format && strstr(o->format, ".Size")); }

/* The columns that only a format of the user's asks for. */
static void set_rest(struct json *row, const struct engine_row *r, const struct opts *o) {
    autofree char *at = created_at(r->created);
    json_set_str(row, "CreatedAt", at);
    set_labels(row, r->labels);
    set_mounts(row, r->mounts, o->no_trunc);
    json_set_str(row, "Platform", "linux");
    json_set_str(row, "State", r->status);
}

static void set_networks(struct json *row, const struct engine *e, const struct engine_row *r) {
    autostrv struct strv names = {.n = 0};
    engine_row_networks(e, r, &names);
    autofree char *text = strv_join(&names, ",");
    json_set_str(row, "Networks", text);
}

/* Whether a format may show a column. */
static bool shows(const struct opts *o, const char *column) {
    return o->format && (strstr(o->format, column) || strstr(o->format, "json") || strstr(o->format, "{{.}}"));
}

static void set_ports(struct json *row, const struct engine *e, const struct engine_row *r) {
    autostr struct str text = STR_INIT;
    autojson ports = engine_row_ports(e, r);
    cli_ports_text(ports, &text);
    json_set_str(row, "Ports", str_c(&text));
}

/* Only what will be shown: there may be a thousand rows. */
static struct json *row_of(const struct engine_row *r, const struct opts *o, int64_t now) {
    struct json *row = json_object();
    char id[ID_LEN + 1];
    memcpy(id, r->id, sizeof id);
    id[o->no_trunc ? ID_LEN : ID_SHORT_LEN] = '\0';
    json_set_str(row, "ID", id);
    if (o->quiet && !o->format)
        return row;
    autostr struct str ago = STR_INIT;
    autostr struct str status = STR_INIT;
    clock_format_ago(r->created, now, &ago);
    engine_row_status(r, now, &status);
    json_set_str(row, "Image", r->image);
    set_command(row, r->command, o->no_trunc);
    json_set_str(row, "RunningFor", str_c(&ago));
    json_set_str(row, "Status", str_c(&status));
    json_set_str(row, "Names", r->name);
    if (o->size || o->format)
        set_size(row, r, is_sized(o));
    if (o->format)
        set_rest(row, r, o);
    return row;
}

struct json *cli_container_row(const struct engine_row *r, int64_t now) {
    const struct opts plain = {.last = -1};
    struct json *row = row_of(r, &plain, now);
    set_mounts(row, r->mounts, false);
    return row;
}

/* ---- the list ---- */

static struct err *add_matching(struct cli_ctx *c, const struct cli_containers *found, struct cli_rows *rows) {
    const struct opts *o = c->opts;
    int64_t now = clock_now(), left = o->latest ? 1 : o->last >= 0 ? o->last : INT64_MAX;
    for (size_t i = 0; i < found->rows.n && left > 0; i++) {
        const struct engine_row *r = found->rows.v[i];
        if (!cli_container_matches(found, r))
            continue;
        autojson row = row_of(r, o, now);
        if (!o->quiet || o->format)
            set_ports(row, c->engine, r);
        if (shows(o, ".Networks"))
            set_networks(row, c->engine, r);
        TRY(cli_rows_add(rows, row));
        left--;
    }
    return NULL;
}

static struct err *list(struct cli_ctx *c, struct cli_rows *rows) {
    const struct opts *o = c->opts;
    const struct engine_list wanted = {
        .all = o->all || o->last >= 0 || o->latest, .last = o->latest ? 1 : (int)o->last, .size = is_sized(o)};
    autocli_containers found = {.before = 0};
    TRY(cli_containers_find(c, &wanted, &o->filter, &found));
    return add_matching(c, &found, rows);
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct cli_table table = {
        .default_format =
            o->size
                ? "table "
                  "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}"
                : "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
        .headers = headers,
        .quiet_is_id = true,
    };
    autocli_rows rows = NULL;
    TRY(cli_rows_open(c, &table, o->format, o->quiet, &rows));
    TRY(list(c, rows));
    cli_rows_print(rows);
    return NULL;
}

const struct cmd cmd_ps = {
    .name = "ps",
    .group = "container",
    .group_name = "ls",
    .aliases = "list,ps",
    .top_level = true,
    .summary = "List containers",
    .usage = "[OPTIONS]",
    .max_args = 0,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
