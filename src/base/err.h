/*
 * err: the one error pattern of coracle.
 *
 * A function that can fail returns `struct err *`: NULL is success, anything else is an owned error that the
 * caller passes on (TRY), wraps with what it was doing (TRY_CTX, err_wrap), turns into something else, or ends
 * with err_free(). Nothing prints below src/cli; an error travels up as data and is rendered once.
 *
 *   kind     what sort of failure it is; decides exit codes and HTTP statuses. Never match on the text.
 *   message  one lower-case clause without a full stop that names the object ("no such image: foo:latest").
 *   errno    the system's own reason, 0 where there is none; rendered with strerror in words.
 *   hint     what the user can do about it; a sentence or a command line. At most one is shown: the innermost.
 *   cause    the error below it. A wrapped error takes the kind of its cause.
 *
 * Contract: out-parameters named ret_x are untouched on failure. A parameter named take_x is owned by the callee
 * from the call on, whatever it returns. Allocation failure aborts (see mem.h), so it is not an error kind.
 * Errors cross process borders (init → monitor → CLI, helper → parent) by err_encode() and err_decode().
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str;

enum err_kind {
    ERR_USAGE,          /* the command line or an option's value is wrong */
    ERR_NOT_FOUND,      /* the named object does not exist */
    ERR_CONFLICT,       /* the name is taken, or the object is in another state than needed */
    ERR_IN_USE,         /* something else still needs the object, or holds it busy */
    ERR_DENIED,         /* the system or a registry refuses this user */
    ERR_UNSUPPORTED,    /* neither this build nor this machine can do it */
    ERR_NETWORK,        /* the other side cannot be reached or talks nonsense */
    ERR_AUTH,           /* credentials are missing or wrong */
    ERR_CORRUPT,        /* data is not what its digest or format says */
    ERR_TIMEOUT,        /* it took too long */
    ERR_NO_SPACE,       /* disk or quota is full */
    ERR_INTERRUPTED,    /* a signal from the user ended it */
    ERR_EXEC_NOT_FOUND, /* the program is not in the container (exit code 127) */
    ERR_EXEC_DENIED,    /* the program cannot be executed (exit code 126) */
    ERR_SYSTEM,         /* a system call failed for another reason */
    ERR_KIND_COUNT
};

struct err;

/* A new error without errno. The message is printf-formatted. Never returns NULL. */
struct err *err_new(enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull, warn_unused_result));

/*
 * A new error for a failed system call: `errnum` is the saved errno (positive), the kind follows from it
 * (ENOENT → not_found, EACCES/EPERM → denied, EEXIST → conflict, EBUSY → in_use, ENOSPC/EDQUOT → no_space,
 * ENOSYS/EOPNOTSUPP → unsupported, ETIMEDOUT → timeout, EINTR → interrupted, else system).
 */
struct err *err_sys(int errnum, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull, warn_unused_result));

/* Puts a message before an error: "what: cause". Takes `take_cause` (not NULL) and keeps its kind and errno. */
struct err *err_wrap(struct err *take_cause, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull, warn_unused_result));

/* Sets the hint and returns the same error, for `return err_hint(err_new(…), "run '…'")`. Replaces an older hint of
 * this level. */
struct err *err_hint(struct err *take_err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull, warn_unused_result));

/* Changes the kind of the outermost level, and so of the whole error; returns it. */
struct err *err_with_kind(struct err *take_err, enum err_kind kind)
    __attribute__((returns_nonnull, warn_unused_result));

/* The kind of an error (that of its outermost level; wrapping copies it). */
enum err_kind err_kind(const struct err *e);

/* The errno of the innermost level that has one, or 0. */
int err_errno(const struct err *e);

/* The innermost hint, borrowed, or NULL. */
const char *err_hint_text(const struct err *e);

/* Appends "outer: inner: innermost: No such file or directory" to `out`; control characters are made visible. */
void err_format(const struct err *e, struct str *out);

/* Appends a one-line JSON form (kind, errno, message, hint, cause) without a newline, for a socket. */
void err_encode(const struct err *e, struct str *out);

/* Reads what err_encode() wrote. Text that does not parse becomes an error of kind corrupt that says so: never NULL. */
struct err *err_decode(const char *text, size_t len) __attribute__((returns_nonnull, warn_unused_result));

/* The word for a kind, as used on the wire and in events ("not_found"). */
const char *err_kind_name(enum err_kind kind);

/* Frees an error with its causes; NULL is fine. */
void err_free(struct err *e);

/* Of two errors the first one that there is, for what is to be ended whatever happened before. Takes both. */
struct err *err_first(struct err *take_e, struct err *take_later) __attribute__((warn_unused_result));

/* For autoerr. */
static inline void err_freep(struct err **e) { err_free(*e); }

/*
 * The clang analyser does not read returns_nonnull, and would warn at every TRY about out-parameters that "may be
 * unset after success". Only it sees these wrappers.
 */
#if defined __clang_analyzer__ && !defined ERR_DEFINES
static inline struct err *err_nonnull(struct err *e) {
    if (!e)
        __builtin_unreachable();
    return e;
}
#define err_new(...) err_nonnull(err_new(__VA_ARGS__))
#define err_sys(...) err_nonnull(err_sys(__VA_ARGS__))
#define err_wrap(...) err_nonnull(err_wrap(__VA_ARGS__))
#define err_hint(...) err_nonnull(err_hint(__VA_ARGS__))
#define err_with_kind(...) err_nonnull(err_with_kind(__VA_ARGS__))
#define err_decode(...) err_nonnull(err_decode(__VA_ARGS__))
#endif

/* An error that is freed at the end of the scope: for code that decides by kind and goes on. */
#define autoerr __attribute__((cleanup(err_freep))) struct err *

/* Returns the error to the caller if there is one. */
#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        struct err *try_err_ = (expr);                                                                                 \
        if (try_err_)                                                                                                  \
            return try_err_;                                                                                           \
    } while (0)

/* The same, with a line of context put before it: TRY_CTX(mount_proc(fd), "mount %s", path). */
#define TRY_CTX(expr, ...)                                                                                             \
    do {                                                                                                               \
        struct err *try_err_ = (expr);                                                                                 \
        if (try_err_)                                                                                                  \
            return err_wrap(try_err_, __VA_ARGS__);                                                                    \
    } while (0)
