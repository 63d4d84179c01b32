/*
 * compress: a layer that was made here, compressed once for the registries that it goes to. What comes out has no time
 * and no name in it: the same bytes give the same blob. The digest of what goes in is the layer's diff_id, which the
 * parent knows, so nothing else can have been compressed.
 */
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "base/err.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "storage/unpack/ops_int.h"
#include "storage/unpack/sandbox_int.h"
#include "storage/unpack/source_int.h"

#define GZIP_LEVEL 2 /* of isa-l's four: the size of gzip -3 in a fourth of its time */
#define ZSTD_LEVEL 3
#define OUT_SIZE ((size_t)256 << 10)

struct compress {
    struct source source;
    struct digest_ctx *digest; /* of what comes out */
    int out;
    int64_t size;
    unsigned char *buf;
    struct isal_zstream *gzip;
    uint8_t *level_buf;
    ZSTD_CCtx *zstd;
};

static struct err *put(struct compress *c, size_t n) {
    digest_update(c->digest, c->buf, n);
    c->size += (int64_t)n;
    return io_write_all(c->out, c->buf, n);
}

/* Compresses one piece, `n` == 0 being the end, until nothing more comes out. */
static struct err *gzip_piece(struct compress *c, const unsigned char *in, size_t n) {
    struct isal_zstream *z = c->gzip;
    z->next_in = (uint8_t *)(uintptr_t)in;
    z->avail_in = (uint32_t)n;
    z->end_of_stream = n == 0;
    do {
        z->next_out = c->buf;
        z->avail_out = OUT_SIZE;
        if (isal_deflate(z) != COMP_OK)
            return err_new(ERR_SYSTEM, "compressing failed");
        TRY(put(c, OUT_SIZE - z->avail_out));
    } while (z->avail_out == 0);
    return NULL;
}

static struct err *zstd_piece(struct compress *c, const unsigned char *in, size_t n) {
    ZSTD_inBuffer from = {.src = in, .size = n};
    size_t left;
    do {
        ZSTD_outBuffer to = {.dst = c->buf, .size = OUT_SIZE};
        left = ZSTD_compressStream2(c->zstd, &to, &from, n ? ZSTD_e_continue : ZSTD_e_end);
        if (ZSTD_isError(left))
            return err_new(ERR_SYSTEM, "compressing failed: %s", ZSTD_getErrorName(left));
        TRY(put(c, to.pos));
    } while (n ? from.pos < from.size : left > 0);
    return NULL;
}

static struct err *compress_all(struct compress *c) {
    const unsigned char *in;
    size_t n;
    do {
        TRY(source_read(&c->source, &in, &n));
        TRY(c->zstd ? zstd_piece(c, in, n) : gzip_piece(c, in, n));
    } while (n > 0);
    return NULL;
}

static void start_gzip(struct compress *c) {
    c->gzip = mem_alloc(sizeof *c->gzip);
    c->level_buf = mem_resize(NULL, ISAL_DEF_LVL2_DEFAULT, 1);
    isal_deflate_init(c->gzip);
    c->gzip->level = GZIP_LEVEL;
    c->gzip->level_buf = c->level_buf;
    c->gzip->level_buf_size = ISAL_DEF_LVL2_DEFAULT;
    c->gzip->gzip_flag = IGZIP_GZIP;
}

static struct err *start_zstd(struct compress *c) {
    c->zstd = ZSTD_createCCtx();
    if (!c->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)))
        return err_new(ERR_SYSTEM, "cannot set up libzstd");
    return NULL;
}

static struct err *run(struct op *op, struct compress *c) {
    const char *format;
    int none = -1;
    TRY(json_get_str(op->msg, "format", &format));
    TRY(digest_new(&c->digest));
    TRY(digest_new(&c->source.digest));
    if (str_eq(format, "zstd"))
        TRY(start_zstd(c));
    else
        start_gzip(c);
    TRY(sandbox_confine(SANDBOX_STREAM, -1, &none));
    TRY(sandbox_filter());
    TRY(compress_all(c));
    char out[DIGEST_LEN + 1], in[DIGEST_LEN + 1];
    digest_final(take_ptr(&c->digest), out);
    digest_final(take_ptr(&c->source.digest), in);
    struct json *r = json_object();
    json_set_str(r, "digest", out);
    json_set_int(r, "size", c->size);
    json_set_str(r, "diff_id", in);
    return op_send_ok(op, r);
}

struct err *op_compress(struct op *op) {
    struct compress c = {.source = {.fd = op->fds[0], .bell_fd = -1, .copy_fd = -1},
                         .out = op->fds[1],
                         .buf = mem_resize(NULL, OUT_SIZE, 1)};
    c.source.buf = mem_resize(NULL, SOURCE_CHUNK, 1);
    struct err *e = run(op, &c);
    digest_free(c.digest);
    source_done(&c.source);
    ZSTD_freeCCtx(c.zstd);
    free(c.gzip);
    free(c.level_buf);
    free(c.buf);
    return e;
}
