/* Labels: the machine's files, and behind the first NUL a word of --security-opt label=. What comes out are labels. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/selinux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *label) {
    size_t colons = 0;
    for (const char *p = label; *p; p++)
        colons += *p == ':';
    if (colons < 2 || strpbrk(label, " \t\r\n\""))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    size_t n = strlen(text);
    autofree char *option = mem_dupn(n < size ? (const char *)data + n + 1 : "", n < size ? size - n - 1 : 0);
    autofree char *name = selinux_policy_name(text);
    autolabels policy = {.process = NULL};
    autolabels own = {.process = NULL};
    autostrv struct strv options = {.n = 0};
    if (name && (!*name || *name == '.' || strchr(name, '/')))
        abort();
    autoerr e = selinux_contexts_parse(text, &policy);
    if (e)
        return 0;
    strv_push(&options, option);
    autoerr bad = selinux_resolve(&policy, "s0:c1,c2", &options, &own);
    if (bad)
        return 0;
    check(own.process);
    check(own.file);
    check(policy.layers);
    selinux_same_as(own.process, &options);
    return 0;
}
