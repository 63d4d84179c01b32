/*
 * cache: steps that need not be done again. A record says which layer a key made; it is believed only where that layer
 * is there and lies on the layers that this build has, for the same key may have been made anew with --no-cache.
 */
#include <string.h>

#include "base/clock.h"
#include "build/exec_int.h"
#include "storage/builds.h"

struct err *cache_key(const struct exec *x, const char *recipe, struct cache_step *step) {
    autofree char *linked = mem_printf("link\n%s", recipe);
    if (step->link)
        exec_add_latest(x, &linked); /* else the step before has it in its key */
    autofree char *whole =
        mem_printf("coracle build 1\n%s\n%s", step->link ? "" : x->state[x->at].key, step->link ? linked : recipe);
    return digest_of(whole, strlen(whole), step->key);
}

/* The key of a state depends on all that it is made of, also where a step's own does not. */
static struct err *advance_key(struct exec *x, const struct cache_step *step) {
    struct state *s = exec_state(x);
    struct cache_step after = {.link = false};
    if (step->link)
        TRY(cache_key(x, step->key, &after));
    memcpy(s->key, step->link ? after.key : step->key, sizeof s->key);
    return NULL;
}

/* Has a layer that depends on nothing lie on `below`, where it has not lain yet. */
static struct err *move_layer(struct exec *x, struct json *l, const struct state *below) {
    char chain[72];
    TRY(engine_build_rebase(x->o->engine, json_text(l, "ChainId"), state_top(below), chain));
    json_set_str(l, "ChainId", chain);
    return NULL;
}

/* Whether a record is about a layer that is here and lies on `below`; *ret_place is its chain id there. */
static bool usable(const struct exec *x, const struct json *record, const struct state *below, char ret_place[72]) {
    const struct json *l = json_get(record, "Layer");
    const char *chain = json_text(l, "ChainId"), *diff = json_text(l, "DiffId"), *blob = json_text(l, "Blob");
    if (!digest_ok(chain) || !digest_ok(diff) || !digest_ok(blob) || !store_blob_has(x->store, blob))
        return false;
    autoerr e = store_chain_id(state_top(below), diff, ret_place);
    return !e && (json_bool_value(json_get(record, "Link"), false) || str_eq(ret_place, chain));
}

/* The store's own record of a key; *ret is NULL where there is none, or its layer is of no use here. */
static struct err *find_here(struct exec *x, const char *key, const struct state *below, struct json **ret) {
    autojson record = NULL;
    char place[72];
    TRY(store_build_get(x->store, key, &record));
    struct json *l = json_get(record, "Layer");
    if (!l || !usable(x, record, below, place))
        return NULL;
    if (store_layer_has(x->store, place))
        json_set_str(l, "ChainId", place);
    else if (!str_eq(place, json_text(l, "ChainId")) && store_layer_has(x->store, json_text(l, "ChainId")))
        TRY(move_layer(x, l, below));
    else
        return NULL;
    *ret = take_ptr(&record);
    return NULL;
}

/* The record of a key whose layer is here, or can be brought here, on top of `below`; *ret is NULL where there is
 * none. */
static struct err *find(struct exec *x, const char *key, const struct state *below, struct json **ret) {
    autojson record = NULL;
    TRY(find_here(x, key, below, &record));
    if (!record)
        TRY(caches_record(x, key, below, &record));
    if (record)
        state_used(exec_state(x), key);
    *ret = take_ptr(&record);
    return NULL;
}

struct err *cache_take(struct exec *x, const struct cache_step *step, bool *ret_hit) {
    struct state *s = exec_state(x);
    autojson record = NULL;
    *ret_hit = false;
    if (s->no_cache)
        return NULL;
    TRY(find(x, step->key, s, &record));
    if (!record)
        return NULL;
    struct store_layer_ref layer;
    layer_from_json(json_get(record, "Layer"), &layer);
    state_push(s, &layer);
    TRY(advance_key(x, step));
    int64_t when = json_int_value(json_get(record, "Created"), 0);
    s->when = step->link && when < s->when ? s->when : when; /* what it lies on may be newer */
    *ret_hit = true;
    return NULL;
}

struct json *cache_record(const char *step, const struct store_layer_ref *layer, int64_t when, bool link) {
    struct json *record = json_object();
    json_set(record, "Layer", layer_to_json(layer));
    json_set_str(record, "Step", step);
    json_set_int(record, "Created", when);
    if (link)
        json_set_bool(record, "Link", true);
    return record;
}

static struct err *put(struct exec *x, const struct cache_step *step, const struct store_layer_ref *layer,
                       int64_t when) {
    autojson record = cache_record(step->text, layer, when, step->link);
    state_used(exec_state(x), step->key);
    return store_build_put(x->store, step->key, record);
}

struct err *cache_put(struct exec *x, const struct cache_step *step, struct store_layer_ref *take_layer) {
    struct state *s = exec_state(x);
    s->when = clock_now();
    state_push(s, take_layer);
    TRY(advance_key(x, step));
    return put(x, step, &s->layers[s->n - 1], s->when);
}

struct err *cache_layer_get(struct exec *x, const char *key, const struct state *below, struct store_layer_ref *ret,
                            bool *ret_hit) {
    autojson record = NULL;
    TRY(find(x, key, below, &record));
    *ret_hit = record != NULL;
    if (!record)
        return NULL;
    layer_from_json(json_get(record, "Layer"), ret);
    const struct state alone = {.layers = ret, .n = 1, .pending = exec_state(x)->pending};
    return caches_fetch(x, &alone);
}

struct err *cache_layer_put(struct exec *x, const char *key, const char *step, const struct store_layer_ref *layer) {
    struct cache_step s = {.text = step};
    memcpy(s.key, key, sizeof s.key);
    return put(x, &s, layer, clock_now());
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
