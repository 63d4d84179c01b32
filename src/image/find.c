/* find: from what a user typed to an image of the store, and that image's config. */
#include "image/image.h"

#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/manifest_int.h"
#include "storage/store.h"

static bool is_hex_prefix(const char *s) {
    size_t n = strlen(s);
    return n > 0 && n <= ID_LEN && strspn(s, "0123456789abcdef") == n;
}

static struct err *find_by_reference(const struct store *s, const char *text, char ret_id[65], char **ret_reference) {
    struct image_ref ref = {0};
    TRY(image_ref_parse(text, &ref));
    autofree char *canonical = image_ref_canonical(&ref);
    image_ref_done(&ref);
    struct store_ref found;
    TRY(store_ref_get(s, canonical, &found));
    memcpy(ret_id, found.image, sizeof found.image);
    if (ret_reference)
        *ret_reference = take_ptr(&canonical);
    return NULL;
}

static struct err *find_by_id(const struct store *s, const char *hex, char ret_id[65], char **ret_reference) {
    TRY(store_image_by_prefix(s, hex, ret_id));
    if (ret_reference)
        *ret_reference = NULL;
    return NULL;
}

struct err *image_find(const struct store *s, const char *text, char ret_id[65], char **ret_reference) {
    const char *hex = str_starts(text, "sha256:") ? text + strlen("sha256:") : text;
    bool id_like = is_hex_prefix(hex);
    /* A full id or an explicit sha256: is never a name; a short one may be ("cafe"), and then the name wins. */
    bool only_id = id_like && (hex != text || strlen(hex) == ID_LEN);
    autoerr e = only_id ? NULL : find_by_reference(s, text, ret_id, ret_reference);
    if (!only_id && !e)
        return NULL;
    if (e && err_kind(e) != ERR_NOT_FOUND && !(err_kind(e) == ERR_USAGE && id_like))
        return take_ptr(&e);
    if (id_like) {
        struct err *by_id = find_by_id(s, hex, ret_id, ret_reference);
        if (!by_id)
            return NULL;
        if (err_kind(by_id) != ERR_NOT_FOUND)
            return by_id;
        err_free(by_id);
    }
    return err_hint(err_new(ERR_NOT_FOUND, "No such image: %s", text), "run 'coracle images' to see what there is");
}

/* What both have in common the record tells, the rest the manifest. */
static struct err *as_manifest_says(const struct store *s, const struct store_image *record, const char *manifest,
                                    struct store_image **ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    autostr struct str config = STR_INIT_MAX(MANIFEST_MAX);
    struct store_image *img = NULL;
    TRY(store_blob_read(s, manifest, MANIFEST_MAX, &text));
    TRY(store_blob_read(s, record->config, MANIFEST_MAX, &config));
    TRY(image_build_record(&text, manifest, &config, &img));
    if (!str_eq(img->id, record->id) || img->n_layers != record->n_layers) {
        store_image_free(img);
        return err_new(ERR_CORRUPT, "manifest %s is not one of image %.12s", manifest, record->id);
    }
    img->size = record->size;
    for (size_t i = 0; i < img->n_layers; i++)
        img->layers[i].diff_size = record->layers[i].diff_size;
    store_image_keep(s, record, img);
    *ret = img;
    return NULL;
}

struct err *image_get(const struct store *s, const char *id, const char *reference, struct store_image **ret) {
    struct store_image *record = NULL;
    TRY(store_image_get(s, id, &record));
    const struct store_ref as = store_ref_of(s, reference, id);
    struct err *e = NULL;
    if (!*as.manifest || str_eq(as.manifest, record->manifest) || !store_blob_has(s, as.manifest)) {
        *ret = record;
    } else {
        e = as_manifest_says(s, record, as.manifest, ret);
        store_image_free(record);
    }
    if (!e && *as.index && store_blob_has(s, as.index))
        (*ret)->index = mem_dup(as.index);
    return e;
}

struct err *image_config(const struct store *s, const struct store_image *img, struct json **ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY_CTX(store_blob_read(s, img->config, MANIFEST_MAX, &text), "config of image %.12s", img->id);
    return json_parse(str_c(&text), text.len, "image config", JSON_REFUSE_DUPLICATES, ret);
}
