/* --ulimit, sizes and capabilities. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_ulimit(const char *text) {
    const char *name = NULL;
    uint64_t soft = 0, hard = 0;
    autoerr e = spec_parse_ulimit(text, &name, &soft, &hard);
    if (!e && (!name || strncmp(name, "RLIMIT_", 7) != 0 || soft > hard))
        abort();
}

static void fuzz_bytes(const char *text) {
    int64_t n = -1;
    autoerr e = spec_parse_bytes(text, &n);
    if (!e && n < 0)
        abort();
}

static void fuzz_cap(const char *text) {
    uint64_t mask = 0;
    autoerr e = spec_parse_cap(text, &mask);
    if (!e && !mask)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    fuzz_ulimit(text);
    fuzz_bytes(text);
    fuzz_cap(text);
    return 0;
}
