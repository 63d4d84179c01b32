/* measure: what a tree takes, in bytes and on disk. */
#include "base/err.h"
#include "base/walk.h"
#include "storage/store_int.h"

struct measure {
    struct store_usage usage;
    struct walk_inodes seen;
};

static struct err *measure_file(void *ctx, int at, const char *name, const struct stat *st) {
    (void)at;
    (void)name;
    struct measure *m = ctx;
    if (st->st_nlink > 1 && walk_inodes_put(&m->seen, st, ""))
        return NULL;
    m->usage.bytes += st->st_size;
    m->usage.blocks += (int64_t)st->st_blocks * 512;
    return NULL;
}

static struct err *measure_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    (void)dir;
    (void)name;
    ((struct measure *)ctx)->usage.blocks += (int64_t)st->st_blocks * 512;
    return NULL;
}

struct err *store_measure(int dirfd, const char *name, struct store_usage *ret) {
    struct measure m = {0};
    const struct walk_ops ops = {.file = measure_file, .enter = measure_dir, .ctx = &m};
    struct err *e = walk_tree(dirfd, name, &ops);
    walk_inodes_done(&m.seen);
    if (!e)
        *ret = m.usage;
    return e;
}
