/* clock_int: the calendar, shared by formatting and parsing. Proleptic Gregorian, UTC, no libc (which reads zone
 * files). */
#pragma once

#include <stdint.h>

struct civil {
    int year, month, day, hour, minute, second;
    int nsec;
};

/* Splits a time. */
struct civil clock_to_civil(int64_t t);
/* Days from 1970-01-01 to a date; the month is 1..12. */
int64_t clock_days(int year, int month, int day);
