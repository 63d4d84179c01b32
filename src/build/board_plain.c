/* board_plain: BuildKit's plain progress, for logs. */
#include "build/board_int.h"

#include "base/mem.h"

/* Vertices that speak in turn are told apart by a blank line, too. */
static void say(struct board *b, const struct vertex *v, const char *text, const char *after) {
    autofree char *line = mem_printf("%s#%u %s\n%s", b->told && b->told != v ? "\n" : "", v->number, text, after);
    b->told = *after ? NULL : v;
    board_write(b, line);
}

static void on_begun(struct board *b, const struct vertex *v) { say(b, v, v->name, ""); }

static void on_line(struct board *b, const struct vertex *v, const char *text) { say(b, v, text, ""); }

static void on_ended(struct board *b, const struct vertex *v, const char *error) {
    autofree char *took = mem_printf("DONE %.1fs", board_elapsed(v));
    autofree char *why = mem_printf("ERROR: %s", error ? error : "");
    say(b, v, v->failed ? why : v->canceled ? "CANCELED" : v->cached ? "CACHED" : took, "\n");
}

static void on_text(struct board *b, const char *t) {
    b->told = NULL;
    board_write(b, t);
}

const struct board_form board_plain = {.begun = on_begun, .line = on_line, .ended = on_ended, .text = on_text};
