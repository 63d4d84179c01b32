/* template_funcs: Go's built-in functions and the ones docker adds. */
#include "cli/template_int.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static struct err *call_err(const struct template_call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));
static struct err *call_err(const struct template_call *c, const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    return err_new(ERR_USAGE, "error calling %s: %s", c->name, str_c(&s));
}

/* The text of a result; what grows beyond all use is refused. */
static struct err *made(struct template_call *c, const struct str *s, const struct json **ret) {
    if (s->len + c->pool->bytes > TEMPLATE_OUTPUT_MAX)
        return call_err(c, "the text is too long");
    *ret = template_keep(c->pool, json_string(str_c(s)));
    return NULL;
}

bool template_truth(const struct json *v) {
    if (!v)
        return false;
    switch (json_type(v)) {
    case JSON_NULL:
        return false;
    case JSON_BOOL:
        return json_bool_value(v, false);
    case JSON_NUMBER:
        return json_num_value(v, 0) != 0.0;
    case JSON_STRING:
        return *json_str_value(v) != '\0';
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return json_count(v) > 0;
}

/* ---- comparison ---- */

static struct err *compare(struct template_call *c, const struct json *a, const struct json *b, int *ret) {
    enum json_type ta = a ? json_type(a) : JSON_NULL, tb = b ? json_type(b) : JSON_NULL;
    if (ta != tb && ta != JSON_NULL && tb != JSON_NULL)
        return call_err(c, "incompatible types for comparison");
    if (ta != tb)
        *ret = ta == JSON_NULL ? -1 : 1;
    else if (ta == JSON_STRING)
        *ret = strcmp(json_str_value(a), json_str_value(b));
    else if (ta == JSON_NUMBER)
        *ret = json_num_value(a, 0) < json_num_value(b, 0) ? -1 : json_num_value(a, 0) > json_num_value(b, 0);
    else if (ta == JSON_BOOL)
        *ret = (int)json_bool_value(a, false) - (int)json_bool_value(b, false);
    else if (ta == JSON_NULL)
        *ret = 0;
    else
        return call_err(c, "non-comparable type");
    return NULL;
}

/* Numbers and strings have an order; the rest is equal or not. */
static bool orderable(const struct json *v) {
    return v && (json_type(v) == JSON_NUMBER || json_type(v) == JSON_STRING);
}

/* eq: the first equals any of the others. */
static struct err *fn_eq(struct template_call *c, const struct json **ret) {
    bool any = false;
    if (c->n < 2)
        return call_err(c, "missing argument for comparison");
    for (size_t i = 1; i < c->n && !any; i++) {
        int order = 0;
        TRY(compare(c, c->args[0], c->args[i], &order));
        any = order == 0;
    }
    *ret = template_keep(c->pool, json_bool(any));
    return NULL;
}

static struct err *fn_order(struct template_call *c, const struct json **ret) {
    int order = 0;
    bool equality = c->name[0] == 'n';
    if (!equality && (!orderable(c->args[0]) || !orderable(c->args[1])))
        return call_err(c, "invalid type for comparison");
    TRY(compare(c, c->args[0], c->args[1], &order));
    bool yes = equality            ? order != 0
               : c->name[0] == 'l' ? order < 0 || (c->name[1] == 'e' && order == 0)
                                   : order > 0 || (c->name[1] == 'e' && order == 0);
    *ret = template_keep(c->pool, json_bool(yes));
    return NULL;
}

static struct err *fn_not(struct template_call *c, const struct json **ret) {
    *ret = template_keep(c->pool, json_bool(!template_truth(c->args[0])));
    return NULL;
}

/* ---- containers ---- */

static struct err *fn_len(struct template_call *c, const struct json **ret) {
    const char *text = json_str_value(c->args[0]);
    if (!text && (!c->args[0] || (json_type(c->args[0]) != JSON_ARRAY && json_type(c->args[0]) != JSON_OBJECT)))
        return call_err(c, "len of %s%s", c->args[0] ? "type " : "",
                        c->args[0] ? template_type_name(c->args[0]) : "nil pointer");
    *ret = template_keep(c->pool, json_int((int64_t)(text ? strlen(text) : json_count(c->args[0]))));
    return NULL;
}

static const struct json *element(const struct json *v, int64_t i) {
    JSON_EACH(m, v)
    if (i-- == 0)
        return m;
    return NULL;
}

static struct err *index_one(struct template_call *c, const struct json *v, const struct json *key,
                             const struct json **ret) {
    if (!v || json_type(v) == JSON_NULL)
        return call_err(c, "index of untyped nil");
    if (json_type(v) == JSON_OBJECT && json_str_value(key)) {
        *ret = str_starts(json_str_value(key), "__") ? NULL : json_get(v, json_str_value(key));
        return NULL;
    }
    int64_t i = json_int_value(key, -1);
    const char *text = json_str_value(v);
    size_t n = text ? strlen(text) : json_count(v);
    if (json_type(v) == JSON_OBJECT || (!text && json_type(v) != JSON_ARRAY))
        return call_err(c, "can't index item of type %s", template_type_name(v));
    if (i < 0 || (size_t)i >= n)
        return call_err(c, "index out of range: %" PRId64, i);
    *ret = text ? template_keep(c->pool, json_int((unsigned char)text[i])) : element(v, i);
    return NULL;
}

static struct err *fn_index(struct template_call *c, const struct json **ret) {
    const struct json *v = c->args[0];
    for (size_t i = 1; i < c->n; i++)
        TRY(index_one(c, v, c->args[i], &v));
    *ret = v;
    return NULL;
}

static const struct json *slice_of(struct template_call *c, int64_t from, int64_t to) {
    const char *text = json_str_value(c->args[0]);
    if (text) {
        autofree char *bytes = mem_dupn(text + from, (size_t)(to - from));
        return template_keep(c->pool, json_string(bytes));
    }
    struct json *part = json_array();
    for (int64_t i = from; i < to; i++)
        json_push(part, json_copy(element(c->args[0], i)));
    return template_keep(c->pool, part);
}

static struct err *fn_slice(struct template_call *c, const struct json **ret) {
    const char *text = json_str_value(c->args[0]);
    if (!text && (!c->args[0] || json_type(c->args[0]) != JSON_ARRAY))
        return call_err(c, "can't slice item of type %s", template_type_name(c->args[0]));
    int64_t n = (int64_t)(text ? strlen(text) : json_count(c->args[0]));
    int64_t from = c->n > 1 ? json_int_value(c->args[1], -1) : 0, to = c->n > 2 ? json_int_value(c->args[2], -1) : n;
    if (from < 0 || from > n)
        return call_err(c, "index out of range: %" PRId64, from);
    if (to < 0 || to > n)
        return call_err(c, "index out of range: %" PRId64, to);
    if (to < from)
        return call_err(c, "invalid slice index: %" PRId64 " > %" PRId64, from, to);
    *ret = slice_of(c, from, to);
    return NULL;
}

/* ---- text ---- */

static struct err *fn_print(struct template_call *c, const struct json **ret) {
    autostr struct str s = STR_INIT;
    bool line = !strcmp(c->name, "println");
    for (size_t i = 0; i < c->n; i++) {
        bool texts = i && (json_str_value(c->args[i]) || json_str_value(c->args[i - 1]));
        if (i && (line || !texts)) /* Print puts spaces between operands when neither is a string */
            str_append_c(&s, ' ');
        template_print(c->args[i], &s);
    }
    if (line)
        str_append_c(&s, '\n');
    return made(c, &s, ret);
}

static struct err *fn_printf(struct template_call *c, const struct json **ret) {
    if (!json_str_value(c->args[0]))
        return call_err(c, "the format must be a string");
    autostr struct str s = STR_INIT;
    template_printf(c, &s);
    return made(c, &s, ret);
}

static void append_json(const struct json *v, struct str *out) {
    if (!v) {
        str_append(out, "null");
        return;
    }
    autojson copy = json_copy(v);
    json_remove(copy, "__labels");
    json_render(copy, JSON_COMPACT, out);
}

static struct err *fn_json(struct template_call *c, const struct json **ret) {
    autostr struct str s = STR_INIT;
    append_json(c->args[0], &s);
    return made(c, &s, ret);
}

static struct err *fn_case(struct template_call *c, const struct json **ret) {
    const char *text = json_str_value(c->args[0]);
    if (!text)
        return call_err(c, "expected a string");
    autostr struct str s = STR_INIT;
    bool start = true;
    for (; *text; text++) {
        unsigned char ch = (unsigned char)*text;
        bool up = c->name[0] == 'u' || (c->name[0] == 't' && start);
        str_append_c(&s, (char)(up ? toupper(ch) : c->name[0] == 'l' ? tolower(ch) : ch));
        start = isspace(ch);
    }
    return made(c, &s, ret);
}

static struct err *fn_split(struct template_call *c, const struct json **ret) {
    const char *text = json_str_value(c->args[0]), *sep = json_str_value(c->args[1]);
    if (!text || !sep)
        return call_err(c, "expected strings");
    struct json *parts = json_array();
    size_t n = strlen(sep);
    for (const char *at = text;;) {
        const char *end = n ? strstr(at, sep) : *at && at[1] ? at + 1 : NULL;
        autofree char *part = end ? mem_dupn(at, (size_t)(end - at)) : mem_dup(at);
        json_push_str(parts, part);
        if (!end)
            break;
        at = end + n;
    }
    *ret = template_keep(c->pool, parts);
    return NULL;
}

static struct err *fn_join(struct template_call *c, const struct json **ret) {
    const char *sep = json_str_value(c->args[1]);
    if (!sep)
        return call_err(c, "expected a list and a string");
    autostr struct str s = STR_INIT;
    JSON_EACH(m, c->args[0]) {
        if (s.len || m != json_first(c->args[0]))
            str_append(&s, sep);
        template_print(m, &s);
    }
    return made(c, &s, ret);
}

static struct err *fn_pad(struct template_call *c, const struct json **ret) {
    const char *text = json_str_value(c->args[0]);
    int64_t before = json_int_value(c->args[1], -1), after = json_int_value(c->args[2], -1);
    if (!text || before < 0 || after < 0 || before > 10000 || after > 10000)
        return call_err(c, "expected a string and two numbers");
    autostr struct str s = STR_INIT;
    if (*text)
        str_appendf(&s, "%*s%s%*s", (int)before, "", text, (int)after, "");
    return made(c, &s, ret);
}

static struct err *fn_truncate(struct template_call *c, const struct json **ret) {
    const char *text = json_str_value(c->args[0]);
    int64_t n = json_int_value(c->args[1], -1);
    if (!text || n < 0)
        return call_err(c, "expected a string and a number");
    size_t keep = strlen(text);
    if ((size_t)n < keep) /* Go's cuts code points in half; a terminal is better off without the half */
        for (keep = (size_t)n; keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80;)
            keep--;
    autofree char *part = mem_dupn(text, keep);
    *ret = template_keep(c->pool, json_string(part));
    return NULL;
}

/* html, js, urlquery: the escapers, each with its own alphabet. */
static void escape_byte(const char *name, unsigned char ch, struct str *out) {
    static const char special[] = "<>&'\"";
    static const char *const html[] = {"&lt;", "&gt;", "&amp;", "&#39;", "&#34;"}, *const js[] = {"\\u003C", "\\u003E",
                                                                                                  "\\u0026", "\\'",
                                                                                                  "\\\""};
    const char *p = ch ? strchr(special, ch) : NULL;
    if (name[0] == 'u') {
        if (isalnum(ch) || strchr("-_.~", ch))
            str_append_c(out, (char)ch);
        else if (ch == ' ')
            str_append_c(out, '+');
        else
            str_appendf(out, "%%%02X", ch);
    } else if (p) {
        str_append(out, name[0] == 'h' ? html[p - special] : js[p - special]);
    } else if (name[0] == 'j' && (ch < 0x20 || ch == '=' || ch == '\\')) {
        str_appendf(out, ch == '\\' ? "\\\\" : "\\u%04X", ch);
    } else {
        str_append_c(out, (char)ch);
    }
}

static struct err *fn_escape(struct template_call *c, const struct json **ret) {
    autostr struct str plain = STR_INIT;
    autostr struct str s = STR_INIT;
    for (size_t i = 0; i < c->n; i++)
        template_print(c->args[i], &plain);
    for (size_t i = 0; i < plain.len; i++)
        escape_byte(c->name, (unsigned char)plain.ptr[i], &s);
    return made(c, &s, ret);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    size_t min, max;
    struct err *(*fn)(struct template_call *c, const struct json **ret);
    bool formats; /* docker's: not for titles of columns */
} functions[] = {
    {"and", 1, 15, NULL, false},           {"or", 1, 15, NULL, false},
    {"not", 1, 1, fn_not, false},          {"eq", 1, 15, fn_eq, false},
    {"ne", 2, 2, fn_order, false},         {"lt", 2, 2, fn_order, false},
    {"le", 2, 2, fn_order, false},         {"gt", 2, 2, fn_order, false},
    {"ge", 2, 2, fn_order, false},         {"len", 1, 1, fn_len, false},
    {"index", 1, 15, fn_index, false},     {"slice", 1, 3, fn_slice, false},
    {"print", 0, 15, fn_print, false},     {"println", 0, 15, fn_print, false},
    {"printf", 1, 15, fn_printf, false},   {"json", 1, 1, fn_json, true},
    {"split", 2, 2, fn_split, true},       {"join", 2, 2, fn_join, true},
    {"title", 1, 1, fn_case, true},        {"lower", 1, 1, fn_case, true},
    {"upper", 1, 1, fn_case, true},        {"pad", 3, 3, fn_pad, true},
    {"truncate", 2, 2, fn_truncate, true}, {"html", 1, 15, fn_escape, false},
    {"js", 1, 15, fn_escape, false},       {"urlquery", 1, 15, fn_escape, false},
};

bool template_is_function(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (!strcmp(functions[i].name, name))
            return true;
    return false;
}

struct err *template_call(struct template_call *c, const struct json **ret, bool *ret_arity) {
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (strcmp(functions[i].name, c->name) != 0)
            continue;
        size_t min = functions[i].min, max = functions[i].max;
        *ret_arity = c->n < min || c->n > max || !functions[i].fn;
        if (*ret_arity)
            return err_new(ERR_USAGE, "wrong number of args for %s: want %s%zu got %zu", c->name,
                           min < max ? "at least " : "", min, c->n);
        if (!c->header || !functions[i].formats)
            return functions[i].fn(c, ret);
        *ret = c->args[0];
        return NULL;
    }
    return call_err(c, "no such function");
}
