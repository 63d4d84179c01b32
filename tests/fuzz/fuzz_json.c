/* JSON: what parses renders to text that parses to the same text, in both styles; duplicate keys are refused on
 * request. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reread(const struct json *j, enum json_style style, int flags, const struct str *want) {
    autostr struct str text = STR_INIT, again = STR_INIT;
    autojson k = NULL;
    json_render(j, style, &text);
    autoerr e = json_parse(str_c(&text), text.len, "rendered", flags, &k);
    if (e)
        abort();
    json_render(k, JSON_COMPACT, &again);
    if (strcmp(str_c(&again), str_c(want)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_alloc(size + 1); /* no byte beyond `size` is the parser's */
    if (size)
        memcpy(text, data, size);
    autojson j = NULL;
    autojson strict = NULL;
    autoerr e = json_parse(text, size, "input", 0, &j);
    autoerr e2 = json_parse(text, size, "input", JSON_REFUSE_DUPLICATES, &strict);
    if (!e != (j != NULL) || !e2 != (strict != NULL) || (e && strict))
        abort();
    if (e)
        return 0;
    autostr struct str want = STR_INIT;
    json_render(j, JSON_COMPACT, &want);
    int flags = strict ? JSON_REFUSE_DUPLICATES : 0;
    reread(j, JSON_COMPACT, flags, &want);
    reread(j, JSON_PRETTY, flags, &want);
    autojson copy = json_copy(j);
    reread(copy, JSON_COMPACT, flags, &want);
    return 0;
}
