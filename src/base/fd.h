/*
 * fd: owned file descriptors.
 *
 * Every descriptor is O_CLOEXEC from birth. `autofd int fd = -1;` closes at the end of the scope, `take_fd(&fd)`
 * hands over and leaves -1. Functions that return a descriptor through ret_fd leave it untouched on failure.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct err;

/* close() that keeps errno and takes -1. */
void fd_close(int fd);
static inline void fd_closep(int *fd) { fd_close(*fd); }
#define autofd __attribute__((cleanup(fd_closep)))

/* Returns *fd and sets it to -1. */
static inline int take_fd(int *fd) {
    int f = *fd;
    *fd = -1;
    return f;
}

/* Replaces *fd, closing the old one. */
void fd_replace(int *fd, int take_new);

/* openat(2) with O_CLOEXEC; the error names the path. */
struct err *fd_open_at(int dirfd, const char *path, int flags, mode_t mode, int *ret_fd)
    __attribute__((warn_unused_result));

/* Opens a directory for use as a dirfd (O_DIRECTORY | O_RDONLY). */
struct err *fd_open_dir(int dirfd, const char *path, int *ret_fd) __attribute__((warn_unused_result));

/* pipe2(O_CLOEXEC | flags): ret[0] reads, ret[1] writes. */
struct err *fd_pipe(int flags, int ret[2]) __attribute__((warn_unused_result));

/* socketpair(AF_UNIX, type | SOCK_CLOEXEC). */
struct err *fd_socketpair(int type, int ret[2]) __attribute__((warn_unused_result));

/* fcntl(F_DUPFD_CLOEXEC, 3). */
struct err *fd_dup(int fd, int *ret_fd) __attribute__((warn_unused_result));

/* Whether two descriptors are of one file; -1 is of none. */
bool fd_same_file(int a, int b);

/* Whether `fd` is of the file that dirfd/path leads to; `flags`: 0, or AT_SYMLINK_NOFOLLOW. */
bool fd_is_at(int fd, int dirfd, const char *path, int flags);

/* Sets or clears O_NONBLOCK. Only on descriptions that are ours alone: the flag is shared with every dup. */
struct err *fd_set_nonblock(int fd, bool on) __attribute__((warn_unused_result));

/* Clears FD_CLOEXEC, for a descriptor that the next execve is to inherit. */
struct err *fd_inherit(int fd) __attribute__((warn_unused_result));

/* Opens /dev/null on any of 0, 1, 2 that is closed, so that no later open lands there. Call first in main. */
void fd_guard_stdio(void);

/* Puts /dev/null in the place of 0, 1 and 2, for a process that outlives its command: it keeps no terminal and no pipe
 * of the caller's. */
void fd_null_stdio(void);

/* Closes every descriptor >= 3 that is not in keep[0..n), by close_range(2) or /proc/self/fd. Order of keep is free. */
void fd_close_all_but(const int *keep, size_t n);

/* Binds a unix stream listener at dirfd/name (mode 0600, old one replaced), free of the 108 byte path limit. */
struct err *fd_unix_listen(int dirfd, const char *name, int *ret_fd) __attribute__((warn_unused_result));

/* The same, with the first connection to it, made before anybody can find it: connect() to a listener whose queue is
 * full waits, for ever where the listener is the caller's own. */
struct err *fd_unix_listen_first(int dirfd, const char *name, int *ret_fd, int *ret_connection)
    __attribute__((warn_unused_result));

/* Connects to such a listener. not_found when nothing listens there. */
struct err *fd_unix_connect(int dirfd, const char *name, int *ret_fd) __attribute__((warn_unused_result));

/* Sends data to a unix stream socket, and a descriptor along with its first byte (SCM_RIGHTS). At least one byte. */
struct err *fd_unix_send(int sock, const char *data, size_t len, int fd) __attribute__((warn_unused_result));
