/*
 * commit: an image of a container's layers and one more, which is what it changed. The config is that of its image,
 * with what the container was made to run, as docker has it; the history gets an entry.
 */
#include "image/image.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/compose_int.h"
#include "image/manifest_int.h"

struct committing {
    const struct image_commit *c;
    struct store_image *base;
    struct json *config; /* the whole of it */
    struct new_layer layer;
};

/* What of a container's Config an image has. */
static struct json *run_config(const struct json *container) {
    static const char *const keep[] = {"User",       "ExposedPorts", "Env",     "Entrypoint", "Cmd",         "Volumes",
                                       "WorkingDir", "Labels",       "OnBuild", "StopSignal", "Healthcheck", "Shell"};
    struct json *out = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
        const struct json *v = json_get(container, keep[i]);
        bool empty = json_type(v) == JSON_STRING ? !*json_str_value(v) : !json_count(v);
        if (v && !empty)
            json_set(out, keep[i], json_copy(v));
    }
    return out;
}

/* The command that made the layer, as docker writes it: the container's words. */
static char *created_by(const struct json *container) {
    autostr struct str s = STR_INIT;
    JSON_EACH(it, json_get(container, "Cmd")) {
        if (s.len)
            str_append_c(&s, ' ');
        str_append(&s, json_str_value(it) ? json_str_value(it) : "");
    }
    return str_take(&s);
}

static struct json *array_of(struct json *obj, const char *key) {
    if (json_type(json_get(obj, key)) != JSON_ARRAY)
        json_set(obj, key, json_array());
    return json_get(obj, key);
}

static void make_config(struct committing *m) {
    const struct image_commit *c = m->c;
    struct json *j = m->config, *entry = json_object();
    autostr struct str now = STR_INIT;
    autofree char *by = created_by(c->container_config);
    clock_format_rfc3339(clock_now(), &now);
    json_set_str(j, "created", str_c(&now));
    json_set_str(j, "author", c->author ? c->author : "");
    json_set_str(j, "comment", c->message ? c->message : "");
    json_set_str(j, "container", c->container_id);
    json_remove(j, "container_config");
    json_set_str(entry, "created", str_c(&now));
    if (c->author && *c->author)
        json_set_str(entry, "author", c->author);
    json_set_str(entry, "created_by", by);
    if (c->message && *c->message)
        json_set_str(entry, "comment", c->message);
    json_push(array_of(j, "history"), entry);
    struct json *rootfs = json_get(j, "rootfs");
    if (!rootfs) {
        rootfs = json_object();
        json_set_str(rootfs, "type", "layers");
        json_set(j, "rootfs", rootfs);
    }
    json_push_str(array_of(rootfs, "diff_ids"), m->layer.unpacked.diff_id);
}

static struct err *record(struct committing *m, char ret_id[65]) {
    const struct store_image *base = m->base;
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    struct made_layer *layers = mem_array(base->n_layers + 1, sizeof *layers);
    for (size_t i = 0; i < base->n_layers; i++) {
        const struct store_layer_ref *l = &base->layers[i];
        layers[i] = (struct made_layer){.media_type = l->media_type, .size = l->size, .diff_size = l->diff_size};
        memcpy(layers[i].digest, l->blob, sizeof layers[i].digest);
    }
    m->layer.made.diff_size = m->layer.unpacked.diff_size;
    layers[base->n_layers] = m->layer.made;
    json_render(m->config, JSON_COMPACT, &text);
    const struct new_image n = {
        .store = m->c->store, .config = &text, .layers = layers, .n_layers = base->n_layers + 1, .ref = m->c->ref};
    struct err *e = new_image_record(&n, ret_id);
    free(layers);
    return e;
}

static struct err *commit_held(struct committing *m, char ret_id[65]) {
    const struct image_commit *c = m->c;
    autofd int hold = -1;
    int input = -1;
    TRY(store_hold(c->store, &hold));
    TRY_CTX(store_image_get(c->store, c->base_id, &m->base), "the container's image");
    TRY(image_config(c->store, m->base, &m->config));
    json_set(m->config, "config", run_config(c->container_config));
    TRY(image_changes_apply(json_get(m->config, "config"), c->changes)); /* before the long work */
    TRY(c->open(c->open_ctx, &input));
    autofd int in = input;
    const char *parent = m->base->n_layers ? m->base->layers[m->base->n_layers - 1].chain_id : NULL;
    TRY(new_layer_read(&m->layer, in, parent));
    TRY(c->close(c->open_ctx)); /* what was read is worth nothing if it was not all */
    make_config(m);
    return record(m, ret_id);
}

struct err *image_commit(const struct image_commit *c, char ret_id[65]) {
    if (c->ref && c->ref->digest)
        return err_new(ERR_USAGE, "refusing to create a tag with a digest reference");
    struct committing m = {
        .c = c, .layer = {.store = c->store, .ns = {.get = c->userns, .ctx = c->userns_ctx, .fd = -1}, .tmp_fd = -1}};
    struct err *e = commit_held(&m, ret_id);
    new_layer_done(&m.layer);
    store_image_free(m.base);
    json_free(m.config);
    return e;
}
