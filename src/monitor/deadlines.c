/* deadlines: the set itself. Pure. */
#include "monitor/deadlines_int.h"

#include <stddef.h>

static enum deadline earliest(const struct deadlines *d) {
    enum deadline found = DEADLINES;
    for (unsigned i = 0; i < DEADLINES; i++)
        if (d->at[i] && (found == DEADLINES || d->at[i] < d->at[found]))
            found = (enum deadline)i;
    return found;
}

int64_t deadlines_next(const struct deadlines *d) {
    enum deadline next = earliest(d);
    return next == DEADLINES ? 0 : d->at[next];
}

enum deadline deadlines_due(struct deadlines *d, int64_t now) {
    enum deadline next = earliest(d);
    if (next == DEADLINES || d->at[next] > now)
        return DEADLINES;
    d->at[next] = 0;
    return next;
}
