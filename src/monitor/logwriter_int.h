/*
 * logwriter_int: a log in files, under the drivers json-file and local. Records are built in one buffer and written
 * with one call a batch.
 *
 * Writing never fails towards the container: when the disk is full, records are dropped whole, counted, and one note
 * takes their place as soon as there is space again. Every write ends on a record's border, so a reader (and a crash)
 * sees whole records.
 *
 * Rotation: when "log" has reached max_size it becomes "log.N" (lognames_int.h) and a new "log" appears; the oldest of
 * max_file files goes. Compressing is done by a process of its own (logpack.c), never here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/pages_int.h"

struct err;
struct logdriver_config;
struct logwriter;

/* What the writer has to know of records. */
struct logwriter_format {
    size_t record_max; /* bytes of the largest one, but for `extra` */
    /* The length of the whole records that data[0..n) begins with, and their number. */
    size_t (*whole)(const char *data, size_t n, size_t *ret_count);
    /* The same for a file of `size` bytes that a monitor may have left with half a record at its end. */
    int64_t (*whole_file)(int fd, int64_t size);
    /* Builds a record of stderr with our own text, LOGWRITER_NOTE at most; returns its length. */
    size_t (*note)(const struct logwriter *w, const char *text, size_t n, char *to);
};

struct logwriter_config {
    int dir_fd;       /* borrowed; stays open as long as the log */
    int64_t max_size; /* bytes, <= 0: never rotated */
    int max_file;     /* files kept, the current one included; >= 1 */
    bool compress;    /* rotated files become log.N.gz */
};

struct logwriter {
    struct logwriter_config c;
    const struct logwriter_format *format;
    int fd;
    int64_t size;     /* of the file, all of it whole records */
    int64_t oldest;   /* rotated file, 0: not looked for yet */
    int64_t newest;   /* rotated file */
    struct pages out; /* records not written yet */
    size_t capacity, len, records;
    uint64_t dropped; /* records lost since the disk is full */
};

/* Written out from here on. */
#define LOGWRITER_FULL ((size_t)512 << 10)
/* Largest note, apart from what every record has. */
#define LOGWRITER_NOTE ((size_t)512)

/* What the options of a driver that writes files come to. */
struct logwriter_config logwriter_config_of(const struct logdriver_config *c);
/* Opens dir/log for appending, making it when it is missing. `extra`: what a record may have beyond record_max. */
struct err *logwriter_open(struct logwriter *w, const struct logwriter_config *c, const struct logwriter_format *f,
                           size_t extra) __attribute__((warn_unused_result));
/* To be called before each batch: the buffer is there. */
void logwriter_batch(struct logwriter *w);
/* Writes what was built. */
void logwriter_flush(struct logwriter *w);
/* The same, for another record; rotates when that is due. */
void logwriter_make_room(struct logwriter *w);
void logwriter_idle(struct logwriter *w);
void logwriter_close(struct logwriter *w);
/* logpack.c: begins to compress what was rotated away, if nobody does it yet. Returns at once. */
void logpack_begin(int dirfd);

/* Where the next record goes, with room for the largest one; writes and rotates first where that is due. */
static inline char *logwriter_begin(struct logwriter *w) {
    if (w->len >= LOGWRITER_FULL || (w->c.max_size > 0 && w->size + (int64_t)w->len >= w->c.max_size))
        logwriter_make_room(w);
    return w->out.p + w->len;
}
/* A record was built up to `end`. */
static inline void logwriter_end(struct logwriter *w, const char *end) {
    w->len = (size_t)(end - w->out.p);
    w->records++;
}
