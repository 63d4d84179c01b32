/*
 * deadlines_int: everything that a monitor does at a certain time, as one small set of which the earliest is next.
 *
 * Theory of operation. There is one slot for each kind of deadline, because no duty ever waits for two things of its
 * kind; a slot holds a time of CLOCK_BOOTTIME, or 0. With a handful of slots the smallest is found by looking at all.
 * The set knows no clock and no descriptor: timer.c keeps one timerfd, made when the first deadline is set, at
 * deadlines_next(), and when it fires takes deadlines_due() one by one. So a monitor without duties has no timer at
 * all, one with duties sleeps until the earliest of them, and none is ever woken for nothing.
 */
#pragma once

#include <stdint.h>

enum deadline {
    DEADLINE_STOP,    /* a stop turns into SIGKILL */
    DEADLINE_LOOK,    /* whether the signal of a stop, blocked when it was sent, has been dropped since */
    DEADLINE_TIMEOUT, /* --timeout */
    DEADLINE_RESTART, /* the next start */
    DEADLINE_HEALTH,  /* the next health check */
    DEADLINE_CHECK,   /* the health check that runs has had its time */
    DEADLINE_WATCH,   /* the next look at what memory is used */
    DEADLINES
};
struct deadlines {
    int64_t at[DEADLINES]; /* ns of CLOCK_BOOTTIME, 0: unset */
};
/* Sets one; what was set for its kind before is forgotten. 0 clears. */
static inline void deadlines_set(struct deadlines *d, enum deadline kind, int64_t at) { d->at[kind] = at; }
/* When the earliest is due, 0: there is none. */
int64_t deadlines_next(const struct deadlines *d);
/* Takes the earliest that is due at `now` out of the set; DEADLINES when none is. Of two at the same time the one whose
 * kind comes first. */
enum deadline deadlines_due(struct deadlines *d, int64_t now);
