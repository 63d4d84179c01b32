/*
 * squash: --squash, as docker's classic builder and podman have it: the base image's layers stay, those that the build
 * has put on them become one, which holds what differs in the end: what was made and deleted again is nowhere. In the
 * history the instructions stay, without layers of their own, and what was merged stands below them.
 */
#include <string.h>

#include "build/exec_int.h"
#include "build/export_int.h"

/* Id that the image would have had. */
static struct err *id_before(const struct state *s, char ret[DIGEST_LEN + 1]) {
    autojson config = json_copy(s->config);
    autostr struct str text = STR_INIT;
    json_set(config, "rootfs", image_rootfs(s->layers, s->n));
    json_render(config, JSON_COMPACT, &text);
    return digest_of(text.ptr, text.len, ret);
}

/* docker's entry, "merge sha256:… to sha256:…", or, from scratch, "create new from sha256:…". */
static void add_entry(struct exec *x, const char *before) {
    struct state *s = exec_state(x);
    struct json *history = json_get(s->config, "history"), *entry = json_object();
    autofree char *merge = mem_printf("merge %s to sha256:%s", before, s->base.id);
    autofree char *create = mem_printf("create new from %s", before);
    autostr struct str when = STR_INIT;
    size_t i = 0;
    exec_time(x, &when);
    JSON_EACH(old, history) {
        if (i++ >= s->base.history)
            json_set_bool(old, "empty_layer", true);
    }
    json_set_str(entry, "created", str_c(&when));
    json_set_str(entry, "comment", *s->base.id ? merge : create);
    json_push(history, entry);
}

/* What the layers make together, on top of those of `below`, from the cache or made now. */
static struct err *sum(struct exec *x, const struct state *below, struct store_layer_ref *ret) {
    const struct state *s = exec_state(x);
    autostrv struct strv all = {.n = 0};
    autostrv struct strv lower = {.n = 0};
    struct cache_step step = {.text = "--squash"};
    bool hit = false;
    autofree char *recipe = mem_printf("squash %zu", below->n);
    exec_add_latest(x, &recipe);
    TRY(cache_key(x, recipe, &step));
    if (!s->no_cache)
        TRY(cache_layer_get(x, step.key, below, ret, &hit));
    if (hit)
        return NULL;
    state_layers(s, &all);
    state_layers(below, &lower);
    TRY(engine_layers_sum(x->o->engine, &all, &lower, x->latest, ret));
    return cache_layer_put(x, step.key, step.text, ret);
}

struct err *squash(struct exec *x) {
    struct state *s = exec_state(x);
    struct store_layer_ref one;
    char before[DIGEST_LEN + 1];
    if (s->n <= s->base.layers)
        return NULL;
    const struct state below = {.layers = s->layers, .n = s->base.layers};
    progress_vertex(&x->progress, "squashing %zu layers into one", s->n - s->base.layers);
    TRY(id_before(s, before));
    TRY(sum(x, &below, &one));
    while (s->n > s->base.layers)
        image_layer_done(&s->layers[--s->n]);
    state_push(s, &one);
    add_entry(x, before);
    progress_done(&x->progress);
    return NULL;
}

struct err *squash_check(const struct exec *x) {
    if (!x->o->squash || !caches_wants_inline(&x->caches))
        return NULL;
    return err_hint(err_new(ERR_USAGE, "--squash and --cache-to type=inline exclude each other: the steps that a cache "
                                       "is of have no layers in the image"),
                    "write it somewhere else: --cache-to type=registry,ref=…, or type=local,dest=…");
}
