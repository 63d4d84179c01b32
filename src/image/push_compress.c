/*
 * push_compress: the plain layers of an image, compressed for registries. What came from a registry stays as it came,
 * so that its digests do; what was made here (commit, import, an archive) has a manifest that nobody else knows yet.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/archive_int.h"
#include "image/manifest_int.h"
#include "image/push_int.h"
#include "storage/compress.h"
#include "storage/store.h"

#define AT_ONCE 3

static bool is_plain(const struct store_layer_ref *l) { return str_eq(l->blob, l->diff_id); }

static bool any_plain(const struct store_image *img) {
    for (size_t i = 0; i < img->n_layers; i++)
        if (is_plain(&img->layers[i]))
            return true;
    return false;
}

/* True when some name@digest is this image's manifest: a registry has it under this digest. */
static struct err *from_registry(const struct store *s, const struct store_image *img, bool *ret) {
    struct strmap refs = {0};
    TRY(store_refs(s, &refs));
    *ret = false;
    for (size_t i = 0; i < refs.n && img->manifest; i++) {
        const char *at = strchr(refs.e[i].key, '@');
        *ret = *ret || (at && str_eq(at + 1, img->manifest) && str_eq(refs.e[i].value, img->id));
    }
    strmap_done(&refs);
    return NULL;
}

/* ---- what others have compressed ---- */

static bool suits(const struct store *s, const struct store_layer_ref *have, const struct store_layer_ref *want,
                  const char *format) {
    return str_eq(have->diff_id, want->diff_id) && have->blob && !is_plain(have) && have->media_type &&
           str_ends(have->media_type, format) && store_blob_has(s, have->blob);
}

static void replace(struct store_layer_ref *l, const char *blob, int64_t size, const char *format) {
    mem_set(&l->blob, blob);
    free(l->media_type);
    l->media_type = mem_printf(MEDIA_OCI_LAYER "+%s", format);
    l->size = size;
}

static void take_over(const struct store *s, struct store_image *img, const struct store_image *other,
                      const char *format) {
    for (size_t i = 0; i < img->n_layers; i++)
        for (size_t k = 0; k < other->n_layers && is_plain(&img->layers[i]); k++)
            if (suits(s, &other->layers[k], &img->layers[i], format))
                replace(&img->layers[i], other->layers[k].blob, other->layers[k].size, format);
}

static struct err *take_over_all(const struct store *s, struct store_image *img, const char *format) {
    autostrv struct strv ids = {0};
    TRY(store_image_ids(s, &ids));
    for (size_t i = 0; i < ids.n && any_plain(img); i++) {
        struct store_image *other = NULL;
        autoerr gone = store_image_get(s, ids.v[i], &other);
        if (!gone)
            take_over(s, img, other, format);
        store_image_free(other);
    }
    return NULL;
}

/* ---- the rest ---- */

struct compressing {
    struct store *s;
    struct store_image *img;
    const char *format;
    struct store_compress_job *jobs[AT_ONCE];
    size_t layer[AT_ONCE];
    size_t n;
};

static struct err *finish_first(struct compressing *c) {
    char digest[DIGEST_LEN + 1];
    int64_t size;
    size_t layer = c->layer[0];
    struct store_compress_job *job = c->jobs[0];
    c->n--;
    memmove(c->jobs, c->jobs + 1, c->n * sizeof *c->jobs);
    memmove(c->layer, c->layer + 1, c->n * sizeof *c->layer);
    TRY(store_compress_finish(c->s, job, digest, &size));
    replace(&c->img->layers[layer], digest, size, c->format);
    return NULL;
}

static struct err *compress_rest(struct compressing *c) {
    for (size_t i = 0; i < c->img->n_layers; i++) {
        if (!is_plain(&c->img->layers[i]))
            continue;
        if (c->n == AT_ONCE)
            TRY(finish_first(c));
        TRY(store_compress_start(c->s, c->img->layers[i].diff_id, c->format, &c->jobs[c->n]));
        c->layer[c->n++] = i;
    }
    while (c->n > 0)
        TRY(finish_first(c));
    return NULL;
}

/* ---- the record ---- */

/* The one that there is; *ret is NULL where an image has none. */
static struct err *read_manifest(struct store *s, const struct store_image *img, struct json **ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    if (!img->manifest)
        return NULL;
    TRY(store_blob_read(s, img->manifest, MANIFEST_MAX, &text));
    return json_parse(str_c(&text), text.len, "manifest", 0, ret);
}

static struct err *new_manifest(struct store *s, struct store_image *img) {
    autostr struct str config = STR_INIT_MAX(MANIFEST_MAX), text = STR_INIT_MAX(MANIFEST_MAX);
    char digest[DIGEST_LEN + 1];
    TRY(store_blob_read(s, img->config, MANIFEST_MAX, &config));
    autofree struct made_layer *layers = made_layers(img->layers, img->n_layers);
    autojson old = NULL;
    TRY(read_manifest(s, img, &old));
    const struct manifest_parts parts = {.config = img->config,
                                         .config_size = (int64_t)config.len,
                                         .layers = layers,
                                         .n = img->n_layers,
                                         .annotations = json_get(old, "annotations")};
    manifest_make(&parts, &text);
    TRY(digest_of(str_c(&text), text.len, digest));
    TRY(store_blob_put(s, digest, str_c(&text), text.len));
    mem_set(&img->manifest, digest);
    mem_set(&img->manifest_type, MEDIA_OCI_MANIFEST);
    return store_image_put(s, img);
}

struct err *push_compress_layers(struct store *s, struct store_image *img, const char *format) {
    struct compressing c = {.s = s, .img = img, .format = format};
    TRY(take_over_all(s, img, format));
    struct err *e = compress_rest(&c);
    for (size_t i = 0; i < c.n; i++)
        store_compress_cancel(s, c.jobs[i]);
    return e;
}

struct err *push_compress(struct store *s, struct store_image *img, const char *format) {
    bool known = false;
    if (img->manifest && !any_plain(img))
        return NULL;
    TRY(from_registry(s, img, &known));
    if (known)
        return NULL;
    TRY(push_compress_layers(s, img, format));
    return new_manifest(s, img);
}
