/* board: see board_int.h. */
#include "build/board_int.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"

enum { LINE_BYTES_MAX = 4096 };

static void say_nothing(struct board *b, const struct vertex *v) {
    (void)b;
    (void)v;
}

static void line_of_nothing(struct board *b, const struct vertex *v, const char *text) {
    (void)b;
    (void)v;
    (void)text;
}

static void text_of_nothing(struct board *b, const char *text) {
    (void)b;
    (void)text;
}

static const struct board_form silent = {
    .begun = say_nothing, .line = line_of_nothing, .ended = line_of_nothing, .text = text_of_nothing};

void board_init(struct board *b, const struct build_look *look) {
    static const struct board_form *const forms[] = {[BUILD_SILENT] = &silent,
                                                     [BUILD_PLAIN] = &board_plain,
                                                     [BUILD_TTY] = &board_tty,
                                                     [BUILD_RAWJSON] = &board_json};
    *b = (struct board){.look = *look, .form = forms[look->form], .start = clock_now()};
}

void board_done(struct board *b) {
    for (size_t i = 0; i < b->n; i++) {
        struct vertex *v = b->v[i];
        fd_close(v->output);
        free(v->name);
        str_done(&v->line);
        for (size_t l = 0; l < BOARD_KEPT; l++)
            free(v->last[l]);
        free(v);
    }
    free(b->v);
    *b = (struct board){.n = 0};
}

void board_write(const struct board *b, const char *text) { err_free(io_write_all(b->look.fd, text, strlen(text))); }

double board_elapsed(const struct vertex *v) {
    return (double)((v->end ? v->end : clock_now()) - v->start) / NSEC_PER_SEC;
}

/* ---- lines ---- */

static void one_line(struct board *b, struct vertex *v, const char *text) {
    mem_set(&v->last[v->n_lines++ % BOARD_KEPT], text);
    b->form->line(b, v, text);
}

/* Of a command: with its time. */
static void end_line(struct board *b, struct vertex *v) {
    autostr struct str shown = STR_INIT;
    str_appendf(&shown, "%.3f ", board_elapsed(v));
    str_append_visible(&shown, str_c(&v->line));
    one_line(b, v, str_c(&shown));
    str_clear(&v->line);
}

static void take_bytes(struct board *b, struct vertex *v, const char *data, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            if (v->line.len && v->line.ptr[v->line.len - 1] == '\r')
                v->line.ptr[--v->line.len] = 0;
            end_line(b, v);
            continue;
        }
        str_append_c(&v->line, data[i] ? data[i] : ' ');
        if (v->line.len == LINE_BYTES_MAX)
            end_line(b, v);
    }
}

/* One read; false when there is nothing more. */
static bool read_some(struct board *b, struct vertex *v) {
    char data[16384];
    ssize_t n;
    do
        n = read(v->output, data, sizeof data);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        take_bytes(b, v, data, (size_t)n);
        return true;
    }
    if (n < 0 && errno == EAGAIN)
        return false;
    if (v->line.len)
        end_line(b, v);
    fd_replace(&v->output, -1);
    return false;
}

void board_read(struct board *b, int fd) {
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i]->output == fd) {
            (void)read_some(b, b->v[i]);
            return;
        }
}

/* What is in the pipe when the vertex ends is all: its command has ended. */
static void read_rest(struct board *b, struct vertex *v) {
    while (v->output >= 0 && read_some(b, v))
        ;
    if (v->line.len)
        end_line(b, v);
    fd_replace(&v->output, -1);
}

size_t board_fds(const struct board *b, struct pollfd *fds) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i]->output >= 0)
            fds[n++] = (struct pollfd){.fd = b->v[i]->output, .events = POLLIN};
    return n;
}

/* ---- vertices ---- */

static struct vertex *find(const struct board *b, size_t source, int64_t local) {
    for (size_t i = b->n; i-- > 0;)
        if (b->v[i]->source == source && b->v[i]->local == local)
            return b->v[i];
    return NULL;
}

static void begin(struct board *b, size_t source, int64_t local, const char *name) {
    struct vertex *v = mem_alloc(sizeof *v);
    *v = (struct vertex){.source = source,
                         .local = (unsigned)local,
                         .number = (unsigned)b->n + 1,
                         .name = mem_dup(name),
                         .start = clock_now(),
                         .output = -1};
    b->v = mem_resize(b->v, b->n + 1, sizeof(struct vertex *));
    b->v[b->n++] = v;
    b->form->begun(b, v);
}

static void end_vertex(struct board *b, struct vertex *v, const char *error) {
    read_rest(b, v);
    v->end = clock_now();
    b->form->ended(b, v, error);
}

static void take_output(struct vertex *v, int *fd) {
    autoerr blocking = fd_set_nonblock(*fd, true);
    if (!blocking)
        fd_replace(&v->output, take_fd(fd));
}

void board_event(struct board *b, size_t source, const struct json *event, int taken_fd) {
    autofd int fd = taken_fd;
    int64_t local = json_int_value(json_get(event, "vertex"), 0);
    const char *name = json_str_value(json_get(event, "name")), *line = json_str_value(json_get(event, "line"));
    const char *ended = json_str_value(json_get(event, "end")), *shell = json_str_value(json_get(event, "shell"));
    if (!local) {
        b->form->text(b, json_text(event, "text"));
        return;
    }
    if (name) {
        begin(b, source, local, name);
        return;
    }
    struct vertex *v = find(b, source, local);
    if (!v || v->end)
        return;
    if (line)
        b->form->line(b, v, line);
    if (fd >= 0)
        take_output(v, &fd);
    if (shell) {
        read_rest(b, v);
        b->form->text(b, shell);
    }
    v->cached = str_eq(ended, "cached");
    if (ended)
        end_vertex(b, v, NULL);
}

void board_fail(struct board *b, size_t source, const char *error) {
    for (size_t i = 0; i < b->n; i++) {
        struct vertex *v = b->v[i];
        if (v->source != source || v->end)
            continue;
        v->failed = error != NULL;
        v->canceled = !error;
        end_vertex(b, v, error);
    }
}

void board_last_lines(const struct board *b, size_t source, struct str *out) {
    for (size_t i = 0; i < b->n; i++) {
        const struct vertex *v = b->v[i];
        if (v->source != source || !v->failed || !v->n_lines)
            continue;
        str_appendf(out, "------\n > %s:\n", v->name);
        for (size_t l = v->n_lines > BOARD_KEPT ? v->n_lines - BOARD_KEPT : 0; l < v->n_lines; l++)
            str_appendf(out, "%s\n", v->last[l % BOARD_KEPT]);
        str_append(out, "------\n");
    }
}

/* ---- time ---- */

static bool working(const struct board *b) {
    for (size_t i = 0; i < b->n; i++)
        if (!b->v[i]->end)
            return true;
    return false;
}

int board_timeout(const struct board *b) { return b->form->tick && working(b) ? BOARD_TICK_MS : -1; }

void board_tick(struct board *b) {
    if (b->form->tick)
        b->form->tick(b);
}
