/* volumes_use: the volumes of containers. See volumes_int.h. */
#include <string.h>

#include "engine/engine_int.h"
#include "engine/shared.h"
#include "engine/volumes_int.h"
#include "storage/volumes.h"

static struct err *ensure_one(struct engine *e, const struct json *v) {
    autostrv struct strv labels = {.n = 0}, options = {.n = 0};
    TRY(json_get_strv_opt(v, "Labels", &labels));
    TRY(json_get_strv_opt(v, "Options", &options));
    return volumes_make(e, json_text(v, "Name"), json_bool_value(json_get(v, "Anonymous"), false), &labels, &options);
}

struct err *volumes_ensure(struct engine *e, const struct spec *spec, int *ret_lock) {
    *ret_lock = -1;
    if (!spec->volumes)
        return NULL;
    autofd int lock = -1;
    TRY(store_volumes_lock(e->store, false, &lock));
    struct err *bad = NULL;
    JSON_EACH(v, spec->volumes) {
        bad = ensure_one(e, v);
        if (bad)
            break;
    }
    if (bad) {
        fd_replace(&lock, -1);
        volumes_drop(e, spec->summary);
        return bad;
    }
    *ret_lock = take_fd(&lock);
    return NULL;
}

/* ---- volumes that are no directories ---- */

static struct err *mount_words(struct engine *e, const char *name, struct json **ret) {
    autovolume v = {.name = NULL};
    struct err *bad = store_volume_get(e->store, name, &v);
    if (bad && err_kind(bad) == ERR_NOT_FOUND) { /* only asked what it would be like */
        err_free(bad);
        return NULL;
    }
    TRY(bad);
    return volumes_tmpfs(&v.options, ret);
}

struct err *volumes_mounts(struct engine *e, const struct spec *spec, struct json **ret) {
    autojson all = NULL;
    JSON_EACH(v, spec->volumes) {
        struct json *words = NULL;
        if (json_bool_value(json_get(v, "Anonymous"), false) && !json_count(json_get(v, "Options")))
            continue;
        TRY(mount_words(e, json_text(v, "Name"), &words));
        if (!words)
            continue;
        all = all ? all : json_object();
        json_set(all, json_text(v, "Name"), words);
    }
    *ret = take_ptr(&all);
    return NULL;
}

/* ---- --volumes-from ---- */

/* Which of them have no name is told in container.json only. */
static void mark_anonymous(struct json *points, const struct json *summary) {
    JSON_EACH(m, json_get(summary, "Mounts"))
    JSON_EACH(p, points)
    if (json_bool_value(json_get(m, "Anonymous"), false) && str_eq(json_text(m, "Name"), json_text(p, "Name")))
        json_set_bool(p, "Anonymous", true);
}

static struct err *mounts_of(struct engine *e, const char *text, struct json **ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    autofree char *name = NULL;
    autojson options = NULL;
    bool read_only;
    TRY(spec_parse_volumes_from(text, &name, &read_only));
    TRY(engine_container_load(e, name, &c));
    TRY(engine_container_record(e, &c, "options.json", &options));
    struct json *points = json_copy(json_get(options, "Mounts"));
    points = points ? points : json_array();
    mark_anonymous(points, c.summary);
    *ret = points;
    return NULL;
}

struct err *volumes_from(struct engine *e, const struct container_options *o, struct json **ret) {
    autojson all = o->volumes_from.n ? json_array() : NULL;
    for (size_t i = 0; i < o->volumes_from.n; i++) {
        struct json *points;
        TRY(mounts_of(e, o->volumes_from.v[i], &points));
        json_push(all, points);
    }
    *ret = take_ptr(&all);
    return NULL;
}

/* ---- type=image ---- */

static struct err *image_json(struct engine *e, const char *name, struct json **ret) {
    const struct store *s = e->store;
    char id[65] = "";
    struct store_image *img = NULL;
    TRY(engine_image_find(e, name, id, NULL));
    TRY(store_image_get(s, id, &img));
    struct err *bad = engine_layers_make(e, img);
    if (bad) {
        store_image_free(img);
        return bad;
    }
    struct json *j = json_object(), *layers = json_array();
    json_set_str(j, "Id", id);
    for (size_t i = 0; i < img->n_layers; i++)
        json_push_str(layers, img->layers[i].chain_id);
    json_set(j, "Layers", layers);
    store_image_free(img);
    *ret = j;
    return NULL;
}

/* One that is not there is an error of spec_build(), as every bad option is. */
struct err *volumes_images(struct engine *e, const struct container_options *o, struct json **ret) {
    autojson all = NULL;
    for (size_t i = 0; i < o->mounts.n; i++) {
        struct spec_mount m = {.source = NULL};
        struct json *image = NULL;
        autoerr wrong = spec_parse_mount(o->mounts.v[i], &m);
        if (!wrong && m.type == SPEC_MOUNT_IMAGE)
            err_free(image_json(e, m.source, &image));
        if (image) {
            all = all ? all : json_object();
            json_set(all, m.source, image);
        }
        spec_mount_done(&m);
    }
    *ret = take_ptr(&all);
    return NULL;
}

void volumes_fresh_names(const struct container_options *o, const struct json *image_config, struct strv *names) {
    size_t n = o->volumes.n + o->mounts.n + json_count(json_path(image_config, "config.Volumes"));
    while (names->n < n) {
        char id[ID_LEN + 1];
        id_random(id);
        strv_push(names, id);
    }
}

/* ---- start ---- */

struct err *volumes_fill(const struct engine *e, const struct json *config, int root) {
    autojson fills = NULL;
    const char *text = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_VOLUMES));
    if (!text)
        return NULL;
    TRY(json_parse(text, strlen(text), SPEC_ANN_VOLUMES, 0, &fills));
    JSON_EACH(it, fills)
    TRY(store_volume_fill(e->host->data_root, json_str_value(it), root, json_key(it)));
    return NULL;
}

void volumes_tell(const struct json *summary, const char *id, const char *action, struct str *batch) {
    bool mounting = !strcmp(action, "mount");
    JSON_EACH(m, json_get(summary, "Mounts")) {
        const char *name = json_str_value(json_get(m, "Name"));
        if (!name)
            continue;
        bool read_only = json_bool_value(json_get(m, "ReadOnly"), false);
        const char *const attributes[] = {"container",
                                          id,
                                          "driver",
                                          "local",
                                          mounting ? "destination" : NULL,
                                          json_text(m, "Destination"),
                                          "propagation",
                                          "",
                                          "read/write",
                                          read_only ? "false" : "true",
                                          NULL};
        const struct event ev = {.type = "volume", .action = action, .id = name, .attributes = attributes};
        events_add(batch, &ev);
    }
}
