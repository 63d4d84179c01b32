/*
 * One container as the commands see it: found by name, loaded, and its state put right. A state.json that says
 * "running" while nobody holds the container's lock is what a killed monitor or a power cut left: it becomes "exited"
 * here, with code 137.
 */
#include "engine/engine_int.h"
#include "storage/check.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

bool engine_state_alive(const struct monitor_state *s) {
    return !strcmp(s->status, "running") || !strcmp(s->status, "paused") || !strcmp(s->status, "restarting");
}

/* Ends an init that outlived its monitor (it cleared its parent-death signal): nobody would ever see its exit. */
static void kill_orphan(const struct engine *e, const struct monitor_state *s) {
    if (s->pid <= 0 || !str_eq(s->boot_id, e->host->boot_id))
        return;
    autofd int pidfd = -1;
    autoerr gone = proc_open(s->pid, s->pid_start, &pidfd);
    if (gone)
        return;
    autoerr sent = proc_signal(pidfd, SIGKILL);
    bool ended = false;
    if (!sent)
        err_free(proc_wait_end(pidfd, 2 * NSEC_PER_SEC, &ended));
    log_debug("killed process %d that had lost its monitor", (int)s->pid);
}

/*
 * Takes the lock of a container that says it runs while nobody holds it; *ret_lock stays -1 when its monitor answers
 * (it has just started, then). The lock is shared, which does not look like a monitor's to another command that finds
 * the same and puts it right, too, and keeps a start away.
 */
static struct err *lock_stale(struct engine *e, struct engine_container *c, int *ret_lock) {
    autofd int fd = -1;
    TRY(fd_open_at(c->dirfd, "lock", O_RDONLY | O_CREAT | O_NOFOLLOW, 0600, &fd));
    for (;;) {
        bool got = false;
        TRY(io_try_lock(fd, IO_LOCK_SHARED, &got));
        TRY(monitor_state_read(c->dirfd, &c->state));
        if (got)
            *ret_lock = take_fd(&fd);
        if (got || !engine_state_alive(&c->state))
            return NULL;
        autofd int conn = -1;
        autoerr silent = monitor_connect(e->host, c->id, &conn);
        if (!silent)
            return NULL;
        TRY(engine_container_await_change(c));
    }
}

/* Rewrites a stale state under the container's lock. */
static struct err *refresh(struct engine *e, struct engine_container *c) {
    autofd int lock = -1;
    TRY(lock_stale(e, c, &lock));
    if (lock < 0 || !engine_state_alive(&c->state))
        return NULL;
    kill_orphan(e, &c->state);
    engine_run_dir_remove(e, c->id);
    bool rebooted = !str_eq(c->state.boot_id, e->host->boot_id);
    struct monitor_state s = c->state;
    memcpy(s.status, "exited", sizeof "exited");
    s.pid = 0;
    s.monitor_pid = 0;
    if (strcmp(c->state.status, "restarting") != 0) { /* that one had ended already */
        s.exit_code = rebooted ? 255 : 137;
        s.finished = clock_now();
    }
    if (*s.health)
        memcpy(s.health, "unhealthy", sizeof "unhealthy");
    const char *why = rebooted ? "the machine was restarted" : "its monitor was lost";
    memcpy(s.error, why, strlen(why) + 1);
    autoerr readonly = monitor_state_write(c->dirfd, &s);
    if (readonly)
        log_debug("container %s: cannot record that it has ended", c->id);
    c->state = s;
    const char *const attributes[] = {"exitCode", rebooted ? "255" : "137", NULL};
    if (!readonly)
        events_tell_container(e->host, c->summary, "die", attributes);
    return NULL;
}

/* A power cut before a new container was synced leaves something that nobody was told of: away with it. */
static struct err *drop_torn(struct store *s, const char *id) {
    bool torn = false;
    TRY(store_container_check_torn(s, id, &torn));
    if (!torn)
        return NULL;
    TRY(store_container_remove(s, id));
    return err_new(ERR_NOT_FOUND, "no such container: %s", id);
}

/* *ret_held: its lock is held, where that says more than its state. */
static struct err *read_records(const struct store *s, struct engine_container *c, bool *ret_held) {
    TRY(json_read_file(c->dirfd, "container.json", &c->summary));
    if (!json_str_value(json_get(c->summary, "Name")))
        return err_new(ERR_CORRUPT, "the record of container %.12s is damaged", c->id);
    TRY(monitor_state_read(c->dirfd, &c->state));
    /* what is being removed looks as if it had never been started */
    if (engine_state_alive(&c->state) || !strcmp(c->state.status, "created"))
        TRY(store_container_running(s, c->id, ret_held));
    return NULL;
}

struct err *engine_container_load_id(struct engine *e, const char *id, struct engine_container *ret) {
    struct store *s;
    bool held = false;
    TRY(engine_store(e, &s));
    autocontainer c = ENGINE_CONTAINER_INIT;
    memcpy(c.id, id, ID_LEN);
    TRY(store_container_open(s, id, &c.dirfd));
    autoerr bad = read_records(s, &c, &held);
    if (bad || !held) /* what runs is whole */
        TRY(drop_torn(s, id));
    TRY(take_ptr(&bad));
    if (engine_state_alive(&c.state) && !held)
        TRY(refresh(e, &c));
    *ret = c;
    c = (struct engine_container)ENGINE_CONTAINER_INIT;
    return NULL;
}

struct err *engine_container_load(struct engine *e, const char *name, struct engine_container *ret) {
    struct store *s;
    TRY(engine_store(e, &s));
    char id[65] = "";
    TRY(store_container_find(s, name, id));
    return engine_container_load_id(e, id, ret);
}

struct err *engine_container_unless_gone(struct engine *e, const struct engine_container *c, struct err *take_err) {
    autofd int still = -1;
    if (!take_err || err_kind(take_err) != ERR_NOT_FOUND)
        return take_err;
    struct err *gone = store_container_open(e->store, c->id, &still);
    if (!gone)
        return take_err;
    err_free(take_err);
    return gone;
}

struct err *engine_container_record(struct engine *e, const struct engine_container *c, const char *file,
                                    struct json **ret) {
    return engine_container_unless_gone(e, c, json_read_file(c->dirfd, file, ret));
}

void engine_container_done(struct engine_container *c) {
    fd_close(c->dirfd);
    c->dirfd = -1;
    json_free(c->summary);
    c->summary = NULL;
}

const char *engine_container_name(const struct engine_container *c) {
    const char *n = json_str_value(json_get(c->summary, "Name"));
    if (n && *n == '/')
        n++;
    return n ? n : c->id;
}

struct err *engine_container_facts(struct engine *e, const char *name, struct engine_container_facts *ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    *ret = (struct engine_container_facts){
        .running = engine_state_alive(&c.state),
        .tty = json_bool_value(json_get(c.summary, "Tty"), false),
        .open_stdin = json_bool_value(json_get(c.summary, "OpenStdin"), false),
    };
    memcpy(ret->id, c.id, sizeof ret->id);
    return NULL;
}
