/* WWW-Authenticate, base64 and the check of a token service's address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/registry_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    struct challenge c = {0};
    autostr struct str plain = STR_INIT, again = STR_INIT;
    autoerr e = challenge_parse(text, &c);
    if (!e && c.scheme == AUTH_BEARER && !c.realm)
        abort();
    if (!e && c.realm) {
        autoerr e2 = realm_check(c.realm, "registry.example", false);
        if (!e2 && strncmp(c.realm, "https://", 8) && strncmp(c.realm, "http://", 7))
            abort();
    }
    challenge_done(&c);
    if (base64_decode(text, &plain))
        base64_encode(str_c(&plain), plain.len, &again);
    return 0;
}
