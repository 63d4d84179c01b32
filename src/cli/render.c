/*
 * render: views to text. A row is executed through a template; a table's header is the same template executed on the
 * header words, so that any order of columns has the right titles. Cells come from images and users: they are made
 * visible, never sent raw to a terminal.
 */
#include "cli/cli_int.h"

#include <string.h>

#define CELL_MIN 10
#define CELL_PAD 3

/* docker's CLI takes "\t" and "\n" written with a backslash for the characters. */
static char *unescape(const char *text) {
    autostr struct str s = STR_INIT;
    for (; *text; text++) {
        bool escape = text[0] == '\\' && (text[1] == 't' || text[1] == 'n');
        str_append_c(&s, !escape ? *text : text[1] == 't' ? '\t' : '\n');
        text += escape;
    }
    return str_take(&s);
}

static struct err *compile(const char *text, struct template **ret) {
    autofree char *plain = unescape(text);
    return template_parse(plain, ret);
}

/* ---- tables ---- */

/* The columns' widths: that of the widest cell and what parts it from the next; the last cell of a line has none. */
static void measure(const struct strv *lines, size_t *widths, size_t n) {
    for (size_t i = 0; i < lines->n; i++) {
        const char *cell = lines->v[i], *end;
        for (size_t k = 0; k < n && *(end = strchrnul(cell, '\t')); k++, cell = end + 1) {
            size_t room = cli_columns(cell, (size_t)(end - cell)) + CELL_PAD;
            widths[k] = room > widths[k] ? room : widths[k];
        }
    }
}

static void print_cell(FILE *out, const char *cell, size_t n, size_t room) {
    static const char blanks[] = "                                                                ";
    fwrite(cell, 1, n, out);
    size_t taken = cli_columns(cell, n);
    room -= taken < room ? taken : room;
    for (; room >= sizeof blanks; room -= sizeof blanks - 1)
        fputs(blanks, out);
    fwrite(blanks, 1, room, out);
}

static void print_table(FILE *out, const struct strv *lines) {
    size_t widths[64] = {0};
    measure(lines, widths, ARRAY_LEN(widths));
    for (size_t i = 0; i < lines->n; i++) {
        const char *cell = lines->v[i], *end;
        for (size_t k = 0; *(end = strchrnul(cell, '\t')); k++, cell = end + 1)
            print_cell(out, cell, (size_t)(end - cell),
                       k < ARRAY_LEN(widths) && widths[k] > CELL_MIN ? widths[k] : CELL_MIN);
        fputs(cell, out);
        fputc('\n', out);
    }
}

static struct json *header_row(const struct cli_table *t) {
    struct json *row = json_object();
    for (size_t i = 0; t->headers[i][0]; i++)
        json_set_str(row, t->headers[i][0], t->headers[i][1]);
    return row;
}

/* Printable ASCII throughout, as nearly everything is. */
static bool is_plain(const char *text) {
    while (*text >= ' ' && *text != 0x7f)
        text++;
    return *text == '\0';
}

/* The keys of a row in their order, which is that of docker's rows; those of columns that it lacks, too. */
static void sorted_keys(const struct cli_table *t, const struct json *row, struct strv *out) {
    JSON_EACH(m, row)
    strv_push(out, json_key(m));
    for (size_t i = 0; t && t->headers[i][0]; i++)
        if (!json_get(row, t->headers[i][0]))
            strv_push(out, t->headers[i][0]);
    strv_sort(out);
}

/* The members of a row with control characters spelled out; every column is there. */
static struct json *visible_row(const struct cli_table *t, const struct json *row) {
    struct json *out = json_object();
    autostrv struct strv keys = {.n = 0};
    sorted_keys(t, row, &keys);
    for (size_t i = 0; i < keys.n; i++) {
        const struct json *m = json_get(row, keys.v[i]);
        const char *text = json_str_value(m);
        autostr struct str s = STR_INIT;
        if (text)
            str_append_visible(&s, text);
        json_set(out, keys.v[i], m && !text ? json_copy(m) : json_string(str_c(&s)));
    }
    return out;
}

/* ---- rows ---- */

enum { COLUMNS_MAX = 64 };

struct cli_rows {
    FILE *out;
    const struct cli_table *table;
    const char *format;   /* without "table " */
    struct template *tpl; /* NULL: JSON */
    bool is_table;
    bool needs_all;                 /* the format may look at more than the columns it names */
    const char *named[COLUMNS_MAX]; /* columns that it names */
    size_t n_named;
    struct str line; /* of the row at hand */
    struct strv lines;
};

/* Whether the row can be executed as it is: nothing in it needs to be spelled out, and every column that the format may
 * ask for is there. */
static bool row_is_plain(const struct cli_rows *r, const struct json *row) {
    if (r->needs_all)
        return false;
    JSON_EACH(m, row) {
        const char *text = json_str_value(m);
        if (text && !is_plain(text))
            return false;
    }
    for (size_t i = 0; i < r->n_named; i++)
        if (!json_get(row, r->named[i]))
            return false;
    return true;
}

static void print_json_row(FILE *out, const struct json *row) {
    autojson sorted = json_object();
    autostrv struct strv keys = {.n = 0};
    autostr struct str s = STR_INIT;
    sorted_keys(NULL, row, &keys);
    for (size_t i = 0; i < keys.n; i++)
        if (!str_starts(keys.v[i], "__")) /* what only templates call */
            json_set(sorted, keys.v[i], json_copy(json_get(row, keys.v[i])));
    json_render(sorted, JSON_COMPACT, &s);
    fprintf(out, "%s\n", str_c(&s));
}

static struct err *push_line(struct cli_rows *r, const struct json *row, int flags) {
    str_clear(&r->line);
    TRY(template_execute_with(r->tpl, row, flags, &r->line));
    strv_push(&r->lines, str_c(&r->line));
    return NULL;
}

static struct err *prepare(struct cli_rows *r) {
    const struct cli_table *t = r->table;
    if (!strcmp(r->format, "json"))
        return NULL;
    r->is_table = str_starts(r->format, "table ");
    r->format += r->is_table ? strlen("table ") : 0;
    TRY_CTX(compile(r->format, &r->tpl), "failed to parse template");
    r->needs_all = strstr(r->format, "json") || strstr(r->format, "{{.}}") || strchr(r->format, '$');
    for (size_t i = 0; t->headers[i][0]; i++) {
        if (strstr(r->format, t->headers[i][0])) {
            r->needs_all = r->needs_all || r->n_named == COLUMNS_MAX;
            r->named[r->n_named] = t->headers[i][0];
            r->n_named += r->n_named < COLUMNS_MAX;
        }
    }
    autojson head = header_row(t);
    return r->is_table ? push_line(r, head, TEMPLATE_HEADER) : NULL;
}

struct err *cli_rows_open(struct cli_ctx *c, const struct cli_table *t, const char *format, bool quiet,
                          struct cli_rows **ret) {
    bool only_ids = quiet && t->quiet_is_id;
    if (!format || !*format || !strcmp(format, "table"))
        format = t->default_format;
    else
        only_ids = only_ids && str_starts(format, "table ");
    struct cli_rows *r = mem_alloc(sizeof *r);
    *r = (struct cli_rows){.out = c->out, .table = t, .format = only_ids ? "{{.ID}}" : format};
    struct err *e = prepare(r);
    if (e)
        cli_rows_free(r);
    else
        *ret = r;
    return e;
}

struct err *cli_rows_add(struct cli_rows *r, const struct json *row) {
    if (!r->tpl) {
        print_json_row(r->out, row);
        return NULL;
    }
    autojson visible = row_is_plain(r, row) ? NULL : visible_row(r->table, row);
    return push_line(r, visible ? visible : row, TEMPLATE_ROW);
}

void cli_rows_print(const struct cli_rows *r) {
    if (r->is_table)
        print_table(r->out, &r->lines);
    for (size_t i = 0; !r->is_table && i < r->lines.n; i++)
        fprintf(r->out, "%s\n", r->lines.v[i]);
}

void cli_rows_free(struct cli_rows *r) {
    if (!r)
        return;
    template_free(r->tpl);
    str_done(&r->line);
    strv_done(&r->lines);
    free(r);
}

struct err *cli_render_rows(struct cli_ctx *c, const struct cli_table *t, const struct json *rows, const char *format,
                            bool quiet) {
    autocli_rows r = NULL;
    TRY(cli_rows_open(c, t, format, quiet, &r));
    JSON_EACH(row, rows)
    TRY(cli_rows_add(r, row));
    cli_rows_print(r);
    return NULL;
}

/* ---- objects ---- */

static struct err *render_templates(struct cli_ctx *c, const struct json *array, const char *format) {
    struct template *tpl = NULL;
    TRY_CTX(compile(format, &tpl), "template parsing error");
    struct err *e = NULL;
    for (struct json *o = json_first(array); o && !e; o = json_next(o)) {
        autostr struct str s = STR_INIT;
        e = template_execute_with(tpl, o, TEMPLATE_INSPECT, &s);
        if (!e) {
            fwrite(str_c(&s), 1, s.len, c->out);
            fputc('\n', c->out);
        }
    }
    template_free(tpl);
    return e;
}

struct err *cli_render_object(struct cli_ctx *c, const struct json *object, const char *format) {
    autojson all = json_array();
    autostr struct str s = STR_INIT;
    if (strcmp(format, "json") != 0) {
        json_push(all, json_copy(object));
        return render_templates(c, all, format);
    }
    json_render(object, JSON_COMPACT, &s);
    fprintf(c->out, "%s\n", str_c(&s));
    return NULL;
}

struct err *cli_check_format(const char *format, int *ret_code) {
    struct template *tpl = NULL;
    if (!format || !*format || !strcmp(format, "json"))
        return NULL;
    struct err *e = compile(format, &tpl);
    template_free(tpl);
    if (e)
        *ret_code = 64;
    return e ? err_wrap(e, "template parsing error") : NULL;
}

struct err *cli_render_oci(struct cli_ctx *c, const struct json *object, const char *format) {
    struct template *t = NULL;
    autostr struct str text = STR_INIT;
    TRY(template_parse(format, &t));
    struct err *e = template_execute_with(t, object, TEMPLATE_OCI, &text);
    template_free(t);
    if (!e)
        fprintf(c->out, "%s\n", str_c(&text));
    return e;
}

struct err *cli_render_objects(struct cli_ctx *c, const struct json *array, const char *format) {
    autostr struct str s = STR_INIT;
    if (!format || !*format) {
        json_render(array, JSON_PRETTY, &s);
        fprintf(c->out, "%s\n", str_c(&s));
        return NULL;
    }
    if (strcmp(format, "json") != 0)
        return render_templates(c, array, format);
    json_render(array, JSON_COMPACT, &s);
    fprintf(c->out, "%s\n", str_c(&s));
    return NULL;
}
