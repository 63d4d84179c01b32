/* inflate: see inflate_int.h. One decoder at a time reads `in`, the unread rest of the source's last chunk. */
#include "storage/unpack/inflate_int.h"

#include <archive.h>
#include <archive_entry.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/unpack/source_int.h"

struct inflate {
    struct source *src;
    const unsigned char *in; /* unread input */
    size_t left;
    bool ended;          /* the source has no more */
    bool between;        /* at a border: the stream may end here */
    bool done;           /* nothing more will come out */
    size_t got;          /* what the last decode() produced */
    int64_t out;         /* bytes produced in all */
    struct err *src_err; /* what made libarchive's read callback fail */
    struct err *(*decode)(struct inflate *z, unsigned char *buf, size_t cap);
    struct inflate_state *gzip;
    ZSTD_DStream *zstd;
    struct archive *filter;
};

/* Makes sure there is unread input unless the source has ended. */
static struct err *more(struct inflate *z) {
    if (z->left > 0 || z->ended)
        return NULL;
    TRY(source_read(z->src, &z->in, &z->left));
    z->ended = z->left == 0;
    return NULL;
}

static struct err *truncated(const char *format) {
    return err_new(ERR_CORRUPT, "%s stream ends in the middle: the layer is truncated", format);
}

static struct err *decode_plain(struct inflate *z, unsigned char *buf, size_t cap) {
    z->got = z->left < cap ? z->left : cap;
    memcpy(buf, z->in, z->got);
    z->in += z->got;
    z->left -= z->got;
    z->done = z->ended;
    return NULL;
}

static const char *gzip_problem(int code) {
    switch (code) {
    case ISAL_INCORRECT_CHECKSUM:
        return "gzip checksum does not match its data";
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
        return "gzip header is damaged, or something that is not gzip follows";
    default:
        return "gzip data is damaged";
    }
}

static struct err *decode_gzip(struct inflate *z, unsigned char *buf, size_t cap) {
    struct inflate_state *g = z->gzip;
    if (z->between) {
        z->done = z->ended;
        if (z->done)
            return NULL;
        isal_inflate_reset(g);
        g->crc_flag = ISAL_GZIP;
        z->between = false;
    }
    unsigned room = cap < (1U << 30) ? (unsigned)cap : 1U << 30;
    g->next_in = (uint8_t *)(uintptr_t)z->in;
    g->avail_in = (uint32_t)z->left;
    g->next_out = buf;
    g->avail_out = room;
    int code = isal_inflate(g);
    z->got = room - g->avail_out;
    if (code < 0)
        return err_new(ERR_CORRUPT, "%s", gzip_problem(code));
    bool idle = z->got == 0 && g->avail_in == z->left;
    z->in = g->next_in;
    z->left = g->avail_in;
    z->between = g->block_state == ISAL_BLOCK_FINISH;
    if (idle && !z->between)
        return truncated("gzip");
    return NULL;
}

static struct err *decode_zstd(struct inflate *z, unsigned char *buf, size_t cap) {
    if (z->between && z->ended) {
        z->done = true;
        return NULL;
    }
    ZSTD_inBuffer in = {z->in, z->left, 0};
    ZSTD_outBuffer out = {buf, cap, 0};
    size_t code = ZSTD_decompressStream(z->zstd, &out, &in);
    z->got = out.pos;
    if (ZSTD_isError(code))
        return err_new(ERR_CORRUPT, "zstd data is damaged: %s", ZSTD_getErrorName(code));
    bool idle = out.pos == 0 && in.pos == 0;
    z->in += in.pos;
    z->left -= in.pos;
    z->between = code == 0;
    if (idle && !z->between)
        return truncated("zstd");
    return NULL;
}

static la_ssize_t feed_filter(struct archive *a, void *ctx, const void **ret) {
    (void)a;
    struct inflate *z = ctx;
    z->src_err = more(z);
    if (z->src_err)
        return -1;
    la_ssize_t n = (la_ssize_t)z->left;
    *ret = z->in;
    z->left = 0;
    return n;
}

static struct err *filter_err(struct inflate *z) {
    if (z->src_err)
        return take_ptr(&z->src_err);
    const char *text = archive_error_string(z->filter);
    return err_new(ERR_CORRUPT, "compressed data is damaged: %s", text ? text : "no reason given");
}

static struct err *decode_filter(struct inflate *z, unsigned char *buf, size_t cap) {
    la_ssize_t got = archive_read_data(z->filter, buf, cap);
    if (got < 0)
        return filter_err(z);
    z->got = (size_t)got;
    z->done = got == 0;
    return NULL;
}

static struct err *open_filter(struct inflate *z) {
    z->filter = archive_read_new();
    if (!z->filter)
        return err_new(ERR_SYSTEM, "cannot set up libarchive");
    archive_read_support_filter_xz(z->filter);
    archive_read_support_filter_bzip2(z->filter);
    archive_read_support_format_raw(z->filter);
    z->decode = decode_filter;
    struct archive_entry *e;
    if (archive_read_open(z->filter, z, NULL, feed_filter, NULL) != ARCHIVE_OK)
        return filter_err(z);
    int code = archive_read_next_header(z->filter, &e);
    if (code == ARCHIVE_EOF)
        z->done = true;
    else if (code != ARCHIVE_OK)
        return filter_err(z);
    return NULL;
}

static struct err *open_zstd(struct inflate *z) {
    z->zstd = ZSTD_createDStream();
    if (!z->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG)))
        return err_new(ERR_SYSTEM, "cannot set up libzstd");
    z->decode = decode_zstd;
    return NULL;
}

static struct err *choose(struct inflate *z) {
    static const unsigned char gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd},
                               skippable[] = {0x2a, 0x4d, 0x18}, xz[] = {0xfd, '7', 'z', 'X', 'Z', 0},
                               bzip2[] = {'B', 'Z', 'h'};
#define IS(magic) (z->left >= sizeof(magic) && memcmp(z->in, magic, sizeof(magic)) == 0)
    if (IS(xz) || IS(bzip2))
        return open_filter(z);
    if (IS(zstd) || (z->left >= 4 && z->in[0] >> 4 == 5 && memcmp(z->in + 1, skippable, sizeof skippable) == 0))
        return open_zstd(z);
    if (IS(gzip)) {
        z->gzip = mem_alloc(sizeof *z->gzip);
        isal_inflate_init(z->gzip);
        z->gzip->crc_flag = ISAL_GZIP;
        z->decode = decode_gzip;
        return NULL;
    }
#undef IS
    z->decode = decode_plain;
    return NULL;
}

struct err *inflate_new(struct source *src, struct inflate **ret) {
    struct inflate *z = mem_alloc(sizeof *z);
    z->src = src;
    struct err *e = more(z);
    if (!e)
        e = choose(z);
    if (e) {
        inflate_free(z);
        return e;
    }
    *ret = z;
    return NULL;
}

void inflate_free(struct inflate *z) {
    if (!z)
        return;
    free(z->gzip);
    ZSTD_freeDStream(z->zstd);
    archive_read_free(z->filter);
    err_free(z->src_err);
    free(z);
}

struct err *inflate_read(struct inflate *z, void *buf, size_t cap, size_t *ret_n) {
    size_t have = 0;
    while (have < cap && !z->done) {
        z->got = 0;
        if (!z->filter)
            TRY(more(z));
        TRY(z->decode(z, (unsigned char *)buf + have, cap - have));
        have += z->got;
        z->out += (int64_t)z->got;
        if (z->out > INFLATE_FREE && z->out / INFLATE_RATIO > z->src->at)
            return err_new(ERR_CORRUPT, "%lld compressed bytes have become %lld: refused as a compression bomb",
                           (long long)z->src->at, (long long)z->out);
    }
    *ret_n = have;
    return NULL;
}

struct err *inflate_next(struct inflate *z, void *buf, size_t cap, const void **ret, size_t *ret_n) {
    *ret = buf;
    if (z->decode != decode_plain)
        return inflate_read(z, buf, cap, ret_n);
    TRY(more(z));
    *ret = z->in;
    *ret_n = z->left;
    z->left = 0;
    return NULL;
}

struct err *inflate_finish(struct inflate *z) {
    while (!z->ended) {
        z->left = 0;
        TRY(more(z));
    }
    return NULL;
}
