/*
 * template_int: the tree of a compiled template and what its files share. Text is parsed once into nodes
 * (template_lex.c makes tokens, template_parse.c nodes); execution (template_exec.c) walks them over JSON; functions
 * are in template_funcs.c and template_print.c.
 */
#pragma once

#include "cli/cli_int.h"

#define TEMPLATE_DEPTH_MAX 100
#define TEMPLATE_STEPS_MAX 1000000
#define TEMPLATE_OUTPUT_MAX ((size_t)16 << 20)

/* ---- tokens ---- */

enum token_kind {
    TOK_EOF,
    TOK_TEXT,
    TOK_OPEN,
    TOK_CLOSE,
    TOK_FIELD /* .Name */,
    TOK_DOT,
    TOK_VARIABLE /* $x */,
    TOK_IDENT,
    TOK_STRING,
    TOK_NUMBER,
    TOK_PIPE,
    TOK_LPAREN,
    TOK_RPAREN,
    TOK_COMMA,
    TOK_DECLARE /* := */,
    TOK_ASSIGN /* = */,
    TOK_CHAR /* any other */,
    TOK_SPACE
};

struct token {
    enum token_kind kind;
    char *text; /* owned: name, unquoted string, number, or literal text */
    int line;
    size_t begin, end; /* in the template's text */
};

struct tokens {
    struct token *t;
    size_t n, cap;
};

struct err *template_lex(const char *text, struct tokens *ret) __attribute__((warn_unused_result));
void template_tokens_done(struct tokens *t);

/* Appends a code point as UTF-8; false for what is none, and for NUL. */
bool template_append_rune(unsigned long rune, struct str *out);

/* ---- nodes ---- */

/* Where an operand or command stands, and its text, for errors: ":1:8: executing "" at <.State.Health>". */
struct template_at {
    int line;
    size_t column;
    char *source;
};

enum operand_kind { OP_DOT, OP_VARIABLE, OP_LITERAL, OP_FUNCTION, OP_PIPELINE };

struct pipeline;
struct operand {
    enum operand_kind kind;
    char *name; /* variable or function */
    struct json *literal;
    struct pipeline *sub; /* (…) */
    struct strv chain;    /* .A.B after it */
    struct template_at at;
};

struct command {
    struct operand *args;
    size_t n;
    struct template_at at;
};

struct pipeline {
    char *declares[2]; /* variables set by it */
    size_t n_declares;
    bool assigns; /* "=", not ":=" */
    struct command *commands;
    size_t n;
};

enum node_kind { NODE_TEXT, NODE_ACTION, NODE_IF, NODE_RANGE, NODE_WITH, NODE_BREAK, NODE_CONTINUE };

struct node_list {
    struct node *nodes;
    size_t n;
};

struct node {
    enum node_kind kind;
    char *text;
    struct pipeline *pipe;
    struct node_list body, otherwise;
};

struct template {
    struct node_list root;
};

void template_pipeline_free(struct pipeline *p);
/* "template: :LINE: what", Go's message; what docker puts before it depends on the command. */
struct err *template_err(int line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull, warn_unused_result));

/* ---- values ---- */

/* Values are borrowed JSON: from the data, the tree, or the pool of what functions made. NULL is a missing value. */
struct template_pool {
    struct json **owned;
    size_t n, cap;
    size_t bytes; /* of text in them, at most TEMPLATE_OUTPUT_MAX */
};
/* Keeps a made value until the end of the execution and returns it. */
const struct json *template_keep(struct template_pool *pool, struct json *take_value);

struct template_call {
    struct template_pool *pool;
    const char *name;
    const struct json *args[16];
    size_t n;
    bool header; /* TEMPLATE_HEADER */
};
/* Whether a function of that name exists. */
bool template_is_function(const char *name);
/* Calls one (but for and/or, which the executor short-circuits). *ret_arity tells whether the number of arguments was
 * the error. */
struct err *template_call(struct template_call *c, const struct json **ret, bool *ret_arity)
    __attribute__((warn_unused_result));
/* Go's truth: false, 0, "", null, missing and empty containers are false. */
bool template_truth(const struct json *v);
/* Appends a value as Go's fmt prints it with %v. */
void template_print(const struct json *v, struct str *out);
/* The elements of a list, or the visible members of a map by key; an owned array of borrowed values. */
const struct json **template_items(const struct json *v, size_t *ret_n)
    __attribute__((returns_nonnull, warn_unused_result));
/* Whether a number has no fraction. */
bool template_is_integer(const struct json *v);
/* printf with Go's verbs. */
void template_printf(const struct template_call *c, struct str *out);
/* The value that a member of docker's inspect objects has when the JSON leaves it out: null, "", 0 or false by its
 * type. `within`: the key of the object, or NULL. False when docker has no such member. */
bool template_zero(struct template_pool *pool, const char *within, const char *name, const struct json **ret);
/* What Go prints for null under that name, by its type in docker's inspect objects: "[]", "map[]" or "<nil>". */
const char *template_null_text(const char *name);
/* The JSON's name of a field of docker's structs, which for a few is another one ("ID" is "Id"). */
const char *template_json_name(const char *field);
/* Whether a member of that name is a map there, with keys that may be missing. */
bool template_is_map(const char *name);
/* Go's name of a value's type. */
const char *template_type_name(const struct json *v);
/* Members whose names begin with "__" are the program's own and invisible to templates. */
bool template_hidden(const struct json *member);
