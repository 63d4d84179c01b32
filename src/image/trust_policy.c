/* trust_policy: policy.json: read once and checked as a whole, so that what is looked up later is known to be sound. */
#include "image/trust_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"

#define POLICY_MAX ((size_t)1 << 20)

struct trust {
    struct json *json;
};

void trust_free(struct trust *t) {
    if (!t)
        return;
    json_free(t->json);
    free(t);
}

/* ---- what is sound ---- */

/* Every member is one of `known`, which ends with NULL. */
static struct err *only(const struct json *object, const char *const *known, const char *what) {
    if (json_type(object) != JSON_OBJECT)
        return err_new(ERR_CORRUPT, "%s is not an object", what);
    JSON_EACH(m, object) {
        size_t i = 0;
        while (known[i] && !str_eq(known[i], json_key(m)))
            i++;
        if (!known[i])
            return err_new(ERR_CORRUPT, "%s has an unknown member \"%.60s\"", what, json_key(m));
    }
    return NULL;
}

static struct err *check_identity(const struct json *identity) {
    static const struct {
        const char *type, *members[4]; /* what it has beside its type */
    } kinds[] = {{"matchExact", {"type"}},
                 {"matchRepoDigestOrExact", {"type"}},
                 {"matchRepository", {"type"}},
                 {"exactReference", {"type", "dockerReference"}},
                 {"exactRepository", {"type", "dockerRepository"}},
                 {"remapIdentity", {"type", "prefix", "signedPrefix"}}};
    const char *type = json_text(identity, "type");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!str_eq(type, kinds[i].type))
            continue;
        TRY(only(identity, kinds[i].members, "signedIdentity"));
        for (size_t k = 0; kinds[i].members[k]; k++)
            if (!*json_text(identity, kinds[i].members[k]))
                return err_new(ERR_CORRUPT, "signedIdentity %s has no %s", type, kinds[i].members[k]);
        return NULL;
    }
    return err_new(ERR_CORRUPT, "signedIdentity is of an unknown type \"%.60s\"", type);
}

static struct err *check_signed(const struct json *rule, const char *const *members, const char *const *sources) {
    size_t n = 0;
    TRY(only(rule, members, "a requirement"));
    for (size_t i = 0; sources[i]; i++)
        n += json_get(rule, sources[i]) != NULL;
    if (n != 1)
        return err_new(ERR_CORRUPT, "requirement %s has %s of keyPath, keyData and their like, exactly one is wanted",
                       json_text(rule, "type"), n ? "more than one" : "none");
    return json_get(rule, "signedIdentity") ? check_identity(json_get(rule, "signedIdentity")) : NULL;
}

static struct err *check_rule(const struct json *rule) {
    static const char *const bare[] = {"type", NULL};
    static const char *const base_layer[] = {"type", "baseLayerIdentity", NULL};
    static const char *const gpg[] = {"type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity", NULL};
    static const char *const gpg_keys[] = {"keyPath", "keyPaths", "keyData", NULL};
    static const char *const sigstore[] = {"type",
                                           "keyPath",
                                           "keyPaths",
                                           "keyData",
                                           "keyDatas",
                                           "fulcio",
                                           "pki",
                                           "rekorPublicKeyPath",
                                           "rekorPublicKeyPaths",
                                           "rekorPublicKeyData",
                                           "rekorPublicKeyDatas",
                                           "signedIdentity",
                                           NULL};
    static const char *const sigstore_keys[] = {"keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki", NULL};
    const char *type = json_text(rule, "type");
    if (str_eq(type, "insecureAcceptAnything") || str_eq(type, "reject"))
        return only(rule, bare, "a requirement");
    if (str_eq(type, "signedBaseLayer"))
        return only(rule, base_layer, "a requirement");
    if (str_eq(type, "sigstoreSigned"))
        return check_signed(rule, sigstore, sigstore_keys);
    if (!str_eq(type, "signedBy"))
        return err_new(ERR_CORRUPT, "a requirement is of an unknown type \"%.60s\"", type);
    if (!str_eq(json_text(rule, "keyType"), "GPGKeys"))
        return err_new(ERR_CORRUPT, "requirement signedBy has a keyType other than \"GPGKeys\"");
    return check_signed(rule, gpg, gpg_keys);
}

static struct err *check_rules(const struct json *rules, const char *scope) {
    if (json_type(rules) != JSON_ARRAY || !json_count(rules))
        return err_new(ERR_CORRUPT, "\"%.200s\" has no list of requirements", scope);
    JSON_EACH(rule, rules) { TRY_CTX(check_rule(rule), "\"%.200s\"", scope); }
    return NULL;
}

static struct err *check_policy(const struct json *j) {
    static const char *const top[] = {"default", "transports", NULL};
    const struct json *transports = json_get(j, "transports");
    TRY(only(j, top, "the policy"));
    TRY(check_rules(json_get(j, "default"), "default"));
    if (transports && json_type(transports) != JSON_OBJECT)
        return err_new(ERR_CORRUPT, "\"transports\" is not an object");
    JSON_EACH(transport, transports) {
        if (json_type(transport) != JSON_OBJECT)
            return err_new(ERR_CORRUPT, "transport \"%.60s\" is not an object", json_key(transport));
        JSON_EACH(scope, transport) { TRY(check_rules(scope, json_key(scope))); }
    }
    return NULL;
}

/* ---- the file ---- */

struct err *trust_parse(const char *text, size_t n, const char *path, struct trust **ret) {
    autojson j = NULL;
    struct err *bad = json_parse(text, n, path, JSON_REFUSE_DUPLICATES, &j);
    if (!bad)
        bad = check_policy(j);
    if (bad)
        return err_hint(err_wrap(bad, "signature policy %s", path),
                        "no image comes in before it can be read; see containers-policy.json(5)");
    struct trust *t = mem_alloc(sizeof *t);
    t->json = take_ptr(&j);
    *ret = t;
    return NULL;
}

/* *ret stays NULL for a file that is not there. */
static struct err *load_file(const char *path, struct trust **ret) {
    autofd int fd = -1;
    autostr struct str text = STR_INIT_MAX(POLICY_MAX);
    struct err *e = fd_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd);
    if (e && (err_errno(e) == ENOENT || err_errno(e) == ENOTDIR)) {
        err_free(e);
        return NULL;
    }
    if (e)
        return err_wrap(e, "signature policy");
    TRY_CTX(io_read_all(fd, POLICY_MAX, path, &text), "signature policy");
    return trust_parse(str_c(&text), text.len, path, ret);
}

struct err *trust_load(const struct host *h, struct trust **ret) {
    const char *base = h->config_dir ? path_base(h->config_dir) : NULL;
    *ret = NULL;
    if (base) {
        autofree char *path = mem_printf("%.*scontainers/policy.json", (int)(base - h->config_dir), h->config_dir);
        TRY(load_file(path, ret));
    }
    return *ret ? NULL : load_file("/etc/containers/policy.json", ret);
}

/* ---- scopes ---- */

static void add_parents(const char *text, size_t shortest, struct strv *out) {
    autofree char *s = mem_dup(text);
    for (char *slash; (slash = strrchr(s, '/')) && (size_t)(slash - s) >= shortest;) {
        *slash = '\0';
        strv_push(out, s);
    }
}

static void docker_scopes(const struct image_ref *ref, struct strv *out) {
    autofree char *repository = mem_printf("%s/%s", ref->domain, ref->path);
    autofree char *host = mem_dupn(ref->domain, strcspn(ref->domain, ":"));
    if (ref->digest)
        strv_pushf(out, "%s@%s", repository, ref->digest);
    else
        strv_pushf(out, "%s:%s", repository, ref->tag);
    strv_push(out, repository);
    add_parents(repository, 1, out);
    for (const char *dot = host; (dot = strchr(dot, '.')); dot++)
        strv_pushf(out, "*%s", dot);
}

void trust_scopes(const struct trust_source *source, struct strv *out) {
    if (source->ref)
        docker_scopes(source->ref, out);
    if (source->path && source->tag)
        strv_pushf(out, "%s:%s", source->path, source->tag);
    if (source->path) {
        strv_push(out, source->path);
        add_parents(source->path, 1, out);
    }
    strv_push(out, "");
}

char *trust_source_name(const struct trust_source *source) {
    if (source->ref) {
        autofree char *name = image_ref_canonical(source->ref);
        return mem_printf("%s://%s", source->transport, name);
    }
    return mem_printf("%s:%s", source->transport, source->path ? source->path : "");
}

static const struct json *find_rules(const struct trust *t, const struct trust_source *source) {
    autostrv struct strv scopes = {.n = 0};
    const struct json *transport = json_get(json_get(t->json, "transports"), source->transport);
    trust_scopes(source, &scopes);
    for (size_t i = 0; transport && i < scopes.n; i++) {
        const struct json *rules = json_get(transport, scopes.v[i]);
        if (rules)
            return rules;
    }
    return json_get(t->json, "default");
}

struct err *trust_rules(const struct trust *t, const struct trust_source *source, const struct json **ret) {
    *ret = NULL;
    if (!t)
        return NULL;
    const struct json *rules = find_rules(t, source);
    bool all = true;
    JSON_EACH(rule, rules) {
        all = all && str_eq(json_text(rule, "type"), "insecureAcceptAnything");
        if (!str_eq(json_text(rule, "type"), "reject"))
            continue;
        autofree char *name = trust_source_name(source);
        return err_hint(err_new(ERR_DENIED, "source image rejected: running image %s is rejected by policy", name),
                        "the policy is in ~/.config/containers/policy.json or /etc/containers/policy.json");
    }
    *ret = all ? NULL : rules;
    return NULL;
}
