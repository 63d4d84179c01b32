/* chmod: see chmod_int.h. */
#include "build/chmod_int.h"

#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/str.h"

enum { ALL_RWX = 0777, SPECIAL = 07000 };

static struct err *invalid(const char *text) {
    return err_hint(
        err_new(ERR_USAGE, "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777", text),
        "or symbolic, as in u=rwX,go=rX");
}

/* What of rwx, set-id and sticky belongs to a class. */
static mode_t of_class(char c) {
    switch (c) {
    case 'u':
        return S_IRWXU | S_ISUID;
    case 'g':
        return S_IRWXG | S_ISGID;
    case 'o':
        return S_IRWXO | S_ISVTX;
    default:
        return ALL_RWX | SPECIAL;
    }
}

static const char *read_permissions(const char *p, struct chmod_clause *c) {
    static const struct {
        char letter;
        mode_t bits;
    } letters[] = {{'r', 0444}, {'w', 0222}, {'x', 0111}, {'s', S_ISUID | S_ISGID}, {'t', S_ISVTX}};
    if (*p && strchr("ugo", *p)) {
        c->copy = *p;
        return p + 1;
    }
    for (;; p++) {
        size_t i = 0;
        while (i < sizeof letters / sizeof *letters && letters[i].letter != *p)
            i++;
        if (i < sizeof letters / sizeof *letters)
            c->bits |= letters[i].bits;
        else if (*p == 'X')
            c->x_if_any = true;
        else
            return p;
    }
}

/* "ug+rw-x": one class, several operations. NULL: it is none. */
static const char *read_clause(const char *p, struct chmod *ret) {
    mode_t who = 0;
    for (; *p && strchr("ugoa", *p); p++)
        who |= of_class(*p);
    if (!who)
        who = of_class('a');
    if (!*p || !strchr("=+-", *p))
        return NULL;
    while (*p && strchr("=+-", *p)) {
        if (ret->n == CHMOD_CLAUSES)
            return NULL;
        struct chmod_clause *c = &ret->clause[ret->n++];
        *c = (struct chmod_clause){.who = who, .op = *p};
        p = read_permissions(p + 1, c);
    }
    return p;
}

struct err *chmod_parse(const char *text, struct chmod *ret) {
    uint64_t mode;
    *ret = (struct chmod){.n = 0};
    if (str_to_u64(text, 8, ALL_RWX | SPECIAL, &mode)) {
        ret->clause[ret->n++] = (struct chmod_clause){.who = ALL_RWX | SPECIAL, .op = '=', .bits = (mode_t)mode};
        return NULL;
    }
    for (const char *p = text;; p++) {
        p = read_clause(p, ret);
        if (p && !*p)
            return NULL;
        if (!p || *p != ',')
            return invalid(text);
    }
}

static mode_t wanted(const struct chmod_clause *c, mode_t mode) {
    mode_t bits = c->bits;
    if (c->x_if_any && (S_ISDIR(mode) || (mode & 0111)))
        bits |= 0111;
    if (c->copy) {
        unsigned shift = c->copy == 'u' ? 6 : c->copy == 'g' ? 3 : 0;
        mode_t rwx = (mode >> shift) & 07;
        bits |= rwx << 6 | rwx << 3 | rwx;
    }
    return bits & c->who;
}

mode_t chmod_apply(const struct chmod *ch, mode_t mode) {
    for (size_t i = 0; i < ch->n; i++) {
        const struct chmod_clause *c = &ch->clause[i];
        mode_t bits = wanted(c, mode);
        if (c->op == '=')
            mode = (mode & ~c->who) | bits;
        else
            mode = c->op == '+' ? mode | bits : mode & ~bits;
    }
    return mode;
}
