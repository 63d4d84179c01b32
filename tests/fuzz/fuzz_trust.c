/* Trust: a policy that is taken can be asked about any image; registries.d gives a place or an error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/trust_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void policy(const char *text, size_t n, const struct image_ref *ref) {
    autotrust t = NULL;
    const struct json *rules = NULL;
    const struct trust_source source = {.transport = "docker", .ref = ref};
    autoerr e = trust_parse(text, n, "policy.json", &t);
    autoerr rejected = e ? NULL : trust_rules(t, &source, &rules);
    if (rejected && rules)
        abort();
}

static void place(const char *text, const struct image_ref *ref) {
    struct strv scopes = {.n = 0};
    size_t rank = 0;
    char *found = NULL;
    const struct trust_source source = {.transport = "docker", .ref = ref};
    trust_scopes(&source, &scopes);
    autoerr bad = lookaside_parse(text, &scopes, &rank, &found);
    if (!bad && found && rank > scopes.n)
        abort();
    free(found);
    strv_done(&scopes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_alloc(size + 1); /* with the NULs that it may have */
    if (size)
        memcpy(text, data, size);
    struct image_ref ref = {.domain = NULL};
    autoerr e = image_ref_parse("r.test/a/x:1", &ref);
    if (e)
        abort();
    policy(text, size, &ref);
    place(text, &ref);
    image_ref_done(&ref);
    return 0;
}
