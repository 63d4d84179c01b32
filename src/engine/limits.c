/* Pausing and unpausing: the monitor's work; here are docker's words for when there is nothing to do. */
#include "engine/limits.h"

#include <string.h>

#include "engine/engine_int.h"

/* Who asks a monitor that has ended meanwhile hears that the container does not run. */
static struct err *ended(struct err *take_err, const char *id) {
    if (!take_err || err_kind(take_err) != ERR_NOT_FOUND)
        return take_err;
    err_free(take_err);
    return engine_err_not_running(id);
}

struct err *engine_container_pause(struct engine *e, const char *name) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (!engine_state_alive(&c.state))
        return engine_err_not_running(c.id);
    if (!strcmp(c.state.status, "restarting"))
        return err_new(ERR_CONFLICT, "container %s is restarting, wait until the container is running", c.id);
    return ended(monitor_pause(e->host, c.id), c.id);
}

struct err *engine_container_unpause(struct engine *e, const char *name) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (strcmp(c.state.status, "paused") != 0)
        return err_new(ERR_CONFLICT, "container %s is not paused", c.id);
    return ended(monitor_unpause(e->host, c.id), c.id);
}
