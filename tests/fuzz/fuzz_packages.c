/* Databases of dpkg and apk: what is taken of them is sorted, visible text, and has a name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "build/packages_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    struct packages p = {.n = 0};
    packages_of_dpkg(text, &p);
    packages_of_apk(text, &p);
    packages_sort(&p);
    for (size_t i = 0; i < p.n; i++) {
        const char *const words[] = {p.v[i].name, p.v[i].version, p.v[i].arch, p.v[i].source, p.v[i].license};
        if (!*p.v[i].name || (i && strcmp(p.v[i - 1].type, p.v[i].type) > 0))
            abort();
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            check(words[k]);
    }
    packages_done(&p);
    return 0;
}
