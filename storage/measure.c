/* measure: what a tree takes, in bytes and on disk; and what images with other owners do (shift.c). */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/walk.h"
#include "storage/rootfs.h"
#include "storage/store_int.h"

struct measure {
    struct store_usage usage;
    struct walk_inodes seen;
    bool part; /* a file with links elsewhere counts in part */
};

static struct err *measure_file(void *ctx, int at, const char *name, const struct stat *st) {
    (void)at;
    (void)name;
    struct measure *m = ctx;
    if (!m->part && st->st_nlink > 1 && walk_inodes_put(&m->seen, st, ""))
        return NULL;
    if (m->part) {
        m->usage.bytes += st->st_size / (int64_t)st->st_nlink;
        m->usage.blocks += (int64_t)st->st_blocks * 512 / (int64_t)st->st_nlink;
        return NULL;
    }
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

static struct err *measure(int dirfd, const char *name, bool part, struct store_usage *ret) {
    struct measure m = {.part = part};
    const struct walk_ops ops = {.file = measure_file, .enter = measure_dir, .ctx = &m};
    struct err *e = walk_tree(dirfd, name, &ops);
    walk_inodes_done(&m.seen);
    if (!e)
        *ret = m.usage;
    return e;
}

struct err *store_measure(int dirfd, const char *name, struct store_usage *ret) {
    return measure(dirfd, name, false, ret);
}

struct err *store_measure_layer(int layers, const char *hex, struct store_usage *ret) {
    return measure(layers, hex, store_layer_shares(layers, hex), ret);
}

/* ---- idmaps ---- */

struct maps {
    struct strv used; /* names of maps that containers have */
    int dir;          /* the directory being read */
    int64_t *sum;     /* where it is added to */
    int64_t bytes, unused;
};

static struct err *add_blocks(void *ctx, const char *name, unsigned char d_type) {
    const struct maps *m = ctx;
    struct stat st;
    if (d_type == DT_DIR && fstatat(m->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *m->sum += (int64_t)st.st_blocks * 512;
    return NULL;
}

/* An image's: its inodes, the directories around them, and of the links to the layers' data those that they are in. */
static struct err *add_image(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct maps *m = ctx;
    struct store_usage usage = {0};
    autofree char *diff = mem_printf("%s/diff", name), *data = mem_printf("%s/data", name);
    autofd int dir = -1;
    struct err *e = store_measure(m->dir, diff, &usage);
    if (e && err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e); /* else it is being swept */
    *m->sum += usage.blocks;
    TRY(add_blocks(ctx, name, DT_DIR));
    TRY(add_blocks(ctx, data, DT_DIR));
    autoerr none = fd_open_at(m->dir, data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir);
    struct maps links = {.dir = dir, .sum = m->sum};
    return none ? NULL : io_each_entry(dir, add_blocks, &links);
}

static struct err *add_map(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct maps *m = ctx;
    autofd int dir = -1;
    if (!path_is_hex64(name))
        return NULL;
    autoerr gone = fd_open_at(m->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir);
    int64_t bytes = 0;
    struct maps images = {.dir = dir, .sum = &bytes}, self = {.dir = m->dir, .sum = &bytes};
    if (gone)
        return NULL;
    TRY(add_blocks(&self, name, DT_DIR));
    TRY(io_each_entry(dir, add_image, &images));
    m->bytes += bytes;
    m->unused += strv_has(&m->used, name) ? 0 : bytes;
    return NULL;
}

static struct err *find_used(const struct store *s, struct strv *used) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autojson summary = NULL;
        autoerr gone = store_container_read(s, ids.v[i], "container.json", &summary);
        const char *map = gone ? "" : json_text(json_get(summary, "IdMap"), "Name");
        if (*map)
            strv_push(used, map);
    }
    return NULL;
}

struct err *store_shifted_size(const struct store *s, int64_t *ret_bytes, int64_t *ret_unused) {
    struct maps m = {.dir = -1};
    struct err *e = store_dir(s, STORE_IDMAPS, &m.dir);
    if (!e)
        e = find_used(s, &m.used);
    if (!e)
        e = io_each_entry(m.dir, add_map, &m);
    strv_done(&m.used);
    *ret_bytes = m.bytes;
    *ret_unused = m.unused;
    return e;
}
