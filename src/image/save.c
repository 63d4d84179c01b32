/*
 * save: images out of the store as an archive that docker, podman, skopeo and containerd all load: an OCI layout (every
 * blob as it was pulled, so every digest stays) with docker's manifest.json beside it. A blob that several images share
 * is in it once.
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/archive_int.h"
#include "image/bundle_int.h"
#include "image/location.h"
#include "image/manifest_int.h"
#include "storage/archive.h"
#include "storage/store.h"

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

struct saved {
    char id[65];
    struct strv references; /* canonical, with a tag */
    char *source;           /* the name that says which of its manifests is meant; NULL: the record's */
    char manifest[72];      /* that the name was set to, or "" */
};

struct saving {
    const struct image_save *s;
    struct store *store;
    enum image_format format;
    struct saved *images;
    size_t n;
    struct strv names, digests; /* members blobs/sha256/…, and what they are */
};

/* ---- which images, under which names ---- */

static struct saved *saved_of(struct saving *s, const char *id, const char *source) {
    const struct store_ref as = store_ref_of(s->store, source, id);
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->images[i].id, id) && str_eq(s->images[i].manifest, as.manifest))
            return &s->images[i];
    s->images = mem_resize(s->images, s->n + 1, sizeof *s->images);
    struct saved *image = &s->images[s->n++];
    *image = (struct saved){.source = mem_dup(source)};
    memcpy(image->id, id, ID_LEN + 1);
    memcpy(image->manifest, as.manifest, sizeof as.manifest);
    return image;
}

static void add_name(struct saving *s, const char *id, const char *reference) {
    struct saved *image = saved_of(s, id, reference);
    if (reference && !strchr(reference, '@') && !strv_has(&image->references, reference))
        strv_push(&image->references, reference);
}

/* True when the user gave a bare name: docker then saves every tag of it. */
static bool bare_name(const char *text, struct image_ref *ret) {
    autoerr e = image_ref_parse(text, ret);
    if (e)
        return false;
    const char *last = strrchr(text, '/');
    if (!ret->digest && !strchr(last ? last : text, ':'))
        return true;
    image_ref_done(ret);
    return false;
}

static struct err *add_tags(struct saving *s, const struct image_ref *ref, size_t *ret_found) {
    autostrmap struct strmap all = {0};
    autofree char *prefix = mem_printf("%s/%s:", ref->domain, ref->path);
    TRY(store_refs(s->store, &all));
    *ret_found = 0;
    for (size_t i = 0; i < all.n; i++)
        if (str_starts(all.e[i].key, prefix)) {
            add_name(s, all.e[i].value, all.e[i].key);
            ++*ret_found;
        }
    return NULL;
}

static struct err *choose_one(struct saving *s, const char *text) {
    struct image_ref ref = {0};
    size_t found = 0;
    if (bare_name(text, &ref)) {
        struct err *e = add_tags(s, &ref, &found);
        image_ref_done(&ref);
        if (e || found)
            return e;
    }
    char id[65];
    autofree char *reference = NULL;
    TRY(image_find(s->store, text, id, &reference));
    add_name(s, id, reference);
    return NULL;
}

/* ---- what goes into the archive ---- */

static void add_blob(struct saving *s, const char *digest) {
    if (strv_has(&s->digests, digest))
        return;
    strv_push(&s->digests, digest);
    strv_pushf(&s->names, "blobs/sha256/%s", digest_hex(digest));
}

/* An image made here may have been recorded without a manifest: it gets one now, and keeps it as a blob. */
static struct err *ensure_manifest(struct saving *s, struct store_image *img) {
    if (img->manifest)
        return NULL;
    autofd int fd = -1;
    int64_t size = 0;
    char digest[DIGEST_LEN + 1];
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY(store_blob_open(s->store, img->config, &fd, &size));
    autofree struct made_layer *layers = made_layers(img->layers, img->n_layers);
    const struct manifest_parts parts = {
        .config = img->config, .config_size = size, .layers = layers, .n = img->n_layers};
    manifest_make(&parts, &text);
    TRY(digest_of(str_c(&text), text.len, digest));
    TRY(store_blob_put(s->store, digest, str_c(&text), text.len));
    img->manifest = mem_dup(digest);
    mem_set(&img->manifest_type, MEDIA_OCI_MANIFEST);
    return NULL;
}

static struct json *index_entry(const struct store_image *img, int64_t size, const char *reference) {
    struct json *j = descriptor_json(img->manifest_type, img->manifest, size);
    if (reference) {
        struct json *a = json_object();
        json_set_str(a, "io.containerd.image.name", reference);
        json_set_str(a, "org.opencontainers.image.ref.name", strrchr(reference, ':') + 1);
        json_set(j, "annotations", a);
    }
    if (!img->arch) /* no image */
        return j;
    struct json *p = json_object();
    json_set_str(p, "architecture", img->arch);
    json_set_str(p, "os", img->os);
    if (img->variant && *img->variant)
        json_set_str(p, "variant", img->variant);
    json_set(j, "platform", p);
    return j;
}

static struct json *docker_entry(const struct store_image *img, const struct strv *references) {
    struct json *j = json_object(), *tags = json_array(), *layers = json_array();
    for (size_t i = 0; i < references->n; i++) {
        autofree char *familiar = image_ref_familiar(references->v[i]);
        json_push_str(tags, familiar);
    }
    for (size_t i = 0; i < img->n_layers; i++) {
        autofree char *name = mem_printf("blobs/sha256/%s", digest_hex(img->layers[i].blob));
        json_push_str(layers, name);
    }
    autofree char *config = mem_printf("blobs/sha256/%s", digest_hex(img->config));
    json_set_str(j, "Config", config);
    json_set(j, "RepoTags", tags);
    json_set(j, "Layers", layers);
    return j;
}

/* A tag in a layout, as skopeo writes it. */
static void set_tag(struct json *entry, const char *tag) {
    struct json *a = json_object();
    json_set_str(a, "org.opencontainers.image.ref.name", tag);
    json_set(entry, "annotations", a);
}

/* What the image is called in an archive of docker's where the user has said it. */
static struct err *rename_saved(struct saved *image, const char *as) {
    struct image_ref ref = {.domain = NULL};
    TRY(image_ref_parse(as, &ref));
    bool by_digest = ref.digest != NULL;
    autofree char *canonical = image_ref_canonical(&ref);
    image_ref_done(&ref);
    if (by_digest)
        return err_new(ERR_USAGE, "an archive names images by tags, not by digests: %s", as);
    strv_done(&image->references);
    image->references = (struct strv){.n = 0};
    strv_push(&image->references, canonical);
    return NULL;
}

/* An index with all that it lists, where the format has room for one. */
static struct err *add_index(struct saving *s, const struct store_image *img, struct store_image *shown) {
    static char type[] = MEDIA_OCI_INDEX;
    autostrv struct strv blobs = {.n = 0};
    if (!img->index || s->format == IMAGE_SAVE_DIR)
        return NULL;
    TRY_CTX(bundle_blobs(s->store, img->index, &blobs), "index %s", img->index);
    for (size_t i = 0; i < blobs.n; i++)
        add_blob(s, blobs.v[i]);
    shown->manifest = img->index;
    shown->manifest_type = type;
    shown->arch = NULL; /* it is for none alone */
    return NULL;
}

static struct err *describe(struct saving *s, struct saved *image, struct store_image *img, struct json *index,
                            struct json *docker) {
    autofd int fd = -1;
    int64_t size = 0;
    const char *tag = s->format == IMAGE_SAVE_DOCKER ? NULL : s->s->as;
    TRY(ensure_manifest(s, img));
    struct store_image shown = *img;
    TRY(add_index(s, img, &shown));
    TRY(store_blob_open(s->store, shown.manifest, &fd, &size));
    if (s->s->as && !tag)
        TRY(rename_saved(image, s->s->as));
    if (tag) {
        struct json *entry = index_entry(&shown, size, NULL);
        set_tag(entry, tag);
        json_push(index, entry);
    }
    for (size_t i = 0; !tag && i < image->references.n; i++)
        json_push(index, index_entry(&shown, size, image->references.v[i]));
    if (!tag && image->references.n == 0)
        json_push(index, index_entry(&shown, size, NULL));
    json_push(docker, docker_entry(img, &image->references));
    for (size_t i = 0; i < img->n_layers; i++)
        add_blob(s, img->layers[i].blob);
    add_blob(s, img->config);
    add_blob(s, img->manifest);
    return NULL;
}

/* What stands beside the blobs. */
struct description {
    struct str index, docker;
};

static void files_of(const struct saving *s, const struct description *d, struct store_tar_file *files, size_t *ret_n) {
    size_t n = 0;
    for (; n < s->digests.n; n++)
        files[n] = (struct store_tar_file){.name = s->names.v[n], .blob = s->digests.v[n]};
    files[n++] = (struct store_tar_file){.name = "index.json", .data = d->index.ptr, .len = d->index.len};
    if (s->format == IMAGE_SAVE_DOCKER)
        files[n++] = (struct store_tar_file){.name = "manifest.json", .data = d->docker.ptr, .len = d->docker.len};
    files[n++] = (struct store_tar_file){.name = "oci-layout", .data = layout_text, .len = sizeof layout_text - 1};
    *ret_n = n;
}

/* What a layout has already by that name and in that size is what its name says. */
static bool there(int dir, const char *name, int64_t size) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == size;
}

static struct err *put_blob(const struct saving *s, int dir, const char *name, const char *digest) {
    autofd int from = -1, to = -1;
    int64_t size = 0;
    TRY(store_blob_open(s->store, digest, &from, &size));
    if (s->s->add && there(dir, name, size))
        return NULL;
    if (s->s->add && unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return err_sys(errno, "replace %s", name);
    TRY(fd_open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644, &to));
    return io_copy(from, to, UINT64_MAX, NULL);
}

/* The index last: a directory that has one is whole. */
static struct err *put_files(const struct saving *s, int dir, const struct store_tar_file *files, size_t n) {
    TRY(io_mkdirs(dir, "blobs/sha256", 0755));
    for (size_t i = 0; i < n; i++)
        if (files[i].blob)
            TRY(put_blob(s, dir, files[i].name, files[i].blob));
    for (size_t i = n; i-- > 0;)
        if (!files[i].blob)
            TRY(io_write_file(dir, files[i].name, files[i].data, files[i].len, 0644, 0));
    return NULL;
}

/* skopeo's: blobs by their hex, and the manifest under its own name, last. */
static struct err *put_directory(const struct saving *s, int dir) {
    static const char version[] = "Directory Transport Version: 1.1\n";
    struct store_image *img = NULL;
    if (s->n != 1)
        return err_new(ERR_USAGE, "a directory in this form holds one image, not %zu", s->n);
    TRY(image_get(s->store, s->images[0].id, s->images[0].source, &img));
    autofree char *manifest = mem_dup(img->manifest);
    store_image_free(img);
    for (size_t i = 0; i < s->digests.n; i++)
        if (!str_eq(s->digests.v[i], manifest))
            TRY(put_blob(s, dir, digest_hex(s->digests.v[i]), s->digests.v[i]));
    TRY(io_write_file(dir, "version", version, sizeof version - 1, 0644, 0));
    return put_blob(s, dir, "manifest.json", manifest);
}

static struct err *check_empty(void *ctx, const char *name, unsigned char d_type) {
    (void)ctx;
    (void)d_type;
    return err_hint(err_new(ERR_CONFLICT, "the directory is not empty: \"%s\" is in it", name), "name a new one");
}

static const char *tag_of(const struct json *entry) {
    return json_text(json_get(entry, "annotations"), "org.opencontainers.image.ref.name");
}

/* One of `ours` has its name, or where neither has one it is the same manifest. */
static bool replaced_by(const struct json *entry, const struct json *ours) {
    JSON_EACH(new, ours)
    if (str_eq(tag_of(new), tag_of(entry)) &&
        (*tag_of(new) || str_eq(json_text(new, "digest"), json_text(entry, "digest"))))
        return true;
    return false;
}

/* Puts what a layout lists already behind `manifests`. *ret_layout: it is one; else it must be empty. */
static struct err *list_others(int dir, struct json *manifests, bool *ret_layout) {
    autojson old = NULL;
    autojson ours = json_copy(manifests);
    struct err *none = json_read_file(dir, "index.json", &old);
    if (none && err_kind(none) != ERR_NOT_FOUND)
        return none;
    err_free(none);
    *ret_layout = old != NULL;
    JSON_EACH(entry, json_get(old, "manifests"))
    if (!replaced_by(entry, ours))
        json_push(manifests, json_copy(entry));
    return NULL;
}

static struct err *write_out(struct saving *s, struct json *manifests, const struct json *docker, int out_fd) {
    autojson index = json_object();
    struct description d = {.index = STR_INIT, .docker = STR_INIT};
    bool into_dir = s->format == IMAGE_SAVE_OCI_DIR || s->format == IMAGE_SAVE_DIR, layout = false;
    size_t n = 0;
    struct err *e = NULL;
    if (s->s->add && s->format == IMAGE_SAVE_OCI_DIR)
        e = list_others(out_fd, manifests, &layout);
    json_set_int(index, "schemaVersion", 2);
    json_set_str(index, "mediaType", MEDIA_OCI_INDEX);
    json_set(index, "manifests", manifests);
    json_render(index, JSON_COMPACT, &d.index);
    json_render(docker, JSON_COMPACT, &d.docker);
    struct store_tar_file *files = mem_array(s->digests.n + 3, sizeof *files);
    files_of(s, &d, files, &n);
    if (!e && into_dir && !layout)
        e = io_each_entry(out_fd, check_empty, NULL);
    if (!e && !into_dir)
        e = store_archive_write(s->store, out_fd, files, n);
    else if (!e)
        e = s->format == IMAGE_SAVE_DIR ? put_directory(s, out_fd) : put_files(s, out_fd, files, n);
    free(files);
    str_done(&d.index);
    str_done(&d.docker);
    return e;
}

static struct err *save_chosen(struct saving *s, int out_fd) {
    autojson manifests = json_array();
    autojson docker = json_array();
    if (s->s->content) {
        struct saved unnamed = {.source = NULL};
        TRY(describe(s, &unnamed, s->s->content, manifests, docker));
    }
    for (size_t i = 0; i < s->n; i++) {
        struct store_image *img = NULL;
        TRY(image_get(s->store, s->images[i].id, s->images[i].source, &img));
        if (s->s->index)
            mem_set(&img->index, s->s->index);
        struct err *e = describe(s, &s->images[i], img, manifests, docker);
        store_image_free(img);
        if (e)
            return err_wrap(e, "save image %.12s", s->images[i].id);
    }
    return write_out(s, take_ptr(&manifests), docker, out_fd);
}

struct err *image_save(const struct image_save *args) {
    struct saving s = {.s = args, .store = args->store, .format = args->format};
    autofd int hold = -1;
    struct err *e = store_hold(args->store, &hold);
    for (size_t i = 0; !e && !args->content && i < args->names->n; i++)
        e = choose_one(&s, args->names->v[i]);
    if (!e)
        e = save_chosen(&s, args->fd);
    for (size_t i = 0; i < s.n; i++) {
        strv_done(&s.images[i].references);
        free(s.images[i].source);
    }
    free(s.images);
    strv_done(&s.names);
    strv_done(&s.digests);
    return e;
}
