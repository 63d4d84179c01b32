/*
 * logclock_int: the time of log entries: that of the read that completed them, and never going backwards.
 */
#pragma once

#include <stdint.h>

#include "base/clock.h"

/* *last is the newest time used; returns the next. */
static inline int64_t logclock_next(int64_t *last) {
    int64_t now = clock_now();
    if (now > *last)
        *last = now;
    return *last;
}
