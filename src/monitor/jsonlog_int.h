/*
 * jsonlog_int: docker's json-file log, written. One JSON object a line,
 *
 *     {"log":"text\n","stream":"stdout","attrs":{"label":"value"},"time":"2026-01-02T03:04:05.123456789Z"}
 *
 * ("attrs" only with --log-opt labels, env or tag), escaped as docker escapes (Go's HTML-safe form: <, >, & as \u00XX,
 * U+2028 and U+2029, invalid bytes as \ufffd), a line of more than 16 KiB split into entries of which only the last has
 * the "\n", text without a newline at the end of the stream logged without one. Files and rotation: logwriter_int.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "monitor/logsplit_int.h"
#include "monitor/logwriter_int.h"

struct err;
struct json;
struct jsonlog;

/* Opens dir/log. `attrs`: an object of strings, borrowed for the call, or NULL. */
struct err *jsonlog_open(const struct logwriter_config *c, const struct json *attrs, struct jsonlog **ret)
    __attribute__((warn_unused_result));
/* Takes output of stream 1 or 2, as read; complete lines are in the file when it returns. */
void jsonlog_write(struct jsonlog *l, int stream, const char *data, size_t n);
/* Gives buffers back to the system until the next write. */
void jsonlog_idle(struct jsonlog *l);
/* Logs unfinished lines: what comes next is another run's. NULL is fine. */
void jsonlog_flush(struct jsonlog *l);
/* Logs unfinished lines. */
void jsonlog_end(struct jsonlog *l);
/* The same, closes and frees; NULL is fine. */
void jsonlog_close(struct jsonlog *l);

/*
 * Escapes [from, end) up to the first newline into `to` (room for 6 bytes each and 16 more). Returns where it stopped:
 * at the newline or `end`; *ret_to is the end of what was written. Pure.
 */
const unsigned char *jsonlog_escape(const unsigned char *from, const unsigned char *end, unsigned char *to,
                                    unsigned char **ret_to);
