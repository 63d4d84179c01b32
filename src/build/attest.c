/* attest: which statements are wanted, and where what was built comes from. See attest_int.h. */
#include "build/attest_int.h"

#include <string.h>

#include "base/clock.h"
#include "build/exec_int.h"

#define STATEMENT "https://in-toto.io/Statement/v0.1"
#define PROVENANCE "https://slsa.dev/provenance/v0.2"
#define SPDX "https://spdx.dev/Document"
#define BUILD_TYPE "https://mobyproject.org/buildkit@v1"

/* ---- --attest, --provenance, --sbom ---- */

static struct err *flag(const char *key, const char *value, bool *ret) {
    return str_to_truth(value, ret) ? NULL
                                    : err_new(ERR_USAGE, "invalid value \"%s\" of %s: it is true or false", value, key);
}

static struct err *provenance_field(const char *key, const char *value, struct build_attest *a) {
    if (str_eq(key, "builder-id")) {
        mem_set(&a->builder_id, value);
        return NULL;
    }
    if (str_eq(key, "reproducible"))
        return flag(key, value, &a->reproducible);
    if (str_eq(key, "mode") && str_eq(value, "max"))
        return err_hint(err_new(ERR_UNSUPPORTED, "provenance of mode=max has BuildKit's own steps (LLB), and there are "
                                                 "none here"),
                        "use mode=min: materials, parameters and times");
    if (str_eq(key, "mode") && str_eq(value, "min"))
        return NULL;
    if (str_eq(key, "version") && str_eq(value, "v0.2"))
        return NULL;
    return err_new(ERR_UNSUPPORTED, "provenance: there is no %s=%s here", key, value);
}

static struct err *sbom_field(const char *key, const char *value) {
    if (str_eq(key, "generator"))
        return err_hint(err_new(ERR_UNSUPPORTED, "the SBOM is read by coracle itself; no generator (%s) is run", value),
                        "leave generator= out");
    return err_new(ERR_UNSUPPORTED, "sbom: there is no %s=%s here", key, value);
}

/* "type" has been looked at; "disabled=true" takes back. */
static struct err *fields(const struct strv *list, bool provenance, struct build_attest *a) {
    bool off = false;
    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strchr(list->v[i], '=');
        autofree char *key = mem_dupn(list->v[i], strcspn(list->v[i], "="));
        if (!eq || eq == list->v[i])
            return err_new(ERR_USAGE, "invalid value %s: it is key=value", list->v[i]);
        if (str_eq(key, "type"))
            continue;
        if (str_eq(key, "disabled"))
            TRY(flag(key, eq + 1, &off));
        else
            TRY(provenance ? provenance_field(key, eq + 1, a) : sbom_field(key, eq + 1));
    }
    *(provenance ? &a->provenance : &a->sbom) = !off;
    return NULL;
}

static struct err *one(const char *text, struct build_attest *a) {
    autostrv struct strv list = {.n = 0};
    const char *type = NULL;
    strv_split(&list, text, ',');
    for (size_t i = 0; i < list.n; i++)
        if (str_starts(list.v[i], "type="))
            type = list.v[i] + strlen("type=");
    if (!type)
        return err_new(ERR_USAGE, "attestation type not specified");
    if (!str_eq(type, "provenance") && !str_eq(type, "sbom"))
        return err_hint(err_new(ERR_UNSUPPORTED, "there are no attestations of type %s", type), "provenance and sbom");
    return fields(&list, str_eq(type, "provenance"), a);
}

/* What `--provenance` and `--sbom` are short for. */
static struct err *shorthand(const char *value, bool provenance, struct build_attest *a) {
    autostrv struct strv list = {.n = 0};
    bool *on = provenance ? &a->provenance : &a->sbom;
    if (!value)
        return NULL;
    if (!strchr(value, '='))
        return flag(provenance ? "--provenance" : "--sbom", value, on);
    strv_split(&list, value, ',');
    return fields(&list, provenance, a);
}

struct err *build_attest_parse(const struct build_attest_flags *f, struct build_attest *ret) {
    for (size_t i = 0; i < f->attest->n; i++)
        TRY_CTX(one(f->attest->v[i], ret), "--attest %s", f->attest->v[i]);
    TRY_CTX(shorthand(f->provenance, true, ret), "--provenance=%s", f->provenance);
    TRY_CTX(shorthand(f->sbom, false, ret), "--sbom=%s", f->sbom);
    return NULL;
}

void build_attest_done(struct build_attest *a) { free(take_ptr(&a->builder_id)); }

/* ---- materials ---- */

static struct json *digest_json(const char *digest) {
    struct json *j = json_object();
    bool sha256 = str_starts(digest, "sha256:");
    json_set_str(j, sha256 ? "sha256" : "sha1", sha256 ? digest_hex(digest) : digest);
    return j;
}

static bool has_material(const struct json *materials, const char *uri) {
    JSON_EACH(m, materials)
    if (str_eq(json_text(m, "uri"), uri))
        return true;
    return false;
}

/* "https://user:secret@host/x" without what is before the '@'. */
static char *without_user(const char *uri) {
    const char *host = strstr(uri, "://");
    host = host ? host + 3 : uri;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    return at && host != uri ? mem_printf("%.*s%s", (int)(host - uri), uri, at + 1) : mem_dup(uri);
}

void attest_material(struct exec *x, const char *uri, const char *digest) {
    autofree char *clean = without_user(uri);
    if (!x->materials)
        x->materials = json_array();
    if (has_material(x->materials, clean))
        return;
    struct json *m = json_object();
    json_set_str(m, "uri", clean);
    if (digest && *digest)
        json_set(m, "digest", digest_json(digest));
    json_push(x->materials, m);
}

void attest_take(struct exec *x, const struct json *materials) {
    if (!x->materials)
        x->materials = json_array();
    JSON_EACH(m, materials) {
        if (!has_material(x->materials, json_text(m, "uri")))
            json_push(x->materials, json_copy(m));
    }
}

static void escape(const char *text, struct str *out) {
    for (; *text; text++)
        if (*text == '/')
            str_append(out, "%2F");
        else
            str_append_c(out, *text);
}

/* "pkg:docker/busybox@latest?platform=linux%2Famd64" (package-url, type docker). */
static void purl(const struct image_ref *ref, const char *platform, struct str *out) {
    autofree char *name = image_ref_familiar_name(ref);
    str_appendf(out, "pkg:docker/%s@%s", name, ref->tag ? ref->tag : ref->digest);
    if (ref->tag && ref->digest)
        str_appendf(out, "?digest=%s", ref->digest);
    str_append(out, ref->tag && ref->digest ? "&platform=" : "?platform=");
    escape(platform, out);
}

void attest_image(struct exec *x, const char *reference, const char *platform, const char *manifest) {
    struct image_ref ref = {.domain = NULL};
    autostr struct str uri = STR_INIT;
    autoerr file = engine_ref_parse(x->o->engine, reference, &ref);
    if (file) { /* a layout: its path is the user's own affair */
        const char *base = strrchr(reference, '/');
        str_appendf(&uri, "pkg:oci/%s", base ? base + 1 : reference);
    } else {
        purl(&ref, platform, &uri);
    }
    image_ref_done(&ref);
    attest_material(x, str_c(&uri), manifest);
}

/* ---- statements ---- */

static struct err *subjects(const char *manifest, const char *platform, const struct strv *names, struct json *out) {
    for (size_t i = 0; i < names->n || (!names->n && i == 0); i++) {
        autostr struct str name = STR_INIT;
        struct image_ref ref = {.domain = NULL};
        if (names->n) {
            TRY(image_ref_parse(names->v[i], &ref));
            purl(&ref, platform, &name);
            image_ref_done(&ref);
        }
        struct json *s = json_object();
        json_set_str(s, "name", name.len ? str_c(&name) : "_");
        json_set(s, "digest", digest_json(manifest));
        json_push(out, s);
    }
    return NULL;
}

static struct json *statement(const struct json *subject, const char *predicate_type, struct json *taken_predicate) {
    struct json *j = json_object();
    json_set_str(j, "_type", STATEMENT);
    json_set_str(j, "predicateType", predicate_type);
    json_set(j, "subject", json_copy(subject));
    json_set(j, "predicate", taken_predicate);
    return j;
}

static struct json *local(const char *name) {
    struct json *j = json_object();
    json_set_str(j, "name", name);
    return j;
}

/* What was asked for, as far as nothing of it is the user's secret: no argument, no label. */
static struct json *invocation(const struct exec *x) {
    struct json *j = json_object(), *source = json_object(), *parameters = json_object(), *args = json_object();
    struct json *environment = json_object();
    const struct context *c = &x->context_files;
    struct image_platform own = {.os = NULL};
    if (*c->commit) {
        autofree char *uri = without_user(x->o->context);
        json_set_str(source, "uri", uri);
        json_set(source, "digest", digest_json(c->commit));
    }
    json_set_str(source, "entryPoint", x->file);
    json_set_str(parameters, "frontend", "dockerfile.v0");
    if (x->o->target)
        json_set_str(args, "target", x->o->target);
    if (x->o->no_cache)
        json_set_str(args, "no-cache", "");
    json_set(parameters, "args", args);
    if (!c->remote && x->context >= 0) {
        struct json *locals = json_array();
        json_push(locals, local("context"));
        json_push(locals, local("dockerfile"));
        json_set(parameters, "locals", locals);
    }
    err_free(image_platform_parse(NULL, NULL, &own));
    autofree char *platform = mem_printf("%s/%s", own.os, own.arch);
    image_platform_done(&own);
    json_set_str(environment, "platform", platform);
    json_set(j, "configSource", source);
    json_set(j, "parameters", parameters);
    json_set(j, "environment", environment);
    return j;
}

/* Which commands have fetched what is nobody's knowledge: materials are never said to be complete. */
static struct json *metadata(const struct exec *x) {
    struct json *j = json_object(), *complete = json_object();
    autostr struct str started = STR_INIT, finished = STR_INIT;
    clock_format_rfc3339(x->epoch >= 0 ? x->epoch : x->started, &started);
    clock_format_rfc3339(x->epoch >= 0 ? x->epoch : clock_now(), &finished);
    if (x->epoch < 0) {
        char id[ID_LEN + 1];
        id_random(id);
        json_set_str(j, "buildInvocationID", id);
    }
    json_set_str(j, "buildStartedOn", str_c(&started));
    json_set_str(j, "buildFinishedOn", str_c(&finished));
    json_set_bool(complete, "parameters", false);
    json_set_bool(complete, "environment", true);
    json_set_bool(complete, "materials", false);
    json_set(j, "completeness", complete);
    json_set_bool(j, "reproducible", x->o->attest->reproducible);
    return j;
}

/* By their names: stages are built side by side, and have noted theirs as it came. */
static struct json *sorted_materials(const struct exec *x) {
    struct json *out = json_array();
    autostrv struct strv uris = {.n = 0};
    JSON_EACH(m, x->materials)
    strv_push(&uris, json_text(m, "uri"));
    strv_sort(&uris);
    for (size_t i = 0; i < uris.n; i++)
        JSON_EACH(m, x->materials) {
            if (str_eq(json_text(m, "uri"), uris.v[i]))
                json_push(out, json_copy(m));
        }
    return out;
}

static struct json *provenance(const struct exec *x) {
    struct json *j = json_object(), *builder = json_object();
    json_set_str(builder, "id", x->o->attest->builder_id ? x->o->attest->builder_id : "");
    json_set(j, "builder", builder);
    json_set_str(j, "buildType", BUILD_TYPE);
    json_set(j, "materials", sorted_materials(x));
    json_set(j, "invocation", invocation(x));
    json_set(j, "metadata", metadata(x));
    return j;
}

static struct err *add(struct exec *x, struct export_index *index, const struct strv *names,
                       struct image_statement *list, size_t *n) {
    size_t number = index->bundle.n - 1;
    const char *manifest = image_bundle_manifest(&index->bundle, number);
    autojson subject = json_array();
    struct json *document = NULL;
    TRY(subjects(manifest, index->platforms.v[number], names, subject));
    if (x->o->attest->sbom) {
        TRY_CTX(sbom_make(x, names->n ? names->v[0] : "image", manifest, &document), "--sbom");
        list[(*n)++] = (struct image_statement){SPDX, statement(subject, SPDX, document)};
    }
    if (x->o->attest->provenance)
        list[(*n)++] = (struct image_statement){PROVENANCE, statement(subject, PROVENANCE, provenance(x))};
    return image_bundle_attest(&index->bundle, number, list, *n);
}

struct err *attest(struct exec *x, struct export_index *index, const struct strv *names) {
    struct image_statement list[2];
    size_t n = 0;
    if (!x->o->attest->provenance && !x->o->attest->sbom)
        return NULL;
    progress_vertex(&x->progress, "attesting %s", index->platforms.v[index->platforms.n - 1]);
    if (*x->context_files.commit)
        attest_material(x, x->o->context, x->context_files.commit);
    struct err *e = add(x, index, names, list, &n);
    for (size_t i = 0; i < n; i++)
        json_free(list[i].statement);
    if (!e)
        progress_done(&x->progress);
    return e;
}
