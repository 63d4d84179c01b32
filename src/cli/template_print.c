/* template_print: values as Go's fmt prints them. */
#include "cli/template_int.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool is_integer(const struct json *v) {
    double d = json_num_value(v, 0.5);
    return json_type(v) == JSON_NUMBER && (fabs(d) >= 1e15 || d == (double)(int64_t)d);
}

/* Go's %v of a float: shortest form, exponent beyond 1e21. */
static void print_float(double d, struct str *out) {
    for (int precision = 1; precision <= 17; precision++) {
        autofree char *s = mem_printf("%.*g", precision, d);
        if (strtod(s, NULL) == d || precision == 17) {
            str_append(out, s);
            return;
        }
    }
}

static int by_key(const void *a, const void *b) {
    return strcmp(json_key(*(const struct json *const *)a), json_key(*(const struct json *const *)b));
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
        if (is_integer(v))
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
    const struct json **items = mem_array(json_count(v) + 1, sizeof *items);
    JSON_EACH(m, v)
    if (!template_hidden(m))
        items[n++] = m;
    if (object)
        qsort(items, n, sizeof *items, by_key);
    str_append(out, object ? "map[" : "[");
    for (size_t i = 0; i < n; i++) {
        str_appendf(out, "%s%s%s", i ? " " : "", object ? json_key(items[i]) : "", object ? ":" : "");
        print_value(items[i], depth + 1, out);
    }
    str_append_c(out, ']');
    free(items);
}

void template_print(const struct json *v, struct str *out) { print_value(v, 0, out); }

/* ---- printf ---- */

struct verb {
    bool minus, zero, plus, sharp, has_precision;
    int width, precision;
    char letter;
};

static void append_padded(const struct verb *f, const char *text, struct str *out) {
    size_t runes = 0;
    for (const char *c = text; *c; c++)
        runes += ((unsigned char)*c & 0xc0) != 0x80;
    size_t pad = (size_t)f->width > runes ? (size_t)f->width - runes : 0;
    bool sign = f->zero && !f->minus && (*text == '-' || *text == '+');
    if (sign)
        str_append_c(out, *text);
    for (size_t i = 0; i < pad && !f->minus; i++)
        str_append_c(out, f->zero ? '0' : ' ');
    str_append(out, text + sign);
    for (size_t i = 0; i < pad && f->minus; i++)
        str_append_c(out, ' ');
}

static const char *type_name(const struct json *v) {
    switch (v ? json_type(v) : JSON_NULL) {
    case JSON_STRING:
        return "string";
    case JSON_BOOL:
        return "bool";
    case JSON_NUMBER:
        return is_integer(v) ? "int" : "float64";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_OBJECT:
        return "map[string]interface {}";
    case JSON_NULL:
        break;
    }
    return "<nil>";
}

static void format_text(const struct verb *f, const struct json *v, struct str *s) {
    template_print(v, s);
    if (f->has_precision && s->len > (size_t)f->precision) {
        s->len = (size_t)f->precision;
        s->ptr[s->len] = '\0';
    }
}

static void format_hex(const struct verb *f, const struct json *v, struct str *s) {
    const char *text = json_str_value(v);
    if (!text) {
        str_appendf(s, f->letter == 'x' ? "%llx" : "%llX", (unsigned long long)json_int_value(v, 0));
        return;
    }
    for (; *text; text++)
        str_appendf(s, f->letter == 'x' ? "%02x" : "%02X", (unsigned char)*text);
}

static void format_binary(uint64_t v, struct str *s) {
    int bit = 63;
    while (bit > 0 && !(v >> bit & 1))
        bit--;
    for (; bit >= 0; bit--)
        str_append_c(s, v >> bit & 1 ? '1' : '0');
}

static void format_float(const struct verb *f, double d, struct str *s) {
    int precision = f->has_precision ? f->precision : 6;
    if (f->letter == 'e')
        str_appendf(s, "%.*e", precision, d);
    else if (f->letter == 'g' && !f->has_precision)
        print_float(d, s);
    else if (f->letter == 'g')
        str_appendf(s, "%.*g", precision, d);
    else
        str_appendf(s, "%.*f", precision, d);
}

/* False when the verb does not fit the value. */
static bool format_number(const struct verb *f, const struct json *v, struct str *s) {
    if (json_type(v) != JSON_NUMBER)
        return false;
    switch (f->letter) {
    case 'd':
        str_appendf(s, f->plus ? "%+" PRId64 : "%" PRId64, json_int_value(v, 0));
        return is_integer(v);
    case 'b':
        format_binary((uint64_t)json_int_value(v, 0), s);
        return true;
    case 'o':
        str_appendf(s, "%" PRIo64, (uint64_t)json_int_value(v, 0));
        return true;
    case 'c':
        str_append_c(s, (char)json_int_value(v, 0));
        return true;
    default:
        format_float(f, json_num_value(v, 0), s);
        return !is_integer(v);
    }
}

static void append_value(const struct verb *f, const struct json *v, struct str *out) {
    autostr struct str s = STR_INIT;
    bool ok = true;
    switch (f->letter) {
    case 's':
    case 'v':
        format_text(f, v, &s);
        break;
    case 'q':
        json_quote(json_str_value(v) ? json_str_value(v) : "", json_str_value(v) ? strlen(json_str_value(v)) : 0, &s);
        break;
    case 't':
        ok = v && json_type(v) == JSON_BOOL;
        template_print(v, &s);
        break;
    case 'T':
        str_append(&s, type_name(v));
        break;
    case 'x':
    case 'X':
        format_hex(f, v, &s);
        break;
    default:
        ok = v && strchr("dbocfge", f->letter) && format_number(f, v, &s);
    }
    if (!ok) {
        str_clear(&s);
        str_appendf(&s, "%%!%c(%s=", f->letter, type_name(v));
        template_print(v, &s);
        str_append_c(&s, ')');
    }
    append_padded(f, str_c(&s), out);
}

static int parse_digits(const char **s) {
    int n = 0;
    for (; isdigit((unsigned char)**s); (*s)++)
        n = n > 1000 ? n : n * 10 + (**s - '0');
    return n;
}

static struct verb parse_verb(const char **s) {
    struct verb f = {.width = 0};
    for (; **s && strchr("-+# 0", **s); (*s)++) {
        f.minus |= **s == '-';
        f.plus |= **s == '+';
        f.sharp |= **s == '#';
        f.zero |= **s == '0';
    }
    f.width = parse_digits(s);
    if (**s == '.') {
        (*s)++;
        f.has_precision = true;
        f.precision = parse_digits(s);
    }
    f.letter = **s;
    if (**s)
        (*s)++;
    return f;
}

void template_printf(const struct template_call *c, struct str *out) {
    const char *format = json_str_value(c->args[0]);
    size_t next = 1;
    while (*format) {
        if (*format != '%') {
            str_append_c(out, *format++);
            continue;
        }
        format++;
        const struct verb f = parse_verb(&format);
        if (f.letter == '%')
            str_append_c(out, '%');
        else if (!f.letter)
            str_append(out, "%!(NOVERB)");
        else if (next >= c->n)
            str_appendf(out, "%%!%c(MISSING)", f.letter);
        else
            append_value(&f, c->args[next++], out);
    }
    for (size_t i = next; i < c->n; i++) {
        str_appendf(out, "%s%s=", i == next ? "%!(EXTRA " : ", ", type_name(c->args[i]));
        template_print(c->args[i], out);
        if (i + 1 == c->n)
            str_append_c(out, ')');
    }
}
