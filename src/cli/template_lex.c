/* template_lex: text and actions to tokens; trim markers and comments end here. */
#include "cli/template_int.h"

#include <ctype.h>
#include <string.h>

struct lexer {
    const char *text, *at;
    const char *begin; /* of the token that is being read */
    int line;
    int parens;
    struct tokens *out;
};

struct err *template_err(int line, const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    return err_new(ERR_USAGE, "template: :%d: %s", line, str_c(&s));
}

void template_tokens_done(struct tokens *t) {
    for (size_t i = 0; i < t->n; i++)
        free(t->t[i].text);
    free(t->t);
    *t = (struct tokens){.n = 0};
}

static void emit(struct lexer *l, enum token_kind kind, char *take_text) {
    struct tokens *o = l->out;
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 32;
        o->t = mem_resize(o->t, o->cap, sizeof *o->t);
    }
    o->t[o->n++] = (struct token){kind, take_text, l->line, (size_t)(l->begin - l->text), (size_t)(l->at - l->text)};
}

static void count_lines(struct lexer *l, const char *from, size_t n) {
    for (size_t i = 0; i < n; i++)
        l->line += from[i] == '\n';
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || (c & 0x80); }

static size_t word_length(const char *s) {
    size_t n = 0;
    while (is_word(s[n]))
        n++;
    return n;
}

/* ---- literals ---- */

/* The one code point that a text consists of; false when it is another number of them. */
static bool one_rune(const char *s, uint32_t *ret) {
    const unsigned char *c = (const unsigned char *)s;
    size_t n = c[0] < 0x80 ? 1 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (strlen(s) != n || !str_utf8_ok(s, n))
        return false;
    uint32_t rune = n == 1 ? c[0] : c[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++)
        rune = rune << 6 | (c[i] & 0x3fU);
    *ret = rune;
    return true;
}

/* One escape of Go's after its backslash; 0: no such escape. */
static size_t read_escape(const char *s, struct str *out) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *p = *s ? strchr(from, *s) : NULL;
    if (p) {
        str_append_c(out, to[p - from]);
        return 1;
    }
    size_t digits = *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 3, prefix = digits != 3;
    const char *const alphabet = prefix ? "0123456789abcdefABCDEF" : "01234567";
    if (strspn(s + prefix, alphabet) < digits)
        return 0;
    autofree char *number = mem_dupn(s + prefix, digits);
    unsigned long value = strtoul(number, NULL, prefix ? 16 : 8);
    if (digits <= 3 ? value == 0 || value > 0xff : !template_append_rune(value, out))
        return 0;
    if (digits <= 3)
        str_append_c(out, (char)value);
    return prefix + digits;
}

static struct err *char_literal(struct lexer *l, const struct str *s) {
    uint32_t rune = 0;
    if (!one_rune(str_c(s), &rune)) {
        autofree char *source = mem_dupn(l->begin, (size_t)(l->at - l->begin));
        return template_err(l->line, "malformed character constant: %s", source);
    }
    emit(l, TOK_NUMBER, mem_printf("%u", rune));
    return NULL;
}

static struct err *lex_quoted(struct lexer *l) {
    autostr struct str s = STR_INIT;
    char quote = *l->at++;
    bool bad = false;
    while (*l->at && *l->at != quote && (*l->at != '\n' || quote == '`')) {
        if (*l->at != '\\' || quote == '`') {
            str_append_c(&s, *l->at++);
            continue;
        }
        size_t n = read_escape(l->at + 1, &s);
        bad = bad || n == 0;
        l->at += n || !l->at[1] ? n + 1 : 2;
    }
    if (*l->at != quote)
        return template_err(l->line, quote == '`'   ? "unterminated raw quoted string"
                                     : quote == '"' ? "unterminated quoted string"
                                                    : "unterminated character constant");
    count_lines(l, l->begin, (size_t)(l->at - l->begin));
    l->at++;
    if (bad)
        return template_err(l->line, "invalid syntax");
    if (quote == '\'')
        return char_literal(l, &s);
    emit(l, TOK_STRING, str_take(&s));
    return NULL;
}

/* Go's numbers become C's: 0b11, 0o17 and 1_000 are its own. */
static bool read_number(const char *source, char **ret) {
    autostr struct str s = STR_INIT;
    for (const char *c = source; *c; c++)
        if (*c != '_')
            str_append_c(&s, *c);
    const char *digits = str_c(&s) + (*str_c(&s) == '-' || *str_c(&s) == '+');
    bool minus = *str_c(&s) == '-';
    char *end = NULL;
    if (digits[0] == '0' && digits[1] && strchr("bBoO", digits[1])) {
        long long value = strtoll(digits + 2, &end, digits[1] == 'b' || digits[1] == 'B' ? 2 : 8);
        *ret = mem_printf("%lld", minus ? -value : value);
        return end != digits + 2 && !*end;
    }
    if (!isdigit((unsigned char)digits[0]) && digits[0] != '.') /* no "inf", no "nan" */
        return false;
    (void)strtod(str_c(&s), &end);
    if (!end || *end)
        return false;
    *ret = str_take(&s);
    return true;
}

static struct err *lex_number(struct lexer *l) {
    size_t n = *l->at == '-' || *l->at == '+';
    while (is_word(l->at[n]) || l->at[n] == '.' ||
           (n && strchr("+-", l->at[n]) && l->at[n] && strchr("eE", l->at[n - 1])))
        n++;
    autofree char *source = mem_dupn(l->at, n);
    char *text = NULL;
    if (!read_number(source, &text)) {
        free(text);
        return template_err(l->line, "bad number syntax: \"%s\"", source);
    }
    l->at += n;
    emit(l, TOK_NUMBER, text);
    return NULL;
}

/* ---- inside an action ---- */

static struct err *lex_paren(struct lexer *l) {
    if (*l->at == ')' && l->parens == 0)
        return template_err(l->line, "unexpected right paren");
    l->parens += *l->at == '(' ? 1 : -1;
    l->at++;
    emit(l, l->at[-1] == '(' ? TOK_LPAREN : TOK_RPAREN, NULL);
    return NULL;
}

static struct err *lex_symbol(struct lexer *l) {
    static const struct {
        const char *text;
        enum token_kind kind;
    } symbols[] = {{":=", TOK_DECLARE}, {"=", TOK_ASSIGN}, {"|", TOK_PIPE}, {",", TOK_COMMA}};
    unsigned char c = (unsigned char)*l->at;
    if (c == '(' || c == ')')
        return lex_paren(l);
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
        if (!str_starts(l->at, symbols[i].text))
            continue;
        l->at += strlen(symbols[i].text);
        emit(l, symbols[i].kind, NULL);
        return NULL;
    }
    if (c == ':')
        return template_err(l->line, "expected :=");
    if (!isprint(c))
        return template_err(l->line, "unrecognized character in action: U+%04X", c);
    l->at++;
    emit(l, TOK_CHAR, mem_printf("%c", c));
    return NULL;
}

/* 1, -1, +1 and .1 begin a number; "." and "-" alone do not. */
static bool starts_number(const char *s) {
    if (*s == '-' || *s == '+')
        s++;
    return isdigit((unsigned char)*s) || (*s == '.' && isdigit((unsigned char)s[1]));
}

/* A name, and what must follow it. */
static struct err *lex_name(struct lexer *l) {
    char first = *l->at;
    size_t skip = first == '.' || first == '$', n = word_length(l->at + skip);
    enum token_kind kind = first == '$' ? TOK_VARIABLE : first != '.' ? TOK_IDENT : n ? TOK_FIELD : TOK_DOT;
    char next = l->at[skip + n];
    l->at += skip + n;
    if (kind != TOK_DOT && next && !isspace((unsigned char)next) && !strchr(".,|:()=", next) &&
        !str_starts(l->at, "}}"))
        return template_err(l->line, "bad character U+%04X '%c'", (unsigned char)next, next);
    emit(l, kind, mem_dupn(l->begin + skip, n));
    return NULL;
}

static struct err *lex_item(struct lexer *l) {
    const char *s = l->at;
    l->begin = s;
    if (*s == '"' || *s == '`' || *s == '\'')
        return lex_quoted(l);
    if (starts_number(s))
        return lex_number(l);
    if (*s == '.' || *s == '$' || is_word(*s))
        return lex_name(l);
    if (!isspace((unsigned char)*s))
        return lex_symbol(l);
    size_t n = strspn(s, " \t\r\n");
    count_lines(l, s, n ? n : 1);
    l->at += n ? n : 1;
    emit(l, TOK_SPACE, NULL);
    return NULL;
}

static bool trims_right(const char *s) {
    return isspace((unsigned char)s[0]) && s[1] == '-' && s[2] == '}' && s[3] == '}';
}

static struct err *lex_action(struct lexer *l) {
    l->begin = l->at;
    emit(l, TOK_OPEN, NULL);
    for (;;) {
        bool trim = trims_right(l->at), closes = trim || str_starts(l->at, "}}");
        l->begin = l->at;
        if (!*l->at)
            return template_err(l->line, "unclosed action");
        if (closes && l->parens)
            return template_err(l->line, "unclosed left paren");
        if (trim) {
            l->at += 4;
            size_t n = strspn(l->at, " \t\r\n");
            emit(l, TOK_CLOSE, NULL);
            count_lines(l, l->at, n);
            l->at += n;
            return NULL;
        }
        if (closes) {
            l->at += 2;
            emit(l, TOK_CLOSE, NULL);
            return NULL;
        }
        TRY(lex_item(l));
    }
}

static struct err *lex_comment(struct lexer *l) {
    const char *end = strstr(l->at, "*/");
    if (!end)
        return template_err(l->line, "unclosed comment");
    count_lines(l, l->at, (size_t)(end - l->at));
    l->at = end + 2;
    bool trim = trims_right(l->at);
    if (!trim && !str_starts(l->at, "}}"))
        return template_err(l->line, "comment ends before closing delimiter");
    l->at += trim ? 4 : 2;
    if (trim)
        l->at += strspn(l->at, " \t\r\n");
    return NULL;
}

struct err *template_lex(const char *text, struct tokens *ret) {
    struct lexer l = {.text = text, .at = text, .begin = text, .line = 1, .out = ret};
    while (*l.at) {
        const char *open = strstr(l.at, "{{");
        size_t n = open ? (size_t)(open - l.at) : strlen(l.at), keep = n;
        bool trim = open && open[2] == '-' && isspace((unsigned char)open[3]);
        while (trim && keep > 0 && isspace((unsigned char)l.at[keep - 1]))
            keep--;
        if (keep)
            emit(&l, TOK_TEXT, mem_dupn(l.at, keep));
        count_lines(&l, l.at, n);
        if (!open)
            break;
        l.at = open + (trim ? 4 : 2);
        TRY(str_starts(l.at, "/*") ? lex_comment(&l) : lex_action(&l));
    }
    emit(&l, TOK_EOF, NULL);
    return NULL;
}
