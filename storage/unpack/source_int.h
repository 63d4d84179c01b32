/*
 * source: the raw bytes of a blob, in order, digested and counted as they are read, and copied aside on request.
 *
 * A blob may come in two pieces: the part of an interrupted download that is already on disk (`prefix_fd`, read with
 * pread so that its offset stays the owner's) and the rest, from a pipe (`fd`). Only what comes from `fd` is copied.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct digest_ctx;
struct err;

#define SOURCE_CHUNK ((size_t)256 << 10)

struct source {
    int fd;                    /* borrowed */
    int prefix_fd;             /* borrowed; used while at < prefix */
    int64_t prefix;            /* bytes to take from prefix_fd first */
    int copy_fd;               /* borrowed, or -1 */
    int64_t at;                /* bytes handed out so far */
    struct digest_ctx *digest; /* owned, or NULL: no digest is wanted */
    unsigned char *buf;        /* owned, SOURCE_CHUNK bytes */
};

/* Frees what the source owns. */
void source_done(struct source *s);

/* The next bytes, valid until the next call; *ret_n is 0 at the end. Errors: system, no_space (writing the copy),
 * corrupt (short prefix). */
struct err *source_read(struct source *s, const unsigned char **ret, size_t *ret_n) __attribute__((warn_unused_result));
