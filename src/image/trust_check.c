/* trust_check: all requirements of an image, one after the other; each is fulfilled by one signature that holds. */
#include "image/trust_int.h"

#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/auth_int.h"
#include "image/image.h"

#define KEY_MAX ((size_t)1 << 20)

/* ---- keys ---- */

/* A key file as the user may have it: a link, or in a place that only root may change. */
static struct err *read_key(const char *path, struct strv *out) {
    autofd int fd = -1;
    autostr struct str text = STR_INIT_MAX(KEY_MAX);
    TRY_CTX(fd_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd), "key of the signature policy");
    TRY(io_read_all(fd, KEY_MAX, path, &text));
    if (strlen(str_c(&text)) == text.len) {
        strv_push(out, str_c(&text));
        return NULL;
    }
    /* Binary keys travel as what keyData would be. */
    autostr struct str base64 = STR_INIT;
    str_append(&base64, "base64:");
    base64_encode(text.ptr, text.len, &base64);
    strv_push(out, str_c(&base64));
    return NULL;
}

static struct err *decode_key(const char *base64, struct strv *out) {
    autostr struct str text = STR_INIT_MAX(KEY_MAX);
    if (!base64_decode(base64, &text))
        return err_new(ERR_CORRUPT, "a key of the signature policy is not base64");
    if (strlen(str_c(&text)) == text.len)
        strv_push(out, str_c(&text));
    else
        strv_pushf(out, "base64:%s", base64);
    return NULL;
}

struct err *trust_keys(const struct json *rule, struct strv *out) {
    autostrv struct strv paths = {.n = 0};
    autostrv struct strv data = {.n = 0};
    TRY(json_get_strv_opt(rule, "keyPaths", &paths));
    TRY(json_get_strv_opt(rule, "keyDatas", &data));
    if (*json_text(rule, "keyPath"))
        strv_push(&paths, json_text(rule, "keyPath"));
    if (*json_text(rule, "keyData"))
        strv_push(&data, json_text(rule, "keyData"));
    for (size_t i = 0; i < paths.n; i++)
        TRY(read_key(paths.v[i], out));
    for (size_t i = 0; i < data.n; i++)
        TRY(decode_key(data.v[i], out));
    return out->n ? NULL : err_new(ERR_CORRUPT, "a requirement of the signature policy names no key");
}

/* ---- signatures ---- */

void trust_refuse(struct trust_trial *t, struct err *take_why) {
    if (t->why.len)
        str_append(&t->why, "; ");
    err_format(take_why, &t->why);
    err_free(take_why);
}

/* Exactly the members that the format has, so that nothing which somebody else may take notice of goes unseen. */
static struct err *check_critical(const struct json *critical, const char *type) {
    const struct json *image = json_get(critical, "image"), *identity = json_get(critical, "identity");
    if (json_count(critical) != 3 || json_count(image) != 1 || json_count(identity) != 1)
        return err_new(ERR_CORRUPT,
                       "the signature's \"critical\" part has other members than type, image and identity");
    if (!str_eq(json_text(critical, "type"), type))
        return err_new(ERR_CORRUPT, "the signature is of type \"%.80s\", not \"%s\"", json_text(critical, "type"),
                       type);
    return NULL;
}

static struct err *judge(const struct trust_trial *t, const struct str *payload, const char *type) {
    autojson j = NULL;
    const struct trust_subject *s = t->subject;
    TRY(json_parse(str_c(payload), payload->len, "signature", JSON_REFUSE_DUPLICATES, &j));
    const struct json *critical = json_get(j, "critical");
    TRY(check_critical(critical, type));
    const char *digest = json_text(json_get(critical, "image"), "docker-manifest-digest");
    if (!str_eq(digest, s->digests[0]) && !(s->digests[1] && str_eq(digest, s->digests[1])))
        return err_new(ERR_DENIED, "the signature is for the manifest %.80s", digest);
    return trust_identity(json_get(t->rule, "signedIdentity"), s->source->ref,
                          json_text(json_get(critical, "identity"), "docker-reference"));
}

void trust_judge_payload(struct trust_trial *t, const struct str *payload, const char *type) {
    struct err *why = judge(t, payload, type);
    if (why)
        trust_refuse(t, why);
    else
        t->accepted = true;
}

/* ---- requirements ---- */

static struct err *try_rule(struct trust_trial *t, const char *type) {
    static const char *const beyond[] = {
        "fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"};
    for (size_t i = 0; i < ARRAY_LEN(beyond); i++)
        if (json_get(t->rule, beyond[i]))
            return err_hint(err_new(ERR_UNSUPPORTED, "%s signatures by \"%s\" cannot be checked here", type, beyond[i]),
                            "only keys that the policy itself names are trusted: keyPath, keyData");
    if (str_eq(type, "sigstoreSigned"))
        return trust_try_sigstore(t);
    if (str_eq(type, "signedBy"))
        return trust_try_simple(t);
    return err_new(ERR_UNSUPPORTED, "the requirement %s cannot be checked", type);
}

static struct err *refused(const struct trust_trial *t) {
    autofree char *name = trust_source_name(t->subject->source);
    if (!t->signatures)
        return err_new(ERR_DENIED, "source image rejected: a signature was required for %s, but no signature exists",
                       name);
    return err_new(ERR_DENIED, "source image rejected: no signature of %s is acceptable: %s", name, str_c(&t->why));
}

static struct err *check_rule(const struct json *rule, const struct trust_subject *s) {
    struct trust_trial t = {.subject = s, .rule = rule, .why = STR_INIT_MAX(4096)};
    const char *type = json_text(rule, "type");
    if (str_eq(type, "insecureAcceptAnything"))
        return NULL;
    struct err *e = s->registry ? try_rule(&t, type) : NULL;
    if (!e && !t.accepted)
        e = refused(&t);
    else if (e)
        e = err_wrap(e, "source image rejected");
    str_done(&t.why);
    return e;
}

struct err *trust_check(const struct json *rules, const struct trust_subject *s) {
    JSON_EACH(rule, rules) { TRY(check_rule(rule, s)); }
    return NULL;
}
