/* shared: see shared.h. */
#include "engine/shared.h"

#include <string.h>

#include "base/path.h"
#include "engine/engine_int.h"
#include "storage/shared.h"

struct flattening {
    struct store *store;
    struct strv layers;
};

static struct err *flatten_inside(void *ctx) {
    const struct flattening *f = ctx;
    return store_layers_flatten(f->store, &f->layers);
}

static struct err *make_layers(struct engine *e, const struct store_image *img) {
    const struct image_rebuild r = {.store = e->store, .id = img->id, .userns = engine_userns_cb, .userns_ctx = e};
    struct flattening f = {.store = e->store};
    int userns;
    TRY(image_layers_make(&r));
    TRY(engine_userns(e, &userns, NULL));
    for (size_t i = 0; i < img->n_layers; i++)
        strv_push(&f.layers, img->layers[i].chain_id);
    struct err *bad = runtime_userns_call(userns, flatten_inside, &f);
    strv_done(&f.layers);
    return bad;
}

struct err *engine_layers_make(struct engine *e, const struct store_image *img) {
    for (size_t i = 0; i < img->n_layers; i++)
        if (!store_layer_has(e->store, img->layers[i].chain_id))
            return make_layers(e, img);
    return NULL;
}

struct sharing {
    struct engine *engine;
    char *dir;
    struct strv ids; /* of what is to be there */
    struct strmap refs;
    struct strv names; /* familiar */
    bool prune;
};

static struct err *share_one(const struct sharing *s, const char *id) {
    struct store_image *img = NULL;
    autostrv struct strv refs = {.n = 0};
    for (size_t i = 0; i < s->refs.n; i++)
        if (str_eq(s->refs.e[i].value, id))
            strv_push(&refs, s->refs.e[i].key);
    TRY(store_image_get(s->engine->store, id, &img));
    struct err *e = store_share(s->engine->store, s->dir, img, &refs);
    store_image_free(img);
    return e;
}

/* In the user namespace: the files belong to subordinate ids. */
static struct err *share_inside(void *ctx) {
    const struct sharing *s = ctx;
    for (size_t i = 0; i < s->ids.n; i++)
        TRY(share_one(s, s->ids.v[i]));
    return s->prune ? store_unshare(s->engine->host, s->dir, &s->ids) : NULL;
}

static struct err *add_image(struct sharing *s, const char *id) {
    if (store_image_shared(s->engine->store, id))
        return err_new(ERR_CONFLICT, "image %.12s is shared already, by %s", id,
                       store_image_shared(s->engine->store, id));
    if (strv_has(&s->ids, id))
        return NULL;
    strv_push(&s->ids, id);
    for (size_t i = 0; i < s->refs.n; i++)
        if (str_eq(s->refs.e[i].value, id) && !strchr(s->refs.e[i].key, '@'))
            strv_push_take(&s->names, image_ref_familiar(s->refs.e[i].key));
    return NULL;
}

static struct err *choose(struct sharing *s, const struct strv *names) {
    struct store *store = s->engine->store;
    TRY(store_refs(store, &s->refs));
    for (size_t i = 0; i < names->n; i++) {
        char id[65] = "";
        TRY(engine_image_find(s->engine, names->v[i], id, NULL));
        TRY(add_image(s, id));
    }
    for (size_t i = 0; !names->n && i < s->refs.n; i++)
        if (!store_image_shared(store, s->refs.e[i].value))
            TRY(add_image(s, s->refs.e[i].value));
    if (!s->ids.n && !s->prune)
        return err_hint(err_new(ERR_NOT_FOUND, "there is no image to share"), "pull one first");
    return NULL;
}

static struct err *share(struct sharing *s, const struct strv *names) {
    struct store *store;
    int userns;
    autofd int hold = -1;
    TRY(engine_store(s->engine, &store));
    TRY(store_hold(store, &hold));
    TRY(choose(s, names));
    TRY(engine_userns(s->engine, &userns, NULL));
    return runtime_userns_call(userns, share_inside, s);
}

struct err *engine_share(struct engine *e, const char *dir, const struct strv *names, bool prune,
                         struct strv *ret_names) {
    struct sharing s = {.engine = e, .prune = prune, .dir = path_clean(dir)};
    struct err *bad = share(&s, names);
    if (!bad)
        strv_extend(ret_names, &s.names);
    free(s.dir);
    strv_done(&s.ids);
    strv_done(&s.names);
    strmap_done(&s.refs);
    return bad;
}
