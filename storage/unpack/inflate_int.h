/*
 * inflate: a blob's bytes to a tar's bytes. The compression is recognised by its first bytes, never by a media type.
 *
 * gzip goes through isa-l (several times zlib's speed; every member's CRC and length are checked; members follow each
 * other; anything else after the last one is refused), zstd through libzstd (frames follow each other, windows up to
 * 128 MiB), xz and bzip2 through libarchive's built-in filters. Nothing here starts a program.
 * A stream that ends early, or grows more than INFLATE_RATIO times its input past the first GiB, is corrupt. (deflate
 * cannot grow more than 1032 times, so only formats that pack a terabyte into a kilobyte meet the limit.)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;
struct inflate;
struct source;

#define INFLATE_FREE ((int64_t)1 << 30)
#define INFLATE_RATIO 1100
#define INFLATE_WINDOW_LOG 27

/* Reads the first bytes of `src` (borrowed until inflate_free) and chooses the decoder. */
struct err *inflate_new(struct source *src, struct inflate **ret) __attribute__((warn_unused_result));
void inflate_free(struct inflate *z);
/* Fills buf as far as the stream goes: *ret_n < cap only at its end, 0 when there is no more. */
struct err *inflate_read(struct inflate *z, void *buf, size_t cap, size_t *ret_n) __attribute__((warn_unused_result));
/* The next bytes, in `buf` or where they lie already, valid until the next call: *ret_n is 0 when there is no more. */
struct err *inflate_next(struct inflate *z, void *buf, size_t cap, const void **ret, size_t *ret_n)
    __attribute__((warn_unused_result));
/* Reads the source to its end, so that its digest covers all of it. */
struct err *inflate_finish(struct inflate *z) __attribute__((warn_unused_result));
