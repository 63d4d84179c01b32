/* -v, --device, sizes: colon grammars. What is accepted must hold the promises of the result. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(const char *path) {
    if (!path || *path != '/' || strcmp(path, "/") == 0 || strstr(path, "/../") || strstr(path, "//"))
        abort();
}

static void fuzz_volume(const char *text) {
    struct spec_mount m = {.source = NULL};
    autoerr e = spec_parse_volume(text, "/home/user", &m);
    if (e)
        return;
    check_target(m.target);
    if (m.type == SPEC_MOUNT_BIND && (!m.source || *m.source != '/'))
        abort();
    spec_mount_done(&m);
}

static void fuzz_device(const char *text) {
    char *host = NULL, *container = NULL, *perms = NULL;
    autoerr e = spec_parse_device(text, &host, &container, &perms);
    if (!e) {
        check_target(container);
        if (*host != '/' || !*perms || strlen(perms) > 3)
            abort();
    }
    free(host);
    free(container);
    free(perms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    fuzz_volume(text);
    fuzz_device(text);
    return 0;
}
