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

/* The record of a key whose layer is here, or has been brought here, on top of `below`; *ret is NULL where there is
 * none. */
static struct err *find(struct exec *x, const char *key, const struct state *below, struct json **ret) {
    autojson record = NULL;
    TRY(store_build_get(x->store, key, &record));
    const struct json *l = json_get(record, "Layer");
    if (!l || !usable(x, l, below)) {
        json_free(take_ptr(&record));
        TRY(caches_record(x, key, below, &record));
    }
    if (record)
        state_used(exec_state(x), key);
    *ret = take_ptr(&record);
    return NULL;
}

struct err *cache_take(struct exec *x, const char *key, bool *ret_hit) {
    struct state *s = exec_state(x);
    autojson record = NULL;
    *ret_hit = false;
    if (s->no_cache)
        return NULL;
    TRY(find(x, key, s, &record));
    if (!record)
        return NULL;
    struct store_layer_ref layer;
    layer_from_json(json_get(record, "Layer"), &layer);
    state_push(s, &layer);
    memcpy(s->key, key, sizeof s->key);
    s->when = json_int_value(json_get(record, "Created"), 0);
    *ret_hit = true;
    return NULL;
}

struct json *cache_record(const char *step, const struct store_layer_ref *layer, int64_t when) {
    struct json *record = json_object();
    json_set(record, "Layer", layer_to_json(layer));
    json_set_str(record, "Step", step);
    json_set_int(record, "Created", when);
    return record;
}

static struct err *put(struct exec *x, const char *key, const char *step, const struct store_layer_ref *layer,
                       int64_t when) {
    autojson record = cache_record(step, layer, when);
    state_used(exec_state(x), key);
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
    TRY(find(x, key, below, &record));
    *ret_hit = record != NULL;
    if (record)
        layer_from_json(json_get(record, "Layer"), ret);
    return NULL;
}

struct err *cache_layer_put(struct exec *x, const char *key, const char *step, const struct store_layer_ref *layer) {
    return put(x, key, step, layer, clock_now());
}

struct err *cache_note_get(struct exec *x, const char *key, char ret[DIGEST_LEN + 1], bool *ret_known) {
    autojson record = NULL;
    TRY(store_build_get(x->store, key, &record));
    const char *digest = json_text(record, "Digest");
    bool here = digest_ok(digest);
    if (!here)
        digest = caches_note(x, key);
    *ret_known = digest_ok(digest);
    if (!*ret_known)
        return NULL;
    memcpy(ret, digest, DIGEST_LEN + 1);
    state_used(exec_state(x), key);
    return here ? NULL : cache_note_put(x, key, ret);
}

struct err *cache_note_put(struct exec *x, const char *key, const char *digest) {
    autojson record = json_object();
    json_set_str(record, "Digest", digest);
    state_used(exec_state(x), key);
    return store_build_put(x->store, key, record);
}
