/*
 * progress: what a pull is doing. On a terminal one line a layer, redrawn in place with a bar; elsewhere one plain line
 * for each change of status. The screen is touched at most twenty times a second, so that a fast pull does not wait for
 * a slow terminal.
 */
#include "base/sys/sys.h"
#include "cli/cli_int.h"

#include <string.h>
#include <sys/ioctl.h>

#define REDRAW_NS (50 * NSEC_PER_MSEC)
#define LINES_MAX 128

struct line {
    char *id, *status;
    int64_t current, total;
};

struct cli_progress {
    FILE *out;
    bool tty, quiet;
    struct line lines[LINES_MAX];
    size_t n, drawn;
    int64_t last;
};

struct cli_progress *cli_progress_new(FILE *out, bool tty, bool quiet) {
    struct cli_progress *p = mem_alloc(sizeof *p);
    *p = (struct cli_progress){.out = out, .tty = tty, .quiet = quiet};
    return p;
}

static size_t terminal_columns(const struct cli_progress *p) {
    struct winsize ws;
    return sys_tty_get_size(fileno(p->out), &ws) == 0 && ws.ws_col > 20 ? ws.ws_col : 80;
}

static void append_bar(struct str *out, const struct line *l, size_t columns) {
    size_t width = columns > 110 ? 50 : columns > 80 ? 25 : 0;
    if (width) {
        size_t full = (size_t)((double)l->current / (double)l->total * (double)width);
        full = full > width ? width : full;
        str_append_c(out, '[');
        for (size_t i = 0; i < width; i++)
            str_append_c(out, i + 1 == full ? '>' : i < full ? '=' : ' ');
        str_append(out, "]  ");
    }
    cli_human_size(l->current, 4, out);
    str_append_c(out, '/');
    cli_human_size(l->total, 4, out);
}

static void draw_line(const struct cli_progress *p, const struct line *l, size_t columns) {
    autostr struct str s = STR_INIT;
    if (l->id)
        str_appendf(&s, "%s: ", l->id);
    str_append(&s, l->status);
    str_append_c(&s, ' ');
    if (l->total > 0)
        append_bar(&s, l, columns);
    fprintf(p->out, "\033[2K%.*s\n", (int)columns - 1, str_c(&s));
}

static void draw(struct cli_progress *p) {
    size_t columns = terminal_columns(p);
    if (p->drawn)
        fprintf(p->out, "\033[%zuA", p->drawn);
    for (size_t i = 0; i < p->n; i++)
        draw_line(p, &p->lines[i], columns);
    p->drawn = p->n;
    p->last = clock_boot();
    fflush(p->out);
}

static struct line *line_for(struct cli_progress *p, const char *id) {
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->lines[i].id, id))
            return &p->lines[i];
    if (p->n == LINES_MAX)
        return NULL;
    struct line *l = &p->lines[p->n++];
    *l = (struct line){.id = mem_dup(id), .status = mem_dup("")};
    return l;
}

/* What is only worth telling while it can be redrawn. */
static bool is_passing(const char *status) {
    return !strcmp(status, "Downloading") || !strcmp(status, "Extracting") || !strcmp(status, "Pushing");
}

void cli_progress_event(void *progress, const struct image_progress *e) {
    struct cli_progress *p = progress;
    if (p->quiet || !e->status)
        return;
    struct line *l = line_for(p, e->id);
    if (!l)
        return;
    bool changed = strcmp(l->status, e->status) != 0;
    if (changed) {
        autostr struct str visible = STR_INIT;
        str_append_visible(&visible, e->status);
        mem_set(&l->status, str_c(&visible));
    }
    l->current = e->current;
    l->total = e->total;
    if (p->tty && (changed || clock_boot() - p->last >= REDRAW_NS))
        draw(p);
    else if (!p->tty && changed && !is_passing(e->status))
        fprintf(p->out, "%s%s%s\n", e->id ? e->id : "", e->id ? ": " : "", l->status);
}

void cli_progress_finish(struct cli_progress *p) {
    if (p->tty && p->n && !p->quiet)
        draw(p);
    p->quiet = true;
}

void cli_progress_done(struct cli_progress *p) {
    if (!p)
        return;
    cli_progress_finish(p);
    for (size_t i = 0; i < p->n; i++) {
        free(p->lines[i].id);
        free(p->lines[i].status);
    }
    free(p);
}
