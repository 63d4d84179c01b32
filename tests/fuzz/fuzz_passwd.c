/*
 * fuzz_passwd: the input is "user text \n group list \n \xff-separated passwd and group texts". Whatever it holds, the
 * result is an error or ids in docker's range, and a name that is all digits is that number.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "runtime/user_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t part_end(const char *p, size_t n, char sep) {
    const char *end = memchr(p, sep, n);
    return end ? (size_t)(end - p) : n;
}

static void check(const char *user, const struct runtime_user *u) {
    if (u->uid > INT32_MAX || u->gid > INT32_MAX || u->n_groups < 1 || u->n_groups > ARRAY_LEN(u->groups))
        abort();
    if (u->groups[0] != u->gid || u->home[0] != '/' || strnlen(u->home, sizeof u->home) == sizeof u->home)
        abort();
    for (size_t i = 0; i < u->n_groups; i++)
        if (u->groups[i] > INT32_MAX)
            abort();
    size_t digits = strspn(user, "0123456789");
    if (digits && (user[digits] == '\0' || user[digits] == ':') && strtoull(user, NULL, 10) != u->uid)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data;
    size_t n_user = part_end(p, size, '\n');
    autofree char *user = mem_dupn(p, n_user);
    p += n_user < size ? n_user + 1 : n_user;
    size -= n_user < size ? n_user + 1 : n_user;
    size_t n_groups = part_end(p, size, '\n');
    autofree char *groups = mem_dupn(p, n_groups);
    autostrv struct strv extra = {0};
    if (*groups)
        strv_split(&extra, groups, ',');
    p += n_groups;
    size -= n_groups;
    size_t n_passwd = part_end(p, size, '\xff');
    const struct user_files f = {p, n_passwd, p + n_passwd, size - n_passwd};
    struct runtime_user u;
    autoerr e = user_lookup(user, &extra, &f, &u);
    if (!e)
        check(user, &u);
    return 0;
}
