/*
 * logread_int: the parts of the log reader. logfiles.c finds files across rotation and compression, logline.c and
 * localrecord.c take an entry apart, logformat.c makes the two formats one thing, logread.c puts them together.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;
struct gunzip;

/* ---- logline.c: json-file ---- */

#define LOG_TIME_LEN 30 /* nine decimals and Z: sorts as text */

struct logline {
    const char *text; /* still escaped when `escaped`, without the quotes */
    size_t n;
    bool escaped;
    bool newline; /* a newline follows the text */
    int stream;   /* 1, 2 */
    char time[LOG_TIME_LEN];
};
/* What an entry may point into until the next one. */
struct logscratch {
    struct str text;
    bool want_details;
    struct str details; /* docker's --details: "label=value,variable=value", each as in a URL's query */
    int64_t at;         /* ns: the time that `form` shows */
    char form[LOG_TIME_LEN];
};
void logscratch_done(struct logscratch *s);
/*
 * Takes one line (without its newline) apart. Our own exact form costs two searches; anything else that is a docker log
 * entry goes through the JSON parser into `scratch`, which `text` then points into. False for what is no log entry.
 * Pure.
 */
bool logline_parse(const char *line, size_t n, struct logscratch *scratch, struct logline *ret);
/* Undoes JSON escapes in [text, text+n) into `to` (n bytes of room); returns the length, SIZE_MAX for a broken escape.
 * Pure. */
size_t logline_unescape(const char *text, size_t n, char *to);

/* ---- logformat.c ---- */

struct logformat {
    /* The length of the entry that p[0..n) begins with; 0: there is less than one; SIZE_MAX: no entry begins here. */
    size_t (*entry)(const char *p, size_t n);
    bool (*parse)(const char *entry, size_t n, struct logscratch *scratch, struct logline *ret);
    /* Walks back over *entries from the end of the file; leaves there how many more are wanted, and the offset. */
    struct err *(*back)(int fd, int64_t *entries, off_t *ret_at);
};
extern const struct logformat logformat_json, logformat_local;

/* ---- logfiles.c ---- */

struct logfile {
    int fd;            /* -1: none yet */
    int64_t number;    /* that it has, or will have when it is rotated away; 0: none yet */
    off_t start;       /* where to begin to read */
    struct gunzip *gz; /* what reads it when it is compressed */
};
/* Opens the oldest file. fd is -1 when there is none. */
struct err *logfile_oldest(int dirfd, struct logfile *ret) __attribute__((warn_unused_result));
/* Finds the file and offset where the last `entries` entries begin. */
struct err *logfile_tail(int dirfd, const struct logformat *format, int64_t entries, struct logfile *ret)
    __attribute__((warn_unused_result));
/* True when `f` is no longer the current file, so that nothing more is written to it. */
bool logfile_rotated(int dirfd, const struct logfile *f);
/* Replaces *f by the file that follows it. *ret_moved is false when there is none yet. */
struct err *logfile_next(int dirfd, struct logfile *f, bool *ret_moved) __attribute__((warn_unused_result));
/* Moves to f->start. */
struct err *logfile_seek_start(struct logfile *f) __attribute__((warn_unused_result));
/* Reads on; *ret_n is 0 at the end. */
struct err *logfile_read(struct logfile *f, void *buf, size_t n, size_t *ret_n) __attribute__((warn_unused_result));
/* Gives the last `n` bytes back, to be read once more. Of a compressed file nothing comes after them. */
struct err *logfile_unread(struct logfile *f, size_t n) __attribute__((warn_unused_result));
void logfile_done(struct logfile *f);
