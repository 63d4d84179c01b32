/*
 * cache: steps that need not be done again. A record says which layer a key made; it is believed only where that layer
 * is there and lies on the layers that this build has, for the same key may have been made anew with --no-cache.
 */
#include <string.h>

#include "base/clock.h"
#include "build/exec_int.h"
#include "storage/builds.h"

struct err *cache_key(const struct exec *x, const char *recipe, char ret[DIGEST_LEN + 1]) {
    autofree char *whole = mem_printf("coracle build 1\n%s\n%s", x->state[x->at].key, recipe);
    return digest_of(whole, strlen(whole), ret);
}

/* False when the record is not about layers that are here and on top of `below`. */
static bool usable(const struct exec *x, const struct json *l, const struct state *below) {
    const char *chain = json_text(l, "ChainId"), *diff = json_text(l, "DiffId"), *blob = json_text(l, "Blob");
    char want[72];
    if (!digest_ok(chain) || !digest_ok(diff) || !digest_ok(blob))
        return false;
    autoerr e = store_chain_id(below->n ? below->layers[below->n - 1].chain_id : NULL, diff, want);
    return !e && str_eq(want, chain) && store_layer_has(x->store, chain) && store_blob_has(x->store, blob);
}

struct err *cache_take(struct exec *x, const char *key, bool *ret_hit) {
    struct state *s = exec_state(x);
    autojson record = NULL;
    *ret_hit = false;
    if (s->no_cache)
        return NULL;
    TRY(store_build_get(x->store, key, &record));
    const struct json *l = json_get(record, "Layer");
    if (!l || !usable(x, l, s))
        return NULL;
    struct store_layer_ref layer;
    layer_from_json(l, &layer);
    state_push(s, &layer);
    memcpy(s->key, key, sizeof s->key);
    s->when = json_int_value(json_get(record, "Created"), 0);
    *ret_hit = true;
    return NULL;
}

static struct err *put(struct exec *x, const char *key, const char *step, const struct store_layer_ref *layer,
                       int64_t when) {
    autojson record = json_object();
    json_set(record, "Layer", layer_to_json(layer));
    json_set_str(record, "Step", step);
    json_set_int(record, "Created", when);
    return store_build_put(x->store, key, record);
}

struct err *cache_put(struct exec *x, const char *key, const char *step, struct store_layer_ref *take_layer) {
    struct state *s = exec_state(x);
    s->when = clock_now();
    state_push(s, take_layer);
    memcpy(s->key, key, sizeof s->key);
    return put(x, key, step, &s->layers[s->n - 1], s->when);
}

struct err *cache_layer_get(struct exec *x, const char *key, const struct state *below, struct store_layer_ref *ret,
                            bool *ret_hit) {
    autojson record = NULL;
    TRY(store_build_get(x->store, key, &record));
    const struct json *l = json_get(record, "Layer");
    *ret_hit = l && usable(x, l, below);
    if (*ret_hit)
        layer_from_json(l, ret);
    return NULL;
}

struct err *cache_layer_put(struct exec *x, const char *key, const char *step, const struct store_layer_ref *layer) {
    return put(x, key, step, layer, clock_now());
}

struct err *cache_note_get(struct exec *x, const char *key, char ret[DIGEST_LEN + 1], bool *ret_known) {
    autojson record = NULL;
    TRY(store_build_get(x->store, key, &record));
    const char *digest = json_text(record, "Digest");
    *ret_known = digest_ok(digest);
    if (*ret_known)
        memcpy(ret, digest, DIGEST_LEN + 1);
    return NULL;
}

struct err *cache_note_put(struct exec *x, const char *key, const char *digest) {
    autojson record = json_object();
    json_set_str(record, "Digest", digest);
    return store_build_put(x->store, key, record);
}

/* ---- prune ---- */

struct pruning {
    const struct build_prune *p;
    struct store *store;
    struct strv in_use; /* chain ids of images' layers */
    struct strv *ids;
    int64_t bytes;
};

static struct err *images_layers(struct pruning *p) {
    autostrv struct strv ids = {.n = 0};
    TRY(store_image_ids(p->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        struct store_image *img = NULL;
        autoerr gone = store_image_get(p->store, ids.v[i], &img);
        for (size_t l = 0; !gone && l < img->n_layers; l++)
            strv_push(&p->in_use, img->layers[l].chain_id);
        store_image_free(img);
    }
    return NULL;
}

static struct err *prune_one(void *ctx, const struct store_build *b) {
    struct pruning *p = ctx;
    const struct json *l = json_get(b->record, "Layer");
    bool in_use = strv_has(&p->in_use, json_text(l, "ChainId"));
    if ((in_use && !p->p->all) || (p->p->until && b->used >= p->p->until))
        return NULL;
    TRY(store_build_remove(p->store, b->key));
    if (!l) /* a note */
        return NULL;
    strv_push(p->ids, digest_hex(b->key));
    p->bytes += in_use ? 0 : json_int_value(json_get(l, "DiffSize"), 0);
    return NULL;
}

struct err *build_prune(struct engine *e, const struct build_prune *o, struct strv *ret_ids, int64_t *ret_bytes) {
    struct pruning p = {.p = o, .ids = ret_ids};
    autofd int hold = -1;
    TRY(engine_build_hold(e, &p.store, &hold));
    struct err *bad = images_layers(&p);
    if (!bad)
        bad = store_builds_each(p.store, prune_one, &p);
    strv_done(&p.in_use);
    *ret_bytes = p.bytes;
    fd_replace(&hold, -1);
    engine_build_sweep(e);
    return bad;
}

/* ---- list ---- */

struct listing {
    struct pruning images;
    struct json *list;
};

static struct err *list_one(void *ctx, const struct store_build *b) {
    const struct listing *l = ctx;
    const struct json *layer = json_get(b->record, "Layer");
    if (!layer)
        return NULL;
    struct json *row = json_object();
    json_set_str(row, "ID", digest_hex(b->key));
    json_set_str(row, "Step", json_text(b->record, "Step"));
    json_set_int(row, "Size", json_int_value(json_get(layer, "DiffSize"), 0));
    json_set_int(row, "Created", json_int_value(json_get(b->record, "Created"), 0));
    json_set_int(row, "LastUsed", b->used);
    json_set_bool(row, "Shared", strv_has(&l->images.in_use, json_text(layer, "ChainId")));
    json_push(l->list, row);
    return NULL;
}

struct err *build_cache_list(struct engine *e, struct json **ret) {
    struct listing l = {.list = NULL};
    autojson list = json_array();
    l.list = list;
    TRY(engine_build_hold(e, &l.images.store, NULL));
    struct err *bad = images_layers(&l.images);
    if (!bad)
        bad = store_builds_each(l.images.store, list_one, &l);
    strv_done(&l.images.in_use);
    TRY(bad);
    *ret = take_ptr(&list);
    return NULL;
}
