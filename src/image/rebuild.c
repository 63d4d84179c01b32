/*
 * rebuild: images from what the store has of them. The blobs are the truth: a record and the layers are made of them,
 * once by pull or load, and again here when those were lost.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "storage/store.h"

/* ---- verify ---- */

static struct err *same_layers(const struct store_image *is, const struct store_image *good) {
    bool same = is->n_layers == good->n_layers;
    for (size_t i = 0; same && i < good->n_layers; i++)
        same = str_eq(is->layers[i].diff_id, good->layers[i].diff_id) &&
               str_eq(is->layers[i].chain_id, good->layers[i].chain_id) &&
               (!is->layers[i].blob || str_eq(is->layers[i].blob, good->layers[i].blob));
    if (!same)
        return err_new(ERR_CORRUPT, "its record has other layers than its manifest and config");
    if (!str_eq(is->os, good->os) || !str_eq(is->arch, good->arch) || is->created != good->created)
        return err_new(ERR_CORRUPT, "its record does not say what its config says");
    return NULL;
}

/* A blob of ours whose bytes are right; false for any other. */
static bool read_sound(const struct store *s, const char *digest, struct str *out) {
    char got[DIGEST_LEN + 1];
    autoerr e = store_blob_read(s, digest, MANIFEST_MAX, out);
    if (!e)
        e = digest_of(str_c(out), out->len, got);
    return !e && str_eq(got, digest);
}

struct err *image_verify(const struct store *s, const char *id) {
    struct store_image *is = NULL, *good = NULL;
    autostr struct str manifest = STR_INIT_MAX(MANIFEST_MAX), config = STR_INIT_MAX(MANIFEST_MAX);
    autoerr gone = store_image_get(s, id, &is);
    if (gone)
        return NULL;
    struct err *e = NULL;
    if (is->manifest && read_sound(s, is->manifest, &manifest) && read_sound(s, is->config, &config))
        e = image_build_record(&manifest, is->manifest, &config, &good);
    if (!e && good)
        e = same_layers(is, good);
    store_image_free(is);
    store_image_free(good);
    return e;
}

/* ---- rebuild ---- */

struct search {
    const struct store *s;
    const char *config;
    struct str *manifest;
    char digest[DIGEST_LEN + 1];
    bool found;
};

static struct err *look_at_blob(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct search *search = ctx;
    autofd int fd = -1;
    int64_t size = 0;
    struct manifest m = {0};
    autofree char *digest = mem_printf("sha256:%s", name);
    if (search->found || !digest_ok(digest))
        return NULL;
    autoerr e = store_blob_open(search->s, digest, &fd, &size);
    if (e || size > (int64_t)MANIFEST_MAX)
        return NULL;
    str_clear(search->manifest);
    if (!read_sound(search->s, digest, search->manifest))
        return NULL;
    autoerr other = manifest_parse(search->manifest, NULL, &m);
    search->found = !other && !m.is_index && str_eq(m.config.digest, search->config);
    if (!other)
        manifest_done(&m);
    if (search->found)
        memcpy(search->digest, digest, sizeof search->digest);
    return NULL;
}

/* The record as the blobs have it. */
static struct err *find_record(const struct image_rebuild *r, struct store_image **ret) {
    autostr struct str manifest = STR_INIT_MAX(MANIFEST_MAX), config = STR_INIT_MAX(MANIFEST_MAX);
    autofree char *digest = mem_printf("sha256:%s", r->id);
    struct search search = {.s = r->store, .config = digest, .manifest = &manifest};
    if (!read_sound(r->store, digest, &config))
        return err_new(ERR_NOT_FOUND, "its config is not in the store");
    TRY(io_each_entry(store_dirfd(r->store, "blobs/sha256"), look_at_blob, &search));
    if (!search.found)
        return err_new(ERR_NOT_FOUND, "no manifest in the store names it");
    return image_build_record(&manifest, search.digest, &config, ret);
}

struct err *image_rebuild(const struct image_rebuild *r) {
    struct store_image *img = NULL;
    size_t made = 0;
    autofd int hold = -1;
    struct unpack_ns ns = {.get = r->userns, .ctx = r->userns_ctx, .fd = -1};
    const struct image_progress_fn quiet = {.fn = NULL};
    const struct layers l = {.store = r->store, .ns = &ns, .progress = &quiet, .interrupted_fd = -1, .parallel = 1};
    TRY(store_hold(r->store, &hold));
    TRY(find_record(r, &img));
    struct err *e = layers_bring_in(&l, img, &made);
    if (!e)
        e = store_image_put(r->store, img);
    store_image_free(img);
    return e;
}

struct err *image_layers_make(const struct image_rebuild *r) {
    struct store_image *img = NULL;
    size_t made = 0;
    autofd int hold = -1;
    struct unpack_ns ns = {.get = r->userns, .ctx = r->userns_ctx, .fd = -1};
    const struct image_progress_fn quiet = {.fn = NULL};
    const struct layers l = {
        .store = r->store, .ns = &ns, .progress = &quiet, .interrupted_fd = -1, .parallel = 3, .refer = true};
    TRY(store_hold(r->store, &hold));
    TRY(store_image_get(r->store, r->id, &img));
    struct err *e = layers_bring_in(&l, img, &made);
    store_image_free(img);
    return e;
}
