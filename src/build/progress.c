/* progress: see progress_int.h. */
#include "build/progress_int.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"

static struct json *event_of(const struct progress *p) {
    struct json *j = json_object();
    json_set_int(j, "vertex", p->n);
    return j;
}

__attribute__((format(printf, 3, 0))) static void say(const struct progress *p, const char *key, const char *fmt,
                                                      va_list ap) {
    autostr struct str text = STR_INIT, visible = STR_INIT;
    autojson j = event_of(p);
    str_append_v(&text, fmt, ap);
    str_append_visible(&visible, str_c(&text));
    json_set_str(j, key, str_c(&visible));
    p->say(p->ctx, j, -1);
}

void progress_vertex(struct progress *p, const char *fmt, ...) {
    va_list ap;
    p->n++;
    va_start(ap, fmt);
    say(p, "name", fmt, ap);
    va_end(ap);
}

void progress_line(struct progress *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(p, "line", fmt, ap);
    va_end(ap);
}

static void end(const struct progress *p, const char *how) {
    autojson j = event_of(p);
    json_set_str(j, "end", how);
    p->say(p->ctx, j, -1);
}

void progress_done(struct progress *p) { end(p, "done"); }

void progress_cached(struct progress *p) { end(p, "cached"); }

void progress_shell(const struct progress *p, const char *text) {
    autojson j = event_of(p);
    json_set_str(j, "shell", text);
    p->say(p->ctx, j, -1);
}

void progress_text(const struct progress *p, const char *text) {
    autojson j = json_object();
    json_set_str(j, "text", text);
    p->say(p->ctx, j, -1);
}

struct err *progress_output(const struct progress *p, int *ret_fd) {
    int pair[2];
    autojson j = event_of(p);
    TRY(fd_pipe(0, pair));
    autofd int from = pair[0];
    json_set_bool(j, "output", true);
    p->say(p->ctx, j, from);
    *ret_fd = pair[1];
    return NULL;
}
