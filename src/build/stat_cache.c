/* stat_cache: see stat_cache_int.h. */
#include "build/stat_cache_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

#define MAGIC "coracle stat 1\n"
#define FILE_MAX ((size_t)256 << 20)
#define YOUNG (2 * NSEC_PER_SEC) /* the coarsest tick of a file system that has inodes */

struct noted {
    uint64_t dev, ino;
    int64_t size, changed, inode_changed;
    char hex[DIGEST_LEN - sizeof "sha256:" + 1];
};
_Static_assert(sizeof(struct noted) == 104, "it is written as it is: no padding");

struct stat_cache {
    int dir;
    char *name;
    int64_t now;
    struct str text;         /* of the file */
    const struct noted *old; /* in it, by inode */
    size_t n_old;
    struct noted *v;
    size_t n, cap;
    bool changed;
};

static int by_inode(const void *a, const void *b) {
    const struct noted *x = a, *y = b;
    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    return (x->ino > y->ino) - (x->ino < y->ino);
}

static int64_t ns(struct timespec t) { return (int64_t)t.tv_sec * NSEC_PER_SEC + t.tv_nsec; }

static struct noted note_of(const struct stat *st) {
    return (struct noted){.dev = st->st_dev,
                          .ino = st->st_ino,
                          .size = st->st_size,
                          .changed = ns(st->st_mtim),
                          .inode_changed = ns(st->st_ctim)};
}

/* MAGIC, the digest of what follows, records. */
static bool sound(const struct str *text) {
    const size_t head = strlen(MAGIC) + DIGEST_LEN;
    char got[DIGEST_LEN + 1];
    if (text->len < head || memcmp(text->ptr, MAGIC, strlen(MAGIC)) != 0 ||
        (text->len - head) % sizeof(struct noted) != 0)
        return false;
    autoerr e = digest_of(text->ptr + head, text->len - head, got);
    return !e && memcmp(text->ptr + strlen(MAGIC), got, DIGEST_LEN) == 0;
}

struct stat_cache *stat_cache_open(int dir, const char *name, int64_t now) {
    struct stat_cache *c = mem_alloc(sizeof *c);
    const size_t head = strlen(MAGIC) + DIGEST_LEN;
    *c = (struct stat_cache){.dir = dir, .name = mem_dup(name), .now = now, .text = STR_INIT_MAX(FILE_MAX)};
    autoerr none = io_read_file(dir, name, FILE_MAX, &c->text);
    if (none || !sound(&c->text))
        return c;
    c->n_old = (c->text.len - head) / sizeof(struct noted);
    struct noted *old = mem_array(c->n_old + 1, sizeof *old); /* aligned */
    memcpy(old, c->text.ptr + head, c->n_old * sizeof *old);
    c->old = old;
    return c;
}

static void keep(struct stat_cache *c, const struct noted *n) {
    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : STAT_CACHE_MIN;
        c->v = mem_resize(c->v, c->cap, sizeof *c->v);
    }
    c->v[c->n++] = *n;
}

bool stat_cache_get(struct stat_cache *c, const struct stat *st, char ret[DIGEST_LEN + 1]) {
    const struct noted want = note_of(st);
    const struct noted *got = c->n_old ? bsearch(&want, c->old, c->n_old, sizeof want, by_inode) : NULL;
    if (!got || got->size != want.size || got->changed != want.changed || got->inode_changed != want.inode_changed)
        return false;
    memcpy(ret, "sha256:", strlen("sha256:"));
    memcpy(ret + strlen("sha256:"), got->hex, sizeof got->hex);
    ret[DIGEST_LEN] = 0;
    keep(c, got);
    return digest_ok(ret);
}

void stat_cache_put(struct stat_cache *c, const struct stat *st, const char *digest) {
    struct noted n = note_of(st);
    int64_t youngest = n.changed > n.inode_changed ? n.changed : n.inode_changed;
    if (youngest > c->now - YOUNG)
        return;
    memcpy(n.hex, digest_hex(digest), sizeof n.hex);
    keep(c, &n);
    c->changed = true;
}

void stat_cache_save(const struct stat_cache *c) {
    autostr struct str text = STR_INIT;
    char digest[DIGEST_LEN + 1];
    if (c->n < STAT_CACHE_MIN || (!c->changed && c->n == c->n_old) || c->n > FILE_MAX / sizeof *c->v)
        return;
    qsort(c->v, c->n, sizeof *c->v, by_inode);
    autoerr e = digest_of(c->v, c->n * sizeof *c->v, digest);
    if (e)
        return;
    str_append(&text, MAGIC);
    str_append(&text, digest);
    str_append_n(&text, (const char *)c->v, c->n * sizeof *c->v);
    err_free(io_write_file(c->dir, c->name, text.ptr, text.len, 0600, 0));
}

void stat_cache_free(struct stat_cache *c) {
    if (!c)
        return;
    free(c->name);
    str_done(&c->text);
    free((void *)(uintptr_t)c->old);
    free(c->v);
    free(c);
}
