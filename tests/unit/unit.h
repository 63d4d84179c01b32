/*
 * unit: a test is a function; CHECK* report file and line and go on; UNIT_MAIN lists the tests.
 *
 *     static void test_add(void) { CHECK_INT(add(1, 2), 3); }
 *     UNIT_MAIN({"add", test_add})
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

struct unit_test {
    const char *name;
    void (*fn)(void);
};

static int unit_failures;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #cond);                                   \
            unit_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

#define CHECK_INT(got, want)                                                                                           \
    do {                                                                                                               \
        long long unit_g_ = (long long)(got), unit_w_ = (long long)(want);                                             \
        if (unit_g_ != unit_w_) {                                                                                      \
            fprintf(stderr, "%s:%d: %s: got %lld, want %lld\n", __FILE__, __LINE__, #got, unit_g_, unit_w_);           \
            unit_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

#define CHECK_STR(got, want)                                                                                           \
    do {                                                                                                               \
        const char *unit_g_ = (got), *unit_w_ = (want);                                                                \
        if (!unit_g_ || strcmp(unit_g_, unit_w_)) {                                                                    \
            fprintf(stderr, "%s:%d: %s:\n   got: %s\n  want: %s\n", __FILE__, __LINE__, #got,                          \
                    unit_g_ ? unit_g_ : "(null)", unit_w_);                                                            \
            unit_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

/* The call succeeds; prints the error if not. */
#define CHECK_OK(expr)                                                                                                 \
    do {                                                                                                               \
        struct err *unit_e_ = (expr);                                                                                  \
        if (unit_e_) {                                                                                                 \
            struct str unit_s_ = STR_INIT;                                                                             \
            err_format(unit_e_, &unit_s_);                                                                             \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expr, str_c(&unit_s_));                            \
            str_done(&unit_s_);                                                                                        \
            err_free(unit_e_);                                                                                         \
            unit_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

/* The call fails with this kind. */
#define CHECK_ERR(expr, want_kind)                                                                                     \
    do {                                                                                                               \
        struct err *unit_e_ = (expr);                                                                                  \
        if (!unit_e_ || err_kind(unit_e_) != (want_kind)) {                                                            \
            fprintf(stderr, "%s:%d: %s: got %s, want %s\n", __FILE__, __LINE__, #expr,                                 \
                    unit_e_ ? err_kind_name(err_kind(unit_e_)) : "success", err_kind_name(want_kind));                 \
            unit_failures++;                                                                                           \
        }                                                                                                              \
        err_free(unit_e_);                                                                                             \
    } while (0)

#define UNIT_MAIN(...)                                                                                                 \
    int main(void) {                                                                                                   \
        const struct unit_test tests[] = {__VA_ARGS__};                                                                \
        int bad = 0;                                                                                                   \
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {                                                    \
            int before = unit_failures;                                                                                \
            tests[i].fn();                                                                                             \
            if (unit_failures != before) {                                                                             \
                fprintf(stderr, "FAIL %s\n", tests[i].name);                                                           \
                bad++;                                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
        printf("%s: %zu passed, %d failed\n", __FILE__, sizeof tests / sizeof *tests - (size_t)bad, bad);              \
        return bad != 0;                                                                                               \
    }
