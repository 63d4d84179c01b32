/* --change instructions, a line each, on one config. */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autostrv struct strv changes = {0};
    autojson config = json_object();
    autostr struct str out = STR_INIT;
    strv_split(&changes, text, '\n');
    autoerr e = image_changes_apply(config, &changes);
    if (e && err_kind(e) != ERR_USAGE && err_kind(e) != ERR_CORRUPT)
        abort();
    json_render(config, JSON_COMPACT, &out);
    return 0;
}
