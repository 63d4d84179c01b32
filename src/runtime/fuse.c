/*
 * fuse: fuse-overlayfs as the root file system. It must live outside the container's pid namespace and share a mount
 * namespace with it at the moment the container's is copied; so the middle process of create.c runs it in one of its
 * own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "runtime/runtime_int.h"

enum { ENDING_S = 5 };

static void append_layer(struct str *s, const char *base, const char *path) {
    autofree char *full = path_join(base, path);
    for (const char *p = full; *p; p++) {
        if (*p == ':' || *p == ',' || *p == '\\')
            str_append_c(s, '\\');
        str_append_c(s, *p);
    }
}

static void options_of(const struct rootfs_plan *p, struct str *s) {
    str_append(s, "lowerdir=");
    for (size_t i = 0; i < p->lowers.n; i++) {
        if (i)
            str_append_c(s, ':');
        append_layer(s, p->base_dir, p->lowers.v[i]);
    }
    if (!p->upper)
        return;
    str_append(s, ",upperdir=");
    append_layer(s, "/", p->upper);
    str_append(s, ",workdir=");
    append_layer(s, "/", p->work);
}

static void wake(int signo) { (void)signo; }

/* One that ends because its mount has gone, with a container or a copy, has the lock until then, which is not long
 * but on a machine that has no processor for it. */
static int wait_for_lock(int fd) {
    const struct itimerval soon = {.it_value.tv_sec = ENDING_S, .it_interval.tv_sec = ENDING_S}, never = {0};
    const struct sigaction interrupts = {.sa_handler = wake};
    struct sigaction before;
    sigaction(SIGALRM, &interrupts, &before);
    setitimer(ITIMER_REAL, &soon, NULL);
    int rc = flock(fd, LOCK_EX), why = errno;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    errno = why;
    return rc;
}

/* What the kernel's overlay does by itself: one that has the upper layer keeps others out, by a lock that it inherits
 * and ends with. */
static struct err *lock_upper(const struct rootfs_plan *p, int *ret_fd) {
    if (!p->upper)
        return NULL;
    TRY(fd_open_dir(AT_FDCWD, p->upper, ret_fd));
    if (flock(*ret_fd, LOCK_EX | LOCK_NB) == 0 || (errno == EWOULDBLOCK && wait_for_lock(*ret_fd) == 0))
        return NULL;
    return errno == EINTR ? rootfs_in_use() : err_sys(errno, "lock %s", p->upper);
}

/* The program puts itself into the background once the mount is there, so its end is the news. */
struct err *fuse_mount(const struct rootfs_plan *p, int alive_fd) {
    autostr struct str options = STR_INIT, said = STR_INIT;
    autofd int child = -1;
    int pipefd[2], code;
    pid_t pid;
    autofd int lock = -1;
    TRY(lock_upper(p, &lock));
    if (p->adopt)
        TRY(rootfs_adopt(p));
    options_of(p, &options);
    char *argv[] = {p->fuse_program, (char[]){"-o"}, options.ptr, p->fuse_dir ? p->fuse_dir : p->base_dir, NULL};
    TRY(fd_pipe(0, pipefd));
    autofd int from = pipefd[0];
    autofd int to = pipefd[1];
    struct proc_spawn spawn = {.path = p->fuse_program, .argv = argv, .stdio = {-1, -1, to}};
    const int kept[] = {alive_fd, lock};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (kept[i] >= 0) {
            spawn.fds[spawn.n_fds].from = kept[i];
            spawn.fds[spawn.n_fds].to = 3 + (int)spawn.n_fds;
            spawn.n_fds++;
        }
    TRY_CTX(proc_spawn(&spawn, &pid, &child), "start %s", p->fuse_program);
    fd_replace(&to, -1);
    TRY(proc_reap(pid, &code));
    if (code == 0)
        return NULL;
    char text[512];
    TRY(fd_set_nonblock(from, true));
    ssize_t n = read(from, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    str_append_visible(&said, text);
    return err_new(ERR_SYSTEM, "fuse-overlayfs ended with code %d: %s", code, str_c(&said));
}
