/* Detach keys: the first line is their grammar, the rest is typed. Found exactly where a plain search finds them; no
 * byte lost. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/monitor.h"
#include "monitor/terminal_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void type(const struct detach *keys, const uint8_t *typed, size_t n, size_t step) {
    struct detach d = *keys;
    autostr struct str out = STR_INIT;
    autofree unsigned char *to = mem_alloc(n + DETACH_MAX);
    bool found = false;
    for (size_t at = 0; at < n && !found; at += step) {
        size_t len = 0;
        found = detach_filter(&d, typed + at, n - at < step ? n - at : step, to, &len);
        str_append_n(&out, to, len);
    }
    const uint8_t *hit = d.n ? memmem(typed, n, d.keys, d.n) : NULL;
    if (found != (hit != NULL))
        abort();
    size_t passed = hit ? (size_t)(hit - typed) : n - d.seen;
    if (out.len != passed || (passed && memcmp(out.ptr, typed, passed) != 0))
        abort();
    if (!hit && memcmp(typed + passed, d.keys, d.seen) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline)
        return 0;
    autofree char *text = mem_dupn((const char *)data, (size_t)(newline - data));
    struct detach d = {.n = 0};
    autoerr e = monitor_detach_keys_parse(text, d.keys, &d.n);
    if (e)
        return 0;
    size_t n = size - (size_t)(newline + 1 - data);
    for (size_t step = 1; step < 5; step++)
        type(&d, newline + 1, n, step);
    type(&d, newline + 1, n, n + 1);
    return 0;
}
