/* bundle: see bundle.h. */
#include "image/bundle.h"

#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/archive_int.h"
#include "image/build.h"
#include "image/bundle_int.h"
#include "image/compose_int.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "image/push_int.h"
#include "storage/store.h"

#define MEDIA_IN_TOTO "application/vnd.in-toto+json"
#define MANIFESTS_MAX 1000

/* ---- images ---- */

static struct json *platform_json(const char *os, const char *arch, const char *variant) {
    struct json *p = json_object();
    json_set_str(p, "architecture", arch);
    json_set_str(p, "os", os);
    if (variant && *variant)
        json_set_str(p, "variant", variant);
    return p;
}

/* A descriptor of a manifest that is a blob. */
static struct err *manifest_descriptor(const struct store *s, const char *digest, struct json **ret) {
    autofd int fd = -1;
    int64_t size = 0;
    TRY(store_blob_open(s, digest, &fd, &size));
    *ret = descriptor_json(MEDIA_OCI_MANIFEST, digest, size);
    return NULL;
}

static void push_image(struct image_bundle *b, struct store_image *taken) {
    b->images = mem_resize(b->images, b->n + 1, sizeof *b->images);
    b->images[b->n++] = taken;
}

struct err *image_bundle_add(struct image_bundle *b, const struct image_parts *p, const struct json *annotations) {
    struct store_image *img = NULL;
    struct json *d = NULL;
    TRY(image_compose_bare(b->store, p, "gzip", &img));
    struct err *e = manifest_descriptor(b->store, img->manifest, &d);
    if (e) {
        store_image_free(img);
        return e;
    }
    json_set(d, "platform", platform_json(img->os, img->arch, img->variant));
    if (annotations)
        json_set(d, "annotations", json_copy(annotations));
    if (!b->manifests)
        b->manifests = json_array();
    json_push(b->manifests, d);
    push_image(b, img);
    return NULL;
}

const char *image_bundle_manifest(const struct image_bundle *b, size_t number) { return b->images[number]->manifest; }

/* ---- what is attested ---- */

static struct err *put_json(struct image_bundle *b, const struct json *j, char ret_digest[DIGEST_LEN + 1],
                            int64_t *ret_size) {
    autostr struct str text = STR_INIT;
    json_render(j, JSON_COMPACT, &text);
    TRY(digest_of(text.ptr, text.len, ret_digest));
    TRY(store_blob_put(b->store, ret_digest, text.ptr, text.len));
    *ret_size = (int64_t)text.len;
    return NULL;
}

static struct err *put_statements(struct image_bundle *b, const struct image_statement *list, size_t n,
                                  struct json *layers, struct json *diff_ids) {
    for (size_t i = 0; i < n; i++) {
        char digest[DIGEST_LEN + 1];
        int64_t size = 0;
        TRY(put_json(b, list[i].statement, digest, &size));
        struct json *layer = descriptor_json(MEDIA_IN_TOTO, digest, size), *a = json_object();
        json_set_str(a, "in-toto.io/predicate-type", list[i].predicate);
        json_set(layer, "annotations", a);
        json_push(layers, layer);
        json_push_str(diff_ids, digest);
    }
    return NULL;
}

/* BuildKit's: an image's manifest whose layers are the statements, and whose config says that it is for no platform. */
static struct err *put_attestation(struct image_bundle *b, const struct json *layers, const struct json *diff_ids,
                                   char ret_digest[DIGEST_LEN + 1], int64_t *ret_size) {
    autojson config = json_object();
    autojson manifest = json_object();
    char digest[DIGEST_LEN + 1];
    int64_t size = 0;
    struct json *rootfs = json_object();
    json_set_str(rootfs, "type", "layers");
    json_set(rootfs, "diff_ids", json_copy(diff_ids));
    json_set_str(config, "architecture", "unknown");
    json_set_str(config, "os", "unknown");
    json_set(config, "config", json_object());
    json_set(config, "rootfs", rootfs);
    TRY(put_json(b, config, digest, &size));
    json_set_int(manifest, "schemaVersion", 2);
    json_set_str(manifest, "mediaType", MEDIA_OCI_MANIFEST);
    json_set(manifest, "config", descriptor_json(MEDIA_OCI_CONFIG, digest, size));
    json_set(manifest, "layers", json_copy(layers));
    return put_json(b, manifest, ret_digest, ret_size);
}

struct err *image_bundle_attest(struct image_bundle *b, size_t number, const struct image_statement *list, size_t n) {
    autojson layers = json_array();
    autojson diff_ids = json_array();
    char digest[DIGEST_LEN + 1];
    int64_t size = 0;
    TRY(put_statements(b, list, n, layers, diff_ids));
    TRY(put_attestation(b, layers, diff_ids, digest, &size));
    struct json *d = descriptor_json(MEDIA_OCI_MANIFEST, digest, size), *a = json_object();
    json_set_str(a, "vnd.docker.reference.type", "attestation-manifest");
    json_set_str(a, "vnd.docker.reference.digest", image_bundle_manifest(b, number));
    json_set(d, "annotations", a);
    json_set(d, "platform", platform_json("unknown", "unknown", NULL));
    if (!b->attested)
        b->attested = json_array();
    json_push(b->attested, d);
    return NULL;
}

/* ---- the record ---- */

static struct err *put_index(const struct image_bundle *b, const struct json *annotations, struct image_bundled *ret) {
    autojson index = json_object();
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    struct json *all = json_copy(b->manifests);
    JSON_EACH(d, b->attested)
    json_push(all, json_copy(d));
    json_set_int(index, "schemaVersion", 2);
    json_set_str(index, "mediaType", MEDIA_OCI_INDEX);
    json_set(index, "manifests", all);
    if (annotations)
        json_set(index, "annotations", json_copy(annotations));
    json_render(index, JSON_COMPACT, &text);
    TRY(digest_of(text.ptr, text.len, ret->digest));
    ret->size = (int64_t)text.len;
    return store_blob_put(b->store, ret->digest, text.ptr, text.len);
}

static struct err *choose(const struct image_bundle *b, const struct host *h, size_t *ret) {
    struct image_platform p = {.os = NULL};
    int best = 0;
    TRY(image_platform_parse(h, NULL, &p));
    *ret = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct store_image *img = b->images[i];
        int score = platform_score(&p, img->os, img->arch, img->variant);
        if (score <= best)
            continue;
        best = score;
        *ret = i;
    }
    image_platform_done(&p);
    return NULL;
}

static bool named_by(const struct store_image *img, const char *digest) {
    bool named = str_eq(digest, img->manifest) || str_eq(digest, img->config);
    for (size_t i = 0; !named && i < img->n_layers; i++)
        named = str_eq(digest, img->layers[i].blob);
    return named;
}

struct err *image_bundle_record(struct image_bundle *b, const struct host *h, const struct strv *names,
                                const struct json *annotations, struct image_bundled *ret) {
    autostrv struct strv blobs = {.n = 0};
    bool changed;
    TRY(put_index(b, annotations, ret));
    TRY(choose(b, h, &ret->number));
    TRY(bundle_blobs(b->store, ret->digest, &blobs));
    struct store_image *img = b->images[ret->number];
    mem_set(&img->index, ret->digest);
    for (size_t i = 0; i < blobs.n; i++)
        if (!named_by(img, blobs.v[i]))
            strv_add(&img->extra, blobs.v[i]);
    TRY(store_image_put_named(b->store, img, names, &changed));
    memcpy(ret->id, img->id, sizeof ret->id);
    return NULL;
}

struct err *image_bundle_record_one(const struct image_bundle *b, size_t number, char ret_id[65]) {
    const struct store_image *img = b->images[number];
    const struct strv none = {.n = 0};
    bool changed;
    TRY(store_image_put_named(b->store, img, &none, &changed));
    memcpy(ret_id, img->id, ID_LEN + 1);
    return NULL;
}

void image_bundle_done(struct image_bundle *b) {
    for (size_t i = 0; i < b->n; i++)
        store_image_free(b->images[i]);
    free(b->images);
    json_free(b->manifests);
    json_free(b->attested);
    *b = (struct image_bundle){.store = NULL};
}

/* ---- what the store has ---- */

static struct err *content_of(const struct json *manifest, struct store_image *img) {
    struct descriptor d = {.digest = NULL};
    struct json *layers = NULL;
    TRY(descriptor_parse(json_get(manifest, "config"), &d));
    mem_set(&img->config, d.digest);
    mem_set(&img->id, digest_hex(d.digest));
    descriptor_done(&d);
    TRY(json_get_array(manifest, "layers", &layers));
    if (json_count(layers) > MANIFEST_LAYERS_MAX)
        return err_new(ERR_UNSUPPORTED, "a manifest with more than %d layers", MANIFEST_LAYERS_MAX);
    img->layers = mem_array(json_count(layers) + 1, sizeof *img->layers);
    JSON_EACH(layer, layers) {
        struct store_layer_ref *l = &img->layers[img->n_layers];
        TRY(descriptor_parse(layer, &d));
        l->blob = take_ptr(&d.digest);
        l->media_type = take_ptr(&d.media_type);
        l->size = d.size;
        l->diff_id = mem_dup(l->blob);
        img->n_layers++;
    }
    return NULL;
}

struct err *manifest_content(const struct str *text, const char *digest, struct store_image **ret) {
    autojson j = NULL;
    TRY(json_parse(str_c(text), text->len, "manifest", JSON_REFUSE_DUPLICATES, &j));
    struct store_image *img = mem_alloc(sizeof *img);
    const char *type = json_text(j, "mediaType");
    *img =
        (struct store_image){.manifest = mem_dup(digest), .manifest_type = mem_dup(*type ? type : MEDIA_OCI_MANIFEST)};
    struct err *e = content_of(j, img);
    if (e) {
        store_image_free(img);
        return err_wrap(e, "manifest %s", digest);
    }
    *ret = img;
    return NULL;
}

static struct err *read_index(const struct store *s, const char *digest, struct manifest *ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY(store_blob_read(s, digest, MANIFEST_MAX, &text));
    TRY(manifest_parse(&text, NULL, ret));
    if (ret->is_index)
        return NULL;
    manifest_done(ret);
    return err_new(ERR_CORRUPT, "%s is no index", digest);
}

static struct err *each_of(const struct store *s, const struct json *list,
                           struct err *(*fn)(void *ctx, struct store_image *content), void *ctx) {
    if (json_count(list) > MANIFESTS_MAX)
        return err_new(ERR_UNSUPPORTED, "the index lists more than %d manifests", MANIFESTS_MAX);
    JSON_EACH(entry, list) {
        struct descriptor d = {.digest = NULL};
        struct store_image *content = NULL;
        autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
        TRY(descriptor_parse(entry, &d));
        struct err *e = store_blob_read(s, d.digest, MANIFEST_MAX, &text);
        if (!e)
            e = manifest_content(&text, d.digest, &content);
        descriptor_done(&d);
        if (!e)
            e = fn(ctx, content);
        store_image_free(content);
        TRY(e);
    }
    return NULL;
}

struct err *bundle_each(const struct store *s, const char *index,
                        struct err *(*fn)(void *ctx, struct store_image *content), void *ctx) {
    struct manifest m = {.json = NULL};
    TRY(read_index(s, index, &m));
    struct err *e = each_of(s, json_get(m.json, "manifests"), fn, ctx);
    manifest_done(&m);
    return e;
}

static struct err *add_blobs(void *ctx, struct store_image *content) {
    struct strv *out = ctx;
    strv_add(out, content->manifest);
    strv_add(out, content->config);
    for (size_t i = 0; i < content->n_layers; i++)
        strv_add(out, content->layers[i].blob);
    return NULL;
}

struct err *bundle_blobs(const struct store *s, const char *index, struct strv *out) {
    strv_add(out, index);
    return bundle_each(s, index, add_blobs, out);
}

/* ---- another platform's image ---- */

static struct err *make_member(const struct image_member *m, const char *manifest, char ret_id[65]) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX), config = STR_INIT_MAX(MANIFEST_MAX);
    struct store_image *content = NULL, *img = NULL;
    struct unpack_ns ns = {.get = m->userns, .ctx = m->userns_ctx, .fd = -1};
    const struct image_progress_fn quiet = {.fn = NULL};
    const struct layers l = {.store = m->store, .ns = &ns, .progress = &quiet, .interrupted_fd = -1, .parallel = 2};
    const struct strv none = {.n = 0};
    size_t made = 0;
    bool changed;
    TRY(store_blob_read(m->store, manifest, MANIFEST_MAX, &text));
    TRY(manifest_content(&text, manifest, &content));
    struct err *e = store_blob_read(m->store, content->config, MANIFEST_MAX, &config);
    store_image_free(content);
    if (!e)
        e = image_build_record(&text, manifest, &config, &img);
    if (!e)
        e = layers_bring_in(&l, img, &made);
    if (!e)
        e = store_image_put_named(m->store, img, &none, &changed);
    if (!e)
        memcpy(ret_id, img->id, ID_LEN + 1);
    store_image_free(img);
    return e;
}

struct err *image_member_get(const struct image_member *m, char ret_id[65]) {
    struct store_ref as;
    struct manifest parsed = {.json = NULL};
    struct image_platform p = {.os = NULL};
    autofree char *manifest = NULL;
    autofd int hold = -1;
    int64_t size = 0;
    TRY(store_hold(m->store, &hold));
    TRY(store_ref_get(m->store, m->reference, &as));
    if (!*as.index || !store_blob_has(m->store, as.index))
        return err_new(ERR_NOT_FOUND, "%s is an image for one platform", m->reference);
    TRY(image_platform_parse(m->host, m->platform, &p));
    struct err *e = read_index(m->store, as.index, &parsed);
    if (!e)
        e = image_index_choose(parsed.json, &p, &manifest, &size);
    manifest_done(&parsed);
    image_platform_done(&p);
    return e ? e : make_member(m, manifest, ret_id);
}
