/*
 * progress_int: what a build has to say, from where it is done to where it is shown. A build is vertices, "[2/3] RUN
 * make"; each begins, says lines, may have a command whose output is its own, and ends. They are said as events, JSON
 * objects that the process of a stage sends to the one that shows them (board_int.h), and that one hands to itself:
 *
 *     {"vertex":n,"name":"[2/3] RUN make"}    it begins; n counts from 1 in each process
 *     {"vertex":n,"line":"…"}                 a line about it
 *     {"vertex":n,"output":true} + pipe       what comes out of the pipe are its lines, with the time
 *     {"vertex":n,"end":"done" | "cached"}
 *     {"vertex":n,"shell":"…"}                its command has failed, and the user's terminal is a shell's, with this
 *                                             text above it, until the next message of this process
 *     {"text":"…"}                            about no vertex: a warning
 */
#pragma once

#include "base/str.h"

struct err;
struct json;

struct progress {
    void (*say)(void *ctx, const struct json *event, int fd); /* fd: borrowed, or -1 */
    void *ctx;
    unsigned n;
};

/* A new vertex. */
void progress_vertex(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of it. */
void progress_line(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_done(struct progress *p);
void progress_cached(struct progress *p);
/* Has the terminal left alone from here on, below a text. */
void progress_shell(const struct progress *p, const char *text);
/* Text as it is. */
void progress_text(const struct progress *p, const char *text);
/* Where a command of the vertex writes to; to be closed before its end is told. */
struct err *progress_output(const struct progress *p, int *ret_fd) __attribute__((warn_unused_result));
