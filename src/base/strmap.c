/* strmap: ordered maps of owned strings; see str.h. Look-up is linear: maps that come from outside are capped first. */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static struct strmap_entry *strmap_find(const struct strmap *m, const char *key) {
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->e[i].key, key) == 0)
            return &m->e[i];
    return NULL;
}

void strmap_set(struct strmap *m, const char *key, const char *value) {
    struct strmap_entry *e = strmap_find(m, key);
    if (e) {
        mem_set(&e->value, value);
        return;
    }
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 8;
        m->e = mem_resize(m->e, cap, sizeof *m->e);
        m->cap = cap;
    }
    m->e[m->n++] = (struct strmap_entry){.key = mem_dup(key), .value = mem_dup(value)};
}

void strmap_set_pair(struct strmap *m, const char *pair) {
    size_t n = strcspn(pair, "=");
    autofree char *key = mem_dupn(pair, n);
    strmap_set(m, key, pair + n + (pair[n] == '='));
}

const char *strmap_get(const struct strmap *m, const char *key) {
    const struct strmap_entry *e = strmap_find(m, key);
    return e ? e->value : NULL;
}

void strmap_done(struct strmap *m) {
    for (size_t i = 0; i < m->n; i++) {
        free(m->e[i].key);
        free(m->e[i].value);
    }
    free(m->e);
    *m = (struct strmap){0};
}
