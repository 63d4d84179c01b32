/*
 * share: what a store's owner gives to others. See shared.h. Each object is made aside and renamed into place, an
 * image's record last, so a reader sees an image when all of it is there. One writer at a time: the directory is
 * locked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "base/walk.h"
#include "storage/shared.h"
#include "storage/store_int.h"

#define MAKING ".making" /* what is not whole yet */

static const char *const parts[] = {"blobs/sha256", "images", "layers", "refs"};

/* A file of the store under another name: a link, or, on another file system, a copy that everybody may read. */
static struct err *give_file(int from_dir, const char *from, int to_dir, const char *to) {
    autofd int in = -1, out = -1;
    if (linkat(from_dir, from, to_dir, to, 0) == 0 || errno == EEXIST)
        return NULL;
    if (errno != EXDEV && errno != EPERM && errno != EMLINK)
        return err_sys(errno, "link %s", from);
    TRY(fd_open_at(from_dir, from, O_RDONLY | O_NOFOLLOW, 0, &in));
    TRY(fd_open_at(to_dir, to, O_WRONLY | O_CREAT | O_EXCL, 0444, &out));
    if (sys_reflink(out, in) < 0)
        TRY_CTX(io_copy(in, out, UINT64_MAX, NULL), "copy %s", from);
    return fchmod(out, 0444) < 0 ? err_sys(errno, "set the mode of %s", to) : NULL;
}

static struct err *open_shared(const char *dir, int *ret_fd) {
    autofd int fd = -1;
    struct err *e = fd_open_dir(AT_FDCWD, dir, &fd);
    if (e)
        return err_hint(e, "make it first; it is to be yours, and others need to get there");
    TRY_CTX(io_lock_dir(fd, IO_LOCK_EXCLUSIVE), "lock %s", dir);
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *not_empty(void *ctx, const char *name, unsigned char d_type) {
    (void)name;
    (void)d_type;
    *(bool *)ctx = true;
    return NULL;
}

static struct err *make_shared(const char *dir, int fd) {
    bool used = false;
    if (store_exists(fd, "version"))
        return store_exists(fd, "containers") ? err_new(ERR_CONFLICT, "%s is a store", dir) : NULL;
    TRY(io_each_entry(fd, not_empty, &used));
    if (used)
        return err_new(ERR_CONFLICT, "%s is neither empty nor a directory of shared images", dir);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        TRY(io_mkdirs(fd, parts[i], 0755));
    if (fchmodat(fd, "blobs", 0755, 0) < 0)
        return err_sys(errno, "open %s to others", dir);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (fchmodat(fd, parts[i], 0755, 0) < 0) /* whatever the umask */
            return err_sys(errno, "open %s to others", dir);
    autofree char *version = mem_printf("%d\n", STORE_VERSION);
    return io_write_file(fd, "version", version, strlen(version), 0644, IO_DURABLE);
}

/* ---- layers ---- */

struct giving {
    int data; /* layers/.making/data/<n> */
    int diff; /* layers/.making/diff */
    int cur;  /* the directory below diff that matches the walk's */
    size_t depth;
    size_t closed; /* levels of directories that others may not enter: nothing below them is given */
};

static bool is_for_all(const struct stat *st) {
    return S_ISREG(st->st_mode) && st->st_size > 0 && (st->st_mode & 04) && !(st->st_mode & 06000);
}

static struct err *give_entry(void *ctx, int at, const char *name, const struct stat *st) {
    struct giving *g = ctx;
    char ino[32];
    struct stat there;
    if (g->closed || !is_for_all(st))
        return NULL;
    TRY(give_file(at, name, g->cur, name));
    if (fstatat(g->cur, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "stat %s", name);
    (void)snprintf(ino, sizeof ino, "%llx", (unsigned long long)there.st_ino);
    return give_file(g->cur, name, g->data, ino);
}

/* A new directory that everybody may look into, whatever the umask. */
static struct err *make_open(int at, const char *name, int *ret_fd) {
    if (mkdirat(at, name, 0755) < 0 || fchmodat(at, name, 0755, 0) < 0)
        return err_sys(errno, "make the directory %s", name);
    return fd_open_at(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, ret_fd);
}

static struct err *enter_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct giving *g = ctx;
    autofd int fd = -1;
    (void)dir;
    bool shut = (st->st_mode & 05) != 05;
    if (g->closed || (g->depth && shut)) {
        g->closed++;
        return NULL;
    }
    if (g->depth) {
        TRY(make_open(g->cur, name, &fd));
    } else {
        TRY(fd_dup(g->diff, &fd));
    }
    g->depth++;
    fd_replace(&g->cur, take_fd(&fd));
    return NULL;
}

static struct err *leave_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct giving *g = ctx;
    autofd int up = -1;
    (void)dir;
    (void)name;
    (void)st;
    if (g->closed) {
        g->closed--;
        return NULL;
    }
    if (--g->depth) {
        TRY(fd_open_dir(g->cur, "..", &up));
        fd_replace(&g->cur, take_fd(&up));
    }
    return NULL;
}

static struct err *fill_layer(int layer, int making, size_t number) {
    autofd int data = -1, at = -1, diff = -1;
    char place[24];
    (void)snprintf(place, sizeof place, "%zu", number);
    TRY(make_open(making, "diff", &diff));
    TRY(make_open(making, "data", &data));
    TRY(make_open(data, place, &at));
    struct giving g = {.data = at, .diff = diff, .cur = -1};
    const struct walk_ops ops = {.file = give_entry, .enter = enter_dir, .leave = leave_dir, .ctx = &g};
    struct err *e = walk_tree(layer, "diff", &ops);
    fd_close(g.cur);
    return e;
}

static struct err *give_layer(const struct store *s, int to, const char *chain_id, size_t number) {
    int layers;
    autofd int layer = -1, making = -1;
    const char *hex = digest_hex(chain_id);
    TRY(store_dir(s, STORE_LAYERS, &layers));
    if (store_exists(to, hex))
        return NULL;
    TRY(fd_open_dir(layers, hex, &layer));
    TRY(io_remove_tree(to, MAKING));
    TRY(make_open(to, MAKING, &making));
    TRY_CTX(fill_layer(layer, making, number), "share layer %s", chain_id);
    TRY(io_sync(making));
    return renameat(to, MAKING, to, hex) < 0 ? err_sys(errno, "share layer %s", chain_id) : NULL;
}

/* ---- images ---- */

static struct err *give_blob(const struct store *s, int to, const char *digest_or_null) {
    int blobs;
    if (!digest_or_null || store_exists(to, digest_hex(digest_or_null)))
        return NULL;
    TRY(store_dir(s, STORE_BLOBS, &blobs));
    TRY_CTX(io_remove_tree(to, MAKING), "share blob %s", digest_or_null);
    TRY_CTX(give_file(blobs, digest_hex(digest_or_null), to, MAKING), "share blob %s", digest_or_null);
    return renameat(to, MAKING, to, digest_hex(digest_or_null)) < 0 ? err_sys(errno, "share blob %s", digest_or_null)
                                                                    : NULL;
}

static struct err *give_blobs(const struct store *s, int to, const struct store_image *img) {
    TRY(give_blob(s, to, img->config));
    TRY(give_blob(s, to, img->manifest));
    for (size_t i = 0; i < img->extra.n; i++)
        TRY(give_blob(s, to, img->extra.v[i]));
    for (size_t i = 0; i < img->n_layers; i++) {
        if (!img->layers[i].blob)
            return err_new(ERR_UNSUPPORTED, "layer %s has no blob to share", img->layers[i].chain_id);
        TRY(give_blob(s, to, img->layers[i].blob));
    }
    return NULL;
}

static struct err *share_ref(const struct store *s, int names, const char *ref, const char *id) {
    const struct store_ref now = store_ref_of(s, ref, id);
    const struct store_target to = {.image = id, .manifest = now.manifest, .index = now.index};
    return store_ref_write(names, ref, &to, 0644);
}

static struct err *share_image(struct store *s, int fd, const struct store_image *img, const struct strv *refs) {
    autofd int blobs = -1, layers = -1, images = -1, names = -1;
    TRY(fd_open_dir(fd, "blobs/sha256", &blobs));
    TRY(fd_open_dir(fd, "layers", &layers));
    TRY(fd_open_dir(fd, "images", &images));
    TRY(fd_open_dir(fd, "refs", &names));
    TRY(give_blobs(s, blobs, img));
    for (size_t i = 0; i < img->n_layers; i++)
        TRY(give_layer(s, layers, img->layers[i].chain_id, i));
    TRY(store_image_write(images, img, 0644));
    for (size_t i = 0; i < refs->n; i++)
        TRY(share_ref(s, names, refs->v[i], img->id));
    return NULL;
}

struct err *store_share(struct store *s, const char *dir, const struct store_image *img, const struct strv *refs) {
    autofd int fd = -1;
    TRY(open_shared(dir, &fd));
    TRY(make_shared(dir, fd));
    TRY_CTX(share_image(s, fd, img, refs), "share image %.12s", img->id);
    return NULL;
}

/* ---- taking away ---- */

struct taking {
    int dir;
    const struct strv *kept; /* names, or beginnings of them */
};

static struct err *take_entry(void *ctx, const char *name, unsigned char d_type) {
    const struct taking *t = ctx;
    (void)d_type;
    return strv_has(t->kept, name) ? NULL : io_remove_tree(t->dir, name);
}

static struct err *take_from(int fd, const char *part, const struct strv *kept) {
    autofd int dir = -1;
    TRY(fd_open_dir(fd, part, &dir));
    struct taking t = {dir, kept};
    return io_each_entry(dir, take_entry, &t);
}

struct keeping {
    struct strv images, blobs, layers, refs;
};

static void keeping_done(struct keeping *k) {
    strv_done(&k->images);
    strv_done(&k->blobs);
    strv_done(&k->layers);
    strv_done(&k->refs);
}

static void keep(struct strv *set, const char *digest_or_null) {
    if (digest_or_null)
        strv_push(set, digest_hex(digest_or_null));
}

static void keep_image(struct keeping *k, const struct store_image *img) {
    strv_pushf(&k->images, "%s.json", img->id);
    keep(&k->blobs, img->config);
    keep(&k->blobs, img->manifest);
    for (size_t i = 0; i < img->extra.n; i++)
        keep(&k->blobs, img->extra.v[i]);
    for (size_t i = 0; i < img->n_layers; i++) {
        keep(&k->blobs, img->layers[i].blob);
        keep(&k->layers, img->layers[i].chain_id);
    }
}

static struct err *mark(const struct store *x, const struct strv *ids, struct keeping *k) {
    autostrmap struct strmap refs = {.n = 0};
    for (size_t i = 0; i < ids->n; i++) {
        struct store_image *img = NULL;
        TRY(store_image_get(x, ids->v[i], &img));
        keep_image(k, img);
        store_image_free(img);
    }
    TRY(store_refs(x, &refs));
    for (size_t i = 0; i < refs.n; i++) {
        char *file = NULL;
        if (!strv_has(ids, refs.e[i].value))
            continue;
        TRY(store_ref_file(refs.e[i].key, &file));
        strv_push_take(&k->refs, file);
    }
    return NULL;
}

/* Names first, as they are what leads readers to the rest. */
static struct err *take_rest(int fd, const struct keeping *k) {
    TRY(take_from(fd, "refs", &k->refs));
    TRY(take_from(fd, "images", &k->images));
    TRY(take_from(fd, "layers", &k->layers));
    return take_from(fd, "blobs/sha256", &k->blobs);
}

struct err *store_unshare(const struct host *host, const char *dir, const struct strv *ids) {
    autofd int fd = -1;
    __attribute__((cleanup(keeping_done))) struct keeping k = {.refs = {.n = 0}};
    TRY(open_shared(dir, &fd));
    if (!store_exists(fd, "version") || store_exists(fd, "containers"))
        return err_new(ERR_CONFLICT, "%s is no directory of shared images", dir);
    struct store *x = store_new(host, dir);
    x->foreign = true;
    struct err *e = fd_dup(fd, &x->dirs[STORE_ROOT]);
    if (!e)
        e = mark(x, ids, &k);
    store_free(x);
    return e ? e : take_rest(fd, &k);
}
