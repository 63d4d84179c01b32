/* template_printf: printf with Go's verbs, flags, and ways of saying what is wrong. */
#include "cli/template_int.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define WIDTH_MAX 10000

struct verb {
    bool minus, zero, plus, sharp, space, has_precision, bad_index;
    int width, precision;
    char letter[5]; /* one code point */
};

struct printf_state {
    const struct template_call *c;
    const char *at;
    size_t next;    /* argument */
    bool reordered; /* "%[2]d" was there: surplus arguments are fine then */
    struct str *out;
};

static size_t rune_length(const char *s) {
    size_t n = *s != '\0';
    while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
        n++;
    return n;
}

static size_t rune_count(const char *s) {
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void append_padded(const struct verb *f, const char *text, struct str *out) {
    size_t runes = rune_count(text), pad = (size_t)f->width > runes ? (size_t)f->width - runes : 0;
    bool zero = f->zero && !f->minus, sign = zero && (*text == '-' || *text == '+');
    if (sign)
        str_append_c(out, *text);
    for (size_t i = 0; i < pad && !f->minus; i++)
        str_append_c(out, zero ? '0' : ' ');
    str_append(out, text + sign);
    for (size_t i = 0; i < pad && f->minus; i++)
        str_append_c(out, ' ');
}

const char *template_type_name(const struct json *v) {
    switch (v ? json_type(v) : JSON_NULL) {
    case JSON_STRING:
        return "string";
    case JSON_BOOL:
        return "bool";
    case JSON_NUMBER:
        return template_is_integer(v) ? "int" : "float64";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_OBJECT:
        return "map[string]interface {}";
    case JSON_NULL:
        break;
    }
    return "<nil>";
}

/* ---- one value ---- */

static void format_hex_text(const struct verb *f, const char *text, struct str *s) {
    for (const char *c = text; *c; c++)
        str_appendf(s, *f->letter == 'x' ? "%s%02x" : "%s%02X", f->space && c != text ? " " : "", (unsigned char)*c);
}

static void format_quoted(const char *text, struct str *s) {
    str_append_c(s, '"');
    for (; *text; text++) {
        static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
        unsigned char ch = (unsigned char)*text;
        const char *p = strchr(from, ch);
        if (p)
            str_appendf(s, "\\%c", to[p - from]);
        else if (ch < 0x20 || ch == 0x7f)
            str_appendf(s, "\\x%02x", ch);
        else
            str_append_c(s, (char)ch);
    }
    str_append_c(s, '"');
}

static bool format_text(const struct verb *f, const char *text, struct str *s) {
    size_t n = 0;
    for (int i = 0; text[n] && (!f->has_precision || i < f->precision); i++)
        n += rune_length(text + n);
    autofree char *cut = mem_dupn(text, n);
    switch (*f->letter) {
    case 'v':
    case 's':
        if (f->sharp && *f->letter == 'v')
            format_quoted(cut, s);
        else
            str_append(s, cut);
        return true;
    case 'q':
        format_quoted(cut, s);
        return true;
    case 'x':
    case 'X':
        format_hex_text(f, cut, s);
        return true;
    default:
        return false;
    }
}

static void append_in_base(const struct verb *f, int64_t v, unsigned base, struct str *s) {
    const char *digits = *f->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    char buf[64];
    size_t n = sizeof buf;
    do {
        buf[--n] = digits[u % base];
        u /= base;
    } while (u);
    if (v < 0 || f->plus || f->space)
        str_append_c(s, v < 0 ? '-' : f->plus ? '+' : ' ');
    if (f->sharp && base != 10)
        str_append(s, base == 16 ? (*f->letter == 'X' ? "0X" : "0x") : base == 8 ? "0" : "0b");
    str_append_n(s, buf + n, sizeof buf - n);
}

/* The base that a verb prints integers in, 0 for one that prints them otherwise. */
static unsigned base_of(char letter) {
    switch (letter) {
    case 'd':
        return 10;
    case 'b':
        return 2;
    case 'o':
        return 8;
    case 'x':
    case 'X':
        return 16;
    default:
        return 0;
    }
}

static bool format_integer(const struct verb *f, const struct json *v, struct str *s) {
    int64_t i = json_int_value(v, 0);
    unsigned base = base_of(*f->letter);
    autostr struct str rune = STR_INIT;
    if (base) {
        append_in_base(f, i, base, s);
        return true;
    }
    switch (*f->letter) {
    case 'v':
        if (i == 0 && !f->plus) /* beyond the signed range it is printed as it stands */
            json_render(v, JSON_COMPACT, s);
        else
            append_in_base(f, i, 10, s);
        return true;
    case 'c':
    case 'q':
        if (i < 0 || !template_append_rune((unsigned long)i, &rune))
            template_append_rune(0xfffd, &rune);
        str_appendf(s, *f->letter == 'c' ? "%s" : "'%s'", str_c(&rune));
        return true;
    case 'U':
        str_appendf(s, "U+%04" PRIX64, (uint64_t)i);
        return true;
    default:
        return false;
    }
}

static bool format_float(const struct verb *f, const struct json *v, struct str *s) {
    double d = json_num_value(v, 0);
    int precision = f->has_precision ? f->precision : 6;
    if (f->plus && d >= 0)
        str_append_c(s, '+');
    switch (*f->letter) {
    case 'e':
        str_appendf(s, "%.*e", precision, d);
        return true;
    case 'E':
        str_appendf(s, "%.*E", precision, d);
        return true;
    case 'f':
    case 'F':
        str_appendf(s, "%.*f", precision, d);
        return true;
    case 'g':
    case 'G':
    case 'v':
        if (f->has_precision)
            str_appendf(s, "%.*g", precision, d);
        else
            template_print(v, s);
        return true;
    default:
        return false;
    }
}

static void append_value(const struct verb *f, const struct json *v, struct str *out);

/* Lists and maps: the verb goes to their elements. */
static void append_elements(const struct verb *f, const struct json *v, struct str *out) {
    size_t n = 0;
    bool object = json_type(v) == JSON_OBJECT;
    const struct json **items = template_items(v, &n);
    str_append(out, object ? "map[" : "[");
    for (size_t i = 0; i < n; i++) {
        autojson key = object ? json_string(json_key(items[i])) : NULL;
        str_append(out, i ? " " : "");
        if (object) {
            append_value(f, key, out);
            str_append_c(out, ':');
        }
        append_value(f, items[i], out);
    }
    str_append_c(out, ']');
    free(items);
}

static void append_value(const struct verb *f, const struct json *v, struct str *out) {
    autostr struct str s = STR_INIT;
    enum json_type type = v ? json_type(v) : JSON_NULL;
    bool ok = false;
    if (*f->letter == 'T') {
        ok = true;
        str_append(&s, template_type_name(v));
    } else if (type == JSON_ARRAY || type == JSON_OBJECT) {
        append_elements(f, v, out);
        return;
    } else if (type == JSON_STRING) {
        ok = format_text(f, json_str_value(v), &s);
    } else if (type == JSON_BOOL) {
        ok = *f->letter == 'v' || *f->letter == 't';
        str_append(&s, json_bool_value(v, false) ? "true" : "false");
    } else if (type == JSON_NUMBER) {
        ok = template_is_integer(v) ? format_integer(f, v, &s) : format_float(f, v, &s);
    } else if (*f->letter == 'v') {
        ok = true;
        str_append(&s, "<nil>");
    }
    if (!ok) {
        str_clear(&s);
        str_appendf(&s, type == JSON_NULL ? "%%!%s(%s" : "%%!%s(%s=", f->letter, template_type_name(v));
        if (type != JSON_NULL)
            template_print(v, &s);
        str_append_c(&s, ')');
    }
    append_padded(f, str_c(&s), out);
}

/* ---- the format ---- */

static int parse_digits(const char **s) {
    int n = 0;
    for (; isdigit((unsigned char)**s); (*s)++)
        n = n > WIDTH_MAX ? n : n * 10 + (**s - '0');
    return n > WIDTH_MAX ? 0 : n;
}

/* "[2]": the argument that is taken next. */
static void parse_index(struct printf_state *p, struct verb *f) {
    if (*p->at != '[')
        return;
    const char *end = strchr(p->at, ']'), *digits = p->at + 1;
    int n = parse_digits(&digits);
    p->reordered = true;
    f->bad_index = f->bad_index || !end || digits != end || n < 1 || (size_t)n >= p->c->n;
    p->at = end ? end + 1 : p->at + 1;
    if (!f->bad_index)
        p->next = (size_t)n;
}

/* A number, or "*" for the next argument. False: none. */
static bool parse_size(struct printf_state *p, struct verb *f, int *ret) {
    parse_index(p, f);
    if (*p->at != '*') {
        bool any = isdigit((unsigned char)*p->at);
        *ret = parse_digits(&p->at);
        return any;
    }
    p->at++;
    int64_t n = p->next < p->c->n ? json_int_value(p->c->args[p->next++], WIDTH_MAX + 1) : WIDTH_MAX + 1;
    if (n < -WIDTH_MAX || n > WIDTH_MAX) {
        str_append(p->out, "%!(BADWIDTH)");
        n = 0;
    }
    *ret = (int)n;
    return true;
}

static struct verb parse_verb(struct printf_state *p) {
    struct verb f = {.width = 0};
    for (; *p->at && strchr("-+# 0", *p->at); p->at++) {
        f.minus |= *p->at == '-';
        f.plus |= *p->at == '+';
        f.sharp |= *p->at == '#';
        f.zero |= *p->at == '0';
        f.space |= *p->at == ' ';
    }
    parse_size(p, &f, &f.width);
    if (f.width < 0) {
        f.minus = true;
        f.width = -f.width;
    }
    if (*p->at == '.') {
        p->at++;
        f.has_precision = true;
        parse_size(p, &f, &f.precision);
        f.has_precision = f.precision >= 0;
    }
    parse_index(p, &f);
    size_t n = rune_length(p->at);
    memcpy(f.letter, p->at, n < sizeof f.letter ? n : 1);
    p->at += n;
    return f;
}

static void format_next(struct printf_state *p) {
    const struct verb f = parse_verb(p);
    if (*f.letter == '%')
        str_append_c(p->out, '%');
    else if (!*f.letter)
        str_append(p->out, "%!(NOVERB)");
    else if (f.bad_index)
        str_appendf(p->out, "%%!%s(BADINDEX)", f.letter);
    else if (p->next >= p->c->n)
        str_appendf(p->out, "%%!%s(MISSING)", f.letter);
    else
        append_value(&f, p->c->args[p->next++], p->out);
}

void template_printf(const struct template_call *c, struct str *out) {
    struct printf_state p = {.c = c, .at = json_str_value(c->args[0]), .next = 1, .out = out};
    while (*p.at) {
        if (*p.at != '%') {
            str_append_c(out, *p.at++);
            continue;
        }
        p.at++;
        format_next(&p);
    }
    for (size_t i = p.next; i < c->n && !p.reordered; i++) {
        str_appendf(out, "%s%s", i == p.next ? "%!(EXTRA " : ", ", template_type_name(c->args[i]));
        if (c->args[i] && json_type(c->args[i]) != JSON_NULL) {
            str_append_c(out, '=');
            template_print(c->args[i], out);
        }
        if (i + 1 == c->n)
            str_append_c(out, ')');
    }
}
