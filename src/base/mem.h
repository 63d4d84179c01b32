/*
 * mem: allocation that does not fail, and ownership by attribute.
 *
 * Everything that comes from outside has a maximum before it is allocated, so running out of memory means the
 * machine is out of memory: these functions print one line and abort. `autofree` frees at the end of the scope;
 * `take_ptr(&p)` hands a pointer over and leaves NULL behind.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

/* malloc, zeroed; aborts when there is no memory. Size 0 gives a pointer that may be freed. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* calloc for an array: aborts on overflow too. */
void *mem_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* realloc of an array to `n` elements of `size`; new space is not zeroed; aborts on overflow. */
void *mem_resize(void *p, size_t n, size_t size) __attribute__((returns_nonnull, warn_unused_result));

/* strdup, with NULL for NULL. */
char *mem_dup(const char *s) __attribute__((warn_unused_result));

/* strndup; `s` is not NULL. */
char *mem_dupn(const char *s, size_t n) __attribute__((returns_nonnull, warn_unused_result));

/* asprintf that aborts instead of failing. */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull, warn_unused_result));

/* Replaces *p by an owned copy of s (NULL allowed) and frees the old string. */
void mem_set(char **p, const char *s);

/* For cleanup attributes: frees what p points at. */
static inline void mem_freep(void *p) { free(*(void **)p); }

/* `autofree char *s = …;` is freed when the scope ends. */
#define autofree __attribute__((cleanup(mem_freep)))

/* Hands over an owned pointer: returns *(p) and sets it to NULL. */
#define take_ptr(p)                                                                                                    \
    (__extension__({                                                                                                   \
        __typeof__(p) take_p_ = (p);                                                                                   \
        __typeof__(*take_p_) take_v_ = *take_p_;                                                                       \
        *take_p_ = NULL;                                                                                               \
        take_v_;                                                                                                       \
    }))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
