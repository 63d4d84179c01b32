/* json_scan: the pass over untrusted text before cJSON sees it. */
#include <string.h>

#include "base/err.h"
#include "base/json_int.h"
#include "base/mem.h"
#include "base/str.h"

static struct err *bad_text(const char *what, size_t at, const char *reason) {
    return err_new(ERR_CORRUPT, "%s: %s at byte %zu", what, reason, at);
}

/* From the byte after the opening quote to the byte after the closing one. */
static struct err *scan_string(const char *text, size_t n, const char *what, size_t *pos) {
    for (size_t i = *pos; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"') {
            *pos = i + 1;
            return NULL;
        }
        if (c < 0x20)
            return bad_text(what, i, "control character in a string");
        if (c != '\\')
            continue;
        if (n - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
            return bad_text(what, i, "NUL in a string");
        i++; /* whatever is escaped cannot end the string */
    }
    return bad_text(what, n, "unterminated string");
}

static size_t digits(const char *text, size_t n, size_t i) {
    while (i < n && text[i] >= '0' && text[i] <= '9')
        i++;
    return i;
}

/* The length of the number at text[at] by RFC 8259, 0 when it is none. *ret_integer: no fraction, no exponent. */
static size_t number_len(const char *text, size_t n, size_t at, bool *ret_integer) {
    size_t i = at + (text[at] == '-'), start = i;
    i = digits(text, n, i);
    if (i == start || (text[start] == '0' && i > start + 1))
        return 0;
    *ret_integer = true;
    if (i < n && text[i] == '.') {
        *ret_integer = false;
        start = ++i;
        i = digits(text, n, i);
        if (i == start)
            return 0;
    }
    if (i < n && (text[i] == 'e' || text[i] == 'E')) {
        *ret_integer = false;
        i++;
        i += i < n && (text[i] == '+' || text[i] == '-');
        start = i;
        i = digits(text, n, i);
        if (i == start)
            return 0;
    }
    return i - at;
}

static struct err *scan_number(const char *text, size_t n, const char *what, size_t *pos, struct json_scan *out) {
    bool integer = false;
    size_t len = number_len(text, n, *pos, &integer);
    if (!len || len > 60) /* cJSON reads at most 63 characters */
        return bad_text(what, *pos, "malformed number");
    if (integer && len > 15) {
        if (out->n_big == out->cap_big) {
            out->cap_big = out->cap_big ? out->cap_big * 2 : 8;
            out->big = mem_resize(out->big, out->cap_big, sizeof *out->big);
        }
        out->big[out->n_big++] = (struct json_big){.ordinal = out->numbers, .at = *pos, .len = len};
    }
    out->numbers++;
    *pos += len;
    return NULL;
}

struct err *json_scan(const char *text, size_t n, const char *what, struct json_scan *out) {
    if (n > JSON_SIZE_MAX)
        return err_new(ERR_CORRUPT, "%s is larger than %zu bytes", what, JSON_SIZE_MAX);
    if (!str_utf8_ok(text, n))
        return err_new(ERR_CORRUPT, "%s is not valid UTF-8", what);
    int depth = 0;
    for (size_t i = 0; i < n;) {
        char c = text[i];
        if (c == '"') {
            i++;
            TRY(scan_string(text, n, what, &i));
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            TRY(scan_number(text, n, what, &i, out));
        } else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            if (depth > JSON_DEPTH_MAX)
                return bad_text(what, i, "nested too deeply");
            if ((unsigned char)c < 0x20 && c != '\n' && c != '\r' && c != '\t')
                return bad_text(what, i, "control character");
            i++;
        }
    }
    return NULL;
}
