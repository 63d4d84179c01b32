/* await: until a container is in a certain state. Its state.json is replaced at each change, which inotify tells. */
#include "engine/engine_int.h"
#include "engine/podman.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static const char *const words[] = {"created", "running", "paused",    "exited",
                                    "stopped", "healthy", "unhealthy", "removed"};

static struct err *check(const struct strv *conditions) {
    for (size_t i = 0; i < conditions->n; i++) {
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            known |= str_eq(conditions->v[i], words[k]);
        if (!known)
            return err_hint(err_new(ERR_USAGE, "unknown condition: %s", conditions->v[i]),
                            "one of created, running, paused, exited, stopped, healthy, unhealthy, removed");
    }
    return NULL;
}

static bool fulfils(const struct monitor_state *s, const struct strv *conditions) {
    bool alive = engine_state_alive(s);
    for (size_t i = 0; i < conditions->n; i++) {
        const char *c = conditions->v[i];
        if (str_eq(c, s->status) || (str_eq(c, "stopped") && !alive) || (alive && str_eq(c, s->health)))
            return true;
    }
    return false;
}

static struct err *next_change(int notify) {
    char events[4096];
    struct pollfd p = {.fd = notify, .events = POLLIN};
    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            return err_sys(errno, "poll");
    if (read(notify, events, sizeof events) < 0 && errno != EAGAIN)
        return err_sys(errno, "read events of a directory");
    return NULL;
}

static struct err *await(struct engine *e, const char *id, int notify, const struct strv *conditions, int *ret_code) {
    for (;;) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        struct err *gone = engine_container_load_id(e, id, &c);
        if (gone && err_kind(gone) == ERR_NOT_FOUND && strv_has(conditions, "removed")) {
            err_free(gone);
            return NULL;
        }
        TRY(gone);
        bool ended = !engine_state_alive(&c.state) && strcmp(c.state.status, "created") != 0;
        *ret_code = ended ? c.state.exit_code : -1;
        if (fulfils(&c.state, conditions))
            return NULL;
        TRY(next_change(notify));
    }
}

struct err *engine_container_await(struct engine *e, const char *name, const struct strv *conditions, int *ret_code) {
    char id[65];
    autofd int notify = -1;
    TRY(check(conditions));
    {
        autocontainer c = ENGINE_CONTAINER_INIT;
        TRY(engine_container_load(e, name, &c));
        memcpy(id, c.id, sizeof id);
        TRY(engine_watch_dir(c.dirfd, "a container", IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF,
                             &notify));
    }
    *ret_code = -1;
    return await(e, id, notify, conditions, ret_code);
}
