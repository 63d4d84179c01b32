/*
 * columns: how much room a text takes on a terminal. A character of East Asia or a picture takes two columns, a
 * combining mark none; the C library's tables know which. Where it has no UTF-8 locale every code point counts one.
 */
#include "cli/cli_int.h"

#include <locale.h>
#include <wchar.h>

static size_t code_points(const char *s, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

static bool ascii(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

/* In a locale that reads UTF-8. */
static size_t wide_columns(const char *s, size_t n) {
    mbstate_t state = {0};
    size_t count = 0;
    for (size_t used; n > 0; s += used, n -= used) {
        wchar_t c;
        used = mbrtowc(&c, s, n, &state);
        if (used == 0 || used > n)
            return count + code_points(s, n); /* what is no UTF-8 */
        int width = wcwidth(c);
        count += width < 0 ? 1 : (size_t)width;
    }
    return count;
}

size_t cli_columns(const char *s, size_t n) {
    if (ascii(s, n))
        return n;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!utf8)
        return code_points(s, n);
    locale_t before = uselocale(utf8);
    size_t count = wide_columns(s, n);
    uselocale(before);
    freelocale(utf8);
    return count;
}
