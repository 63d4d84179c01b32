/* user_int: the pure half of runtime_user_resolve(), for its fuzzer and unit test. */
#pragma once

#include <stddef.h>

struct err;
struct runtime_user;
struct strv;

/* The texts of the image's passwd and group files; they may hold anything, NULs included. */
struct user_files {
    const char *passwd;
    size_t passwd_len;
    const char *group;
    size_t group_len;
};

/* Resolves as runtime_user_resolve() does, from texts. `extra_groups` may be NULL. */
struct err *user_lookup(const char *text, const struct strv *extra_groups, const struct user_files *files,
                        struct runtime_user *ret) __attribute__((warn_unused_result));
