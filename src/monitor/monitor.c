/* monitor: from the fork to the loop. Each step is a function; the order is the story of monitor.h. */
#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "monitor/monitor_int.h"
#include "spec/spec.h"

/* ---- leaving the starter behind ---- */

static void close_inherited(const struct monitor *m) {
    int keep[9 + ARRAY_LEN(m->join) + RUNTIME_PRESERVE_MAX] = {m->dir_fd,       m->lock_fd,   m->sync_fd,
                                                               m->first_client, m->userns_fd, m->stdio[0],
                                                               m->stdio[1],     m->stdio[2],  m->tied_fd};
    size_t n = 9;
    for (int i = 0; i < m->n_join; i++)
        keep[n++] = m->join[i].fd;
    for (int fd = 3; fd < 3 + m->preserve_fds; fd++) {
        keep[n++] = fd;
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* not for the programs that we execute ourselves */
    }
    fd_null_stdio();
    fd_close_all_but(keep, n);
}

static void leave_starter(struct mon *o) {
    setsid();
    sys_signals_reset(); /* the container inherits them from here */
    close_inherited(o->m);
    if (chdir("/") < 0)
        return;
    umask(022);
    autofree char *title = mem_printf("coracle-mon %.12s", o->m->id);
    proc_title(title);
}

/* ---- own signals ---- */

/* Only once the container is cloned off. SIGXFSZ: a file size limit is a full disk, not a reason to die. */
static struct err *own_signals(struct mon *o) {
    static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM};
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    if (o->signal_fd >= 0)
        return NULL;
    o->signal_fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    if (o->signal_fd < 0 || !mon_watch(o, o->signal_fd, (union ref){.kind = REF_SIGNAL}, EPOLLIN))
        return err_sys(errno, "watch signals");
    return NULL;
}

/* ---- places ---- */

static struct err *make_run_dir(struct mon *o) {
    const char *root = o->m->host->run_root;
    autofd int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        if (mkdir(root, 0700) < 0 && errno != EEXIST)
            return err_sys(errno, "make %s", root);
        TRY(fd_open_dir(AT_FDCWD, root, &dir));
    }
    if (mkdirat(dir, o->m->id, 0700) < 0 && errno != EEXIST)
        return err_sys(errno, "make %s/%s", root, o->m->id);
    return fd_open_dir(dir, o->m->id, &o->run_fd);
}

/* "pid starttime", for whoever looks for debris. Who reads it unfinished finds no debris. */
static struct err *write_process_file(const struct mon *o, const char *name, pid_t pid) {
    uint64_t begun;
    char text[64];
    autofd int fd = -1;
    TRY(proc_start_time(pid, &begun));
    int n = snprintf(text, sizeof text, "%d %llu\n", (int)pid, (unsigned long long)begun);
    TRY(fd_open_at(o->run_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &fd));
    return io_write_all(fd, text, (size_t)n);
}

/* From here on: the change of ids before this clears it. A starter that has died meanwhile is not waited for. */
static struct err *tie_to_starter(const struct mon *o) {
    if (!o->m->tied_to)
        return NULL;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_sys(errno, "set the parent-death signal");
    if (getppid() != o->m->tied_to)
        _exit(1);
    return NULL;
}

static struct err *enter_namespace(struct mon *o) {
    if (o->m->userns_fd < 0)
        TRY(runtime_userns_get(o->m->host, &o->m->userns_fd, NULL));
    o->oom_fd = runtime_oom_open();
    TRY(runtime_userns_enter(o->m->userns_fd));
    fd_replace(&o->m->userns_fd, -1);
    return NULL;
}

/* ---- the container ---- */

static struct err *watch_network(struct mon *o) {
    if (o->network_fd >= 0 && !mon_watch(o, o->network_fd, (union ref){.kind = REF_NETWORK}, EPOLLIN))
        return err_sys(errno, "watch the network");
    return NULL;
}

static struct err *give_network(void *ctx, int netns_fd) {
    struct mon *o = ctx;
    TRY(o->m->network(o->m->ctx, netns_fd, &o->network_fd));
    return watch_network(o);
}

void mon_network_event(struct mon *o) {
    mon_unwatch(o, o->network_fd);
    o->m->network_event(o->m->ctx, &o->network_fd);
    err_free(watch_network(o));
}

/*
 * All that is not needed to make the container's first process is done while that process prepares itself: mounts take
 * it longer than this takes us.
 */
static struct err *meanwhile(void *ctx, pid_t pid) {
    struct mon *o = ctx;
    if (!o->runs) { /* the next runs find them */
        TRY(control_listen(o));
        TRY(mon_log_open(o));
    }
    TRY(own_signals(o));
    err_free(
        runtime_userns_publish(o->m->host, o->run_fd, pid, o->m->map)); /* the next command can make one of its own */
    return mon_state_prepare(o, pid);
}

static struct err *prepare_root(void *ctx, int root) {
    const struct monitor *m = ((const struct mon *)ctx)->m;
    return m->prepare(m->ctx, root);
}

char *mon_bundle(const struct mon *o) {
    return json_get(o->m->config, "hooks") ? mem_printf("%s/containers/%s", o->m->host->data_root, o->m->id) : NULL;
}

static struct err *create(struct mon *o, const int stdio[3]) {
    const struct monitor *m = o->m;
    autofree char *bundle = mon_bundle(o);
    struct runtime_create c = {
        .config = m->config,
        .rootfs = m->rootfs,
        .id = m->id,
        .bundle = bundle,
        .init_program = m->init_program,
        .stdio = {stdio[0], stdio[1], stdio[2]},
        .terminal = m->terminal,
        .rows = m->rows,
        .cols = m->cols,
        .n_join = m->n_join,
        .map = m->map,
        .preserve_fds = m->preserve_fds,
        .network = m->network ? give_network : NULL,
        .cgroup = &o->cgroup,
        .oom_fd = o->oom_fd,
        .meanwhile = meanwhile,
        .prepare = m->prepare ? prepare_root : NULL,
        .ctx = o,
    };
    _Static_assert(sizeof c.join == sizeof m->join, "the same namespaces");
    memcpy(c.join, m->join, sizeof c.join);
    struct err *e = runtime_create(&c, &o->proc);
    o->proc.bundle = NULL; /* it goes with this call */
    return e;
}

static void close_preserved(struct monitor *m) {
    for (; m->preserve_fds; m->preserve_fds--)
        fd_close(2 + m->preserve_fds);
}

static struct err *make_container(struct mon *o) {
    int theirs[3] = {-1, -1, -1};
    struct err *e = stdio_make(o, theirs);
    if (!e)
        e = create(o, theirs);
    close_preserved(o->m);
    for (int i = 0; i < 3; i++)
        fd_close(theirs[i]);
    for (int i = 0; i < o->m->n_join; i++)
        fd_close(o->m->join[i].fd);
    TRY(e);
    TRY(stdio_watch(o));
    if (!mon_watch(o, o->proc.pidfd, (union ref){.kind = REF_INIT}, EPOLLIN))
        return err_sys(errno, "watch the container");
    return served_watch(o);
}

static void take_first_client(struct mon *o) {
    if (o->m->first_client < 0)
        return;
    struct client *c = client_new(o, take_fd(&o->m->first_client));
    if (!c)
        return;
    client_attach(c, o->m->first_client_stdin, true, true);
    c->first = true;
}

static struct err *say_started(struct mon *o) {
    automsg sync = msg_chan_new(take_fd(&o->m->sync_fd));
    autojson j = json_object();
    json_set_bool(j, "started", true);
    json_set_int(j, "pid", o->proc.pid);
    err_free(msg_send(sync, j, NULL, 0)); /* a starter that died meanwhile changes nothing */
    return NULL;
}

/* The list of its directories is for whoever clears up after a monitor that was killed. */
static struct err *make_cgroup(struct mon *o) {
    autofree char *parent = runtime_cgroup_parent(o->m->config);
    runtime_cgroup_claim(o->m->host, o->m->id, o->m->config);
    TRY(runtime_cgroup_make(o->m->host, o->m->id, parent, &o->cgroup));
    TRY(runtime_limits_plan(o->m->config, &o->cgroup, &o->emulation, NULL));
    if (!o->cgroup.paths.n)
        return NULL;
    autofree char *text = strv_join(&o->cgroup.paths, "\n");
    autofd int fd = -1;
    TRY(fd_open_at(o->run_fd, "cgroup", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &fd));
    return io_write_all(fd, text, strlen(text));
}

/* For who watches processes by such files; left behind at the end, as podman's is. */
static struct err *write_pidfile(const struct mon *o) {
    const char *path = json_str_value(json_get(json_get(o->m->config, "annotations"), SPEC_ANN_PIDFILE));
    char text[16];
    if (!path)
        return NULL;
    int n = snprintf(text, sizeof text, "%d\n", (int)o->proc.pid);
    TRY_CTX(io_write_file(AT_FDCWD, path, text, (size_t)n, 0644, 0), "--pidfile %s", path);
    return NULL;
}

/* Hooks of a CDI device: what is not there when they have failed the program may not miss in silence. */
static struct err *run_poststart(const struct mon *o) {
    autofree char *bundle = mon_bundle(o);
    return bundle ? runtime_poststart(o->m->config, o->m->id, bundle, o->proc.pid) : NULL;
}

struct err *mon_start_run(struct mon *o) {
    if (o->runs)
        sys_signals_reset();
    TRY(make_container(o));
    if (!o->runs++)
        take_first_client(o);
    if (o->m->tied_to) /* it may have escaped from dying with us: the program that changes its ids has */
        TRY(write_process_file(o, "init", o->proc.pid));
    o->started = clock_now();
    health_begin(o);
    TRY(mon_state_write(o, "running", ""));
    TRY(watch_begin(o));
    TRY(write_pidfile(o));
    TRY(runtime_start(&o->proc));
    TRY(run_poststart(o));
    mon_tell(o, "start", NULL);
    int64_t limit = 0;
    const char *seconds = json_str_value(json_get(json_get(o->m->config, "annotations"), SPEC_ANN_TIMEOUT));
    if (seconds && str_to_i64(seconds, 1, INT32_MAX, &limit) && !timer_after(o, DEADLINE_TIMEOUT, limit * NSEC_PER_SEC))
        return err_new(ERR_SYSTEM, "cannot set a timer for --timeout");
    return NULL;
}

static struct err *start(struct mon *o) {
    o->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (o->epoll < 0)
        return err_sys(errno, "make an epoll table");
    TRY(make_run_dir(o));
    TRY(write_process_file(o, "monitor", getpid())); /* who holds this directory */
    /* Before the user namespace: systemd's bus wants to see the user. */
    TRY(make_cgroup(o));
    TRY(enter_namespace(o));
    TRY(tie_to_starter(o));
    TRY(mon_start_run(o));
    return say_started(o);
}

void monitor_main(struct monitor *m) {
    struct mon o = {.m = m,
                    .restart.policy = m->restart,
                    .epoll = -1,
                    .run_fd = -1,
                    .listen_fd = -1,
                    .signal_fd = -1,
                    .timer_fd = -1,
                    .cgroup = RUNTIME_CGROUP_NONE,
                    .tty_peer = -1,
                    .log_fd = -1,
                    .network_fd = -1,
                    .oom_fd = -1,
                    .in.fd = -1,
                    .out = {{.fd = -1}, {.fd = -1}},
                    .proc = {.pidfd = -1, .sync_fd = -1, .console = -1}};
    leave_starter(&o);
    struct err *e = start(&o);
    if (e)
        ending_failed(&o, e);
    do {
        mon_loop(&o);
        ending_run(&o);
    } while (mon_again(&o));
    ending(&o);
}
