/* sync: messages between a container's first process and its maker; one SOCK_SEQPACKET record each. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "runtime/runtime_int.h"

enum { SYNC_MAX = 64 << 10 };

struct err *sync_send(int sock, enum sync_type type, pid_t pid, int fd) {
    char t = (char)type;
    struct iovec iov[2] = {{&t, 1}, {&pid, sizeof pid}};
    union {
        struct cmsghdr h;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    if (fd >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof control.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? err_sys(errno, "tell the other process") : NULL;
}

void sync_send_err(int sock, const struct err *e) {
    autostr struct str text = STR_INIT_MAX(SYNC_MAX - 1);
    str_append_c(&text, SYNC_ERROR);
    err_encode(e, &text);
    ssize_t n;
    do
        n = send(sock, text.ptr, text.len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
}

static int received_fd(struct msghdr *msg) {
    int fd = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/*
 * recvmsg(2). Where the other side has ended without reading what we sent, the kernel says so once (ECONNRESET), at any
 * moment, before it gives out what that side had said.
 */
static ssize_t receive(int sock, struct msghdr *msg, int flags) {
    bool reset = false;
    for (;;) {
        ssize_t n = recvmsg(sock, msg, flags);
        if (n >= 0 || (errno != EINTR && (errno != ECONNRESET || reset)))
            return n;
        reset |= errno == ECONNRESET;
    }
}

struct err *sync_recv(int sock, struct sync_msg *ret) {
    autostr struct str buf = STR_INIT_MAX(SYNC_MAX);
    char small[512];
    struct iovec iov = {small, sizeof small};
    union {
        struct cmsghdr h;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct msghdr peek = {.msg_iovlen = 0};
    ssize_t n = receive(sock, &peek, MSG_PEEK | MSG_TRUNC);
    if (n > (ssize_t)sizeof small && n <= SYNC_MAX) {
        iov.iov_base = str_reserve(&buf, (size_t)n);
        iov.iov_len = (size_t)n;
    }
    n = receive(sock, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno != ECONNRESET)
        return err_sys(errno, "hear from the other process");
    struct sync_msg m = {.type = SYNC_EOF, .fd = -1};
    if (n > 0) {
        const char *text = iov.iov_base;
        m.type = (enum sync_type)text[0];
        m.fd = received_fd(&msg);
        if (m.type == SYNC_ERROR)
            m.e = err_decode(text + 1, (size_t)n - 1);
        else if ((size_t)n >= 1 + sizeof m.pid)
            memcpy(&m.pid, text + 1, sizeof m.pid);
    }
    *ret = m;
    return NULL;
}
