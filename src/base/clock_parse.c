/* clock_parse: RFC 3339, Go durations, and docker's --since. */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/clock_int.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Exactly `width` digits in [min, max]. */
static bool take_int(const char **p, int width, int min, int max, int *ret) {
    int v = 0;
    for (int i = 0; i < width; i++) {
        if (!is_digit((*p)[i]))
            return false;
        v = v * 10 + ((*p)[i] - '0');
    }
    if (v < min || v > max)
        return false;
    *p += width;
    *ret = v;
    return true;
}

static bool take_char(const char **p, char c) {
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

static int month_days(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool take_date(const char **p, struct civil *c) {
    return take_int(p, 4, 0, 9999, &c->year) && take_char(p, '-') && take_int(p, 2, 1, 12, &c->month) &&
           take_char(p, '-') && take_int(p, 2, 1, month_days(c->year, c->month), &c->day);
}

/* ".123" of a second, digits after the ninth are cut; nothing there is fine. */
static bool take_fraction(const char **p, int *ret_nsec) {
    int nsec = 0, digits = 0;
    if (!take_char(p, '.'))
        return true;
    for (; is_digit(**p); (*p)++, digits++)
        if (digits < 9)
            nsec = nsec * 10 + (**p - '0');
    for (int i = digits; i < 9; i++)
        nsec *= 10;
    *ret_nsec = nsec;
    return digits > 0;
}

/* "Z", "+01:00"; seconds east of UTC. */
static bool take_zone(const char **p, int *ret_offset) {
    int hours, minutes;
    if (take_char(p, 'Z') || take_char(p, 'z')) {
        *ret_offset = 0;
        return true;
    }
    bool west = **p == '-';
    if (!west && **p != '+')
        return false;
    (*p)++;
    if (!take_int(p, 2, 0, 23, &hours) || !take_char(p, ':') || !take_int(p, 2, 0, 59, &minutes))
        return false;
    *ret_offset = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

/* False when the time is outside of what 64 bits of nanoseconds hold (1677 to 2262). */
static bool civil_to_time(const struct civil *c, int offset, int64_t *ret) {
    int seconds = c->hour * 3600 + c->minute * 60 + c->second - offset;
    int64_t sec = clock_days(c->year, c->month, c->day) * 86400 + seconds;
    int64_t t;
    if (__builtin_mul_overflow(sec, NSEC_PER_SEC, &t) || __builtin_add_overflow(t, (int64_t)c->nsec, &t))
        return false;
    *ret = t;
    return true;
}

/* "15:04:05[.5]". */
static bool take_time(const char **p, struct civil *c) {
    return take_int(p, 2, 0, 23, &c->hour) && take_char(p, ':') && take_int(p, 2, 0, 59, &c->minute) &&
           take_char(p, ':') && take_int(p, 2, 0, 60, &c->second) && take_fraction(p, &c->nsec);
}

static bool parse_rfc3339(const char *s, int64_t *ret) {
    struct civil c = {0};
    int offset;
    const char *p = s;
    if (!take_date(&p, &c) || (*p != 'T' && *p != 't' && *p != ' '))
        return false;
    p++;
    if (!take_time(&p, &c) || !take_zone(&p, &offset) || *p)
        return false;
    if (c.year == 1 && c.month == 1 && c.day == 1) {
        *ret = 0; /* docker's zero time */
        return true;
    }
    return civil_to_time(&c, offset, ret);
}

struct err *clock_parse_rfc3339(const char *s, int64_t *ret) {
    if (!parse_rfc3339(s, ret))
        return err_new(ERR_USAGE, "invalid time: %s", s);
    return NULL;
}

static const struct {
    const char *name;
    int64_t nsec;
} units[] = {
    {"ns", 1},       {"us", 1000},        {"\xc2\xb5s", 1000},      {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", NSEC_PER_SEC}, {"m", 60 * NSEC_PER_SEC}, {"h", 3600 * NSEC_PER_SEC},
};

/* The unit at *p, 0 when there is none. It ends where digits or a dot begin. */
static int64_t take_unit(const char **p) {
    size_t n = strcspn(*p, "0123456789.");
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, *p, n) == 0) {
            *p += n;
            return units[i].nsec;
        }
    return 0;
}

enum term { TERM_OK, TERM_BAD, TERM_UNIT };

/* One "1.5h". TERM_BAD when malformed or beyond 64 bits, TERM_UNIT when *p stands where a unit should. */
static enum term take_term(const char **p, uint64_t *sum) {
    uint64_t whole = 0, fraction = 0, scale = 1, part;
    int digits = 0;
    for (; is_digit(**p); (*p)++, digits++)
        if (__builtin_mul_overflow(whole, 10U, &whole) || __builtin_add_overflow(whole, (uint64_t)(**p - '0'), &whole))
            return TERM_BAD;
    if (take_char(p, '.'))
        for (; is_digit(**p); (*p)++, digits++)
            if (scale < 1000000000000ULL) {
                fraction = fraction * 10 + (uint64_t)(**p - '0');
                scale *= 10;
            }
    if (!digits)
        return TERM_BAD;
    int64_t unit = take_unit(p);
    if (!unit)
        return TERM_UNIT;
    if (__builtin_mul_overflow(whole, (uint64_t)unit, &whole))
        return TERM_BAD;
    part = (uint64_t)((__uint128_t)fraction * (uint64_t)unit / scale);
    if (__builtin_add_overflow(whole, part, &whole) || __builtin_add_overflow(*sum, whole, sum))
        return TERM_BAD;
    return TERM_OK;
}

/* What was wrong, and, with TERM_UNIT, where. */
static enum term parse_duration(const char *s, int64_t *ret, const char **ret_at) {
    bool negative = *s == '-';
    const char *p = s + (*s == '-' || *s == '+');
    uint64_t sum = 0;
    enum term got = *p ? TERM_OK : TERM_BAD;
    if (strcmp(p, "0") == 0)
        p++;
    while (*p && got == TERM_OK)
        got = take_term(&p, &sum);
    *ret_at = p;
    if (sum > (uint64_t)INT64_MAX)
        return TERM_BAD;
    *ret = negative ? -(int64_t)sum : (int64_t)sum;
    return got;
}

/* Go's words for what time.ParseDuration does not take. */
static struct err *bad_duration(const char *s, enum term problem, const char *at) {
    int n = problem == TERM_UNIT ? (int)strcspn(at, "0123456789.") : 0;
    struct err *e;
    if (problem == TERM_UNIT && n == 0)
        e = err_new(ERR_USAGE, "time: missing unit in duration \"%s\"", s);
    else if (problem == TERM_UNIT)
        e = err_new(ERR_USAGE, "time: unknown unit \"%.*s\" in duration \"%s\"", n, at, s);
    else
        e = err_new(ERR_USAGE, "time: invalid duration \"%s\"", s);
    return err_hint(e, "write for example '90s', '1m30s' or '1h'");
}

struct err *clock_parse_duration(const char *s, int64_t *ret) {
    const char *at;
    int64_t d;
    enum term got = parse_duration(s, &d, &at);
    if (got != TERM_OK)
        return bad_duration(s, got, at);
    *ret = d;
    return NULL;
}

/* "2006-01-02[T15[:04[:05[.5]]]][zone]", local time without a zone. */
static bool parse_local(const char *s, int64_t *ret) {
    struct civil c = {0};
    int offset;
    if (!take_date(&s, &c))
        return false;
    if (*s == 'T' || *s == ' ') {
        s++;
        if (!take_int(&s, 2, 0, 23, &c.hour))
            return false;
        if (take_char(&s, ':') && !take_int(&s, 2, 0, 59, &c.minute))
            return false;
        if (take_char(&s, ':') && (!take_int(&s, 2, 0, 60, &c.second) || !take_fraction(&s, &c.nsec)))
            return false;
    }
    if (*s)
        return take_zone(&s, &offset) && !*s && civil_to_time(&c, offset, ret);
    struct tm tm = {.tm_year = c.year - 1900,
                    .tm_mon = c.month - 1,
                    .tm_mday = c.day,
                    .tm_hour = c.hour,
                    .tm_min = c.minute,
                    .tm_sec = c.second,
                    .tm_isdst = -1};
    int64_t t;
    if (__builtin_mul_overflow((int64_t)mktime(&tm), NSEC_PER_SEC, &t))
        return false;
    *ret = t + c.nsec;
    return true;
}

static bool parse_unix(const char *s, int64_t *ret) {
    const char *dot = strchrnul(s, '.');
    autofree char *whole = mem_dupn(s, (size_t)(dot - s));
    int64_t sec;
    int nsec = 0;
    if (!str_to_i64(whole, 0, INT64_MAX / NSEC_PER_SEC - 1, &sec) || !take_fraction(&dot, &nsec) || *dot)
        return false;
    *ret = sec * NSEC_PER_SEC + nsec;
    return true;
}

struct err *clock_parse_since(const char *s, int64_t now, int64_t *ret) {
    int64_t d;
    const char *at;
    if (parse_unix(s, ret) || parse_rfc3339(s, ret) || parse_local(s, ret))
        return NULL;
    if (parse_duration(s, &d, &at) != TERM_OK || __builtin_sub_overflow(now, d, &d))
        return err_hint(err_new(ERR_USAGE, "failed to parse value as time or duration: \"%s\"", s),
                        "write a time as '2006-01-02T15:04:05', unix seconds, or a duration as '10m'");
    *ret = d;
    return NULL;
}
