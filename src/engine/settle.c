/*
 * settle: what surrounds the life of a monitor. A container whose lock is held while its state says that it does not
 * run is being started or is ending: both take milliseconds, and whoever removes or starts it waits for the outcome
 * here. And the run directories of monitors that were killed.
 */
#include "engine/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The closing of the lock's file is told before the lock is free: a wait that was told too early ends after this. */
#define LOOK_AGAIN_MS 20

struct err *engine_watch_dir(int dirfd, const char *what, uint32_t mask, int *ret_fd) {
    autofree char *path = mem_printf("/proc/self/fd/%d", dirfd);
    autofd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0 || inotify_add_watch(fd, path, mask | IN_ONLYDIR) < 0)
        return err_hint(err_sys(errno, "watch %s", what), "raise fs.inotify.max_user_instances");
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *watch(int dirfd, int *ret_fd) {
    return engine_watch_dir(dirfd, "a container", IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVE_SELF, ret_fd);
}

static void wait_for_change(int notify) {
    char events[4096];
    struct pollfd p = {.fd = notify, .events = POLLIN};
    if (poll(&p, 1, LOOK_AGAIN_MS) > 0 && read(notify, events, sizeof events) < 0)
        log_debug("watching a container: %s", strerror(errno));
}

struct err *engine_container_await_change(const struct engine_container *c) {
    autofd int notify = -1;
    TRY(watch(c->dirfd, &notify));
    wait_for_change(notify);
    return NULL;
}

/* Free, whatever its state says: its lock is ours now. Alive: *ret_lock stays -1. The state is read when that is known.
 */
static struct err *look(struct engine *e, struct engine_container *c, bool *ret_settled, int *ret_lock) {
    autofd int lock = -1;
    struct err *busy = store_container_lock(e->store, c->id, false, &lock);
    if (busy && err_kind(busy) != ERR_IN_USE)
        return busy;
    err_free(busy);
    TRY(monitor_state_read(c->dirfd, &c->state));
    *ret_settled = lock >= 0 || engine_state_alive(&c->state);
    if (lock >= 0)
        *ret_lock = take_fd(&lock);
    return NULL;
}

struct err *engine_container_settle(struct engine *e, struct engine_container *c, int *ret_lock) {
    bool settled = false;
    autofd int notify = -1;
    TRY(look(e, c, &settled, ret_lock));
    if (!settled)
        TRY(watch(c->dirfd, &notify));
    while (!settled) {
        TRY(look(e, c, &settled, ret_lock));
        if (!settled)
            wait_for_change(notify);
    }
    return NULL;
}

/* ---- run directories ---- */

/* Its file "cgroup", where there is one, lists the cgroups of the container. */
static void remove_cgroups(int root, const char *id) {
    autofree char *path = mem_printf("%s/cgroup", id);
    autostr struct str text = STR_INIT_MAX(65536);
    autostrv struct strv paths = {.n = 0};
    bool there = false;
    autoerr unread = io_read_record(root, path, 65536, &text, &there);
    if (unread || !there)
        return;
    strv_split(&paths, str_c(&text), '\n');
    runtime_cgroup_remove(&paths);
}

/* The process that a file of a run directory names ("pid starttime"): *ret_pidfd, -1 when that is no more. False: it
 * names none. */
static bool find_process(int root, const char *id, const char *file, int *ret_pidfd) {
    autofree char *path = mem_printf("%s/%s", id, file);
    autofd int fd = -1;
    autostr struct str text = STR_INIT_MAX(128);
    autoerr none = fd_open_at(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd);
    autoerr bad = none ? NULL : io_read_all(fd, 127, file, &text);
    autostrv struct strv words = {.n = 0};
    strv_split(&words, str_c(&text), ' ');
    int64_t pid = 0, start = 0;
    if (none || bad || words.n != 2)
        return false;
    words.v[1][strcspn(words.v[1], "\n")] = '\0';
    if (!str_to_i64(words.v[0], 1, INT32_MAX, &pid) || !str_to_i64(words.v[1], 0, INT64_MAX, &start))
        return false;
    autofd int pidfd = -1;
    bool ended = false;
    autoerr gone = proc_open((pid_t)pid, (uint64_t)start, &pidfd);
    autoerr unknown = gone ? NULL : proc_wait_end(pidfd, 0, &ended); /* nobody may have reaped it */
    *ret_pidfd = gone || unknown || ended ? -1 : take_fd(&pidfd);
    return true;
}

/* The first process of a build's step, if it outlived the build. */
static void kill_orphan(int root, const char *id) {
    autofd int pidfd = -1;
    bool ended;
    if (!find_process(root, id, "init", &pidfd) || pidfd < 0)
        return;
    err_free(proc_signal(pidfd, SIGKILL));
    err_free(proc_wait_end(pidfd, 2 * NSEC_PER_SEC, &ended));
}

void engine_run_dir_remove(const struct engine *e, const char *id) {
    autofd int root = -1;
    autoerr none = fd_open_dir(AT_FDCWD, e->host->run_root, &root);
    if (none)
        return;
    kill_orphan(root, id);
    remove_cgroups(root, id);
    err_free(io_remove_tree(root, id));
}

static bool is_stale(int root, const char *id) {
    autofd int pidfd = -1;
    return find_process(root, id, "monitor", &pidfd) && pidfd < 0;
}

struct sweep {
    const struct engine *e;
    const struct strv *known;
    int root;
};

static struct err *sweep_one(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct sweep *s = ctx;
    if (strlen(name) == ID_LEN && !strv_has(s->known, name) && is_stale(s->root, name))
        engine_run_dir_remove(s->e, name);
    return NULL;
}

void engine_run_dirs_sweep(const struct engine *e, const struct strv *known) {
    struct sweep s = {.e = e, .known = known, .root = -1};
    autoerr none = fd_open_dir(AT_FDCWD, e->host->run_root, &s.root);
    autofd int root = s.root;
    if (!none)
        err_free(io_each_entry(root, sweep_one, &s));
}
