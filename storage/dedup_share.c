/*
 * dedup_share: equal files get one inode, or the same blocks; and what that saves is measured. See dedup.h.
 *
 * Inodes are exchanged in batches, each under the exclusive store lock: nothing is created, pulled, built or swept
 * meanwhile. Containers of the layer that do not run are kept from starting by a shared lock on theirs, which nobody
 * takes for a running container's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "base/walk.h"
#include "storage/dedup_int.h"

enum { BATCH = 256 }; /* files: a few milliseconds */

#define SHARES "shares" /* in a layer's directory: it has inodes in common with others */
#define LINK "link"     /* in ours in tmp/: the next link, before it gets its name */
#define MOUNT "mount"   /* in a container's: `coracle mount` has mounted it for a user, and may still */

/* ---- who uses a layer ---- */

static bool names_layer(const struct json *layers, const char *hex) {
    JSON_EACH(l, layers) {
        const char *chain = json_str_value(l);
        if (chain && digest_ok(chain) && str_eq(digest_hex(chain), hex))
            return true;
    }
    return false;
}

/* A container's record; NULL where it cannot be read, and the container may have any layer. False: it is gone. */
static bool read_record(const struct store *s, const char *id, struct json **ret) {
    autoerr e = store_container_read(s, id, "container.json", ret);
    return !e || err_kind(e) != ERR_NOT_FOUND;
}

/* Whether the container of a record is made of the layer, or has it mounted. */
static bool record_has(const struct json *record, const char *hex) {
    bool has = !record || names_layer(json_get(record, "Layers"), hex);
    JSON_EACH(t, json_get(record, "Trees"))
    has = has || names_layer(json_get(t, "Layers"), hex);
    return has;
}

static bool uses_layer(const struct store *s, const char *id, const char *hex) {
    autojson record = NULL;
    return read_record(s, id, &record) && record_has(record, hex);
}

static bool mounted(const struct store *s, const char *id) {
    int containers;
    autofree char *path = mem_printf("%s/" MOUNT, id);
    autoerr e = store_dir(s, STORE_CONTAINERS, &containers);
    return e || store_exists(containers, path);
}

struct err *dedup_note_used(struct dedup *d) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(d->s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autojson record = NULL;
        bool running = false;
        autoerr gone = store_container_running(d->s, ids.v[i], &running);
        if (gone || !(running || mounted(d->s, ids.v[i])) || !read_record(d->s, ids.v[i], &record))
            continue;
        for (size_t l = 0; l < d->n_layers; l++)
            d->layers[l].used = d->layers[l].used || record_has(record, d->layers[l].hex);
    }
    return NULL;
}

struct users {
    int *lock;
    size_t n;
};

static void users_done(struct users *u) {
    for (size_t i = 0; i < u->n; i++)
        fd_close(u->lock[i]);
    free(u->lock);
}

/* Keeps the layer's containers from starting. *ret_free: none of them runs. */
static struct err *hold_users(const struct dedup *d, const char *hex, struct users *u, bool *ret_free) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_container_ids(d->s, &ids));
    u->lock = mem_array(ids.n + 1, sizeof *u->lock);
    *ret_free = true;
    for (size_t i = 0; *ret_free && i < ids.n; i++) {
        int fd = -1;
        if (!uses_layer(d->s, ids.v[i], hex))
            continue;
        autoerr e = store_container_hold(d->s, ids.v[i], &fd);
        if (!e)
            u->lock[u->n++] = fd;
        *ret_free = (!e || err_kind(e) == ERR_NOT_FOUND) && !mounted(d->s, ids.v[i]);
    }
    return NULL;
}

/* ---- inodes ---- */

struct err *store_layer_mark_shared(int layers, const char *hex) {
    autofd int fd = -1;
    autofree char *path = mem_printf("%s/" SHARES, hex);
    return fd_open_at(layers, path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600, &fd);
}

/* Before the first of its inodes is another layer's, too. */
static struct err *mark_layer(struct dedup *d, size_t layer) {
    struct dedup_layer *l = &d->layers[layer];
    if (!l->marked)
        TRY(store_layer_mark_shared(d->dir, l->hex));
    l->marked = true;
    return NULL;
}

/* The directory of a file; -1 and errno. */
static int open_dir_of(const struct dedup *d, const char *path, const char **ret_name) {
    const char *slash = strrchr(path, '/');
    autofree char *dir = mem_dupn(path, (size_t)(slash - path));
    *ret_name = slash + 1;
    return dedup_open(d, dir, O_RDONLY | O_DIRECTORY);
}

/* Whether it is the very file that was read. */
static bool is_still(int dir, const char *name, const struct dedup_file *f) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_ino == f->ino &&
           st.st_size == f->size && st.st_mtim.tv_sec == f->mtime && (uint32_t)st.st_mtim.tv_nsec == f->mtime_ns;
}

static bool has_one_link(int dir, const char *name) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1;
}

/* What has gone or changed since it was read stays as it is, and so does what has too many links already. */
static struct err *exchange(struct dedup *d, int tmp, const struct dedup_link *l) {
    const struct dedup_file *file = &d->files[l->file], *source = &d->files[l->source];
    const char *name, *source_name;
    struct stat st;
    autofd int dir = open_dir_of(d, file->path, &name);
    autofd int source_dir = open_dir_of(d, source->path, &source_name);
    if (dir < 0 || source_dir < 0 || fstat(dir, &st) < 0 || !is_still(dir, name, file) || !has_one_link(dir, name))
        return NULL;
    if (linkat(source_dir, source_name, tmp, LINK, 0) < 0)
        return errno == ENOENT || errno == EMLINK ? NULL : err_sys(errno, "link to %s", source->path);
    bool good = is_still(tmp, LINK, source);
    if (!good || renameat(tmp, LINK, dir, name) < 0) {
        int errnum = errno;
        unlinkat(tmp, LINK, 0);
        return good ? err_sys(errnum, "exchange %s", file->path) : NULL;
    }
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    if (futimens(dir, times) < 0)
        return err_sys(errno, "set the time of the directory of %s", file->path);
    d->out->files++;
    d->out->bytes += file->blocks;
    return NULL;
}

static struct err *lock_store(const struct dedup *d, int *ret_lock) {
    int lock = -1;
    TRY(store_lock_alone(d->s, d->how->wait, &lock));
    if (lock < 0)
        return err_hint(err_new(ERR_IN_USE, "others work on it"), "try again when pulls and builds have ended");
    *ret_lock = lock;
    return NULL;
}

/* Links of one layer's files. *ret_free: it is not in use. */
static struct err *exchange_batch(struct dedup *d, int tmp, size_t from, size_t to, bool *ret_free) {
    size_t layer = d->files[d->links[from].file].layer;
    __attribute__((cleanup(users_done))) struct users users = {.n = 0};
    autofd int lock = -1;
    TRY(lock_store(d, &lock));
    TRY(hold_users(d, d->layers[layer].hex, &users, ret_free));
    for (size_t i = from; *ret_free && i < to; i++) {
        TRY(mark_layer(d, d->files[d->links[i].source].layer));
        TRY(exchange(d, tmp, &d->links[i]));
    }
    return NULL;
}

static struct err *exchange_layer(struct dedup *d, int tmp, size_t from, size_t to) {
    bool unused = true;
    TRY(mark_layer(d, d->files[d->links[from].file].layer));
    for (size_t i = from; unused && i < to; i += BATCH)
        TRY(exchange_batch(d, tmp, i, i + BATCH < to ? i + BATCH : to, &unused));
    d->out->in_use += !unused;
    return NULL;
}

static size_t layer_of(const struct dedup *d, size_t link) { return d->files[d->links[link].file].layer; }

static struct err *exchange_all(struct dedup *d, int tmp) {
    for (size_t i = 0, end; i < d->n_links; i = end) {
        for (end = i + 1; end < d->n_links && layer_of(d, end) == layer_of(d, i);)
            end++;
        TRY(exchange_layer(d, tmp, i, end));
    }
    return NULL;
}

/* ---- blocks ---- */

/* The kernel shares what it finds equal, and says how far that was; the file itself is not changed. */
static struct err *share_blocks(struct dedup *d, const struct dedup_link *l) {
    const struct dedup_file *file = &d->files[l->file], *source = &d->files[l->source];
    autofd int to = dedup_open(d, file->path, O_RDONLY | O_NOFOLLOW);
    autofd int from = dedup_open(d, source->path, O_RDONLY | O_NOFOLLOW);
    if (to < 0 || from < 0 || sys_same_blocks(from, to))
        return NULL;
    uint64_t done = 0, size = (uint64_t)file->size;
    for (uint64_t n = 1; done < size && n; done += n)
        if (sys_dedupe(from, to, done, size - done, &n) < 0)
            return errno == EINVAL || errno == ETXTBSY ? NULL : err_sys(errno, "share the blocks of %s", file->path);
    d->out->files += done > 0;
    d->out->bytes += (int64_t)done;
    return NULL;
}

static struct err *share_all_blocks(struct dedup *d) {
    autofd int hold = -1;
    TRY(store_hold(d->s, &hold));
    for (size_t i = 0; i < d->n_links; i++)
        TRY(share_blocks(d, &d->links[i]));
    return NULL;
}

/* ---- all ---- */

/* Layer by layer, in the order of the directories. */
static int by_place(const void *a, const void *b, void *ctx) {
    const struct dedup *d = ctx;
    const struct dedup_file *x = &d->files[((const struct dedup_link *)a)->file];
    const struct dedup_file *y = &d->files[((const struct dedup_link *)b)->file];
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return strcmp(x->path, y->path);
}

struct err *dedup_share(struct dedup *d) {
    autofree char *name = NULL;
    autofd int tmp = -1;
    if (!d->n_links)
        return NULL;
    if (d->out->reflinks)
        return share_all_blocks(d);
    qsort_r(d->links, d->n_links, sizeof *d->links, by_place, d);
    TRY(store_tmp_new(d->s, &name, &tmp));
    struct err *e = exchange_all(d, tmp);
    err_free(store_tmp_remove(d->s, name)); /* else it is debris */
    return e;
}

/* ---- what it saves ---- */

struct saved {
    struct walk_inodes all, own; /* seen in any layer; in this one */
    int64_t bytes;
};

static struct err *count_file(void *ctx, int at, const char *name, const struct stat *st) {
    struct saved *s = ctx;
    (void)at;
    (void)name;
    if (S_ISREG(st->st_mode) && st->st_nlink > 1 && !walk_inodes_put(&s->own, st, "") &&
        walk_inodes_put(&s->all, st, ""))
        s->bytes += st->st_size;
    return NULL;
}

bool store_layer_shares(int layers, const char *hex) {
    autofree char *mark = mem_printf("%s/" SHARES, hex);
    return store_exists(layers, mark);
}

static struct err *count_layer(int layers, const char *hex, struct saved *s) {
    const struct walk_ops ops = {.file = count_file, .ctx = s};
    autofree char *diff = mem_printf("%s/diff", hex);
    if (!store_layer_shares(layers, hex))
        return NULL;
    struct err *e = walk_tree(layers, diff, &ops);
    walk_inodes_done(&s->own);
    if (e && store_exists(layers, diff))
        return e;
    err_free(e); /* removed just now */
    return NULL;
}

struct counting {
    int dir;
    struct saved saved;
};

static struct err *count_entry(void *ctx, const char *name, unsigned char d_type) {
    struct counting *c = ctx;
    (void)d_type;
    return path_is_hex64(name) ? count_layer(c->dir, name, &c->saved) : NULL;
}

struct err *store_dedup_size(const struct store *s, int64_t *ret_bytes) {
    struct counting c = {.dir = -1};
    TRY(store_dir(s, STORE_LAYERS, &c.dir));
    struct err *e = io_each_entry(c.dir, count_entry, &c);
    walk_inodes_done(&c.saved.all);
    *ret_bytes = c.saved.bytes;
    return e;
}
