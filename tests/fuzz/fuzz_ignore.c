/* A .dockerignore, and behind its last newline a path: what is below a directory that is left out is, unless it may be
 * kept. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "build/ignore_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    char *last = strrchr(text, '\n');
    autoignore ig = NULL;
    if (!last)
        return 0;
    *last++ = 0;
    autoerr e = ignore_parse(text, &ig);
    if (e) {
        if (err_kind(e) != ERR_USAGE)
            abort();
        return 0;
    }
    autofree char *path = path_clean(*last ? last : "x");
    if (*path == '/' || str_eq(path, "."))
        return 0;
    autofree char *below = mem_printf("%s/b", path);
    if (ignore_path(ig, path) && !ignore_path(ig, below) && !ignore_may_keep_below(ig, path))
        abort();
    return 0;
}
