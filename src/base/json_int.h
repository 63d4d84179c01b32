/*
 * json_int: what the files of json share. `struct json` is a cJSON under another name. A number whose text would not
 * survive the way through a double (an integer beyond 2^53) keeps that text in `valuestring`, which cJSON leaves alone
 * in numbers, copies in cJSON_Duplicate() and frees in cJSON_Delete().
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>

#include "base/json.h"

struct err;

#define JSON_EXACT_MAX INT64_C(9007199254740992) /* 2^53 */

/* Whether a double is one of the integers that doubles hold exactly; false for NaN. No libm: that would be one more
 * shared object. */
static inline bool json_double_is_integer(double v) {
    return v <= (double)JSON_EXACT_MAX && v >= -(double)JSON_EXACT_MAX && v == (double)(int64_t)v;
}

static inline cJSON *json_node(struct json *j) { return (cJSON *)j; }
static inline const cJSON *json_node_c(const struct json *j) { return (const cJSON *)j; }
static inline struct json *json_of(cJSON *c) { return (struct json *)c; }

/* One integer token that a double cannot hold: the how-manieth number of the text it is, and where. */
struct json_big {
    size_t ordinal, at, len;
};

/* What a linear pass over the text found; free `big`. */
struct json_scan {
    struct json_big *big;
    size_t n_big, cap_big, numbers;
};

/*
 * Checks what cJSON does not: depth, UTF-8, raw control characters, "\u0000", number syntax; notes big integers.
 * Linear time, no recursion. `what` names the source in errors.
 */
struct err *json_scan(const char *text, size_t n, const char *what, struct json_scan *out)
    __attribute__((warn_unused_result));
