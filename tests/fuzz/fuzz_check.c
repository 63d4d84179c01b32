/* A Dockerfile, and behind its first NUL a .dockerignore: what the build checks warn of lies within the text, in order,
 * and the checks that are skipped say nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/check_int.h"
#include "build/dockerfile_int.h"
#include "build/ignore_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct dockerfile *d, const struct ignore *ignore, const char *wanted, bool silent) {
    autostrv struct strv predefined = {.n = 0}, given = {.n = 0};
    autocheckconfig config = {.error = false};
    autocheckwarnings w = {.n = 0};
    autoerr e = check_config_parse(wanted, &config);
    if (e) {
        if (err_kind(e) != ERR_USAGE)
            abort();
        return;
    }
    strv_push(&predefined, "TARGETPLATFORM=linux/amd64");
    strv_push(&given, "A=b");
    const struct check_input in = {.d = d, .predefined = &predefined, .given = &given, .ignore = ignore};
    check_dockerfile(&in, &config, &w);
    if (silent && w.n)
        abort();
    for (size_t i = 0; i < w.n; i++)
        if (w.v[i].first < 1 || w.v[i].last < w.v[i].first || (i > 0 && w.v[i].first < w.v[i - 1].first))
            abort();
    autoerr violation = check_error(&config, &w);
    if (violation && !w.n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autodockerfile d = {.n = 0};
    autoignore ignore = NULL;
    struct df_fault fault;
    size_t n = strlen(text);
    autoerr e = dockerfile_parse(text, n, &d, &fault);
    if (e)
        return 0;
    autofree char *patterns = mem_dupn(n < size ? (const char *)data + n + 1 : "", n < size ? size - n - 1 : 0);
    autoerr bad = ignore_parse(patterns, &ignore);
    check(&d, bad ? NULL : ignore, d.check, false);
    check(&d, bad ? NULL : ignore, "experimental=all", false);
    check(&d, bad ? NULL : ignore, "skip=all", true);
    return 0;
}
