/* cache_write: a cache of builds as a manifest and its blobs, to a registry by push, to a layout by save. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/archive_int.h"
#include "image/build.h"
#include "image/cache.h"
#include "image/cache_int.h"
#include "image/image.h"
#include "image/location.h"
#include "image/manifest_int.h"
#include "image/push_int.h"
#include "storage/store.h"

struct cache_files {
    char manifest[DIGEST_LEN + 1], config[DIGEST_LEN + 1];
};

/* ---- the blobs that make it one ---- */

static struct err *put_text(struct store *s, const struct str *text, char ret_digest[DIGEST_LEN + 1]) {
    if (text->len > MANIFEST_MAX)
        return err_hint(err_new(ERR_UNSUPPORTED, "the cache has too many steps for one manifest"), "use mode=min");
    TRY(digest_of(text->ptr, text->len, ret_digest));
    return store_blob_put(s, ret_digest, text->ptr, text->len);
}

static void config_text(const struct image_cache_new *n, struct str *out) {
    autojson config = json_object();
    json_set(config, "rootfs", image_rootfs(n->layers, n->n));
    json_set(config, IMAGE_CACHE_KEY, json_copy(n->words));
    json_render(config, JSON_COMPACT, out);
}

static struct err *put_files(struct store *s, const struct image_cache_new *n, struct cache_files *ret) {
    autostr struct str config = STR_INIT, manifest = STR_INIT;
    autofree struct made_layer *layers = made_layers(n->layers, n->n);
    config_text(n, &config);
    TRY(put_text(s, &config, ret->config));
    const struct manifest_parts parts = {.config = ret->config,
                                         .config_size = (int64_t)config.len,
                                         .layers = layers,
                                         .n = n->n,
                                         .config_type = MEDIA_CACHE_CONFIG};
    manifest_make(&parts, &manifest);
    return put_text(s, &manifest, ret->manifest);
}

/* ---- layouts ---- */

/* What the cache of that name consisted of where it was alone in the layout, so that nobody else has any of it. */
static struct err *read_old(int layout, const char *name, struct strv *ret) {
    struct descriptor d = {.digest = NULL};
    autostr struct str text = STR_INIT;
    autojson manifest = NULL;
    size_t entries = 0;
    TRY(cache_layout_find(layout, name, &d, &entries));
    struct err *e = entries == 1 ? cache_layout_blob(layout, d.digest, &text) : err_new(ERR_IN_USE, "others are there");
    if (!e)
        strv_push(ret, d.digest);
    descriptor_done(&d);
    TRY(e);
    TRY(json_parse(str_c(&text), text.len, "manifest", 0, &manifest));
    strv_push(ret, json_text(json_get(manifest, "config"), "digest"));
    JSON_EACH(layer, json_get(manifest, "layers")) { strv_push(ret, json_text(layer, "digest")); }
    return NULL;
}

static void remove_old(int layout, const struct strv *old, const struct strv *new) {
    for (size_t i = 0; i < old->n; i++) {
        if (!digest_ok(old->v[i]) || strv_has(new, old->v[i]))
            continue;
        autofree char *name = mem_printf("blobs/sha256/%s", digest_hex(old->v[i]));
        if (unlinkat(layout, name, 0) < 0)
            log_debug("what the cache had before stays: %s", name);
    }
}

static struct err *write_layout(const struct image_cache_place *p, struct store_image *content) {
    autostrv struct strv old = {.n = 0};
    autostrv struct strv new = {.n = 0};
    autofd int dir = -1;
    TRY(io_mkdirs(AT_FDCWD, p->dir, 0755));
    TRY(fd_open_dir(AT_FDCWD, p->dir, &dir));
    err_free(read_old(dir, p->name, &old)); /* what cannot be read stays as it is */
    const struct image_save save = {
        .store = p->store, .content = content, .format = IMAGE_SAVE_OCI_DIR, .as = p->name, .add = true, .fd = dir};
    TRY(image_save(&save));
    strv_push(&new, content->manifest);
    strv_push(&new, content->config);
    for (size_t i = 0; i < content->n_layers; i++)
        strv_push(&new, content->layers[i].blob);
    remove_old(dir, &old, &new);
    return NULL;
}

/* ---- */

static struct err *write_registry(const struct image_cache_place *p, struct store_image *content) {
    struct image_pushed unused;
    const struct image_push push = {.host = p->host,
                                    .config = p->config,
                                    .store = p->store,
                                    .ref = p->ref,
                                    .content = content,
                                    .interrupted_fd = p->interrupted_fd};
    return image_push(&push, &unused);
}

struct err *image_cache_write(const struct image_cache_place *p, const struct image_cache_new *n) {
    struct store_image content = {.layers = n->layers, .n_layers = n->n};
    struct cache_files files;
    if (n->n > MANIFEST_LAYERS_MAX)
        return err_hint(err_new(ERR_UNSUPPORTED, "the cache has %zu layers, more than %d", n->n, MANIFEST_LAYERS_MAX),
                        "use mode=min");
    if (n->compression)
        TRY(push_compress_layers(p->store, &content, n->compression));
    TRY(put_files(p->store, n, &files));
    content.id = files.config + strlen("sha256:");
    content.config = files.config;
    content.manifest = files.manifest;
    content.manifest_type = (char[]){MEDIA_OCI_MANIFEST};
    return p->ref ? write_registry(p, &content) : write_layout(p, &content);
}
