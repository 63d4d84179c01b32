/* str: the byte string and number parsing; vectors are in strv.c, maps in strmap.c. */
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static size_t str_limit(const struct str *s) { return s->max ? s->max : STR_MAX_DEFAULT; }

char *str_reserve(struct str *s, size_t n) {
    size_t limit = str_limit(s);
    if (s->overflow || n > limit || s->len > limit - n) {
        s->overflow = true;
        return NULL;
    }
    size_t need = s->len + n + 1;
    if (need > s->cap) {
        size_t cap = s->cap ? s->cap : 64;
        while (cap < need)
            cap += cap / 2;
        s->ptr = mem_resize(s->ptr, cap, 1);
        s->cap = cap;
        s->ptr[s->len] = '\0';
    }
    return s->ptr + s->len;
}

void str_append_n(struct str *s, const void *data, size_t n) {
    char *at = str_reserve(s, n);
    if (!at)
        return;
    if (n)
        memcpy(at, data, n);
    at[n] = '\0';
    s->len += n;
}

void str_append(struct str *s, const char *text) { str_append_n(s, text, strlen(text)); }

void str_append_c(struct str *s, char c) {
    if (!s->overflow && s->len + 1 < s->cap && s->len < str_limit(s)) {
        s->ptr[s->len++] = c;
        s->ptr[s->len] = '\0';
        return;
    }
    str_append_n(s, &c, 1);
}

void str_append_v(struct str *s, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    size_t room = s->ptr ? s->cap - s->len : 0;
    int n = vsnprintf(s->ptr ? s->ptr + s->len : NULL, room, fmt, ap);
    if (n >= 0) {
        if (s->ptr)
            s->ptr[s->len] = '\0'; /* undo: what was printed counts only if it is allowed */
        char *at = str_reserve(s, (size_t)n);
        if (at) {
            vsnprintf(at, (size_t)n + 1, fmt, again);
            s->len += (size_t)n;
        }
    }
    va_end(again);
}

void str_appendf(struct str *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    str_append_v(s, fmt, ap);
    va_end(ap);
}

/* Length of the UTF-8 sequence at p (shortest form, no surrogates), 0 when it is broken. */
static size_t utf8_step(const unsigned char *p, size_t n, uint32_t *ret_cp) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80) {
        *ret_cp = p[0];
        return 1;
    }
    size_t len = p[0] >= 0xf8 ? 0 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (!len || len > n)
        return 0;
    uint32_t cp = p[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (p[i] & 0x3fU);
    }
    if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    *ret_cp = cp;
    return len;
}

void str_append_escaped(struct str *s, const char *text) {
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || strchr("-._~", *text);
        if (plain)
            str_append_c(s, *text);
        else
            str_appendf(s, "%%%02X", (unsigned char)*text);
    }
}

void str_append_visible(struct str *s, const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text);
    while (left) {
        uint32_t cp = 0;
        size_t len = utf8_step(p, left, &cp);
        bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (len && !control) {
            str_append_n(s, p, len);
        } else {
            len = len ? len : 1;
            for (size_t i = 0; i < len; i++)
                str_appendf(s, "\\x%02x", p[i]);
        }
        p += len;
        left -= len;
    }
}

/* Whether eight bytes are all in 1..127: neither a high bit nor a borrow out of a zero byte. */
static bool ascii8(const unsigned char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return !((w | (w - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080));
}

bool str_utf8_ok(const char *s, size_t n) {
    const unsigned char *p = (const unsigned char *)s;
    while (n) {
        if (n >= 8 && ascii8(p)) {
            p += 8;
            n -= 8;
            continue;
        }
        uint32_t cp = 0;
        size_t len = utf8_step(p, n, &cp);
        if (!len || !cp)
            return false;
        p += len;
        n -= len;
    }
    return true;
}

const char *str_c(const struct str *s) { return s->ptr ? s->ptr : ""; }

char *str_take(struct str *s) {
    char *p = s->ptr ? s->ptr : mem_dupn("", 0);
    size_t max = s->max;
    *s = (struct str)STR_INIT_MAX(max);
    return p;
}

void str_clear(struct str *s) {
    s->len = 0;
    s->overflow = false;
    if (s->ptr)
        s->ptr[0] = '\0';
}

void str_done(struct str *s) {
    free(s->ptr);
    size_t max = s->max;
    *s = (struct str)STR_INIT_MAX(max);
}

bool str_ok(const struct str *s) { return !s->overflow; }

bool str_starts(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

bool str_ends(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_eq(const char *a, const char *b) {
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

bool str_to_u64(const char *s, int base, uint64_t max, uint64_t *ret) {
    uint64_t v = 0;
    if (!s || !*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s >= '0' + base)
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return false;
    }
    if (v > max)
        return false;
    *ret = v;
    return true;
}

size_t str_distance(const char *a, const char *b) {
    size_t row[64], n = strlen(b);
    if (n >= sizeof row / sizeof *row || strlen(a) >= sizeof row / sizeof *row)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]), best = change;
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

char *str_assigned(const char *text, const char *key) {
    size_t n = strlen(key);
    char *found = NULL;
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        const char *s = line + strspn(line, " \t");
        if (strncmp(s, key, n) != 0 || s[n + strspn(s + n, " \t")] != '=')
            continue;
        s = strchr(s, '=') + 1;
        s += strspn(s, " \t");
        const char quote[] = {*s, '\n', '\0'};
        bool quoted = *s == '"' || *s == '\'';
        free(found);
        found = mem_dupn(s + quoted, strcspn(s + quoted, quoted ? quote : " \t\r\n"));
    }
    return found;
}

bool str_to_truth(const char *s, bool *ret) {
    bool yes = str_eq(s, "true") || str_eq(s, "1");
    if (!yes && !str_eq(s, "false") && !str_eq(s, "0"))
        return false;
    *ret = yes;
    return true;
}

bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret) {
    bool negative = s && s[0] == '-' && min < 0;
    uint64_t magnitude;
    if (!str_to_u64(negative ? s + 1 : s, 10, (uint64_t)INT64_MAX + (negative ? 1 : 0), &magnitude))
        return false;
    int64_t v = (int64_t)(negative ? 0 - magnitude : magnitude);
    if (v < min || v > max)
        return false;
    *ret = v;
    return true;
}
