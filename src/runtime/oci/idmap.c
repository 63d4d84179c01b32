/*
 * idmap: the user namespace of a config, made by a child that is cloned into it. Who is privileged over the ids (root
 * of the surrounding namespace, as under podman) writes the maps; else, or for a single id of one's own, the kernel's
 * rules for unprivileged users apply, and newuidmap and newgidmap have to help.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime.h"

struct map {
    const char *file, *helper; /* "uid_map", "newuidmap" */
    struct strv numbers;       /* inside, outside, count, inside, … */
};

static struct err *read_map(const struct json *linux_, const char *key, struct map *m) {
    struct json *list;
    TRY(json_get_array_opt(linux_, key, &list));
    JSON_EACH(it, list) {
        int64_t inside, outside, size;
        TRY(json_get_i64(it, "containerID", &inside));
        TRY(json_get_i64(it, "hostID", &outside));
        TRY(json_get_i64(it, "size", &size));
        if (inside < 0 || outside < 0 || size < 1 || inside + size > UINT32_MAX || outside + size > UINT32_MAX)
            return err_new(ERR_USAGE, "linux.%s has a range out of bounds", key);
        strv_pushf(&m->numbers, "%lld", (long long)inside);
        strv_pushf(&m->numbers, "%lld", (long long)outside);
        strv_pushf(&m->numbers, "%lld", (long long)size);
    }
    if (!m->numbers.n)
        return err_new(ERR_USAGE, "a user namespace needs linux.%s", key);
    return NULL;
}

/* One write, as the kernel wants it; `false` when it refuses. */
static bool write_proc(pid_t pid, const char *file, const char *text, size_t n) {
    autofree char *path = mem_printf("/proc/%d/%s", (int)pid, file);
    autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, n) == (ssize_t)n;
}

static bool write_map(pid_t pid, const struct map *m) {
    autostr struct str text = STR_INIT;
    for (size_t i = 0; i < m->numbers.n; i++)
        str_appendf(&text, "%s%c", m->numbers.v[i], i % 3 == 2 ? '\n' : ' ');
    return write_proc(pid, m->file, str_c(&text), text.len);
}

static struct err *run_helper(const struct host *h, pid_t pid, const struct map *m) {
    autofree char *path = NULL;
    autostrv struct strv argv = {.v = NULL};
    autofd int pidfd = -1;
    pid_t helper;
    int code;
    TRY(host_find_program(h, m->helper, "uidmap (Debian, Ubuntu) or shadow-utils (Fedora, Arch, Alpine)", &path));
    strv_push(&argv, m->helper);
    strv_pushf(&argv, "%d", (int)pid);
    strv_extend(&argv, &m->numbers);
    const struct proc_spawn spawn = {.path = path, .argv = argv.v, .stdio = {-1, -1, STDERR_FILENO}};
    TRY(proc_spawn(&spawn, &helper, &pidfd));
    TRY(proc_reap(helper, &code));
    return code ? err_new(ERR_DENIED, "%s refuses the ids of the config", m->helper) : NULL;
}

static struct err *apply_map(const struct host *h, pid_t pid, const struct map *m) {
    if (write_map(pid, m))
        return NULL;
    if (geteuid() == 0)
        return err_sys(EPERM, "write %s", m->file);
    /* A single group of one's own may be mapped without help by who gives up setgroups. */
    if (m->numbers.n == 3 && strcmp(m->file, "gid_map") == 0 && write_proc(pid, "setgroups", "deny", 4) &&
        write_map(pid, m))
        return NULL;
    return run_helper(h, pid, m);
}

/* A process in a new user namespace that ends when *ret_hold is closed. */
static struct err *make_child(pid_t *ret_pid, int *ret_hold) {
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    char byte;
    int p[2];
    TRY(fd_pipe(0, p));
    pid_t pid = sys_clone3(&args);
    if (pid == 0) {
        fd_close(p[1]);
        _exit(read(p[0], &byte, 1) < 0);
    }
    int saved = errno;
    fd_close(p[0]);
    if (pid < 0) {
        fd_close(p[1]);
        return err_sys(saved, "make a user namespace");
    }
    *ret_pid = pid;
    *ret_hold = p[1];
    return NULL;
}

static struct err *make_userns(const struct host *h, const struct map *uids, const struct map *gids, int *ret_fd) {
    pid_t pid;
    int hold = -1;
    TRY(make_child(&pid, &hold));
    autofree char *link = mem_printf("/proc/%d/ns/user", (int)pid);
    struct err *e = apply_map(h, pid, uids);
    if (!e)
        e = apply_map(h, pid, gids);
    if (!e)
        e = fd_open_at(AT_FDCWD, link, O_RDONLY, 0, ret_fd);
    fd_close(hold);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return e;
}

/* Whether the config has a user namespace, and whether it is one to join. */
static void find_user_namespace(const struct json *config, bool *ret_has, bool *ret_joins) {
    *ret_has = *ret_joins = false;
    JSON_EACH(it, json_path(config, "linux.namespaces"))
    if (str_eq(json_str_value(json_get(it, "type")), "user")) {
        const char *path = json_str_value(json_get(it, "path"));
        *ret_has = true;
        *ret_joins = path && *path;
    }
}

struct err *idmap_userns(const struct host *h, const struct json *config, int *ret_fd) {
    bool has, joins;
    find_user_namespace(config, &has, &joins);
    *ret_fd = -1;
    if (joins)
        return NULL; /* the runtime enters it by its path */
    if (!has)
        return geteuid() == 0 ? NULL : runtime_userns_get(h, ret_fd, NULL);
    struct map uids = {.file = "uid_map", .helper = "newuidmap"}, gids = {.file = "gid_map", .helper = "newgidmap"};
    const struct json *linux_ = json_get(config, "linux");
    struct err *e = read_map(linux_, "uidMappings", &uids);
    if (!e)
        e = read_map(linux_, "gidMappings", &gids);
    if (!e)
        e = make_userns(h, &uids, &gids, ret_fd);
    strv_done(&uids.numbers);
    strv_done(&gids.numbers);
    return e ? err_wrap(e, "user namespace") : NULL;
}
