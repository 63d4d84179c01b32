/* Times and durations in docker's words and Go's formats. */
#include "unit.h"

#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

static char *show(void (*fn)(int64_t, struct str *), int64_t v) {
    autostr struct str s = STR_INIT;
    fn(v, &s);
    return str_take(&s);
}

static void check_show(void (*fn)(int64_t, struct str *), int64_t v, const char *want) {
    autofree char *got = show(fn, v);
    CHECK_STR(got, want);
}

static void test_rfc3339(void) {
    check_show(clock_format_rfc3339, 0, "0001-01-01T00:00:00Z");
    check_show(clock_format_rfc3339, 1, "1970-01-01T00:00:00.000000001Z");
    check_show(clock_format_rfc3339, INT64_C(1767323045123000000), "2026-01-02T03:04:05.123Z");
    check_show(clock_format_rfc3339, INT64_C(951782400) * NSEC_PER_SEC, "2000-02-29T00:00:00Z");
    check_show(clock_format_rfc3339, -NSEC_PER_SEC, "1969-12-31T23:59:59Z");
    check_show(clock_format_rfc3339, -1, "1969-12-31T23:59:59.999999999Z");
    check_show(clock_format_log, INT64_C(1767323045120000000), "2026-01-02T03:04:05.120000000Z");
    static const struct {
        const char *text;
        int64_t sec, nsec;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"2026-01-02T03:04:05.123Z", 1767323045, 123000000},
        {"2026-01-02T04:34:05+01:30", 1767323045, 0},
        {"2026-01-01T22:04:05.5-05:00", 1767323045, 500000000},
        {"2000-02-29T00:00:00.0000000019Z", 951782400, 1},
        {"0001-01-01T00:00:00Z", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t t = -7;
        CHECK_OK(clock_parse_rfc3339(good[i].text, &t));
        CHECK_INT(t, good[i].sec * NSEC_PER_SEC + good[i].nsec);
    }
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-13-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-01-02T24:00:00Z",
                                      "2026-01-02T03:04:05",
                                      "2026-01-02T03:04:05.Z",
                                      "2026-01-02T03:04:05Zx",
                                      "2026-1-2T03:04:05Z",
                                      "9999-01-01T00:00:00Z",
                                      "2026-01-02T03:04:05+0100"};
    int64_t t = 42;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(clock_parse_rfc3339(bad[i], &t), ERR_USAGE);
    CHECK_INT(t, 42);
}

/* Days of almost 600 years against libc. */
static void test_calendar(void) {
    for (int64_t day = -106700; day < 106700; day += 13) {
        time_t sec = (time_t)(day * 86400 + 3723);
        struct tm tm;
        gmtime_r(&sec, &tm);
        char want[64];
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
        check_show(clock_format_rfc3339, (int64_t)sec * NSEC_PER_SEC, want);
        int64_t back;
        CHECK_OK(clock_parse_rfc3339(want, &back));
        CHECK_INT(back, (int64_t)sec * NSEC_PER_SEC);
    }
}

static void test_human(void) {
    static const struct {
        int64_t sec;
        const char *text;
    } cases[] = {{0, "Less than a second"}, {1, "1 second"},           {45, "45 seconds"},
                 {59, "59 seconds"},        {60, "About a minute"},    {119, "About a minute"},
                 {120, "2 minutes"},        {3599, "59 minutes"},      {3600, "About an hour"},
                 {5399, "About an hour"},   {5400, "2 hours"},         {47 * 3600, "47 hours"},
                 {48 * 3600, "2 days"},     {13 * 86400, "13 days"},   {14 * 86400, "2 weeks"},
                 {59 * 86400, "8 weeks"},   {60 * 86400, "2 months"},  {729 * 86400, "24 months"},
                 {730 * 86400, "2 years"},  {3650 * 86400, "10 years"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_show(clock_format_human, cases[i].sec * NSEC_PER_SEC, cases[i].text);
    autostr struct str s = STR_INIT;
    clock_format_ago(100, 100 + 120 * NSEC_PER_SEC, &s);
    CHECK_STR(str_c(&s), "2 minutes ago");
}

static void test_durations(void) {
    static const struct {
        int64_t d;
        const char *text;
    } same[] = {{0, "0s"},
                {1, "1ns"},
                {1500, "1.5\xc2\xb5s"},
                {100 * NSEC_PER_MSEC, "100ms"},
                {1500 * NSEC_PER_MSEC, "1.5s"},
                {90 * NSEC_PER_SEC, "1m30s"},
                {3600 * NSEC_PER_SEC, "1h0m0s"},
                {-90 * NSEC_PER_SEC, "-1m30s"},
                {INT64_MAX, "2562047h47m16.854775807s"}};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        check_show(clock_format_go, same[i].d, same[i].text);
        int64_t d = -7;
        CHECK_OK(clock_parse_duration(same[i].text, &d));
        CHECK_INT(d, same[i].d);
    }
    int64_t d;
    CHECK_OK(clock_parse_duration("1h2m3.5s", &d));
    CHECK_INT(d, 3723 * NSEC_PER_SEC + 500 * NSEC_PER_MSEC);
    CHECK_OK(clock_parse_duration("0", &d));
    CHECK_OK(clock_parse_duration(".5s", &d));
    CHECK_INT(d, 500 * NSEC_PER_MSEC);
    CHECK_OK(clock_parse_duration("1us1ms", &d));
    CHECK_INT(d, 1001000);
    static const char *const bad[] = {"",         "1",
                                      "s",        "1d",
                                      "1h2",      "-",
                                      "+",        ".s",
                                      "1..5s",    "9223372036854775808ns",
                                      "2562048h", "99999999999999999999s",
                                      "1 s",      "1S",
                                      "- 1s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(clock_parse_duration(bad[i], &d), ERR_USAGE);
}

static void test_since(void) {
    int64_t now = INT64_C(1767323045) * NSEC_PER_SEC, t;
    CHECK_INT(setenv("TZ", "XXX-2", 1), 0); /* two hours east of UTC */
    tzset();
    CHECK_OK(clock_parse_since("10m", now, &t));
    CHECK_INT(t, now - 600 * NSEC_PER_SEC);
    CHECK_OK(clock_parse_since("1767323045", now, &t));
    CHECK_INT(t, now);
    CHECK_OK(clock_parse_since("1767323045.25", now, &t));
    CHECK_INT(t, now + NSEC_PER_SEC / 4);
    CHECK_OK(clock_parse_since("2026-01-02T05:04:05", now, &t));
    CHECK_INT(t, now);
    CHECK_OK(clock_parse_since("2026-01-02T05:04", now, &t));
    CHECK_INT(t, now - 5 * NSEC_PER_SEC);
    CHECK_OK(clock_parse_since("2026-01-02", now, &t));
    CHECK_INT(t, now - (5 * 3600 + 4 * 60 + 5) * NSEC_PER_SEC);
    CHECK_OK(clock_parse_since("2026-01-02T03:04:05Z", now, &t));
    CHECK_INT(t, now);
    static const char *const bad[] = {"", "yesterday", "2026-01-02T", "2026-01-02T05:04:05x", "1.2.3", "2026-01"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(clock_parse_since(bad[i], now, &t), ERR_USAGE);
}

UNIT_MAIN({"rfc3339", test_rfc3339}, {"calendar", test_calendar}, {"human", test_human}, {"durations", test_durations},
          {"since", test_since})
