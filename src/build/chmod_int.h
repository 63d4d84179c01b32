/*
 * chmod_int: the values of --chmod: an octal number, or the symbolic modes of chmod(1), "u=rwX,go=rX". Pure. There is
 * no umask in a build: a clause without u, g, o or a is for all.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct err;

#define CHMOD_CLAUSES 32

struct chmod_clause {
    mode_t who;    /* the bits of u, g and o that it is about */
    char op;       /* '=', '+', '-' */
    mode_t bits;   /* rwx for all, set-id and sticky; of them those of `who` count */
    bool x_if_any; /* X */
    char copy;     /* 'u', 'g', 'o': the permissions that these have now; or 0 */
};
struct chmod {
    struct chmod_clause clause[CHMOD_CLAUSES];
    size_t n; /* 0: nothing changes */
};

/* Parses "0755" or "a+x,g-w". Usage errors in BuildKit's words. */
struct err *chmod_parse(const char *text, struct chmod *ret) __attribute__((warn_unused_result));
/* The permissions that come of `mode` (with its kind). */
mode_t chmod_apply(const struct chmod *c, mode_t mode);
