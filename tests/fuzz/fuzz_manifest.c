/* Manifests, indexes and image configs. The first byte chooses the content type that a registry might claim. */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/manifest_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_manifest(const struct manifest *m) {
    struct image_platform p = {mem_dup("linux"), mem_dup("arm"), mem_dup("v7")};
    autofree char *digest = NULL;
    int64_t n = 0;
    if (m->is_index) {
        autoerr e = image_index_choose(m->json, &p, &digest, &n);
        if (!e && (!digest_ok(digest) || n < 0))
            abort();
    } else if (!digest_ok(m->config.digest)) {
        abort();
    }
    for (size_t i = 0; i < m->n_layers; i++)
        if (!digest_ok(m->layers[i].digest) || m->layers[i].size < 0)
            abort();
    image_platform_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const types[] = {
        NULL, MEDIA_OCI_INDEX, MEDIA_OCI_MANIFEST, MEDIA_DOCKER_LIST, MEDIA_DOCKER_MANIFEST, "text/html"};
    if (size < 1)
        return 0;
    autostr struct str text = STR_INIT;
    str_append_n(&text, data + 1, size - 1);
    struct manifest m = {0};
    struct image_conf c = {0};
    autoerr e = manifest_parse(&text, types[data[0] % ARRAY_LEN(types)], &m);
    if (!e)
        check_manifest(&m);
    autoerr e2 = image_conf_parse(&text, &c);
    for (size_t i = 0; !e2 && i < c.diff_ids.n; i++)
        if (!digest_ok(c.diff_ids.v[i]))
            abort();
    manifest_done(&m);
    image_conf_done(&c);
    return 0;
}
