/* cache: see cache.h. Finding one and bringing in what it has; cache_write.c makes them. */
#include "image/cache.h"

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
#include "image/build.h"
#include "image/cache_int.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "image/pull_int.h"
#include "image/registry_int.h"
#include "image/trust_int.h"
#include "storage/store.h"

struct image_cache {
    struct image_cache_place at;
    struct json *config;
    struct store_layer_ref *layers;
    size_t n;
    int layout;                  /* directory, or -1 */
    struct fetch_client *client; /* of this process, once it has asked a registry */
    struct registry *registry;
};

static void disconnect(struct image_cache *c) {
    registry_free(take_ptr(&c->registry));
    fetch_client_free(take_ptr(&c->client));
}

void image_cache_free(struct image_cache *c) {
    if (!c)
        return;
    disconnect(c);
    for (size_t i = 0; i < c->n; i++)
        image_layer_done(&c->layers[i]);
    free(c->layers);
    json_free(c->config);
    fd_close(c->layout);
    free(c);
}

static struct err *connect_registry(struct image_cache *c) {
    const struct image_cache_place *p = &c->at;
    if (c->registry)
        return NULL;
    TRY(fetch_client_new(p->host, p->interrupted_fd, &c->client));
    return registry_new(p->host, p->config, c->client, p->ref->domain, p->ref->path, NULL, &c->registry);
}

/* ---- small blobs ---- */

struct err *cache_layout_blob(int layout, const char *digest, struct str *out) {
    char got[DIGEST_LEN + 1];
    autofree char *name = mem_printf("blobs/sha256/%s", digest_hex(digest));
    TRY(io_read_file(layout, name, MANIFEST_MAX, out));
    TRY(digest_of(str_c(out), out->len, got));
    return str_eq(got, digest) ? NULL : err_new(ERR_CORRUPT, "blob %s of the layout has the digest %s", digest, got);
}

struct err *cache_layout_find(int layout, const char *name, struct descriptor *ret, size_t *ret_entries) {
    autojson index = NULL;
    struct json *manifests;
    TRY(json_read_file(layout, "index.json", &index));
    TRY(json_get_array(index, "manifests", &manifests));
    JSON_EACH(entry, manifests) {
        const char *tag = json_text(json_get(entry, "annotations"), "org.opencontainers.image.ref.name");
        if (!str_eq(tag, name) && !str_eq(json_text(entry, "digest"), name))
            continue;
        *ret_entries = json_count(manifests);
        return descriptor_parse(entry, ret);
    }
    return err_new(ERR_NOT_FOUND, "the layout has no %s", name);
}

static struct err *get_from_registry(struct image_cache *c, const char *name, struct str *out, char ret_digest[72]) {
    struct registry_answer a = {.digest = NULL};
    TRY(registry_manifest(c->registry, name, false, &a));
    const char *want = digest_ok(name) ? name : a.digest;
    struct err *e = digest_of(str_c(&a.body), a.body.len, ret_digest);
    if (!e && want && !str_eq(want, ret_digest))
        e = err_new(ERR_CORRUPT, "manifest %s arrived with the digest %s", want, ret_digest);
    if (!e)
        str_append_n(out, a.body.ptr, a.body.len);
    registry_answer_done(&a);
    return e;
}

static struct err *get_from_layout(const struct image_cache *c, const char *name, struct str *out,
                                   char ret_digest[72]) {
    struct descriptor d = {.digest = NULL};
    size_t entries;
    if (digest_ok(name))
        d.digest = mem_dup(name);
    else
        TRY(cache_layout_find(c->layout, name, &d, &entries));
    memcpy(ret_digest, d.digest, DIGEST_LEN + 1);
    struct err *e = cache_layout_blob(c->layout, d.digest, out);
    descriptor_done(&d);
    return e;
}

static struct err *get_manifest(struct image_cache *c, const char *name, struct str *out, char ret_digest[72]) {
    str_clear(out);
    return c->registry ? get_from_registry(c, name, out, ret_digest) : get_from_layout(c, name, out, ret_digest);
}

static struct err *get_config(struct image_cache *c, const struct descriptor *d, struct str *out) {
    char got[DIGEST_LEN + 1];
    struct registry_answer a = {.digest = NULL};
    if (!c->registry)
        return cache_layout_blob(c->layout, d->digest, out);
    TRY(registry_small_blob(c->registry, d->digest, d->size, &a));
    str_append_n(out, a.body.ptr, a.body.len);
    registry_answer_done(&a);
    TRY(digest_of(str_c(out), out->len, got));
    return str_eq(got, d->digest) ? NULL : err_new(ERR_CORRUPT, "blob %s arrived with the digest %s", d->digest, got);
}

/* ---- what they say ---- */

/* Of an image for several platforms the one for ours is looked at. */
static struct err *child_of(struct image_cache *c, const struct json *index, struct str *text, char ret_digest[72]) {
    struct image_platform own = {.os = NULL};
    autofree char *digest = NULL;
    int64_t size;
    TRY(image_platform_parse(c->at.host, NULL, &own));
    struct err *e = image_index_choose(index, &own, &digest, &size);
    image_platform_done(&own);
    TRY(e);
    return get_manifest(c, digest, text, ret_digest);
}

static struct err *parse_layers(struct image_cache *c, const struct json *manifest) {
    struct json *list;
    TRY(json_get_array(manifest, "layers", &list));
    if (json_count(list) > MANIFEST_LAYERS_MAX)
        return err_new(ERR_UNSUPPORTED, "it has %zu layers, more than %d", json_count(list), MANIFEST_LAYERS_MAX);
    c->layers = mem_array(json_count(list) + 1, sizeof *c->layers);
    JSON_EACH(entry, list) {
        struct descriptor d = {.digest = NULL};
        TRY(descriptor_parse(entry, &d));
        c->layers[c->n++] = (struct store_layer_ref){.blob = d.digest, .media_type = d.media_type, .size = d.size};
        TRY(manifest_layer_type_check(d.media_type));
    }
    return NULL;
}

static struct err *name_layers(struct image_cache *c) {
    autostrv struct strv ids = {.n = 0};
    TRY(json_get_strv_opt(json_get(c->config, "rootfs"), "diff_ids", &ids));
    if (ids.n != c->n)
        return err_new(ERR_CORRUPT, "its manifest has %zu layers and its config %zu", c->n, ids.n);
    for (size_t i = 0; i < ids.n; i++) {
        if (!digest_ok(ids.v[i]))
            return err_new(ERR_CORRUPT, "its config names an unusable diff_id");
        c->layers[i].diff_id = mem_dup(ids.v[i]);
    }
    return NULL;
}

static struct err *no_cache(void) {
    return err_hint(err_new(ERR_NOT_FOUND, "there is no build cache in it"),
                    "an image has one when it was built with --cache-to type=inline");
}

static struct err *config_type_check(const char *type) {
    if (str_eq(type, MEDIA_CACHE_CONFIG) || str_eq(type, MEDIA_OCI_CONFIG) || str_eq(type, MEDIA_DOCKER_CONFIG))
        return NULL;
    return err_new(ERR_UNSUPPORTED,
                   "it is neither an image nor a cache that coracle has made: its config is of type "
                   "\"%.120s\"",
                   type);
}

/* What a cache says of itself; c->config is its config then. */
static struct err *take_in(struct image_cache *c, const struct json *manifest, const struct str *config) {
    TRY(json_parse(str_c(config), config->len, "the cache's config", JSON_REFUSE_DUPLICATES, &c->config));
    if (json_type(json_get(c->config, IMAGE_CACHE_KEY)) != JSON_OBJECT)
        return no_cache();
    TRY(parse_layers(c, manifest));
    return name_layers(c);
}

struct err *cache_of_texts(const char *manifest, size_t n, const struct str *config, struct image_cache **ret) {
    autojson m = NULL;
    TRY(json_parse(manifest, n, "manifest", JSON_REFUSE_DUPLICATES, &m));
    struct image_cache *c = mem_alloc(sizeof *c);
    *c = (struct image_cache){.layout = -1};
    struct err *e = take_in(c, m, config);
    if (e)
        image_cache_free(c);
    else
        *ret = c;
    return e;
}

static struct err *parse(struct image_cache *c, const struct json *manifest) {
    struct json *config;
    struct descriptor d = {.digest = NULL};
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY(json_get_object(manifest, "config", &config));
    TRY(descriptor_parse(config, &d));
    struct err *e = config_type_check(d.media_type);
    if (!e)
        e = get_config(c, &d, &text);
    descriptor_done(&d);
    TRY(e);
    return take_in(c, manifest, &text);
}

static struct err *check_trust(const struct image_cache *c, const struct json *rules, const struct trust_source *source,
                               const char *digest, const char *child) {
    const struct trust_subject subject = {.host = c->at.host,
                                          .store = c->at.store,
                                          .registry = c->registry,
                                          .source = source,
                                          .digests = {digest, str_eq(digest, child) ? NULL : child}};
    return rules ? trust_check(rules, &subject) : NULL;
}

static struct err *read_manifest(struct image_cache *c, const char *name, const struct json *rules,
                                 const struct trust_source *source) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    autojson manifest = NULL;
    char digest[72], child[72];
    TRY(get_manifest(c, name, &text, digest));
    memcpy(child, digest, sizeof child);
    TRY(json_parse(str_c(&text), text.len, "manifest", JSON_REFUSE_DUPLICATES, &manifest));
    if (json_get(manifest, "manifests")) {
        TRY(child_of(c, manifest, &text, child));
        json_free(take_ptr(&manifest));
        TRY(json_parse(str_c(&text), text.len, "manifest", JSON_REFUSE_DUPLICATES, &manifest));
    }
    TRY(check_trust(c, rules, source, digest, child));
    return parse(c, manifest);
}

/* ---- opening ---- */

static struct err *open_layout(struct image_cache *c, char ret_path[PATH_MAX]) {
    char self[32];
    TRY(fd_open_dir(AT_FDCWD, c->at.dir, &c->layout));
    ssize_t n = readlink(path_of_fd(c->layout, self), ret_path, PATH_MAX - 1);
    if (n < 0)
        return err_sys(errno, "find the path of %s", c->at.dir);
    ret_path[n] = 0;
    return NULL;
}

static struct err *open_remote(struct image_cache *c) {
    const struct image_cache_place *p = &c->at;
    char path[PATH_MAX] = "";
    autotrust trust = NULL;
    const struct json *rules = NULL;
    struct trust_source source = {.transport = "docker", .ref = p->ref};
    if (!p->ref) {
        TRY(open_layout(c, path));
        source = (struct trust_source){.transport = "oci", .path = path, .tag = p->name};
    }
    TRY(trust_load(p->host, &trust));
    TRY(trust_rules(trust, &source, &rules));
    if (p->ref)
        TRY(connect_registry(c));
    const char *name = !p->ref ? p->name : p->ref->digest ? p->ref->digest : p->ref->tag;
    TRY(read_manifest(c, name, rules, &source));
    disconnect(c); /* those who are forked now have connections of their own */
    return NULL;
}

static struct err *open_stored(struct image_cache *c) {
    struct store_image *img = NULL;
    TRY(store_image_get(c->at.store, c->at.name, &img));
    struct err *e = image_config(c->at.store, img, &c->config);
    if (!e && json_type(json_get(c->config, IMAGE_CACHE_KEY)) != JSON_OBJECT)
        e = no_cache();
    c->layers = mem_array(img->n_layers + 1, sizeof *c->layers);
    for (; !e && c->n < img->n_layers; c->n++) {
        c->layers[c->n] = image_layer_copy(&img->layers[c->n]);
        mem_set(&c->layers[c->n].chain_id, NULL);
    }
    store_image_free(img);
    return e;
}

struct err *image_cache_open(const struct image_cache_place *p, struct image_cache **ret) {
    struct image_cache *c = mem_alloc(sizeof *c);
    *c = (struct image_cache){.at = *p, .layout = -1};
    struct err *e = p->ref || p->dir ? open_remote(c) : open_stored(c);
    if (e) {
        image_cache_free(c);
        return e;
    }
    c->at.dir = c->at.name = NULL;
    *ret = c;
    return NULL;
}

const struct json *image_cache_words(const struct image_cache *c) { return json_get(c->config, IMAGE_CACHE_KEY); }

const struct store_layer_ref *image_cache_layer(const struct image_cache *c, int64_t n) {
    return n >= 0 && (uint64_t)n < c->n ? &c->layers[n] : NULL;
}

/* ---- bringing in ---- */

static struct err *verify(int fd, const struct store_layer_ref *l) {
    char digest[DIGEST_LEN + 1];
    long long size = 0;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a blob");
    TRY(digest_of_fd(fd, digest, &size));
    if (str_eq(digest, l->blob) && size == l->size)
        return NULL;
    return err_new(ERR_CORRUPT, "blob %s of the layout has the digest %s", l->blob, digest);
}

/* Under the lock of its partial file, so that two stages do not bring it at once. */
static struct err *copy_in(const struct image_cache *c, const struct store_layer_ref *l) {
    autofree char *name = mem_printf("blobs/sha256/%s", digest_hex(l->blob));
    autofd int from = -1;
    autofd int to = -1;
    int64_t have;
    TRY(fd_open_at(c->layout, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &from));
    TRY(store_partial_open(c->at.store, l->blob, &to, &have));
    if (to < 0)
        return NULL;
    if (ftruncate(to, 0) < 0 || lseek(to, 0, SEEK_SET) < 0)
        return err_sys(errno, "empty the partial blob %s", l->blob);
    TRY(io_copy(from, to, (uint64_t)l->size, NULL));
    struct err *bad = verify(to, l);
    if (!bad)
        return store_partial_commit(c->at.store, l->blob, to);
    return err_first(bad, store_partial_drop(c->at.store, l->blob));
}

/* *ret_all: each has just been digested. */
static struct err *copy_all_in(const struct image_cache *c, const struct store_layer_ref *layers, size_t n,
                               bool *ret_all) {
    *ret_all = true;
    for (size_t i = 0; i < n; i++) {
        bool there = store_blob_has(c->at.store, layers[i].blob);
        *ret_all &= !there;
        if (!there)
            TRY(copy_in(c, &layers[i]));
    }
    return NULL;
}

bool image_cache_has(const struct image_cache *c, const struct store_layer_ref *l) {
    for (size_t i = 0; i < c->n; i++)
        if (str_eq(c->layers[i].blob, l->blob) && str_eq(c->layers[i].diff_id, l->diff_id))
            return true;
    return false;
}

struct err *image_cache_bring(struct image_cache *c, struct store_layer_ref *layers, size_t n) {
    struct unpack_ns ns = {.get = c->at.userns, .ctx = c->at.userns_ctx, .fd = -1};
    const struct image_progress_fn quiet = {.fn = NULL};
    struct store_image img = {.layers = layers, .n_layers = n};
    bool digested = false, missing = false;
    size_t fetched;
    if (c->layout >= 0)
        TRY(copy_all_in(c, layers, n, &digested));
    for (size_t i = 0; i < n; i++)
        missing |= !store_blob_has(c->at.store, layers[i].blob);
    if (missing && c->at.ref)
        TRY(connect_registry(c));
    const struct layers how = {.store = c->at.store,
                               .registry = c->registry,
                               .client = c->client,
                               .ns = &ns,
                               .progress = &quiet,
                               .interrupted_fd = c->at.interrupted_fd ? *c->at.interrupted_fd : -1,
                               .known = digested,
                               .parallel = layers_at_once(c->at.config)};
    return layers_bring_in(&how, &img, &fetched);
}
