/*
 * json: the only way into and out of JSON. Backed by cJSON, which nothing else includes.
 *
 * Reading: json_parse() caps size and depth, refuses duplicate keys on request, trailing garbage and invalid UTF-8.
 * Typed getters take the parent and a key; a missing key is not an error for the _opt forms (default given), a wrong
 * type always is, and the message carries the JSON path ("config.Env[3]: expected a string"). Look-up is
 * case-sensitive. Integers are exact over the whole 64-bit range, written and read. "\u0000" is refused: strings are C
 * strings.
 *
 * Writing: json_object()/json_array() build a tree; json_add_* take ownership of children. json_render() prints.
 * Bytes that carry a digest are stored and sent as they came, never re-serialised from here.
 * `struct json` is opaque; children are borrowed from their root, which json_free() frees.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct json;
struct err;
struct str;
struct strv;
struct strmap;

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum { JSON_REFUSE_DUPLICATES = 1 };
#define JSON_DEPTH_MAX 128
#define JSON_SIZE_MAX ((size_t)8 << 20)

/* Parses `n` bytes; `what` names the source in errors (kind corrupt). */
struct err *json_parse(const char *text, size_t n, const char *what, int flags, struct json **ret)
    __attribute__((warn_unused_result));
/* Reads and parses dirfd/name (at most JSON_SIZE_MAX). */
struct err *json_read_file(int dirfd, const char *name, struct json **ret) __attribute__((warn_unused_result));
/* Renders and writes dirfd/name by io_write_file(). */
struct err *json_write_file(int dirfd, const char *name, const struct json *j, mode_t mode, int io_flags)
    __attribute__((warn_unused_result));

/*
 * The members of an object without a tree, for lists that read a thousand records: for each of `fields` the member of
 * that name, cut out of the NUL-terminated `text` in place. `text` of a field is NULL where there is none; a string is
 * decoded, of another value it is the JSON. Records in the order of `fields` are read fastest. False, with `text` in
 * pieces, for whatever json_render() would not write: json_parse() may read it yet, or says what is wrong. What lies in
 * nested values is not checked.
 */
struct json_field {
    const char *key;
    const char *text;
    bool string;
};
bool json_cut(char *text, size_t n, struct json_field *fields, size_t n_fields) __attribute__((warn_unused_result));

enum json_type json_type(const struct json *j);
/* The member of an object, borrowed, or NULL (also when j is NULL or not an object). */
struct json *json_get(const struct json *j, const char *key);
/* Follows keys separated by '.', borrowed or NULL. */
struct json *json_path(const struct json *j, const char *dotted);
/* Number of elements or members; 0 for scalars and NULL. */
size_t json_count(const struct json *j);
/* Iteration: first child and next sibling, borrowed; json_key() is a member's name or NULL. */
struct json *json_first(const struct json *j);
struct json *json_next(const struct json *j);
const char *json_key(const struct json *j);
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a name that is declared cannot be in parentheses */
#define JSON_EACH(it, parent) for (struct json *it = json_first(parent); it; it = json_next(it))

/* Plain values: the string (borrowed) or NULL; the number; truth. Defaults for a wrong type or NULL. */
const char *json_str_value(const struct json *j);
/* The string member `key` of an object, borrowed, "" where there is none. */
const char *json_text(const struct json *j, const char *key);
int64_t json_int_value(const struct json *j, int64_t def);
double json_num_value(const struct json *j, double def);
bool json_bool_value(const struct json *j, bool def);

/* Typed getters with errors. The plain forms want the key to be there. Strings are borrowed. */
struct err *json_get_str(const struct json *j, const char *key, const char **ret) __attribute__((warn_unused_result));
struct err *json_get_str_opt(const struct json *j, const char *key, const char *def, const char **ret)
    __attribute__((warn_unused_result));
struct err *json_get_i64(const struct json *j, const char *key, int64_t *ret) __attribute__((warn_unused_result));
struct err *json_get_i64_opt(const struct json *j, const char *key, int64_t def, int64_t *ret)
    __attribute__((warn_unused_result));
struct err *json_get_u64_opt(const struct json *j, const char *key, uint64_t def, uint64_t *ret)
    __attribute__((warn_unused_result));
struct err *json_get_bool_opt(const struct json *j, const char *key, bool def, bool *ret)
    __attribute__((warn_unused_result));
struct err *json_get_object(const struct json *j, const char *key, struct json **ret)
    __attribute__((warn_unused_result));
struct err *json_get_array(const struct json *j, const char *key, struct json **ret)
    __attribute__((warn_unused_result));
/* Null or missing gives *ret = NULL. */
struct err *json_get_object_opt(const struct json *j, const char *key, struct json **ret)
    __attribute__((warn_unused_result));
struct err *json_get_array_opt(const struct json *j, const char *key, struct json **ret)
    __attribute__((warn_unused_result));
/* Appends the strings of an array; null or missing appends nothing. */
struct err *json_get_strv_opt(const struct json *j, const char *key, struct strv *out)
    __attribute__((warn_unused_result));
/* Reads an object of strings; null or missing adds nothing. */
struct err *json_get_strmap_opt(const struct json *j, const char *key, struct strmap *out)
    __attribute__((warn_unused_result));

/* New values, owned by the caller until they are added to something. json_copy() is deep; of NULL it is NULL. */
struct json *json_object(void) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_array(void) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_of_strmap(const struct strmap *m) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_string(const char *s) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_int(int64_t v) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_uint(uint64_t v) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_double(double v) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_bool(bool v) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_null(void) __attribute__((returns_nonnull, warn_unused_result));
struct json *json_copy(const struct json *j) __attribute__((warn_unused_result));

/* Object members: replace an existing key in place. The child is taken. */
void json_set(struct json *obj, const char *key, struct json *take_child);
void json_set_str(struct json *obj, const char *key, const char *s); /* NULL becomes null */
void json_set_int(struct json *obj, const char *key, int64_t v);
void json_set_bool(struct json *obj, const char *key, bool v);
void json_set_strv(struct json *obj, const char *key, const struct strv *sv);    /* [] when empty */
void json_set_strmap(struct json *obj, const char *key, const struct strmap *m); /* {} when empty */
void json_remove(struct json *obj, const char *key);
/* Array elements; the child is taken. */
void json_push(struct json *arr, struct json *take_child);
void json_push_str(struct json *arr, const char *s);

enum json_style { JSON_COMPACT, JSON_PRETTY /* four spaces, as docker inspect */ };
/* Appends the text. JSON_COMPACT: no spaces, as Go's encoding/json with HTML escaping off. */
void json_render(const struct json *j, enum json_style style, struct str *out);
/* Appends `s` quoted and escaped as a JSON string. */
void json_quote(const char *s, size_t n, struct str *out);

/* Frees a tree; NULL is fine. */
void json_free(struct json *j);
static inline void json_freep(struct json **j) { json_free(*j); }
#define autojson __attribute__((cleanup(json_freep))) struct json *
