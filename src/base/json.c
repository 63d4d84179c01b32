/* json: parsing, building and plain access; typed getters are in json_get.c, printing in json_render.c. */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/json_int.h"
#include "base/mem.h"
#include "base/str.h"

/* cJSON gives NULL only when there is no memory left. */
static cJSON *must(cJSON *c) {
    if (!c)
        abort();
    return c;
}

/* Gives the numbers of the tree, in the order of the text, their exact text where a double does not hold them. */
static void attach_big(cJSON *c, const char *text, const struct json_scan *s, size_t *ordinal, size_t *next) {
    for (; c && *next < s->n_big; c = c->next) {
        if (cJSON_IsNumber(c)) {
            const struct json_big *big = &s->big[*next];
            if (big->ordinal == (*ordinal)++) {
                c->valuestring = mem_dupn(text + big->at, big->len);
                (*next)++;
            }
        } else {
            attach_big(c->child, text, s, ordinal, next); /* depth is at most JSON_DEPTH_MAX */
        }
    }
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct err *refuse_duplicates(const cJSON *c, const char *what) {
    size_t n = 0;
    for (const cJSON *it = c->child; it; it = it->next, n++)
        if (it->child)
            TRY(refuse_duplicates(it, what));
    if (n < 2 || !cJSON_IsObject(c))
        return NULL;
    autofree const char **keys = mem_array(n, sizeof *keys);
    n = 0;
    for (const cJSON *it = c->child; it; it = it->next)
        keys[n++] = it->string;
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            return err_new(ERR_CORRUPT, "%s: key \"%s\" appears twice", what, keys[i]);
    return NULL;
}

/* Numbers beyond the range of a double become infinite, which no JSON can say. */
static struct err *refuse_infinite(const cJSON *c, const char *what) {
    for (; c; c = c->next) {
        if (cJSON_IsNumber(c) && !isfinite(c->valuedouble))
            return err_new(ERR_CORRUPT, "%s: number out of range", what);
        if (c->child)
            TRY(refuse_infinite(c->child, what));
    }
    return NULL;
}

static struct err *parse_scanned(const char *text, size_t n, const char *what, const struct json_scan *s, cJSON **ret) {
    const char *end = text;
    cJSON *c = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    size_t at = c ? (size_t)(end - text) : 0;
    while (c && at < n && strchr(" \t\r\n", text[at]))
        at++;
    if (!c || at != n) {
        at = end >= text && end <= text + n ? (size_t)(end - text) : 0;
        cJSON_Delete(c);
        return err_new(ERR_CORRUPT, "%s: invalid JSON at byte %zu", what, at);
    }
    size_t ordinal = 0, next = 0;
    attach_big(c, text, s, &ordinal, &next);
    *ret = c;
    return NULL;
}

struct err *json_parse(const char *text, size_t n, const char *what, int flags, struct json **ret) {
    struct json_scan s = {0};
    cJSON *c = NULL;
    struct err *e = json_scan(text, n, what, &s);
    if (!e)
        e = parse_scanned(text, n, what, &s, &c);
    free(s.big);
    if (!e)
        e = refuse_infinite(c, what);
    if (!e && flags & JSON_REFUSE_DUPLICATES)
        e = refuse_duplicates(c, what);
    if (e)
        cJSON_Delete(c);
    else
        *ret = json_of(c);
    return e;
}

struct err *json_read_file(int dirfd, const char *name, struct json **ret) {
    autostr struct str text = STR_INIT;
    TRY(io_read_file(dirfd, name, JSON_SIZE_MAX, &text));
    return json_parse(str_c(&text), text.len, name, 0, ret);
}

struct err *json_write_file(int dirfd, const char *name, const struct json *j, mode_t mode, int io_flags) {
    autostr struct str text = STR_INIT;
    json_render(j, JSON_COMPACT, &text);
    if (!str_ok(&text) || text.len > JSON_SIZE_MAX)
        return err_sys(EFBIG, "write %s", name);
    return io_write_file(dirfd, name, text.ptr, text.len, mode, io_flags);
}

enum json_type json_type(const struct json *j) {
    switch (j ? json_node_c(j)->type & 0xff : cJSON_NULL) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

struct json *json_get(const struct json *j, const char *key) {
    if (!j || (json_node_c(j)->type & 0xff) != cJSON_Object)
        return NULL;
    for (cJSON *c = json_node_c(j)->child; c; c = c->next)
        if (c->string && c->string[0] == key[0] && strcmp(c->string, key) == 0) /* most differ in the first letter */
            return json_of(c);
    return NULL;
}

struct json *json_path(const struct json *j, const char *dotted) {
    struct json *at = NULL;
    for (;;) {
        size_t len = (size_t)(strchrnul(dotted, '.') - dotted);
        autofree char *key = mem_dupn(dotted, len);
        at = json_get(j, key);
        if (!at || !dotted[len])
            return at;
        j = at;
        dotted += len + 1;
    }
}

size_t json_count(const struct json *j) {
    size_t n = 0;
    JSON_EACH(it, j) n++;
    return n;
}

struct json *json_first(const struct json *j) {
    return j ? json_of(json_node_c(j)->child) : NULL;
}
struct json *json_next(const struct json *j) {
    return json_of(json_node_c(j)->next);
}
const char *json_key(const struct json *j) { return j ? json_node_c(j)->string : NULL; }

struct json *json_object(void) {
    return json_of(must(cJSON_CreateObject()));
}
struct json *json_array(void) {
    return json_of(must(cJSON_CreateArray()));
}
struct json *json_string(const char *s) {
    return json_of(must(cJSON_CreateString(s)));
}
struct json *json_bool(bool v) {
    return json_of(must(cJSON_CreateBool(v)));
}
struct json *json_null(void) {
    return json_of(must(cJSON_CreateNull()));
}
struct json *json_double(double v) {
    return json_of(must(cJSON_CreateNumber(isfinite(v) ? v : 0)));
}

struct json *json_int(int64_t v) {
    cJSON *c = must(cJSON_CreateNumber((double)v));
    if (v > JSON_EXACT_MAX || v < -JSON_EXACT_MAX)
        c->valuestring = mem_printf("%lld", (long long)v);
    return json_of(c);
}

struct json *json_uint(uint64_t v) {
    cJSON *c = must(cJSON_CreateNumber((double)v));
    if (v > (uint64_t)JSON_EXACT_MAX)
        c->valuestring = mem_printf("%llu", (unsigned long long)v);
    return json_of(c);
}

struct json *json_copy(const struct json *j) {
    return j ? json_of(must(cJSON_Duplicate(json_node_c(j), 1))) : NULL;
}

void json_set(struct json *obj, const char *key, struct json *take_child) {
    cJSON *o = json_node(obj), *old = json_node(json_get(obj, key));
    if (!old) {
        cJSON_AddItemToObject(o, key, json_node(take_child));
        return;
    }
    cJSON *child = json_node(take_child);
    char *name = old->string; /* swap the names: `key` may be old->string itself */
    old->string = child->string;
    child->string = name;
    cJSON_ReplaceItemViaPointer(o, old, child);
}

void json_set_str(struct json *obj, const char *key, const char *s) {
    json_set(obj, key, s ? json_string(s) : json_null());
}
void json_set_int(struct json *obj, const char *key, int64_t v) { json_set(obj, key, json_int(v)); }
void json_set_bool(struct json *obj, const char *key, bool v) { json_set(obj, key, json_bool(v)); }

void json_set_strv(struct json *obj, const char *key, const struct strv *sv) {
    struct json *arr = json_array();
    for (size_t i = 0; i < sv->n; i++)
        json_push_str(arr, sv->v[i]);
    json_set(obj, key, arr);
}

struct json *json_of_strmap(const struct strmap *m) {
    struct json *map = json_object();
    for (size_t i = 0; i < m->n; i++) /* keys are unique: no look-up needed */
        cJSON_AddItemToObject(json_node(map), m->e[i].key, must(cJSON_CreateString(m->e[i].value)));
    return map;
}

void json_set_strmap(struct json *obj, const char *key, const struct strmap *m) {
    json_set(obj, key, json_of_strmap(m));
}

void json_remove(struct json *obj, const char *key) {
    cJSON *c = json_node(json_get(obj, key));
    if (c)
        cJSON_Delete(cJSON_DetachItemViaPointer(json_node(obj), c));
}

void json_push(struct json *arr, struct json *take_child) {
    cJSON_AddItemToArray(json_node(arr), json_node(take_child));
}
void json_push_str(struct json *arr, const char *s) { json_push(arr, json_string(s)); }

void json_free(struct json *j) { cJSON_Delete(json_node(j)); }
