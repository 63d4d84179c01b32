/* json_get: values and typed getters. Errors name the parent's key and the member ("config.Env[3]"). */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json_int.h"
#include "base/mem.h"
#include "base/str.h"

/* Maps from outside go into a strmap, whose look-up is linear. */
#define STRMAP_ENTRIES_MAX 10000

const char *json_str_value(const struct json *j) {
    return j && cJSON_IsString(json_node_c(j)) ? json_node_c(j)->valuestring : NULL;
}

const char *json_text(const struct json *j, const char *key) {
    const char *s = json_str_value(json_get(j, key));
    return s ? s : "";
}

/* The integer in a number node; false for fractions and what does not fit. */
static bool node_i64(const cJSON *c, int64_t *ret) {
    if (c->valuestring)
        return str_to_i64(c->valuestring, INT64_MIN, INT64_MAX, ret);
    if (!json_double_is_integer(c->valuedouble))
        return false;
    *ret = (int64_t)c->valuedouble;
    return true;
}

static bool node_u64(const cJSON *c, uint64_t *ret) {
    int64_t v;
    if (c->valuestring)
        return str_to_u64(c->valuestring, 10, UINT64_MAX, ret);
    if (!node_i64(c, &v) || v < 0)
        return false;
    *ret = (uint64_t)v;
    return true;
}

int64_t json_int_value(const struct json *j, int64_t def) {
    int64_t v;
    return j && cJSON_IsNumber(json_node_c(j)) && node_i64(json_node_c(j), &v) ? v : def;
}

double json_num_value(const struct json *j, double def) {
    return j && cJSON_IsNumber(json_node_c(j)) ? json_node_c(j)->valuedouble : def;
}

bool json_bool_value(const struct json *j, bool def) {
    return j && cJSON_IsBool(json_node_c(j)) ? cJSON_IsTrue(json_node_c(j)) : def;
}

/* "parent.key" as far as it is known. */
static struct err *bad_member(const struct json *j, const char *key, const char *expected) {
    const char *parent = json_key(j);
    return err_new(ERR_CORRUPT, "%s%s%s: expected %s", parent ? parent : "", parent ? "." : "", key, expected);
}

static struct err *bad_element(const struct json *j, const char *key, size_t i, const char *expected) {
    autofree char *name = mem_printf("%s[%zu]", key, i);
    return bad_member(j, name, expected);
}

/* The member, NULL when it is missing or null; an error when it has another type. */
static struct err *typed(const struct json *j, const char *key, enum json_type type, struct json **ret) {
    static const char *const expected[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};
    struct json *c = json_get(j, key);
    if (c && json_type(c) == JSON_NULL)
        c = NULL;
    if (c && json_type(c) != type)
        return bad_member(j, key, expected[type]);
    *ret = c;
    return NULL;
}

static struct err *missing(const struct json *j, const char *key, const char *expected) {
    return bad_member(j, key, json_get(j, key) ? expected : "a value, but it is missing");
}

struct err *json_get_str_opt(const struct json *j, const char *key, const char *def, const char **ret) {
    struct json *c;
    TRY(typed(j, key, JSON_STRING, &c));
    *ret = c ? json_str_value(c) : def;
    return NULL;
}

struct err *json_get_str(const struct json *j, const char *key, const char **ret) {
    const char *s;
    TRY(json_get_str_opt(j, key, NULL, &s));
    if (!s)
        return missing(j, key, "a string");
    *ret = s;
    return NULL;
}

struct err *json_get_i64_opt(const struct json *j, const char *key, int64_t def, int64_t *ret) {
    struct json *c;
    TRY(typed(j, key, JSON_NUMBER, &c));
    int64_t v = def;
    if (c && !node_i64(json_node_c(c), &v))
        return bad_member(j, key, "a 64-bit integer");
    *ret = v;
    return NULL;
}

struct err *json_get_i64(const struct json *j, const char *key, int64_t *ret) {
    struct json *c;
    TRY(typed(j, key, JSON_NUMBER, &c));
    if (!c)
        return missing(j, key, "a number");
    return json_get_i64_opt(j, key, 0, ret);
}

struct err *json_get_u64_opt(const struct json *j, const char *key, uint64_t def, uint64_t *ret) {
    struct json *c;
    TRY(typed(j, key, JSON_NUMBER, &c));
    uint64_t v = def;
    if (c && !node_u64(json_node_c(c), &v))
        return bad_member(j, key, "an unsigned 64-bit integer");
    *ret = v;
    return NULL;
}

struct err *json_get_bool_opt(const struct json *j, const char *key, bool def, bool *ret) {
    struct json *c;
    TRY(typed(j, key, JSON_BOOL, &c));
    *ret = json_bool_value(c, def);
    return NULL;
}

struct err *json_get_object_opt(const struct json *j, const char *key, struct json **ret) {
    return typed(j, key, JSON_OBJECT, ret);
}

struct err *json_get_array_opt(const struct json *j, const char *key, struct json **ret) {
    return typed(j, key, JSON_ARRAY, ret);
}

struct err *json_get_object(const struct json *j, const char *key, struct json **ret) {
    struct json *c;
    TRY(typed(j, key, JSON_OBJECT, &c));
    if (!c)
        return missing(j, key, "an object");
    *ret = c;
    return NULL;
}

struct err *json_get_array(const struct json *j, const char *key, struct json **ret) {
    struct json *c;
    TRY(typed(j, key, JSON_ARRAY, &c));
    if (!c)
        return missing(j, key, "an array");
    *ret = c;
    return NULL;
}

struct err *json_get_strv_opt(const struct json *j, const char *key, struct strv *out) {
    struct json *arr;
    TRY(typed(j, key, JSON_ARRAY, &arr));
    size_t i = 0;
    JSON_EACH(it, arr) {
        if (json_type(it) != JSON_STRING)
            return bad_element(j, key, i, "a string");
        i++;
    }
    JSON_EACH(it, arr) strv_push(out, json_str_value(it));
    return NULL;
}

struct err *json_get_strmap_opt(const struct json *j, const char *key, struct strmap *out) {
    struct json *obj;
    TRY(typed(j, key, JSON_OBJECT, &obj));
    size_t n = 0;
    JSON_EACH(it, obj) {
        if (json_type(it) != JSON_STRING)
            return bad_member(obj, json_key(it), "a string");
        if (++n > STRMAP_ENTRIES_MAX)
            return bad_member(j, key, "at most 10000 entries");
    }
    JSON_EACH(it, obj) strmap_set(out, json_key(it), json_str_value(it));
    return NULL;
}
