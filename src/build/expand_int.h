/*
 * expand_int: variables and quotes in the words of a Dockerfile, by the rules of its reference: $name, ${name}, the
 * modifiers :- - :+ + :? ? # ## % %% / and //, single and double quotes, and the escape character. Pure.
 */
#pragma once

#include <stdbool.h>

struct err;
struct str;
struct strv;

struct expand {
    /* The value of a variable, borrowed, or NULL. `name` is NUL-terminated. */
    const char *(*get)(void *ctx, const char *name);
    void *ctx;
    char escape;     /* '\\' or '`' */
    bool raw_quotes; /* quotes mean nothing: the text of a heredoc */
    bool keep_unset; /* a variable that is not set stays as it was written */
};

/* Replaces variables and takes quotes away; appended. Usage errors in BuildKit's words. */
struct err *expand_word(const struct expand *x, const char *word, struct str *out) __attribute__((warn_unused_result));
/* The same, split at blanks that no quote protects, also those that came from a variable. */
struct err *expand_words(const struct expand *x, const char *text, struct strv *out)
    __attribute__((warn_unused_result));
