/*
 * json_cut: the members of an object without a tree, by cutting its text up where it lies. A list of a thousand records
 * reads a thousand such texts and shows a handful of members of each. Taken is what json_render() writes in its compact
 * style; whatever differs from that, in as little as a blank, goes the general way.
 */
#include <string.h>

#include "base/json.h"
#include "base/str.h"

/* The character that a short escape stands for; 0 when it is none. */
static char unescaped(char c) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : '\0';
}

/* The four digits after "\u", as UTF-8 at *to, which moves on; halves of a pair and NUL are left to the general way. */
static bool cut_rune(const char *digits, char **to) {
    unsigned rune = 0;
    for (int i = 0; i < 4; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *at = digits[i] ? strchr(hex, digits[i] | (digits[i] >= 'A' ? 0x20 : 0)) : NULL;
        if (!at)
            return false;
        rune = rune << 4 | (unsigned)(at - hex);
    }
    if (!rune || (rune >= 0xd800 && rune < 0xe000))
        return false;
    if (rune >= 0x800)
        *(*to)++ = (char)(0xe0 | rune >> 12);
    if (rune >= 0x80)
        *(*to)++ = (char)(rune >= 0x800 ? 0x80 | (rune >> 6 & 0x3f) : 0xc0 | rune >> 6);
    *(*to)++ = (char)(rune >= 0x80 ? 0x80 | (rune & 0x3f) : rune);
    return true;
}

/* The escape whose backslash is at p: what it stands for to *to. Returns its last character, or NULL. */
static char *cut_escape(char *p, char **to) {
    char c = unescaped(*++p);
    if (c)
        *(*to)++ = c;
    else if (*p != 'u' || !cut_rune(p + 1, to))
        return NULL;
    return c ? p : p + 4;
}

/* The string whose opening quote is at p: decoded in place and ended. Returns what follows, or NULL. */
static char *cut_string(char *p, const char **ret) {
    char *to = ++p;
    *ret = p;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL; /* the end of the text, too */
        if (*p != '\\')
            *to++ = *p;
        else if (!(p = cut_escape(p, &to)))
            return NULL;
    }
    *to = '\0';
    return p + 1;
}

/* Behind a string whose value nobody wants. */
static const char *skip_string(const char *p) {
    for (p++; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20 || (*p == '\\' && !*++p))
            return NULL;
    }
    return p + 1;
}

/* Behind an object or an array: what is in it is only skipped. */
static const char *skip_nested(const char *p) {
    int depth = 0;
    do {
        if (*p == '"') {
            p = skip_string(p);
            if (!p)
                return NULL;
            continue;
        }
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        if (!*p++)
            return NULL;
    } while (depth > 0);
    return p;
}

/* Behind any value but a wanted string. */
static char *skip_value(char *p) {
    const char *end = p;
    if (*p == '"')
        end = skip_string(p);
    else if (*p == '{' || *p == '[')
        end = skip_nested(p);
    else
        end += strspn(p, "+-.0123456789Eaeflnrstu"); /* a number or a word */
    return end ? p + (end - p) : NULL;
}

/* The field of that name; records are written in an order, and so is looked on from where the last one was. */
static struct json_field *field_of(struct json_field *f, size_t n, const char *key, size_t *next) {
    for (size_t i = 0; i < n; i++) {
        size_t k = (*next + i) % n;
        if (f[k].key[0] != key[0] || strcmp(f[k].key, key) != 0)
            continue;
        *next = (k + 1) % n;
        return f[k].text ? NULL : &f[k]; /* of two alike the first counts, as in json_get() */
    }
    return NULL;
}

/* One member, whose name begins at *p; *p moves to what follows it. */
static bool cut_member(char **p, struct json_field *fields, size_t n_fields, size_t *next, char *ret_after) {
    const char *key;
    char *value = **p == '"' ? cut_string(*p, &key) : NULL;
    if (!value || *value++ != ':')
        return false;
    struct json_field *f = field_of(fields, n_fields, key, next);
    const char *text = value;
    bool string = *value == '"';
    char *end = f && string ? cut_string(value, &text) : skip_value(value);
    if (!end || end == value || (*end != ',' && *end != '}'))
        return false;
    *ret_after = *end;
    *p = end + 1;
    if (f) {
        *end = '\0'; /* where a string has its end already this is the byte after its quote */
        f->text = text;
        f->string = string;
    }
    return true;
}

bool json_cut(char *text, size_t n, struct json_field *fields, size_t n_fields) {
    char *p = text, after = ',';
    size_t next = 0;
    for (size_t i = 0; i < n_fields; i++)
        fields[i] = (struct json_field){.key = fields[i].key};
    if (!str_utf8_ok(text, n) || *p++ != '{')
        return false;
    while (after == ',')
        if (!cut_member(&p, fields, n_fields, &next, &after))
            return false;
    return p == text + n;
}
