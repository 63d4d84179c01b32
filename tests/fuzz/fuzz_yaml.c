/* CDI files in YAML. */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/yaml.h"
#include "spec/cdi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is a tree like any other: it can be written and read again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autojson j = NULL;
    autojson again = NULL;
    autostr struct str text = STR_INIT;
    autoerr e = yaml_parse(size ? (const char *)data : "", size, spec_cdi_numbers, &j);
    if (e) {
        if (j)
            abort(); /* the result must be untouched on failure */
        return 0;
    }
    err_free(spec_cdi_check(j));
    json_render(j, JSON_COMPACT, &text);
    autoerr bad = json_parse(text.ptr, text.len, "what was written", JSON_REFUSE_DUPLICATES, &again);
    if (bad)
        abort();
    return 0;
}
