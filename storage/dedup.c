/*
 * dedup: which files are equal. See dedup.h.
 *
 * All files of all layers are looked at and sorted by what must be equal and costs nothing to know; what is alone then,
 * as most are, is never read. The others are digested, and of those that are equal each becomes a source or is to get
 * the data of one: dedup_share.c.
 */
#include "storage/dedup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "base/walk.h"
#include "storage/compare.h"
#include "storage/dedup_int.h"
#include "storage/shared.h"

enum { LINKS_MAX = 30000 }; /* of an inode: below what any file system allows */

int dedup_open(const struct dedup *d, const char *path, int flags) {
    const struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return sys_openat2(d->dir, path, &how);
}

/* ---- layers ---- */

static int by_hex(const void *a, const void *b) {
    return strcmp(((const struct dedup_layer *)a)->hex, ((const struct dedup_layer *)b)->hex);
}

static struct err *add_layer(void *ctx, const char *name, unsigned char d_type) {
    struct dedup *d = ctx;
    (void)d_type;
    if (!path_is_hex64(name))
        return NULL;
    d->layers = mem_resize(d->layers, d->n_layers + 1, sizeof *d->layers);
    struct dedup_layer *l = &d->layers[d->n_layers++];
    *l = (struct dedup_layer){.parent = DEDUP_NONE};
    memcpy(l->hex, name, sizeof l->hex);
    return NULL;
}

static size_t find_layer(const struct dedup *d, const char *chain_id) {
    struct dedup_layer key = {.parent = DEDUP_NONE};
    memcpy(key.hex, digest_hex(chain_id), sizeof key.hex);
    const struct dedup_layer *l = bsearch(&key, d->layers, d->n_layers, sizeof *d->layers, by_hex);
    return l ? (size_t)(l - d->layers) : DEDUP_NONE;
}

/* What lies below what, as the image has it. Where a layer is missing, what lies above it stays unknown. */
static void note_image(struct dedup *d, const struct store_image *img) {
    size_t below = DEDUP_NONE;
    for (size_t i = 0; i < img->n_layers; i++) {
        size_t at = find_layer(d, img->layers[i].chain_id);
        if (at == DEDUP_NONE)
            return;
        d->layers[at].parent = below;
        d->layers[at].known = true;
        below = at;
    }
}

static struct err *note_images(struct dedup *d) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_image_ids(d->s, &ids));
    TRY(store_shared_image_ids(d->s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        struct store_image *img = NULL;
        autoerr gone = store_image_get(d->s, ids.v[i], &img);
        if (!gone)
            note_image(d, img);
        store_image_free(img);
    }
    return NULL;
}

/* Those whose files must stay. With reflinks nobody sees that anything happens. */
static struct err *note_fixed(struct dedup *d) {
    if (!d->out->reflinks)
        TRY(dedup_note_used(d));
    for (size_t i = 0; i < d->n_layers; i++) {
        struct dedup_layer *l = &d->layers[i];
        autofree char *chain_id = mem_printf("sha256:%s", l->hex);
        d->out->in_use += l->used;
        l->fixed = l->used || !(l->known || d->out->reflinks) || (d->how->only && !strv_has(d->how->only, chain_id));
    }
    return NULL;
}

static struct err *list_layers(struct dedup *d) {
    TRY(io_each_entry(d->dir, add_layer, d));
    if (!d->n_layers)
        return NULL;
    qsort(d->layers, d->n_layers, sizeof *d->layers, by_hex);
    TRY(note_images(d));
    d->out->layers = (int64_t)d->n_layers;
    return note_fixed(d);
}

/* Whether one image may have both: one lies below the other. */
static bool related(const struct dedup *d, size_t a, size_t b) {
    for (size_t i = a; i != DEDUP_NONE; i = d->layers[i].parent)
        if (i == b)
            return true;
    for (size_t i = b; i != DEDUP_NONE; i = d->layers[i].parent)
        if (i == a)
            return true;
    return false;
}

/* ---- files ---- */

struct scan {
    struct dedup *d;
    size_t layer;
    struct str path; /* of the directory, with a slash */
};

static struct err *add_file(void *ctx, int at, const char *name, const struct stat *st) {
    struct scan *sc = ctx;
    struct dedup *d = sc->d;
    (void)at;
    if (!S_ISREG(st->st_mode) || st->st_size < STORE_DEDUP_MIN || !st->st_blocks)
        return NULL;
    if (d->n_files == d->files_cap) {
        d->files_cap = d->files_cap ? 2 * d->files_cap : 1024;
        d->files = mem_resize(d->files, d->files_cap, sizeof *d->files);
    }
    struct dedup_file *f = &d->files[d->n_files++];
    *f = (struct dedup_file){.path = mem_printf("%s%s", str_c(&sc->path), name),
                             .size = st->st_size,
                             .blocks = (int64_t)st->st_blocks * 512,
                             .ino = st->st_ino,
                             .nlink = st->st_nlink,
                             .layer = sc->layer};
    if (d->out->reflinks)
        return NULL;
    f->mtime = st->st_mtim.tv_sec;
    f->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
    f->uid = st->st_uid;
    f->gid = st->st_gid;
    f->mode = st->st_mode;
    return NULL;
}

static struct err *enter_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct scan *sc = ctx;
    (void)dir;
    (void)st;
    str_append(&sc->path, name);
    str_append_c(&sc->path, '/');
    return NULL;
}

static struct err *leave_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct scan *sc = ctx;
    (void)dir;
    (void)st;
    sc->path.len -= strlen(name) + 1;
    sc->path.ptr[sc->path.len] = '\0';
    return NULL;
}

/* Not of layers whose files have their data elsewhere. */
static struct err *scan_layer(struct dedup *d, size_t i) {
    struct scan sc = {.d = d, .layer = i};
    const struct walk_ops ops = {.file = add_file, .enter = enter_dir, .leave = leave_dir, .ctx = &sc};
    autofree char *chain_id = mem_printf("sha256:%s", d->layers[i].hex);
    autofree char *data = store_layer_data(d->s, chain_id);
    autofree char *diff = mem_printf("%s/diff", d->layers[i].hex);
    struct err *e = data ? NULL : walk_tree(d->dir, diff, &ops);
    str_done(&sc.path);
    return e ? err_wrap(e, "layer %s", chain_id) : NULL;
}

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

/* By all that must be equal and is known without reading. */
static int by_facts(const struct dedup_file *a, const struct dedup_file *b) {
    int order = ORDER(a->size, b->size);
    if (!order)
        order = ORDER(a->mtime, b->mtime);
    if (!order)
        order = ORDER(a->mtime_ns, b->mtime_ns);
    if (!order)
        order = ORDER(a->uid, b->uid);
    if (!order)
        order = ORDER(a->gid, b->gid);
    return order ? order : ORDER(a->mode, b->mode);
}

static int by_facts_and_inode(const void *a, const void *b) {
    const struct dedup_file *x = a, *y = b;
    int order = by_facts(x, y);
    return order ? order : ORDER(x->ino, y->ino);
}

/* ---- equal ones ---- */

/* Files of one inode, from index `first` on. */
struct inode {
    size_t first, n;
    size_t source; /* the inode of the run whose data it has or gets; itself at first */
    bool may_move;
    nlink_t nlink;
    char content[DIGEST_LEN + 1], attributes[DIGEST_LEN + 1];
};

/* More links than this one are another name in the same image, or somebody else's. */
static bool may_move(const struct dedup *d, const struct dedup_file *f) {
    return !d->layers[f->layer].fixed && (f->nlink == 1 || d->out->reflinks);
}

/* Attributes tell files apart where these become one inode. What cannot be read is equal to nothing. */
static struct err *digest_inode(const struct dedup *d, struct inode *in) {
    const struct dedup_file *f = &d->files[in->first];
    autofd int fd = dedup_open(d, f->path, O_RDONLY | O_NOFOLLOW);
    if (fd < 0) {
        log_debug("%s is left out: %m", f->path);
        return NULL;
    }
    TRY_CTX(digest_of_fd(fd, in->content, NULL), "%s", f->path);
    if (d->out->reflinks)
        return NULL;
    TRY_CTX(store_digest_attributes(fd, in->attributes), "%s", f->path);
    return NULL;
}

/* Equal ones side by side, and those first that stay, of these the most linked. */
static int by_digest(const void *a, const void *b) {
    const struct inode *x = a, *y = b;
    int order = strcmp(x->content, y->content);
    if (!order)
        order = strcmp(x->attributes, y->attributes);
    if (!order)
        order = ORDER(x->may_move, y->may_move);
    if (!order)
        order = ORDER(y->nlink, x->nlink);
    return order ? order : ORDER(x->first, y->first);
}

/* Whether a file may be one with all that the inode `m` of the run is, or is going to be, in the layers. */
static bool fits(const struct dedup *d, const struct inode *run, size_t n, size_t m, size_t layer) {
    if (d->out->reflinks)
        return true;
    nlink_t links = run[m].nlink;
    for (size_t q = 0; q < n; q++) {
        if (run[q].source != m)
            continue;
        links += q != m;
        for (size_t i = run[q].first; i < run[q].first + run[q].n; i++)
            if (!d->layers[d->files[i].layer].known || related(d, d->files[i].layer, layer))
                return false;
    }
    return links < LINKS_MAX;
}

static void plan_link(struct dedup *d, size_t file, size_t source) {
    if (d->n_links == d->links_cap) {
        d->links_cap = d->links_cap ? 2 * d->links_cap : 256;
        d->links = mem_resize(d->links, d->links_cap, sizeof *d->links);
    }
    d->links[d->n_links++] = (struct dedup_link){file, source};
}

/* Inodes of equal files. */
static void plan_run(struct dedup *d, struct inode *run, size_t n) {
    for (size_t k = 0; k < n; k++)
        run[k].source = k;
    for (size_t k = 1; k < n; k++)
        for (size_t m = 0; run[k].may_move && m < k; m++) {
            if (run[m].source != m || !fits(d, run, n, m, d->files[run[k].first].layer))
                continue;
            run[k].source = m;
            plan_link(d, run[k].first, run[m].first);
            break;
        }
}

static bool same_digests(const struct inode *a, const struct inode *b) {
    return *a->content && !strcmp(a->content, b->content) && !strcmp(a->attributes, b->attributes);
}

static struct err *plan_inodes(struct dedup *d, struct inode *in, size_t n) {
    for (size_t i = 0; i < n; i++)
        TRY(digest_inode(d, &in[i]));
    qsort(in, n, sizeof *in, by_digest);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && same_digests(&in[i], &in[end]);)
            end++;
        plan_run(d, in + i, end - i);
    }
    return NULL;
}

/* Files that may be equal, of one inode side by side. */
static struct err *plan_candidates(struct dedup *d, size_t first, size_t n) {
    bool moving = false;
    size_t n_inodes = 0;
    struct inode *in = mem_array(n, sizeof *in);
    for (size_t i = first; i < first + n; i++) {
        const struct dedup_file *f = &d->files[i];
        if (n_inodes && f->ino == d->files[i - 1].ino) {
            in[n_inodes - 1].n++;
            continue;
        }
        in[n_inodes++] = (struct inode){.first = i, .n = 1, .nlink = f->nlink, .may_move = may_move(d, f)};
        moving = moving || may_move(d, f);
    }
    struct err *e = n_inodes > 1 && moving ? plan_inodes(d, in, n_inodes) : NULL;
    free(in);
    return e;
}

static struct err *plan_all(struct dedup *d) {
    for (size_t i = 0; i < d->n_layers; i++)
        TRY(scan_layer(d, i));
    if (!d->n_files)
        return NULL;
    qsort(d->files, d->n_files, sizeof *d->files, by_facts_and_inode);
    for (size_t i = 0, end; i < d->n_files; i = end) {
        for (end = i + 1; end < d->n_files && !by_facts(&d->files[i], &d->files[end]);)
            end++;
        if (end - i > 1)
            TRY(plan_candidates(d, i, end - i));
    }
    return NULL;
}

/* ---- all ---- */

static struct err *probe_reflinks(struct store *s, bool *ret) {
    static const char block[4096] = {1};
    int tmp;
    autofd int a = -1, b = -1;
    TRY(store_dir(s, STORE_TMP, &tmp));
    TRY(fd_open_at(tmp, ".", O_TMPFILE | O_RDWR, 0600, &a));
    TRY(fd_open_at(tmp, ".", O_TMPFILE | O_RDWR, 0600, &b));
    TRY(io_write_all(a, block, sizeof block));
    *ret = sys_reflink(b, a) == 0;
    return NULL;
}

/* One at a time, or each would not see what the other is about to put together. */
static struct err *take_turn(const struct dedup *d, int *ret_fd) {
    autofd int fd = -1;
    TRY(fd_open_dir(d->dir, ".", &fd));
    while (flock(fd, LOCK_EX | (d->how->wait ? 0 : LOCK_NB)) < 0)
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? err_new(ERR_IN_USE, "others are at it") : err_sys(errno, "lock the layers");
    *ret_fd = take_fd(&fd);
    return NULL;
}

/* Nothing is removed as long as it is looked at. */
static struct err *plan(struct dedup *d) {
    autofd int hold = -1;
    TRY(store_hold(d->s, &hold));
    TRY(list_layers(d));
    return plan_all(d);
}

static void count_links(const struct dedup *d) {
    d->out->files = (int64_t)d->n_links;
    for (size_t i = 0; i < d->n_links; i++)
        d->out->bytes += d->files[d->links[i].file].blocks;
}

static struct err *dedup(struct dedup *d) {
    autofd int turn = -1;
    TRY(store_dir(d->s, STORE_LAYERS, &d->dir));
    TRY(take_turn(d, &turn));
    TRY(probe_reflinks(d->s, &d->out->reflinks));
    TRY(plan(d));
    if (!d->how->dry_run)
        return dedup_share(d);
    count_links(d);
    return NULL;
}

struct err *store_dedup(struct store *s, const struct store_dedup *how, struct store_deduped *ret) {
    *ret = (struct store_deduped){.files = 0};
    struct dedup d = {.s = s, .how = how, .out = ret, .dir = -1};
    struct err *e = dedup(&d);
    for (size_t i = 0; i < d.n_files; i++)
        free(d.files[i].path);
    free(d.files);
    free(d.layers);
    free(d.links);
    return e ? err_wrap(e, "deduplicate the store") : NULL;
}
