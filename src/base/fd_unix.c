/*
 * fd_unix: unix sockets by directory descriptor and name. The address /proc/self/fd/N/name is short whatever the
 * length of the directory's own path, which keeps us clear of the 108 bytes of sun_path.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/id.h"

static struct err *unix_address(int dirfd, const char *name, struct sockaddr_un *ret) {
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = dirfd == AT_FDCWD ? snprintf(ret->sun_path, sizeof ret->sun_path, "%s", name)
                              : snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
    if (n < 0 || (size_t)n >= sizeof ret->sun_path)
        return err_sys(ENAMETOOLONG, "socket name %s", name);
    return NULL;
}

/* Listens under the temporary name `temp` and moves it over `name`: nobody can connect before the mode is right, but
 * the caller (ret_connection; NULL: does not). */
static struct err *listen_and_rename(int fd, int dirfd, const char *temp, const char *name, int *ret_connection) {
    struct sockaddr_un addr;
    TRY(unix_address(dirfd, temp, &addr));
    if (bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        return err_sys(errno, "bind socket %s", name);
    struct err *e = NULL;
    autofd int connection = -1;
    if (fchmodat(dirfd, temp, 0600, 0) < 0 || listen(fd, 128) < 0)
        e = err_sys(errno, "listen on socket %s", name);
    if (!e && ret_connection)
        e = fd_unix_connect(dirfd, temp, &connection);
    if (!e && renameat(dirfd, temp, dirfd, name) < 0)
        e = err_sys(errno, "name socket %s", name);
    if (e)
        unlinkat(dirfd, temp, 0);
    else if (ret_connection)
        *ret_connection = take_fd(&connection);
    return e;
}

static struct err *listen_at(int dirfd, const char *name, int *ret_fd, int *ret_connection) {
    char temp[32];
    snprintf(temp, sizeof temp, ".sock-%016llx", (unsigned long long)id_random_u64());
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(errno, "make a socket");
    TRY(listen_and_rename(fd, dirfd, temp, name, ret_connection));
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *fd_unix_listen(int dirfd, const char *name, int *ret_fd) {
    return listen_at(dirfd, name, ret_fd, NULL);
}

struct err *fd_unix_listen_first(int dirfd, const char *name, int *ret_fd, int *ret_connection) {
    return listen_at(dirfd, name, ret_fd, ret_connection);
}

struct err *fd_unix_connect(int dirfd, const char *name, int *ret_fd) {
    struct sockaddr_un addr;
    TRY(unix_address(dirfd, name, &addr));
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(errno, "make a socket");
    int rc;
    do
        rc = connect(fd, (const struct sockaddr *)&addr, sizeof addr);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        int errnum = errno;
        struct err *e = err_sys(errnum, "connect to socket %s", name);
        return errnum == ECONNREFUSED ? err_with_kind(e, ERR_NOT_FOUND) : e;
    }
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *fd_unix_send(int sock, const char *data, size_t len, int fd) {
    union {
        struct cmsghdr h;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    size_t done = 0;
    struct iovec iov;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    while (done < len) {
        iov = (struct iovec){(char *)(uintptr_t)data + done, len - done};
        ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return err_sys(errno, "send a descriptor");
        if (n <= 0)
            continue;
        done += (size_t)n;
        msg.msg_control = NULL; /* it has gone with the first byte */
        msg.msg_controllen = 0;
    }
    return NULL;
}
