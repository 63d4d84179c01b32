/* fd: owned descriptors; unix sockets by name are in fd_unix.c. */
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/sys/sys.h"

void fd_close(int fd) {
    if (fd < 0)
        return;
    int saved = errno;
    close(fd);
    errno = saved;
}

void fd_replace(int *fd, int take_new) {
    fd_close(*fd);
    *fd = take_new;
}

struct err *fd_open_at(int dirfd, const char *path, int flags, mode_t mode, int *ret_fd) {
    int fd;
    do
        fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return err_sys(errno, "open %s", path);
    *ret_fd = fd;
    return NULL;
}

struct err *fd_open_dir(int dirfd, const char *path, int *ret_fd) {
    return fd_open_at(dirfd, path, O_RDONLY | O_DIRECTORY, 0, ret_fd);
}

static bool same_inode(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool fd_same_file(int a, int b) {
    struct stat of_a, of_b;
    return a >= 0 && b >= 0 && fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && same_inode(&of_a, &of_b);
}

bool fd_is_at(int fd, int dirfd, const char *path, int flags) {
    struct stat mine, there;
    return fd >= 0 && fstat(fd, &mine) == 0 && fstatat(dirfd, path, &there, flags) == 0 && same_inode(&mine, &there);
}

struct err *fd_pipe(int flags, int ret[2]) {
    int fds[2];
    if (pipe2(fds, flags | O_CLOEXEC) < 0)
        return err_sys(errno, "make a pipe");
    ret[0] = fds[0];
    ret[1] = fds[1];
    return NULL;
}

struct err *fd_socketpair(int type, int ret[2]) {
    int fds[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
        return err_sys(errno, "make a socket pair");
    ret[0] = fds[0];
    ret[1] = fds[1];
    return NULL;
}

struct err *fd_dup(int fd, int *ret_fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return err_sys(errno, "duplicate descriptor %d", fd);
    *ret_fd = copy;
    return NULL;
}

struct err *fd_set_nonblock(int fd, bool on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
        return err_sys(errno, "set the blocking mode of descriptor %d", fd);
    return NULL;
}

struct err *fd_inherit(int fd) {
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) < 0)
        return err_sys(errno, "make descriptor %d inheritable", fd);
    return NULL;
}

void fd_guard_stdio(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0) /* for our children too */
            _exit(125);
}

void fd_null_stdio(void) {
    autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd);
}

static bool fd_is_kept(const int *keep, size_t n, int fd) {
    for (size_t i = 0; i < n; i++)
        if (keep[i] == fd)
            return true;
    return false;
}

/* Where close_range(2) is missing: closes by listing /proc/self/fd. */
static void close_by_listing(const int *keep, size_t n) {
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        int64_t fd;
        if (str_to_i64(e->d_name, 3, INT_MAX, &fd) && fd != dirfd(d) && !fd_is_kept(keep, n, (int)fd))
            close((int)fd);
    }
    closedir(d);
}

void fd_close_all_but(const int *keep, size_t n) {
    for (unsigned first = 3;;) {
        unsigned next = UINT_MAX; /* the smallest kept descriptor >= first */
        for (size_t i = 0; i < n; i++)
            if (keep[i] >= 0 && (unsigned)keep[i] >= first && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next > first && sys_close_range(first, next == UINT_MAX ? UINT_MAX : next - 1, 0) < 0) {
            close_by_listing(keep, n);
            return;
        }
        if (next == UINT_MAX)
            return;
        first = next + 1;
    }
}
