/* index: see index.h. */
#include "image/index.h"

#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/manifest_int.h"
#include "image/registry_int.h"

#define ENTRIES_MAX 1000

void image_manifest_done(struct image_manifest *m) {
    free(m->media_type);
    str_done(&m->text);
    *m = (struct image_manifest){.media_type = NULL};
}

/* A repository, with the helper that talks to it. */
struct session {
    struct fetch_client *client;
    struct registry *registry;
};

static void session_done(struct session *s) {
    registry_free(s->registry);
    fetch_client_free(s->client);
}
#define autosession __attribute__((cleanup(session_done))) struct session

static struct err *session_open(const struct image_remote *r, const struct image_ref *ref, struct session *s) {
    TRY(fetch_client_new(r->host, r->interrupted_fd, &s->client));
    return registry_new(r->host, r->config, s->client, ref->domain, ref->path, NULL, &s->registry);
}

/* ---- asking ---- */

static struct err *get(struct registry *r, const char *name, struct image_manifest *ret) {
    struct registry_answer a = {.digest = NULL};
    TRY(registry_manifest(r, name, false, &a));
    struct err *e = digest_of(str_c(&a.body), a.body.len, ret->digest);
    const char *want = str_starts(name, "sha256:") ? name : a.digest;
    if (!e && want && !str_eq(want, ret->digest))
        e = err_new(ERR_CORRUPT, "manifest %s arrived with the digest %s", want, ret->digest);
    struct manifest m = {.media_type = NULL};
    if (!e)
        e = manifest_parse(&a.body, a.content_type, &m);
    if (!e) {
        ret->media_type = take_ptr(&m.media_type);
        ret->text = a.body;
        a.body = (struct str)STR_INIT;
    }
    manifest_done(&m);
    registry_answer_done(&a);
    return e;
}

struct err *image_manifest_get(const struct image_remote *r, const struct image_ref *ref, struct image_manifest *ret) {
    autosession s = {.client = NULL};
    TRY(session_open(r, ref, &s));
    return get(s.registry, ref->digest ? ref->digest : ref->tag, ret);
}

/* An image config, its digest verified; appended. */
static struct err *get_config(struct registry *r, const struct descriptor *config, struct str *out) {
    struct registry_answer a = {.digest = NULL};
    char digest[DIGEST_LEN + 1];
    TRY(registry_small_blob(r, config->digest, config->size, &a));
    struct err *e = digest_of(str_c(&a.body), a.body.len, digest);
    if (!e && !str_eq(digest, config->digest))
        e = err_new(ERR_CORRUPT, "image config %s arrived with the digest %s", config->digest, digest);
    if (!e)
        str_append_n(out, str_c(&a.body), a.body.len);
    registry_answer_done(&a);
    return e;
}

static struct err *config_platform(struct registry *r, const struct descriptor *config, struct json *platform) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    struct image_conf c = {.os = NULL};
    TRY(get_config(r, config, &text));
    TRY(image_conf_parse(&text, &c));
    json_set_str(platform, "architecture", c.arch);
    json_set_str(platform, "os", c.os);
    if (*c.variant)
        json_set_str(platform, "variant", c.variant);
    image_conf_done(&c);
    return NULL;
}

/* One manifest as docker's view; `platform` as the index says, or NULL: the config tells. */
static struct err *add_entry(struct registry *r, const struct image_ref *ref, const struct image_manifest *m,
                             const struct json *platform, struct json *out) {
    struct manifest parsed = {.media_type = NULL};
    TRY(manifest_parse(&m->text, m->media_type, &parsed));
    autojson found = platform ? json_copy(platform) : json_object();
    struct err *e = platform ? NULL : config_platform(r, &parsed.config, found);
    if (!e) {
        struct json *entry = json_object(), *d = json_object();
        autofree char *name = platform ? image_ref_with_digest(ref, m->digest) : image_ref_canonical(ref);
        json_set_str(d, "mediaType", m->media_type);
        json_set_str(d, "digest", m->digest);
        json_set_int(d, "size", (int64_t)m->text.len);
        json_set(d, "platform", take_ptr(&found));
        json_set_str(entry, "Ref", name);
        json_set(entry, "Descriptor", d);
        json_set(entry, "Manifest", json_copy(parsed.json));
        json_push(out, entry);
    }
    manifest_done(&parsed);
    return e;
}

static struct err *add_children(struct registry *r, const struct image_ref *ref, const struct manifest *index,
                                struct json *out) {
    struct json *list = NULL;
    TRY(json_get_array(index->json, "manifests", &list));
    if (json_count(list) > ENTRIES_MAX)
        return err_new(ERR_UNSUPPORTED, "the index lists more than %d manifests", ENTRIES_MAX);
    JSON_EACH(child, list) {
        automanifest m = {.media_type = NULL};
        struct descriptor d = {.digest = NULL};
        autojson none = json_object();
        const struct json *platform = json_get(child, "platform");
        TRY(descriptor_parse(child, &d));
        struct err *e = get(r, d.digest, &m);
        descriptor_done(&d);
        TRY(e);
        TRY(add_entry(r, ref, &m, platform ? platform : none, out));
    }
    return NULL;
}

struct err *image_manifest_entries(const struct image_remote *r, const struct image_ref *ref, struct json *out) {
    autosession s = {.client = NULL};
    automanifest m = {.media_type = NULL};
    struct manifest parsed = {.media_type = NULL};
    TRY(session_open(r, ref, &s));
    TRY(get(s.registry, ref->digest ? ref->digest : ref->tag, &m));
    TRY(manifest_parse(&m.text, m.media_type, &parsed));
    struct err *e =
        parsed.is_index ? add_children(s.registry, ref, &parsed, out) : add_entry(s.registry, ref, &m, NULL, out);
    manifest_done(&parsed);
    return e;
}

/* ---- configs ---- */

static struct err *config_json(struct registry *r, const struct manifest *m, struct json **ret) {
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    TRY(get_config(r, &m->config, &text));
    return json_parse(str_c(&text), text.len, "image config", 0, ret);
}

/* That of one manifest of an index, under its platform. */
static struct err *add_config(struct registry *r, const struct json *child, struct json *out) {
    automanifest m = {.media_type = NULL};
    struct manifest parsed = {.media_type = NULL};
    struct json *config = NULL;
    const struct json *p = json_get(child, "platform");
    const char *os = json_text(p, "os"), *arch = json_text(p, "architecture"), *variant = json_text(p, "variant");
    if (!*os || str_eq(os, "unknown")) /* what is said about an image, and is none */
        return NULL;
    TRY(get(r, json_text(child, "digest"), &m));
    TRY(manifest_parse(&m.text, m.media_type, &parsed));
    struct err *e = parsed.is_index ? NULL : config_json(r, &parsed, &config);
    manifest_done(&parsed);
    autofree char *key = mem_printf("%s/%s%s%s", os, arch, *variant ? "/" : "", variant);
    if (config)
        json_set(out, key, config);
    return e;
}

static struct err *add_configs(struct registry *r, const struct manifest *index, struct json **ret) {
    struct json *list = NULL;
    autojson all = json_object();
    TRY(json_get_array(index->json, "manifests", &list));
    if (json_count(list) > ENTRIES_MAX)
        return err_new(ERR_UNSUPPORTED, "the index lists more than %d manifests", ENTRIES_MAX);
    JSON_EACH(child, list)
    TRY(add_config(r, child, all));
    *ret = take_ptr(&all);
    return NULL;
}

struct err *image_manifest_configs(const struct image_remote *r, const struct image_ref *ref,
                                   const struct image_manifest *m, struct json **ret) {
    autosession s = {.client = NULL};
    struct manifest parsed = {.media_type = NULL};
    TRY(session_open(r, ref, &s));
    TRY(manifest_parse(&m->text, m->media_type, &parsed));
    struct err *e = parsed.is_index ? add_configs(s.registry, &parsed, ret) : config_json(s.registry, &parsed, ret);
    manifest_done(&parsed);
    return e;
}

/* ---- sending ---- */

void image_index_make(const struct json *entries, const char **ret_media_type, struct str *out) {
    autojson index = json_object();
    struct json *list = json_array();
    bool oci = true;
    JSON_EACH(entry, entries) {
        const struct json *d = json_get(entry, "Descriptor");
        oci = oci && str_eq(json_text(d, "mediaType"), MEDIA_OCI_MANIFEST);
        json_push(list, json_copy(d));
    }
    *ret_media_type = oci ? MEDIA_OCI_INDEX : MEDIA_DOCKER_LIST;
    json_set_int(index, "schemaVersion", 2);
    json_set_str(index, "mediaType", *ret_media_type);
    json_set(index, "manifests", list);
    json_render(index, JSON_COMPACT, out);
}

/* Has the registry link a blob of another of its repositories. */
static struct err *mount_blob(struct registry *r, const char *from, const char *digest) {
    bool there = false;
    struct fetch_xfer x = {.done = false};
    TRY(registry_blob_there(r, digest, &there));
    if (there)
        return NULL;
    autofree char *path = mem_printf("blobs/uploads/?mount=%s&from=%s", digest, from);
    const struct registry_step step = {.method = "POST", .path = path, .file = -1};
    TRY(registry_step_start(r, &step, &x));
    struct err *e = fetch_wait(r->client, &x);
    if (!e && x.err)
        e = take_ptr(&x.err);
    if (!e && x.status != 201)
        e = err_hint(err_new(ERR_UNSUPPORTED, "%s does not lend %s blob %s of %s", r->name, r->repo, digest, from),
                     "push that image into %s first", r->repo);
    fetch_xfer_done(r->client, &x);
    return e;
}

/* Brings a manifest of another repository into that of the index. */
static struct err *bring_entry(struct session *to, const struct image_remote *remote, const struct image_ref *from) {
    autosession s = {.client = NULL};
    automanifest m = {.media_type = NULL};
    struct manifest parsed = {.media_type = NULL};
    TRY(session_open(remote, from, &s));
    TRY(get(s.registry, from->digest, &m));
    TRY(manifest_parse(&m.text, m.media_type, &parsed));
    struct err *e = parsed.is_index ? err_new(ERR_UNSUPPORTED, "an index within an index is not supported")
                                    : mount_blob(to->registry, from->path, parsed.config.digest);
    for (size_t i = 0; i < parsed.n_layers && !e; i++)
        e = mount_blob(to->registry, from->path, parsed.layers[i].digest);
    manifest_done(&parsed);
    const struct registry_manifest put = {
        .tag = m.digest, .digest = m.digest, .media_type = m.media_type, .text = &m.text};
    return e ? e : registry_manifest_put(to->registry, &put);
}

static struct err *bring_entries(struct session *to, const struct image_remote *remote, const struct image_ref *ref,
                                 const struct json *entries) {
    JSON_EACH(entry, entries) {
        struct image_ref from = {.domain = NULL};
        struct err *e = image_ref_parse(json_text(entry, "Ref"), &from);
        if (!e && !str_eq(from.domain, ref->domain))
            e = err_hint(err_new(ERR_UNSUPPORTED, "%s is in another registry than the list", json_text(entry, "Ref")),
                         "push the image to %s first", ref->domain);
        mem_set(&from.digest, json_text(json_get(entry, "Descriptor"), "digest"));
        if (!e && !str_eq(from.path, ref->path))
            e = bring_entry(to, remote, &from);
        image_ref_done(&from);
        TRY(e);
    }
    return NULL;
}

static void ask_to_write(struct registry *r, const struct json *entries) {
    r->push = true;
    JSON_EACH(entry, entries) {
        struct image_ref from = {.domain = NULL};
        autoerr bad = image_ref_parse(json_text(entry, "Ref"), &from);
        if (!bad && !str_eq(from.path, r->repo) && !strv_has(&r->mounts, from.path))
            strv_push(&r->mounts, from.path);
        image_ref_done(&from);
    }
}

struct err *image_index_push(const struct image_remote *r, const struct image_ref *ref, const struct json *entries,
                             char ret_digest[72]) {
    autosession s = {.client = NULL};
    autostr struct str text = STR_INIT_MAX(MANIFEST_MAX);
    const char *type = NULL;
    if (!ref->tag)
        return err_new(ERR_USAGE, "a list is pushed to a tag");
    image_index_make(entries, &type, &text);
    TRY(digest_of(str_c(&text), text.len, ret_digest));
    TRY(session_open(r, ref, &s));
    ask_to_write(s.registry, entries);
    TRY(bring_entries(&s, r, ref, entries));
    const struct registry_manifest put = {.tag = ref->tag, .digest = ret_digest, .media_type = type, .text = &text};
    return registry_manifest_put(s.registry, &put);
}
