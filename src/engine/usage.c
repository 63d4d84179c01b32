/* usage: what images take up, alone and with others. See observe.h. */
#include "engine/engine_int.h"
#include "engine/observe.h"

#include <stdio.h>
#include <string.h>

/* A layer of an image; a layer of several images is there as often. */
struct layer_use {
    const char *chain_id;
    int64_t size;
    size_t image;
    bool shared;
};

struct usage {
    struct store_image **images;
    size_t n_images;
    struct layer_use *layers; /* by chain id */
    size_t n_layers;
};

static void usage_done(struct usage *u) {
    for (size_t i = 0; i < u->n_images; i++)
        store_image_free(u->images[i]);
    free(u->images);
    free(u->layers);
}

static int by_chain_id(const void *a, const void *b) {
    return strcmp(((const struct layer_use *)a)->chain_id, ((const struct layer_use *)b)->chain_id);
}

static struct err *load_usage(const struct store *s, struct usage *u) {
    autostrv struct strv ids = {.n = 0};
    size_t total = 0;
    TRY(store_image_ids(s, &ids));
    u->images = mem_array(ids.n + 1, sizeof *u->images);
    for (size_t i = 0; i < ids.n; i++) {
        autoerr damaged = store_image_get(s, ids.v[i], &u->images[u->n_images]);
        if (!damaged)
            total += u->images[u->n_images++]->n_layers;
    }
    u->layers = mem_array(total + 1, sizeof *u->layers);
    for (size_t i = 0; i < u->n_images; i++)
        for (size_t k = 0; k < u->images[i]->n_layers; k++)
            u->layers[u->n_layers++] = (struct layer_use){
                .chain_id = u->images[i]->layers[k].chain_id, .size = u->images[i]->layers[k].diff_size, .image = i};
    qsort(u->layers, u->n_layers, sizeof *u->layers, by_chain_id);
    for (size_t i = 1; i < u->n_layers; i++)
        if (!by_chain_id(&u->layers[i - 1], &u->layers[i]))
            u->layers[i - 1].shared = u->layers[i].shared = true;
    return NULL;
}

static int64_t layers_size(const struct usage *u) {
    int64_t sum = 0;
    for (size_t i = 0; i < u->n_layers; i++)
        if (i == 0 || by_chain_id(&u->layers[i - 1], &u->layers[i]) != 0)
            sum += u->layers[i].size;
    return sum;
}

static int64_t shared_size(const struct usage *u, const char *id) {
    int64_t sum = 0;
    for (size_t i = 0; i < u->n_layers; i++)
        if (u->layers[i].shared && str_eq(u->images[u->layers[i].image]->id, id))
            sum += u->layers[i].size;
    return sum;
}

/* The image ids of all containers. */
static struct err *used_images(struct engine *e, struct strv *ret) {
    const struct engine_list every = {.all = true, .last = -1};
    autorows rows = {.n = 0};
    TRY(engine_container_list(e, &every, &rows));
    for (size_t i = 0; i < rows.n; i++)
        strv_push(ret, rows.v[i]->image_id);
    return NULL;
}

/* Others' images take up their space. */
static struct err *own_images(struct engine *e, struct json **ret) {
    autojson all = NULL;
    struct json *own = json_array();
    TRY(engine_image_list(e, &all));
    JSON_EACH(image, all)
    if (!json_get(image, "ReadOnly"))
        json_push(own, json_copy(image));
    *ret = own;
    return NULL;
}

/* What layers have in common lies there once, but is in each one's size. */
static int64_t deduped_size(struct engine *e) {
    struct engine_size size = {.bytes = 0};
    autoerr bad = engine_measure(e, engine_measure_deduped, NULL, &size);
    if (bad)
        log_debug("what layers have in common cannot be measured");
    return size.bytes;
}

struct err *engine_image_usage(struct engine *e, struct json **ret) {
    autojson images = NULL;
    autostrv struct strv used = {.n = 0};
    __attribute__((cleanup(usage_done))) struct usage u = {.n_images = 0};
    TRY(own_images(e, &images));
    TRY(used_images(e, &used));
    TRY(load_usage(e->store, &u));
    JSON_EACH(image, images) {
        const char *id = json_text(image, "Id") + strlen("sha256:");
        int64_t containers = 0;
        for (size_t i = 0; i < used.n; i++)
            containers += !strcmp(used.v[i], id);
        json_set_int(image, "SharedSize", shared_size(&u, id));
        json_set_int(image, "Containers", containers);
    }
    struct json *o = json_object();
    json_set_int(o, "LayersSize", layers_size(&u) - deduped_size(e));
    json_set(o, "Images", take_ptr(&images));
    *ret = o;
    return NULL;
}

void engine_idmaps_usage(struct engine *e, int64_t *ret_bytes, int64_t *ret_unused) {
    struct engine_size size = {.bytes = 0};
    autoerr bad = engine_measure(e, engine_measure_idmaps, NULL, &size);
    if (bad)
        log_debug("the trees of other maps of ids cannot be measured");
    *ret_bytes = size.bytes;
    *ret_unused = size.unused;
}

void engine_prune_tell(const struct engine *e, const char *type, int64_t freed) {
    char bytes[24];
    const char *const attributes[] = {"reclaimed", bytes, NULL};
    const struct event ev = {.type = type, .action = "prune", .id = "", .attributes = attributes};
    snprintf(bytes, sizeof bytes, "%lld", (long long)freed);
    events_tell(e->host, &ev);
}
