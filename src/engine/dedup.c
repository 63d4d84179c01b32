/* dedup: see dedup.h. The work is done by a process in the user namespace, which sends its figures over a pipe. */
#include "engine/dedup.h"

#include <string.h>

#include "engine/engine_int.h"
#include "storage/dedup.h"

struct deduping {
    struct store *store;
    const struct store_dedup *how;
    int pipe;
};

static struct err *dedup_inside(void *ctx) {
    const struct deduping *d = ctx;
    struct store_deduped got;
    TRY(store_dedup(d->store, d->how, &got));
    return io_write_all(d->pipe, &got, sizeof got);
}

static struct err *dedup(struct engine *e, const struct store_dedup *how, struct store_deduped *ret) {
    struct deduping d = {.how = how};
    int pair[2], userns;
    autostr struct str answer = STR_INIT;
    TRY(engine_store(e, &d.store));
    TRY(engine_userns(e, &userns, NULL));
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    d.pipe = out;
    TRY(runtime_userns_call(userns, dedup_inside, &d));
    fd_replace(&out, -1);
    TRY(io_read_all(in, sizeof *ret, "a result", &answer));
    if (answer.len == sizeof *ret)
        memcpy(ret, answer.ptr, sizeof *ret);
    return NULL;
}

struct err *engine_dedup(struct engine *e, bool dry_run, struct json **ret) {
    const struct store_dedup how = {.dry_run = dry_run, .wait = true};
    struct store_deduped got = {.files = 0};
    struct err *bad = dedup(e, &how, &got);
    engine_collect(e, false); /* what an earlier one left that was killed */
    TRY(bad);
    struct json *j = json_object();
    json_set_int(j, "Layers", got.layers);
    json_set_int(j, "Files", got.files);
    json_set_int(j, "Bytes", got.bytes);
    json_set_int(j, "InUse", got.in_use);
    json_set_str(j, "Method", got.reflinks ? "reflink" : "hardlink");
    *ret = j;
    return NULL;
}

static void add_layers(const struct engine *e, const char *id, struct strv *layers) {
    struct store_image *img = NULL;
    autoerr gone = store_image_get(e->store, id, &img);
    for (size_t i = 0; !gone && i < img->n_layers; i++)
        strv_add(layers, img->layers[i].chain_id);
    store_image_free(img);
}

void engine_dedup_images(struct engine *e, const struct strv *ids) {
    autostrv struct strv layers = {.n = 0};
    struct store_deduped got = {.files = 0};
    const struct store_dedup how = {.only = &layers};
    if (!e->config->dedup)
        return;
    for (size_t i = 0; i < ids->n; i++)
        add_layers(e, ids->v[i], &layers);
    autoerr bad = layers.n ? dedup(e, &how, &got) : NULL;
    autostr struct str why = STR_INIT;
    if (!bad)
        return;
    err_format(bad, &why);
    if (err_kind(bad) == ERR_IN_USE)
        log_debug("%s", str_c(&why));
    else
        log_warn("%s", str_c(&why));
}
