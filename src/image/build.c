/* build: see build.h. */
#include "image/build.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/compose_int.h"
#include "image/manifest_int.h"
#include "image/push_int.h"

struct err *image_layer_read(const struct image_layer *l, struct store_layer_ref *ret) {
    struct new_layer n = {.store = l->store, .ns = {.get = l->userns, .ctx = l->userns_ctx, .fd = -1}, .tmp_fd = -1};
    struct err *e = new_layer_read(&n, l->fd, l->parent);
    if (!e)
        *ret = (struct store_layer_ref){.blob = mem_dup(n.made.digest),
                                        .media_type = mem_dup(n.made.media_type),
                                        .diff_id = mem_dup(n.unpacked.diff_id),
                                        .chain_id = mem_dup(n.unpacked.chain_id),
                                        .size = n.made.size,
                                        .diff_size = n.unpacked.diff_size};
    new_layer_done(&n);
    return e;
}

struct store_layer_ref image_layer_plain(const struct store_unpacked *u) {
    return (struct store_layer_ref){.blob = mem_dup(u->blob_digest),
                                    .media_type = mem_dup(MEDIA_OCI_LAYER),
                                    .diff_id = mem_dup(u->diff_id),
                                    .chain_id = mem_dup(u->chain_id),
                                    .size = u->blob_size,
                                    .diff_size = u->diff_size};
}

struct store_layer_ref image_layer_copy(const struct store_layer_ref *l) {
    struct store_layer_ref copy = *l;
    copy.blob = mem_dup(l->blob);
    copy.media_type = mem_dup(l->media_type);
    copy.diff_id = mem_dup(l->diff_id);
    copy.chain_id = mem_dup(l->chain_id);
    return copy;
}

void image_layer_done(struct store_layer_ref *l) {
    free(l->blob);
    free(l->media_type);
    free(l->diff_id);
    free(l->chain_id);
    *l = (struct store_layer_ref){.blob = NULL};
}

struct json *image_rootfs(const struct store_layer_ref *layers, size_t n) {
    struct json *rootfs = json_object(), *diff_ids = json_array();
    for (size_t i = 0; i < n; i++)
        json_push_str(diff_ids, layers[i].diff_id);
    json_set_str(rootfs, "type", "layers");
    json_set(rootfs, "diff_ids", diff_ids);
    return rootfs;
}

static void config_text(const struct image_parts *p, struct str *out) {
    json_set(p->config, "rootfs", image_rootfs(p->layers, p->n));
    json_render(p->config, JSON_COMPACT, out);
}

struct err *image_compose(struct store *s, const struct image_parts *p, char ret_id[65]) {
    autofree struct made_layer *made = made_layers(p->layers, p->n);
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    config_text(p, &text);
    const struct new_image image = {.store = s,
                                    .config = &text,
                                    .layers = made,
                                    .n_layers = p->n,
                                    .names = p->names,
                                    .annotations = p->annotations};
    return new_image_record(&image, ret_id);
}

struct err *image_compose_bare(struct store *s, const struct image_parts *p, const char *compression,
                               struct store_image **ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    struct store_image content = {.layers = mem_array(p->n + 1, sizeof *content.layers), .n_layers = p->n};
    for (size_t i = 0; i < p->n; i++)
        content.layers[i] = image_layer_copy(&p->layers[i]);
    struct err *e = push_compress_layers(s, &content, compression);
    if (!e) {
        autofree struct made_layer *made = made_layers(content.layers, content.n_layers);
        config_text(p, &text);
        const struct new_image image = {
            .store = s, .config = &text, .layers = made, .n_layers = p->n, .annotations = p->annotations};
        e = new_image_write(&image, ret);
    }
    for (size_t i = 0; i < p->n; i++)
        image_layer_done(&content.layers[i]);
    free(content.layers);
    return e;
}
