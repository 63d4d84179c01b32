/* pause: a container that stands still. state.json says so, and whoever ends it lets it go on first. A commit
 * holds it by a connection, so that it goes on when the commit has been killed, too. */
#include <string.h>

#include "base/err.h"
#include "monitor/monitor_int.h"

struct err *pause_hold(struct mon *o) {
    if (o->waiting)
        return err_new(ERR_CONFLICT, "container %s is restarting, wait until the container is running", o->m->id);
    if (o->paused)
        return NULL;
    TRY_CTX(runtime_freeze(&o->cgroup, o->proc.pid, &o->stopped), "cannot pause container %s", o->m->id);
    o->paused = true;
    o->until_released = true;
    struct err *unrecorded = mon_state_write(o, "paused", "");
    if (unrecorded)
        pause_over(o);
    else
        mon_tell(o, "pause", NULL);
    return unrecorded;
}

struct err *pause_begin(struct mon *o) {
    if (o->paused && !o->until_released)
        return err_new(ERR_CONFLICT, "container %s is already paused", o->m->id);
    TRY(pause_hold(o));
    o->until_released = false;
    return NULL;
}

struct err *pause_release(struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i] && o->clients[i]->state == CLIENT_HOLD)
            return NULL;
    return o->paused && o->until_released ? pause_end(o) : NULL;
}

struct err *pause_end(struct mon *o) {
    if (!o->paused)
        return err_new(ERR_CONFLICT, "container %s is not paused", o->m->id);
    TRY_CTX(runtime_thaw(&o->cgroup, o->proc.pid, &o->stopped), "cannot unpause container %s", o->m->id);
    o->paused = false;
    mon_tell(o, "unpause", NULL);
    return mon_state_write(o, "running", "");
}

void pause_over(struct mon *o) {
    if (o->paused)
        err_free(pause_end(o));
}

void pause_forget(struct mon *o) {
    if (o->paused)
        err_free(runtime_thaw(&o->cgroup, o->proc.pid, &o->stopped));
    o->paused = false;
}
