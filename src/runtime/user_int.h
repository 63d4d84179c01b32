/* user_int: the pure half of runtime_user_resolve(), for its fuzzer and unit test, and lines that a container's files
 * get. */
#pragma once

#include <stdbool.h>
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

/* Whether the text of a passwd or group file has an entry of the name or of the id that `line`, one of them, has. */
bool user_entry_known(const char *text, size_t len, const char *line);
/* Adds the line to a passwd or group file below rootfd that does not know it. NULL, or no such file: nothing to do. */
struct err *user_entry_add(int rootfd, const char *path, const char *line) __attribute__((warn_unused_result));
/* Resolves as runtime_user_resolve() does, from texts. `extra_groups` may be NULL. */
struct err *user_lookup(const char *text, const struct strv *extra_groups, const struct user_files *files,
                        struct runtime_user *ret) __attribute__((warn_unused_result));
