/*
 * secret: what --secret says. Part of spec.h, in a header of its own. A secret reaches a container as a file, bound
 * read-only from a copy of its own beside its record, or as a variable of the environment that only the OCI config has:
 * `inspect` and images made of the container show neither.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define SPEC_SECRETS_DIR "secrets" /* in containers/<id>: one file for each --secret, by its number */

struct spec_secret {
    char *name;
    char *target; /* of a file: absolute; of a variable: its name */
    bool env;
    bool mount_field; /* uid, gid or mode was given */
    uint32_t uid, gid, mode;
};
/* Frees the members. */
void spec_secret_done(struct spec_secret *x);
/* Usage errors name what is wrong. Pure. */
struct err *spec_parse_secret(const char *text, struct spec_secret *ret) __attribute__((warn_unused_result));
/* Where a container has the copy of its n-th secret; owned. */
char *spec_secret_source(const char *containers_root, const char *id, size_t n)
    __attribute__((returns_nonnull, warn_unused_result));
