/*
 * failure: from a registry's answer to an error that says what to do. The registry's own words are shown, made visible
 * and cut to a sane length: they come from outside.
 */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/registry_int.h"

#define WORDS_MAX 300

/* "code: message" of {"errors":[{"code","message"}]}, or of a token service's
 * {"details"|"message"|"error_description"}. */
static void registry_words(const struct fetch_xfer *x, struct str *out) {
    autojson j = NULL;
    if (!x->body || !*x->body)
        return;
    err_free(json_parse(x->body, strlen(x->body), "answer", 0, &j));
    const struct json *first = json_first(json_get(j, "errors"));
    const char *code = json_str_value(json_get(first, "code"));
    const char *message = json_str_value(json_get(first, "message"));
    static const char *const keys[] = {"details", "message", "error_description", "error"};
    for (size_t i = 0; !message && i < ARRAY_LEN(keys); i++)
        message = json_str_value(json_get(j, keys[i]));
    autofree char *words = code ? mem_printf("%s: %s", code, message ? message : "") : mem_dup(message);
    if (!words)
        return;
    for (char *p = words; code && p < words + strlen(code); p++)
        *p = (char)(*p == '_' ? ' ' : *p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    autofree char *cut = mem_dupn(words, strnlen(words, WORDS_MAX));
    str_append_visible(out, cut);
}

static struct err *denied(const struct registry *r, const char *words) {
    const char *dup = "unauthorized: ";
    if (r->had_creds && str_starts(words, dup))
        words += strlen(dup);
    if (r->login)
        return err_new(ERR_AUTH, "unauthorized: %s", *words ? words : "incorrect username or password");
    if (r->push) {
        struct err *e = err_new(ERR_AUTH, "push access denied for %s: %s", r->repo, *words ? words : "denied");
        return err_hint(e, r->had_creds ? "the stored credentials for %s do not allow it" : "try 'coracle login %s'",
                        r->name);
    }
    struct err *e =
        r->had_creds
            ? err_new(ERR_AUTH, "unauthorized: %s", *words ? words : "the registry refuses the credentials")
            : err_new(ERR_AUTH, "pull access denied for %s, repository does not exist or needs credentials: %s",
                      r->repo, *words ? words : "denied");
    return err_hint(e, "check the name; credentials for %s are read from docker's config.json (~/.docker/config.json)",
                    r->name);
}

struct err *registry_failure(const struct registry *r, const struct fetch_xfer *x, const char *what) {
    autostr struct str words = STR_INIT_MAX(4 * WORDS_MAX + 64);
    registry_words(x, &words);
    const char *text = str_c(&words);
    switch (x->status) {
    case 401:
    case 403:
        return denied(r, text);
    case 404:
        return err_new(ERR_NOT_FOUND, "%s not found: %s", what, *text ? text : "not found");
    case 405:
    case 501:
        return err_new(ERR_UNSUPPORTED, "%s: %s does not know such requests", what, r->name);
    case 416: /* a resumed download asked for bytes behind its end */
        return err_new(ERR_NETWORK, "%s: %s has less of it than its manifest says", what, r->name);
    case 429:
        return err_hint(err_new(ERR_NETWORK, "toomanyrequests: %s limits how often it may be asked", r->name),
                        "wait a while, or store credentials: registered users may ask more often");
    default:
        return err_new(ERR_NETWORK, "%s: %s answers with status %lld%s%s", what, r->name, (long long)x->status,
                       *text ? ": " : "", text);
    }
}
