/* What may be the URL of a repository: what is taken apart is nothing that git takes for an option, and has a name that
 * is one component of a path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/git_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autogiturl u = {.remote = NULL};
    if (!git_url_is(text))
        return 0;
    autoerr e = git_url_parse(text, &u);
    if (e) {
        if (err_kind(e) != ERR_USAGE || u.remote)
            abort();
        return 0;
    }
    if (!*u.remote || *u.remote == '-' || strchr(u.remote, '#') || (u.ref && (!*u.ref || *u.ref == '-')))
        abort();
    return 0;
}
