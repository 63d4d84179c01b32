/* import: a root file system as an image of one layer. */
#include "image/image.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/compose_int.h"
#include "image/manifest_int.h"
#include "storage/store.h"

struct importing {
    const struct image_import *i;
    struct new_layer layer;
    struct image_platform platform;
    struct json *config; /* the image config's "config" member */
};

/* Owned. */
static char *comment(const struct importing *im) {
    if (im->i->message && *im->i->message)
        return mem_dup(im->i->message);
    return mem_printf("Imported from %s", im->i->source ? im->i->source : "-");
}

static struct json *history(const struct importing *im, const char *created) {
    struct json *list = json_array(), *entry = json_object();
    autofree char *text = comment(im);
    json_set_str(entry, "created", created);
    json_set_str(entry, "comment", text);
    json_push(list, entry);
    return list;
}

static void make_config(const struct importing *im, const struct store_unpacked *u, struct str *out) {
    autojson j = json_object();
    autostr struct str created = STR_INIT;
    struct json *rootfs = json_object(), *diff_ids = json_array();
    autofree char *text = comment(im);
    clock_format_rfc3339(clock_now(), &created);
    json_push_str(diff_ids, u->diff_id);
    json_set_str(rootfs, "type", "layers");
    json_set(rootfs, "diff_ids", diff_ids);
    json_set_str(j, "architecture", im->platform.arch);
    json_set_str(j, "os", im->platform.os);
    if (*im->platform.variant)
        json_set_str(j, "variant", im->platform.variant);
    json_set_str(j, "created", str_c(&created));
    json_set_str(j, "comment", text);
    json_set(j, "config", json_copy(im->config));
    json_set(j, "rootfs", rootfs);
    json_set(j, "history", history(im, str_c(&created)));
    json_render(j, JSON_COMPACT, out);
}

static struct err *record(struct importing *im, char ret_id[65]) {
    autostr struct str config = STR_INIT_MAX(MANIFEST_MAX);
    make_config(im, &im->layer.unpacked, &config);
    im->layer.made.diff_size = im->layer.unpacked.diff_size;
    const struct new_image n = {
        .store = im->i->store, .config = &config, .layers = &im->layer.made, .n_layers = 1, .ref = im->i->ref};
    return new_image_record(&n, ret_id);
}

static struct err *import_held(struct importing *im, char ret_id[65]) {
    const struct image_import *i = im->i;
    autofd int hold = -1;
    im->config = json_object();
    TRY(image_changes_apply(im->config, i->changes)); /* before the long work, so that a typo shows at once */
    TRY(image_platform_parse(i->host, i->platform, &im->platform));
    TRY(store_hold(i->store, &hold));
    TRY_CTX(new_layer_read(&im->layer, i->fd, NULL), "import");
    return record(im, ret_id);
}

struct err *image_import(const struct image_import *i, char ret_id[65]) {
    if (i->ref && i->ref->digest)
        return err_new(ERR_USAGE, "refusing to create a tag with a digest reference");
    struct importing im = {
        .i = i, .layer = {.store = i->store, .ns = {.get = i->userns, .ctx = i->userns_ctx, .fd = -1}, .tmp_fd = -1}};
    struct err *e = import_held(&im, ret_id);
    new_layer_done(&im.layer);
    image_platform_done(&im.platform);
    json_free(im.config);
    return e;
}
