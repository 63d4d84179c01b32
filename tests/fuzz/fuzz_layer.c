/*
 * fuzz_layer: a layer. The first byte says what the rest is: even, a tar for the extractor, whose header checksums are
 * put right so that mutations get past them, or, with the second bit, for cp's rules; odd, a blob for the decompressors
 * in front of it. Whatever it holds, the result is an error or files below the layer's directory: nothing may appear
 * beside it.
 *
 * Seeds: tests/fault/evil_layers.py --dump DIR, evil_streams.py --dump DIR.
 * Libraries: -larchive -lisal -lzstd -lcjson -ldl
 */
#include "storage/unpack/extract.c"
#include "storage/unpack/inflate.c"
#include "storage/unpack/node.c"
#include "storage/unpack/ring.c"
#include "storage/unpack/shared.c"
#include "storage/unpack/source.c"
#include "storage/unpack/tree.c"
#include "storage/unpack/writer.c"
#include "storage/unpack/xattr.c"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/sys/sys.h"
#include "tests/fuzz/tar_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (64 << 20)
#define INFLATED_MAX (1 << 20)

struct memory {
    const uint8_t *data;
    size_t left, piece;
};

/* In pieces of an odd size, so that headers cross them. */
static struct err *memory_next(void *ctx, const void **ret, size_t *ret_n) {
    struct memory *m = ctx;
    size_t n = m->left < m->piece ? m->left : m->piece;
    *ret = m->data;
    *ret_n = n;
    m->data += n;
    m->left -= n;
    return NULL;
}

struct blob {
    struct inflate *z;
    char buf[4096];
    size_t total;
};

static struct err *blob_next(void *ctx, const void **ret, size_t *ret_n) {
    struct blob *b = ctx;
    *ret = b->buf;
    TRY(inflate_read(b->z, b->buf, sizeof b->buf, ret_n));
    b->total += *ret_n;
    if (*ret_n == 0)
        return inflate_finish(b->z);
    return b->total > FILE_MAX ? err_new(ERR_NO_SPACE, "enough") : NULL;
}

static struct err *run_tar(int root, const uint8_t *data, size_t n) {
    uint8_t *tar = mem_resize(NULL, n + 1, 1);
    memcpy(tar, data, n);
    tar_repair_checksums(tar, n);
    struct memory m = {.data = tar, .left = n, .piece = 1536};
    const struct extract_feed feed = {.next = memory_next, .ctx = &m};
    struct extract_result r;
    struct writer *w;
    if (writer_new(&w))
        abort();
    struct err *e = extract_layer(root, 65536, &feed, w, &r);
    struct err *late = writer_finish(w);
    free(tar);
    if (!e)
        return late;
    err_free(late);
    return e;
}

static struct err *run_place(int root, uint8_t bits, const uint8_t *data, size_t n) {
    uint8_t *tar = mem_resize(NULL, n + 1, 1);
    memcpy(tar, data, n);
    tar_repair_checksums(tar, n);
    struct memory m = {.data = tar, .left = n, .piece = 1536};
    const struct extract_feed feed = {.next = memory_next, .ctx = &m};
    const struct extract_place how = {.own = bits & 4, .as_root = bits & 8};
    struct extract_result r;
    struct err *e = extract_place(root, 65536, &how, &feed, &r);
    free(tar);
    return e;
}

static struct err *run_blob(int root, const uint8_t *data, size_t n) {
    autofd int fd = sys_memfd("blob", 0);
    struct source src = {.fd = fd, .bell_fd = -1, .copy_fd = -1};
    struct blob *b = mem_alloc(sizeof *b);
    const struct extract_feed feed = {.next = blob_next, .ctx = b};
    struct extract_result r;
    struct err *e = io_write_all(fd, data, n);
    if (lseek(fd, 0, SEEK_SET) != 0)
        abort();
    if (!e)
        e = inflate_new(&src, &b->z);
    if (!e)
        e = extract_layer(root, 65536, &feed, NULL, &r);
    inflate_free(b->z);
    source_done(&src);
    free(b);
    return e;
}

/* The bytes, as many as `piece` at a time. */
static struct err *inflated(const uint8_t *data, size_t n, size_t piece, struct str *out) {
    autofd int fd = sys_memfd("blob", 0);
    struct source src = {.fd = fd, .bell_fd = -1, .copy_fd = -1};
    struct inflate *z = NULL;
    size_t got = 1;
    char buf[8192];
    struct err *e = io_write_all(fd, data, n);
    if (lseek(fd, 0, SEEK_SET) != 0)
        abort();
    if (!e)
        e = inflate_new(&src, &z);
    while (!e && got) {
        const void *at = NULL;
        e = inflate_next(z, buf, piece, &at, &got);
        if (!e)
            str_append_n(out, at, got);
        if (!e && out->len > INFLATED_MAX)
            e = err_new(ERR_NO_SPACE, "enough");
    }
    inflate_free(z);
    source_done(&src);
    return e;
}

static struct err *run_inflate(const uint8_t *data, size_t n) {
    autostr struct str one = STR_INIT, other = STR_INIT;
    autoerr e = inflated(data, n, 8192, &one);
    autoerr e2 = inflated(data, n, 1001, &other);
    bool enough = one.len > INFLATED_MAX || other.len > INFLATED_MAX;
    if (!enough && (!e != !e2 || (!e && (one.len != other.len || (one.len && memcmp(one.ptr, other.ptr, one.len))))))
        abort();
    return NULL;
}

/* A directory with one empty directory "layer" in it. */
static int scratch(void) {
    static int dir = -1;
    char path[] = "/dev/shm/fuzz-layer-XXXXXX";
    if (dir >= 0)
        return dir;
    const struct rlimit r = {.rlim_cur = FILE_MAX, .rlim_max = FILE_MAX};
    setrlimit(RLIMIT_FSIZE, &r);
    signal(SIGXFSZ, SIG_IGN);
    umask(0);
    extract_prepare();
    if (!mkdtemp(path) || (dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        abort();
    return dir;
}

static struct err *only_layer(void *ctx, const char *name, unsigned char d_type) {
    (void)ctx;
    (void)d_type;
    if (!str_eq(name, "layer"))
        abort();
    return NULL;
}

static struct err *run_one(int root, uint8_t way, const uint8_t *data, size_t n) {
    if (way & 1)
        return way & 2 ? run_inflate(data, n) : run_blob(root, data, n);
    return way & 2 ? run_place(root, way, data, n) : run_tar(root, data, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int dir = scratch();
    if (size < 1)
        return 0;
    if (mkdirat(dir, "layer", 0755) != 0)
        abort();
    autofd int root = openat(dir, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err_free(run_one(root, data[0], data + 1, size - 1));
    autoerr e = io_each_entry(dir, only_layer, NULL);
    autoerr left = io_remove_tree(dir, "layer");
    if (e || left)
        abort();
    return 0;
}
