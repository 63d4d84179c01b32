/*
 * gzip: files compressed and read back (RFC 1952), for what is too large to be held in memory.
 *
 * libz is loaded with dlopen when the first of these functions is called, so that commands that compress nothing do not
 * pay for it. Errors: unsupported where the library is missing, corrupt for what is no gzip file.
 */
#pragma once

#include <stddef.h>

struct err;

/* Compresses all of `from`, from where it stands, into `to`. Fast rather than small. */
struct err *gzip_file(int from, int to) __attribute__((warn_unused_result));

struct gunzip;
/* A reader of the gzip file `fd` (borrowed), from where that stands; several members after another are one stream. */
struct err *gunzip_new(int fd, struct gunzip **ret) __attribute__((warn_unused_result));
/* Reads up to `n` bytes; *ret_n is 0 at the end. A file that is cut off in the middle is corrupt. */
struct err *gunzip_read(struct gunzip *g, void *buf, size_t n, size_t *ret_n) __attribute__((warn_unused_result));
/* NULL is fine. */
void gunzip_free(struct gunzip *g);
