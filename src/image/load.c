/*
 * load: archives into the store. Two kinds, often in one file: an OCI layout (oci-layout, index.json, blobs/) and
 * docker's own (manifest.json that names a config and layer tars). The layout is preferred, because its manifests carry
 * digests that survive; docker's kind gets a manifest made here, over the layers as they are. Both may lie in a
 * directory, too, and there is a third kind that always does: skopeo's "dir:", a manifest and its blobs side by side.
 * The archive is never unpacked to names of its choosing: coracle-unpack stores every member under its digest, so
 * "verified" is the same as "found".
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/archive_int.h"
#include "image/bundle_int.h"
#include "image/location.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "image/trust_int.h"
#include "storage/archive.h"
#include "storage/store.h"

#define IMAGES_MAX 1000
#define INDEX_DEPTH_MAX 4
#define INDEX_BLOBS_MAX 500 /* that are kept with an image */

/* An image whose blobs and layers are in the store; nothing names or lists it yet. */
struct loaded {
    struct store_image *img;
    struct strv names; /* canonical references */
};

struct loading {
    const struct image_load *l;
    struct store_archive *a;
    struct image_platform platform;
    struct unpack_ns ns;
    const char *blobs;       /* what stands before a blob's hex in the name of its member */
    char *index;             /* that the image at hand is taken from, and all of which is there; NULL: none */
    struct strv index_blobs; /* what it consists of */
    struct loaded *images;
    size_t n;
};

/* ---- members ---- */

static struct err *member_text(const struct loading *ld, const char *name, struct str *out) {
    const struct store_member *m = store_archive_find(ld->a, name);
    if (!m)
        return err_new(ERR_CORRUPT, "the archive has no %s", name);
    /* A blob that an earlier image of this archive brought has moved to the store already. */
    if (store_blob_has(ld->l->store, m->digest))
        return store_blob_read(ld->l->store, m->digest, MANIFEST_MAX, out);
    return io_read_file(ld->a->tmp_fd, digest_hex(m->digest), MANIFEST_MAX, out);
}

static struct err *member_json(const struct loading *ld, const char *name, struct json **ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY(member_text(ld, name, &text));
    return json_parse(str_c(&text), text.len, name, JSON_REFUSE_DUPLICATES, ret);
}

/* A member that is named by its digest must be what its name says. */
static struct err *blob_member(const struct loading *ld, const char *digest, char **ret_name) {
    autofree char *name = mem_printf("%s%s", ld->blobs, digest_hex(digest));
    const struct store_member *m = store_archive_find(ld->a, name);
    if (!m)
        return err_new(ERR_CORRUPT, "the archive has no blob %s", digest);
    if (!str_eq(m->digest, digest))
        return err_new(ERR_CORRUPT, "blob %s of the archive has the digest %s", digest, m->digest);
    *ret_name = take_ptr(&name);
    return NULL;
}

static struct err *adopt(const struct loading *ld, const char *digest) {
    if (!store_blob_has(ld->l->store, digest) &&
        faccessat(ld->a->tmp_fd, digest_hex(digest), F_OK, AT_SYMLINK_NOFOLLOW))
        return err_new(ERR_CORRUPT, "the archive has no blob %s", digest);
    return store_blob_adopt(ld->l->store, digest, ld->a->tmp_fd, digest_hex(digest));
}

/* ---- one image, once its manifest, config and names are known ---- */

/* Brings in what the image consists of. */
static struct err *bring_in(struct loading *ld, const struct str *manifest, const char *digest,
                            const struct str *config, struct store_image *img) {
    struct store *s = ld->l->store;
    size_t fetched = 0;
    for (size_t i = 0; i < img->n_layers; i++)
        TRY(adopt(ld, img->layers[i].blob));
    const struct layers l = {
        .store = s, .ns = &ld->ns, .progress = &ld->l->progress, .interrupted_fd = -1, .known = true, .parallel = 2};
    TRY(layers_bring_in(&l, img, &fetched));
    TRY(store_blob_put(s, img->config, str_c(config), config->len));
    return store_blob_put(s, digest, str_c(manifest), manifest->len);
}

/* Names in an archive are claims of whoever made it: they must at least be references. */
static struct err *check_names(const struct strv *names, struct strv *out) {
    for (size_t i = 0; i < names->n; i++) {
        struct image_ref ref = {0};
        TRY_CTX(image_ref_parse(names->v[i], &ref), "name \"%.200s\" in the archive", names->v[i]);
        strv_push_take(out, image_ref_canonical(&ref));
        image_ref_done(&ref);
    }
    return NULL;
}

/* What else the image's index consists of is kept with it. */
static struct err *keep_index(const struct loading *ld, struct store_image *img) {
    for (size_t i = 0; i < ld->index_blobs.n; i++) {
        TRY(adopt(ld, ld->index_blobs.v[i]));
        strv_push(&img->extra, ld->index_blobs.v[i]);
    }
    img->index = mem_dup(ld->index);
    return NULL;
}

static struct err *load_image(struct loading *ld, const struct str *manifest, const struct str *config,
                              const struct strv *names) {
    char digest[DIGEST_LEN + 1];
    autostrv struct strv canonical = {0};
    struct store_image *img = NULL;
    TRY(check_names(names, &canonical));
    TRY(digest_of(str_c(manifest), manifest->len, digest));
    TRY(image_build_record(manifest, digest, config, &img));
    struct err *e = bring_in(ld, manifest, digest, config, img);
    if (!e && ld->index)
        e = keep_index(ld, img);
    if (e) {
        store_image_free(img);
        return e;
    }
    ld->images = mem_resize(ld->images, ld->n + 1, sizeof *ld->images);
    ld->images[ld->n++] = (struct loaded){.img = img, .names = canonical};
    canonical = (struct strv){0};
    return NULL;
}

/* Everything was sound: makes all images and names visible. */
static struct err *publish(const struct loading *ld, struct strv *ret_references, struct strv *ret_ids) {
    for (size_t i = 0; i < ld->n; i++) {
        const struct loaded *image = &ld->images[i];
        bool changed;
        TRY(store_image_put_named(ld->l->store, image->img, &image->names, &changed));
        for (size_t k = 0; k < image->names.n; k++)
            strv_add(ret_references, image->names.v[k]);
        if (image->names.n == 0 && !strv_has(ret_ids, image->img->id))
            strv_push(ret_ids, image->img->id);
    }
    return NULL;
}

/* ---- indexes ---- */

static struct err *list_blob(struct loading *ld, const char *digest) {
    autofree char *name = NULL;
    TRY(blob_member(ld, digest, &name));
    if (ld->index_blobs.n == INDEX_BLOBS_MAX)
        return err_new(ERR_UNSUPPORTED, "the index has more than %d blobs", INDEX_BLOBS_MAX);
    strv_add(&ld->index_blobs, digest);
    return NULL;
}

static struct err *list_content(struct loading *ld, const struct store_image *content) {
    TRY(list_blob(ld, content->manifest));
    TRY(list_blob(ld, content->config));
    for (size_t i = 0; i < content->n_layers; i++)
        TRY(list_blob(ld, content->layers[i].blob));
    return NULL;
}

static struct err *list_entry(struct loading *ld, const struct json *entry) {
    struct descriptor d = {0};
    struct store_image *content = NULL;
    autofree char *name = NULL;
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY(descriptor_parse(entry, &d));
    struct err *e = blob_member(ld, d.digest, &name);
    if (!e)
        e = member_text(ld, name, &text);
    if (!e)
        e = manifest_content(&text, d.digest, &content);
    descriptor_done(&d);
    if (!e)
        e = list_content(ld, content);
    store_image_free(content);
    return e;
}

/* An index that is all there stays one; of another, and where a platform is asked for, only an image is taken. */
static void find_index(struct loading *ld, const char *digest, const struct manifest *index) {
    struct json *list = json_get(index->json, "manifests");
    struct err *e = ld->l->platform || json_count(list) > IMAGES_MAX ? err_new(ERR_UNSUPPORTED, "one image") : NULL;
    if (!e)
        e = list_blob(ld, digest);
    JSON_EACH(entry, list) {
        if (!e)
            e = list_entry(ld, entry);
    }
    if (!e)
        ld->index = mem_dup(digest);
    else
        strv_done(&ld->index_blobs);
    err_free(e);
}

static void forget_index(struct loading *ld) {
    free(take_ptr(&ld->index));
    strv_done(&ld->index_blobs);
}

/* ---- OCI layouts ---- */

/* Follows indexes down to the manifest for our platform. */
static struct err *find_manifest(struct loading *ld, const char *digest, struct str *ret_text, struct manifest *ret) {
    autofree char *want = mem_dup(digest);
    for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
        autofree char *name = NULL, *next = NULL;
        int64_t size = 0;
        struct manifest m = {0};
        str_clear(ret_text);
        TRY(blob_member(ld, want, &name));
        TRY(member_text(ld, name, ret_text));
        TRY(manifest_parse(ret_text, NULL, &m));
        if (!m.is_index) {
            *ret = m;
            return NULL;
        }
        struct err *e = image_index_choose(m.json, &ld->platform, &next, &size);
        if (!e && depth == 0)
            find_index(ld, want, &m);
        manifest_done(&m);
        if (e)
            return e;
        mem_set(&want, next);
    }
    return err_new(ERR_CORRUPT, "indexes of the archive are nested deeper than %d", INDEX_DEPTH_MAX);
}

/* The image's name: containerd's annotation is whole; OCI's is often only a tag, which names nothing. */
static const char *layout_name(const struct json *entry) {
    const struct json *annotations = json_get(entry, "annotations");
    const char *whole = json_str_value(json_get(annotations, "io.containerd.image.name"));
    const char *name = json_str_value(json_get(annotations, "org.opencontainers.image.ref.name"));
    if (whole && *whole)
        return whole;
    return name && strpbrk(name, "/:") ? name : NULL;
}

/* Adopts what a manifest names, under `names`. */
static struct err *load_manifest(struct loading *ld, const struct str *text, const struct manifest *m,
                                 const struct strv *names) {
    autofree char *config_name = NULL;
    autostr struct str config = STR_INIT_MAX(MANIFEST_MAX);
    TRY(blob_member(ld, m->config.digest, &config_name));
    TRY(member_text(ld, config_name, &config));
    return load_image(ld, text, &config, names);
}

static struct err *load_entry(struct loading *ld, const struct json *entry) {
    struct descriptor d = {0};
    struct manifest m = {0};
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    autostrv struct strv names = {0};
    const char *name = layout_name(entry);
    autofree char *given = !name && ld->l->from ? image_location_name(ld->l->from) : NULL;
    if (name || given)
        strv_push(&names, name ? name : given);
    TRY(descriptor_parse(entry, &d));
    struct err *e = find_manifest(ld, d.digest, &text, &m);
    descriptor_done(&d);
    if (!e)
        e = load_manifest(ld, &text, &m, &names);
    forget_index(ld);
    manifest_done(&m);
    return e;
}

/* Which of the images in there the user wants, or NULL: all. */
static const char *wanted(const struct loading *ld) { return ld->l->from ? ld->l->from->reference : NULL; }

static struct err *no_such_member(const struct loading *ld) {
    return err_new(ERR_NOT_FOUND, "no image %s in %s:%s", wanted(ld), image_transport_name(ld->l->from->transport),
                   ld->l->from->path);
}

/* By its tag, or by its whole name. */
static bool entry_wanted(const struct loading *ld, const struct json *entry) {
    const char *want = wanted(ld), *name = layout_name(entry);
    const char *tag = json_text(json_get(entry, "annotations"), "org.opencontainers.image.ref.name");
    return !want || str_eq(tag, want) || str_eq(name, want);
}

static struct err *load_layout(struct loading *ld) {
    autojson index = NULL;
    struct json *manifests = NULL;
    TRY(member_json(ld, "index.json", &index));
    TRY(json_get_array(index, "manifests", &manifests));
    if (json_count(manifests) > IMAGES_MAX)
        return err_new(ERR_UNSUPPORTED, "the archive has more than %d images", IMAGES_MAX);
    JSON_EACH(entry, manifests)
    if (entry_wanted(ld, entry))
        TRY(load_entry(ld, entry));
    return wanted(ld) && !ld->n ? no_such_member(ld) : NULL;
}

/* ---- skopeo's directories ---- */

/* One image without a name: manifest.json is its manifest, which may be an index, and every blob a file by its hex. */
static struct err *load_directory(struct loading *ld) {
    struct manifest m = {0};
    char digest[DIGEST_LEN + 1];
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    autostrv struct strv names = {0};
    autofree char *given = ld->l->from ? image_location_name(ld->l->from) : NULL;
    if (given)
        strv_push(&names, given);
    ld->blobs = "";
    TRY(member_text(ld, "manifest.json", &text));
    TRY(manifest_parse(&text, NULL, &m));
    TRY(digest_of(str_c(&text), text.len, digest));
    struct err *e = NULL;
    if (m.is_index)
        e = err_hint(err_new(ERR_UNSUPPORTED, "the directory holds images for several platforms"),
                     "copy the one for yours: skopeo copy --override-arch …");
    if (!e)
        e = load_manifest(ld, &text, &m, &names);
    manifest_done(&m);
    return e;
}

/* ---- docker archives ---- */

static struct err *docker_layers(struct loading *ld, const struct json *list, struct made_layer *out, size_t *ret_n) {
    size_t n = 0;
    JSON_EACH(item, list) {
        const char *name = json_str_value(item);
        const struct store_member *m = name ? store_archive_find(ld->a, name) : NULL;
        if (!m)
            return err_new(ERR_CORRUPT, "the archive has no layer %s", name ? name : "by that name");
        memcpy(out[n].digest, m->digest, sizeof out[n].digest);
        out[n].size = m->size;
        /* Once more for a second image with the same layer: it lies in the blobs by now. */
        bool moved = store_blob_has(ld->l->store, m->digest);
        int dir = moved ? store_dirfd(ld->l->store, "blobs/sha256") : ld->a->tmp_fd;
        TRY(layer_type_of(dir, digest_hex(m->digest), &out[n].media_type));
        n++;
    }
    *ret_n = n;
    return NULL;
}

static struct err *docker_manifest(struct loading *ld, const struct json *entry, const char *config_name,
                                   struct str *out) {
    struct json *list = NULL;
    size_t n = 0;
    TRY(json_get_array(entry, "Layers", &list));
    if (json_count(list) > MANIFEST_LAYERS_MAX)
        return err_new(ERR_UNSUPPORTED, "an image of the archive has more than %d layers", MANIFEST_LAYERS_MAX);
    const struct store_member *config = store_archive_find(ld->a, config_name);
    if (!config)
        return err_new(ERR_CORRUPT, "the archive has no image config %s", config_name);
    struct made_layer *layers = mem_array(json_count(list), sizeof *layers);
    struct err *e = docker_layers(ld, list, layers, &n);
    const struct manifest_parts of = {.config = config->digest, .config_size = config->size, .layers = layers, .n = n};
    if (!e)
        manifest_make(&of, out);
    free(layers);
    return e;
}

/* "@N" is the N-th; else one of its names, however it is written. */
static bool docker_entry_wanted(const struct loading *ld, const struct strv *tags, size_t n) {
    const char *want = wanted(ld);
    int64_t at = -1;
    struct image_ref ref = {0};
    if (!want || (*want == '@' && str_to_i64(want + 1, 0, IMAGES_MAX, &at) && (size_t)at == n))
        return true;
    autoerr bad = image_ref_parse(want, &ref);
    autofree char *canonical = bad ? NULL : image_ref_canonical(&ref);
    image_ref_done(&ref);
    for (size_t i = 0; canonical && i < tags->n; i++) {
        struct image_ref tag = {0};
        autoerr none = image_ref_parse(tags->v[i], &tag);
        autofree char *has = none ? NULL : image_ref_canonical(&tag);
        image_ref_done(&tag);
        if (str_eq(has, canonical))
            return true;
    }
    return false;
}

static struct err *load_docker_entry(struct loading *ld, const struct json *entry, size_t n) {
    const char *config_name = NULL;
    autostr struct str manifest = STR_INIT_MAX(MANIFEST_MAX), config = STR_INIT_MAX(MANIFEST_MAX);
    autostrv struct strv tags = {0};
    TRY(json_get_str(entry, "Config", &config_name));
    TRY(json_get_strv_opt(entry, "RepoTags", &tags));
    if (!docker_entry_wanted(ld, &tags, n))
        return NULL;
    TRY(docker_manifest(ld, entry, config_name, &manifest));
    TRY(member_text(ld, config_name, &config));
    return load_image(ld, &manifest, &config, &tags);
}

static struct err *load_docker(struct loading *ld) {
    autojson list = NULL;
    TRY(member_json(ld, "manifest.json", &list));
    if (json_type(list) != JSON_ARRAY || json_count(list) > IMAGES_MAX)
        return err_new(ERR_CORRUPT, "manifest.json is not a list of images");
    size_t n = 0;
    JSON_EACH(entry, list)
    TRY(load_docker_entry(ld, entry, n++));
    return wanted(ld) && !ld->n ? no_such_member(ld) : NULL;
}

/* ---- */

enum kind { KIND_LAYOUT, KIND_DOCKER, KIND_DIRECTORY };

/* docker's own description is asked where the user has said docker-archive and names one by docker's words. */
static struct err *kind_of(const struct loading *ld, enum kind *ret) {
    bool layout = store_archive_find(ld->a, "index.json") && store_archive_find(ld->a, "oci-layout");
    bool manifest = store_archive_find(ld->a, "manifest.json");
    bool docker = ld->l->from && ld->l->from->transport == IMAGE_DOCKER_ARCHIVE && wanted(ld);
    if (layout && !(manifest && docker))
        *ret = KIND_LAYOUT;
    else if (manifest)
        *ret = store_archive_find(ld->a, "version") ? KIND_DIRECTORY : KIND_DOCKER;
    else if (store_archive_find(ld->a, "repositories"))
        return err_hint(err_new(ERR_UNSUPPORTED, "the archive was made by a docker older than 1.10"),
                        "load it there, and save it again with a newer version");
    else
        return err_hint(
            err_new(ERR_CORRUPT, "the archive holds no image: neither index.json nor manifest.json is in it"),
            "for a plain root file system use 'coracle import'");
    return NULL;
}

/* What is in files has no signatures: what the policy wants signed cannot come by one. */
static struct err *check_trust(const struct loading *ld, enum kind kind) {
    autotrust trust = NULL;
    const struct json *rules = NULL;
    struct stat st;
    char self[32], path[PATH_MAX] = "";
    bool dir = fstat(ld->l->fd, &st) == 0 && S_ISDIR(st.st_mode);
    bool docker = store_archive_find(ld->a, "manifest.json");
    if (dir && readlink(path_of_fd(ld->l->fd, self), path, sizeof path - 1) < 0)
        return err_sys(errno, "find the directory's path");
    const struct trust_source source = {.transport = kind == KIND_DIRECTORY ? "dir"
                                                     : dir                  ? "oci"
                                                     : docker               ? "docker-archive"
                                                                            : "oci-archive",
                                        .path = dir ? path : NULL,
                                        .tag = dir ? wanted(ld) : NULL};
    const struct trust_subject subject = {.host = ld->l->host, .store = ld->l->store, .source = &source};
    TRY(trust_load(ld->l->host, &trust));
    TRY(trust_rules(trust, &source, &rules));
    return rules ? trust_check(rules, &subject) : NULL;
}

static struct err *load_archive(struct loading *ld) {
    enum kind kind = KIND_LAYOUT;
    TRY(kind_of(ld, &kind));
    TRY(check_trust(ld, kind));
    return kind == KIND_LAYOUT ? load_layout(ld) : kind == KIND_DOCKER ? load_docker(ld) : load_directory(ld);
}

static struct err *load_held(struct loading *ld, struct strv *ret_references, struct strv *ret_ids) {
    autofd int hold = -1;
    TRY(image_platform_parse(NULL, ld->l->platform, &ld->platform));
    TRY(store_hold(ld->l->store, &hold));
    TRY_CTX(store_archive_read(ld->l->store, ld->l->fd, &ld->a), "read the archive");
    TRY(load_archive(ld));
    return publish(ld, ret_references, ret_ids);
}

struct err *image_load(const struct image_load *l, struct strv *ret_references, struct strv *ret_ids) {
    struct loading ld = {.l = l, .blobs = "blobs/sha256/", .ns = {.get = l->userns, .ctx = l->userns_ctx, .fd = -1}};
    struct err *e = load_held(&ld, ret_references, ret_ids);
    for (size_t i = 0; i < ld.n; i++) {
        store_image_free(ld.images[i].img);
        strv_done(&ld.images[i].names);
    }
    forget_index(&ld);
    free(ld.images);
    store_archive_free(l->store, ld.a);
    image_platform_done(&ld.platform);
    return e;
}
