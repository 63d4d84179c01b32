/* Sizes and resource limits. */
#include "spec/spec_int.h"

#include <ctype.h>

/* Exponent of 1024 for a unit's text ("", "b", "k", "kb", "kib" …), or -1. */
static int unit_power(const char *s) {
    static const char letters[] = "kmgtp";
    if (!*s || ((*s == 'b' || *s == 'B') && !s[1]))
        return 0;
    const char *at = strchr(letters, tolower((unsigned char)*s));
    if (!at)
        return -1;
    s++;
    if (*s == 'i' || *s == 'I') {
        if (s[1] != 'b' && s[1] != 'B')
            return -1;
        s++;
    }
    if (*s == 'b' || *s == 'B')
        s++;
    return *s ? -1 : (int)(at - letters) + 1;
}

/* At most 19 digits at *s as a whole number (more would not fit and are refused before); moves on. */
static uint64_t take_digits(const char **s) {
    uint64_t v = 0;
    for (; isdigit((unsigned char)**s); (*s)++)
        v = v * 10 + (uint64_t)(**s - '0');
    return v;
}

/* The digits after the point as a number below 1. */
static double take_fraction(const char **s) {
    double f = 0, scale = 1;
    for (; isdigit((unsigned char)**s); (*s)++) {
        scale /= 10;
        f += scale * (**s - '0');
    }
    return f;
}

struct err *spec_parse_bytes(const char *text, int64_t *ret) {
    const char *s = text;
    if (!isdigit((unsigned char)*s))
        return err_new(ERR_USAGE, "invalid size: '%s'", text);
    if (strspn(s, "0123456789") > 19)
        return err_new(ERR_USAGE, "invalid size: '%s' is too large", text);
    uint64_t whole = take_digits(&s);
    double fraction = 0;
    if (*s == '.') {
        s++;
        fraction = take_fraction(&s);
    }
    if (*s == ' ')
        s++;
    int power = unit_power(s);
    if (power < 0)
        return err_new(ERR_USAGE, "invalid suffix: '%s'", s);
    uint64_t unit = UINT64_C(1) << (10 * power), bytes;
    uint64_t part = (uint64_t)(fraction * (double)unit);
    if (__builtin_mul_overflow(whole, unit, &bytes) || __builtin_add_overflow(bytes, part, &bytes) || bytes > INT64_MAX)
        return err_new(ERR_USAGE, "invalid size: '%s' is too large", text);
    *ret = (int64_t)bytes;
    return NULL;
}

static const struct {
    const char *name, *oci;
} ulimits[] = {
    {"core", "RLIMIT_CORE"},         {"cpu", "RLIMIT_CPU"},
    {"data", "RLIMIT_DATA"},         {"fsize", "RLIMIT_FSIZE"},
    {"locks", "RLIMIT_LOCKS"},       {"memlock", "RLIMIT_MEMLOCK"},
    {"msgqueue", "RLIMIT_MSGQUEUE"}, {"nice", "RLIMIT_NICE"},
    {"nofile", "RLIMIT_NOFILE"},     {"nproc", "RLIMIT_NPROC"},
    {"rss", "RLIMIT_RSS"},           {"rtprio", "RLIMIT_RTPRIO"},
    {"rttime", "RLIMIT_RTTIME"},     {"sigpending", "RLIMIT_SIGPENDING"},
    {"stack", "RLIMIT_STACK"},
};

static const char *ulimit_name(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(ulimits); i++)
        if (str_eq(name, ulimits[i].name))
            return ulimits[i].oci;
    return NULL;
}

static struct err *parse_limit(const char *s, uint64_t *ret) {
    if (str_eq(s, "-1") || str_eq(s, "unlimited")) {
        *ret = UINT64_MAX;
        return NULL;
    }
    int64_t v;
    if (!str_to_i64(s, 0, INT64_MAX, &v))
        return err_new(ERR_USAGE, "strconv.ParseInt: parsing \"%s\": invalid syntax", s);
    *ret = (uint64_t)v;
    return NULL;
}

struct err *spec_parse_ulimit(const char *text, const char **ret_name, uint64_t *ret_soft, uint64_t *ret_hard) {
    const char *eq = strchr(text, '=');
    if (!eq)
        return err_new(ERR_USAGE, "invalid ulimit argument: %s", text);
    autofree char *name = mem_dupn(text, (size_t)(eq - text));
    const char *oci = ulimit_name(name);
    if (!oci)
        return err_new(ERR_USAGE, "invalid ulimit type: %s", name);
    autostrv struct strv parts = {0};
    strv_split(&parts, eq + 1, ':');
    if (parts.n > 2)
        return err_new(ERR_USAGE, "too many limit value arguments - %s, can only have up to two, `soft[:hard]`",
                       eq + 1);
    uint64_t soft = 0, hard;
    TRY(parse_limit(parts.v[0], &soft));
    hard = soft;
    if (parts.n == 2)
        TRY(parse_limit(parts.v[1], &hard));
    if (soft > hard)
        return err_new(ERR_USAGE, "ulimit soft limit must be less than or equal to hard limit: %s > %s", parts.v[0],
                       parts.v[1]);
    *ret_name = oci;
    *ret_soft = soft;
    *ret_hard = hard;
    return NULL;
}

static struct err *add_rlimit(struct spec_ctx *x, const char *text) {
    struct spec_rlimit r = {0};
    TRY(spec_parse_ulimit(text, &r.name, &r.soft, &r.hard));
    for (size_t i = 0; i < x->n_rlimits; i++)
        if (str_eq(x->rlimits[i].name, r.name)) {
            x->rlimits[i] = r;
            return NULL;
        }
    x->rlimits = mem_resize(x->rlimits, x->n_rlimits + 1, sizeof *x->rlimits);
    x->rlimits[x->n_rlimits++] = r;
    return NULL;
}

struct err *spec_resolve_rlimits(struct spec_ctx *x) {
    const struct config *c = x->in->config;
    for (size_t i = 0; c && i < c->default_ulimits.n; i++)
        TRY_CTX(add_rlimit(x, c->default_ulimits.v[i]), "default-ulimits");
    for (size_t i = 0; i < x->o->ulimit.n; i++)
        TRY(spec_invalid("--ulimit", x->o->ulimit.v[i], add_rlimit(x, x->o->ulimit.v[i])));
    return NULL;
}
