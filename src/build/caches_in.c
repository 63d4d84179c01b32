/* caches_in: what --cache-from has, found and brought here. See caches_int.h. */
#include <string.h>

#include "base/path.h"
#include "build/board_int.h"
#include "build/exec_int.h"
#include "image/cache.h"
#include "storage/builds.h"

/* The user, or what is here, has ended it; of anything else a build without the cache may know nothing. */
static bool is_ours(const struct err *e) {
    enum err_kind kind = err_kind(e);
    return kind == ERR_INTERRUPTED || kind == ERR_NO_SPACE || kind == ERR_SYSTEM;
}

/* Tells why something is done without; NULL, or what the build ends with. */
static struct err *do_without(const struct exec *x, const struct cache_spec *from, struct err *take_e) {
    autoerr e = take_e;
    autostr struct str why = STR_INIT;
    if (!e || is_ours(e))
        return take_ptr(&e);
    err_format(e, &why);
    autofree char *text = mem_printf("[Warning] --cache-from %s: %s\n", from->text, str_c(&why));
    progress_text(&x->progress, text);
    return NULL;
}

/* ---- opening ---- */

/* An image of the store that a bare reference names, if it has a cache. */
static struct err *open_stored(struct exec *x, struct cache_spec *s, struct image_cache_place *p) {
    char id[65];
    autoerr none = s->bare ? engine_image_find(x->o->engine, s->reference, id, NULL) : NULL;
    if (!s->bare || none)
        return NULL;
    p->name = id;
    autoerr empty = image_cache_open(p, &s->cache);
    p->name = NULL;
    return empty && err_kind(empty) != ERR_NOT_FOUND ? take_ptr(&empty) : NULL;
}

static struct err *open_one(struct exec *x, struct cache_spec *s) {
    struct image_cache_place p = {.interrupted_fd = x->o->interrupted_fd};
    TRY(engine_cache_place(x->o->engine, &p));
    if (s->kind == CACHE_REGISTRY)
        TRY(open_stored(x, s, &p));
    if (s->cache)
        return NULL;
    if (s->kind == CACHE_REGISTRY)
        p.ref = &s->ref;
    p.dir = s->dir;
    p.name = s->name;
    return image_cache_open(&p, &s->cache);
}

struct err *caches_open(struct exec *x) {
    for (size_t i = 0; i < x->caches.n_from; i++) {
        struct cache_spec *s = &x->caches.from[i];
        autostr struct str why = STR_INIT;
        progress_vertex(&x->progress, "importing cache manifest from %s", s->dir ? s->dir : s->reference);
        autoerr e = open_one(x, s);
        if (!e) {
            progress_done(&x->progress);
            continue;
        }
        if (is_ours(e))
            return err_wrap(take_ptr(&e), "--cache-from %s", s->text);
        err_format(e, &why);
        board_fail(x->board, 0, str_c(&why));
    }
    return NULL;
}

/* ---- steps ---- */

/* The words that a cache has about something; NULL: none. */
static const struct json *words_of(const struct cache_spec *s, const char *part, const char *key) {
    return s->cache ? json_get(json_get(image_cache_words(s->cache), part), key) : NULL;
}

/* A copy of the layer that they name. */
static struct err *layer_of(const struct cache_spec *s, const struct json *words, struct store_layer_ref *ret) {
    const struct store_layer_ref *l = image_cache_layer(s->cache, json_int_value(json_get(words, "layer"), -1));
    if (!l)
        return err_new(ERR_CORRUPT, "the cache names a layer that it does not have");
    *ret = image_layer_copy(l);
    return NULL;
}

static struct err *take(struct exec *x, const struct cache_spec *s, const char *key, const struct state *below,
                        struct json **ret) {
    struct state *stage = exec_state(x);
    struct store_layer_ref layer;
    autostr struct str step = STR_INIT;
    char chain[DIGEST_LEN + 1];
    const struct json *words = words_of(s, "records", key);
    if (!words)
        return NULL;
    TRY(layer_of(s, words, &layer));
    struct err *e = store_chain_id(state_top(below), layer.diff_id, chain);
    if (!e) {
        mem_set(&layer.chain_id, chain);
        str_append_visible(&step, json_text(words, "step"));
        *ret = cache_record(str_c(&step), &layer, json_int_value(json_get(words, "created"), 0),
                            json_bool_value(json_get(words, "link"), false));
        if (!stage->pending)
            stage->pending = json_object();
        json_set(stage->pending, key, json_copy(*ret));
    }
    image_layer_done(&layer);
    return e;
}

struct err *caches_record(struct exec *x, const char *key, const struct state *below, struct json **ret) {
    for (size_t i = 0; i < x->caches.n_from && !*ret; i++)
        TRY(do_without(x, &x->caches.from[i], take(x, &x->caches.from[i], key, below, ret)));
    return NULL;
}

/* ---- layers ---- */

static bool is_here(const struct exec *x, const struct store_layer_ref *l) {
    return store_blob_has(x->store, l->blob) && (!l->chain_id || store_layer_has(x->store, l->chain_id));
}

bool caches_missing(const struct exec *x, const struct state *s) {
    for (size_t i = 0; x->caches.n_from && i < s->n; i++)
        if (!s->layers[i].diff_size && !is_here(x, &s->layers[i]))
            return true;
    return false;
}

/* What was taken from a cache has no size until it is here; wherever that is, the cache that has its bytes will do. */
static struct err *bring_from(struct cache_spec *from, struct store_layer_ref *layers, size_t n) {
    autofree struct store_layer_ref *wanted = mem_array(n + 1, sizeof *wanted);
    autofree size_t *index = mem_array(n + 1, sizeof *index);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (layers[i].diff_size || !image_cache_has(from->cache, &layers[i]))
            continue;
        index[k] = i;
        wanted[k++] = layers[i]; /* its texts stay the layer's */
    }
    if (k)
        TRY(image_cache_bring(from->cache, wanted, k));
    for (size_t i = 0; i < k; i++)
        layers[index[i]].diff_size = wanted[i].diff_size;
    return NULL;
}

/* The error is told as a warning, too, unless it is the user or the machine that ends the build. */
static struct err *bring(struct exec *x, struct store_layer_ref *layers, size_t n) {
    for (size_t i = 0; i < x->caches.n_from; i++) {
        struct cache_spec *from = &x->caches.from[i];
        struct err *e = from->cache ? bring_from(from, layers, n) : NULL;
        if (!e)
            continue;
        if (is_ours(e))
            return e;
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        from->broken = true;
        TRY(do_without(x, from, e));
        return err_new(ERR_CORRUPT, "--cache-from %s: %s", from->text, str_c(&why));
    }
    return NULL;
}

static const struct store_layer_ref *layer_at(const struct state *s, const char *chain_id) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->layers[i].chain_id, chain_id))
            return &s->layers[i];
    return NULL;
}

/* The first of the records that are pending about a layer of the state; NULL: there is none. */
static struct json *pending_about(const struct state *s, const struct store_layer_ref **ret) {
    JSON_EACH(record, s->pending) {
        *ret = layer_at(s, json_text(json_get(record, "Layer"), "ChainId"));
        if (*ret)
            return record;
    }
    return NULL;
}

static struct err *put_pending(struct exec *x, const struct state *s) {
    const struct store_layer_ref *l;
    for (struct json *record; (record = pending_about(s, &l));) {
        autofree char *key = mem_dup(json_key(record));
        json_set_int(json_get(record, "Layer"), "DiffSize", l->diff_size);
        TRY(store_build_put(x->store, key, record));
        json_remove(s->pending, key);
    }
    return NULL;
}

struct err *caches_fetch(struct exec *x, const struct state *s) {
    if (!x->caches.n_from || !s->n)
        return NULL;
    TRY(bring(x, s->layers, s->n));
    return put_pending(x, s);
}

struct err *caches_fetch_blobs(struct exec *x, const struct store_layer_ref *layers, size_t n) {
    autofree struct store_layer_ref *blobs = mem_array(n + 1, sizeof *blobs);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (store_blob_has(x->store, layers[i].blob))
            continue;
        blobs[k] = layers[i];
        blobs[k].chain_id = NULL;
        blobs[k++].diff_size = 0;
    }
    return k ? bring(x, blobs, k) : NULL;
}

bool caches_drop_broken(struct exec *x) {
    bool any = false;
    for (size_t i = 0; i < x->caches.n_from; i++) {
        struct cache_spec *from = &x->caches.from[i];
        any |= from->broken && from->cache;
        if (from->broken)
            image_cache_free(take_ptr(&from->cache));
    }
    return any;
}

const char *caches_note(const struct exec *x, const char *key) {
    for (size_t i = 0; i < x->caches.n_from; i++) {
        const char *digest = json_str_value(words_of(&x->caches.from[i], "notes", key));
        if (digest)
            return digest;
    }
    return "";
}

/* ---- cache mounts ---- */

static struct err *bring_mount(struct cache_spec *s, const struct json *words, struct store_layer_ref *ret) {
    TRY(layer_of(s, words, ret));
    struct err *e = image_cache_bring(s->cache, ret, 1);
    if (e)
        image_layer_done(ret);
    return e;
}

struct err *caches_mount(struct exec *x, const char *name, struct store_layer_ref *ret, bool *ret_found) {
    *ret_found = false;
    for (size_t i = 0; i < x->caches.n_from && !*ret_found; i++) {
        struct cache_spec *s = &x->caches.from[i];
        const struct json *words = words_of(s, "mounts", name);
        struct err *e = words ? bring_mount(s, words, ret) : NULL;
        *ret_found = words && !e;
        TRY(do_without(x, s, e));
    }
    return NULL;
}
