/* template_parse: tokens to a tree, by recursive descent; Go's messages for what is wrong. */
#include "cli/template_int.h"

#include <string.h>

struct parser {
    const char *text;
    struct tokens tokens;
    size_t at;
    int depth, loops;
    struct strv variables; /* in scope */
};

static const struct token *peek(const struct parser *p) { return &p->tokens.t[p->at]; }

static const struct token *peek_after_space(struct parser *p) {
    while (peek(p)->kind == TOK_SPACE)
        p->at++;
    return peek(p);
}

static struct err *unexpected(const struct parser *p, const char *context) {
    static const char *const names[] = {
        [TOK_EOF] = "EOF",        [TOK_OPEN] = "\"{{\"",        [TOK_CLOSE] = "\"}}\"", [TOK_PIPE] = "\"|\"",
        [TOK_LPAREN] = "\"(\"",   [TOK_RPAREN] = "right paren", [TOK_COMMA] = "\",\"",  [TOK_DOT] = "<.>",
        [TOK_DECLARE] = "\":=\"", [TOK_ASSIGN] = "\"=\""};

    const struct token *t = peek(p);
    const char *word = t->kind < ARRAY_LEN(names) && names[t->kind] ? names[t->kind] : NULL;
    if (word)
        return template_err(t->line, "unexpected %s in %s", word, context);
    return template_err(t->line, "unexpected \"%s%s\" in %s",
                        t->kind == TOK_FIELD      ? "."
                        : t->kind == TOK_VARIABLE ? "$"
                                                  : "",
                        t->text ? t->text : "", context);
}

/* ---- freeing ---- */

static void operand_done(struct operand *o) {
    free(o->name);
    free(o->at.source);
    json_free(o->literal);
    template_pipeline_free(o->sub);
    strv_done(&o->chain);
}

void template_pipeline_free(struct pipeline *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < p->commands[i].n; k++)
            operand_done(&p->commands[i].args[k]);
        free(p->commands[i].args);
        free(p->commands[i].at.source);
    }
    free(p->commands);
    free(p->declares[0]);
    free(p->declares[1]);
    free(p);
}

static void list_done(struct node_list *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->nodes[i].text);
        template_pipeline_free(l->nodes[i].pipe);
        list_done(&l->nodes[i].body);
        list_done(&l->nodes[i].otherwise);
    }
    free(l->nodes);
}

void template_free(struct template *t) {
    if (!t)
        return;
    list_done(&t->root);
    free(t);
}

/* ---- pipelines ---- */

static struct err *parse_pipeline(struct parser *p, const char *context, enum token_kind end, struct pipeline **ret);

static struct json *number_literal(const char *text) {
    char *end = NULL;
    long long i = strtoll(text, &end, 0);
    return end && !*end ? json_int(i) : json_double(strtod(text, NULL));
}

static struct err *parse_word(struct parser *p, struct operand *o) {
    const struct token *t = peek(p);
    o->kind = OP_LITERAL;
    if (!strcmp(t->text, "true") || !strcmp(t->text, "false"))
        o->literal = json_bool(*t->text == 't');
    else if (!strcmp(t->text, "nil"))
        o->literal = json_null();
    else if (template_is_function(t->text)) {
        o->kind = OP_FUNCTION;
        o->name = mem_dup(t->text);
    } else
        return template_err(t->line, "function \"%s\" not defined", t->text);
    p->at++;
    return NULL;
}

static struct err *parse_variable(struct parser *p, struct operand *o) {
    const struct token *t = peek(p);
    if (*t->text && !strv_has(&p->variables, t->text))
        return template_err(t->line, "undefined variable \"$%s\"", t->text);
    o->kind = OP_VARIABLE;
    o->name = mem_dup(t->text);
    p->at++;
    return NULL;
}

static struct err *parse_head(struct parser *p, struct operand *o) {
    const struct token *t = peek(p);
    switch ((int)t->kind) {
    case TOK_DOT:
        p->at++;
        return NULL;
    case TOK_FIELD:
        return NULL; /* a chain on dot */
    case TOK_VARIABLE:
        return parse_variable(p, o);
    case TOK_IDENT:
        return parse_word(p, o);
    case TOK_STRING:
    case TOK_NUMBER:
        o->kind = OP_LITERAL;
        o->literal = t->kind == TOK_STRING ? json_string(t->text) : number_literal(t->text);
        p->at++;
        return NULL;
    case TOK_LPAREN:
        p->at++;
        o->kind = OP_PIPELINE;
        return parse_pipeline(p, "parenthesized pipeline", TOK_RPAREN, &o->sub);
    default:
        return unexpected(p, "command");
    }
}

/* Where tokens [first, p->at) stand; `anchor` is the one whose place is told. */
static struct template_at place(const struct parser *p, size_t first, size_t anchor) {
    const struct token *a = &p->tokens.t[first], *t = &p->tokens.t[anchor];
    size_t last = p->at;
    while (last > first + 1 && p->tokens.t[last - 1].kind == TOK_SPACE)
        last--;
    size_t end = last > first ? p->tokens.t[last - 1].end : a->end, line_begin = t->begin;
    while (line_begin > 0 && p->text[line_begin - 1] != '\n')
        line_begin--;
    return (struct template_at){t->line, t->begin - line_begin, mem_dupn(p->text + a->begin, end - a->begin)};
}

/* Go places a chain where its second field begins. */
static struct err *parse_operand(struct parser *p, struct operand *o) {
    size_t first = p->at;
    TRY(parse_head(p, o));
    size_t head_end = p->at, anchor = first;
    for (; peek(p)->kind == TOK_FIELD; p->at++) {
        if (o->kind == OP_LITERAL) {
            autofree char *term =
                mem_dupn(p->text + p->tokens.t[first].begin, p->tokens.t[first].end - p->tokens.t[first].begin);
            autostr struct str quoted = STR_INIT;
            json_quote(term, strlen(term), &quoted);
            return template_err(peek(p)->line, "unexpected . after term %s", str_c(&quoted));
        }
        if (o->chain.n == (head_end == first))
            anchor = p->at;
        strv_push(&o->chain, peek(p)->text);
    }
    o->at = place(p, first, anchor);
    return NULL;
}

static struct err *parse_command(struct parser *p, struct pipeline *pipe) {
    pipe->commands = mem_resize(pipe->commands, pipe->n + 1, sizeof *pipe->commands);
    struct command *c = &pipe->commands[pipe->n++];
    *c = (struct command){.n = 0};
    peek_after_space(p);
    size_t first = p->at;
    for (;;) {
        enum token_kind k = peek_after_space(p)->kind;
        if (k == TOK_PIPE || k == TOK_CLOSE || k == TOK_RPAREN || k == TOK_EOF)
            break;
        if (c->n == 15)
            return template_err(peek(p)->line, "too many arguments in one command");
        c->args = mem_resize(c->args, c->n + 1, sizeof *c->args);
        c->args[c->n] = (struct operand){.kind = OP_DOT};
        c->n++;
        TRY(parse_operand(p, &c->args[c->n - 1]));
        k = peek(p)->kind;
        if (k != TOK_SPACE && k != TOK_PIPE && k != TOK_CLOSE && k != TOK_RPAREN)
            return unexpected(p, "operand");
    }
    c->at = place(p, first, first);
    return c->n ? NULL : template_err(peek(p)->line, "missing value for command");
}

/* Only the first command of a pipeline may be a plain value. */
static struct err *check_stage(const struct parser *p, const struct pipeline *pipe) {
    const struct command *c = &pipe->commands[pipe->n - 1];
    const struct operand *o = c->n ? &c->args[0] : NULL;
    bool plain = o && (o->kind == OP_LITERAL || o->kind == OP_DOT) && !o->chain.n;
    if (pipe->n > 1 && plain)
        return template_err(peek(p)->line, "non executable command in pipeline stage %zu", pipe->n);
    return NULL;
}

static size_t skip_space(const struct parser *p, size_t i) {
    while (p->tokens.t[i].kind == TOK_SPACE)
        i++;
    return i;
}

/* Two variables are range's, three nobody's; `next` follows them. */
static bool too_many(size_t n, enum token_kind next, bool ranges) {
    return n == 2 && (next == TOK_COMMA || (!ranges && (next == TOK_DECLARE || next == TOK_ASSIGN)));
}

/* "$a :=", "$a, $b :=" or "$a =" at the start of a pipeline; leaves everything as it was where there is none. */
static struct err *parse_declaration(struct parser *p, const char *context, struct pipeline *pipe) {
    size_t i = skip_space(p, p->at), names[2], n = 0;
    while (n < 2 && p->tokens.t[i].kind == TOK_VARIABLE && *p->tokens.t[i].text) {
        names[n++] = i;
        i = skip_space(p, i + 1);
        if (p->tokens.t[i].kind != TOK_COMMA || n == 2)
            break;
        i = skip_space(p, i + 1);
    }
    enum token_kind k = p->tokens.t[i].kind;
    if (too_many(n, k, !strcmp(context, "range")))
        return template_err(p->tokens.t[i].line, "too many declarations in %s", context);
    if (n == 0 || (k != TOK_DECLARE && k != TOK_ASSIGN))
        return NULL;
    for (size_t j = 0; j < n; j++) {
        pipe->declares[j] = mem_dup(p->tokens.t[names[j]].text);
        if (k == TOK_DECLARE)
            strv_push(&p->variables, pipe->declares[j]);
    }
    pipe->n_declares = n;
    pipe->assigns = k == TOK_ASSIGN;
    p->at = i + 1;
    return NULL;
}

static struct err *fill_pipeline(struct parser *p, const char *context, enum token_kind end, struct pipeline *pipe) {
    if (end == TOK_CLOSE)
        TRY(parse_declaration(p, context, pipe));
    if (peek_after_space(p)->kind == end)
        return template_err(peek(p)->line, "missing value for %s", context);
    for (;;) {
        if (peek_after_space(p)->kind == TOK_PIPE)
            return unexpected(p, context);
        TRY(parse_command(p, pipe));
        TRY(check_stage(p, pipe));
        enum token_kind k = peek(p)->kind;
        if (k != TOK_PIPE && k != end)
            return unexpected(p, context);
        p->at++;
        if (k == end)
            return NULL;
        if (peek_after_space(p)->kind == end) { /* Go lets a last "|" pass */
            p->at++;
            return NULL;
        }
    }
}

static struct err *parse_pipeline(struct parser *p, const char *context, enum token_kind end, struct pipeline **ret) {
    if (++p->depth > TEMPLATE_DEPTH_MAX)
        return template_err(peek(p)->line, "nested too deeply");
    struct pipeline *pipe = mem_alloc(sizeof *pipe);
    *ret = pipe; /* owned by the tree from now on, whole or not */
    struct err *e = fill_pipeline(p, context, end, pipe);
    p->depth--;
    return e;
}

/* ---- control structures ---- */

enum list_end { END_EOF, END_END, END_ELSE };

static struct err *parse_list(struct parser *p, struct node_list *l, enum list_end *ret_end);

static struct node *add_node(struct node_list *l, enum node_kind kind) {
    l->nodes = mem_resize(l->nodes, l->n + 1, sizeof *l->nodes);
    l->nodes[l->n] = (struct node){.kind = kind};
    return &l->nodes[l->n++];
}

static struct err *parse_control(struct parser *p, struct node *n, const char *word);

/* What follows {{else: "}}" a list, or "if …"/"with …" a chain that shares the outer end. */
static struct err *parse_else(struct parser *p, struct node *n, const char *word) {
    const struct token *t = peek_after_space(p);
    if (t->kind == TOK_IDENT && !strcmp(t->text, word) && strcmp(word, "range") != 0) {
        p->at++;
        return parse_control(p, add_node(&n->otherwise, n->kind), word);
    }
    if (t->kind != TOK_CLOSE)
        return unexpected(p, "else");
    p->at++;
    enum list_end end;
    TRY(parse_list(p, &n->otherwise, &end));
    if (end == END_ELSE)
        return template_err(peek(p)->line, "expected end; found {{else}}");
    return end == END_EOF ? template_err(peek(p)->line, "unexpected EOF") : NULL;
}

static struct err *parse_control(struct parser *p, struct node *n, const char *word) {
    size_t scope = p->variables.n;
    enum list_end end;
    TRY(parse_pipeline(p, word, TOK_CLOSE, &n->pipe));
    if (++p->depth > TEMPLATE_DEPTH_MAX)
        return template_err(peek(p)->line, "nested too deeply");
    p->loops += n->kind == NODE_RANGE;
    TRY(parse_list(p, &n->body, &end));
    p->loops -= n->kind == NODE_RANGE;
    if (end == END_EOF)
        return template_err(peek(p)->line, "unexpected EOF");
    if (end == END_ELSE)
        TRY(parse_else(p, n, word));
    p->depth--;
    while (p->variables.n > scope)
        strv_remove(&p->variables, p->variables.n - 1);
    return NULL;
}

static struct err *close_word(struct parser *p, const char *word) {
    p->at++;
    if (peek_after_space(p)->kind != TOK_CLOSE)
        return unexpected(p, word);
    p->at++;
    return NULL;
}

static struct err *parse_jump(struct parser *p, struct node_list *l, bool is_break) {
    if (p->loops == 0)
        return template_err(peek(p)->line, "{{%s}} outside {{range}}", is_break ? "break" : "continue");
    add_node(l, is_break ? NODE_BREAK : NODE_CONTINUE);
    return close_word(p, is_break ? "{{break}}" : "{{continue}}");
}

/* One {{…}}; *ret_end tells when it closed the list. */
static struct err *parse_action(struct parser *p, struct node_list *l, enum list_end *ret_end, bool *ret_closed) {
    static const struct {
        const char *word;
        enum node_kind kind;
    } controls[] = {{"if", NODE_IF}, {"range", NODE_RANGE}, {"with", NODE_WITH}};
    const struct token *t = peek_after_space(p);
    const char *word = t->kind == TOK_IDENT ? t->text : "";
    for (size_t i = 0; i < ARRAY_LEN(controls); i++) {
        if (strcmp(word, controls[i].word) != 0)
            continue;
        p->at++;
        return parse_control(p, add_node(l, controls[i].kind), controls[i].word);
    }
    if (!strcmp(word, "break") || !strcmp(word, "continue"))
        return parse_jump(p, l, *word == 'b');
    if (!strcmp(word, "end") || !strcmp(word, "else")) {
        *ret_closed = true;
        *ret_end = *word == 'e' && word[1] == 'n' ? END_END : END_ELSE;
        if (*ret_end == END_END)
            return close_word(p, "end");
        p->at++;
        return NULL;
    }
    return parse_pipeline(p, "command", TOK_CLOSE, &add_node(l, NODE_ACTION)->pipe);
}

static struct err *parse_list(struct parser *p, struct node_list *l, enum list_end *ret_end) {
    for (;;) {
        const struct token *t = peek(p);
        if (t->kind == TOK_EOF) {
            *ret_end = END_EOF;
            return NULL;
        }
        p->at++;
        if (t->kind == TOK_TEXT) {
            add_node(l, NODE_TEXT)->text = mem_dup(t->text);
            continue;
        }
        bool closed = false;
        TRY(parse_action(p, l, ret_end, &closed));
        if (closed)
            return NULL;
    }
}

struct err *template_parse(const char *text, struct template **ret) {
    struct parser p = {.text = text};
    struct template *t = mem_alloc(sizeof *t);
    enum list_end end = END_EOF;
    struct err *e = template_lex(text, &p.tokens);
    if (!e)
        e = parse_list(&p, &t->root, &end);
    if (!e && end != END_EOF)
        e = template_err(peek(&p)->line, "unexpected {{%s}}", end == END_END ? "end" : "else");
    template_tokens_done(&p.tokens);
    strv_done(&p.variables);
    if (e) {
        template_free(t);
        return e;
    }
    *ret = t;
    return NULL;
}
