/* expand: see expand_int.h. */
#include "build/expand_int.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "build/glob_int.h"

#define EXPAND_MAX ((size_t)1 << 20)
#define NESTING_MAX 64

/* What has been read: as a whole, and as words. */
struct result {
    struct str text, word;
    struct strv words;
    bool in_word;
};

struct lexer {
    const struct expand *x;
    const char *p;
    int depth;
};

#define autoresult __attribute__((cleanup(result_done))) struct result
static void result_done(struct result *r) {
    str_done(&r->text);
    str_done(&r->word);
    strv_done(&r->words);
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void end_word(struct result *r) {
    if (r->in_word)
        strv_push_take(&r->words, str_take(&r->word));
    r->word.max = EXPAND_MAX;
    r->in_word = false;
}

/* Text that no quote protects: its blanks end words. */
static void add(struct result *r, const char *text, size_t n) {
    str_append_n(&r->text, text, n);
    for (size_t i = 0; i < n; i++) {
        if (is_blank(text[i])) {
            end_word(r);
            continue;
        }
        str_append_c(&r->word, text[i]);
        r->in_word = true;
    }
}

static void add_quoted(struct result *r, const struct str *text) {
    str_append_n(&r->text, str_c(text), text->len);
    str_append_n(&r->word, str_c(text), text->len);
    r->in_word = true;
}

static struct err *dollar(struct lexer *l, struct str *out);

static struct err *no_end(const char *what) {
    return err_new(ERR_USAGE, "unexpected end of statement while looking for matching %s", what);
}

static struct err *single_quoted(struct lexer *l, struct str *out) {
    const char *end = strchr(++l->p, '\'');
    if (!end)
        return no_end("single-quote");
    str_append_n(out, l->p, (size_t)(end - l->p));
    l->p = end + 1;
    return NULL;
}

static struct err *double_quoted(struct lexer *l, struct str *out) {
    char escape = l->x->escape;
    for (l->p++; *l->p != '"';) {
        if (!*l->p)
            return no_end("double-quote");
        if (*l->p == '$') {
            TRY(dollar(l, out));
            continue;
        }
        if (*l->p == escape && (l->p[1] == '"' || l->p[1] == '$' || l->p[1] == escape))
            l->p++;
        str_append_c(out, *l->p++);
    }
    l->p++;
    return NULL;
}

static struct err *quoted(struct lexer *l, struct result *r) {
    autostr struct str text = STR_INIT_MAX(EXPAND_MAX);
    TRY(*l->p == '"' ? double_quoted(l, &text) : single_quoted(l, &text));
    add_quoted(r, &text);
    return NULL;
}

/* Bytes of the character at p. */
static size_t char_len(const char *p) {
    size_t n = 1;
    while (n < 4 && ((unsigned char)p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The escape character and what it protects; `raw`: it stays, for a pattern. */
static void escaped(struct lexer *l, struct result *r, bool raw) {
    autostr struct str text = STR_INIT;
    if (raw)
        str_append_c(&text, *l->p);
    if (*++l->p) {
        size_t n = char_len(l->p);
        str_append_n(&text, l->p, n);
        l->p += n;
    }
    if (text.len)
        add_quoted(r, &text);
}

/* Everything up to `stop`, which is taken, or, where that is 0, up to the end. */
static struct err *run(struct lexer *l, char stop, bool raw_escapes, struct result *r) {
    r->text.max = r->word.max = EXPAND_MAX;
    if (++l->depth > NESTING_MAX)
        return err_new(ERR_USAGE, "variables are nested more than %d deep", NESTING_MAX);
    while (*l->p && (!stop || *l->p != stop)) {
        if (!l->x->raw_quotes && (*l->p == '\'' || *l->p == '"')) {
            TRY(quoted(l, r));
        } else if (*l->p == '$') {
            autostr struct str value = STR_INIT_MAX(EXPAND_MAX);
            TRY(dollar(l, &value));
            add(r, str_c(&value), value.len);
        } else if (*l->p == l->x->escape) {
            escaped(l, r, raw_escapes);
        } else {
            add(r, l->p, 1);
            l->p++;
        }
    }
    end_word(r);
    l->depth--;
    if (stop && !*l->p)
        return err_new(ERR_USAGE, "syntax error: missing '}'");
    l->p += stop != 0;
    return str_ok(&r->text) ? NULL : err_new(ERR_USAGE, "the text is longer than %zu bytes", EXPAND_MAX);
}

/* Letters, digits and '_'; or digits; or one of the shell's special ones. */
static char *take_name(struct lexer *l) {
    size_t n = 0;
    if (is_letter(*l->p))
        while (is_letter(l->p[n]) || is_digit(l->p[n]))
            n++;
    else if (is_digit(*l->p))
        while (is_digit(l->p[n]))
            n++;
    else if (*l->p && strchr("@*#?-$!", *l->p))
        n = 1;
    char *name = mem_dupn(l->p, n);
    l->p += n;
    return name;
}

/* ---- ${name…} ---- */

struct modified {
    const char *name, *value; /* value NULL: not set */
    const char *start;        /* of the whole, for keep_unset */
};

static struct err *trim(const struct modified *m, char kind, const char *word, struct str *out) {
    autoglob g = {.n = 0};
    size_t n, len = m->value ? strlen(m->value) : 0;
    bool longest = *word == kind;
    if (!m->value)
        return NULL;
    TRY(glob_compile(word + longest, GLOB_SHELL, &g));
    if (!glob_extent(&g, m->value, kind == '%', longest, &n))
        n = 0;
    if (kind == '%')
        str_append_n(out, m->value, len - n);
    else
        str_append_n(out, m->value + n, len - n);
    return NULL;
}

static struct err *replace(struct lexer *l, const struct modified *m, struct str *out) {
    autoresult pattern = {.in_word = false};
    autoresult with = {.in_word = false};
    autoglob g = {.n = 0};
    bool all = *l->p == '/';
    l->p += all;
    TRY(run(l, '/', true, &pattern));
    TRY(run(l, '}', false, &with));
    TRY(glob_compile(str_c(&pattern.text), GLOB_SHELL, &g));
    bool more = true;
    for (const char *p = m->value ? m->value : ""; *p;) {
        size_t n = 0;
        if (more && glob_extent(&g, p, false, true, &n) && n > 0) {
            str_append_n(out, str_c(&with.text), with.text.len);
            p += n;
            more = all;
        } else {
            str_append_c(out, *p++);
        }
    }
    return NULL;
}

static struct err *demand(const struct modified *m, bool empty_counts, const char *word) {
    if (m->value && !(empty_counts && !*m->value))
        return NULL;
    const char *why = m->value ? "is not allowed to be empty" : "is not allowed to be unset";
    return err_new(ERR_USAGE, "%s: %s", m->name, *word ? word : why);
}

/* "-word}" and the like; *l->p is behind the operator. */
static struct err *with_word(struct lexer *l, const struct modified *m, const char *operator, struct str * out) {
    autoresult word = {.in_word = false};
    bool colon = *operator== ':';
    char kind = operator[colon];
    TRY(run(l, '}', kind == '#' || kind == '%', &word));
    bool there = m->value && !(colon && !*m->value);
    if (l->x->keep_unset && !m->value) {
        str_append_n(out, m->start, (size_t)(l->p - m->start));
        return NULL;
    }
    if (kind == '#' || kind == '%')
        return trim(m, kind, str_c(&word.text), out);
    if (kind == '?')
        TRY(demand(m, colon, str_c(&word.text)));
    if (kind == '+')
        str_append(out, there ? str_c(&word.text) : "");
    else
        str_append(out, there ? m->value : kind == '-' ? str_c(&word.text) : "");
    return NULL;
}

static struct err *braces(struct lexer *l, const char *start, struct str *out) {
    if (!*++l->p)
        return err_new(ERR_USAGE, "syntax error: missing '}'");
    if (strchr("{}:", *l->p))
        return err_new(ERR_USAGE, "syntax error: bad substitution");
    autofree char *name = take_name(l);
    const struct modified m = {name, l->x->get(l->x->ctx, name), start};
    char operator[3] = {*l->p, 0, 0};
    if (!*l->p)
        return err_new(ERR_USAGE, "syntax error: missing '}'");
    if (*l->p++ == '}') {
        if (l->x->keep_unset && !m.value)
            str_append_n(out, start, (size_t)(l->p - start));
        else
            str_append(out, m.value ? m.value : "");
        return NULL;
    }
    if (*operator== '/')
        return replace(l, &m, out);
    if (*operator== ':' && * l->p)
        operator[1] = * l->p++;
    if (!strchr(*operator== ':' ? "-+?" : "-+?#%", operator[*operator== ':']) || !operator[*operator== ':'])
        return err_new(ERR_USAGE, "unsupported modifier (%s) in substitution", operator);
    return with_word(l, &m, operator, out);
}

/* A variable; *l->p is its '$'. */
static struct err *dollar(struct lexer *l, struct str *out) {
    const char *start = l->p++;
    if (*l->p == '{')
        return braces(l, start, out);
    autofree char *name = take_name(l);
    if (!*name) {
        str_append_c(out, '$');
        return NULL;
    }
    const char *value = l->x->get(l->x->ctx, name);
    if (!value && l->x->keep_unset)
        str_append_n(out, start, (size_t)(l->p - start));
    else
        str_append(out, value ? value : "");
    return NULL;
}

static struct err *process(const struct expand *x, const char *text, struct result *r) {
    struct lexer l = {.x = x, .p = text};
    struct err *e = run(&l, 0, false, r);
    return e ? err_wrap(e, "failed to process \"%s\"", text) : NULL;
}

struct err *expand_word(const struct expand *x, const char *word, struct str *out) {
    autoresult r = {.in_word = false};
    TRY(process(x, word, &r));
    str_append_n(out, str_c(&r.text), r.text.len);
    return NULL;
}

struct err *expand_words(const struct expand *x, const char *text, struct strv *out) {
    autoresult r = {.in_word = false};
    TRY(process(x, text, &r));
    strv_extend(out, &r.words);
    return NULL;
}
