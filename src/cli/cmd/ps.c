/* ps: the engine's rows → filters → docker's placeholders. */
#include "cli/cli_int.h"

#include <fnmatch.h>
#include <regex.h>
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
     .type = CLI_LIST,
     .offset = AT(filter),
     .metavar = "filter",
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

/* The JSON that a row carries as text; NULL when it is none. */
static struct json *json_in(const char *text) {
    struct json *j = NULL;
    autoerr bad = json_parse(text, strlen(text), "a container's record", 0, &j);
    return bad ? NULL : j;
}

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
    struct json *labels = json_in(text);
    cli_labels_text(labels, &s);
    json_set_str(row, "Labels", str_c(&s));
    json_set(row, "__labels", labels ? labels : json_object()); /* for {{.Label "key"}} */
}

static void set_mounts(struct json *row, const char *text, bool no_trunc) {
    autostr struct str s = STR_INIT;
    autojson mounts = json_in(text);
    JSON_EACH(m, mounts) {
        const char *source = json_str_value(json_get(m, "Source"));
        if (!source)
            continue;
        str_append(&s, s.len ? "," : "");
        cli_ellipsis(source, no_trunc ? SIZE_MAX : 15, &s);
    }
    json_set_str(row, "Mounts", str_c(&s));
    json_set_str(row, "LocalVolumes", "0");
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

/* The columns that only a format of the user's asks for. */
static void set_rest(struct json *row, const struct engine_row *r, const struct opts *o) {
    autofree char *at = created_at(r->created);
    json_set_str(row, "CreatedAt", at);
    set_labels(row, r->labels);
    set_mounts(row, r->mounts, o->no_trunc);
    json_set_str(row, "Networks", *r->network && strcmp(r->network, "default") != 0 ? r->network : "none");
    json_set_str(row, "Platform", "linux");
    json_set_str(row, "State", r->status);
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
        set_size(row, r, o->size);
    if (o->format)
        set_rest(row, r, o);
    return row;
}

/* ---- filters ---- */

struct query {
    const struct engine_rows *list;
    int64_t before, since; /* when the containers that filters name were created, 0: unset */
    struct engine_ancestor *ancestors;
    size_t n_ancestors;
};

static void query_done(struct query *q) {
    for (size_t i = 0; i < q->n_ancestors; i++)
        engine_ancestor_done(&q->ancestors[i]);
    free(q->ancestors);
}

static void find_ancestors(struct cli_ctx *c, const char *names, struct query *q) {
    autostrv struct strv each = {.n = 0};
    if (!names)
        return;
    strv_split(&each, names, '\n');
    q->ancestors = mem_array(each.n, sizeof *q->ancestors);
    for (; q->n_ancestors < each.n; q->n_ancestors++)
        engine_ancestor_find(c->engine, each.v[q->n_ancestors], &q->ancestors[q->n_ancestors]);
}

static bool ancestor_matches(const struct query *q, const struct engine_row *r, const char *wanted) {
    for (size_t i = 0; i < q->n_ancestors; i++)
        if (!strcmp(q->ancestors[i].name, wanted))
            return engine_row_descends(r, &q->ancestors[i]);
    return false;
}

/* docker's name filter is a regular expression, held against "/name" and "name". One that is none matches nothing. */
static bool name_matches(const struct engine_row *r, const char *wanted) {
    regex_t re;
    if (regcomp(&re, wanted, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    autofree char *slashed = mem_printf("/%s", r->name);
    bool hit = regexec(&re, slashed, 0, NULL, 0) == 0 || regexec(&re, r->name, 0, NULL, 0) == 0;
    regfree(&re);
    return hit;
}

static bool labels_match(const struct engine_row *r, const char *wanted) {
    autojson labels = wanted ? json_in(r->labels) : NULL;
    return cli_labels_match(labels, wanted);
}

static bool mount_matches(const struct engine_row *r, const char *wanted) {
    autojson mounts = json_in(r->mounts);
    JSON_EACH(m, mounts)
    if (str_eq(json_str_value(json_get(m, "Source")), wanted) ||
        str_eq(json_str_value(json_get(m, "Destination")), wanted))
        return true;
    return false;
}

static bool one_matches(const struct query *q, const struct engine_row *r, const char *key, const char *value) {
    int64_t code = 0;
    if (!strcmp(key, "id"))
        return str_starts(r->id, value);
    if (!strcmp(key, "name"))
        return name_matches(r, value);
    if (!strcmp(key, "status"))
        return !strcmp(r->status, value);
    if (!strcmp(key, "exited"))
        return !strcmp(r->status, "exited") && str_to_i64(value, 0, 255, &code) && r->exit_code == code;
    if (!strcmp(key, "ancestor"))
        return ancestor_matches(q, r, value);
    if (!strcmp(key, "volume"))
        return mount_matches(r, value);
    if (!strcmp(key, "network"))
        return str_eq(r->network, value);
    if (!strcmp(key, "before"))
        return r->created < q->before;
    if (!strcmp(key, "since"))
        return r->created > q->since;
    return !strcmp(key, "is-task") ? !strcmp(value, "false") : !strcmp(key, "health") && !strcmp(value, "none");
}

/* Values of one key are alternatives, but labels must all match; different keys must all match. */
static bool matches(const struct query *q, const struct engine_row *r, const struct strmap *filters) {
    for (size_t i = 0; i < filters->n; i++) {
        autostrv struct strv values = {.n = 0};
        strv_split(&values, filters->e[i].value, '\n');
        size_t hits = 0;
        for (size_t k = 0; k < values.n; k++)
            hits += one_matches(q, r, filters->e[i].key, values.v[k]);
        if (hits == 0 && strcmp(filters->e[i].key, "label") != 0)
            return false;
    }
    return labels_match(r, strmap_get(filters, "label"));
}

static struct err *created_of(const struct query *q, const char *name, int64_t *ret) {
    for (size_t i = 0; i < q->list->n; i++) {
        const struct engine_row *r = q->list->v[i];
        if (!strcmp(r->name, name) || str_starts(r->id, name)) {
            *ret = r->created;
            return NULL;
        }
    }
    return err_new(ERR_NOT_FOUND, "no such container: %s", name);
}

static const char *const filter_keys[] = {"ancestor", "before",  "exited", "expose", "health",
                                          "id",       "is-task", "label",  "name",   "network",
                                          "publish",  "since",   "status", "volume", NULL};

static struct err *check_status(const struct strmap *filters) {
    static const char *const known[] = {"created", "restarting", "running", "removing", "paused", "exited", "dead"};
    const char *value = strmap_get(filters, "status");
    for (size_t i = 0; value && i < ARRAY_LEN(known); i++)
        if (!strncmp(value, known[i], strlen(known[i])))
            return NULL;
    return value ? err_new(ERR_USAGE, "invalid filter 'status=%s'", value) : NULL;
}

static struct err *check_exited(const struct strmap *filters) {
    autostrv struct strv codes = {.n = 0};
    if (strmap_get(filters, "exited"))
        strv_split(&codes, strmap_get(filters, "exited"), '\n');
    for (size_t i = 0; i < codes.n; i++) {
        int64_t code;
        if (!str_to_i64(codes.v[i], INT32_MIN, INT32_MAX, &code))
            return err_new(ERR_USAGE, "invalid filter 'exited=%s'", codes.v[i]);
    }
    return NULL;
}

static struct err *add_matching(struct cli_ctx *c, const struct query *q, const struct strmap *filters,
                                struct cli_rows *rows) {
    const struct opts *o = c->opts;
    int64_t now = clock_now(), left = o->latest ? 1 : o->last >= 0 ? o->last : INT64_MAX;
    for (size_t i = 0; i < q->list->n && left > 0; i++) {
        const struct engine_row *r = q->list->v[i];
        if (!matches(q, r, filters))
            continue;
        autojson row = row_of(r, o, now);
        if (!o->quiet || o->format)
            set_ports(row, c->engine, r);
        TRY(cli_rows_add(rows, row));
        left--;
    }
    return NULL;
}

static struct err *list(struct cli_ctx *c, struct cli_rows *rows) {
    const struct opts *o = c->opts;
    autostrmap struct strmap filters = {.n = 0};
    TRY(cli_filters_parse(&o->filter, filter_keys, &filters));
    TRY(check_status(&filters));
    TRY(check_exited(&filters));
    const struct engine_list everything = {
        .all = o->all || o->last >= 0 || o->latest || strmap_get(&filters, "status") || strmap_get(&filters, "exited"),
        .last = filters.n   ? -1
                : o->latest ? 1
                            : (int)o->last,
        .size = o->size,
    };
    autorows found = {.n = 0};
    TRY(engine_container_list(c->engine, &everything, &found));
    __attribute__((cleanup(query_done))) struct query q = {.list = &found};
    find_ancestors(c, strmap_get(&filters, "ancestor"), &q);
    if (strmap_get(&filters, "before"))
        TRY(created_of(&q, strmap_get(&filters, "before"), &q.before));
    if (strmap_get(&filters, "since"))
        TRY(created_of(&q, strmap_get(&filters, "since"), &q.since));
    return add_matching(c, &q, &filters, rows);
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
