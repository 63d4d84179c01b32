/* caches: the words of --cache-from and --cache-to. */
#include "build/caches_int.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/build.h"
#include "engine/images.h"
#include "image/cache.h"
#include "spec/spec.h"

static void spec_done(struct cache_spec *s) {
    free(s->dir);
    free(s->name);
    free(s->reference);
    free(s->compression);
    image_ref_done(&s->ref);
    image_cache_free(s->cache);
}

void caches_done(struct caches *c) {
    for (size_t i = 0; i < c->n_from; i++)
        spec_done(&c->from[i]);
    for (size_t i = 0; i < c->n_to; i++)
        spec_done(&c->to[i]);
    free(c->from);
    free(c->to);
}

/* ---- values ---- */

static struct err *set_bool(const char *key, const char *value, bool *ret) {
    return spec_parse_bool(value, ret) ? NULL : err_new(ERR_USAGE, "non-bool value specified for %s: %s", key, value);
}

static struct err *set_mode(struct cache_spec *s, const char *key, const char *value) {
    if (!str_eq(value, "min") && !str_eq(value, "max"))
        return err_new(ERR_USAGE, "unknown cache %s %s: it is min or max", key, value);
    s->max = str_eq(value, "max");
    return NULL;
}

static struct err *set_mounts(struct cache_spec *s, const char *key, const char *value) {
    return set_bool(key, value, &s->mounts);
}

static struct err *set_ignore_error(struct cache_spec *s, const char *key, const char *value) {
    return set_bool(key, value, &s->ignore_error);
}

static struct err *set_compression(struct cache_spec *s, const char *key, const char *value) {
    if (!str_eq(value, "gzip") && !str_eq(value, "zstd") && !str_eq(value, "uncompressed"))
        return err_new(ERR_UNSUPPORTED, "unsupported %s %s: it is gzip, zstd or uncompressed", key, value);
    mem_set(&s->compression, value);
    return NULL;
}

/* What is always so: an OCI manifest like an image's. */
static struct err *set_always(struct cache_spec *s, const char *key, const char *value) {
    (void)s;
    bool on = false;
    TRY(set_bool(key, value, &on));
    return on ? NULL : err_new(ERR_UNSUPPORTED, "%s=%s: a cache is always an OCI manifest like an image's", key, value);
}

static struct err *set_dir(struct cache_spec *s, const char *key, const char *value) {
    (void)key;
    mem_set(&s->dir, value);
    return NULL;
}

static struct err *set_name(struct cache_spec *s, const char *key, const char *value) {
    (void)key;
    mem_set(&s->name, value);
    return NULL;
}

static struct err *set_reference(struct cache_spec *s, const char *key, const char *value) {
    (void)key;
    mem_set(&s->reference, value);
    return NULL;
}

/* ---- keys ---- */

enum { LOCAL = 1 << CACHE_LOCAL, REGISTRY = 1 << CACHE_REGISTRY, FROM = 8, TO = 16 };

static const struct cache_key {
    const char *name;
    unsigned where; /* types that have it, and directions */
    struct err *(*set)(struct cache_spec *s, const char *key, const char *value);
} keys[] = {
    {"compression", LOCAL | REGISTRY | TO, set_compression},
    {"dest", LOCAL | TO, set_dir},
    {"digest", LOCAL | FROM, set_name},
    {"ignore-error", LOCAL | REGISTRY | TO, set_ignore_error},
    {"image-manifest", LOCAL | REGISTRY | TO, set_always},
    {"mode", LOCAL | REGISTRY | TO, set_mode},
    {"mounts", LOCAL | REGISTRY | TO, set_mounts},
    {"oci-mediatypes", LOCAL | REGISTRY | TO, set_always},
    {"ref", REGISTRY | FROM | TO, set_reference},
    {"src", LOCAL | FROM, set_dir},
    {"tag", LOCAL | FROM | TO, set_name},
};

static struct err *set_field(struct cache_spec *s, unsigned direction, const char *field) {
    const char *eq = strchr(field, '=');
    autofree char *key = mem_dupn(field, strcspn(field, "="));
    if (!eq)
        return err_new(ERR_USAGE, "invalid value %s: expected key=value", field);
    if (str_eq(key, "type"))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq(keys[i].name, key) && (keys[i].where & direction) && (keys[i].where & 1U << s->kind))
            return keys[i].set(s, key, eq + 1);
    return err_new(ERR_UNSUPPORTED, "there is no option %s here", field);
}

/* ---- types ---- */

static struct err *find_type(const struct strv *fields, enum cache_kind *ret) {
    static const char *const kinds[] = {
        [CACHE_LOCAL] = "local", [CACHE_REGISTRY] = "registry", [CACHE_INLINE] = "inline"};
    static const char *const services[] = {"gha", "s3", "azblob"};
    const char *type = strv_env_get(fields, "type");
    if (!type)
        return err_new(ERR_USAGE, "type required");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!str_eq(kinds[i], type))
            continue;
        *ret = (enum cache_kind)i;
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(services); i++)
        if (str_eq(services[i], type))
            return err_hint(
                err_new(ERR_UNSUPPORTED, "type=%s: a service of one provider, which is not spoken to", type),
                "use type=registry, or type=local and that provider's own way to keep a directory");
    return err_hint(err_new(ERR_USAGE, "unknown cache type: %s", type), "it is one of local, registry and inline");
}

static struct err *complete_local(struct cache_spec *s, bool to) {
    if (!s->dir || !*s->dir)
        return err_new(ERR_USAGE, "local cache %s requires %s", to ? "exporter" : "importer", to ? "dest" : "src");
    if (!s->name)
        s->name = mem_dup("latest");
    return NULL;
}

static struct err *complete(struct cache_spec *s, const struct engine *e, bool to) {
    if (s->kind == CACHE_LOCAL)
        return complete_local(s, to);
    if (s->kind == CACHE_INLINE && to)
        return NULL;
    if (s->kind == CACHE_INLINE)
        return err_hint(err_new(ERR_USAGE, "type=inline is where a cache goes"), "name the image: type=registry,ref=…");
    if (!s->reference || !*s->reference)
        return err_new(ERR_USAGE, "registry cache %s requires ref", to ? "exporter" : "importer");
    TRY(engine_ref_parse(e, s->reference, &s->ref));
    if (to && s->ref.digest)
        return err_new(ERR_USAGE, "a cache cannot be written to the digest of %s", s->reference);
    if (to && !s->compression)
        s->compression = mem_dup("gzip");
    return NULL;
}

static struct err *parse_one(const struct build_options *o, const char *text, bool to, struct cache_spec *s) {
    autostrv struct strv fields = {.n = 0};
    s->text = text;
    if (!to && !strpbrk(text, "=,")) {
        s->kind = CACHE_REGISTRY;
        s->bare = true;
        s->reference = mem_dup(text);
        return complete(s, o->engine, to);
    }
    strv_split(&fields, text, ',');
    TRY(find_type(&fields, &s->kind));
    for (size_t i = 0; i < fields.n; i++)
        TRY(set_field(s, to ? TO : FROM, fields.v[i]));
    return complete(s, o->engine, to);
}

static struct err *parse_all(const struct build_options *o, const struct strv *texts, bool to, struct cache_spec **ret,
                             size_t *ret_n) {
    *ret = mem_array(texts->n + 1, sizeof **ret);
    for (size_t i = 0; i < texts->n; i++) {
        (*ret)[i] = (struct cache_spec){.kind = CACHE_LOCAL};
        *ret_n = i + 1;
        TRY_CTX(parse_one(o, texts->v[i], to, &(*ret)[i]), "--cache-%s %s", to ? "to" : "from", texts->v[i]);
    }
    return NULL;
}

struct err *caches_parse(const struct build_options *o, struct caches *ret) {
    TRY(parse_all(o, o->cache_from, false, &ret->from, &ret->n_from));
    return parse_all(o, o->cache_to, true, &ret->to, &ret->n_to);
}
