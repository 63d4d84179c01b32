/* restart: the decision. Pure. */
#include "monitor/restart_int.h"

#include <string.h>

#include "base/clock.h"

#define FIRST (100 * NSEC_PER_MSEC)
#define LONGEST (60 * NSEC_PER_SEC)
#define RAN_WELL (10 * NSEC_PER_SEC)

bool monitor_restart_named(const char *name, int max, struct monitor_restart *ret) {
    static const char names[][16] = {"no", "on-failure", "always", "unless-stopped"};
    for (unsigned i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (struct monitor_restart){(enum monitor_restart_kind)i, max};
            return true;
        }
    return false;
}

int64_t restart_count(struct restart *r, int64_t ran) {
    if (ran >= RAN_WELL || !r->delay)
        r->delay = FIRST;
    else
        r->delay = r->delay < LONGEST / 2 ? r->delay * 2 : LONGEST;
    r->count++;
    return r->delay;
}

bool restart_wanted(struct restart *r, int code, int64_t ran, int64_t *ret_delay) {
    switch (r->policy.kind) {
    case MONITOR_RESTART_NO:
        return false;
    case MONITOR_RESTART_ON_FAILURE:
        if (code == 0 || (r->policy.max > 0 && r->count >= r->policy.max))
            return false;
        break;
    case MONITOR_RESTART_ALWAYS:
    case MONITOR_RESTART_UNLESS_STOPPED:
        break;
    }
    *ret_delay = restart_count(r, ran);
    return true;
}
