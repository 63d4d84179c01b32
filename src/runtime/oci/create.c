/*
 * create: a container's first process, up to the point where `start` lets it run its program; and `run`, which does
 * both.
 *
 * With a user namespace of its own the container is made by a child that enters it: this process stays outside, where
 * the state directory, the pid file and the console socket are within reach.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime_int.h"

struct create_args {
    const char *bundle, *console_socket, *pid_file, *preserve, *id;
    bool no_pivot, detach, keep;
    int64_t preserve_fds;
};

struct creation {
    struct oci *o;
    const struct create_args *a;
    struct json *config;
    char *bundle; /* absolute */
    struct rootfs_plan rootfs;
    bool terminal;
    unsigned short rows, cols;
    int dir, listener, userns, oom;
    struct runtime_cgroup cgroup;
    struct runtime_proc p; /* not always a child of ours */
};

static struct creation creation_of(struct oci *o, const struct create_args *a) {
    return (struct creation){.o = o,
                             .a = a,
                             .dir = -1,
                             .listener = -1,
                             .userns = -1,
                             .oom = -1,
                             .cgroup = RUNTIME_CGROUP_NONE,
                             .p = {.pid = -1, .pidfd = -1, .sync_fd = -1, .console = -1}};
}

static void creation_done(struct creation *c) {
    json_free(c->config);
    free(c->bundle);
    rootfs_plan_done(&c->rootfs);
    fd_close(c->dir);
    fd_close(c->listener);
    fd_close(c->userns);
    fd_close(c->oom);
    runtime_cgroup_done(&c->cgroup);
    fd_close(c->p.pidfd);
    fd_close(c->p.sync_fd);
    fd_close(c->p.console);
}

/* ---- reading the bundle ---- */

static struct err *parse_args(int argc, char **argv, struct create_args *a) {
    const struct opt opts[] = {
        {"bundle", 'b', OPT_STRING, &a->bundle},     {"console-socket", 0, OPT_STRING, &a->console_socket},
        {"pid-file", 0, OPT_STRING, &a->pid_file},   {"preserve-fds", 0, OPT_STRING, &a->preserve},
        {"no-pivot", 0, OPT_FLAG, &a->no_pivot},     {"no-new-keyring", 0, OPT_IGNORED_FLAG, NULL},
        {"detach", 'd', OPT_FLAG, &a->detach},       {"keep", 0, OPT_FLAG, &a->keep},
        {"no-subreaper", 0, OPT_IGNORED_FLAG, NULL},
    };
    int i = 0;
    *a = (struct create_args){.bundle = "."};
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc - 1)
        return err_new(ERR_USAGE, "%s takes one container id", argv[0]);
    a->id = argv[i];
    if (a->no_pivot)
        return err_hint(err_new(ERR_UNSUPPORTED, "--no-pivot would leave the host's root within reach"),
                        "leave it out: pivot_root works on every file system but the initial ramfs");
    return opts_number("preserve-fds", a->preserve, RUNTIME_PRESERVE_MAX, &a->preserve_fds);
}

static struct err *read_rootfs(struct creation *c) {
    const char *path;
    struct json *root;
    TRY(json_get_object(c->config, "root", &root));
    TRY(json_get_str(root, "path", &path));
    TRY(json_get_bool_opt(root, "readonly", false, &c->rootfs.read_only));
    c->rootfs.driver = ROOTFS_DIR;
    c->rootfs.base_dir = mem_dup(c->bundle);
    strv_push_take(&c->rootfs.lowers, path_join(c->bundle, path));
    return NULL;
}

static struct err *read_terminal(struct creation *c) {
    const struct json *process = json_get(c->config, "process");
    const struct json *size = json_get(process, "consoleSize");
    c->terminal = json_bool_value(json_get(process, "terminal"), false);
    c->rows = (unsigned short)(json_int_value(json_get(size, "height"), 0) & USHRT_MAX);
    c->cols = (unsigned short)(json_int_value(json_get(size, "width"), 0) & USHRT_MAX);
    if (c->terminal && !c->a->console_socket)
        return err_hint(err_new(ERR_USAGE, "the config wants a terminal, and there is nobody to hold it"),
                        "give --console-socket PATH");
    if (!c->terminal && c->a->console_socket)
        return err_new(ERR_USAGE, "--console-socket without a terminal in the config");
    return NULL;
}

/* What nobody here would carry out; to run without it would be to drop it in silence. */
static struct err *check_fields(const struct json *config) {
    static const char *const fields[] = {"linux.intelRdt", "linux.netDevices", "linux.memoryPolicy"};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (json_path(config, fields[i]))
            return err_hint(err_new(ERR_UNSUPPORTED, "%s of the config", fields[i]),
                            "leave it out: it is for runtimes that run as root");
    const char *label = json_str_value(json_path(config, "linux.mountLabel"));
    if (label && *label && !host_has_selinux())
        return err_hint(err_new(ERR_UNSUPPORTED, "linux.mountLabel of the config: this machine has no SELinux"),
                        "leave it out (--security-opt label=disable of podman's)");
    return NULL;
}

static struct err *read_bundle(struct creation *c) {
    autofd int dir = -1;
    c->bundle = realpath(c->a->bundle, NULL);
    if (!c->bundle)
        return err_sys(errno, "bundle %s", c->a->bundle);
    TRY(fd_open_dir(AT_FDCWD, c->bundle, &dir));
    TRY_CTX(json_read_file(dir, OCI_CONFIG, &c->config), "bundle %s", c->bundle);
    if (!json_get(c->config, "process"))
        return err_new(ERR_UNSUPPORTED, "a container without a process");
    TRY_CTX(check_fields(c->config), "%s", OCI_CONFIG);
    TRY_CTX(read_rootfs(c), "%s", OCI_CONFIG);
    return read_terminal(c);
}

/* Limits need a cgroup; where the user may not have one they are said not to hold, never swallowed. */
static struct err *make_cgroup(struct creation *c) {
    if (!json_count(json_path(c->config, "linux.resources")))
        return NULL;
    TRY(runtime_cgroup_make(c->o->host, c->a->id, NULL, &c->cgroup));
    autostrv struct strv unheld = {.n = 0};
    limits_unheld(c->config, &c->cgroup, &unheld);
    autofree char *list = strv_join(&unheld, ", ");
    if (unheld.n)
        log_warn("limits of linux.resources that no cgroup of this user holds are not applied: %s", list);
    return NULL;
}

/* ---- making the process ---- */

static struct err *make_container(struct creation *c, struct runtime_proc *p) {
    const struct runtime_create rc = {
        .config = c->config,
        .rootfs = &c->rootfs,
        .id = c->a->id,
        .bundle = c->bundle,
        .stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .terminal = c->terminal,
        .rows = c->rows,
        .cols = c->cols,
        .cgroup = &c->cgroup,
        .oom_fd = c->oom,
        .preserve_fds = (int)c->a->preserve_fds,
        .detach = true,
        .start_listener = c->listener,
    };
    return runtime_create(&rc, p);
}

static struct err *make_here(struct creation *c) {
    c->oom = runtime_oom_open();
    return make_container(c, &c->p);
}

/* In the child that has entered the user namespace: what it holds of the container goes to the parent. */
static struct err *inside(struct creation *c, int sock) {
    c->oom = runtime_oom_open();
    TRY(runtime_userns_enter(c->userns));
    TRY(make_container(c, &c->p));
    TRY(sync_send(sock, SYNC_PID, c->p.pid, c->p.sync_fd));
    return sync_send(sock, SYNC_READY, 0, c->p.console);
}

static struct err *take_over(struct creation *c, int sock) {
    struct sync_msg m;
    uint64_t start;
    TRY(sync_recv(sock, &m));
    if (m.type == SYNC_ERROR)
        return m.e;
    if (m.type != SYNC_PID || m.pid <= 0)
        return err_new(ERR_SYSTEM, "the process in the user namespace died");
    c->p.pid = m.pid;
    c->p.sync_fd = m.fd;
    TRY(sync_recv(sock, &m));
    c->p.console = m.fd;
    TRY(proc_start_time(c->p.pid, &start));
    return proc_open(c->p.pid, start, &c->p.pidfd);
}

static struct err *make_inside(struct creation *c) {
    int pair[2];
    TRY(fd_socketpair(SOCK_SEQPACKET, pair));
    autofd int ours = pair[0];
    autofd int theirs = pair[1];
    pid_t child = fork();
    if (child < 0)
        return err_sys(errno, "fork");
    if (child == 0) {
        struct err *e = inside(c, theirs);
        if (e)
            sync_send_err(theirs, e);
        _exit(e != NULL);
    }
    fd_replace(&theirs, -1);
    struct err *e = take_over(c, ours);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return e;
}

/* ---- the record ---- */

static struct err *write_state(const struct creation *c) {
    autojson j = json_object();
    autostr struct str now = STR_INIT;
    uint64_t start;
    const struct json *annotations = json_get(c->config, "annotations");
    TRY(proc_start_time(c->p.pid, &start));
    clock_format_rfc3339(clock_now(), &now);
    json_set_str(j, "ociVersion", OCI_VERSION);
    json_set_str(j, "id", c->a->id);
    json_set_int(j, "pid", c->p.pid);
    json_set(j, "startTime", json_uint(start));
    json_set_str(j, "bundle", c->bundle);
    json_set_str(j, "rootfs", c->rootfs.lowers.v[0]);
    json_set_str(j, "created", str_c(&now));
    json_set_str(j, "owner", c->o->host->user);
    if (c->cgroup.paths.n)
        json_set_strv(j, "cgroups", &c->cgroup.paths);
    if (annotations)
        json_set(j, "annotations", json_copy(annotations));
    return json_write_file(c->dir, OCI_STATE, j, 0600, 0);
}

static struct err *publish(struct creation *c) {
    if (c->terminal)
        TRY(console_send(c->a->console_socket, c->p.console));
    TRY(write_state(c));
    return c->a->pid_file ? pid_file_write(c->a->pid_file, c->p.pid) : NULL;
}

static struct err *create_reserved(struct creation *c) {
    TRY(json_write_file(c->dir, OCI_CONFIG, c->config, 0600, 0));
    TRY(start_listen(c->dir, &c->listener));
    TRY(make_cgroup(c));
    TRY(idmap_userns(c->o->host, c->config, &c->userns));
    TRY(c->userns >= 0 ? make_inside(c) : make_here(c));
    TRY(publish(c));
    return runtime_detach(&c->p); /* until here the container's process ends when we do */
}

static struct err *create(struct creation *c) {
    TRY(read_bundle(c));
    TRY(record_reserve(c->o, c->a->id, &c->dir));
    struct err *e = create_reserved(c);
    if (e) {
        autoerr left = record_remove(c->o, c->a->id);
        (void)left;
        runtime_cgroup_remove(&c->cgroup.paths);
    }
    return e;
}

struct err *cmd_create(struct oci *o, int argc, char **argv, int *ret_code) {
    struct create_args a;
    TRY(parse_args(argc, argv, &a));
    struct creation c = creation_of(o, &a);
    struct err *e = create(&c);
    creation_done(&c);
    *ret_code = 0;
    return e;
}

/* ---- run ---- */

static struct err *run_created(struct creation *c, int *ret_code) {
    TRY(container_start(c->o, c->a->id));
    *ret_code = 0;
    return c->a->detach ? NULL : foreground_wait(c->p.pid, c->p.pidfd, ret_code);
}

static struct err *run(struct creation *c, int *ret_code) {
    if (!c->a->detach) { /* so that the process is ours to wait for, even if a child of ours has made it */
        foreground_block();
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
            return err_sys(errno, "become a subreaper");
    }
    TRY(create(c));
    struct err *e = run_created(c, ret_code);
    if (e || !(c->a->detach || c->a->keep))
        e = err_first(e, container_delete(c->o, c->a->id, true));
    return e;
}

struct err *cmd_run(struct oci *o, int argc, char **argv, int *ret_code) {
    struct create_args a;
    TRY(parse_args(argc, argv, &a));
    struct creation c = creation_of(o, &a);
    struct err *e = run(&c, ret_code);
    creation_done(&c);
    return e;
}
