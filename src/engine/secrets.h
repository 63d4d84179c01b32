/*
 * secrets: the part of engine.h that is about `coracle secret` (podman's). What a secret is stands in
 * storage/secrets.h. A container gets copies when it is created: what becomes of the secret later does not concern it.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct engine;
struct err;
struct json;

struct engine_secret_new {
    const char *name;
    struct strv labels; /* as typed: key=value; borrowed */
    struct str data;    /* borrowed */
    bool replace;       /* one of that name gives way, and its id stays */
};
/* Makes one; *ret_id is owned. */
struct err *engine_secret_create(struct engine *e, const struct engine_secret_new *n, char **ret_id)
    __attribute__((warn_unused_result));
/* podman's objects {"ID","CreatedAt","UpdatedAt","Spec":{"Name","Driver","Labels"}}, by name, with "CreatedNs" and
 * "UpdatedNs". */
struct err *engine_secret_list(struct engine *e, struct json **ret) __attribute__((warn_unused_result));
/* One, by name or by the beginning of its id; with `show` its "SecretData", too. not_found. */
struct err *engine_secret_inspect(struct engine *e, const char *name, bool show, struct json **ret)
    __attribute__((warn_unused_result));
/* Names, for completion; best effort. */
void engine_complete_secrets(struct engine *e, struct strv *out);
/* *ret_id is owned. */
struct err *engine_secret_remove(struct engine *e, const char *name, char **ret_id) __attribute__((warn_unused_result));
