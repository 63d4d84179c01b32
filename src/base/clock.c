/* clock: clocks and formatting; parsing is in clock_parse.c. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock_int.h"
#include "base/str.h"

static int64_t read_clock(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_now(void) { return read_clock(CLOCK_REALTIME); }
int64_t clock_boot(void) { return read_clock(CLOCK_BOOTTIME); }

/* The year is taken to begin in March, so that the leap day is its last; 400 years are 146097 days. */
int64_t clock_days(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct civil clock_to_civil(int64_t t) {
    int64_t sec = t / NSEC_PER_SEC, nsec = t % NSEC_PER_SEC;
    if (nsec < 0) {
        nsec += NSEC_PER_SEC;
        sec--;
    }
    int64_t days = sec / 86400, rest = sec % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (struct civil){.year = (int)(yoe + era * 400 + (month <= 2)),
                          .month = month,
                          .day = (int)(doy - (153 * mp + 2) / 5 + 1),
                          .hour = (int)(rest / 3600),
                          .minute = (int)(rest / 60 % 60),
                          .second = (int)(rest % 60),
                          .nsec = (int)nsec};
}

static void format_seconds(int64_t t, struct str *out, int *ret_nsec) {
    struct civil c = t ? clock_to_civil(t) : (struct civil){.year = 1, .month = 1, .day = 1};
    str_appendf(out, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day, c.hour, c.minute, c.second);
    *ret_nsec = c.nsec;
}

/* ".5" for 500000000 of 9 digits; nothing for 0. */
static void format_fraction(int64_t value, int width, struct str *out) {
    if (!value)
        return;
    while (value % 10 == 0) {
        value /= 10;
        width--;
    }
    str_appendf(out, ".%0*lld", width, (long long)value);
}

void clock_format_rfc3339(int64_t t, struct str *out) {
    int nsec;
    format_seconds(t, out, &nsec);
    format_fraction(nsec, 9, out);
    str_append_c(out, 'Z');
}

void clock_format_log(int64_t t, struct str *out) {
    int nsec;
    format_seconds(t, out, &nsec);
    str_appendf(out, ".%09dZ", nsec);
}

/* Thresholds and wording of docker's units.HumanDuration. */
void clock_format_human(int64_t duration, struct str *out) {
    const int64_t day = 24; /* hours */
    int64_t sec = duration / NSEC_PER_SEC, min = sec / 60;
    int64_t hours = (sec + 1800) / 3600; /* docker rounds hours, and cuts all else */
    if (sec < 1)
        str_append(out, "Less than a second");
    else if (sec == 1)
        str_append(out, "1 second");
    else if (sec < 60)
        str_appendf(out, "%lld seconds", (long long)sec);
    else if (min == 1)
        str_append(out, "About a minute");
    else if (min < 60)
        str_appendf(out, "%lld minutes", (long long)min);
    else if (hours == 1)
        str_append(out, "About an hour");
    else if (hours < 2 * day)
        str_appendf(out, "%lld hours", (long long)hours);
    else if (hours < 14 * day)
        str_appendf(out, "%lld days", (long long)(hours / day));
    else if (hours < 60 * day)
        str_appendf(out, "%lld weeks", (long long)(hours / day / 7));
    else if (hours < 730 * day)
        str_appendf(out, "%lld months", (long long)(hours / day / 30));
    else
        str_appendf(out, "%lld years", (long long)(hours / day / 365));
}

void clock_format_ago(int64_t t, int64_t now, struct str *out) {
    int64_t d;
    if (__builtin_sub_overflow(now, t, &d)) /* an image may claim any year */
        d = t < 0 ? INT64_MAX : INT64_MIN;
    clock_format_human(d, out);
    str_append(out, " ago");
}

void clock_format_go(int64_t duration, struct str *out) {
    uint64_t u = duration < 0 ? 0 - (uint64_t)duration : (uint64_t)duration;
    if (duration < 0)
        str_append_c(out, '-');
    if (!u) {
        str_append(out, "0s");
    } else if (u < 1000) {
        str_appendf(out, "%lluns", (unsigned long long)u);
    } else if (u < 1000000) {
        str_appendf(out, "%llu", (unsigned long long)(u / 1000));
        format_fraction((int64_t)(u % 1000), 3, out);
        str_append(out, "\xc2\xb5s"); /* micro sign */
    } else if (u < 1000000000) {
        str_appendf(out, "%llu", (unsigned long long)(u / 1000000));
        format_fraction((int64_t)(u % 1000000), 6, out);
        str_append(out, "ms");
    } else {
        uint64_t sec = u / 1000000000;
        if (sec >= 3600)
            str_appendf(out, "%lluh", (unsigned long long)(sec / 3600));
        if (sec >= 60)
            str_appendf(out, "%llum", (unsigned long long)(sec / 60 % 60));
        str_appendf(out, "%llu", (unsigned long long)(sec % 60));
        format_fraction((int64_t)(u % 1000000000), 9, out);
        str_append_c(out, 's');
    }
}
