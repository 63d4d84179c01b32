/* A --chmod: it never changes what kind of file it is, and doing it once more changes nothing more, unless it copies
 * permissions from one to the other. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/chmod_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(const struct chmod *c, mode_t mode, bool copies) {
    mode_t once = chmod_apply(c, mode);
    if ((once & S_IFMT) != (mode & S_IFMT) || (once & ~(mode_t)(S_IFMT | 07777)))
        abort();
    if (!copies && chmod_apply(c, once) != once)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    struct chmod c;
    bool copies = false;
    autoerr e = chmod_parse(text, &c);
    if (e) {
        if (err_kind(e) != ERR_USAGE)
            abort();
        return 0;
    }
    if (c.n > CHMOD_CLAUSES)
        abort();
    for (size_t i = 0; i < c.n; i++)
        copies |= c.clause[i].copy || c.clause[i].x_if_any;
    for (mode_t bits = 0; bits < 010000; bits += 0123) {
        hold(&c, S_IFREG | bits, copies);
        hold(&c, S_IFDIR | bits, copies);
    }
    return 0;
}
