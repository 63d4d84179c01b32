/* mem: see mem.h. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void mem_fail(void) {
    static const char text[] = "coracle: out of memory\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void)n; /* there is nobody left to tell */
    abort();
}

static void *mem_check(void *p) {
    if (!p)
        mem_fail();
    return p;
}

void *mem_alloc(size_t size) { return mem_check(calloc(1, size ? size : 1)); }

void *mem_array(size_t n, size_t size) { return mem_check(calloc(n ? n : 1, size ? size : 1)); }

void *mem_resize(void *p, size_t n, size_t size) { return mem_check(reallocarray(p, n ? n : 1, size ? size : 1)); }

char *mem_dup(const char *s) { return s ? mem_check(strdup(s)) : NULL; }

char *mem_dupn(const char *s, size_t n) { return mem_check(strndup(s, n)); }

char *mem_printf(const char *fmt, ...) {
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        mem_fail();
    return s;
}

void mem_set(char **p, const char *s) {
    char *copy = mem_dup(s); /* first: s may point into *p */
    free(*p);
    *p = copy;
}
