/*
 * start: one helper for a user, whoever comes first.
 *
 * <run_root>/net/socket is a name for the listening socket of the latest helper. Nobody ever removes it: a socket that
 * nothing listens on any more refuses, which says the same as no socket. Whoever is refused takes net/lock and tries
 * again; if that is refused too, no helper runs and none is being started, so it binds a fresh socket over the name,
 * starts the helper with it as descriptor 3, and is served from the socket's queue as soon as the helper accepts. It is
 * the first in that queue: hundreds of monitors may fill it as soon as there is the name, and to connect then would
 * wait for a helper that may be dead, with the lock held and the listener open.
 *
 * It is executed outside of the user namespace and enters it by descriptor 4: the memory of a program that was executed
 * inside lies open to every container with --pid=host and CAP_SYS_PTRACE. Only a monitor that takes up its lease again
 * starts the next one from inside, where it is; then it is the program's mode 0711 that keeps it closed (the kernel
 * counts a program that its user may not read to the namespace of the program's owner).
 *
 * The helper leaves its first process, which ends at once: 0, or why it could not. What that one wrote to descriptor 2
 * (the dynamic linker's complaint, mostly) becomes part of the error. Descriptor 2 is a file in memory: a pipe would
 * kill the helper that writes to it later, and the terminal is not the helper's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "net/net_int.h"

enum { LISTENER_FD = 3, USERNS_FD = 4, LAST_WORDS_MAX = 4096, KILLED = 128 + SIGKILL };

static const char helper_name[] = "coracle-net", socket_name[] = "socket", lock_name[] = "lock";

static char *net_dir(const struct host *h) { return path_join(h->run_root, "net"); }

struct err *net_helper_connect(const struct host *h, int *ret_fd) {
    autofree char *path = net_dir(h);
    autofd int dir = -1;
    struct err *e = fd_open_dir(AT_FDCWD, path, &dir);
    if (!e)
        e = fd_unix_connect(dir, socket_name, ret_fd);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    return err_new(ERR_NOT_FOUND, "no %s is running", helper_name);
}

/* The last line of what it said, without its name. */
static const char *last_line(struct str *words) {
    while (words->len && strchr("\n ", words->ptr[words->len - 1]))
        words->ptr[--words->len] = '\0';
    const char *newline = words->len ? strrchr(words->ptr, '\n') : NULL;
    const char *line = newline ? newline + 1 : str_c(words);
    size_t name = sizeof helper_name - 1;
    return str_starts(line, helper_name) && str_starts(line + name, ": ") ? line + name + 2 : line;
}

/* Why the first process could not. */
static struct err *explain(int code, int words_fd) {
    autostr struct str words = STR_INIT;
    autoerr e = lseek(words_fd, 0, SEEK_SET) < 0 ? NULL : io_read_all(words_fd, LAST_WORDS_MAX, helper_name, &words);
    const char *line = e ? "" : last_line(&words);
    struct err *why = err_new(ERR_SYSTEM, "%s cannot start: %s%sstatus %d", helper_name, line, *line ? ", " : "", code);
    return code == 127 ? err_hint(why, "install the libraries that it needs: libslirp0 and libmnl0") : why;
}

/* Starts the helper with a listening socket, and waits until its first process has ended, or leaves that to the caller
 * (`ret_started`). One that was killed already (the machine is out of memory) is no other than one that is killed a
 * moment later: it has not said why it cannot, and the connection to it ends without an answer. */
static struct err *spawn(const struct host *h, int listener, int userns_fd, pid_t *ret_started) {
    autofree char *path = NULL;
    TRY(host_find_program(h, helper_name, NULL, &path));
    autofd int words = sys_memfd(helper_name, 0), pidfd = -1;
    if (words < 0)
        return err_sys(errno, "make a file in memory");
    char name[] = "coracle-net", run_root[] = "--run-root", data_root[] = "--data-root";
    char *const argv[] = {name, run_root, h->run_root, data_root, h->data_root, NULL};
    const struct proc_spawn p = {.path = path,
                                 .argv = argv,
                                 .stdio = {-1, -1, words},
                                 .fds = {{.from = listener, .to = LISTENER_FD}, {.from = userns_fd, .to = USERNS_FD}},
                                 .n_fds = userns_fd < 0 ? 1 : 2};
    pid_t pid;
    int code;
    TRY(proc_spawn(&p, &pid, &pidfd));
    if (ret_started) {
        *ret_started = pid;
        return NULL;
    }
    TRY(proc_reap(pid, &code));
    return code && code != KILLED ? explain(code, words) : NULL;
}

/* With the lock held and nobody listening. */
static struct err *start(const struct host *h, int dir, int userns_fd, pid_t *ret_started, int *ret_fd) {
    autofd int listener = -1, connection = -1;
    TRY(fd_unix_listen_first(dir, socket_name, &listener, &connection));
    TRY(spawn(h, listener, userns_fd, ret_started));
    *ret_fd = take_fd(&connection);
    return NULL;
}

struct err *net_helper_reach(const struct host *h, int userns_fd, pid_t *ret_started, int *ret_fd) {
    struct err *e = net_helper_connect(h, ret_fd);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    autofree char *path = net_dir(h);
    autofd int dir = -1, lock = -1;
    TRY(io_mkdirs(AT_FDCWD, path, 0700));
    TRY(fd_open_dir(AT_FDCWD, path, &dir));
    TRY(fd_open_at(dir, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &lock));
    TRY_CTX(io_lock(lock, IO_LOCK_EXCLUSIVE), "wait for %s to be started", helper_name);
    e = fd_unix_connect(dir, socket_name, ret_fd);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    return start(h, dir, userns_fd, ret_started, ret_fd);
}
