/*
 * compose: images made here, by import and commit. The tar of a new layer is unpacked while it is copied, so it is read
 * once; what was read becomes the layer's blob as it came, compressed or not. Nothing can be seen of the image before
 * its record is written.
 */
#include "image/compose_int.h"

#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "storage/store.h"

#define BLOB_NAME "blob"

static struct err *unpack(struct new_layer *l, int fd, const char *parent) {
    autofd int copy = -1;
    struct store_unpack_job *job = NULL;
    TRY(unpack_ns_get(&l->ns));
    TRY(store_tmp_new(l->store, &l->tmp, &l->tmp_fd));
    TRY(fd_open_at(l->tmp_fd, BLOB_NAME, O_RDWR | O_CREAT | O_EXCL, 0600, &copy));
    const struct store_unpack u = {.parent = parent,
                                   .blob_size = -1,
                                   .input_fd = fd,
                                   .bell_fd = -1,
                                   .copy_fd = copy,
                                   .userns_fd = l->ns.fd,
                                   .ids = l->ns.ids};
    TRY(store_unpack_start(l->store, &u, &job));
    return store_unpack_finish(l->store, job, &l->unpacked);
}

struct err *new_layer_read(struct new_layer *l, int fd, const char *parent) {
    TRY(unpack(l, fd, parent));
    TRY(layer_type_of(l->tmp_fd, BLOB_NAME, &l->made.media_type));
    memcpy(l->made.digest, l->unpacked.blob_digest, sizeof l->made.digest);
    l->made.size = l->unpacked.blob_size;
    return store_blob_adopt(l->store, l->unpacked.blob_digest, l->tmp_fd, BLOB_NAME);
}

void new_layer_done(struct new_layer *l) {
    if (l->tmp)
        err_free(store_tmp_remove(l->store, l->tmp)); /* what is left is debris, and collected as such */
    fd_close(l->tmp_fd);
    free(l->tmp);
    l->tmp = NULL;
    l->tmp_fd = -1;
}

struct err *new_image_write(const struct new_image *n, struct store_image **ret) {
    autostr struct str manifest = STR_INIT_MAX(MANIFEST_MAX);
    char config_digest[DIGEST_LEN + 1], digest[DIGEST_LEN + 1];
    struct store_image *img = NULL;
    TRY(digest_of(str_c(n->config), n->config->len, config_digest));
    const struct manifest_parts parts = {.config = config_digest,
                                         .config_size = (int64_t)n->config->len,
                                         .layers = n->layers,
                                         .n = n->n_layers,
                                         .annotations = n->annotations};
    manifest_make(&parts, &manifest);
    TRY(digest_of(str_c(&manifest), manifest.len, digest));
    TRY(store_blob_put(n->store, config_digest, str_c(n->config), n->config->len));
    TRY(store_blob_put(n->store, digest, str_c(&manifest), manifest.len));
    TRY(image_build_record(&manifest, digest, n->config, &img));
    for (size_t i = 0; i < img->n_layers && i < n->n_layers; i++) {
        img->layers[i].diff_size = n->layers[i].diff_size;
        img->size += n->layers[i].diff_size;
    }
    *ret = img;
    return NULL;
}

struct err *new_image_record(const struct new_image *n, char ret_id[65]) {
    struct store_image *img = NULL;
    autostrv struct strv names = {0};
    bool changed;
    if (n->ref)
        strv_push_take(&names, image_ref_canonical(n->ref));
    if (n->names)
        strv_extend(&names, n->names);
    TRY(new_image_write(n, &img));
    struct err *e = store_image_put_named(n->store, img, &names, &changed);
    if (!e)
        memcpy(ret_id, img->id, ID_LEN + 1);
    store_image_free(img);
    return e;
}
