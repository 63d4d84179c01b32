/*
 * check_int: BuildKit's build checks: what the language allows and yet is most likely not meant. Pure: a check looks at
 * an instruction and at what is known where it stands (its stage, the variables there), and gives a warning with its
 * lines. Names, descriptions, texts and links are those of docker's reference of build checks.
 *
 * "# check=skip=A,B;error=true;experimental=C" in the Dockerfile's first lines, or the build argument
 * BUILDKIT_DOCKERFILE_CHECK in its place, leaves checks out ("all": every one), makes warnings an error of the build,
 * and asks for checks that are experimental. "# check=skip=A" among the comments right above an instruction leaves
 * checks out there (and "experimental=" asks for them); what stands behind a blank is the reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct df_instruction;
struct dockerfile;
struct err;
struct ignore;
struct json;
struct plan;

struct check_config {
    struct strv skip, experimental; /* names */
    bool skip_all, experimental_all;
    bool error;
};
/* Reads the directive's value; NULL: nothing is said. Usage errors in BuildKit's words. Done with check_config_done().
 */
struct err *check_config_parse(const char *text, struct check_config *ret) __attribute__((warn_unused_result));
void check_config_done(struct check_config *c);
#define autocheckconfig __attribute__((cleanup(check_config_done))) struct check_config

struct check_warning {
    const char *name, *page, *description; /* of the check; `page` is the end of its link, NULL: it has none */
    char *detail;                          /* what is wrong here */
    unsigned first, last;                  /* lines */
};
struct check_warnings {
    struct check_warning *v; /* by their lines */
    size_t n;
};
void check_warnings_done(struct check_warnings *w);
#define autocheckwarnings __attribute__((cleanup(check_warnings_done))) struct check_warnings

struct check_input {
    const struct dockerfile *d;
    const struct strv *predefined; /* NAME=VALUE: what is known before the first ARG (TARGETPLATFORM …) */
    const struct strv *given;      /* NAME=VALUE: --build-arg */
    const struct ignore *ignore;   /* what the context leaves out, or NULL */
    const struct plan *plan;       /* whose stages are looked into where they are needed; NULL: into all */
    /* The "config" of an image's configuration, borrowed; NULL: it is not known. May be NULL. */
    const struct json *(*image)(void *ctx, const char *reference);
    /* "os/arch[/variant]" of the image that a stage was started from, borrowed; NULL: it is not known. May be NULL. */
    const char *(*platform)(void *ctx, size_t stage);
    void *ctx;
};
/* Appends what is found. What cannot be known, as the variables of an image that is not here, gives no warning. */
void check_dockerfile(const struct check_input *in, const struct check_config *config, struct check_warnings *ret);
/* The error that warnings are where the configuration says so: "lint violation found for rules: …"; else NULL. */
struct err *check_error(const struct check_config *config, const struct check_warnings *w)
    __attribute__((warn_unused_result));

/* ---- between check*.c ---- */

/* Where instructions stand: the variables of a stage, and what was said in it. */
struct check_scope {
    const struct df_instruction *from; /* NULL: the global scope, before the first one */
    char *name, *image;                /* of the stage, in lower case, or NULL; what it starts from, or NULL */
    struct strv env, declared;         /* NAME=VALUE; names of ARGs */
    bool own_image;                    /* `image` stands in its own FROM */
    bool shell, workdir, needed;
    const struct df_instruction *cmd, *entrypoint, *health; /* the last one */
};
/* What was asked for while words were expanded. */
struct check_lookup {
    const struct check_input *in;
    const struct check_scope *scope;
    struct strv found, missing;
    bool blind; /* something may be set by an image that is not known */
};
void check_lookup_done(struct check_lookup *l);
#define autochecklookup __attribute__((cleanup(check_lookup_done))) struct check_lookup
/* Replaces the variables of a word; what cannot be replaced becomes "": the build says why. Appended. */
void check_expand(struct check_lookup *l, const char *word, struct str *out);
/* The same for all words in which an instruction's variables are replaced. */
void check_expand_all(struct check_lookup *l, const struct df_instruction *in);
/* Takes in what an ARG, ENV, SHELL, WORKDIR … changes for those that follow. With `defaults` --build-arg is not
 * regarded. */
void check_scope_apply(const struct check_input *in, const struct check_scope *global, bool defaults,
                       const struct df_instruction *instruction, struct check_scope *s);
/* Of a --build-arg: its value, borrowed, or NULL. */
const char *check_given(const struct check_input *in, const char *name);
/* The config of the image that a scope's stage starts from, perhaps by way of other stages; NULL: there is none, or it
 * is not known (*ret_blind). */
const struct json *check_scope_image(const struct check_input *in, const struct check_scope *s, bool *ret_blind);
void check_scope_done(struct check_scope *s);
