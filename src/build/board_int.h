/*
 * board_int: what people see of a build: the vertices of all stages (progress_int.h), which are worked on side by side,
 * in one of four forms. Plain: BuildKit's lines, "#5 [2/3] RUN make", "#5 0.731 cc -c x.c", "#5 DONE 1.2s". A terminal:
 * a line for each vertex with its time, the last lines of those that are worked on below them, redrawn in place. Raw
 * JSON: BuildKit's status objects, one a line. None: nothing, but the last lines of each vertex are kept for the error.
 *
 * The board belongs to one process, which reads the output of commands itself: it polls board_fds() and calls
 * board_read().
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "build/build.h"

struct json;

enum { BOARD_KEPT = 20 };

struct vertex {
    size_t source;  /* whose it is: 0, or the number of a stage, from 1 */
    unsigned local; /* its number there */
    unsigned number;
    char *name;
    int64_t start, end; /* ns; end 0: it is worked on */
    bool cached, failed, canceled;
    int output;      /* of its command, or -1 */
    struct str line; /* what has come of the next line */
    char *last[BOARD_KEPT];
    size_t n_lines;
};

struct board {
    struct build_look look;
    const struct board_form *form;
    struct vertex **v;
    size_t n;
    const struct vertex *told; /* plain: who spoke last */
    int64_t start, drawn_at;   /* terminal */
    size_t drawn;              /* terminal: lines */
};

struct board_form {
    void (*begun)(struct board *b, const struct vertex *v);
    void (*line)(struct board *b, const struct vertex *v, const char *text);
    void (*ended)(struct board *b, const struct vertex *v, const char *error);
    void (*text)(struct board *b, const char *text);
    void (*tick)(struct board *b); /* every BOARD_TICK_MS while something is worked on; NULL: no need */
};
enum { BOARD_TICK_MS = 100 };
extern const struct board_form board_plain, board_tty, board_json;

void board_init(struct board *b, const struct build_look *look);
void board_done(struct board *b);
/* Takes an event, and the descriptor that came with it, or -1. */
void board_event(struct board *b, size_t source, const struct json *event, int taken_fd);
/* Ends what a source is working on with an error; NULL: it was canceled. */
void board_fail(struct board *b, size_t source, const char *error);
/* The last lines of a source's vertex that failed, if a command has said any, as BuildKit frames them. Appended. */
void board_last_lines(const struct board *b, size_t source, struct str *out);
/* Outputs to poll for; `fds` has room for as many as there are vertices. */
size_t board_fds(const struct board *b, struct pollfd *fds);
/* Reads what has come from an output. */
void board_read(struct board *b, int fd);
/* How long poll may wait, and what to do after it. */
int board_timeout(const struct board *b);
void board_tick(struct board *b);
/* Writes to the one who looks; who does not listen misses it. */
void board_write(const struct board *b, const char *text);
/* Seconds that a vertex has taken so far. */
double board_elapsed(const struct vertex *v);
