/*
 * clock: times and durations as docker writes and reads them. Times are nanoseconds since the epoch, UTC; 0 stands
 * for docker's zero time "0001-01-01T00:00:00Z". Durations are nanoseconds.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;
struct str;

#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)

/* CLOCK_REALTIME. */
int64_t clock_now(void);
/* CLOCK_BOOTTIME: for durations across suspend. */
int64_t clock_boot(void);
/* Appends RFC 3339 with nanoseconds, trailing zeros cut as Go's RFC3339Nano ("2026-01-02T03:04:05.123Z"); 0 gives
 * docker's zero time. */
void clock_format_rfc3339(int64_t t, struct str *out);
/* The log form: always nine decimals. */
void clock_format_log(int64_t t, struct str *out);
/* Appends "2 minutes ago", "About an hour ago" as docker's ps and images do. */
void clock_format_ago(int64_t t, int64_t now, struct str *out);
/* Appends "2 minutes", "Less than a second" (docker's HumanDuration). */
void clock_format_human(int64_t duration, struct str *out);
/* Appends a Go duration ("1m30s", "1.5s", "0s"). */
void clock_format_go(int64_t duration, struct str *out);
/* Parses RFC 3339 with optional fraction and zone. */
struct err *clock_parse_rfc3339(const char *s, int64_t *ret) __attribute__((warn_unused_result));
/* Parses a Go duration ("1h2m3.5s", "100ms"); overflow and missing units are usage errors. */
struct err *clock_parse_duration(const char *s, int64_t *ret) __attribute__((warn_unused_result));
/* Parses docker's --since/--until: RFC 3339, "2006-01-02[T15:04[:05]]" in local time, unix seconds[.frac], or a
 * duration before `now`. */
struct err *clock_parse_since(const char *s, int64_t now, int64_t *ret) __attribute__((warn_unused_result));
