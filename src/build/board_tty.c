/*
 * board_tty: the live view on a terminal, as BuildKit draws it. What has ended stands above what is worked on; under
 * that are the last lines that its command has said. All of it is drawn again in place, ten times a second while
 * something happens; where it does not fit the terminal's height, what ended first is left out until the end.
 */
#include "build/board_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine.h"

enum { LINES_SHOWN = 6, ROWS_DEFAULT = 24, COLUMNS_DEFAULT = 80, REDRAW_NS = 50000000 };

struct screen {
    struct board *b;
    size_t rows, columns, used;
    struct str text;
};

static const char *const colour_failed = "\033[31m", *const colour_done = "\033[34m", *const colour_off = "\033[0m";

/* Bytes of a text that stand in `columns` columns, and how many columns that is. UTF-8 is one column a character. */
static size_t cut(const char *text, size_t columns, size_t *ret_columns) {
    size_t n = 0, used = 0;
    while (text[n] && used < columns) {
        n++;
        while (((unsigned char)text[n] & 0xc0) == 0x80)
            n++;
        used++;
    }
    *ret_columns = used;
    return n;
}

/* A line with `right` at the terminal's right edge. */
static void put_line(struct screen *s, const char *colour, const char *left, const char *right) {
    size_t room = s->columns > strlen(right) + 2 ? s->columns - strlen(right) - 2 : 0, used;
    size_t n = cut(left, room, &used);
    bool coloured = s->b->look.colour && colour;
    str_appendf(&s->text, "\033[2K%s%.*s%s", coloured ? colour : "", (int)n, left, coloured ? colour_off : "");
    if (*right)
        str_appendf(&s->text, "%*s%s", (int)(room - used + 1), "", right);
    str_append_c(&s->text, '\n');
    s->used++;
}

static void put_vertex(struct screen *s, const struct vertex *v) {
    const char *word = v->failed ? "ERROR " : v->canceled ? "CANCELED " : v->cached ? "CACHED " : "";
    autofree char *left = mem_printf(" => %s%s", word, v->name);
    autofree char *right = mem_printf("%.1fs", board_elapsed(v));
    put_line(s, v->failed ? colour_failed : v->end ? colour_done : NULL, left, right);
}

static void put_last_lines(struct screen *s, const struct vertex *v) {
    size_t kept = v->n_lines < LINES_SHOWN ? v->n_lines : LINES_SHOWN;
    for (size_t i = v->n_lines - kept; i < v->n_lines && s->used + 2 < s->rows; i++) {
        autofree char *left = mem_printf(" => => # %s", v->last[i % BOARD_KEPT]);
        put_line(s, NULL, left, "");
    }
}

static size_t ended_vertices(const struct board *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->v[i]->end != 0;
    return n;
}

static void put_header(struct screen *s, size_t ended) {
    const struct board *b = s->b;
    double took = (double)(clock_now() - b->start) / NSEC_PER_SEC;
    autofree char *left =
        mem_printf("[+] Building %.1fs (%zu/%zu)%s", took, ended, b->n, ended == b->n ? " FINISHED" : "");
    put_line(s, NULL, left, "");
}

/* `all`: for good, however long it is. */
static void draw(struct board *b, bool all) {
    unsigned short rows = 0, columns = 0;
    engine_tty_size(b->look.fd, &rows, &columns);
    struct screen s = {.b = b,
                       .rows = rows > 4 ? rows : ROWS_DEFAULT,
                       .columns = columns > 20 ? columns : COLUMNS_DEFAULT,
                       .text = STR_INIT};
    size_t ended = ended_vertices(b), room = s.rows > 2 + (b->n - ended) ? s.rows - 2 - (b->n - ended) : 0;
    size_t skip = all || ended <= room ? 0 : ended - room;
    if (b->drawn)
        str_appendf(&s.text, "\033[%zuA", b->drawn);
    put_header(&s, ended);
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i]->end && (!skip || !skip--))
            put_vertex(&s, b->v[i]);
    for (size_t i = 0; i < b->n && (all || s.used + 1 < s.rows); i++)
        if (!b->v[i]->end) {
            put_vertex(&s, b->v[i]);
            put_last_lines(&s, b->v[i]);
        }
    size_t used = s.used;
    str_append(&s.text, "\033[J");
    board_write(b, str_c(&s.text));
    str_done(&s.text);
    b->drawn = used;
    b->drawn_at = clock_now();
}

static void soon(struct board *b) {
    if (clock_now() - b->drawn_at >= REDRAW_NS)
        draw(b, false);
}

static void on_begun(struct board *b, const struct vertex *v) {
    (void)v;
    soon(b);
}

static void on_line(struct board *b, const struct vertex *v, const char *text) {
    (void)v;
    (void)text;
    soon(b);
}

static void on_ended(struct board *b, const struct vertex *v, const char *error) {
    (void)v;
    (void)error;
    soon(b);
}

/* Below the view, which stays as it is from then on: the next one begins anew. */
static void on_text(struct board *b, const char *t) {
    draw(b, true);
    b->drawn = 0;
    board_write(b, t);
}

static void on_tick(struct board *b) { draw(b, ended_vertices(b) == b->n); }

const struct board_form board_tty = {
    .begun = on_begun, .line = on_line, .ended = on_ended, .text = on_text, .tick = on_tick};
