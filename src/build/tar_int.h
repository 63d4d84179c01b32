/* tar_int: a writer of POSIX tars (PAX where a field does not fit), to a descriptor or into a digest. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct digest_ctx;
struct err;

struct tar {
    int fd;                    /* borrowed */
    struct digest_ctx *digest; /* instead; borrowed */
    char buf[65536];
    size_t n;
};

/* The header of an entry whose kind, mode, owner, size and time are those of `st`. `link`: the target of a symlink, or
 * of a hard link for what is none; NULL: neither. */
struct err *tar_header(struct tar *t, const char *name, const struct stat *st, const char *link)
    __attribute__((warn_unused_result));
/* A regular file's content: exactly `size` bytes of a descriptor; corrupt when it has become shorter. */
struct err *tar_content(struct tar *t, int fd, int64_t size) __attribute__((warn_unused_result));
struct err *tar_bytes(struct tar *t, const void *data, size_t n) __attribute__((warn_unused_result));
/* Fills up the last block of a content of `size` bytes. */
struct err *tar_pad(struct tar *t, int64_t size) __attribute__((warn_unused_result));
/* The end of the archive. */
struct err *tar_end(struct tar *t) __attribute__((warn_unused_result));
