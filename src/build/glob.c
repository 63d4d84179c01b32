/* glob: see glob_int.h. */
#include "build/glob_int.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum glob_kind {
    GLOB_CHAR,  /* this character */
    GLOB_ONE,   /* any but '/' */
    GLOB_ANY,   /* any */
    GLOB_CLASS, /* one of a class, never '/' */
    GLOB_STAR,  /* any number of them, none is '/' */
    GLOB_ALL,   /* any number of any */
    GLOB_DIRS,  /* nothing, or anything up to and with a '/' */
};

struct glob_token {
    enum glob_kind kind;
    uint32_t c;
    size_t from, to; /* of a class: its ranges */
    bool negated;
};

#define NO_CHARACTER 0x110000u /* and above: bytes that are no UTF-8 */

/* The character at `s`, and its length in bytes. `s` is not at its end. */
static uint32_t decode(const char *s, size_t *ret_n) {
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p < 0x80 ? 1 : (*p & 0xe0) == 0xc0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : (*p & 0xf8) == 0xf0 ? 4 : 0;
    uint32_t c = n == 1 ? *p : n ? *p & (0x7fu >> n) : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            n = 0;
            break;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    *ret_n = n ? n : 1;
    return n ? c : NO_CHARACTER + *p;
}

static void push(struct glob *g, struct glob_token t) {
    if (g->n == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 16;
        g->token = mem_resize(g->token, g->cap, sizeof *g->token);
    }
    g->token[g->n++] = t;
}

static void push_range(struct glob *g, uint32_t from, uint32_t to) {
    g->range = mem_resize(g->range, g->n_ranges + 2, sizeof *g->range);
    g->range[g->n_ranges++] = from;
    g->range[g->n_ranges++] = to;
}

static struct err *bad(const char *pattern) { return err_new(ERR_USAGE, "syntax error in pattern: %s", pattern); }

/* A character of a class, perhaps behind a '\'; false at the end or where one cannot be. */
static bool class_char(const char **p, uint32_t *ret) {
    size_t n;
    if (**p == '-' || **p == ']' || !**p)
        return false;
    if (**p == '\\' && !*++*p)
        return false;
    *ret = decode(*p, &n);
    *p += n;
    return true;
}

/* "[a-z]", "[^x]"; *p is behind the '['. */
static bool parse_class(struct glob *g, const char **p) {
    struct glob_token t = {.kind = GLOB_CLASS, .from = g->n_ranges};
    if (**p == '^') {
        t.negated = true;
        (*p)++;
    }
    do {
        uint32_t from, to;
        if (!class_char(p, &from))
            return false;
        to = from;
        if (**p == '-') {
            (*p)++;
            if (!class_char(p, &to))
                return false;
        }
        push_range(g, from, to);
    } while (**p != ']');
    (*p)++;
    t.to = g->n_ranges;
    push(g, t);
    return true;
}

/* One or two stars; *p is behind the first one. */
static void parse_stars(struct glob *g, const char **p, enum glob_language language) {
    if (language == GLOB_SHELL) {
        push(g, (struct glob_token){.kind = GLOB_ALL});
        return;
    }
    if (**p != '*') {
        push(g, (struct glob_token){.kind = GLOB_STAR});
        return;
    }
    (*p)++;
    *p += **p == '/';
    push(g, (struct glob_token){.kind = **p ? GLOB_DIRS : GLOB_ALL});
}

struct err *glob_compile(const char *pattern, enum glob_language language, struct glob *ret) {
    autoglob g = {.n = 0};
    bool paths = language == GLOB_PATHS;
    for (const char *p = pattern; *p;) {
        size_t n;
        uint32_t c = decode(p, &n);
        p += n;
        if (c == '*') {
            parse_stars(&g, &p, language);
        } else if (c == '?') {
            push(&g, (struct glob_token){.kind = paths ? GLOB_ONE : GLOB_ANY});
        } else if (c == '[' && paths) {
            if (!parse_class(&g, &p))
                return bad(pattern);
        } else {
            if (c == '\\' && !*p && paths)
                return bad(pattern);
            if (c == '\\' && *p) {
                c = decode(p, &n);
                p += n;
            }
            push(&g, (struct glob_token){.kind = GLOB_CHAR, .c = c});
        }
    }
    *ret = g;
    g = (struct glob){.n = 0};
    return NULL;
}

void glob_done(struct glob *g) {
    free(g->token);
    free(g->range);
    *g = (struct glob){.n = 0};
}

/* ---- the machine ---- */

/*
 * A state is a position in the pattern (what lies before it has matched); of GLOB_DIRS there is one more, inside: it
 * waits for its '/'. States are bytes of two arrays that take turns.
 */
enum { HERE = 1, INSIDE = 2 };

struct machine {
    const struct glob *g;
    bool backwards;
    unsigned char *now, *next;
};

static const struct glob_token *token_at(const struct machine *m, size_t i) {
    return &m->g->token[m->backwards ? m->g->n - 1 - i : i];
}

/* Adds position i and those behind it that need no character. */
static void enter(const struct machine *m, unsigned char *set, size_t i) {
    for (;; i++) {
        if (set[i] & HERE)
            return;
        set[i] |= HERE;
        if (i == m->g->n)
            return;
        enum glob_kind k = token_at(m, i)->kind;
        if (k == GLOB_DIRS)
            set[i] |= INSIDE;
        else if (k != GLOB_STAR && k != GLOB_ALL)
            return;
    }
}

static bool in_class(const struct glob *g, const struct glob_token *t, uint32_t c) {
    for (size_t i = t->from; i < t->to; i += 2)
        if (c >= g->range[i] && c <= g->range[i + 1])
            return !t->negated;
    return t->negated;
}

static bool takes(const struct machine *m, const struct glob_token *t, uint32_t c) {
    switch (t->kind) {
    case GLOB_CHAR:
        return c == t->c;
    case GLOB_CLASS:
        return c != '/' && in_class(m->g, t, c);
    case GLOB_ONE:
    case GLOB_STAR:
        return c != '/';
    case GLOB_ANY:
    case GLOB_ALL:
    case GLOB_DIRS:
        break;
    }
    return true;
}

/* What position i makes of character c. */
static void step_one(const struct machine *m, size_t i, uint32_t c) {
    const struct glob_token *t = token_at(m, i);
    if (t->kind == GLOB_DIRS) {
        if (!(m->now[i] & INSIDE))
            return;
        m->next[i] |= INSIDE;
        if (c == '/')
            enter(m, m->next, i + 1);
    } else if (takes(m, t, c)) {
        enter(m, m->next, t->kind == GLOB_STAR || t->kind == GLOB_ALL ? i : i + 1);
    }
}

static bool step(struct machine *m, uint32_t c) {
    bool alive = false;
    memset(m->next, 0, m->g->n + 1);
    for (size_t i = 0; i < m->g->n; i++)
        if (m->now[i])
            step_one(m, i, c);
    unsigned char *swap = m->now;
    m->now = m->next;
    m->next = swap;
    for (size_t i = 0; i <= m->g->n && !alive; i++)
        alive = m->now[i];
    return alive;
}

/* Bytes of the character that ends before text[n]. */
static size_t last_char(const char *text, size_t n) {
    size_t len = 1, whole;
    while (len < n && len < 4 && ((unsigned char)text[n - len] & 0xc0) == 0x80)
        len++;
    (void)decode(text + n - len, &whole);
    return whole == len ? len : 1;
}

bool glob_extent(const struct glob *g, const char *text, bool suffix, bool longest, size_t *ret) {
    autofree unsigned char *sets = mem_array(2, g->n + 1);
    struct machine m = {.g = g, .backwards = suffix, .now = sets, .next = sets + g->n + 1};
    size_t len = strlen(text), at = 0;
    bool found = false;
    enter(&m, m.now, 0);
    for (;;) {
        if (m.now[g->n] & HERE) {
            found = true;
            *ret = at;
            if (!longest)
                return true;
        }
        if (at == len)
            return found;
        size_t n = suffix ? last_char(text, len - at) : 0, whole;
        uint32_t c = decode(suffix ? text + len - at - n : text + at, &whole);
        at += suffix ? n : whole;
        if (!step(&m, c))
            return found;
    }
}

bool glob_matches(const struct glob *g, const char *text) {
    size_t n;
    return glob_extent(g, text, false, true, &n) && n == strlen(text);
}

bool glob_is_pattern(const char *text) { return strpbrk(text, "*?[\\") != NULL; }
