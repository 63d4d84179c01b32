/*
 * Starting: the container's lock, its plan, one fork for the monitor, and, in the foreground, the caller's end of its
 * stdio.
 *
 *     CLI (plain user)                         monitor (forked, keeps the lock)
 *     lock, read config, plan, sockets ──fork──▶ user namespace, namespaces, mounts, exec
 *     waits on the sync socket        ◀──line──  {"started":true} or {"error":…}
 *     pumps frames until FRAME_EXIT   ◀──frames─ output, exit code; then the monitor cleans up alone
 */
#include "engine/engine_int.h"
#include "engine/labels_int.h"
#include "engine/volumes_int.h"

#include "base/logout.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct starting {
    struct engine *engine;
    struct engine_container c;
    struct json *config;
    struct rootfs_plan plan;
    struct id_map ids; /* its own, if any */
    int lock_fd;
    int sync[2], client[2]; /* ours, the monitor's */
    pid_t monitor;
    char *init_program;
    bool unsynced;  /* its record may still be in memory only */
    bool networked; /* it has got its network */
    bool again;     /* in the monitor: it has started before */
    bool on_host;   /* it does without one: this machine has none (fallback.c) */
    struct endpoints net;
    int neighbour; /* directory of the container whose network it shares, or -1 */
    struct monitor m;
};

static void starting_done(struct starting *s) {
    engine_container_done(&s->c);
    json_free(s->config);
    rootfs_plan_done(&s->plan);
    fd_close(s->neighbour);
    fd_close(s->lock_fd);
    for (int i = 0; i < 2; i++) {
        fd_close(s->sync[i]);
        fd_close(s->client[i]);
    }
    for (int i = 0; i < s->m.n_join; i++)
        fd_close(s->m.join[i].fd);
    for (int i = 0; i < 3; i++)
        fd_close(s->m.stdio[i]);
    strmap_done(&s->m.log.opts);
    free(s->init_program);
}

/* container.json, kept until somebody frees it. False: it is gone, and the container with it. */
static bool read_summary(struct starting *s) {
    if (!s->c.summary)
        err_free(json_read_file(s->m.dir_fd, "container.json", &s->c.summary));
    return s->c.summary;
}

/*
 * A --rm container goes in two steps, both in its monitor: its name and directory disappear before anybody is told the
 * exit code, so that the name is free for the next command; the tree is deleted when everybody has gone. The store is
 * opened anew: the fork closed it.
 */
static void container_vanishes(void *ctx) {
    struct starting *s = ctx;
    read_summary(s); /* while it is there */
    s->engine->store = NULL;
    if (s->m.network && !s->networked) /* it did not start, and the starter may have another way */
        return;
    struct store *store;
    autoerr bad = engine_store(s->engine, &store);
    autoerr removed = bad ? NULL : store_container_remove(store, s->c.id);
    if (bad || removed) {
        log_debug("removing container %s failed; the next command will do it", s->c.id);
        return;
    }
    events_tell_container(s->engine->host, s->c.summary, "destroy", NULL);
    volumes_drop(s->engine, s->c.summary);
}

/* Gone from wherever it is mounted, in all namespaces. */
static void remove_mount_dir(const struct starting *s) {
    if (s->plan.exclusive && unlinkat(s->m.dir_fd, ENGINE_MOUNT_DIR, AT_REMOVEDIR) < 0)
        log_debug("the mount point of container %.12s stays: %m", s->c.id);
}

/*
 * The start is told from what the start itself has read. From then on the record is read each time, as the container
 * may have been renamed, and a monitor keeps no copy, except between the end of a --rm container and its removal. Its
 * networks are joined and left with its start and its end.
 */
static void container_event(void *ctx, const char *action, const char *const *attributes) {
    struct starting *s = ctx;
    autostr struct str batch = STR_INIT;
    bool start = !strcmp(action, "start"), die = !strcmp(action, "die");
    if (start)
        remove_mount_dir(s); /* before the starter hears of it, and mounts it again */
    if (!read_summary(s) || json_get(s->c.summary, ENGINE_UNSEEN))
        return;
    if (start) {
        endpoints_tell(s->m.dir_fd, s->c.id, "connect", &batch);
        volumes_tell(s->c.summary, s->c.id, "mount", &batch);
    }
    events_add_container(&batch, s->c.summary, action, attributes);
    if (die) {
        endpoints_tell(s->m.dir_fd, s->c.id, "disconnect", &batch);
        volumes_tell(s->c.summary, s->c.id, "unmount", &batch);
    }
    events_write(s->engine->host, &batch);
    if (!start && !(die && s->m.vanish)) /* the start's own is container_started's */
        json_free(take_ptr(&s->c.summary));
}

/* The monitor lives long; what described the start to it does not. */
static void container_started(void *ctx) {
    struct starting *s = ctx;
    rootfs_plan_done(&s->plan);
    json_free(take_ptr(&s->c.summary));
    free(take_ptr(&s->init_program));
    strmap_done(&s->m.log.opts);
    s->m.name = s->m.init_program = NULL;
    s->m.log.driver = s->m.log.tag = s->m.log.image = NULL;
    s->m.log.attrs = NULL;
    s->m.rootfs = NULL;
}

/* What a start makes of container.json and config.json; `s->c.dirfd` is the container's directory. */
static struct err *prepare_start(struct starting *s);

/*
 * For the next run, in the monitor: where the first start took its plan from memory, everything is read again, so that
 * what was renamed, connected or updated meanwhile holds.
 */
static struct err *container_again(void *ctx) {
    struct starting *s = ctx;
    struct store *store;
    struct monitor *m = &s->m;
    m->prepare = NULL;
    s->config = NULL; /* the monitor's, which freed it */
    s->c.dirfd = m->dir_fd;
    s->neighbour = -1;
    s->again = true;
    m->n_join = 0;
    s->engine->store = NULL; /* the fork closed it */
    TRY(engine_store(s->engine, &store));
    json_free(take_ptr(&s->c.summary));
    rootfs_plan_done(&s->plan);
    TRY(json_read_file(m->dir_fd, "container.json", &s->c.summary));
    struct err *e = prepare_start(s);
    remove_mount_dir(s); /* nobody is there who could be told to unmount it */
    fd_replace(&s->neighbour, -1);
    fd_replace(&m->userns_fd, -1);
    store_free(take_ptr(&s->engine->store));
    return e;
}

static void container_ended(void *ctx, const struct monitor_exit *x) {
    (void)x;
    const struct starting *s = ctx;
    autoerr bad = s->engine->store ? store_collect(s->engine->store) : NULL;
    if (bad)
        log_debug("deleting container %s failed; the next command will do it", s->c.id);
}

static struct err *container_network(void *ctx, int netns_fd, int *ret_watch) {
    struct starting *s = ctx;
    s->net.host = s->engine->host;
    s->net.id = s->c.id;
    s->net.name = engine_container_name(&s->c);
    s->net.dirfd = s->m.dir_fd;
    TRY(endpoints_attach(&s->net, netns_fd, ret_watch));
    s->networked = true;
    return NULL;
}

static void container_network_event(void *ctx, int *watch) {
    struct starting *s = ctx;
    endpoints_event(&s->net, watch);
}

/* The image's files for new volumes, and the owners that were asked for: at the first start of all, as what a container
 * has emptied stays empty, and what it has given away is given away. Labels, at each that a command asks for. */
static struct err *container_prepare(void *ctx, int root) {
    const struct starting *s = ctx;
    if (!s->c.state.started) {
        TRY(volumes_fill(s->engine, s->m.config, root));
        TRY(volumes_give(s->engine, s->m.config, s->m.map, root));
    }
    return labels_put(s->engine, s->m.config, &s->plan);
}

static void container_network_end(void *ctx) {
    struct starting *s = ctx;
    endpoints_end(&s->net);
}

/* One of the files that docker makes for every container; the text travels in the spec. */
static struct err *write_host_file(const struct starting *s, const char *file, const char *annotation,
                                   const char *fallback) {
    const char *text = json_str_value(json_get(json_get(s->config, "annotations"), annotation));
    if (!text)
        text = fallback;
    if (!text)
        return NULL;
    return engine_host_file(s->c.dirfd, file, text);
}

/* As docker has it, who shares a network sees the names of the one that has it. */
static struct err *copy_host_file(const struct starting *s, const char *file) {
    autostr struct str text = STR_INIT_MAX(1 << 20);
    TRY(io_read_file(s->neighbour, file, 1 << 20, &text));
    return engine_host_file(s->c.dirfd, file, str_c(&text));
}

static struct err *write_host_files(const struct starting *s) {
    const char *hostname = json_str_value(json_get(s->config, "hostname"));
    autofree char *line = mem_printf("%s\n", hostname ? hostname : s->engine->host->hostname);
    TRY(write_host_file(s, "hostname", "", line));
    if (s->neighbour >= 0) {
        TRY(copy_host_file(s, "hosts"));
        return copy_host_file(s, "resolv.conf");
    }
    if (s->on_host)
        return endpoints_on_host(s->engine, s->c.dirfd);
    TRY(write_host_file(s, "hosts", SPEC_ANN_HOSTS, NULL));
    return write_host_file(s, "resolv.conf", SPEC_ANN_RESOLV, "");
}

/* ---- the monitor's parameters ---- */

/* What the driver passthrough hands over; docker has no such driver, the rules are podman's. */
static struct err *pass_stdio(struct starting *s, const struct engine_start *args) {
    const struct host *h = s->engine->host;
    if (args->attach)
        return err_hint(err_new(ERR_USAGE, "a container with the log driver passthrough cannot be attached to"),
                        "start it in the background: its output goes where coracle's own goes");
    if (h->stdin_tty || h->stdout_tty || h->stderr_tty) /* who has a terminal can type into it (TIOCSTI) */
        return err_hint(err_new(ERR_USAGE, "the log driver passthrough cannot be used on a terminal"),
                        "redirect input and output, or use another log driver");
    for (int fd = 0; fd < 3; fd++)
        TRY(fd_dup(fd, &s->m.stdio[fd]));
    return NULL;
}

static struct err *log_settings(struct starting *s, const struct engine_start *args) {
    struct monitor *m = &s->m;
    const struct json *summary = s->c.summary;
    m->log.driver = json_str_value(json_get(summary, "LogDriver"));
    m->log.attrs = json_get(summary, "LogAttrs");
    m->log.tag = json_str_value(json_get(summary, "LogTag"));
    m->log.image = json_str_value(json_get(summary, "ImageName"));
    TRY(json_get_strmap_opt(summary, "LogOpts", &m->log.opts));
    return str_eq(m->log.driver, "passthrough") ? pass_stdio(s, args) : NULL;
}

static struct err *prepare_start(struct starting *s) {
    struct monitor *m = &s->m;
    if (!s->config)
        TRY(engine_container_record(s->engine, &s->c, "config.json", &s->config));
    if (s->on_host)
        engine_config_host_network(s->config);
    TRY(engine_id_map(s->config, &s->ids, &m->map));
    TRY(share_namespaces(s->engine, s->config, s->again, m, &s->neighbour));
    TRY(write_host_files(s));
    TRY(engine_start_plan(s->engine, &s->c, s->config, &s->plan));
    if (!s->init_program)
        TRY(labels_init(s->engine, &s->c, s->config, s->again, &s->init_program));
    if (!s->init_program)
        s->init_program = mem_printf("%s/coracle-init", s->engine->host->libexec_dir);
    m->name = engine_container_name(&s->c);
    m->config = s->config;
    m->rootfs = &s->plan;
    m->init_program = s->init_program;
    return NULL;
}

static bool has_networks(const struct starting *s) {
    return json_bool_value(json_get(s->c.summary, "Networked"), false);
}

static void restart_policy(struct monitor *m, const struct json *policy) {
    int max = (int)json_int_value(json_get(policy, "MaximumRetryCount"), 0);
    if (!monitor_restart_named(json_str_value(json_get(policy, "Name")), max, &m->restart))
        m->restart = (struct monitor_restart){.kind = MONITOR_RESTART_NO};
}

static struct err *fill_monitor(struct starting *s, const struct engine_start *args) {
    const struct json *sum = s->c.summary;
    struct monitor *m = &s->m;
    m->id = s->c.id;
    m->host = s->engine->host;
    m->terminal = json_bool_value(json_get(sum, "Tty"), false);
    m->open_stdin = json_bool_value(json_get(sum, "OpenStdin"), false);
    m->stdin_once = json_bool_value(json_get(sum, "StdinOnce"), false);
    m->rows = args->rows;
    m->cols = args->cols;
    _Static_assert((int)ENGINE_PRESERVE_MAX == (int)RUNTIME_PRESERVE_MAX, "what may be asked for can be passed on");
    m->preserve_fds = args->preserve_fds;
    m->again = container_again;
    restart_policy(m, json_get(sum, "RestartPolicy"));
    if (json_bool_value(json_get(sum, "AutoRemove"), false)) {
        m->vanish = container_vanishes;
        m->ended = container_ended;
    }
    m->tied_fd = store_apart_hold(s->engine->store);
    m->tied_to = m->tied_fd >= 0 ? getpid() : 0;
    m->event = container_event;
    m->started = container_started;
    m->prepare = s->c.state.started && !json_get(sum, "MountLabel") ? NULL : container_prepare;
    bool networks = has_networks(s) && !s->on_host;
    m->network = networks ? container_network : NULL;
    m->network_event = networks ? container_network_event : NULL;
    m->network_end = networks ? container_network_end : NULL;
    m->ctx = s;
    return log_settings(s, args);
}

/* The user namespace, held open here until the container lives: who starts meanwhile finds it by us. */
static struct err *hold_userns(struct starting *s) {
    int fd;
    if (s->m.userns_fd >= 0)
        return NULL;
    TRY(engine_userns(s->engine, &fd, NULL));
    return fd_dup(fd, &s->m.userns_fd);
}

/* The hand-over: the child takes every descriptor of the monitor's and never comes back. */
static struct err *fork_monitor(struct starting *s, const struct engine_start *args) {
    TRY(fd_socketpair(SOCK_STREAM, s->sync));
    if (args->attach)
        TRY(fd_socketpair(SOCK_STREAM, s->client));
    s->monitor = fork();
    if (s->monitor < 0)
        return err_sys(errno, "fork the monitor");
    if (s->monitor > 0)
        return NULL;
    struct monitor *m = &s->m;
    m->dir_fd = take_fd(&s->c.dirfd);
    m->lock_fd = take_fd(&s->lock_fd);
    m->sync_fd = take_fd(&s->sync[1]);
    m->first_client = take_fd(&s->client[1]);
    m->first_client_stdin = args->attach && args->io.in >= 0;
    monitor_main(m);
}

static struct err *await_start(struct starting *s) {
    automsg chan = msg_chan_new(take_fd(&s->sync[0]));
    autojson answer = NULL;
    TRY(msg_recv(chan, &answer, NULL, NULL));
    if (!answer)
        return err_new(ERR_SYSTEM, "the monitor of container %.12s ended before the container had started", s->c.id);
    return msg_err_of(answer);
}

static struct err *launch(struct starting *s, const struct engine_start *args) {
    TRY(prepare_start(s));
    TRY(fill_monitor(s, args));
    TRY(hold_userns(s));
    TRY(fork_monitor(s, args));
    fd_replace(&s->lock_fd, -1);
    fd_replace(&s->sync[1], -1);
    fd_replace(&s->client[1], -1);
    fd_replace(&s->m.userns_fd, -1);
    return await_start(s);
}

/* Where the helper of networks is in another user namespace than we have found or made, the container goes there. */
static struct err *prepare_network(const struct starting *s, struct net_prepared *ret) {
    int userns;
    TRY(engine_userns(s->engine, &userns, NULL));
    TRY(net_prepare(s->engine->host, userns, !runtime_userns_inside(), ret));
    return ret->userns < 0 ? NULL : engine_userns_move(s->engine, ret->userns, ret->in_userns);
}

/* The helper comes first: where it has to be started, that takes longer than all the rest. */
static struct err *start_locked(struct starting *s, const struct engine_start *args) {
    autoprepared helper = NET_PREPARED_INIT;
    if (has_networks(s))
        TRY(prepare_network(s, &helper));
    return launch(s, args);
}

/* What a start has opened and read. */
static void unprepare(struct starting *s) {
    for (; s->m.n_join; s->m.n_join--)
        fd_close(s->m.join[s->m.n_join - 1].fd);
    for (int i = 0; i < 3; i++)
        fd_replace(&s->m.stdio[i], -1);
    for (int i = 0; i < 2; i++) {
        fd_replace(&s->sync[i], -1);
        fd_replace(&s->client[i], -1);
    }
    fd_replace(&s->neighbour, -1);
    rootfs_plan_done(&s->plan);
    strmap_done(&s->m.log.opts);
    s->m.log.opts = (struct strmap){.n = 0};
    json_free(take_ptr(&s->config));
}

/* Where this machine has no networks. */
static struct err *start_on_host(struct starting *s, const struct engine_start *args, struct err *take_failed) {
    TRY(engine_fallback(s->engine, &s->c, take_failed));
    s->on_host = true;
    unprepare(s);
    fd_replace(&s->lock_fd, -1); /* ours, where no monitor had taken it over */
    TRY(store_container_lock(s->engine->store, s->c.id, true, &s->lock_fd));
    return launch(s, args);
}

/* A start that failed leaves the container "created" with the reason, or, with --rm, gone: here, where the monitor did
 * not live to do it. */
static void failed_start(struct starting *s) {
    if (!json_bool_value(json_get(s->c.summary, "AutoRemove"), false))
        return;
    fd_replace(&s->lock_fd, -1); /* ours, where no monitor had taken it over yet: waiting for it would be for ever */
    autofd int lock = -1;
    autoerr busy = store_container_lock(s->engine->store, s->c.id, true, &lock);
    autoerr bad = busy ? NULL : store_container_remove(s->engine->store, s->c.id);
    if (busy || bad)
        log_debug("container %s was already removed", s->c.id);
    else
        events_tell_container(s->engine->host, s->c.summary, "destroy", NULL);
    volumes_drop(s->engine, s->c.summary);
    engine_collect(s->engine, false);
}

/* Once a login: the run directory goes with the last logout. */
static void warn_of_logout(const struct host *h, pid_t monitor) {
    autofree char *told = path_join(h->run_root, "logout-told");
    enum logout_end end = access(told, F_OK) == 0 ? LOGOUT_LEAVES : logout_end("", h->user, h->uid, monitor);
    autofd int mark =
        end == LOGOUT_LEAVES ? -1 : open(told, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (mark >= 0)
        log_warn("systemd ends containers of this login when you log out (docs/boot); they stay with: %s",
                 logout_way_out(end));
}

/* With its lock in s->lock_fd. */
static struct err *start_and_attach(struct starting *s, const struct engine_start *args,
                                    struct monitor_io_result *ret) {
    if (args->attach)
        events_tell_container(s->engine->host, s->c.summary, "attach", NULL);
    struct err *failed = start_locked(s, args);
    if (failed && has_networks(s))
        failed = start_on_host(s, args, failed);
    if (failed)
        failed_start(s);
    if (s->unsynced) {
        autoerr lost = store_container_sync(s->engine->store, s->c.id);
        if (lost && err_kind(lost) != ERR_NOT_FOUND) /* removed already */
            log_warn("container %.12s may not outlive a power cut: it could not be synced", s->c.id);
    }
    TRY(failed);
    for (int i = 0; i < args->preserve_fds; i++) /* who reads a pipe's other end waits for all of its writers */
        fd_close(3 + i);
    if (!args->attach) {
        warn_of_logout(s->engine->host, s->monitor);
        return NULL;
    }
    struct monitor_io_result r = {.detached = false};
    TRY(monitor_io_attach(s->client[0], &args->io, &r));
    if (r.detached)
        events_tell_container(s->engine->host, s->c.summary, "detach", NULL);
    if (ret)
        *ret = r;
    return NULL;
}

#define STARTING_INIT(e)                                                                                               \
    {                                                                                                                  \
        .engine = (e), .c = ENGINE_CONTAINER_INIT, .lock_fd = -1, .neighbour = -1, .sync = {-1, -1},                   \
        .client = {-1, -1}, .net = ENDPOINTS_INIT, .m = {.userns_fd = -1, .tied_fd = -1, .stdio = {-1, -1, -1}},       \
    }

/* *ret_joined: it was alive already, and was attached to. */
static struct err *start_or_join(struct engine *e, const char *name, const struct engine_start *args,
                                 struct monitor_io_result *ret, bool *ret_joined) {
    struct starting s = STARTING_INIT(e);
    struct err *r = engine_container_load(e, name, &s.c);
    if (!r && !engine_state_alive(&s.c.state))
        r = engine_container_settle(e, &s.c, &s.lock_fd);
    if (!r && s.lock_fd < 0 && !strcmp(s.c.state.status, "paused"))
        r = err_new(ERR_CONFLICT, "cannot start a paused container, try unpause instead");
    if (!r && s.lock_fd < 0) { /* alive already, or by now */
        starting_done(&s);
        *ret_joined = args->attach;
        return args->attach ? engine_container_attach(e, name, &args->io, ret) : NULL;
    }
    if (!r)
        r = start_and_attach(&s, args, ret);
    starting_done(&s);
    return r;
}

struct err *engine_container_start(struct engine *e, const char *name, const struct engine_start *args,
                                   struct monitor_io_result *ret) {
    for (;;) {
        bool joined = false;
        struct err *r = start_or_join(e, name, args, ret, &joined);
        if (!r || !joined || err_kind(r) != ERR_CONFLICT)
            return r;
        err_free(r); /* whoever started it was quicker, and so was its end */
    }
}

struct err *engine_container_start_created(struct engine *e, struct engine_created *c, const struct engine_start *args,
                                           struct monitor_io_result *ret) {
    struct starting s = STARTING_INIT(e);
    memcpy(s.c.id, c->id, sizeof s.c.id);
    s.c.dirfd = take_fd(&c->dirfd);
    s.lock_fd = take_fd(&c->lock_fd);
    s.c.summary = take_ptr(&c->spec->summary);
    s.config = take_ptr(&c->spec->config);
    s.unsynced = !c->spec->rm && store_apart_hold(e->store) < 0;
    spec_free(take_ptr(&c->spec)); /* the fork would keep what is left of it as long as the container runs */
    struct err *r = start_and_attach(&s, args, ret);
    starting_done(&s);
    return r;
}

struct err *engine_container_attach(struct engine *e, const char *name, const struct monitor_io *io,
                                    struct monitor_io_result *ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (!engine_state_alive(&c.state))
        return err_new(ERR_CONFLICT, "cannot attach to a stopped container, start it first");
    if (!strcmp(c.state.status, "paused"))
        return err_new(ERR_CONFLICT, "cannot attach to a paused container, unpause it first");
    autofd int conn = -1;
    bool tty = false;
    struct err *bad = monitor_attach(e->host, c.id, io->in >= 0, io->out >= 0, io->err >= 0, &tty, &conn);
    if (bad && err_kind(bad) == ERR_NOT_FOUND) { /* ended just now */
        err_free(bad);
        return err_new(ERR_CONFLICT, "cannot attach to a stopped container, start it first");
    }
    TRY(bad);
    events_tell_container(e->host, c.summary, "attach", NULL);
    struct monitor_io with_tty = *io;
    with_tty.tty = tty;
    struct monitor_io_result r = {.detached = false};
    TRY(monitor_io_attach(conn, &with_tty, &r));
    if (r.detached)
        events_tell_container(e->host, c.summary, "detach", NULL);
    if (ret)
        *ret = r;
    return NULL;
}
