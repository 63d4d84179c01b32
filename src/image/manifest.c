/* manifest: manifests, indexes and image configs from JSON to checked plain data. */
#include "image/manifest_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"
#include "storage/store.h"

#define BLOB_SIZE_MAX (INT64_C(1) << 50)

void descriptor_done(struct descriptor *d) {
    free(d->media_type);
    free(d->digest);
    *d = (struct descriptor){0};
}

struct err *descriptor_parse(const struct json *j, struct descriptor *ret) {
    const char *type = NULL, *digest = NULL;
    int64_t size = 0;
    TRY(json_get_str_opt(j, "mediaType", "", &type));
    TRY(json_get_str(j, "digest", &digest));
    TRY(json_get_i64(j, "size", &size));
    if (!digest_ok(digest))
        return err_new(ERR_CORRUPT, "manifest names an unusable digest \"%.80s\"", digest);
    if (size < 0 || size > BLOB_SIZE_MAX)
        return err_new(ERR_CORRUPT, "manifest gives %s an impossible size", digest);
    *ret = (struct descriptor){.media_type = mem_dup(type), .digest = mem_dup(digest), .size = size};
    return NULL;
}

void manifest_done(struct manifest *m) {
    free(m->media_type);
    descriptor_done(&m->config);
    for (size_t i = 0; i < m->n_layers; i++)
        descriptor_done(&m->layers[i]);
    free(m->layers);
    json_free(m->json);
    *m = (struct manifest){0};
}

static bool in_list(const char *s, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}

static bool is_index_type(const char *type) { return str_eq(type, MEDIA_OCI_INDEX) || str_eq(type, MEDIA_DOCKER_LIST); }
static bool is_manifest_type(const char *type) {
    return str_eq(type, MEDIA_OCI_MANIFEST) || str_eq(type, MEDIA_DOCKER_MANIFEST);
}

static bool is_known_type(const char *type) { return is_index_type(type) || is_manifest_type(type); }

struct err *manifest_layer_type_check(const char *type) {
    static const char *const known[] = {
        MEDIA_OCI_LAYER,
        MEDIA_OCI_LAYER "+gzip",
        MEDIA_OCI_LAYER "+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        MEDIA_DOCKER_LAYER,
        MEDIA_DOCKER_LAYER ".gzip",
        MEDIA_DOCKER_LAYER ".zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    };
    if (in_list(type, known, ARRAY_LEN(known)))
        return NULL;
    return err_new(ERR_UNSUPPORTED, "layer media type \"%.120s\" is not supported", type);
}

static struct err *config_type_check(const char *type, bool docker) {
    if (str_eq(type, MEDIA_OCI_CONFIG) || str_eq(type, MEDIA_DOCKER_CONFIG))
        return NULL;
    /* Early schema 2 pushes called the config an octet-stream. */
    if (docker && str_eq(type, "application/octet-stream"))
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "the reference is not an image: its config is of type \"%.120s\"", type),
                    "it is another kind of artifact (a chart, a signature, …) and cannot be run");
}

static struct err *schema_check(const struct json *j) {
    int64_t version = 0;
    TRY(json_get_i64_opt(j, "schemaVersion", 2, &version));
    if (version == 1 || json_get(j, "fsLayers"))
        return err_hint(
            err_new(ERR_UNSUPPORTED, "the image has a schema 1 manifest, a format that was retired in 2019"),
            "ask its publisher to push it again, or copy it once with 'skopeo copy --format=oci'");
    if (version != 2)
        return err_new(ERR_CORRUPT, "manifest has schema version %lld, not 2", (long long)version);
    return NULL;
}

/* The type of the document: its own word first, the registry's second, its shape third; contradictions are refused. */
static struct err *document_type(const struct json *j, const char *content_type, const char **ret) {
    const char *type = NULL;
    TRY(json_get_str_opt(j, "mediaType", "", &type));
    TRY(schema_check(j));
    bool index = json_get(j, "manifests"), image = json_get(j, "layers") || json_get(j, "config");
    if (index && image)
        return err_new(ERR_CORRUPT, "manifest is an index and an image at once");
    if (!*type && content_type && is_known_type(content_type))
        type = content_type;
    if (!*type)
        type = index ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
    if (!is_known_type(type))
        return err_new(ERR_UNSUPPORTED, "manifest media type \"%.120s\" is not supported", type);
    if (is_index_type(type) != index)
        return err_new(ERR_CORRUPT, "manifest is not what its media type \"%s\" says", type);
    *ret = type;
    return NULL;
}

static struct err *content_type_check(const char *content_type, const char *type) {
    if (!content_type || !is_known_type(content_type))
        return NULL;
    if (is_index_type(content_type) != is_index_type(type))
        return err_new(ERR_CORRUPT, "the registry sent a manifest of type \"%s\" as \"%s\"", type, content_type);
    return NULL;
}

static struct err *parse_layers(const struct json *j, struct manifest *m) {
    struct json *layers = NULL;
    TRY(json_get_array(j, "layers", &layers));
    size_t n = json_count(layers);
    if (n > MANIFEST_LAYERS_MAX)
        return err_new(ERR_UNSUPPORTED, "image has %zu layers, more than %d", n, MANIFEST_LAYERS_MAX);
    m->layers = mem_array(n, sizeof *m->layers);
    JSON_EACH(layer, layers) {
        TRY(descriptor_parse(layer, &m->layers[m->n_layers]));
        m->n_layers++;
        TRY(manifest_layer_type_check(m->layers[m->n_layers - 1].media_type));
    }
    return NULL;
}

static struct err *parse_into(const struct str *text, const char *content_type, struct manifest *m) {
    if (text->len > MANIFEST_MAX)
        return err_new(ERR_CORRUPT, "manifest is larger than %zu bytes", MANIFEST_MAX);
    TRY(json_parse(str_c(text), text->len, "manifest", JSON_REFUSE_DUPLICATES, &m->json));
    if (json_type(m->json) != JSON_OBJECT)
        return err_new(ERR_CORRUPT, "manifest is not a JSON object");
    const char *type = NULL;
    TRY(document_type(m->json, content_type, &type));
    TRY(content_type_check(content_type, type));
    m->media_type = mem_dup(type);
    m->is_index = is_index_type(type);
    if (m->is_index) {
        struct json *manifests = NULL;
        return json_get_array(m->json, "manifests", &manifests);
    }
    struct json *config = NULL;
    TRY(json_get_object(m->json, "config", &config));
    TRY(descriptor_parse(config, &m->config));
    TRY(config_type_check(m->config.media_type, str_eq(type, MEDIA_DOCKER_MANIFEST)));
    return parse_layers(m->json, m);
}

struct err *manifest_parse(const struct str *text, const char *content_type, struct manifest *ret) {
    struct manifest m = {0};
    struct err *e = parse_into(text, content_type, &m);
    if (e) {
        manifest_done(&m);
        return e;
    }
    *ret = m;
    return NULL;
}

void image_conf_done(struct image_conf *c) {
    free(c->os);
    free(c->arch);
    free(c->variant);
    strv_done(&c->diff_ids);
    *c = (struct image_conf){0};
}

static struct err *conf_diff_ids(const struct json *j, struct image_conf *c) {
    struct json *rootfs = NULL;
    const char *type = NULL;
    TRY(json_get_object(j, "rootfs", &rootfs));
    TRY(json_get_str_opt(rootfs, "type", "layers", &type));
    if (!str_eq(type, "layers"))
        return err_new(ERR_UNSUPPORTED, "image root file system of type \"%.40s\" is not supported", type);
    TRY(json_get_strv_opt(rootfs, "diff_ids", &c->diff_ids));
    for (size_t i = 0; i < c->diff_ids.n; i++)
        if (!digest_ok(c->diff_ids.v[i]))
            return err_new(ERR_CORRUPT, "image config names an unusable diff_id \"%.80s\"", c->diff_ids.v[i]);
    return NULL;
}

static struct err *conf_parse_into(const struct str *text, struct image_conf *c) {
    autojson j = NULL;
    TRY(json_parse(str_c(text), text->len, "image config", JSON_REFUSE_DUPLICATES, &j));
    const char *os = NULL, *arch = NULL, *variant = NULL, *created = NULL;
    TRY(json_get_str_opt(j, "os", "linux", &os));
    TRY(json_get_str_opt(j, "architecture", "", &arch));
    TRY(json_get_str_opt(j, "variant", "", &variant));
    TRY(json_get_str_opt(j, "created", "", &created));
    if (!str_eq(os, "linux") && *os)
        return err_new(ERR_UNSUPPORTED, "image operating system \"%.40s\" cannot be used on this platform", os);
    c->os = mem_dup(*os ? os : "linux");
    c->arch = mem_dup(arch);
    c->variant = mem_dup(variant);
    /* A damaged date is not worth refusing an image for; docker shows such images as made at its zero time. */
    if (*created)
        err_free(clock_parse_rfc3339(created, &c->created));
    return conf_diff_ids(j, c);
}

struct err *image_conf_parse(const struct str *text, struct image_conf *ret) {
    struct image_conf c = {0};
    struct err *e = conf_parse_into(text, &c);
    if (e) {
        image_conf_done(&c);
        return e;
    }
    *ret = c;
    return NULL;
}

static struct err *fill_layers(const struct manifest *m, const struct image_conf *c, struct store_image *img) {
    if (m->n_layers != c->diff_ids.n)
        return err_new(ERR_CORRUPT, "manifest has %zu layers and the image config %zu", m->n_layers, c->diff_ids.n);
    img->layers = mem_array(m->n_layers, sizeof *img->layers);
    img->n_layers = m->n_layers;
    const char *parent = NULL;
    for (size_t i = 0; i < m->n_layers; i++) {
        char chain[72];
        TRY(store_chain_id(parent, c->diff_ids.v[i], chain));
        img->layers[i] = (struct store_layer_ref){
            .blob = mem_dup(m->layers[i].digest),
            .media_type = mem_dup(m->layers[i].media_type),
            .diff_id = mem_dup(c->diff_ids.v[i]),
            .chain_id = mem_dup(chain),
            .size = m->layers[i].size,
        };
        parent = img->layers[i].chain_id;
    }
    return NULL;
}

static struct err *check_config_bytes(const struct manifest *m, const struct str *config) {
    char digest[DIGEST_LEN + 1];
    if ((int64_t)config->len != m->config.size)
        return err_new(ERR_CORRUPT, "image config has %zu bytes, the manifest says %lld", config->len,
                       (long long)m->config.size);
    TRY(digest_of(str_c(config), config->len, digest));
    if (!str_eq(digest, m->config.digest))
        return err_new(ERR_CORRUPT, "image config has digest %s, the manifest says %s", digest, m->config.digest);
    return NULL;
}

static struct err *build_from(const struct manifest *m, const char *manifest_digest, const struct str *config,
                              struct store_image *img) {
    if (m->is_index)
        return err_new(ERR_CORRUPT, "an index stands where an image manifest was expected");
    TRY(check_config_bytes(m, config));
    struct image_conf c = {0};
    TRY(image_conf_parse(config, &c));
    img->id = mem_dup(digest_hex(m->config.digest));
    img->manifest = mem_dup(manifest_digest);
    img->manifest_type = mem_dup(m->media_type);
    img->config = mem_dup(m->config.digest);
    img->created = c.created;
    img->os = mem_dup(c.os);
    img->arch = mem_dup(c.arch);
    img->variant = mem_dup(c.variant);
    struct err *e = fill_layers(m, &c, img);
    image_conf_done(&c);
    return e;
}

struct err *image_build_record(const struct str *manifest, const char *manifest_digest, const struct str *config,
                               struct store_image **ret) {
    struct manifest m = {0};
    TRY(manifest_parse(manifest, NULL, &m));
    struct store_image *img = mem_alloc(sizeof *img);
    struct err *e = build_from(&m, manifest_digest, config, img);
    manifest_done(&m);
    if (e) {
        store_image_free(img);
        return e;
    }
    *ret = img;
    return NULL;
}
