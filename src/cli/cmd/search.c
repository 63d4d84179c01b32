#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

#include "engine/registries.h"

#define LIMIT_DEFAULT 25
#define LIMIT_MAX 100
#define DESCRIPTION_MAX 45

struct opts {
    struct strv filter;
    char *format;
    int64_t limit;
    bool no_trunc;
};
#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "filter",
     .letter = 'f',
     .type = CLI_FILTER,
     .offset = AT(filter),
     .help = "Filter output based on conditions provided"},
    {.name = "format", .type = CLI_STRING, .offset = AT(format), .help = "Pretty-print search using a Go template"},
    {.name = "limit", .type = CLI_INT, .offset = AT(limit), .help = "Max number of search results"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Don't truncate output"},
    {.name = NULL},
};

static const char *const headers[][2] = {
    {"Name", "NAME"},           {"Description", "DESCRIPTION"}, {"StarCount", "STARS"},
    {"IsOfficial", "OFFICIAL"}, {"IsAutomated", "AUTOMATED"},   {NULL, NULL},
};

/* At most DESCRIPTION_MAX characters of UTF-8, with docker's ellipsis for the rest; on one line. */
static void describe(const char *text, bool whole, struct str *out) {
    autofree char *line = mem_dup(text);
    for (char *end = line; (end = strpbrk(end, "\r\n"));)
        *end = ' ';
    cli_ellipsis(line, whole ? SIZE_MAX : DESCRIPTION_MAX, out);
}

static struct json *row_of(const struct json *r, bool whole) {
    struct json *row = json_object();
    autostr struct str description = STR_INIT;
    autofree char *stars = mem_printf("%lld", (long long)json_int_value(json_get(r, "star_count"), 0));
    describe(json_text(r, "description"), whole, &description);
    json_set_str(row, "Name", json_text(r, "name"));
    json_set_str(row, "Description", str_c(&description));
    json_set_str(row, "StarCount", stars);
    json_set_str(row, "IsOfficial", json_bool_value(json_get(r, "is_official"), false) ? "[OK]" : "");
    json_set_str(row, "IsAutomated", json_bool_value(json_get(r, "is_automated"), false) ? "[OK]" : "");
    return row;
}

/* One value of a filter against a result. */
static bool value_matches(const void *result, const char *key, const char *value) {
    const struct json *r = result;
    int64_t stars = 0;
    if (!strcmp(key, "stars"))
        return str_to_i64(value, 0, INT64_MAX, &stars) && json_int_value(json_get(r, "star_count"), 0) >= stars;
    const char *field = !strcmp(key, "is-official") ? "is_official" : "is_automated";
    bool wanted = false;
    return str_to_truth(value, &wanted) && json_bool_value(json_get(r, field), false) == wanted;
}

static struct err *check_filters(const struct strv *texts) {
    int64_t stars;
    bool truth;
    for (size_t i = 0; i < texts->n; i++) {
        const char *value = strchr(texts->v[i], '=');
        bool number = str_starts(texts->v[i], "stars=");
        bool good = !value || (number ? str_to_i64(value + 1, 0, INT64_MAX, &stars) : str_to_truth(value + 1, &truth));
        if (!good)
            return err_new(ERR_USAGE, "invalid filter '%s'", texts->v[i]);
    }
    return NULL;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    static const char *const keys[] = {"is-automated", "is-official", "stars", NULL};
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct cli_table table = {
        .default_format = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}", .headers = headers};
    autostrmap struct strmap filters = {.n = 0};
    autojson rows = json_array();
    autojson all = NULL;
    int interrupted = -1;
    TRY(cli_filters_parse(&o->filter, keys, &filters));
    TRY(check_filters(&o->filter));
    if (o->limit < 0 || o->limit > LIMIT_MAX)
        return err_new(ERR_USAGE, "limit %lld is outside the range of [1, %d]", (long long)o->limit, LIMIT_MAX);
    TRY(cli_interrupt_fd(&interrupted));
    TRY(engine_search(c->engine, c->args[0], o->limit ? o->limit : LIMIT_DEFAULT, &interrupted, &all));
    JSON_EACH(r, all)
    if (cli_filters_match(&filters, value_matches, r))
        json_push(rows, row_of(r, o->no_trunc));
    return cli_render_rows(c, &table, rows, o->format, false);
}

const struct cmd cmd_search = {
    .name = "search",
    .top_level = true,
    .summary = "Search Docker Hub for images",
    .usage = "[OPTIONS] TERM",
    .description = "Searches Docker Hub, or the registry that the term begins with (registry.example/TERM). A registry "
                   "that knows no search is asked for its catalog.",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
