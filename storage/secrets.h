/*
 * secrets: small texts that containers get and images do not: passwords, keys.
 *
 *     secrets/<name>     one line of JSON, {"ID","Created","Updated","Labels"}, and the secret itself behind it
 *
 * A file for each, so that one is there whole or not at all, and durable; 0600 in a directory that only the user
 * enters. Who makes or removes one holds no lock: a name is taken by the file's appearance.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct store;

enum { STORE_SECRET_MAX = 512000, STORE_SECRET_ID_LEN = 25 };

struct store_secret {
    char *name;
    char id[STORE_SECRET_ID_LEN + 1];
    int64_t created, updated; /* ns */
    struct strmap labels;
};
/* Frees the members. */
void store_secret_done(struct store_secret *x);
#define autosecret __attribute__((cleanup(store_secret_done))) struct store_secret

/* Usage error for a name that podman would not take either. Pure. */
struct err *store_secret_name_check(const char *name) __attribute__((warn_unused_result));
/* Makes one; conflict when the name is taken, but with `replace`. Usage error when it is empty or too large. */
struct err *store_secret_write(const struct store *s, const struct store_secret *x, const struct str *data,
                               bool replace) __attribute__((warn_unused_result));
/* Reads one, and appends what is secret to `data` unless that is NULL; not_found. */
struct err *store_secret_read(const struct store *s, const char *name, struct store_secret *ret, struct str *data)
    __attribute__((warn_unused_result));
/* All names, sorted. */
struct err *store_secret_names(const struct store *s, struct strv *out) __attribute__((warn_unused_result));
/* not_found. */
struct err *store_secret_remove(const struct store *s, const char *name) __attribute__((warn_unused_result));
