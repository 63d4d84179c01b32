/* exec: a second process in a running container. It is the caller's own child, so its exit code needs no monitor. */
#include "engine/engine_int.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
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
        if (p[1].revents && read(console, unread, sizeof unread) <= 0 && errno != EINTR)
            p[1].fd = -1;
    }
}

/*
 * In a child: the command that the user detached from goes on, and so its terminal stays open, and is read, till then.
 */
static struct err *hold_terminal(int pidfd, int console) {
    pid_t child = fork();
    if (child != 0)
        return child < 0 ? err_sys(errno, "fork to keep the terminal of the command open") : NULL;
    setsid();
    const int keep[] = {pidfd, console};
    fd_close_all_but(keep, ARRAY_LEN(keep));
    drain_terminal(pidfd, console);
    _exit(0);
}

/* Makes the process; theirs of the pipes are closed. *ret is done with runtime_proc_done(). */
static struct err *begin(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                         struct pipes *pipes, struct runtime_proc *ret) {
    autojson config = NULL;
    TRY(read_config(c->dirfd, &config));
    TRY(set_process(e, config, x));
    autofd int target = -1;
    TRY(proc_open(c->state.pid, c->state.pid_start, &target));
    TRY(make_pipes(x, pipes));
    const struct runtime_exec run = {
        .target = c->state.pid,
        .target_pidfd = target,
        .config = config,
        .process = json_get(config, "process"),
        .privileged = x->privileged,
        .stdio = {pipes->theirs[0], pipes->theirs[1], pipes->theirs[2]},
        .terminal = x->tty,
        .rows = x->rows,
        .cols = x->cols,
    };
    struct err *bad = runtime_exec(&run, ret);
    if (bad) /* a command that could not be started is 126, unless its program is missing (127) */
        return err_kind(bad) == ERR_EXEC_NOT_FOUND ? bad : err_with_kind(bad, ERR_EXEC_DENIED);
    for (int i = 0; i < 3; i++)
        fd_replace(&pipes->theirs[i], -1);
    return NULL;
}

static struct err *run_exec(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                            struct pipes *pipes, struct monitor_io_result *ret) {
    struct runtime_proc proc = {.pid = 0, .pidfd = -1, .sync_fd = -1, .console = -1};
    TRY(begin(e, c, x, pipes, &proc));
    autofd int pidfd = proc.pidfd, console = proc.console;
    struct monitor_io io = x->io;
    io.tty = x->tty;
    if (!x->tty && pipes->ours[0] < 0)
        io.in = -1;
    int ours[3] = {take_fd(&pipes->ours[0]), take_fd(&pipes->ours[1]), take_fd(&pipes->ours[2])};
    TRY(monitor_io_child(proc.pid, pidfd, console, ours, &io, ret));
    return ret->detached && console >= 0 ? hold_terminal(pidfd, console) : NULL;
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

/*
 * In the child that a detached command is left to: makes the command's process its own, tells `out` when that runs (by
 * its end) or why it does not, and waits for its exit code, which nobody else could.
 */
static void keep_detached(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                          const char *exec_id, int out) {
    struct pipes none = {{-1, -1, -1}, {-1, -1, -1}};
    struct runtime_proc proc = {.pid = 0, .pidfd = -1, .sync_fd = -1, .console = -1};
    int code = 0;
    setsid();
    autoerr bad = begin(e, c, x, &none, &proc);
    if (bad) {
        autostr struct str text = STR_INIT;
        err_encode(bad, &text);
        err_free(io_write_all(out, text.ptr, text.len));
        _exit(1);
    }
    const int keep[] = {proc.pidfd, proc.console};
    fd_null_stdio(); /* who reads our output waits for all of its writers */
    fd_close_all_but(keep, ARRAY_LEN(keep));
    drain_terminal(proc.pidfd, proc.console);
    autoerr lost = proc_reap(proc.pid, &code);
    if (!lost)
        tell_end(e, c, exec_id, code);
    _exit(0);
}

static struct err *run_detached(struct engine *e, const struct engine_container *c, const struct engine_exec *x,
                                const char *exec_id) {
    autostr struct str text = STR_INIT_MAX(1 << 16);
    int p[2];
    TRY(fd_pipe(0, p));
    autofd int from = p[0];
    autofd int to = p[1];
    pid_t child = fork();
    if (child < 0)
        return err_sys(errno, "fork");
    if (child == 0)
        keep_detached(e, c, x, exec_id, to);
    fd_replace(&to, -1);
    TRY(io_read_all(from, 1 << 16, "the process that starts the command", &text));
    return text.len ? err_decode(text.ptr, text.len) : NULL;
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
    struct err *bad = x->detach ? run_detached(e, &c, x, exec_id) : run_exec(e, &c, x, &pipes, &r);
    pipes_done(&pipes);
    if (bad)
        return bad;
    if (r.ended)
        tell_end(e, &c, exec_id, r.code);
    if (ret)
        *ret = r;
    return NULL;
}
