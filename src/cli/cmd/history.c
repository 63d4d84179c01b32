/* history: the steps that made an image, newest first. */
#include "cli/cli_int.h"

#include <stddef.h>
#include <string.h>

struct opts {
    bool human, no_trunc, quiet;
    char *format, *platform;
};

#define AT(m) offsetof(struct opts, m)

static const struct cli_flag flags[] = {
    {.name = "format",
     .type = CLI_STRING,
     .offset = AT(format),
     .help = "Format output: table, table TEMPLATE, json, or a Go TEMPLATE"},
    {.name = "human",
     .letter = 'H',
     .type = CLI_BOOL,
     .offset = AT(human),
     .def = "true",
     .help = "Print sizes and dates in human readable format"},
    {.name = "no-trunc", .type = CLI_BOOL, .offset = AT(no_trunc), .help = "Don't truncate output"},
    {.name = "platform",
     .type = CLI_STRING,
     .offset = AT(platform),
     .help = "Show history for the given platform (linux/arm64)"},
    {.name = "quiet", .letter = 'q', .type = CLI_BOOL, .offset = AT(quiet), .help = "Only show image IDs"},
    {.name = NULL},
};

static const char *const headers[][2] = {
    {"ID", "IMAGE"},
    {"CreatedSince", "CREATED"},
    {"CreatedAt", "CREATED AT"},
    {"CreatedBy", "CREATED BY"},
    {"Size", "SIZE"},
    {"Comment", "COMMENT"},
    {NULL, NULL},
};

static void set_created(struct json *row, int64_t seconds, bool human, int64_t now) {
    autostr struct str at = STR_INIT;
    autostr struct str ago = STR_INIT;
    clock_format_rfc3339(seconds * NSEC_PER_SEC, &at);
    if (!human)
        str_append(&ago, str_c(&at));
    else if (seconds > 0)
        clock_format_ago(seconds * NSEC_PER_SEC, now, &ago);
    else
        str_append(&ago, "N/A");
    json_set_str(row, "CreatedAt", str_c(&at));
    json_set_str(row, "CreatedSince", str_c(&ago));
}

enum { SHOWN_COMMAND = 45 };

static void set_command(struct json *row, const char *command, bool whole) {
    autofree char *flat = mem_dup(command);
    for (char *tab = flat; (tab = strchr(tab, '\t'));)
        *tab = ' ';
    autostr struct str s = STR_INIT;
    cli_ellipsis(flat, whole ? SIZE_MAX : SHOWN_COMMAND, &s);
    json_set_str(row, "CreatedBy", str_c(&s));
}

static void set_size(struct json *row, int64_t size, bool human) {
    autostr struct str s = STR_INIT;
    if (human)
        cli_human_size(size, 3, &s);
    else
        str_appendf(&s, "%lld", (long long)size);
    json_set_str(row, "Size", str_c(&s));
}

static struct json *row_of(const struct json *step, const struct opts *o, int64_t now) {
    struct json *row = json_object();
    const char *id = json_text(step, "Id");
    bool cut = !o->no_trunc && str_starts(id, "sha256:");
    autofree char *shown = cut ? mem_dupn(id + strlen("sha256:"), ID_SHORT_LEN) : mem_dup(id);
    json_set_str(row, "Comment", json_text(step, "Comment"));
    set_created(row, json_int_value(json_get(step, "Created"), 0), o->human, now);
    set_command(row, json_text(step, "CreatedBy"), o->no_trunc);
    json_set_str(row, "ID", shown);
    set_size(row, json_int_value(json_get(step, "Size"), 0), o->human);
    return row;
}

static struct err *run(struct cli_ctx *c, int *ret_code) {
    (void)ret_code;
    const struct opts *o = c->opts;
    const struct cli_table table = {
        .default_format = o->human ? "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
                                   : "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
        .headers = headers,
        .quiet_is_id = true,
    };
    autojson steps = NULL;
    autojson rows = json_array();
    int64_t now = clock_now();
    TRY(engine_image_history(c->engine, c->args[0], o->platform, &steps));
    JSON_EACH(step, steps) { json_push(rows, row_of(step, o, now)); }
    return cli_render_rows(c, &table, rows, o->format, o->quiet);
}

const struct cmd cmd_history = {
    .name = "history",
    .group = "image",
    .top_level = true,
    .summary = "Show the history of an image",
    .usage = "[OPTIONS] IMAGE",
    .description = "Lists the steps that made the image, newest first, with the command and the size of each. Only the "
                   "image itself has an id; of the others there is <missing>, as of every image that was pulled.",
    .min_args = 1,
    .max_args = 1,
    .usage_exit = 1,
    .complete = CLI_COMPLETE_IMAGES,
    .flags = flags,
    .opts_size = sizeof(struct opts),
    .run = run,
};
