/*
 * restart_int: docker's restart policies as a decision without side effects; again.c carries it out.
 *
 * The delay before a start is 100 ms, doubled for every restart up to a minute, and 100 ms again for a container that
 * ran for ten seconds. What a user ended stays so, whatever the policy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "monitor/monitor.h"

struct restart {
    struct monitor_restart policy;
    int count;     /* restarts since a user started it */
    int64_t delay; /* before the last one, ns; 0: there was none */
};
/* Whether a container that ended with `code` after `ran` ns is to be started again: counts it, and *ret_delay is how
 * long to wait. */
bool restart_wanted(struct restart *r, int code, int64_t ran, int64_t *ret_delay);
/* Counts one, whatever the policy. Returns how long to wait. */
int64_t restart_count(struct restart *r, int64_t ran);
