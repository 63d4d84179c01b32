/*
 * Signatures of images. The first byte chooses: a payload (what a signature says, and behind its first NUL the policy's
 * requirement), judged for an image; a key in armor; what gpgv tells. Nothing is accepted that does not name the
 * image's digest.
 */
#include "image/trust_simple.c"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char digest[] = "sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";

static void payload(const char *text, size_t n, const struct image_ref *ref) {
    size_t len = strnlen(text, n);
    autojson rule = NULL;
    struct str said = STR_INIT;
    const struct trust_source source = {.transport = "docker", .ref = ref};
    const struct trust_subject subject = {.source = &source, .digests = {digest}};
    struct trust_trial t = {.subject = &subject, .why = STR_INIT_MAX(4096)};
    autoerr bad = n > len ? json_parse(text + len + 1, n - len - 1, "rule", JSON_REFUSE_DUPLICATES, &rule) : NULL;
    t.rule = rule;
    str_append_n(&said, text, len);
    if (!bad)
        trust_judge_payload(&t, &said, "atomic container signature");
    if (t.accepted ? t.why.len || !strstr(text, "docker-manifest-digest") : !bad && !t.why.len)
        abort();
    str_done(&said);
    str_done(&t.why);
}

static void key(const char *text) {
    autostr struct str ring = STR_INIT;
    err_free(add_key(text, &ring));
    if (ring.len > strlen(text)) /* base64 is longer than what it says */
        abort();
}

static void status(const char *text) {
    autoerr e = judge_status(text, 0);
    if (!e && (!strstr(text, "GOODSIG ") || !strstr(text, "VALIDSIG ") || strstr(text, "\n[GNUPG:] BADSIG ")))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct image_ref ref = {.domain = NULL};
    if (size < 1)
        return 0;
    autofree char *text = mem_alloc(size); /* with the NULs that it may have, and one at its end */
    memcpy(text, data + 1, size - 1);
    autoerr e = image_ref_parse(data[0] & 1 ? "r.test/a/x:1" : "r.test/a/x", &ref);
    if (e)
        abort();
    switch (data[0]) {
    case 'k':
        key(text);
        break;
    case 's':
        status(text);
        break;
    default:
        payload(text, size - 1, &ref);
    }
    image_ref_done(&ref);
    return 0;
}
