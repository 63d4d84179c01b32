/* A word with variables, by each of the ways to read one. The text before the first newline is the variable A. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "build/expand_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *get(void *ctx, const char *name) { return *name == 'A' ? ctx : NULL; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *value = mem_dupn(size ? (const char *)data : "", size);
    char *text = strchr(value, '\n');
    if (!text)
        return 0;
    *text++ = 0;
    for (int way = 0; way < 8; way++) {
        const struct expand x = {
            .get = get, .ctx = value, .escape = way & 1 ? '`' : '\\', .raw_quotes = way & 2, .keep_unset = way & 4};
        autostr struct str out = STR_INIT;
        autostrv struct strv words = {.n = 0};
        autoerr e = expand_word(&x, text, &out);
        autoerr e2 = expand_words(&x, text, &words);
        if (!e != !e2 || (e && err_kind(e) != ERR_USAGE))
            abort();
    }
    return 0;
}
