/*
 * image: records images/<hex>.json. A record is written after everything that it names, in one rename, so an image that
 * can be read is whole. What is read is checked as if somebody else had written it: it decides what the sweep keeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/shared.h"
#include "storage/store_int.h"

enum { LAYERS_MAX = 1000, EXTRA_MAX = 1000, NAME_LEN = ID_LEN + sizeof ".json" };

static void file_name(const char *id, char ret[NAME_LEN]) {
    memcpy(ret, id, ID_LEN);
    memcpy(ret + ID_LEN, ".json", sizeof ".json");
}

void store_image_free(struct store_image *img) {
    if (!img)
        return;
    for (size_t i = 0; i < img->n_layers; i++) {
        struct store_layer_ref *l = &img->layers[i];
        free(l->blob);
        free(l->media_type);
        free(l->diff_id);
        free(l->chain_id);
    }
    free(img->layers);
    free(img->id);
    free(img->manifest);
    free(img->manifest_type);
    free(img->config);
    free(img->os);
    free(img->arch);
    free(img->variant);
    free(img->index);
    strv_done(&img->extra);
    free(img);
}

/* ---- what makes a record valid ---- */

static struct err *check_digest(const char *what, const char *digest, bool optional) {
    if (digest ? !digest_ok(digest) : !optional)
        return err_new(ERR_CORRUPT, "%s: %s is not a sha256 digest", what, digest ? digest : "null");
    return NULL;
}

static struct err *check_layer(const struct store_layer_ref *l) {
    TRY(check_digest("layers[].blob", l->blob, true));
    TRY(check_digest("layers[].diffId", l->diff_id, false));
    TRY(check_digest("layers[].chainId", l->chain_id, false));
    if (l->size < 0 || l->diff_size < 0)
        return err_new(ERR_CORRUPT, "layer %s has a negative size", l->diff_id);
    return NULL;
}

static struct err *check_image(const struct store_image *img) {
    if (!img->id || !path_is_hex64(img->id))
        return err_new(ERR_CORRUPT, "id: %s is not an image id", img->id ? img->id : "null");
    TRY(check_digest("config", img->config, false));
    TRY(check_digest("manifest", img->manifest, true));
    if (!str_eq(digest_hex(img->config), img->id))
        return err_new(ERR_CORRUPT, "the config %s is not that of image %s", img->config, img->id);
    if (img->n_layers > LAYERS_MAX || img->extra.n > EXTRA_MAX || img->size < 0)
        return err_new(ERR_CORRUPT, "too many layers or blobs, or a negative size");
    for (size_t i = 0; i < img->n_layers; i++)
        TRY(check_layer(&img->layers[i]));
    for (size_t i = 0; i < img->extra.n; i++)
        TRY(check_digest("extra[]", img->extra.v[i], false));
    return NULL;
}

/* Everything that a record names must be there before it: otherwise a crash could leave an image with holes. */
static struct err *check_present(const struct store *s, const struct store_image *img) {
    char chain[DIGEST_LEN + 1];
    if (!store_blob_has(s, img->config))
        return err_new(ERR_NOT_FOUND, "image %s: its config is not in the store", img->id);
    if (img->manifest && !store_blob_has(s, img->manifest))
        return err_new(ERR_NOT_FOUND, "image %s: its manifest %s is not in the store", img->id, img->manifest);
    for (size_t i = 0; i < img->n_layers; i++) {
        TRY(store_chain_id(i ? img->layers[i - 1].chain_id : NULL, img->layers[i].diff_id, chain));
        if (!str_eq(chain, img->layers[i].chain_id))
            return err_new(ERR_CORRUPT, "image %s: layer %zu has chain id %s instead of %s", img->id, i,
                           img->layers[i].chain_id, chain);
        if (!store_layer_has(s, chain))
            return err_new(ERR_NOT_FOUND, "image %s: layer %s is not in the store", img->id, chain);
    }
    return NULL;
}

/* ---- to and from JSON ---- */

static struct json *layer_json(const struct store_layer_ref *l) {
    struct json *j = json_object();
    json_set_str(j, "blob", l->blob);
    json_set_str(j, "mediaType", l->media_type);
    json_set_str(j, "diffId", l->diff_id);
    json_set_str(j, "chainId", l->chain_id);
    json_set_int(j, "size", l->size);
    json_set_int(j, "diffSize", l->diff_size);
    return j;
}

static struct json *image_json(const struct store_image *img) {
    struct json *j = json_object(), *layers = json_array();
    json_set_str(j, "id", img->id);
    json_set_str(j, "manifest", img->manifest);
    json_set_str(j, "manifestType", img->manifest_type);
    json_set_str(j, "config", img->config);
    json_set_int(j, "created", img->created);
    json_set_int(j, "size", img->size);
    json_set_str(j, "os", img->os);
    json_set_str(j, "arch", img->arch);
    json_set_str(j, "variant", img->variant);
    for (size_t i = 0; i < img->n_layers; i++)
        json_push(layers, layer_json(&img->layers[i]));
    json_set(j, "layers", layers);
    if (img->extra.n)
        json_set_strv(j, "extra", &img->extra);
    return j;
}

/* An owned copy of a string member; NULL for null or missing. */
static struct err *dup_str(const struct json *j, const char *key, char **ret) {
    const char *value;
    const struct json *member = json_get(j, key);
    if (!member || json_type(member) == JSON_NULL)
        return NULL;
    TRY(json_get_str(j, key, &value));
    *ret = mem_dup(value);
    return NULL;
}

static struct err *layer_of_json(const struct json *j, struct store_layer_ref *l) {
    TRY(dup_str(j, "blob", &l->blob));
    TRY(dup_str(j, "mediaType", &l->media_type));
    TRY(dup_str(j, "diffId", &l->diff_id));
    TRY(dup_str(j, "chainId", &l->chain_id));
    TRY(json_get_i64_opt(j, "size", 0, &l->size));
    return json_get_i64_opt(j, "diffSize", 0, &l->diff_size);
}

static struct err *image_of_json(const struct json *j, struct store_image *img) {
    struct json *layers;
    TRY(dup_str(j, "id", &img->id));
    TRY(dup_str(j, "manifest", &img->manifest));
    TRY(dup_str(j, "manifestType", &img->manifest_type));
    TRY(dup_str(j, "config", &img->config));
    TRY(dup_str(j, "os", &img->os));
    TRY(dup_str(j, "arch", &img->arch));
    TRY(dup_str(j, "variant", &img->variant));
    TRY(json_get_i64_opt(j, "created", 0, &img->created));
    TRY(json_get_i64_opt(j, "size", 0, &img->size));
    TRY(json_get_strv_opt(j, "extra", &img->extra));
    TRY(json_get_array(j, "layers", &layers));
    size_t n = json_count(layers);
    if (n > LAYERS_MAX)
        return err_new(ERR_CORRUPT, "too many layers: %zu", n);
    img->layers = mem_array(n ? n : 1, sizeof *img->layers);
    JSON_EACH(layer, layers) { TRY(layer_of_json(layer, &img->layers[img->n_layers++])); }
    return NULL;
}

/* ---- the interface ---- */

struct err *store_image_write(int images, const struct store_image *img, mode_t mode) {
    char name[NAME_LEN];
    file_name(img->id, name);
    autojson j = image_json(img);
    TRY_CTX(json_write_file(images, name, j, mode, IO_DURABLE), "record image %s", img->id);
    return NULL;
}

struct err *store_image_put(struct store *s, const struct store_image *img) {
    int images;
    TRY_CTX(check_image(img), "record an image");
    TRY(check_present(s, img));
    TRY(store_dir(s, STORE_IMAGES, &images));
    return store_image_write(images, img, 0600);
}

/* Blobs of a record that another one does not name: they are kept for the names that the image has by its manifest. */
static void keep_blob(const struct store *s, const struct store_image *img, const char *digest, struct strv *extra) {
    bool named = !digest || str_eq(digest, img->manifest) || strv_has(extra, digest);
    for (size_t i = 0; !named && i < img->n_layers; i++)
        named = str_eq(digest, img->layers[i].blob);
    if (!named && extra->n < EXTRA_MAX && store_blob_has(s, digest))
        strv_push(extra, digest);
}

void store_image_keep(const struct store *s, const struct store_image *from, struct store_image *img) {
    keep_blob(s, img, from->manifest, &img->extra);
    for (size_t i = 0; i < from->n_layers; i++)
        keep_blob(s, img, from->layers[i].blob, &img->extra);
    for (size_t i = 0; i < from->extra.n; i++)
        keep_blob(s, img, from->extra.v[i], &img->extra);
}

static struct err *own_image_get(const struct store *s, const char *id, struct store_image **ret);

/* Records an image beside what a record of the same config names already. */
struct err *store_image_put_beside(struct store *s, const struct store_image *img) {
    struct store_image *old = NULL, both = *img;
    autoerr none = own_image_get(s, img->id, &old);
    if (none)
        return store_image_put(s, img);
    both.extra = (struct strv){.n = 0};
    strv_extend(&both.extra, &img->extra);
    store_image_keep(s, old, &both);
    store_image_free(old);
    struct err *e = store_image_put(s, &both);
    strv_done(&both.extra);
    return e;
}

static struct err *own_image_get(const struct store *s, const char *id, struct store_image **ret) {
    char name[NAME_LEN];
    int images;
    if (!path_is_hex64(id))
        return err_new(ERR_NOT_FOUND, "No such image: %s", id);
    TRY(store_dir(s, STORE_IMAGES, &images));
    file_name(id, name);
    autojson j = NULL;
    struct err *e = json_read_file(images, name, &j);
    if (e && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return err_new(ERR_NOT_FOUND, "No such image: %s", id);
    }
    struct store_image *img = mem_alloc(sizeof *img);
    if (!e)
        e = image_of_json(j, img);
    if (!e)
        e = check_image(img);
    if (!e && !str_eq(img->id, id))
        e = err_new(ERR_CORRUPT, "it describes image %s", img->id);
    if (e) {
        store_image_free(img);
        return err_wrap(e, "%s/images/%s", s->root, name);
    }
    *ret = img;
    return NULL;
}

struct err *store_image_get(const struct store *s, const char *id, struct store_image **ret) {
    struct err *e = own_image_get(s, id, ret);
    for (size_t i = 0; e && err_kind(e) == ERR_NOT_FOUND && i < s->n_shared; i++) {
        err_free(e);
        e = own_image_get(s->shared[i], id, ret);
    }
    return e;
}

static bool id_of_file(const char *name, char ret[ID_LEN + 1]) {
    if (strlen(name) != NAME_LEN - 1 || !str_ends(name, ".json"))
        return false;
    memcpy(ret, name, ID_LEN);
    ret[ID_LEN] = '\0';
    return path_is_hex64(ret);
}

static struct err *add_id(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    char id[ID_LEN + 1];
    if (id_of_file(name, id))
        strv_push(ctx, id);
    return NULL;
}

struct err *store_image_ids(const struct store *s, struct strv *out) {
    int images;
    TRY(store_dir(s, STORE_IMAGES, &images));
    TRY_CTX(io_each_entry(images, add_id, out), "list the images");
    return NULL;
}

struct err *store_image_by_prefix(const struct store *s, const char *prefix, char ret[65]) {
    autostrv struct strv ids = {0};
    const char *found = NULL;
    size_t n = strlen(prefix);
    if (n < 1 || n > ID_LEN || strspn(prefix, "0123456789abcdef") != n)
        return err_new(ERR_NOT_FOUND, "No such image: %s", prefix);
    TRY(store_image_ids(s, &ids));
    TRY(store_shared_image_ids(s, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        if (!str_starts(ids.v[i], prefix))
            continue;
        if (found)
            return err_hint(err_new(ERR_CONFLICT, "multiple image ids found with provided prefix: %s", prefix),
                            "Give more digits of the id.");
        found = ids.v[i];
    }
    if (!found)
        return err_new(ERR_NOT_FOUND, "No such image: %s", prefix);
    memcpy(ret, found, ID_LEN + 1);
    return NULL;
}

static struct err *remove_refs(struct store *s, const char *id) {
    autostrmap struct strmap refs = {0};
    TRY(store_refs_written(s, &refs));
    for (size_t i = 0; i < refs.n; i++)
        if (str_eq(refs.e[i].value, id))
            TRY(store_ref_remove(s, refs.e[i].key));
    return NULL;
}

/*
 * References first: killed in between, this leaves an image without a name, which is a legal state, and not a name
 * without an image. A reference that is set meanwhile sees the missing record (store_ref_set looks after it wrote), or
 * was written before the record went and is found by the second look here.
 */
struct err *store_image_remove(struct store *s, const char *id) {
    char name[NAME_LEN];
    int images;
    if (!path_is_hex64(id))
        return err_new(ERR_NOT_FOUND, "No such image: %s", id);
    TRY(store_dir(s, STORE_IMAGES, &images));
    file_name(id, name);
    const char *shared = store_image_shared(s, id);
    if (shared)
        return err_hint(
            err_new(ERR_DENIED, "image %.12s is read-only: it is in the additional image store %s", id, shared),
            "who shares it can take it away");
    if (!store_exists(images, name))
        return err_new(ERR_NOT_FOUND, "No such image: %s", id);
    TRY_CTX(remove_refs(s, id), "remove image %s", id);
    if (unlinkat(images, name, 0) < 0 && errno != ENOENT)
        return err_sys(errno, "remove image %s", id);
    TRY_CTX(io_sync(images), "remove image %s", id);
    if (!store_exists(images, name))
        TRY_CTX(remove_refs(s, id), "remove image %s", id);
    return NULL;
}
