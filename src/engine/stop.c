/* Ending and waiting: stop, kill, restart, wait, remove, rename. Signals go through the monitor, which may send
 * them to any user of the container. */
#include "engine/engine_int.h"
#include "engine/volumes_int.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

/* The number of the signal a user named, or of the container's own stop signal. */
static struct err *stop_signal(const struct engine_container *c, const char *given, int *ret) {
    const char *own = json_str_value(json_get(c->summary, "StopSignal"));
    const char *text = given ? given : own && *own ? own : "SIGTERM";
    return proc_signal_parse(text, ret);
}

/* Who asks for its name from now on is told that there is none. */
static void network_ended(const struct engine *e, const struct engine_container *c) {
    if (json_bool_value(json_get(c->summary, "Networked"), false))
        net_ended(e->host, c->id);
}

struct err *engine_container_stop(struct engine *e, const char *name, const char *signal, int timeout_s,
                                  bool *ret_at_once) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    int signo = SIGTERM, code = 0;
    TRY(stop_signal(&c, signal, &signo));
    if (!engine_state_alive(&c.state))
        return NULL;
    int timeout = timeout_s == -2 ? -1 : timeout_s;
    if (timeout_s == -1) {
        int64_t own = json_int_value(json_get(c.summary, "StopTimeout"), -1);
        timeout = own >= 0 ? (int)own : 10;
    }
    bool at_once = false;
    struct err *r = monitor_stop(e->host, c.id, signo, timeout, &code, &at_once);
    if (r && err_kind(r) == ERR_NOT_FOUND) { /* it ended by itself meanwhile */
        err_free(r);
        r = NULL;
    }
    if (ret_at_once)
        *ret_at_once = at_once;
    if (!r) {
        network_ended(e, &c);
        events_tell_container(e->host, c.summary, "stop", NULL);
    }
    return r;
}

struct err *engine_container_restart(struct engine *e, const char *name, const char *signal, int timeout_s) {
    TRY(engine_container_stop(e, name, signal, timeout_s, NULL));
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    const struct engine_start start = {.attach = false};
    TRY(engine_container_start(e, c.id, &start, NULL));
    events_tell_container(e->host, c.summary, "restart", NULL);
    return NULL;
}

struct err *engine_container_kill(struct engine *e, const char *name, const char *signal) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    int signo = SIGKILL;
    if (signal)
        TRY(proc_signal_parse(signal, &signo));
    bool alive = engine_state_alive(&c.state);
    autoerr unheard = alive ? monitor_kill(e->host, c.id, signo) : NULL;
    if (!alive || (unheard && err_kind(unheard) == ERR_NOT_FOUND))
        return err_new(ERR_CONFLICT, "cannot kill container: %s: container %s is not running", name, c.id);
    TRY(take_ptr(&unheard));
    int own = SIGTERM;
    err_free(stop_signal(&c, NULL, &own));
    if (signo == own && !strcmp(c.state.status, "paused")) /* as docker: who is to end must run */
        err_free(monitor_unpause(e->host, c.id));
    if (signo != SIGKILL)
        return NULL;
    int code = 0;
    err_free(monitor_wait(e->host, c.id, &code));
    network_ended(e, &c);
    return NULL;
}

/* The code of a container without a monitor; one that was removed (--rm) meanwhile still has its record, for us. */
static int code_of_ended(struct engine *e, struct engine_container *c) {
    autofd int lock = -1;
    autocontainer again = ENGINE_CONTAINER_INIT;
    autoerr removed = engine_container_settle(e, c, &lock);
    fd_replace(&lock, -1);
    autoerr unread = removed ? NULL : engine_container_load_id(e, c->id, &again);
    return removed || unread ? c->state.exit_code : again.state.exit_code;
}

struct err *engine_container_wait(struct engine *e, const char *name, int *ret_code) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    int code = c.state.exit_code;
    if (engine_state_alive(&c.state)) {
        struct err *r = monitor_wait(e->host, c.id, &code);
        if (r && err_kind(r) != ERR_NOT_FOUND)
            return r;
        if (r) { /* ended between our look and the question, or its monitor was lost */
            err_free(r);
            code = code_of_ended(e, &c);
        }
    }
    *ret_code = code;
    return NULL;
}

static struct err *kill_for_removal(struct engine *e, const struct engine_container *c, bool force) {
    if (!engine_state_alive(&c->state))
        return NULL;
    if (!force && !strcmp(c->state.status, "paused"))
        return err_hint(err_new(ERR_CONFLICT,
                                "cannot remove container \"/%s\": container is paused and must be unpaused first",
                                engine_container_name(c)),
                        "run 'coracle rm -f %s'", engine_container_name(c));
    if (!force)
        return err_hint(
            err_new(
                ERR_CONFLICT,
                "cannot remove container \"/%s\": container is %s: stop the container before removing or force remove",
                engine_container_name(c), c->state.status),
            "run 'coracle rm -f %s'", engine_container_name(c));
    int code = 0;
    struct err *r = monitor_kill(e->host, c->id, SIGKILL);
    if (!r)
        r = monitor_wait(e->host, c->id, &code);
    if (r && err_kind(r) != ERR_NOT_FOUND)
        return r;
    err_free(r);
    network_ended(e, c);
    return NULL;
}

/* Until the container is nobody's, and *ret_lock ours: it may be started, by somebody else, while we end it. */
static struct err *free_for_removal(struct engine *e, struct engine_container *c, bool force, int *ret_lock) {
    while (*ret_lock < 0) {
        TRY(kill_for_removal(e, c, force));
        TRY(engine_container_settle(e, c, ret_lock));
    }
    return NULL;
}

/* One whose record cannot be read: all that is known is its id, and whether a monitor holds it. Takes the error of its
 * load. */
static struct err *remove_damaged(struct engine *e, const char *name, struct err *take_damage) {
    autoerr damage = take_damage;
    char id[65] = "";
    autofd int lock = -1;
    autoerr lost = e->store ? store_container_find(e->store, name, id) : NULL;
    if (lost || !*id)
        return take_ptr(&damage);
    err_free(monitor_kill(e->host, id, SIGKILL));
    TRY(store_container_lock(e->store, id, true, &lock));
    engine_run_dir_remove(e, id);
    TRY(store_container_remove(e->store, id));
    fd_replace(&lock, -1);
    engine_collect_later(e, false);
    return NULL;
}

struct err *engine_container_remove(struct engine *e, const char *name, bool force, bool volumes) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    struct err *r = engine_container_load(e, name, &c);
    if (r && force)
        return remove_damaged(e, name, r);
    TRY(r);
    autofd int lock = -1;
    r = free_for_removal(e, &c, force, &lock);
    if (!r) {
        engine_run_dir_remove(e, c.id);
        r = store_container_remove(e->store, c.id);
        if (!r)
            events_tell_container(e->host, c.summary, "destroy", NULL);
        if (!r && (volumes || json_bool_value(json_get(c.summary, "AutoRemove"), false)))
            volumes_drop(e, c.summary);
    }
    if (r && err_kind(r) == ERR_NOT_FOUND && json_bool_value(json_get(c.summary, "AutoRemove"), false)) {
        err_free(r); /* its monitor was quicker */
        r = NULL;
    }
    fd_replace(&lock, -1);
    engine_collect_later(e, false);
    return r;
}

struct err *engine_container_rename(struct engine *e, const char *name, const char *new_name) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    const char *bare = *new_name == '/' ? new_name + 1 : new_name;
    if (!id_name_ok(bare))
        return err_new(ERR_USAGE, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", new_name);
    TRY(engine_container_unless_gone(e, &c, store_container_rename(e->store, c.id, bare)));
    autofree char *was = mem_printf("/%s", engine_container_name(&c));
    const char *const attributes[] = {"oldName", was, NULL};
    json_set_str(c.summary, "Name", bare);
    events_tell_container(e->host, c.summary, "rename", attributes);
    return NULL;
}
