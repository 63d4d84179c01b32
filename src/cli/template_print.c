/* template_print: values as Go's fmt prints them. */
#include "cli/template_int.h"

#include <math.h>
#include <string.h>

bool template_append_rune(unsigned long rune, struct str *out) {
    if (rune == 0 || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
        return false;
    if (rune < 0x80) {
        str_append_c(out, (char)rune);
        return true;
    }
    unsigned shift = rune < 0x800 ? 6 : rune < 0x10000 ? 12 : 18;
    str_append_c(out, (char)((shift == 6 ? 0xc0UL : shift == 12 ? 0xe0UL : 0xf0UL) | rune >> shift));
    while (shift) {
        shift -= 6;
        str_append_c(out, (char)(0x80 | (rune >> shift & 0x3f)));
    }
    return true;
}

bool template_is_integer(const struct json *v) {
    double d = json_num_value(v, 0.5);
    return json_type(v) == JSON_NUMBER && (fabs(d) >= 1e15 || d == (double)(int64_t)d);
}

/* Go's %v of a float: the fewest digits that read back, an exponent below 1e-4 and from 1e21 on, or from 1e6 on beyond
 * its digits. */
static void print_float(double d, struct str *out) {
    int digits = 0;
    autofree char *s = NULL;
    do {
        free(s);
        s = mem_printf("%.*e", digits, d);
    } while (strtod(s, NULL) != d && ++digits < 17);
    const char *e = strchr(s, 'e');
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;
    int decimals = exponent < digits ? digits - (int)exponent : 0;
    if (!e || exponent < -4 || exponent >= (digits + 1 > 21 || exponent < 6 ? 21 : 6) || decimals > 40)
        str_append(out, s);
    else
        str_appendf(out, "%.*f", decimals, d);
}

static int by_key(const void *a, const void *b) {
    return strcmp(json_key(*(const struct json *const *)a), json_key(*(const struct json *const *)b));
}

const struct json **template_items(const struct json *v, size_t *ret_n) {
    size_t n = 0;
    const struct json **items = mem_array(json_count(v) + 1, sizeof *items);
    JSON_EACH(m, v)
    if (!template_hidden(m))
        items[n++] = m;
    if (v && json_type(v) == JSON_OBJECT)
        qsort(items, n, sizeof *items, by_key);
    *ret_n = n;
    return items;
}

static void print_members(const struct json *v, int depth, struct str *out);

static void print_value(const struct json *v, int depth, struct str *out) {
    if (!v || json_type(v) == JSON_NULL || depth > JSON_DEPTH_MAX) {
        str_append(out, v && depth > 0 ? "<nil>" : "<no value>");
        return;
    }
    switch (json_type(v)) {
    case JSON_STRING:
        str_append(out, json_str_value(v));
        break;
    case JSON_BOOL:
        str_append(out, json_bool_value(v, false) ? "true" : "false");
        break;
    case JSON_NUMBER:
        if (template_is_integer(v))
            json_render(v, JSON_COMPACT, out);
        else
            print_float(json_num_value(v, 0), out);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        print_members(v, depth, out);
        break;
    case JSON_NULL:
        break;
    }
}

/* "[a b]" and "map[a:1 b:2]" with sorted keys. */
static void print_members(const struct json *v, int depth, struct str *out) {
    bool object = json_type(v) == JSON_OBJECT;
    size_t n = 0;
    const struct json **items = template_items(v, &n);
    str_append(out, object ? "map[" : "[");
    for (size_t i = 0; i < n; i++) {
        str_appendf(out, "%s%s%s", i ? " " : "", object ? json_key(items[i]) : "", object ? ":" : "");
        print_value(items[i], depth + 1, out);
    }
    str_append_c(out, ']');
    free(items);
}

void template_print(const struct json *v, struct str *out) { print_value(v, 0, out); }
