/*
 * Messages of a hostile peer. The first byte says how long the pieces are, the second which of them bring descriptors;
 * the rest is what is sent. Every descriptor ends with the receiver or is closed: none is left over.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_piece(int fd, const uint8_t *data, size_t n, size_t n_fds) {
    union {
        char buf[CMSG_SPACE((MSG_FDS + 2) * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds) {
        int fds[MSG_FDS + 2];
        for (size_t i = 0; i < n_fds; i++)
            fds[i] = STDERR_FILENO; /* not `fd`: who holds the other end of his own connection never sees its end */
        mh.msg_control = control.buf;
        mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
    }
    if (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        /* a full socket: the peer gives up */
    }
}

static void receive_all(struct msg_chan *c, bool take) {
    for (;;) {
        autojson j = NULL;
        int fds[MSG_FDS];
        size_t n = 0;
        autoerr e = msg_recv(c, &j, take ? fds : NULL, take ? &n : NULL);
        if (n > MSG_FDS || (e && n))
            abort();
        for (size_t i = 0; i < n; i++)
            if (close(fds[i]) != 0)
                abort();
        if (e || !j)
            return;
        err_free(msg_err_of(j));
    }
}

static int lowest_free(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int pair[2], before = lowest_free();
    if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return 0;
    size_t piece = (data[0] & 63) + 1U, which = data[1] & 15, n_fds = (data[1] >> 4) % (MSG_FDS + 3);
    size_t at = 2;
    for (size_t i = 0; at < size; at += piece, i++)
        send_piece(pair[1], data + at, size - at < piece ? size - at : piece, i % 16 == which ? n_fds : 0);
    close(pair[1]);
    struct msg_chan *c = msg_chan_new(pair[0]);
    receive_all(c, data[0] & 64);
    msg_chan_free(c);
    if (lowest_free() != before)
        abort();
    return 0;
}
