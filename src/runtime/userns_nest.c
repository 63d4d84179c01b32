/*
 * userns_nest: a user namespace below the one that containers are in, for one that has a map of its own.
 *
 * Who is root of the namespace above may write any map of its ids; no helper is needed. But the files of /proc by which
 * it is done belong to nobody inside as long as the process is not dumpable, and what is dumpable lies open to a
 * container with --pid=host and CAP_SYS_PTRACE, which is in the namespace above, too. So the process that the new
 * namespace is made with gives away everything first: its descriptors, and, by a filter that no tracer gets past, every
 * system call but those with which it waits and ends. Only then it becomes dumpable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/allow_list.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { MAP_MAX = 4096 };

/* Says that it may be looked at, and waits for the end of the pipe. */
static _Noreturn void hold_namespace(int ready, int go) {
    static const int calls[] = {SYS_read, SYS_write, SYS_prctl, SYS_exit, SYS_exit_group};
    static const struct allow_list list = {.calls = calls, .n_calls = ARRAY_LEN(calls)};
    const int keep[] = {ready, go};
    char byte = 0;
    for (int fd = 0; fd < 3; fd++)
        if (fd != ready && fd != go)
            (void)close(fd);
    fd_close_all_but(keep, ARRAY_LEN(keep));
    if (allow_list_install(&list) || prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER || prctl(PR_SET_DUMPABLE, 1) < 0 ||
        write(ready, &byte, 1) != 1)
        _exit(1);
    _exit(read(go, &byte, 1) < 0);
}

static struct err *write_map(pid_t pid, const char *file, const struct id_range *r, size_t n) {
    autostr struct str text = STR_INIT, ours = STR_INIT;
    autofree char *own = mem_printf("/proc/self/%s", file), *path = mem_printf("/proc/%d/%s", (int)pid, file);
    struct id_ranges map = {.n = n}, above;
    autofd int fd = -1;
    memcpy(map.r, r, n * sizeof *r);
    TRY(io_read_file(AT_FDCWD, own, MAP_MAX, &ours));
    idmap_parse(str_c(&ours), &above);
    idmap_text_within(&map, &above, &text);
    TRY(fd_open_at(AT_FDCWD, path, O_WRONLY, 0, &fd));
    /* The kernel takes a map in one write, or not at all. */
    return write(fd, text.ptr, text.len) == (ssize_t)text.len ? NULL : err_sys(errno, "write the map of ids %s", file);
}

static struct err *map_and_open(pid_t pid, const struct id_map *m, int *ret_fd) {
    char link[64];
    TRY(write_map(pid, "uid_map", m->uid, m->n_uid));
    TRY(write_map(pid, "gid_map", m->gid, m->n_gid));
    (void)snprintf(link, sizeof link, "/proc/%d/ns/user", (int)pid);
    return fd_open_at(AT_FDCWD, link, O_RDONLY, 0, ret_fd);
}

struct err *userns_nest(const struct id_map *m, int *ret_fd) {
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    int ready[2], go[2];
    char byte;
    TRY(fd_pipe(0, ready));
    autofd int heard = ready[0];
    autofd int said = ready[1];
    TRY(fd_pipe(0, go));
    autofd int waits = go[0];
    autofd int hold = go[1];
    pid_t pid = sys_clone3(&args);
    if (pid == 0) {
        (void)close(hold);
        hold_namespace(said, waits);
    }
    if (pid < 0)
        return err_hint(err_sys(errno, "make a user namespace for the container"),
                        "the limits in /proc/sys/user/max_user_namespaces may be reached");
    fd_replace(&said, -1);
    bool there = read(heard, &byte, 1) == 1;
    struct err *e = there ? map_and_open(pid, m, ret_fd)
                          : err_new(ERR_UNSUPPORTED, "a user namespace of its own needs a kernel with seccomp");
    fd_replace(&hold, -1);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return e;
}

/* ---- from outside ---- */

struct nesting {
    const struct id_map *map;
    struct msg_chan *chan;
};

static struct err *nest_call(void *ctx) {
    const struct nesting *n = ctx;
    autofd int fd = -1;
    autojson none = json_object();
    TRY(userns_nest(n->map, &fd));
    return msg_send(n->chan, none, &fd, 1);
}

struct err *runtime_userns_nest(int userns_fd, const struct id_map *map, int *ret_fd) {
    int pair[2], fds[MSG_FDS];
    size_t n = MSG_FDS;
    autojson answer = NULL;
    TRY(fd_socketpair(SOCK_STREAM, pair));
    automsg ours = msg_chan_new(pair[0]);
    automsg theirs = msg_chan_new(pair[1]);
    struct nesting call = {map, theirs};
    TRY(runtime_userns_call(userns_fd, nest_call, &call));
    TRY(msg_recv(ours, &answer, fds, &n));
    if (n != 1)
        return err_new(ERR_SYSTEM, "the container's user namespace was not sent");
    *ret_fd = fds[0];
    return NULL;
}
