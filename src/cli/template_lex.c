/* template_lex: text and actions to tokens; trim markers and comments end here. */
#include "cli/template_int.h"

#include <ctype.h>
#include <string.h>

struct lexer {
    const char *at;
    int line;
    struct tokens *out;
};

struct err *template_err(int line, const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    return err_new(ERR_USAGE, "template parsing error: template: :%d: %s", line, str_c(&s));
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
    o->t[o->n++] = (struct token){kind, take_text, l->line};
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

static char escaped(char c) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *p = c ? strchr(from, c) : NULL;
    return p ? to[p - from] : '\0';
}

static struct err *lex_quoted(struct lexer *l) {
    autostr struct str s = STR_INIT;
    char quote = *l->at++;
    while (*l->at && *l->at != quote) {
        if (*l->at == '\n' && quote != '`')
            break;
        if (*l->at == '\\' && quote != '`') {
            char c = escaped(l->at[1]);
            if (!c)
                return template_err(l->line, "unterminated quoted string");
            str_append_c(&s, c);
            l->at += 2;
            continue;
        }
        str_append_c(&s, *l->at++);
    }
    if (*l->at != quote)
        return template_err(l->line, quote == '`' ? "unterminated raw quoted string" : "unterminated quoted string");
    l->at++;
    if (quote == '\'')
        emit(l, TOK_NUMBER, mem_printf("%d", (unsigned char)*str_c(&s)));
    else
        emit(l, TOK_STRING, str_take(&s));
    return NULL;
}

static struct err *lex_number(struct lexer *l) {
    size_t n = *l->at == '-' || *l->at == '+';
    while (is_word(l->at[n]) || l->at[n] == '.')
        n++;
    autofree char *text = mem_dupn(l->at, n);
    char *end = NULL;
    (void)strtod(text, &end);
    if (!end || *end)
        return template_err(l->line, "bad number syntax: \"%s\"", text);
    emit(l, TOK_NUMBER, take_ptr(&text));
    l->at += n;
    return NULL;
}

/* ---- inside an action ---- */

static struct err *lex_symbol(struct lexer *l) {
    static const struct {
        const char *text;
        enum token_kind kind;
    } symbols[] = {{":=", TOK_DECLARE}, {"=", TOK_ASSIGN}, {"|", TOK_PIPE},
                   {"(", TOK_LPAREN},   {")", TOK_RPAREN}, {",", TOK_COMMA}};
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
        if (!str_starts(l->at, symbols[i].text))
            continue;
        l->at += strlen(symbols[i].text);
        emit(l, symbols[i].kind, NULL);
        return NULL;
    }
    return template_err(l->line, "unexpected bad character U+%04X in command", (unsigned char)*l->at);
}

/* 1, -1, +1 and .1 begin a number; "." and "-" alone do not. */
static bool starts_number(const char *s) {
    return isdigit((unsigned char)*s) || ((*s == '-' || *s == '+' || *s == '.') && isdigit((unsigned char)s[1]));
}

static struct err *lex_item(struct lexer *l) {
    const char *s = l->at;
    if (isspace((unsigned char)*s)) {
        size_t n = strspn(s, " \t\r\n");
        count_lines(l, s, n ? n : 1);
        l->at += n ? n : 1;
        emit(l, TOK_SPACE, NULL);
    } else if (*s == '"' || *s == '`' || *s == '\'') {
        return lex_quoted(l);
    } else if (starts_number(s)) {
        return lex_number(l);
    } else if (*s == '.' || *s == '$') {
        size_t n = word_length(s + 1);
        enum token_kind kind = *s == '$' ? TOK_VARIABLE : n ? TOK_FIELD : TOK_DOT;
        emit(l, kind, mem_dupn(s + 1, n));
        l->at += n + 1;
    } else if (is_word(*s)) {
        size_t n = word_length(s);
        emit(l, TOK_IDENT, mem_dupn(s, n));
        l->at += n;
    } else {
        return lex_symbol(l);
    }
    return NULL;
}

static bool trims_right(const char *s) {
    return isspace((unsigned char)s[0]) && s[1] == '-' && s[2] == '}' && s[3] == '}';
}

static struct err *lex_action(struct lexer *l) {
    emit(l, TOK_OPEN, NULL);
    for (;;) {
        if (!*l->at)
            return template_err(l->line, "unclosed action");
        if (trims_right(l->at)) {
            l->at += 4;
            size_t n = strspn(l->at, " \t\r\n");
            emit(l, TOK_CLOSE, NULL);
            count_lines(l, l->at, n);
            l->at += n;
            return NULL;
        }
        if (str_starts(l->at, "}}")) {
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
    struct lexer l = {.at = text, .line = 1, .out = ret};
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
