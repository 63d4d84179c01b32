/*
 * jsonlog_int: docker's json-file log, written. One JSON object a line,
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}
 *
 * escaped as docker escapes (Go's HTML-safe form: <, >, & as \u00XX, U+2028 and U+2029, invalid bytes as \ufffd), a
 * line of more than 16 KiB split into entries of which only the last has the "\n", text without a newline at the end of
 * the stream logged without one. An unfinished line waits in memory (at most 16 KiB a stream), so a whole line is one
 * entry however it was written. The time of an entry is that of the read that completed it and never goes backwards.
 *
 * Writing never fails towards the container: when the disk is full, entries are dropped whole, counted, and one note
 * takes their place as soon as there is space again. Every write ends on a line border, so a reader (and a crash) sees
 * whole lines.
 *
 * Rotation: when "log" has reached max_size, "log.1" … are shifted up, "log" becomes "log.1" and a new "log" appears;
 * the oldest of max_file files goes. An open file only ever moves to a higher number, which is what the reader relies
 * on.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;
struct jsonlog;

/* Longest text of one entry, as docker's. */
#define JSONLOG_LINE_MAX ((size_t)16 << 10)
/* The name of the current file in the container's directory. */
#define JSONLOG_NAME "log"

struct jsonlog_config {
    int dir_fd;       /* borrowed; stays open as long as the log */
    int64_t max_size; /* bytes, <= 0: never rotated */
    int max_file;     /* files kept, the current one included; >= 1 */
};
/* Opens dir/log for appending, making it when it is missing. */
struct err *jsonlog_open(const struct jsonlog_config *c, struct jsonlog **ret) __attribute__((warn_unused_result));
/* Takes output of stream 1 or 2, as read; complete lines are in the file when it returns. */
void jsonlog_write(struct jsonlog *l, int stream, const char *data, size_t n);
/* Gives buffers back to the system until the next write. */
void jsonlog_idle(struct jsonlog *l);
/* Logs unfinished lines: what comes next is another run's. NULL is fine. */
void jsonlog_flush(struct jsonlog *l);
/* Logs unfinished lines, closes and frees; NULL is fine. */
void jsonlog_close(struct jsonlog *l);

/*
 * Escapes [from, end) up to the first newline into `to` (room for 6 bytes each and 16 more). Returns where it stopped:
 * at the newline or `end`; *ret_to is the end of what was written. Pure.
 */
const unsigned char *jsonlog_escape(const unsigned char *from, const unsigned char *end, unsigned char *to,
                                    unsigned char **ret_to);
