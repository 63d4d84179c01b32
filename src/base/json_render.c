/* json_render: JSON text as Go's encoding/json writes it, HTML escaping off. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_int.h"
#include "base/mem.h"
#include "base/str.h"

static void quote_special(unsigned char c, struct str *out) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        const char pair[2] = {'\\', to[at - from]};
        str_append_n(out, pair, 2);
    } else {
        str_appendf(out, "\\u%04x", c);
    }
}

/* Bytes at p that form one UTF-8 character, 0 when they form none. */
static size_t utf8_len(const char *p, size_t left) {
    unsigned char c = (unsigned char)*p;
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return len <= left && str_utf8_ok(p, len) ? len : 0;
}

/* ASCII that stands for itself. */
static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

void json_quote(const char *s, size_t n, struct str *out) {
    size_t plain = 0, i = 0; /* s[plain..i) needs no escape and is not yet written */
    str_append_c(out, '"');
    for (;;) {
        while (i < n && is_plain((unsigned char)s[i]))
            i++;
        if (i == n)
            break;
        unsigned char c = (unsigned char)s[i];
        size_t len = c >= 0x80 ? utf8_len(s + i, n - i) : 0;
        bool separator = len == 3 && memcmp(s + i, "\xe2\x80", 2) == 0 && ((unsigned char)s[i + 2] & 0xfe) == 0xa8;
        if (len && !separator) {
            i += len;
            continue;
        }
        str_append_n(out, s + plain, i - plain);
        if (separator) /* U+2028 and U+2029, which Go escapes always */
            str_append(out, s[i + 2] == '\xa8' ? "\\u2028" : "\\u2029");
        else if (c >= 0x80)
            str_append(out, "\\ufffd");
        else
            quote_special(c, out);
        i += separator ? 3 : 1;
        plain = i;
    }
    str_append_n(out, s + plain, i - plain);
    str_append_c(out, '"');
}

/* "1e+21", "1e-7" as Go has it: at least 'e', sign, no leading zero of the exponent. */
static void trim_exponent(char *text) {
    char *e = strchr(text, 'e');
    if (e && e[2] == '0' && e[3])
        memmove(e + 2, e + 3, strlen(e + 3) + 1);
}

static void render_double(double v, struct str *out) {
    char text[64];
    int precision = 1; /* significant digits: the fewest that read back as the same number */
    do
        snprintf(text, sizeof text, "%.*e", precision - 1, v);
    while (strtod(text, NULL) != v && ++precision <= 17);
    double size = fabs(v);
    if (size != 0 && (size < 1e-6 || size >= 1e21)) {
        trim_exponent(text);
        str_append(out, text);
        return;
    }
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    int decimals = precision - 1 - exponent;
    str_appendf(out, "%.*f", decimals > 0 ? decimals : 0, v);
}

static void render_number(const cJSON *c, struct str *out) {
    double v = c->valuedouble;
    if (c->valuestring) {
        str_append(out, c->valuestring);
    } else if (json_double_is_integer(v)) {
        char text[24], *p = text + sizeof text;
        int64_t i = (int64_t)v;
        uint64_t u = i < 0 ? (uint64_t)-i : (uint64_t)i;
        do
            *--p = (char)('0' + u % 10);
        while (u /= 10);
        if (i < 0)
            *--p = '-';
        str_append_n(out, p, (size_t)(text + sizeof text - p));
    } else {
        render_double(v, out);
    }
}

static void new_line(int depth, enum json_style style, struct str *out) {
    if (style != JSON_PRETTY)
        return;
    str_append_c(out, '\n');
    for (int i = 0; i < depth; i++)
        str_append_n(out, "    ", 4);
}

static void render_leaf(const cJSON *c, struct str *out) {
    switch (c->type & 0xff) {
    case cJSON_False:
        str_append_n(out, "false", 5);
        break;
    case cJSON_True:
        str_append_n(out, "true", 4);
        break;
    case cJSON_Number:
        render_number(c, out);
        break;
    case cJSON_String:
        json_quote(c->valuestring, strlen(c->valuestring), out);
        break;
    default:
        str_append_n(out, "null", 4);
    }
}

/* Recursion is as deep as the tree: parsed ones have JSON_DEPTH_MAX levels at most, ours a handful. */
static void render(const cJSON *c, int depth, enum json_style style, struct str *out) {
    bool object = cJSON_IsObject(c);
    if (!object && !cJSON_IsArray(c)) {
        render_leaf(c, out);
        return;
    }
    str_append_c(out, object ? '{' : '[');
    for (const cJSON *it = c->child; it; it = it->next) {
        if (it != c->child)
            str_append_c(out, ',');
        new_line(depth + 1, style, out);
        if (object) {
            json_quote(it->string, strlen(it->string), out);
            str_append_n(out, ": ", style == JSON_PRETTY ? 2 : 1);
        }
        render(it, depth + 1, style, out);
    }
    if (c->child)
        new_line(depth, style, out);
    str_append_c(out, object ? '}' : ']');
}

void json_render(const struct json *j, enum json_style style, struct str *out) {
    if (j)
        render(json_node_c(j), 0, style, out);
    else
        str_append(out, "null");
}
