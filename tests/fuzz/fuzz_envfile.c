/* --env-file and --label-file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autostrv struct strv lines = {.n = 0};
    err_free(spec_parse_env_file(text, "env file", &lines));
    for (size_t i = 0; i < lines.n; i++) {
        const char *line = lines.v[i];
        size_t name = strcspn(line, "=");
        if (!name || strcspn(line, " \t") < name || strchr(line, '\n') || !str_utf8_ok(line, strlen(line)))
            abort();
    }
    return 0;
}
