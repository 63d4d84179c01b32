/* gzip: see gzip.h. */
#include "base/gzip.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/err.h"
#include "base/io.h"
#include "base/library.h"
#include "base/mem.h"

enum {
    BLOCK = 64 << 10,
    WINDOW = MAX_WBITS + 16, /* "+ 16": a gzip header and trailer around the deflated data */
    MEMORY = 8               /* deflate's default */
};

struct zlib {
    int (*deflate_init)(z_stream *s, int level, int method, int window, int memory, int strategy, const char *version,
                        int size);
    int (*deflate)(z_stream *s, int flush);
    int (*deflate_end)(z_stream *s);
    int (*inflate_init)(z_stream *s, int window, const char *version, int size);
    int (*inflate)(z_stream *s, int flush);
    int (*inflate_reset)(z_stream *s);
    int (*inflate_end)(z_stream *s);
};

static struct err *zlib_load(struct zlib *z) {
    void *lib = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL); /* stays loaded */
    if (lib && library_symbol(lib, "deflateInit2_", &z->deflate_init) && library_symbol(lib, "deflate", &z->deflate) &&
        library_symbol(lib, "deflateEnd", &z->deflate_end) && library_symbol(lib, "inflateInit2_", &z->inflate_init) &&
        library_symbol(lib, "inflate", &z->inflate) && library_symbol(lib, "inflateReset", &z->inflate_reset) &&
        library_symbol(lib, "inflateEnd", &z->inflate_end))
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "libz is not available"), "install the package 'zlib1g'");
}

static struct err *read_block(int fd, void *buf, size_t *ret_n) {
    ssize_t n;
    do
        n = read(fd, buf, BLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(errno, "read a file to compress or decompress");
    *ret_n = (size_t)n;
    return NULL;
}

/* ---- compressing ---- */

/* Deflates what is in `s` and writes it; with `last` to the end of the stream. */
static struct err *deflate_block(const struct zlib *z, z_stream *s, bool last, int to) {
    unsigned char out[BLOCK];
    do {
        s->next_out = out;
        s->avail_out = sizeof out;
        z->deflate(s, last ? Z_FINISH : Z_NO_FLUSH); /* with room for output and a valid state it does not fail */
        TRY(io_write_all(to, out, sizeof out - s->avail_out));
    } while (s->avail_out == 0);
    return NULL;
}

static struct err *deflate_all(const struct zlib *z, z_stream *s, int from, int to) {
    unsigned char in[BLOCK];
    for (size_t n = 1; n;) {
        TRY(read_block(from, in, &n));
        s->next_in = in;
        s->avail_in = (unsigned)n;
        TRY(deflate_block(z, s, n == 0, to));
    }
    return NULL;
}

struct err *gzip_file(int from, int to) {
    struct zlib z;
    z_stream s = {.zalloc = Z_NULL};
    TRY(zlib_load(&z));
    if (z.deflate_init(&s, Z_BEST_SPEED, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY, ZLIB_VERSION, (int)sizeof s) !=
        Z_OK)
        return err_new(ERR_UNSUPPORTED, "libz refuses to compress");
    struct err *e = deflate_all(&z, &s, from, to);
    z.deflate_end(&s);
    return e;
}

/* ---- reading ---- */

struct gunzip {
    struct zlib z;
    z_stream s;
    int fd;
    bool between; /* the last member is complete */
    unsigned char in[BLOCK];
};

struct err *gunzip_new(int fd, struct gunzip **ret) {
    struct zlib z;
    TRY(zlib_load(&z));
    struct gunzip *g = mem_alloc(sizeof *g);
    g->z = z;
    g->fd = fd;
    if (z.inflate_init(&g->s, WINDOW, ZLIB_VERSION, (int)sizeof g->s) != Z_OK) {
        free(g);
        return err_new(ERR_UNSUPPORTED, "libz refuses to decompress");
    }
    *ret = g;
    return NULL;
}

/* One step of inflating into what room there is. *ret_end: there is nothing more. */
static struct err *inflate_some(struct gunzip *g, bool *ret_end) {
    if (!g->s.avail_in) {
        size_t n;
        TRY(read_block(g->fd, g->in, &n));
        g->s.next_in = g->in;
        g->s.avail_in = (unsigned)n;
    }
    bool at_end = g->s.avail_in == 0; /* of the file; inflate() may still hold some of its text */
    if (g->between) {
        *ret_end = at_end;
        if (at_end)
            return NULL;
        g->z.inflate_reset(&g->s);
    }
    int rc = g->z.inflate(&g->s, Z_NO_FLUSH);
    g->between = rc == Z_STREAM_END;
    if (at_end && rc == Z_BUF_ERROR)
        return err_new(ERR_CORRUPT, "the compressed file is cut off");
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return err_new(ERR_CORRUPT, "the compressed file is damaged");
    return NULL;
}

struct err *gunzip_read(struct gunzip *g, void *buf, size_t n, size_t *ret_n) {
    g->s.next_out = buf;
    g->s.avail_out = (unsigned)(n < BLOCK ? n : BLOCK);
    const unsigned char *begin = buf;
    for (bool end = false; !end && g->s.next_out == begin;)
        TRY(inflate_some(g, &end));
    *ret_n = (size_t)(g->s.next_out - begin);
    return NULL;
}

void gunzip_free(struct gunzip *g) {
    if (!g)
        return;
    g->z.inflate_end(&g->s);
    free(g);
}
