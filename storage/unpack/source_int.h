/*
 * source: the raw bytes of a blob, in order, digested and counted as they are read, and copied aside on request.
 *
 * A blob that is being downloaded is read from the file that it grows in (`fd`, with pread: its offset is the owner's).
 * Nothing of it passes through a pipe: the downloader writes a byte into one, the bell, when there is more, and closes
 * it at the end. What rings while nobody listens is heard later, so a full bell loses nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest_ctx;
struct err;

#define SOURCE_CHUNK ((size_t)256 << 10)

struct source {
    int fd;                    /* borrowed */
    int bell_fd;               /* borrowed; -1: no bell, or its writer is gone and `fd` is whole */
    bool growing;              /* `fd` is a file that had or has a bell */
    int copy_fd;               /* borrowed, or -1 */
    int64_t at;                /* bytes handed out so far */
    struct digest_ctx *digest; /* owned, or NULL: no digest is wanted */
    unsigned char *buf;        /* owned, SOURCE_CHUNK bytes */
};

/* Frees what the source owns. */
void source_done(struct source *s);

/*
 * The next bytes, valid until the next call; *ret_n is 0 at the end. Errors: system, no_space (writing the copy).
 */
struct err *source_read(struct source *s, const unsigned char **ret, size_t *ret_n) __attribute__((warn_unused_result));
