/* caches_out: --cache-to. What a build has taken and made, as a cache for others. See caches_int.h. */
#include <string.h>

#include "build/exec_int.h"
#include "build/exec_run_int.h"
#include "image/cache.h"
#include "storage/builds.h"

struct collecting {
    struct exec *x;
    const struct cache_spec *to;
    struct json *words, *records, *notes, *mounts; /* the latter are of the first */
    struct store_layer_ref *layers;
    size_t n;
};

static void collecting_init(struct collecting *c, struct exec *x, const struct cache_spec *to) {
    *c = (struct collecting){.x = x,
                             .to = to,
                             .words = json_object(),
                             .records = json_object(),
                             .notes = json_object(),
                             .mounts = json_object()};
    json_set(c->words, "records", c->records);
    json_set(c->words, "notes", c->notes);
    json_set(c->words, "mounts", c->mounts);
}

static void collecting_done(struct collecting *c) {
    for (size_t i = 0; i < c->n; i++)
        image_layer_done(&c->layers[i]);
    free(c->layers);
    json_free(c->words);
}

/* Which of the cache's layers that is; the same bytes are one of them, whatever they lie on. */
static int64_t index_of(struct collecting *c, const struct store_layer_ref *l) {
    for (size_t i = 0; i < c->n; i++)
        if (str_eq(c->layers[i].blob, l->blob))
            return (int64_t)i;
    c->layers = mem_resize(c->layers, c->n + 1, sizeof *c->layers);
    c->layers[c->n] = image_layer_copy(l);
    return (int64_t)c->n++;
}

static struct json *words_about(struct collecting *c, const struct store_layer_ref *l) {
    struct json *words = json_object();
    json_set_int(words, "layer", index_of(c, l));
    return words;
}

/* ---- steps ---- */

/* By its content: that of COPY --link may lie on something else there than where it was made. */
static bool in_image(const struct state *target, const char *diff_id) {
    for (size_t i = 0; i < target->n; i++)
        if (str_eq(target->layers[i].diff_id, diff_id))
            return true;
    return false;
}

/* One that was taken from another cache, and whose layer nobody has needed. */
static struct json *pending_record(const struct exec *x, const char *key) {
    for (size_t i = 0; i < x->plan.n; i++) {
        const struct json *record = json_get(x->state[i].pending, key);
        if (record)
            return json_copy(record);
    }
    return NULL;
}

static struct err *add_record(struct collecting *c, const char *key) {
    autojson record = NULL;
    TRY(store_build_get(c->x->store, key, &record));
    if (!record)
        record = pending_record(c->x, key);
    const struct json *l = json_get(record, "Layer"), *digest = json_get(record, "Digest");
    if (digest)
        json_set_str(c->notes, key, json_str_value(digest));
    if (!l || (!c->to->max && !in_image(exec_state(c->x), json_text(l, "DiffId"))))
        return NULL;
    struct store_layer_ref layer;
    layer_from_json(l, &layer);
    struct json *words = words_about(c, &layer);
    image_layer_done(&layer);
    json_set_int(words, "created", json_int_value(json_get(record, "Created"), 0));
    json_set_str(words, "step", json_text(record, "Step"));
    if (json_bool_value(json_get(record, "Link"), false))
        json_set_bool(words, "link", true);
    json_set(c->records, key, words);
    return NULL;
}

static struct err *add_steps(struct collecting *c) {
    for (size_t i = 0; i < c->x->plan.n; i++) {
        const struct strv *keys = &c->x->state[i].records;
        for (size_t k = 0; k < keys->n; k++)
            TRY(add_record(c, keys->v[k]));
    }
    return NULL;
}

/* ---- cache mounts ---- */

/* What is here; or, where its command was in the cache and did not run, what the cache that had the command has. */
static struct err *add_mount(struct collecting *c, const char *name, const char *id) {
    struct store_layer_ref tar;
    bool there = false;
    TRY(mount_pack(c->x, name, &tar, &there));
    if (!there)
        TRY(caches_mount(c->x, name, &tar, &there));
    if (!there)
        return NULL;
    struct json *words = words_about(c, &tar);
    image_layer_done(&tar);
    json_set_str(words, "id", id);
    json_set(c->mounts, name, words);
    return NULL;
}

static struct err *add_mounts(struct collecting *c) {
    for (size_t i = 0; i < c->x->plan.n; i++)
        JSON_EACH(id, c->x->state[i].mounts) {
            if (!json_get(c->mounts, json_key(id)))
                TRY_CTX(add_mount(c, json_key(id), json_str_value(id)), "cache mount %s", json_str_value(id));
        }
    return NULL;
}

/* ---- writing ---- */

static struct err *write_collected(struct collecting *c) {
    const struct cache_spec *to = c->to;
    struct image_cache_place p = {.interrupted_fd = c->x->o->interrupted_fd, .dir = to->dir, .name = to->name};
    TRY(engine_cache_place(c->x->o->engine, &p));
    if (to->kind == CACHE_REGISTRY)
        p.ref = &to->ref;
    TRY(add_steps(c));
    if (to->mounts)
        TRY(add_mounts(c));
    TRY(caches_fetch_blobs(c->x, c->layers, c->n));
    const struct image_cache_new new = {.words = c->words,
                                        .layers = c->layers,
                                        .n = c->n,
                                        .compression =
                                            str_eq(to->compression, "uncompressed") ? NULL : to->compression};
    return image_cache_write(&p, &new);
}

static struct err *write_one(struct exec *x, const struct cache_spec *to) {
    struct collecting c;
    const char *where = to->kind == CACHE_LOCAL ? "client directory" : "registry";
    progress_vertex(&x->progress, "exporting cache to %s", where);
    collecting_init(&c, x, to);
    struct err *e = write_collected(&c);
    collecting_done(&c);
    if (e && !to->ignore_error)
        return err_wrap(e, "--cache-to %s", to->text);
    if (e) {
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        err_free(e);
        progress_line(&x->progress, "error ignored: %s", str_c(&why));
    }
    progress_done(&x->progress);
    return NULL;
}

struct err *caches_write(struct exec *x) {
    for (size_t i = 0; i < x->caches.n_to; i++)
        if (x->caches.to[i].kind != CACHE_INLINE)
            TRY(write_one(x, &x->caches.to[i]));
    return NULL;
}

bool caches_wants_inline(const struct caches *c) {
    for (size_t i = 0; i < c->n_to; i++)
        if (c->to[i].kind == CACHE_INLINE)
            return true;
    return false;
}

struct err *caches_inline(struct exec *x) {
    static const struct cache_spec min = {.kind = CACHE_INLINE};
    const struct state *s = exec_state(x);
    struct collecting c;
    if (!caches_wants_inline(&x->caches))
        return NULL;
    collecting_init(&c, x, &min);
    for (size_t i = 0; i < s->n; i++) { /* all of them, in their order: even the same bytes twice */
        c.layers = mem_resize(c.layers, c.n + 1, sizeof *c.layers);
        c.layers[c.n++] = image_layer_copy(&s->layers[i]);
    }
    struct err *e = add_steps(&c);
    if (!e)
        json_set(s->config, IMAGE_CACHE_KEY, take_ptr(&c.words));
    collecting_done(&c);
    return e;
}
