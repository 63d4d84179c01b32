/* err: see err.h. An error is a short linked list, outermost level first. */
#define ERR_DEFINES /* no macros over what is defined here */
#include "base/err.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err_int.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

struct err {
    enum err_kind kind;
    int errnum;
    char *message;
    char *hint;
    struct err *cause;
};

/* Deeper chains are not made by people; the bound keeps a decoded one from another process short. */
#define ERR_LEVELS_MAX 64

static const char *const kind_names[ERR_KIND_COUNT] = {
    [ERR_USAGE] = "usage",
    [ERR_NOT_FOUND] = "not_found",
    [ERR_CONFLICT] = "conflict",
    [ERR_IN_USE] = "in_use",
    [ERR_DENIED] = "denied",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_NETWORK] = "network",
    [ERR_AUTH] = "auth",
    [ERR_CORRUPT] = "corrupt",
    [ERR_TIMEOUT] = "timeout",
    [ERR_NO_SPACE] = "no_space",
    [ERR_INTERRUPTED] = "interrupted",
    [ERR_EXEC_NOT_FOUND] = "exec_not_found",
    [ERR_EXEC_DENIED] = "exec_denied",
    [ERR_SYSTEM] = "system",
};

const char *err_kind_name(enum err_kind kind) {
    return (size_t)kind < ARRAY_LEN(kind_names) ? kind_names[kind] : "system";
}

static enum err_kind kind_of_errno(int errnum) {
    switch (errnum) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case EEXIST:
        return ERR_CONFLICT;
    case EBUSY:
        return ERR_IN_USE;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOSYS:
    case EOPNOTSUPP:
        return ERR_UNSUPPORTED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EINTR:
        return ERR_INTERRUPTED;
    default:
        return ERR_SYSTEM;
    }
}

static struct err *err_make(enum err_kind kind, int errnum, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static struct err *err_make(enum err_kind kind, int errnum, const char *fmt, va_list ap) {
    autostr struct str s = STR_INIT;
    str_append_v(&s, fmt, ap);
    struct err *e = mem_alloc(sizeof *e);
    *e = (struct err){.kind = kind, .errnum = errnum, .message = str_take(&s)};
    return e;
}

struct err *err_new(enum err_kind kind, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    struct err *e = err_make(kind, 0, fmt, ap);
    va_end(ap);
    return e;
}

struct err *err_sys(int errnum, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    struct err *e = err_make(kind_of_errno(errnum), errnum, fmt, ap);
    va_end(ap);
    return e;
}

struct err *err_wrap(struct err *take_cause, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    struct err *e = err_make(take_cause->kind, 0, fmt, ap);
    va_end(ap);
    e->cause = take_cause;
    return e;
}

struct err *err_hint(struct err *take_err, const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    free(take_err->hint);
    take_err->hint = str_take(&s);
    return take_err;
}

struct err *err_with_kind(struct err *take_err, enum err_kind kind) {
    take_err->kind = kind;
    return take_err;
}

enum err_kind err_kind(const struct err *e) { return e->kind; }

int err_errno(const struct err *e) {
    int found = 0;
    for (; e; e = e->cause)
        if (e->errnum)
            found = e->errnum;
    return found;
}

const char *err_hint_text(const struct err *e) {
    const char *found = NULL;
    for (; e; e = e->cause)
        if (e->hint)
            found = e->hint;
    return found;
}

void err_format(const struct err *e, struct str *out) {
    int errnum = err_errno(e);
    for (const struct err *at = e; at; at = at->cause) {
        if (at != e)
            str_append(out, ": ");
        str_append_visible(out, at->message);
    }
    if (!errnum)
        return;
    const char *text = strerrordesc_np(errnum); /* never translated, unlike strerror */
    if (!text)
        str_appendf(out, ": error %d", errnum);
    else /* a clause, not a sentence; "RPC …" stays what it is */
        str_appendf(out, ": %c%s", islower((unsigned char)text[1]) ? tolower((unsigned char)*text) : *text, text + 1);
}

void err_encode(const struct err *e, struct str *out) {
    size_t levels = 0;
    for (; e && levels < ERR_LEVELS_MAX; e = e->cause, levels++) {
        str_appendf(out, "%s{\"kind\":\"%s\",\"errno\":%d,\"message\":", levels ? ",\"cause\":" : "",
                    err_kind_name(e->kind), e->errnum);
        json_quote(e->message, strlen(e->message), out);
        if (e->hint) {
            str_append(out, ",\"hint\":");
            json_quote(e->hint, strlen(e->hint), out);
        }
    }
    while (levels--)
        str_append_c(out, '}');
}

static enum err_kind kind_of_name(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(kind_names); i++)
        if (strcmp(kind_names[i], name) == 0)
            return (enum err_kind)i;
    return ERR_SYSTEM; /* a newer peer's kind */
}

/* One level without its cause. */
static struct err *err_level_from_json(const struct json *j, struct err **ret) {
    const char *kind, *message, *hint;
    int64_t errnum;
    TRY(json_get_str(j, "kind", &kind));
    TRY(json_get_str(j, "message", &message));
    TRY(json_get_str_opt(j, "hint", NULL, &hint));
    TRY(json_get_i64_opt(j, "errno", 0, &errnum));
    struct err *e = mem_alloc(sizeof *e);
    *e = (struct err){.kind = kind_of_name(kind),
                      .errnum = errnum > 0 && errnum < 4096 ? (int)errnum : 0,
                      .message = mem_dup(message),
                      .hint = mem_dup(hint)};
    *ret = e;
    return NULL;
}

struct err *err_from_json(const struct json *j) {
    struct err *head = NULL, **tail = &head;
    size_t levels = 0;
    do {
        struct err *bad = err_level_from_json(j, tail);
        if (bad) {
            err_free(head);
            return err_with_kind(err_wrap(bad, "unreadable error report"), ERR_CORRUPT);
        }
        tail = &(*tail)->cause;
        j = json_get(j, "cause");
    } while (j && ++levels < ERR_LEVELS_MAX);
    return head;
}

struct err *err_decode(const char *text, size_t len) {
    autojson j = NULL;
    struct err *bad = json_parse(text, len, "error report", 0, &j);
    if (bad)
        return bad;
    return err_from_json(j);
}

void err_free(struct err *e) {
    while (e) {
        struct err *cause = e->cause;
        free(e->message);
        free(e->hint);
        free(e);
        e = cause;
    }
}

struct err *err_first(struct err *take_e, struct err *take_later) {
    if (!take_e)
        return take_later;
    err_free(take_later);
    return take_e;
}
