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

/* Columns of text on a terminal; every code point counts one. */
static size_t width_of(const char *s) {
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_table(FILE *out, const struct strv *lines) {
    size_t widths[64] = {0};
    struct strv *cells = mem_array(lines->n + 1, sizeof *cells);
    for (size_t i = 0; i < lines->n; i++) {
        strv_split(&cells[i], lines->v[i], '\t');
        for (size_t k = 0; k + 1 < cells[i].n && k < ARRAY_LEN(widths); k++) {
            size_t w = width_of(cells[i].v[k]) + CELL_PAD;
            widths[k] = w > widths[k] ? w : widths[k];
        }
    }
    for (size_t i = 0; i < lines->n; i++) {
        for (size_t k = 0; k < cells[i].n; k++) {
            fputs(cells[i].v[k], out);
            size_t w = width_of(cells[i].v[k]),
                   room = k < ARRAY_LEN(widths) && widths[k] > CELL_MIN ? widths[k] : CELL_MIN;
            for (; k + 1 < cells[i].n && w < room; w++)
                fputc(' ', out);
        }
        fputc('\n', out);
        strv_done(&cells[i]);
    }
    free(cells);
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

/* Whether the row can be executed as it is: nothing in it needs to be spelled out, and every column that the format may
 * ask for is there. */
static bool row_is_plain(const struct cli_table *t, const struct json *row, const char *format) {
    JSON_EACH(m, row) {
        const char *text = json_str_value(m);
        if (text && !is_plain(text))
            return false;
    }
    for (size_t i = 0; t->headers[i][0]; i++)
        if (strstr(format, t->headers[i][0]) && !json_get(row, t->headers[i][0]))
            return false;
    return !strstr(format, "json") && !strstr(format, "{{.}}") && !strstr(format, "$");
}

/* The members of a row with control characters spelled out; every column is there. */
static struct json *visible_row(const struct cli_table *t, const struct json *row) {
    struct json *out = json_object();
    for (size_t i = 0; t->headers[i][0]; i++)
        json_set_str(out, t->headers[i][0], "");
    JSON_EACH(m, row) {
        const char *text = json_str_value(m);
        autostr struct str s = STR_INIT;
        if (text)
            str_append_visible(&s, text);
        json_set(out, json_key(m), text ? json_string(str_c(&s)) : json_copy(m));
    }
    return out;
}

static struct err *push_line(const struct template *t, const struct json *row, int flags, struct strv *lines) {
    autostr struct str s = STR_INIT;
    TRY(template_execute_with(t, row, flags, &s));
    strv_push(lines, str_c(&s));
    return NULL;
}

/* `format` is what the template was made of, with "table " before it for a table. */
static struct err *render_lines(struct cli_ctx *c, const struct cli_table *t, const struct json *rows,
                                const struct template *tpl, const char *format) {
    bool table = str_starts(format, "table ");
    autostrv struct strv lines = {.n = 0};
    if (table) {
        autojson head = header_row(t);
        TRY(push_line(tpl, head, TEMPLATE_HEADER, &lines));
    }
    JSON_EACH(row, rows) {
        autojson visible = row_is_plain(t, row, format) ? NULL : visible_row(t, row);
        TRY(push_line(tpl, visible ? visible : row, TEMPLATE_ROW, &lines));
    }
    if (table) {
        print_table(c->out, &lines);
        return NULL;
    }
    for (size_t i = 0; i < lines.n; i++)
        fprintf(c->out, "%s\n", lines.v[i]);
    return NULL;
}

static void print_json_row(struct cli_ctx *c, const struct json *row) {
    autojson plain = json_copy(row);
    json_remove(plain, "__labels");
    autostr struct str s = STR_INIT;
    json_render(plain, JSON_COMPACT, &s);
    fprintf(c->out, "%s\n", str_c(&s));
}

struct err *cli_render_rows(struct cli_ctx *c, const struct cli_table *t, const struct json *rows, const char *format,
                            bool quiet) {
    if (!format || !*format || !strcmp(format, "table"))
        format = quiet && t->quiet_is_id ? "{{.ID}}" : t->default_format;
    if (!strcmp(format, "json")) {
        JSON_EACH(row, rows)
        print_json_row(c, row);
        return NULL;
    }
    bool table = str_starts(format, "table ");
    if (table && quiet && t->quiet_is_id) {
        format = "{{.ID}}";
        table = false;
    }
    struct template *tpl = NULL;
    TRY(compile(table ? format + strlen("table ") : format, &tpl));
    struct err *e = render_lines(c, t, rows, tpl, format);
    template_free(tpl);
    return e;
}

/* ---- objects ---- */

static struct err *render_templates(struct cli_ctx *c, const struct json *array, const char *format) {
    struct template *tpl = NULL;
    TRY(compile(format, &tpl));
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
