/*
 * import: a root file system as an image of one layer. The tar is unpacked while it is copied, so it is read once; what
 * was read becomes the layer's blob as it came, compressed or not.
 */
#include "image/image.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/archive_int.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "storage/store.h"

#define BLOB_NAME "blob"

struct importing {
    const struct image_import *i;
    struct unpack_ns ns;
    struct image_platform platform;
    struct json *config; /* the image config's "config" member */
    char *tmp;
    int tmp_fd;
};

static struct err *unpack(struct importing *im, struct store_unpacked *ret) {
    autofd int copy = -1;
    struct store_unpack_job *job = NULL;
    TRY(unpack_ns_get(&im->ns));
    TRY(store_tmp_new(im->i->store, &im->tmp, &im->tmp_fd));
    TRY(fd_open_at(im->tmp_fd, BLOB_NAME, O_RDWR | O_CREAT | O_EXCL, 0600, &copy));
    const struct store_unpack u = {.blob_size = -1,
                                   .input_fd = im->i->fd,
                                   .bell_fd = -1,
                                   .copy_fd = copy,
                                   .userns_fd = im->ns.fd,
                                   .ids = im->ns.ids};
    TRY(store_unpack_start(im->i->store, &u, &job));
    return store_unpack_finish(im->i->store, job, ret);
}

static const char *comment(const struct importing *im) {
    return im->i->message && *im->i->message ? im->i->message : "Imported from -";
}

static struct json *history(const struct importing *im, const char *created) {
    struct json *list = json_array(), *entry = json_object();
    json_set_str(entry, "created", created);
    json_set_str(entry, "comment", comment(im));
    json_push(list, entry);
    return list;
}

static void make_config(const struct importing *im, const struct store_unpacked *u, struct str *out) {
    autojson j = json_object();
    autostr struct str created = STR_INIT;
    struct json *rootfs = json_object(), *diff_ids = json_array();
    clock_format_rfc3339(clock_now(), &created);
    json_push_str(diff_ids, u->diff_id);
    json_set_str(rootfs, "type", "layers");
    json_set(rootfs, "diff_ids", diff_ids);
    json_set_str(j, "architecture", im->platform.arch);
    json_set_str(j, "os", im->platform.os);
    if (*im->platform.variant)
        json_set_str(j, "variant", im->platform.variant);
    json_set_str(j, "created", str_c(&created));
    json_set_str(j, "comment", comment(im));
    json_set(j, "config", json_copy(im->config));
    json_set(j, "rootfs", rootfs);
    json_set(j, "history", history(im, str_c(&created)));
    json_render(j, JSON_COMPACT, out);
}

static struct err *record(const struct importing *im, const struct store_unpacked *u, const char *media_type,
                          char ret_id[65]) {
    struct store *s = im->i->store;
    autostr struct str config = STR_INIT_MAX(MANIFEST_MAX), manifest = STR_INIT_MAX(MANIFEST_MAX);
    char config_digest[DIGEST_LEN + 1], digest[DIGEST_LEN + 1];
    struct made_layer layer = {.media_type = media_type, .size = u->blob_size};
    struct store_image *img = NULL;
    autostrv struct strv names = {0};
    if (im->i->ref)
        strv_push_take(&names, image_ref_canonical(im->i->ref));
    memcpy(layer.digest, u->blob_digest, sizeof layer.digest);
    make_config(im, u, &config);
    TRY(digest_of(str_c(&config), config.len, config_digest));
    manifest_make(config_digest, (int64_t)config.len, &layer, 1, &manifest);
    TRY(digest_of(str_c(&manifest), manifest.len, digest));
    TRY(store_blob_put(s, config_digest, str_c(&config), config.len));
    TRY(store_blob_put(s, digest, str_c(&manifest), manifest.len));
    TRY(image_build_record(&manifest, digest, &config, &img));
    img->layers[0].diff_size = u->diff_size;
    img->size = u->diff_size;
    bool changed;
    struct err *e = store_image_put_named(s, img, &names, &changed);
    if (!e)
        memcpy(ret_id, img->id, ID_LEN + 1);
    store_image_free(img);
    return e;
}

static struct err *import_held(struct importing *im, char ret_id[65]) {
    const struct image_import *i = im->i;
    autofd int hold = -1;
    struct store_unpacked u = {.blob_size = -1};
    const char *media_type = NULL;
    char id[65];
    im->config = json_object();
    TRY(image_changes_apply(im->config, i->changes)); /* before the long work, so that a typo shows at once */
    TRY(image_platform_parse(i->host, i->platform, &im->platform));
    TRY(store_hold(i->store, &hold));
    TRY_CTX(unpack(im, &u), "import");
    TRY(layer_type_of(im->tmp_fd, BLOB_NAME, &media_type));
    TRY(store_blob_adopt(i->store, u.blob_digest, im->tmp_fd, BLOB_NAME));
    TRY(record(im, &u, media_type, id));
    memcpy(ret_id, id, sizeof id);
    return NULL;
}

struct err *image_import(const struct image_import *i, char ret_id[65]) {
    if (i->ref && i->ref->digest)
        return err_new(ERR_USAGE, "refusing to create a tag with a digest reference");
    struct importing im = {.i = i, .ns = {.get = i->userns, .ctx = i->userns_ctx, .fd = -1}, .tmp_fd = -1};
    struct err *e = import_held(&im, ret_id);
    if (im.tmp) {
        struct err *gone = store_tmp_remove(i->store, im.tmp);
        err_free(gone); /* what is left is debris, and collected as such */
    }
    fd_close(im.tmp_fd);
    free(im.tmp);
    image_platform_done(&im.platform);
    json_free(im.config);
    return e;
}
