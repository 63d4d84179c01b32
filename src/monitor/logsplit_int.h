/*
 * logsplit_int: output taken apart into entries, as docker does: a line is one entry however it was written; a line of
 * more than 16 KiB is several, of which only the last ends it; what has no newline at the end of the stream is an entry
 * that ends no line. The unfinished line of each stream waits here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "monitor/pages_int.h"

/* Longest text of one entry, as docker's. */
#define LOG_LINE_MAX ((size_t)16 << 10)

struct logsplit {
    struct pages rest;
    size_t len;
    unsigned part; /* entries that this line has had already */
};

struct logpart {
    const char *text; /* without the newline; borrowed until the next call */
    size_t n;
    bool newline;  /* ends its line */
    unsigned part; /* 0: the line's first */
};

/*
 * Takes from [p, end), which is not empty; returns how far. *ret_whole: an entry is complete, in *ret.
 */
const char *logsplit_take(struct logsplit *s, const char *p, const char *end, struct logpart *ret, bool *ret_whole);
/* The unfinished line, whatever it has, as an entry; false where there is none. */
bool logsplit_end(struct logsplit *s, struct logpart *ret);
/* Gives the buffer back to the system if nothing waits in it. */
void logsplit_idle(struct logsplit *s);
void logsplit_done(struct logsplit *s);
