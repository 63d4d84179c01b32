/* Cleaned paths: no "..", no doubled slash, nothing above the start, and clean already. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const char *clean) {
    autostrv struct strv parts = {0};
    strv_split(&parts, *clean == '/' ? clean + 1 : clean, '/');
    for (size_t i = 0; i < parts.n; i++) {
        const char *part = parts.v[i];
        if (!strcmp(part, "..") || (!strcmp(part, ".") && parts.n > 1) || (!*part && parts.n > 1))
            abort();
        if (path_is_component(part) != (*part && strcmp(part, ".") != 0 && strlen(part) <= 255))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autofree char *clean = path_clean(text);
    autofree char *twice = path_clean(clean);
    autofree char *below = path_join("/root", *clean == '/' ? clean + 1 : clean);
    if (!*clean || (*text == '/') != (*clean == '/') || strcmp(clean, twice) != 0 || strncmp(below, "/root", 5) != 0 ||
        (below[5] && below[5] != '/'))
        abort();
    check_parts(clean);
    if (strchr(path_base(clean), '/'))
        abort();
    return 0;
}
