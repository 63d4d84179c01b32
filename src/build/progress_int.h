/*
 * progress_int: what a build says, in BuildKit's plain form: vertices are numbered, "#5 [2/3] RUN make", their lines
 * follow with the seconds since their start, then DONE, CACHED or ERROR.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct err;

struct progress {
    int fd; /* -1: silent */
    unsigned n;
    int64_t start;
};

/* A new vertex. */
void progress_vertex(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of it. */
void progress_line(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_done(struct progress *p);
void progress_cached(struct progress *p);
void progress_failed(struct progress *p, const struct err *e);
/* Text as it is. */
void progress_text(const struct progress *p, const char *text);

/* The output of a command: a process reads it from a pipe, shows each line with its time, and keeps the last ones. */
struct progress_tail {
    int in;   /* the pipe to write to */
    int kept; /* a memory file */
    int pid;
};
struct err *progress_tail_start(const struct progress *p, struct progress_tail *ret)
    __attribute__((warn_unused_result));
/* Closes the pipe, waits for the reader, and appends the last lines. */
void progress_tail_end(struct progress_tail *t, struct str *out);
