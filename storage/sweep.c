/*
 * sweep: layers and blobs that nothing references any more.
 *
 * Marks from every image record and every container record, then deletes the rest, all under the exclusive store lock:
 * whoever adds references holds it shared from before the first blob until the reference is there. A root that cannot
 * be read may name anything, so then nothing is deleted at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/shared.h"
#include "storage/store_int.h"

enum { TEMP_SECONDS = 3600 };

struct sweep {
    struct store *s;
    struct strv maps;          /* names of the maps of ids that containers have */
    struct strv layers, blobs; /* hex of what is referenced; sorted once marking is done */
    int dir;                   /* the directory being swept */
    int64_t bytes;
};

/* ---- mark ---- */

static void mark(struct strv *set, const char *digest_or_null) {
    if (digest_or_null && digest_ok(digest_or_null))
        strv_push(set, digest_hex(digest_or_null));
}

static void mark_image(struct sweep *sw, const struct store_image *img) {
    mark(&sw->blobs, img->config);
    mark(&sw->blobs, img->manifest);
    for (size_t i = 0; i < img->n_layers; i++) {
        mark(&sw->blobs, img->layers[i].blob);
        mark(&sw->layers, img->layers[i].chain_id);
    }
    for (size_t i = 0; i < img->extra.n; i++)
        mark(&sw->blobs, img->extra.v[i]);
}

/* What was made for an image that others share stays as long as they do. */
static struct err *mark_images(struct sweep *sw) {
    autostrv struct strv ids = {0};
    TRY(store_image_ids(sw->s, &ids));
    TRY(store_shared_image_ids(sw->s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        struct store_image *img = NULL;
        struct err *e = store_image_get(sw->s, ids.v[i], &img);
        if (!e) {
            mark_image(sw, img);
            store_image_free(img);
        } else if (err_kind(e) == ERR_NOT_FOUND) { /* removed just now */
            err_free(e);
        } else {
            return e;
        }
    }
    return NULL;
}

/* Images that a container has mounted. */
static struct err *mark_trees(struct sweep *sw, const struct json *summary) {
    JSON_EACH(t, json_get(summary, "Trees")) {
        autostrv struct strv layers = {0};
        TRY(json_get_strv_opt(t, "Layers", &layers));
        for (size_t i = 0; i < layers.n; i++)
            mark(&sw->layers, layers.v[i]);
    }
    return NULL;
}

/* A container keeps its layers and its image's config, even when the image's record is gone. */
static struct err *mark_container(struct sweep *sw, const char *id) {
    autojson j = NULL;
    autostrv struct strv layers = {0};
    const char *image;
    TRY(store_container_read(sw->s, id, "container.json", &j));
    TRY_CTX(json_get_strv_opt(j, "Layers", &layers), "container %.12s", id);
    TRY_CTX(json_get_str_opt(j, "Image", "", &image), "container %.12s", id);
    TRY_CTX(mark_trees(sw, j), "container %.12s", id);
    for (size_t i = 0; i < layers.n; i++) {
        if (!digest_ok(layers.v[i]))
            return err_new(ERR_CORRUPT, "container %.12s: %s is not a chain id", id, layers.v[i]);
        mark(&sw->layers, layers.v[i]);
    }
    const char *map = json_text(json_get(j, "IdMap"), "Name");
    if (path_is_hex64(map))
        strv_push(&sw->maps, map);
    if (path_is_hex64(image))
        strv_push(&sw->blobs, image);
    else
        mark(&sw->blobs, image);
    return NULL;
}

static struct err *mark_containers(struct sweep *sw) {
    autostrv struct strv ids = {0};
    int containers;
    TRY(store_dir(sw->s, STORE_CONTAINERS, &containers));
    TRY(store_container_ids(sw->s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        struct err *e = mark_container(sw, ids.v[i]);
        if (e && store_exists(containers, ids.v[i]))
            return e;
        err_free(e); /* removed just now */
    }
    return NULL;
}

/* ---- sweep ---- */

static struct err *sweep_layer(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct sweep *sw = ctx;
    struct store_usage usage = {0};
    if (!path_is_hex64(name) || strv_find_sorted(&sw->layers, name, NULL))
        return NULL;
    err_free(store_measure_layer(sw->dir, name, &usage)); /* for the user; not knowing it is no reason to stop */
    TRY(store_trash(sw->s, sw->dir, name));
    sw->bytes += usage.blocks;
    return NULL;
}

struct sweep_map {
    struct sweep *sw;
    int dir;
};

/* "<chain id>" or "<chain id>.full" of an image's top layer: gone with it. */
static struct err *sweep_shifted(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct sweep_map *m = ctx;
    autofree char *layer = mem_dupn(name, strcspn(name, "."));
    if (!path_is_hex64(layer) || strv_find_sorted(&m->sw->layers, layer, NULL))
        return NULL;
    return store_trash(m->sw->s, m->dir, name);
}

/*
 * Images with other owners. They are nothing that cannot be made again: who starts a container with such a map makes
 * its record first, so none of a map without one is in use. Of what they measure the data is the layers' own.
 */
static struct err *sweep_map(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct sweep *sw = ctx;
    autofd int dir = -1;
    if (!path_is_hex64(name))
        return NULL;
    if (!strv_find_sorted(&sw->maps, name, NULL))
        return store_trash(sw->s, sw->dir, name);
    TRY(fd_open_dir(sw->dir, name, &dir));
    struct sweep_map m = {sw, dir};
    return io_each_entry(dir, sweep_shifted, &m);
}

/* What io_write_file() leaves when it is killed. A living one is done within the hour. */
static bool old_temp(const char *name, const struct stat *st) {
    return str_starts(name, ".tmp-") && st->st_mtime < clock_now() / NSEC_PER_SEC - TEMP_SECONDS;
}

static struct err *sweep_blob(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct sweep *sw = ctx;
    struct stat st;
    if (fstatat(sw->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return NULL;
    if (!old_temp(name, &st) && (!path_is_hex64(name) || strv_find_sorted(&sw->blobs, name, NULL)))
        return NULL;
    if (unlinkat(sw->dir, name, 0) < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "remove blob %s", name);
    sw->bytes += (int64_t)st.st_blocks * 512;
    return NULL;
}

static struct err *sweep_temp(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct sweep *sw = ctx;
    struct stat st;
    if (fstatat(sw->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && old_temp(name, &st))
        unlinkat(sw->dir, name, 0);
    return NULL;
}

/* A record of the build cache that nobody can read; what cannot be read just now stays. */
static struct err *sweep_build(void *ctx, const char *name, unsigned char d_type) {
    const struct sweep *sw = ctx;
    autojson j = NULL;
    if (!path_is_hex64(name))
        return sweep_temp(ctx, name, d_type);
    autoerr e = json_read_file(sw->dir, name, &j);
    if (e && err_kind(e) == ERR_CORRUPT && unlinkat(sw->dir, name, 0) < 0)
        log_debug("a damaged record of the build cache stays");
    return NULL;
}

static struct err *sweep_dir(struct sweep *sw, enum store_dir which,
                             struct err *(*fn)(void *ctx, const char *name, unsigned char d_type)) {
    TRY(store_dir(sw->s, which, &sw->dir));
    return io_each_entry(sw->dir, fn, sw);
}

static struct err *mark_and_sweep(struct sweep *sw, bool *ret_damaged) {
    static const enum store_dir written[] = {STORE_ROOT,    STORE_IMAGES,   STORE_REFS,
                                             STORE_SECRETS, STORE_NETWORKS, STORE_MANIFESTS};
    struct err *e = mark_images(sw);
    if (!e)
        e = mark_containers(sw);
    if (!e)
        e = store_builds_mark(sw->s, &sw->layers, &sw->blobs);
    if (e) {
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        err_free(e);
        log_warn("no layers or blobs are removed: %s", str_c(&why));
        *ret_damaged = true;
        return NULL;
    }
    strv_sort(&sw->layers);
    strv_sort(&sw->blobs);
    strv_sort(&sw->maps);
    TRY(sweep_dir(sw, STORE_IDMAPS, sweep_map)); /* first: their links keep the layers' blocks */
    TRY(sweep_dir(sw, STORE_LAYERS, sweep_layer));
    TRY(sweep_dir(sw, STORE_BLOBS, sweep_blob));
    for (size_t i = 0; i < ARRAY_LEN(written); i++)
        TRY(sweep_dir(sw, written[i], sweep_temp));
    TRY(sweep_dir(sw, STORE_BUILDS, sweep_build));
    TRY(store_refs_heal(sw->s));
    return store_names_heal(sw->s);
}

/* One process waits for its turn to sweep, and will see all that those who came later have left. */
static struct err *lock_patiently(const struct store *s, int lock, bool *ret_got) {
    autofd int turn = -1;
    bool first = false;
    TRY_CTX(fd_open_at(s->dirs[STORE_ROOT], "sweeper", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &turn), "lock the store %s",
            s->root);
    TRY(io_try_lock(turn, IO_LOCK_EXCLUSIVE, &first));
    if (first)
        TRY_CTX(io_lock(lock, IO_LOCK_EXCLUSIVE), "lock the store %s", s->root);
    *ret_got = first;
    return NULL;
}

struct err *store_lock_alone(const struct store *s, bool wait, int *ret) {
    bool got = false;
    *ret = -1;
    autofd int fd = -1;
    TRY_CTX(fd_open_at(s->dirs[STORE_ROOT], "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd), "lock the store %s",
            s->root);
    TRY_CTX(io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got), "lock the store %s", s->root);
    if (!got && wait)
        TRY(lock_patiently(s, fd, &got));
    if (got)
        *ret = take_fd(&fd);
    return NULL;
}

struct err *store_sweep(struct store *s, bool wait, bool *ret_skipped, int64_t *ret_bytes) {
    struct sweep sw = {.s = s};
    bool skipped = false;
    int lock = -1;
    TRY(store_lock_alone(s, wait, &lock));
    struct err *e = NULL;
    if (lock < 0)
        skipped = true;
    else
        e = mark_and_sweep(&sw, &skipped);
    fd_close(lock); /* deleting what was moved to the trash needs no lock */
    strv_done(&sw.maps);
    strv_done(&sw.layers);
    strv_done(&sw.blobs);
    if (!e)
        e = store_collect(s);
    if (e)
        return err_wrap(e, "sweep the store");
    *ret_skipped = skipped;
    *ret_bytes = sw.bytes;
    return NULL;
}
