/*
 * exec: a second process in a running container. It is the caller's own child, so its exit code needs no monitor; where
 * the caller may go before it ends, -d and the detach keys, that of a child of the caller, its keeper.
 */
#include "engine/engine_int.h"

#include "base/msg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- what runs ---- */

/* Sets the members that were cut out. False for what is not JSON. */
static bool set_members(const struct json_field *f, size_t n, struct json *obj) {
    for (size_t i = 0; i < n; i++) {
        struct json *j = NULL;
        autoerr e = f[i].text ? json_parse(f[i].text, strlen(f[i].text), f[i].key, 0, &j) : NULL;
        if (e)
            return false;
        if (j)
            json_set(obj, f[i].key, j);
    }
    return true;
}

/* False, with `text` in pieces, for what we did not write. */
static bool cut_config(char *text, size_t n, struct json *config) {
    enum { PROCESS, ANNOTATIONS, LINUX, N_TOP };
    struct json_field top[] = {
        [PROCESS] = {.key = "process"}, [ANNOTATIONS] = {.key = "annotations"}, [LINUX] = {.key = "linux"}};
    struct json_field inner[] = {{.key = "namespaces"},
                                 {.key = "resources"},
                                 {.key = "seccomp"},
                                 {.key = "uidMappings"},
                                 {.key = "gidMappings"}};
    struct json *linux_ = json_object();
    json_set(config, "linux", linux_);
    if (!json_cut(text, n, top, N_TOP) || !top[LINUX].text)
        return false;
    char *nested = text + (top[LINUX].text - text);
    return json_cut(nested, strlen(nested), inner, ARRAY_LEN(inner)) && set_members(top, LINUX, config) &&
           set_members(inner, ARRAY_LEN(inner), linux_);
}

/* Of the OCI config what a second process needs: the mounts, devices and masks of the first are most of it. */
static struct err *read_config(int dirfd, struct json **ret) {
    autostr struct str text = STR_INIT_MAX(JSON_SIZE_MAX);
    autojson config = json_object();
    TRY(io_read_file(dirfd, "config.json", JSON_SIZE_MAX, &text));
    if (!text.len || !cut_config(text.ptr, text.len, config))
        return json_read_file(dirfd, "config.json", ret);
    *ret = take_ptr(&config);
    return NULL;
}

/* Later words win: the container's, the files', the flags'; a name alone is inherited from the caller. */
static struct err *environment_of(const struct engine *e, const struct json *process, const struct engine_exec *x,
                                  struct strv *merged) {
    autostrv struct strv env = {.n = 0};
    for (size_t i = 0; i < x->env_files.n; i++)
        TRY(spec_parse_env_file(x->env_files.v[i], "--env-file", &env));
    strv_extend(&env, &x->env);
    JSON_EACH(v, json_get(process, "env"))
    strv_push(merged, json_str_value(v));
    if (x->tty && !strv_env_get(merged, "TERM"))
        strv_push(merged, "TERM=xterm");
    for (size_t i = 0; i < env.n; i++) {
        const char *host = strchr(env.v[i], '=') ? NULL : host_env(e->host, env.v[i]);
        autofree char *inherited = host ? mem_printf("%s=%s", env.v[i], host) : NULL;
        if (strchr(env.v[i], '='))
            strv_env_set(merged, env.v[i]);
        else if (inherited)
            strv_env_set(merged, inherited);
    }
    return NULL;
}

/* Makes the container's own process object that of this command: its arguments, environment, directory and user. */
static struct err *set_process(const struct engine *e, const struct json *config, const struct engine_exec *x) {
    struct json *p = json_get(config, "process");
    autostrv struct strv env = {.n = 0};
    if (!p)
        return err_new(ERR_CORRUPT, "the container's configuration has no process");
    TRY(environment_of(e, p, x, &env));
    json_set_strv(p, "env", &env);
    json_set_strv(p, "args", &x->command);
    json_set_bool(p, "terminal", x->tty);
    if (x->workdir)
        json_set_str(p, "cwd", x->workdir);
    const char *user = x->user ? x->user : json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_USER));
    if (user)
        json_set_str(p, "user_text", user);
    return NULL;
}

/* ---- its input and output ---- */

struct pipes {
    int ours[3], theirs[3];
};

static void pipes_done(struct pipes *p) {
    for (int i = 0; i < 3; i++) {
        fd_close(p->ours[i]);
        fd_close(p->theirs[i]);
    }
}

/* What goes there, and all that comes from there, is nothing: the container has a null device of its own for that. */
static bool is_null_device(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/*
 * Own pipes, never the caller's descriptors: a container must not be handed a file of the host or the user's terminal
 * (docs/adr/exec-pipes.md).
 */
static struct err *make_pipes(const struct engine_exec *x, struct pipes *p) {
    if (x->tty || x->detach)
        return NULL;
    const int wanted[3] = {x->interactive ? x->io.in : -1, x->io.out, x->io.err};
    for (int i = 0; i < 3; i++) {
        int pair[2];
        if (wanted[i] < 0 || is_null_device(wanted[i]))
            continue;
        TRY(fd_pipe(0, pair));
        p->ours[i] = pair[i == 0 ? 1 : 0];
        p->theirs[i] = pair[i == 0 ? 0 : 1];
    }
    return NULL;
}

/* ---- the whole ---- */

/* Reads and drops what comes from the terminal of a process until that has ended; no terminal: just waits. */
static void drain_terminal(int pidfd, int console) {
    char unread[4096];
    struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = console, .events = POLLIN}};
    while (p[0].revents == 0) {
        if (poll(p, ARRAY_LEN(p), -1) < 0) {
            if (errno != EINTR)
                break;
            continue;
        }
        if (p[1].revents && read(console, unread, sizeof unread) <= 0 && errno != EINTR && errno != EAGAIN)
            p[1].fd = -1;
    }
}

/* Makes the process; theirs of the pipes are closed. *ret is done with runtime_proc_done(). */
static struct err *begin(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                         struct pipes *pipes, struct runtime_proc *ret) {
    autojson config = NULL;
    TRY(engine_container_unless_gone(e, c, read_config(c->dirfd, &config)));
    TRY(set_process(e, config, x));
    autofd int target = -1;
    autoerr gone = proc_open(c->state.pid, c->state.pid_start, &target);
    if (gone)
        return err_kind(gone) == ERR_NOT_FOUND ? engine_err_not_running(c->id) : take_ptr(&gone);
    TRY(make_pipes(x, pipes));
    const struct runtime_exec run = {
        .target = c->state.pid,
        .target_pidfd = target,
        .id = c->id,
        .config = config,
        .process = json_get(config, "process"),
        .privileged = x->privileged,
        .stdio = {pipes->theirs[0], pipes->theirs[1], pipes->theirs[2]},
        .terminal = x->tty,
        .rows = x->rows,
        .cols = x->cols,
    };
    struct err *bad = runtime_exec(&run, ret);
    if (bad && engine_process_ended(target, bad)) {
        err_free(bad);
        return engine_err_not_running(c->id);
    }
    if (bad) /* a command that could not be started is 126, unless its program is missing (127) */
        return err_kind(bad) == ERR_EXEC_NOT_FOUND ? bad : err_with_kind(bad, ERR_EXEC_DENIED);
    for (int i = 0; i < 3; i++)
        fd_replace(&pipes->theirs[i], -1);
    return NULL;
}

static struct err *reap_own(void *ctx, int *ret_code) { return proc_reap(*(const pid_t *)ctx, ret_code); }

static struct err *run_own(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                           struct pipes *pipes, struct monitor_io_result *ret) {
    struct runtime_proc proc = {.pid = 0, .pidfd = -1, .sync_fd = -1, .console = -1};
    TRY(begin(e, c, x, pipes, &proc));
    autofd int pidfd = proc.pidfd, console = proc.console;
    struct monitor_io io = x->io;
    io.tty = x->tty;
    if (!x->tty && pipes->ours[0] < 0)
        io.in = -1;
    const struct monitor_child child = {
        .pidfd = pidfd,
        .master = console,
        .pipes = {take_fd(&pipes->ours[0]), take_fd(&pipes->ours[1]), take_fd(&pipes->ours[2])},
        .reap = reap_own,
        .ctx = &proc.pid};
    return monitor_io_child(&child, &io, ret);
}

/* "exec_create: sh -c true", and exec_start, by one write; later exec_die. */
static void tell_begin(const struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                       const char *exec_id) {
    const char *const attributes[] = {"execID", exec_id, NULL};
    autofree char *command = strv_join(&x->command, " ");
    autofree char *create = mem_printf("exec_create: %s", command), *start = mem_printf("exec_start: %s", command);
    autostr struct str batch = STR_INIT;
    events_add_container(&batch, c->summary, create, attributes);
    events_add_container(&batch, c->summary, start, attributes);
    events_write(e->host, &batch);
}

static void tell_end(const struct engine *e, const struct engine_container *c, const char *exec_id, int code) {
    char text[16];
    const char *const attributes[] = {"execID", exec_id, "exitCode", text, NULL};
    snprintf(text, sizeof text, "%d", code);
    events_tell_container(e->host, c->summary, "exec_die", attributes);
}

/* ---- a command that may outlive us ---- */

/*
 * Until the command ends, or with `attached` its caller goes: then the terminal is closed, which ends what listens to
 * hang-ups, as when a user's own terminal is closed. One word of the caller's before it goes, and the command stays.
 */
static void keep_terminal(int pidfd, int console, int caller, bool attached) {
    struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = caller, .events = POLLIN}};
    char word;
    while (attached && p[0].revents == 0 && p[1].revents == 0)
        if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
            return;
    if (attached && p[0].revents != 0) /* what it has said last is the caller's to read */
        return;
    if (attached && recv(caller, &word, 1, 0) <= 0)
        fd_replace(&console, -1);
    drain_terminal(pidfd, console);
}

/* In the child: the process is made, and watched until its end; what is told of that goes to `caller`. */
static void keep(struct engine *e, const struct engine_container *c, const struct engine_exec *x, const char *exec_id,
                 struct msg_chan *caller) {
    struct pipes none = {{-1, -1, -1}, {-1, -1, -1}};
    struct runtime_proc proc = {.pid = 0, .pidfd = -1, .sync_fd = -1, .console = -1};
    autojson answer = json_object();
    int code = 0;
    autoerr bad = begin(e, c, x, &none, &proc);
    if (bad) {
        err_free(msg_send_err(caller, bad));
        return;
    }
    const int handed[] = {proc.pidfd, proc.console}, keep[] = {proc.pidfd, proc.console, msg_chan_fd(caller)};
    fd_null_stdio(); /* who reads our output waits for all of its writers */
    fd_close_all_but(keep, ARRAY_LEN(keep));
    autoerr gone = msg_send(caller, answer, handed, proc.console >= 0 ? 2 : 1);
    if (gone)
        log_debug("the command goes on without its caller");
    keep_terminal(proc.pidfd, proc.console, msg_chan_fd(caller), !x->detach);
    autoerr lost = proc_reap(proc.pid, &code);
    if (lost)
        return;
    tell_end(e, c, exec_id, code);
    json_set_int(answer, "code", code);
    autoerr unheard = msg_send(caller, answer, NULL, 0);
    if (unheard)
        log_debug("nobody waits for the command");
}

/* Makes the child, whose own the command's process becomes, so that its exit code is known whoever has gone by then. */
static struct err *fork_keeper(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                               const char *exec_id, struct msg_chan **ret) {
    int pair[2];
    TRY(fd_socketpair(SOCK_STREAM, pair));
    automsg ours = msg_chan_new(pair[0]);
    automsg theirs = msg_chan_new(pair[1]);
    pid_t child = fork();
    if (child < 0)
        return err_sys(errno, "fork to keep the command");
    if (child == 0) {
        setsid();
        fd_close(msg_chan_fd(ours)); /* whose end is to be seen */
        keep(e, c, x, exec_id, theirs);
        _exit(0);
    }
    *ret = take_ptr(&ours);
    return NULL;
}

static struct err *hear(struct msg_chan *keeper, struct json **ret, int fds[2], size_t *n_fds) {
    TRY(msg_recv(keeper, ret, fds, n_fds));
    return *ret ? msg_err_of(*ret) : err_new(ERR_SYSTEM, "the process that keeps the command has ended");
}

static struct err *reap_kept(void *ctx, int *ret_code) {
    autojson answer = NULL;
    int64_t code;
    TRY(hear(ctx, &answer, NULL, NULL));
    TRY(json_get_i64(answer, "code", &code));
    *ret_code = (int)code;
    return NULL;
}

static struct err *run_kept(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                            const char *exec_id, struct monitor_io_result *ret) {
    automsg keeper = NULL;
    autojson answer = NULL;
    int fds[2] = {-1, -1};
    size_t n = ARRAY_LEN(fds);
    TRY(fork_keeper(e, c, x, exec_id, &keeper));
    struct err *bad = hear(keeper, &answer, fds, &n);
    autofd int pidfd = n > 0 ? fds[0] : -1;
    autofd int console = n > 1 ? fds[1] : -1;
    if (bad || x->detach)
        return bad;
    struct monitor_io io = x->io;
    io.tty = true;
    const struct monitor_child child = {
        .pidfd = pidfd, .master = console, .pipes = {-1, -1, -1}, .reap = reap_kept, .ctx = keeper};
    TRY(monitor_io_child(&child, &io, ret));
    return ret->detached ? msg_send(keeper, answer, NULL, 0) : NULL;
}

struct err *engine_container_exec(struct engine *e, const char *name, const struct engine_exec *x,
                                  struct monitor_io_result *ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(engine_container_load(e, name, &c));
    if (!strcmp(c.state.status, "paused"))
        return err_new(ERR_CONFLICT, "container %s is paused, unpause the container before exec", name);
    if (!strcmp(c.state.status, "restarting"))
        return err_new(ERR_CONFLICT, "container %s is restarting, wait until the container is running", c.id);
    if (!engine_state_alive(&c.state))
        return engine_err_not_running(c.id);
    struct pipes pipes = {{-1, -1, -1}, {-1, -1, -1}};
    struct monitor_io_result r = {.detached = false};
    char exec_id[ID_LEN + 1];
    id_random(exec_id);
    tell_begin(e, &c, x, exec_id);
    bool kept = x->detach || (x->tty && x->interactive);
    struct err *bad = kept ? run_kept(e, &c, x, exec_id, &r) : run_own(e, &c, x, &pipes, &r);
    pipes_done(&pipes);
    if (bad)
        return bad;
    if (r.ended && !kept)
        tell_end(e, &c, exec_id, r.code);
    if (ret)
        *ret = r;
    return NULL;
}
