/* strv: vectors of owned strings; see str.h. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void strv_push_take(struct strv *sv, char *take_s) {
    if (sv->n + 1 >= sv->cap) {
        size_t cap = sv->cap ? sv->cap * 2 : 8;
        sv->v = mem_resize(sv->v, cap, sizeof *sv->v);
        sv->cap = cap;
    }
    sv->v[sv->n++] = take_s;
    sv->v[sv->n] = NULL;
}

void strv_push(struct strv *sv, const char *s) { strv_push_take(sv, mem_dup(s)); }

void strv_add(struct strv *sv, const char *s) {
    if (!strv_has(sv, s))
        strv_push(sv, s);
}

void strv_pushf(struct strv *sv, const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    strv_push_take(sv, str_take(&s));
}

void strv_extend(struct strv *sv, const struct strv *other) {
    size_t n = other->n; /* `other` may be `sv` itself */
    for (size_t i = 0; i < n; i++)
        strv_push(sv, other->v[i]);
}

void strv_split(struct strv *sv, const char *text, char sep) {
    for (;;) {
        const char *end = strchrnul(text, sep);
        strv_push_take(sv, mem_dupn(text, (size_t)(end - text)));
        if (!*end)
            return;
        text = end + 1;
    }
}

void strv_remove(struct strv *sv, size_t i) {
    free(sv->v[i]);
    memmove(sv->v + i, sv->v + i + 1, (sv->n - i) * sizeof *sv->v); /* the final NULL moves along */
    sv->n--;
}

bool strv_has(const struct strv *sv, const char *s) {
    for (size_t i = 0; i < sv->n; i++)
        if (strcmp(sv->v[i], s) == 0)
            return true;
    return false;
}

char *strv_join(const struct strv *sv, const char *sep) {
    autostr struct str s = STR_INIT;
    for (size_t i = 0; i < sv->n; i++) {
        if (i)
            str_append(&s, sep);
        str_append(&s, sv->v[i]);
    }
    return str_take(&s);
}

static int strv_compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void strv_sort(struct strv *sv) {
    if (sv->n > 1)
        qsort(sv->v, sv->n, sizeof *sv->v, strv_compare);
}

bool strv_find_sorted(const struct strv *sv, const char *s, size_t *ret_at) {
    char *const *at = sv->n ? bsearch(&s, sv->v, sv->n, sizeof *sv->v, strv_compare) : NULL;
    if (at && ret_at)
        *ret_at = (size_t)(at - sv->v);
    return at != NULL;
}

void strv_done(struct strv *sv) {
    for (size_t i = 0; i < sv->n; i++)
        free(sv->v[i]);
    free(sv->v);
    *sv = (struct strv){0};
}

/* Index of the entry NAME=…, or sv->n. */
static size_t strv_env_index(const struct strv *sv, const char *name, size_t len) {
    for (size_t i = 0; i < sv->n; i++)
        if (strncmp(sv->v[i], name, len) == 0 && sv->v[i][len] == '=')
            return i;
    return sv->n;
}

void strv_env_set(struct strv *sv, const char *assignment) {
    size_t len = (size_t)(strchrnul(assignment, '=') - assignment);
    size_t i = strv_env_index(sv, assignment, len);
    if (i == sv->n)
        strv_push(sv, assignment);
    else
        mem_set(&sv->v[i], assignment);
}

const char *strv_env_get(const struct strv *sv, const char *name) {
    size_t len = strlen(name), i = strv_env_index(sv, name, len);
    return i < sv->n ? sv->v[i] + len + 1 : NULL;
}

void strv_env_unset(struct strv *sv, const char *name) {
    size_t i = strv_env_index(sv, name, strlen(name));
    if (i < sv->n)
        strv_remove(sv, i);
}
