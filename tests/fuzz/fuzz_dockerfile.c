/* A Dockerfile. What is read has words within its text; what is refused has a place within it. The same text as an
 * image's trigger is one instruction or none. */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/dockerfile_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void trigger(const char *text) {
    autodockerfile d = {.n = 0};
    autoerr e = dockerfile_parse_trigger(text, &d);
    if (d.n != (e ? 0 : 1))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autodockerfile d = {.n = 0};
    struct df_fault fault;
    autostr struct str out = STR_INIT;
    autoerr e = dockerfile_parse(size ? (const char *)data : "", size, &d, &fault);
    if (e && err_kind(e) != ERR_USAGE)
        abort();
    if (fault.last < fault.first || fault.last > size + 1)
        abort();
    df_excerpt(text, "Dockerfile", &fault, &out);
    for (size_t i = 0; i < d.n; i++) {
        const struct df_instruction *in = &d.v[i];
        if (in->first < 1 || in->last < in->first || (i > 0 && in->first <= d.v[i - 1].last))
            abort();
        for (size_t h = 0; h < in->n_heredocs; h++)
            if (!in->heredocs[h].data)
                abort();
    }
    trigger(text);
    return 0;
}
