/*
 * str: growing byte strings, string vectors and ordered string maps.
 *
 * `struct str` is a buffer that is always NUL-terminated after `len` bytes (the content may hold NULs). A maximum
 * is set at init: appending beyond it marks the string as overflowed and drops the rest, which the one place that
 * parses or sends it checks with str_ok(). `struct strv` is a vector of owned strings whose array is always
 * NULL-terminated, so that `.v` can be passed to execve. `struct strmap` keeps insertion order; keys are unique.
 * All three are plain structs to be placed on the stack: `autostr struct str s = STR_INIT;`.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STR_MAX_DEFAULT ((size_t)64 << 20)

struct str {
    char *ptr;  /* NULL until the first append */
    size_t len; /* bytes without the final NUL */
    size_t cap;
    size_t max;    /* largest len; 0 means STR_MAX_DEFAULT */
    bool overflow; /* something was dropped */
};

#define STR_INIT                                                                                                       \
    { .ptr = NULL }
#define STR_INIT_MAX(m)                                                                                                \
    { .max = (m) }

/* Appends bytes; beyond the maximum sets `overflow` and appends nothing. */
void str_append_n(struct str *s, const void *data, size_t n);
/* Appends a C string. */
void str_append(struct str *s, const char *text);
/* Appends one byte. */
void str_append_c(struct str *s, char c);
/* Appends printf output. */
void str_appendf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends vprintf output. */
void str_append_v(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Makes room for `n` more bytes and returns where they go (caller then adds to len); NULL beyond the maximum. */
char *str_reserve(struct str *s, size_t n);
/* Appends a text as part of a URI: what is not unreserved (RFC 3986, 2.3) as %XX. */
void str_append_escaped(struct str *s, const char *text);
/* Appends untrusted text for a terminal or log: C0, DEL, C1 and broken UTF-8 become \xNN. */
void str_append_visible(struct str *s, const char *text);
/* The content as a C string, "" when empty; borrowed. */
const char *str_c(const struct str *s);
/* Hands the buffer over as an owned C string (never NULL) and resets the string. */
char *str_take(struct str *s);
/* Empties the string and keeps the buffer. */
void str_clear(struct str *s);
/* Frees the buffer. */
void str_done(struct str *s);
/* False when something was dropped because of the maximum. */
bool str_ok(const struct str *s);

#define autostr __attribute__((cleanup(str_done)))

struct strv {
    char **v; /* NULL-terminated; NULL while empty */
    size_t n;
    size_t cap;
};

/* Appends a copy. */
void strv_push(struct strv *sv, const char *s);
/* Appends a copy, unless the string is there. */
void strv_add(struct strv *sv, const char *s);
/* Appends an owned string. */
void strv_push_take(struct strv *sv, char *take_s);
/* Appends printf output. */
void strv_pushf(struct strv *sv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends copies of another vector's strings. */
void strv_extend(struct strv *sv, const struct strv *other);
/* Splits at every `sep` and appends the parts; "" gives one empty part. */
void strv_split(struct strv *sv, const char *text, char sep);
/* Removes element `i`. */
void strv_remove(struct strv *sv, size_t i);
/* True if a string is in the vector. */
bool strv_has(const struct strv *sv, const char *s);
/* Joins with a separator into an owned string. */
char *strv_join(const struct strv *sv, const char *sep) __attribute__((returns_nonnull, warn_unused_result));
/* Sorts by strcmp. */
void strv_sort(struct strv *sv);
/* True if a string is in the vector, which is sorted; *ret_at, unless NULL, is where. */
bool strv_find_sorted(const struct strv *sv, const char *s, size_t *ret_at);
/* Frees all. */
void strv_done(struct strv *sv);
/* For NAME=VALUE vectors: replaces the entry with the same NAME or appends. `assignment` holds '='. */
void strv_env_set(struct strv *sv, const char *assignment);
/* For NAME=VALUE vectors: the value of NAME, borrowed, or NULL. */
const char *strv_env_get(const struct strv *sv, const char *name);
/* For NAME=VALUE vectors: removes NAME. */
void strv_env_unset(struct strv *sv, const char *name);

#define autostrv __attribute__((cleanup(strv_done)))

struct strmap_entry {
    char *key;
    char *value;
};

struct strmap {
    struct strmap_entry *e;
    size_t n;
    size_t cap;
};

/* Sets a key to a copy of `value`, replacing an old value in place. */
void strmap_set(struct strmap *m, const char *key, const char *value);
/* Sets from "key=value" as users type it; "key" alone has the value "". */
void strmap_set_pair(struct strmap *m, const char *pair);
/* The value, borrowed, or NULL. */
const char *strmap_get(const struct strmap *m, const char *key);
/* Frees all. */
void strmap_done(struct strmap *m);

#define autostrmap __attribute__((cleanup(strmap_done)))

/* True if `s` begins with `prefix`. */
bool str_starts(const char *s, const char *prefix);
/* True if `s` ends with `suffix`. */
bool str_ends(const char *s, const char *suffix);
/* strcmp == 0 that takes NULL as unequal to all but NULL. */
bool str_eq(const char *a, const char *b);
/* How many letters two words differ in (Levenshtein); SIZE_MAX where one of them has more than 63. */
size_t str_distance(const char *a, const char *b);
/* The value of the last line `key=value` of a text like os-release(5), owned; NULL: there is none. Blanks around the
 * "=" and quotes around the value are optional. */
char *str_assigned(const char *text, const char *key) __attribute__((warn_unused_result));
/* "true" and "1", "false" and "0"; false (and *ret untouched) for anything else. */
bool str_to_truth(const char *s, bool *ret);
/* Parses a whole decimal number within [min, max]; false (and *ret untouched) for anything else, signs and spaces
 * included. */
bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
/* The same, unsigned, base 8 or 10. */
bool str_to_u64(const char *s, int base, uint64_t max, uint64_t *ret);
/* True for valid UTF-8 without NUL. */
bool str_utf8_ok(const char *s, size_t n);
