/*
 * challenge: the grammar of WWW-Authenticate. A header is a comma-separated list in which both challenges and the
 * parameters of a challenge are separated by commas; a word that is followed by '=' is a parameter, any other word
 * begins a challenge. Values are tokens or quoted strings with backslash escapes.
 */
#include "image/auth_int.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

#define CHALLENGE_MAX 8192

void challenge_done(struct challenge *c) {
    free(c->realm);
    free(c->service);
    free(c->scope);
    *c = (struct challenge){0};
}

static bool is_token(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_space(const char *p) { return p + strspn(p, " \t"); }

static char *take_token(const char **p) {
    const char *start = *p;
    while (is_token(**p))
        (*p)++;
    return mem_dupn(start, (size_t)(*p - start));
}

static struct err *malformed(void) {
    return err_new(ERR_NETWORK, "the registry's authentication challenge is malformed");
}

static struct err *take_value(const char **p, char **ret) {
    if (**p != '"') {
        const char *start = *p;
        *p += strcspn(*p, ", \t\""); /* wider than a token: many servers leave URLs unquoted */
        *ret = mem_dupn(start, (size_t)(*p - start));
        return NULL;
    }
    autostr struct str value = STR_INIT_MAX(CHALLENGE_MAX);
    for ((*p)++; **p != '"'; (*p)++) {
        if (**p == '\\' && (*p)[1])
            (*p)++;
        if (!**p)
            return malformed();
        str_append_c(&value, **p);
    }
    (*p)++;
    *ret = str_take(&value);
    return NULL;
}

static void set_param(struct challenge *c, const char *name, const char *value) {
    if (!strcasecmp(name, "realm"))
        mem_set(&c->realm, value);
    else if (!strcasecmp(name, "service"))
        mem_set(&c->service, value);
    else if (!strcasecmp(name, "scope"))
        mem_set(&c->scope, value);
}

static enum auth_scheme scheme_of(const char *word) {
    if (!strcasecmp(word, "bearer"))
        return AUTH_BEARER;
    return !strcasecmp(word, "basic") ? AUTH_BASIC : AUTH_NONE;
}

/* Keeps the better of two. */
static void offer(struct challenge *best, struct challenge *take_c) {
    if (take_c->scheme > best->scheme && (take_c->scheme != AUTH_BEARER || take_c->realm)) {
        challenge_done(best);
        *best = *take_c;
        *take_c = (struct challenge){0};
        return;
    }
    challenge_done(take_c);
}

/* One list element: a parameter of `now`, or the word that begins the next challenge. */
static struct err *parse_element(const char **p, struct challenge *now, struct challenge *best) {
    autofree char *word = take_token(p);
    const char *after = skip_space(*p);
    if (!*word)
        return malformed();
    if (*after != '=') {
        offer(best, now);
        now->scheme = scheme_of(word);
        *p = after;
        return NULL;
    }
    *p = skip_space(after + 1);
    autofree char *value = NULL;
    TRY(take_value(p, &value));
    set_param(now, word, value);
    return NULL;
}

struct err *challenge_parse(const char *header, struct challenge *ret) {
    if (strlen(header) > CHALLENGE_MAX)
        return malformed();
    struct challenge now = {0}, best = {0};
    struct err *e = NULL;
    const char *p = header + strspn(header, " \t,");
    while (*p && !e) {
        e = parse_element(&p, &now, &best);
        p += strspn(p, " \t,");
    }
    offer(&best, &now);
    if (e) {
        challenge_done(&best);
        return e;
    }
    *ret = best;
    return NULL;
}
