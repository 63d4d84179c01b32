/* detach: the detach keys: "ctrl-p,ctrl-q" into bytes, and looking for them in what is typed. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/monitor.h"
#include "monitor/terminal_int.h"

static const char default_keys[] = "ctrl-p,ctrl-q";

/* One key: a character, or ctrl- and one of a-z @ [ \ ] ^ _; -1 for anything else. */
static int parse_key(const char *s) {
    if (strlen(s) == 1)
        return (unsigned char)*s;
    if (!str_starts(s, "ctrl-") || strlen(s) != 6)
        return -1;
    char c = s[5];
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 1;
    if (c == '@')
        return 0;
    return c >= '[' && c <= '_' ? c - '[' + 27 : -1;
}

struct err *monitor_detach_keys_parse(const char *text, unsigned char ret[16], size_t *ret_n) {
    unsigned char keys[DETACH_MAX];
    if (!text)
        text = default_keys;
    if (!*text) {
        *ret_n = 0;
        return NULL;
    }
    autostrv struct strv parts = {.v = NULL};
    strv_split(&parts, text, ',');
    if (parts.n > DETACH_MAX)
        return err_new(ERR_USAGE, "invalid detach keys (%s): at most %d keys", text, DETACH_MAX);
    for (size_t i = 0; i < parts.n; i++) {
        int key = parse_key(parts.v[i]);
        if (key < 0)
            return err_hint(err_new(ERR_USAGE, "invalid detach keys (%s): unknown character: '%s'", text, parts.v[i]),
                            "use single characters and ctrl-<a-z, @, [, \\, ], ^, _>, separated by commas");
        keys[i] = (unsigned char)key;
    }
    memcpy(ret, keys, parts.n);
    *ret_n = parts.n;
    return NULL;
}

/*
 * A byte that breaks the sequence may still continue it from a later start ("ab,ab,c" in "ababab c"): the held bytes
 * are compared with their own beginning, as in every string search.
 */
static size_t fall_back(const struct detach *d, unsigned char c) {
    for (size_t keep = d->seen; keep > 0; keep--)
        if (d->keys[keep - 1] == c && memcmp(d->keys, d->keys + d->seen - keep + 1, keep - 1) == 0)
            return keep;
    return 0;
}

bool detach_filter(struct detach *d, const unsigned char *from, size_t n, unsigned char *to, size_t *ret_n) {
    size_t out = 0;
    bool found = false;
    if (!d->n) {
        memcpy(to, from, n);
        *ret_n = n;
        return false;
    }
    for (size_t i = 0; i < n && !found; i++) {
        if (from[i] == d->keys[d->seen]) {
            found = ++d->seen == d->n;
            continue;
        }
        size_t keep = fall_back(d, from[i]);
        /* What was held is keys[0..seen); of it and this byte the last `keep` stay held. */
        size_t release = d->seen + 1 - keep;
        size_t held = release < d->seen ? release : d->seen;
        memcpy(to + out, d->keys, held);
        out += held;
        if (release > d->seen)
            to[out++] = from[i];
        d->seen = keep;
    }
    if (found)
        d->seen = 0;
    *ret_n = out;
    return found;
}
