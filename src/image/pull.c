/*
 * pull: from a reference to an image in the store. Per endpoint (mirrors first, then the registry itself):
 *
 *     known here?  HEAD manifest: the digest is one that we have under this name → up to date, one request
 *     else         GET manifest (by digest when HEAD has told it); of an index the child for the platform
 *                  config → record; layers.c brings the layers; then, and only then, image and references are written
 *
 * Every manifest is checked against the digest it was asked by, or, asked by tag, against the one the registry names.
 */
#include "image/image.h"

#include <string.h>

#include "base/config.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "image/ref_int.h"
#include "image/registry_int.h"
#include "image/trust_int.h"
#include "storage/store.h"

struct pulling {
    const struct image_pull *p;
    struct fetch_client *client;
    struct registry *registry;
    struct image_platform platform;
    struct unpack_ns ns;
    char *canonical; /* the reference as stored */
    char digest[72]; /* of what the reference names: a manifest or an index */
    struct trust_source source;
    const struct json *rules; /* of the user's policy: what its signatures must be; NULL: nothing */
};

static void say(const struct pulling *pl, const char *status) { progress_say(&pl->p->progress, NULL, status, 0, 0); }

/* ---- is it here already? ---- */

/* All of it: a pull brings again what was lost. */
static bool content_there(const struct store *s, const struct store_image *img) {
    bool there = store_blob_has(s, img->config) && (!img->manifest || store_blob_has(s, img->manifest));
    for (size_t i = 0; there && i < img->n_layers; i++)
        there = store_layer_has(s, img->layers[i].chain_id) &&
                (!img->layers[i].blob || store_blob_has(s, img->layers[i].blob));
    return there;
}

/*
 * Whether name@digest is an image of ours that suits. Its platform matters only when the digest is an index's: a
 * manifest names one image whatever was asked for.
 */
static bool have_digest(const struct pulling *pl, const char *digest, struct store_image **ret) {
    autofree char *name = image_ref_with_digest(pl->p->ref, digest);
    struct store_image *img = NULL;
    struct store_ref found;
    autoerr e = store_ref_get(pl->p->store, name, &found);
    if (!e)
        e = image_get(pl->p->store, found.image, name, &img);
    if (e)
        return false;
    bool suits = str_eq(img->manifest, digest) || platform_score(&pl->platform, img->os, img->arch, img->variant) > 0;
    bool good = suits && content_there(pl->p->store, img);
    if (good)
        *ret = take_ptr(&img);
    store_image_free(img);
    return good;
}

/* ---- may it come in? ---- */

/* `manifest`: the digest of the image's own manifest, where the reference names an index. */
static struct err *check_trust(const struct pulling *pl, const char *manifest) {
    if (!pl->rules)
        return NULL;
    const struct trust_subject subject = {.host = pl->p->host,
                                          .store = pl->p->store,
                                          .registry = pl->registry,
                                          .source = &pl->source,
                                          .digests = {pl->digest, str_eq(manifest, pl->digest) ? NULL : manifest}};
    return trust_check(pl->rules, &subject);
}

/* The tag's digest by HEAD; false when the registry does not say (old ones, or no HEAD): then GET finds out. */
static struct err *head_digest(struct pulling *pl, bool *ret_known) {
    struct registry_answer a = {0};
    autoerr e = registry_manifest(pl->registry, pl->p->ref->tag, true, &a);
    *ret_known = !e && a.digest;
    if (*ret_known)
        memcpy(pl->digest, a.digest, sizeof pl->digest);
    registry_answer_done(&a);
    /* Some registries know no HEAD; what they say to GET counts. */
    return e && err_kind(e) != ERR_NOT_FOUND && err_kind(e) != ERR_UNSUPPORTED ? take_ptr(&e) : NULL;
}

/* The names that the image gets: by digest, and the one that was asked for. */
static void names_of(const struct pulling *pl, struct strv *out) {
    strv_push_take(out, image_ref_with_digest(pl->p->ref, pl->digest));
    strv_push(out, pl->canonical);
}

/* ---- manifests ---- */

/* GET of a manifest by digest or, with want == NULL, by tag; digest verified and written to ret_digest. */
static struct err *get_manifest(struct pulling *pl, const char *ref, const char *want, char ret_digest[72],
                                struct registry_answer *ret) {
    char got[72];
    struct registry_answer a = {0};
    TRY(registry_manifest(pl->registry, ref, false, &a));
    struct err *e = digest_of(str_c(&a.body), a.body.len, got);
    const char *expected = want ? want : a.digest;
    if (!e && expected && !str_eq(expected, got))
        e = err_new(ERR_CORRUPT, "manifest %s arrived with the digest %s", expected, got);
    if (e) {
        registry_answer_done(&a);
        return e;
    }
    memcpy(ret_digest, got, sizeof got);
    *ret = a;
    return NULL;
}

/* Reads the child that an index names for our platform. */
static struct err *get_child(struct pulling *pl, const struct manifest *index, char ret_digest[72],
                             struct registry_answer *ret) {
    autofree char *digest = NULL;
    int64_t size = 0;
    TRY(image_index_choose(index->json, &pl->platform, &digest, &size));
    struct registry_answer a = {0};
    TRY(get_manifest(pl, digest, digest, ret_digest, &a));
    if ((int64_t)a.body.len != size) {
        struct err *e =
            err_new(ERR_CORRUPT, "manifest %s has %zu bytes, its index says %lld", digest, a.body.len, (long long)size);
        registry_answer_done(&a);
        return e;
    }
    *ret = a;
    return NULL;
}

static struct err *replace_by_child(struct pulling *pl, struct manifest *m, char digest[72],
                                    struct registry_answer *a) {
    struct registry_answer child = {0};
    TRY(get_child(pl, m, digest, &child));
    manifest_done(m);
    registry_answer_done(a);
    *a = child;
    TRY(manifest_parse(&a->body, a->content_type, m));
    if (m->is_index)
        return err_new(ERR_UNSUPPORTED, "an index within an index is not supported");
    return NULL;
}

static struct err *get_config(struct pulling *pl, const struct descriptor *d, struct str *out) {
    if (store_blob_has(pl->p->store, d->digest))
        return store_blob_read(pl->p->store, d->digest, MANIFEST_MAX, out);
    struct registry_answer a = {0};
    TRY(registry_small_blob(pl->registry, d->digest, d->size, &a));
    *out = a.body;
    a.body = (struct str)STR_INIT;
    registry_answer_done(&a);
    return NULL;
}

/* ---- bringing it in ---- */

static struct err *bring_in(struct pulling *pl, struct store_image *img, size_t *ret_fetched) {
    const struct layers l = {
        .store = pl->p->store,
        .registry = pl->registry,
        .client = pl->client,
        .ns = &pl->ns,
        .progress = &pl->p->progress,
        .interrupted_fd = pl->p->interrupted_fd ? *pl->p->interrupted_fd : -1,
        .parallel = layers_at_once(pl->p->config),
    };
    return layers_bring_in(&l, img, ret_fetched);
}

struct found {
    const struct str *manifest, *config;
    const char *digest; /* of the manifest */
    const struct manifest *m;
};

/* Config and layers, then the record with its names: in this order nothing half-done is ever seen. */
static struct err *record(struct pulling *pl, const struct found *f, struct image_pulled *ret) {
    struct store *s = pl->p->store;
    struct store_image *img = NULL;
    size_t fetched = 0;
    bool changed = false;
    autostrv struct strv names = {0};
    names_of(pl, &names);
    TRY(image_build_record(f->manifest, f->digest, f->config, &img));
    struct err *e = bring_in(pl, img, &fetched);
    if (!e)
        e = store_blob_put(s, f->m->config.digest, str_c(f->config), f->config->len);
    if (!e)
        e = store_blob_put(s, f->digest, str_c(f->manifest), f->manifest->len);
    if (!e)
        e = store_image_put_named(s, img, &names, &changed);
    if (!e)
        memcpy(ret->id, img->id, sizeof ret->id);
    ret->up_to_date = !fetched && !changed;
    store_image_free(img);
    return e;
}

static struct err *pull_manifest(struct pulling *pl, const char *ref, const char *want, struct image_pulled *ret) {
    char digest[72];
    struct registry_answer a = {0};
    struct manifest m = {0};
    autostr struct str config = STR_INIT_MAX(MANIFEST_MAX);
    TRY(get_manifest(pl, ref, want, digest, &a));
    memcpy(pl->digest, digest, sizeof digest);
    struct err *e = manifest_parse(&a.body, a.content_type, &m);
    if (!e && m.is_index)
        e = replace_by_child(pl, &m, digest, &a);
    if (!e)
        e = check_trust(pl, digest);
    if (!e)
        e = get_config(pl, &m.config, &config);
    const struct found f = {.manifest = &a.body, .config = &config, .digest = digest, .m = &m};
    if (!e)
        e = record(pl, &f, ret);
    manifest_done(&m);
    registry_answer_done(&a);
    return e;
}

/* What is here already gets its names. */
static struct err *take_stored(struct pulling *pl, const struct store_image *img, struct image_pulled *ret) {
    const struct store_target to = {.image = img->id, .manifest = img->manifest, .index = img->index};
    bool changed = false;
    autostrv struct strv names = {0};
    TRY(check_trust(pl, img->manifest));
    names_of(pl, &names);
    TRY(store_refs_set(pl->p->store, &names, &to, &changed));
    memcpy(ret->id, img->id, sizeof ret->id);
    ret->up_to_date = !changed;
    return NULL;
}

/* One endpoint: the mirror's or the registry's own. */
static struct err *pull_here(struct pulling *pl, struct image_pulled *ret) {
    const struct image_ref *ref = pl->p->ref;
    const char *want = ref->digest;
    bool known = false;
    if (want) {
        memcpy(pl->digest, want, sizeof pl->digest);
        known = true;
    } else {
        struct store_ref there;
        autoerr e = store_ref_get(pl->p->store, pl->canonical, &there);
        if (!e)
            TRY(head_digest(pl, &known));
        want = known ? pl->digest : NULL;
    }
    struct store_image *img = NULL;
    if (known && have_digest(pl, pl->digest, &img)) {
        struct err *e = take_stored(pl, img, ret);
        store_image_free(img);
        return e;
    }
    autofree char *what = mem_printf("%s: Pulling from %s", ref->tag ? ref->tag : ref->digest, ref->path);
    say(pl, what);
    return pull_manifest(pl, want ? want : ref->tag, want, ret);
}

static struct err *pull_from(struct pulling *pl, const char *mirror, struct image_pulled *ret) {
    const struct image_ref *ref = pl->p->ref;
    TRY(registry_new(pl->p->host, pl->p->config, pl->client, ref->domain, ref->path, mirror, &pl->registry));
    struct err *e = pull_here(pl, ret);
    registry_free(take_ptr(&pl->registry));
    return e;
}

/* What no other endpoint would do better: the disk, the user, the configuration. */
static bool is_ours(const struct err *e) {
    enum err_kind kind = err_kind(e);
    return kind == ERR_INTERRUPTED || kind == ERR_NO_SPACE || kind == ERR_SYSTEM || kind == ERR_USAGE;
}

/* "registry-mirrors" are only ever asked for Docker Hub's images, as docker has it. */
static const struct strv *mirrors_of(const struct image_pull *p) {
    static const struct strv none = {0};
    const struct config_registry *said = config_registry(p->config, p->ref->domain);
    if (said && said->mirrors.n)
        return &said->mirrors;
    return str_eq(p->ref->domain, REF_DOCKER_DOMAIN) ? &p->config->registry_mirrors : &none;
}

/* Whatever goes wrong at a mirror, the next one is asked, and the registry itself in the end. */
static struct err *pull_from_any(struct pulling *pl, struct image_pulled *ret) {
    const struct strv *mirrors = mirrors_of(pl->p);
    for (size_t i = 0; i < mirrors->n; i++) {
        autoerr e = pull_from(pl, mirrors->v[i], ret);
        if (!e)
            return NULL;
        if (is_ours(e))
            return take_ptr(&e);
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        log_debug("mirror %s: %s", mirrors->v[i], str_c(&why));
    }
    return pull_from(pl, NULL, ret);
}

static struct err *pull_held(struct pulling *pl, struct image_pulled *ret) {
    const struct image_pull *p = pl->p;
    autofd int hold = -1;
    autotrust trust = NULL;
    struct image_pulled pulled = {.up_to_date = false};
    TRY(trust_load(p->host, &trust));
    TRY(trust_rules(trust, &pl->source, &pl->rules));
    TRY(fetch_client_new(p->host, p->interrupted_fd, &pl->client));
    TRY(image_platform_parse(p->host, p->platform, &pl->platform));
    TRY(store_hold(p->store, &hold));
    TRY(pull_from_any(pl, &pulled));
    memcpy(pulled.digest, pl->digest, sizeof pulled.digest);
    pulled.reference = take_ptr(&pl->canonical);
    *ret = pulled;
    return NULL;
}

struct err *image_pull(const struct image_pull *p, struct image_pulled *ret) {
    struct pulling pl = {.p = p,
                         .ns = {.get = p->userns, .ctx = p->userns_ctx, .fd = -1},
                         .source = {.transport = "docker", .ref = p->ref}};
    pl.canonical = image_ref_canonical(p->ref);
    struct err *e = pull_held(&pl, ret);
    fetch_client_free(pl.client);
    image_platform_done(&pl.platform);
    free(pl.canonical);
    return e;
}
