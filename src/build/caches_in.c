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

/* A copy of the layer that they name, on `parent` (a chain id, or NULL) where it is to be one. */
static struct err *bring(const struct cache_spec *s, const struct json *words, const char *parent, bool unpacked,
                         struct store_layer_ref *ret) {
    const struct store_layer_ref *l = image_cache_layer(s->cache, json_int_value(json_get(words, "layer"), -1));
    char chain[DIGEST_LEN + 1];
    if (!l)
        return err_new(ERR_CORRUPT, "the cache names a layer that it does not have");
    struct store_layer_ref layer = image_layer_copy(l);
    struct err *e = unpacked ? store_chain_id(parent, l->diff_id, chain) : NULL;
    if (!e && unpacked)
        layer.chain_id = mem_dup(chain);
    if (!e)
        e = image_cache_bring(s->cache, &layer);
    if (!e)
        *ret = layer;
    else
        image_layer_done(&layer);
    return e;
}

static struct err *take(struct exec *x, const struct cache_spec *s, const char *key, const struct state *below,
                        struct json **ret) {
    struct store_layer_ref layer;
    autostr struct str step = STR_INIT;
    const struct json *words = words_of(s, "records", key);
    if (!words)
        return NULL;
    TRY(bring(s, words, below->n ? below->layers[below->n - 1].chain_id : NULL, true, &layer));
    str_append_visible(&step, json_text(words, "step"));
    autojson record = cache_record(str_c(&step), &layer, json_int_value(json_get(words, "created"), 0),
                                   json_bool_value(json_get(words, "link"), false));
    image_layer_done(&layer);
    TRY(store_build_put(x->store, key, record));
    *ret = take_ptr(&record);
    return NULL;
}

struct err *caches_record(struct exec *x, const char *key, const struct state *below, struct json **ret) {
    for (size_t i = 0; i < x->caches.n_from && !*ret; i++)
        TRY(do_without(x, &x->caches.from[i], take(x, &x->caches.from[i], key, below, ret)));
    return NULL;
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

struct err *caches_mount(struct exec *x, const char *name, struct store_layer_ref *ret, bool *ret_found) {
    *ret_found = false;
    for (size_t i = 0; i < x->caches.n_from && !*ret_found; i++) {
        const struct cache_spec *s = &x->caches.from[i];
        const struct json *words = words_of(s, "mounts", name);
        struct err *e = words ? bring(s, words, NULL, false, ret) : NULL;
        *ret_found = words && !e;
        TRY(do_without(x, s, e));
    }
    return NULL;
}
