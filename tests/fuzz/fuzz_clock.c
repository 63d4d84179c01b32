/* Times and durations: what is accepted is written and read back as the same value. */
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void time_again(int64_t t) {
    autostr struct str text = STR_INIT;
    int64_t again = t + 1;
    clock_format_rfc3339(t, &text);
    autoerr e = clock_parse_rfc3339(str_c(&text), &again);
    if (e || again != t)
        abort();
}

static void duration_again(int64_t d) {
    autostr struct str text = STR_INIT;
    int64_t again = d + 1;
    clock_format_go(d, &text);
    autoerr e = clock_parse_duration(str_c(&text), &again);
    if (e || again != d)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const int64_t now = INT64_C(1767323045000000000);
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    autostr struct str human = STR_INIT;
    int64_t t = 0, d = 0, since = 0;
    autoerr bad_time = clock_parse_rfc3339(text, &t);
    autoerr bad_duration = clock_parse_duration(text, &d);
    autoerr bad_since = clock_parse_since(text, now, &since);
    if (!bad_time)
        time_again(t);
    if (!bad_duration)
        duration_again(d);
    if (!bad_since)
        clock_format_ago(since, now, &human);
    clock_format_human(d, &human);
    return 0;
}
