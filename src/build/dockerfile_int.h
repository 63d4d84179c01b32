/*
 * dockerfile_int: a Dockerfile as data. Reading is pure: bytes become instructions in their order, each with its place,
 * flags and words, checked as far as can be known without running anything. Variables are not replaced here, as their
 * values depend on what was built before (expand_int.h does it).
 *
 * The grammar is that of the Dockerfile reference as BuildKit reads it: parser directives (syntax, escape, check) in
 * the first lines; '#' comments, also between continued lines; the escape character at a line's end continues it; JSON
 * arrays where an instruction has an exec form; heredocs for RUN, COPY and ADD. An error is BuildKit's text,
 * "dockerfile parse error on line N: …", and the place comes beside it as a fault, so that the lines can be shown.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct err;

#define DOCKERFILE_MAX ((size_t)4 << 20)

enum df_kind {
    DF_ADD,
    DF_ARG,
    DF_CMD,
    DF_COPY,
    DF_ENTRYPOINT,
    DF_ENV,
    DF_EXPOSE,
    DF_FROM,
    DF_HEALTHCHECK,
    DF_LABEL,
    DF_MAINTAINER,
    DF_ONBUILD,
    DF_RUN,
    DF_SHELL,
    DF_STOPSIGNAL,
    DF_USER,
    DF_VOLUME,
    DF_WORKDIR,
    DF_KIND_COUNT
};

struct df_heredoc {
    char *name, *data; /* the delimiter; the lines before it, tabs at their starts gone for "<<-" */
    bool expand;       /* the delimiter stood without quotes */
};

struct df_flag {
    char *name, *value; /* a boolean's value is "true" or "false" */
};

struct df_instruction {
    enum df_kind kind;
    unsigned first, last; /* lines, from 1 */
    char *text;           /* the whole instruction on one line, as it is shown */
    char *rest;           /* what follows the name and the flags */
    struct df_flag *flags;
    size_t n_flags;
    bool json; /* it was written as a JSON array */
    /*
     * Words. ADD, COPY: sources and destination; ARG, ENV, LABEL: NAME=VALUE with quotes as typed (ARG: or NAME);
     * CMD, ENTRYPOINT, RUN, SHELL: the array, or one text for the shell; HEALTHCHECK: NONE, or CMD and its words;
     * ONBUILD: the trigger; FROM: the image and perhaps "AS" and a name; others as the reference says.
     */
    struct strv args;
    struct df_heredoc *heredocs;
    size_t n_heredocs;
    struct strv comments; /* the lines of '#' directly above it, without the '#' */
    char *check;          /* the value of the first of these that is "# check=VALUE", which is no comment; NULL */
    unsigned empty_continuation; /* its last continued line, where one of them is empty; 0: none is */
};

struct dockerfile {
    struct df_instruction *v;
    size_t n;
    char escape;          /* '\\' or '`' */
    char *syntax, *check; /* values of the directives, or NULL */
};

/* Where an error is; first 0: nowhere. */
struct df_fault {
    unsigned first, last;
};

/* Reads a Dockerfile. `fault` is set on failure. Done with dockerfile_done(). */
struct err *dockerfile_parse(const char *text, size_t n, struct dockerfile *ret, struct df_fault *fault)
    __attribute__((warn_unused_result));
void dockerfile_done(struct dockerfile *d);
#define autodockerfile __attribute__((cleanup(dockerfile_done))) struct dockerfile
/* Reads one instruction of an image's ONBUILD. Heredocs cannot be there. */
struct err *dockerfile_parse_trigger(const char *text, struct dockerfile *ret) __attribute__((warn_unused_result));

/* "COPY". */
const char *df_kind_name(enum df_kind kind);
/* The same as it was typed, owned. */
char *df_typed_name(const struct df_instruction *in) __attribute__((returns_nonnull, warn_unused_result));
/* The value of a flag, borrowed, or NULL; of one that may be repeated, the first. */
const char *df_flag(const struct df_instruction *in, const char *name);
/* Whether a boolean flag is set. */
bool df_flag_set(const struct df_instruction *in, const char *name);
/* Appends all values of a flag that may be repeated. */
void df_flag_all(const struct df_instruction *in, const char *name, struct strv *out);
/* The heredoc that a word ("<<EOF") stands for, or NULL. */
const struct df_heredoc *df_heredoc_of(const struct df_instruction *in, const char *word);
/* The lines of a text around a place, the way that BuildKit shows where an error is. Appended. */
void df_excerpt(const char *text, const char *name, const struct df_fault *fault, struct str *out);

/* ---- between dockerfile*.c ---- */

/* Takes "--name=value" from the start of *rest into in->flags, and checks them against what the instruction knows. */
struct err *df_take_flags(struct df_instruction *in, const char **rest) __attribute__((warn_unused_result));
/* Fills in->args from `rest` by the instruction's own grammar, and checks them. */
struct err *df_parse_args(struct df_instruction *in, char escape) __attribute__((warn_unused_result));
/* "<<-'EOF'" as a heredoc without data; false when the word is none. *ret_chomp: "<<-". */
bool df_heredoc_word(const char *word, struct df_heredoc *ret, bool *ret_chomp);
/* Appends the heredocs that a line opens, in their order: `chomp` gets a '1' or '0' for each. */
void df_heredocs_of_line(const char *line, struct df_instruction *in, struct str *chomp);
/* The instruction of that name (any case); an error that may suggest another one. */
struct err *df_kind_of(const char *name, enum df_kind *ret) __attribute__((warn_unused_result));
void df_instruction_done(struct df_instruction *in);
/* Splits at blanks, but not within quotes or behind the escape character, which all stay. */
void df_words(const char *text, char escape, struct strv *out);
/* The JSON array of strings at the start of the text. *ret_is: it is one; an array of other things is an error. */
struct err *df_json_words(const char *text, struct strv *out, bool *ret_is) __attribute__((warn_unused_result));
/* The first n bytes without the blanks around them; owned. */
char *df_trimmed(const char *s, size_t n) __attribute__((returns_nonnull, warn_unused_result));
static inline bool df_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
