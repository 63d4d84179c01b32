/* base64: see base64.h. */
#include <stdint.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t n, struct str *out) {
    const unsigned char *p = data;
    for (size_t at = 0; at < n; at += 3) {
        bool second = n - at > 1, third = n - at > 2;
        uint32_t v = (uint32_t)p[at] << 16;
        if (second)
            v |= (uint32_t)p[at + 1] << 8;
        if (third)
            v |= p[at + 2];
        str_append_c(out, alphabet[v >> 18]);
        str_append_c(out, alphabet[v >> 12 & 63]);
        str_append_c(out, second ? alphabet[v >> 6 & 63] : '=');
        str_append_c(out, third ? alphabet[v & 63] : '=');
    }
}

bool base64_decode(const char *text, struct str *out) {
    uint32_t v = 0;
    unsigned bits = 0;
    for (; *text && *text != '='; text++) {
        if (*text == '\n' || *text == '\r')
            continue;
        const char *at = memchr(alphabet, *text, sizeof alphabet - 1);
        if (!at)
            return false;
        v = (v << 6 | (uint32_t)(at - alphabet)) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            str_append_c(out, (char)(v >> bits & 0xff));
        }
    }
    return text[strspn(text, "=\r\n")] == 0 && bits < 6;
}
