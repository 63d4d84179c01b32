/* make: manifests for images that came without one (docker archives of old, imports). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/archive_int.h"
#include "image/manifest_int.h"
#include "storage/store.h"

struct json *descriptor_json(const char *media_type, const char *digest, int64_t size) {
    struct json *j = json_object();
    json_set_str(j, "mediaType", media_type);
    json_set_str(j, "digest", digest);
    json_set_int(j, "size", size);
    return j;
}

/* An OCI manifest names layers in its own words, also those that came with docker's. */
static const char *oci_layer_type(const char *type) {
    if (str_eq(type, MEDIA_DOCKER_LAYER ".gzip"))
        return MEDIA_OCI_LAYER "+gzip";
    return str_eq(type, MEDIA_DOCKER_LAYER) ? MEDIA_OCI_LAYER : type;
}

struct made_layer *made_layers(const struct store_layer_ref *layers, size_t n) {
    struct made_layer *made = mem_array(n + 1, sizeof *made);
    for (size_t i = 0; i < n; i++) {
        const struct store_layer_ref *l = &layers[i];
        made[i] = (struct made_layer){.media_type = l->media_type, .size = l->size, .diff_size = l->diff_size};
        memcpy(made[i].digest, l->blob, sizeof made[i].digest);
    }
    return made;
}

void manifest_make(const struct manifest_parts *p, struct str *out) {
    autojson j = json_object();
    struct json *list = json_array();
    for (size_t i = 0; i < p->n; i++)
        json_push(list,
                  descriptor_json(oci_layer_type(p->layers[i].media_type), p->layers[i].digest, p->layers[i].size));
    json_set_int(j, "schemaVersion", 2);
    json_set_str(j, "mediaType", MEDIA_OCI_MANIFEST);
    const char *config_type = p->config_type ? p->config_type : MEDIA_OCI_CONFIG;
    json_set(j, "config", descriptor_json(config_type, p->config, p->config_size));
    json_set(j, "layers", list);
    if (p->annotations)
        json_set(j, "annotations", json_copy(p->annotations));
    json_render(j, JSON_COMPACT, out);
}

struct err *layer_type_of(int dirfd, const char *name, const char **ret) {
    unsigned char magic[4] = {0};
    autofd int fd = -1;
    TRY(fd_open_at(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd));
    if (pread(fd, magic, sizeof magic, 0) < 0)
        return err_sys(errno, "read layer %s", name);
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        *ret = MEDIA_OCI_LAYER "+gzip";
    else if (!memcmp(magic, "\x28\xb5\x2f\xfd", 4))
        *ret = MEDIA_OCI_LAYER "+zstd";
    else
        *ret = MEDIA_OCI_LAYER;
    return NULL;
}
