/*
 * trust_sigstore: cosign's signatures. They lie in the image's own repository under the tag sha256-<hex>.sig: a
 * manifest whose layers are payloads (simple signing's JSON), each with its signature in an annotation. The manifest is
 * nobody's word; a payload counts once coracle-unpack, which has libcrypto and nothing else, says that the key has
 * signed it.
 */
#include "image/trust_int.h"

#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/auth_int.h"
#include "image/manifest_int.h"
#include "image/registry_int.h"
#include "storage/signature.h"

#define MEDIA_PAYLOAD "application/vnd.dev.cosign.simplesigning.v1+json"
#define ANNOTATION "dev.cosignproject.cosign/signature"
#define PAYLOAD_MAX ((int64_t)256 << 10)
#define SIGNATURES_MAX 64

struct candidate {
    const char *signature; /* base64 */
    struct str payload;
};

static struct err *fetch_payload(const struct trust_trial *t, const struct json *layer, struct str *out) {
    struct descriptor d = {.digest = NULL};
    struct registry_answer a = {.digest = NULL};
    char digest[DIGEST_LEN + 1];
    TRY(descriptor_parse(layer, &d));
    struct err *e = d.size > PAYLOAD_MAX ? err_new(ERR_CORRUPT, "a signature's payload is larger than %lld bytes",
                                                   (long long)PAYLOAD_MAX)
                                         : NULL;
    if (!e)
        e = registry_small_blob(t->subject->registry, d.digest, d.size, &a);
    if (!e)
        e = digest_of(str_c(&a.body), a.body.len, digest);
    if (!e && !str_eq(digest, d.digest))
        e = err_new(ERR_CORRUPT, "a signature's payload arrived with the digest %s", digest);
    if (!e)
        str_append_n(out, str_c(&a.body), a.body.len);
    registry_answer_done(&a);
    descriptor_done(&d);
    return e;
}

/* Whether one of the keys has signed it. */
static struct err *proven(const struct trust_trial *t, const struct strv *keys, const struct candidate *c, bool *ret) {
    autostr struct str signature = STR_INIT_MAX(16384);
    *ret = false;
    if (!base64_decode(c->signature, &signature))
        return err_new(ERR_CORRUPT, "a signature is not base64");
    for (size_t i = 0; i < keys->n && !*ret; i++) {
        const struct store_signature s = {.key = keys->v[i], .payload = &c->payload, .signature = &signature};
        TRY(store_signature_verify(t->subject->store, &s, ret));
    }
    return NULL;
}

static struct err *try_layer(struct trust_trial *t, const struct strv *keys, const struct json *layer) {
    struct candidate c = {.signature = json_text(json_get(layer, "annotations"), ANNOTATION),
                          .payload = STR_INIT_MAX((size_t)PAYLOAD_MAX)};
    bool good = false;
    if (!str_eq(json_text(layer, "mediaType"), MEDIA_PAYLOAD))
        return NULL;
    t->signatures++;
    struct err *e = fetch_payload(t, layer, &c.payload);
    if (!e)
        e = proven(t, keys, &c, &good);
    if (!e && good)
        trust_judge_payload(t, &c.payload, "cosign container image signature");
    else if (!e)
        trust_refuse(t, err_new(ERR_DENIED, "a signature is not by a key of the policy"));
    str_done(&c.payload);
    return e;
}

static struct err *try_manifest(struct trust_trial *t, const struct strv *keys, const struct str *text) {
    autojson manifest = NULL;
    struct json *layers = NULL;
    size_t n = 0;
    TRY(json_parse(str_c(text), text->len, "manifest of signatures", JSON_REFUSE_DUPLICATES, &manifest));
    TRY(json_get_array(manifest, "layers", &layers));
    JSON_EACH(layer, layers) {
        if (t->accepted || n++ == SIGNATURES_MAX)
            break;
        struct err *bad = try_layer(t, keys, layer);
        if (bad)
            trust_refuse(t, bad);
    }
    return NULL;
}

struct err *trust_try_sigstore(struct trust_trial *t) {
    autostrv struct strv keys = {.n = 0};
    TRY(trust_keys(t->rule, &keys));
    for (size_t i = 0; i < ARRAY_LEN(t->subject->digests) && t->subject->digests[i] && !t->accepted; i++) {
        struct registry_answer a = {.digest = NULL};
        autofree char *tag = mem_printf("sha256-%s.sig", digest_hex(t->subject->digests[i]));
        struct err *e = registry_manifest(t->subject->registry, tag, false, &a);
        if (e && err_kind(e) == ERR_NOT_FOUND) {
            err_free(e);
            continue;
        }
        if (!e)
            e = try_manifest(t, &keys, &a.body);
        registry_answer_done(&a);
        TRY(e);
    }
    return NULL;
}
