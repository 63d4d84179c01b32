/*
 * check: see check.h. Images first, which say what is needed of blobs and layers; then these; then what users made.
 *
 * Whoever reads without a lock may see one half of somebody's change. Every change here moves objects by one rename or
 * unlink, and takes what refers before what is referred to: so what is missing is a finding only if what refers to it
 * is still there afterwards.
 */
#include "storage/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "storage/builds.h"
#include "storage/check_int.h"
#include "storage/shared.h"
#include "storage/store_int.h"

/* ---- findings ---- */

void store_findings_done(struct store_findings *f) {
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].kind);
        free(f->v[i].name);
        free(f->v[i].problem);
        free(f->v[i].repaired);
        free(f->v[i].failed);
    }
    free(f->v);
    *f = (struct store_findings){.n = 0};
}

static bool known(const struct store_findings *f, const char *kind, const char *name) {
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->v[i].kind, kind) && str_eq(f->v[i].name, name))
            return true;
    return false;
}

void store_findings_add(struct store_findings *f, enum store_remedy remedy, const char *kind, const char *name,
                        const char *problem, ...) {
    if (remedy == STORE_LEFTOVER) {
        f->leftovers++;
        return;
    }
    if (known(f, kind, name))
        return;
    autostr struct str text = STR_INIT;
    va_list ap;
    va_start(ap, problem);
    str_append_v(&text, problem, ap);
    va_end(ap);
    f->v = mem_resize(f->v, f->n + 1, sizeof *f->v);
    f->v[f->n++] = (struct store_finding){
        .kind = mem_dup(kind), .name = mem_dup(name), .problem = str_take(&text), .remedy = remedy};
}

void check_add_err(struct check *c, enum store_remedy remedy, const char *kind, const char *name,
                   const struct err *why) {
    autostr struct str text = STR_INIT;
    err_format(why, &text);
    const char *problem = str_c(&text), *colon = strstr(problem, ": ");
    if (colon && str_starts(problem, kind) && problem[strlen(kind)] == ' ') /* what it is about is said already */
        problem = colon + 2;
    store_findings_add(c->out, remedy, kind, name, "%s", problem);
}

/* ---- directories and the root's files ---- */

static void check_place(struct check *c, const char *name, bool dir) {
    struct stat st;
    if (fstatat(c->s->dirs[STORE_ROOT], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return; /* made when it is needed */
    if (dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        store_findings_add(c->out, STORE_REMEDY_NONE, "directory", name, "is not a %s", dir ? "directory" : "file");
    else if (st.st_uid != geteuid())
        store_findings_add(c->out, STORE_REMEDY_NONE, "directory", name, "belongs to user %u", (unsigned)st.st_uid);
    else if (st.st_mode & 022)
        store_findings_add(c->out, STORE_REMEDY_MODE, "directory", name, "can be written by others (mode %04o)",
                           st.st_mode & 07777);
}

static void check_places(struct check *c) {
    static const char *const files[] = {"version", "lock", "sweeper"};
    check_place(c, "blobs", true);
    for (int i = STORE_ROOT + 1; i < STORE_DIR_COUNT; i++)
        check_place(c, store_dir_name((enum store_dir)i), true);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        check_place(c, files[i], false);
}

/* Debris is legal, and so is what somebody is at work on. */
static struct err *check_tmp(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    if (!store_tmp_alive(c->s, name))
        store_findings_add(c->out, STORE_LEFTOVER, "tmp", name, "is debris");
    return NULL;
}

/* A download that goes on holds its lock; another is taken up by the next pull. */
static struct err *check_partial(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    autofd int fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool held = false;
    autoerr e = fd >= 0 ? io_lock_held(fd, &held) : NULL;
    if (fd >= 0 && !e && !held)
        store_findings_add(c->out, STORE_LEFTOVER, "partial", name, "is an interrupted download");
    return NULL;
}

/* ---- images ---- */

static bool image_there(const struct check *c, const char *id) {
    autofree char *file = mem_printf("%s.json", id);
    return store_exists(c->s->dirs[STORE_IMAGES], file);
}

static void need_blob(struct check *c, const char *id, const char *what, const char *digest) {
    if (!digest)
        return;
    strv_push(&c->blobs, digest_hex(digest));
    if (!store_blob_has(c->s, digest) && image_there(c, id))
        store_findings_add(c->out, STORE_REMEDY_BLOB, "blob", digest, "is missing: %s of image %.12s", what, id);
}

static void need_layer(struct check *c, const char *id, const struct store_layer_ref *l) {
    strv_push(&c->layers, digest_hex(l->chain_id));
    if (!store_layer_has(c->s, l->chain_id) && image_there(c, id))
        store_findings_add(c->out, STORE_REMEDY_LAYER, "layer", l->chain_id, "is missing: image %.12s has it", id);
    for (size_t i = 0; i < c->n_deep; i++)
        if (str_eq(c->deep[i].chain_id, l->chain_id))
            return;
    if (!l->blob)
        return;
    c->deep = mem_resize(c->deep, c->n_deep + 1, sizeof *c->deep);
    c->deep[c->n_deep++] = (struct store_layer_ref){
        .blob = mem_dup(l->blob), .diff_id = mem_dup(l->diff_id), .chain_id = mem_dup(l->chain_id), .size = l->size};
}

static void check_chain(struct check *c, const struct store_image *img) {
    char chain[DIGEST_LEN + 1];
    for (size_t i = 0; i < img->n_layers; i++) {
        autoerr e = store_chain_id(i ? img->layers[i - 1].chain_id : NULL, img->layers[i].diff_id, chain);
        if (e || !str_eq(chain, img->layers[i].chain_id))
            store_findings_add(c->out, STORE_REMEDY_IMAGE, "image", img->id, "layer %zu has a wrong chain id", i + 1);
    }
}

static void check_image(struct check *c, const char *id) {
    struct store_image *img = NULL;
    autoerr e = store_image_get(c->s, id, &img);
    if (e && err_kind(e) != ERR_NOT_FOUND)
        check_add_err(c, STORE_REMEDY_IMAGE, "image", id, e);
    if (e)
        return;
    c->out->images++;
    need_blob(c, id, "the config", img->config);
    need_blob(c, id, "the manifest", img->manifest);
    for (size_t i = 0; i < img->extra.n; i++)
        need_blob(c, id, "the index", img->extra.v[i]);
    for (size_t i = 0; i < img->n_layers; i++) {
        need_blob(c, id, "a layer", img->layers[i].blob);
        need_layer(c, id, &img->layers[i]);
    }
    check_chain(c, img);
    store_image_free(img);
}

/* What was made here for images that others share is needed, if it is there. */
static struct err *need_shared(struct check *c) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_shared_image_ids(c->s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        struct store_image *img = NULL;
        autoerr e = store_image_get(c->s, ids.v[i], &img);
        for (size_t k = 0; !e && k < img->n_layers; k++)
            strv_push(&c->layers, digest_hex(img->layers[k].chain_id));
        store_image_free(img);
    }
    return NULL;
}

static struct err *check_images(struct check *c) {
    autostrv struct strv ids = {.n = 0};
    int dir;
    TRY(store_dir(c->s, STORE_IMAGES, &dir));
    TRY(store_image_ids(c->s, &ids));
    for (size_t i = 0; i < ids.n; i++)
        check_image(c, ids.v[i]);
    return need_shared(c);
}

/* One that is not (yet) recorded is no name of anything, and legal: see ref.c. */
static struct err *check_ref(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    struct store_ref ref;
    if (name[0] == '.') {
        store_findings_add(c->out, STORE_LEFTOVER, "reference", name, "is debris");
        return NULL;
    }
    autoerr e = store_ref_read(c->s, name, &ref);
    if (e && store_exists(c->dir, name))
        check_add_err(c, STORE_REMEDY_REF, "reference", name, e);
    else if (!e && !image_there(c, ref.image))
        store_findings_add(c->out, STORE_LEFTOVER, "reference", name, "leads to no image");
    c->out->references += !e;
    return NULL;
}

/* ---- blobs ---- */

static void check_content(struct check *c, const char *digest) {
    autofd int fd = -1;
    char got[DIGEST_LEN + 1];
    autoerr e = store_blob_open(c->s, digest, &fd, NULL);
    if (!e)
        e = digest_of_fd(fd, got, NULL);
    if (e && err_kind(e) != ERR_NOT_FOUND)
        check_add_err(c, STORE_REMEDY_BLOB, "blob", digest, e);
    else if (!e && strcmp(got, digest) != 0)
        store_findings_add(c->out, STORE_REMEDY_BLOB, "blob", digest, "has the digest %s", got);
}

static struct err *check_blob(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    struct stat st;
    bool named = path_is_hex64(name);
    if (fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return NULL;
    if (!named || !strv_find_sorted(&c->blobs, name, NULL)) {
        if (named || str_starts(name, ".tmp-"))
            store_findings_add(c->out, STORE_LEFTOVER, "blob", name, "is needed by nothing");
        else
            store_findings_add(c->out, STORE_REMEDY_NONE, "blob", name, "does not belong there");
        return NULL;
    }
    autofree char *digest = mem_printf("sha256:%s", name);
    c->out->blobs++;
    if (!S_ISREG(st.st_mode))
        store_findings_add(c->out, STORE_REMEDY_BLOB, "blob", digest, "is not a file");
    else if (!c->quick)
        check_content(c, digest);
    return NULL;
}

/* ---- layers ---- */

static struct err *check_info(struct check *c, const char *hex, const char *chain_id) {
    autofree char *path = mem_printf("%s/info.json", hex);
    autojson info = NULL;
    const char *recorded, *diff_id;
    TRY(json_read_file(c->dir, path, &info));
    TRY(json_get_str(info, "chain_id", &recorded));
    TRY(json_get_str(info, "diff_id", &diff_id));
    if (!str_eq(recorded, chain_id) || !digest_ok(diff_id))
        return err_new(ERR_CORRUPT, "its info.json describes another layer");
    return NULL;
}

static struct err *check_layer(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct check *c = ctx;
    if (!path_is_hex64(name) || !strv_find_sorted(&c->layers, name, NULL)) {
        if (path_is_hex64(name))
            store_findings_add(c->out, STORE_LEFTOVER, "layer", name, "is needed by nothing");
        else
            store_findings_add(c->out, STORE_REMEDY_NONE, "layer", name, "does not belong there");
        return NULL;
    }
    autofree char *digest = mem_printf("sha256:%s", name);
    c->out->layers++;
    autoerr e = check_info(c, name, digest);
    if (e && store_exists(c->dir, name))
        check_add_err(c, STORE_REMEDY_LAYER, "layer", digest, e);
    return NULL;
}

/* A blob that is not what it says tells nothing of its layer. */
static bool blob_sound(const struct check *c, const char *digest) {
    return store_blob_has(c->s, digest) && !known(c->out, "blob", digest);
}

static void check_layer_content(struct check *c, const struct store_layer_ref *l) {
    if (!store_layer_has(c->s, l->chain_id) || known(c->out, "layer", l->chain_id) || !blob_sound(c, l->blob))
        return;
    autoerr e = store_layer_verify(c->s, c->in, l);
    if (e && err_kind(e) == ERR_CORRUPT)
        check_add_err(c, STORE_REMEDY_LAYER, "layer", l->chain_id, e);
    else if (e && err_kind(e) != ERR_NOT_FOUND) {
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        store_findings_add(c->out, STORE_REMEDY_NONE, "layer", l->chain_id, "could not be compared with its blob: %s",
                           str_c(&why));
    }
}

/* ---- all ---- */

struct err *check_each(struct check *c, enum store_dir which,
                       struct err *(*fn)(void *ctx, const char *name, unsigned char d_type)) {
    struct err *e = store_dir(c->s, which, &c->dir);
    if (e && err_errno(e) == EROFS) { /* of an older version, and nothing is made here */
        err_free(e);
        return NULL;
    }
    TRY(e);
    TRY_CTX(io_each_entry(c->dir, fn, c), "read %s/%s", c->s->root, store_dir_name(which));
    return NULL;
}

static struct err *check_all(struct check *c) {
    check_places(c);
    TRY(check_root(c));
    TRY(check_images(c));
    TRY(check_each(c, STORE_REFS, check_ref));
    TRY(check_containers(c));
    TRY(store_builds_mark(c->s, &c->layers, &c->blobs));
    strv_sort(&c->blobs);
    strv_sort(&c->layers);
    TRY(check_each(c, STORE_BLOBS, check_blob));
    TRY(check_each(c, STORE_LAYERS, check_layer));
    for (size_t i = 0; !c->quick && i < c->n_deep; i++)
        check_layer_content(c, &c->deep[i]);
    TRY(check_volumes(c));
    TRY(check_secrets(c));
    TRY(check_builds(c));
    TRY(check_idmaps(c));
    TRY(check_each(c, STORE_PARTIAL, check_partial));
    return check_each(c, STORE_TMP, check_tmp);
}

struct err *store_check(struct store *s, const struct store_inside *in, bool quick, struct store_findings *ret) {
    struct check c = {.s = s, .in = in, .quick = quick, .out = ret};
    struct err *e = check_all(&c);
    for (size_t i = 0; i < c.n_deep; i++) {
        free(c.deep[i].blob);
        free(c.deep[i].diff_id);
        free(c.deep[i].chain_id);
    }
    free(c.deep);
    strv_done(&c.blobs);
    strv_done(&c.layers);
    return e ? err_wrap(e, "check the store") : NULL;
}
