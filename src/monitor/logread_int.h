/*
 * logread_int: the parts of the log reader. logfiles.c finds files across rotation, logline.c takes a line apart,
 * logread.c puts them together.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;

/* ---- logline.c ---- */

#define LOG_TIME_LEN 30 /* nine decimals and Z: sorts as text */

struct logline {
    const char *text; /* still escaped when `escaped`, without the quotes */
    size_t n;
    bool escaped;
    bool newline; /* a newline follows the text */
    int stream;   /* 1, 2 */
    char time[LOG_TIME_LEN];
};
/*
 * Takes one line (without its newline) apart. Our own exact form costs two searches; anything else that is a docker log
 * entry goes through the JSON parser into `scratch`, which `text` then points into. False for what is no log entry.
 * Pure.
 */
bool logline_parse(const char *line, size_t n, struct str *scratch, struct logline *ret);
/* Undoes JSON escapes in [text, text+n) into `to` (n bytes of room); returns the length, SIZE_MAX for a broken escape.
 * Pure. */
size_t logline_unescape(const char *text, size_t n, char *to);

/* ---- logfiles.c ---- */

struct logfile {
    int fd; /* -1: none yet */
    dev_t dev;
    ino_t ino;
    off_t start; /* where to begin to read */
};
/* Opens the oldest file. fd is -1 when there is none. */
struct err *logfile_oldest(int dirfd, struct logfile *ret) __attribute__((warn_unused_result));
/* Finds the file and offset where the last `lines` lines begin. */
struct err *logfile_tail(int dirfd, int64_t lines, struct logfile *ret) __attribute__((warn_unused_result));
/* True when `f` is no longer the current file, so that nothing more is written to it. */
bool logfile_rotated(int dirfd, const struct logfile *f);
/* Replaces *f by the file that follows it. *ret_moved is false when there is none yet. */
struct err *logfile_next(int dirfd, struct logfile *f, bool *ret_moved) __attribute__((warn_unused_result));
