/*
 * userns_make: a new user namespace: a child is cloned into it, newuidmap and newgidmap (which are privileged) write
 * its maps side by side, its namespace is opened, and the child may go. Most of what can go wrong is a matter of how
 * the machine is set up, so most of this file says what to do about it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { SETTING_MAX = 64, SAID_MAX = 4096, CHILD_STACK = 16 << 10 };

static bool setting_is(const char *path, const char *value) {
    autostr struct str text = STR_INIT_MAX(SETTING_MAX);
    autoerr e = io_read_file(AT_FDCWD, path, SETTING_MAX, &text);
    return !e && strncmp(str_c(&text), value, strlen(value)) == 0 &&
           strspn(str_c(&text) + strlen(value), "\n") == text.len - strlen(value);
}

static const char forbidden_hint[] =
    "a security module or container may forbid user namespaces here (seccomp, SELinux, AppArmor)";

/* Why the kernel refuses, as far as can be seen from here. */
static struct err *refused(int why) {
    struct err *e = err_sys(why, "make a user namespace");
    if (setting_is("/proc/sys/user/max_user_namespaces", "0"))
        return err_hint(e, "user namespaces are switched off; as root: sysctl -w user.max_user_namespaces=15000");
    if (why == ENOSPC || why == EUSERS)
        return err_hint(e,
                        "the limit of user namespaces is reached; as root: sysctl -w user.max_user_namespaces=15000");
    if (setting_is("/proc/sys/kernel/unprivileged_userns_clone", "0"))
        return err_hint(e, "this kernel keeps user namespaces for root; as root: sysctl -w "
                           "kernel.unprivileged_userns_clone=1");
    return err_hint(e, forbidden_hint);
}

/* Ubuntu 24.04 lets anyone make a user namespace, but without a profile nothing in it is allowed. */
static struct err *map_hint(struct err *e) {
    if (setting_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
        return err_hint(e,
                        "AppArmor restricts user namespaces; as root: sysctl -w "
                        "kernel.apparmor_restrict_unprivileged_userns=0, or install an AppArmor profile for coracle");
    return e;
}

struct mapper {
    const char *program, *file;
    pid_t pid;
    int pidfd, said;
};

static struct err *mapper_start(struct mapper *m, const struct host *h, pid_t target, const struct id_range *r,
                                size_t n) {
    autofree char *path = NULL;
    autostrv struct strv argv = {.v = NULL};
    int p[2];
    TRY(host_find_program(h, m->program, "uidmap (Debian, Ubuntu) or shadow-utils (Fedora, Arch, Alpine)", &path));
    strv_push(&argv, m->program);
    strv_pushf(&argv, "%d", (int)target);
    for (size_t i = 0; i < n; i++) {
        strv_pushf(&argv, "%u", r[i].inside);
        strv_pushf(&argv, "%u", r[i].outside);
        strv_pushf(&argv, "%u", r[i].count);
    }
    TRY(fd_pipe(0, p));
    m->said = p[0];
    const struct proc_spawn spawn = {.path = path, .argv = argv.v, .stdio = {-1, -1, p[1]}};
    struct err *e = proc_spawn(&spawn, &m->pid, &m->pidfd);
    fd_close(p[1]);
    return e;
}

static struct err *mapper_end(struct mapper *m) {
    autostr struct str text = STR_INIT_MAX(SAID_MAX), visible = STR_INIT;
    int code;
    if (m->pid <= 0)
        return NULL;
    err_free(io_read_all(m->said, SAID_MAX, m->program, &text));
    TRY(proc_reap(m->pid, &code));
    m->pid = 0;
    if (code == 0)
        return NULL;
    autofree char *line = mem_dupn(str_c(&text), strcspn(str_c(&text), "\n"));
    str_append_visible(&visible, line);
    struct err *e = err_new(ERR_DENIED, "%s", *line ? str_c(&visible) : m->program);
    if (strstr(line, "not allowed"))
        return err_hint(e, "the ranges in %s must belong to this user alone", m->file);
    if (strstr(line, "Operation not permitted"))
        return map_hint(
            err_hint(e, "%s must be setuid root or have file capabilities: reinstall its package", m->program));
    return map_hint(e);
}

static void mapper_done(struct mapper *m) {
    if (m->pid > 0)
        (void)waitpid(m->pid, NULL, 0);
    fd_close(m->pidfd);
    fd_close(m->said);
}

static struct err *map(const struct host *h, pid_t target, const struct id_map *ids) {
    struct mapper u = {"newuidmap", "/etc/subuid", 0, -1, -1};
    struct mapper g = {"newgidmap", "/etc/subgid", 0, -1, -1};
    struct err *e = mapper_start(&u, h, target, ids->uid, ids->n_uid);
    if (!e)
        e = mapper_start(&g, h, target, ids->gid, ids->n_gid);
    if (!e)
        e = mapper_end(&u);
    if (!e)
        e = mapper_end(&g);
    mapper_done(&u);
    mapper_done(&g);
    return e;
}

/* The process that the namespace is made with: it waits until the other end of the pipe is closed. It runs in the
 * memory of its maker, which costs nothing to copy, and touches none of it. */
struct child {
    int read_end, write_end;
    _Alignas(16) char stack[CHILD_STACK];
};

static int child_run(void *ctx) {
    const struct child *c = ctx;
    char byte;
    /* The descriptor table is its own. */
    (void)close(c->write_end);
    _exit(read(c->read_end, &byte, 1) < 0);
}

/* A process in a new user namespace that ends when c->write_end is closed. */
static struct err *make_child(struct child *c, pid_t *ret_pid) {
    int p[2];
    TRY(fd_pipe(0, p));
    c->read_end = p[0];
    c->write_end = p[1];
    pid_t pid = clone(child_run, c->stack + sizeof c->stack, CLONE_NEWUSER | SYS_BORROWED_VM | SIGCHLD, c);
    int saved = errno;
    fd_close(p[0]);
    if (pid < 0) {
        fd_close(p[1]);
        return refused(saved);
    }
    *ret_pid = pid;
    return NULL;
}

struct err *userns_make(const struct host *h, int *ret_fd, uint32_t *ret_ids) {
    struct id_map ids;
    char link[32];
    struct child child;
    pid_t pid;
    int ns = -1;
    if (geteuid() == 0)
        return err_hint(err_new(ERR_UNSUPPORTED, "coracle runs as an unprivileged user, not as root"),
                        "log in as a normal user, or: runuser -u USER -- coracle …");
    TRY(host_id_map(h, &ids));
    TRY(make_child(&child, &pid));
    struct err *e = map(h, pid, &ids);
    (void)snprintf(link, sizeof link, "/proc/%d/ns/user", (int)pid);
    struct err *hidden = e ? NULL : fd_open_at(AT_FDCWD, link, O_RDONLY, 0, &ns);
    if (hidden)
        e = map_hint(err_hint(hidden, forbidden_hint));
    fd_close(child.write_end);
    (void)waitpid(pid, NULL, 0);
    if (e)
        return err_wrap(e, "set up the user namespace");
    *ret_fd = ns;
    *ret_ids = idmap_total(ids.uid, ids.n_uid);
    return NULL;
}
