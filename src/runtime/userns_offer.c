/*
 * userns_offer: the namespace of a monitor that has no container just now. Between two runs of a restart policy nobody
 * stands in the user namespace but the monitor, whose /proc is closed to everybody for good reasons (userns.c). So that
 * a command that starts meanwhile does not make a second namespace, in which the first one's containers could share no
 * network with it, the monitor gives its own away by a socket in its run directory, to the user only.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/msg.h"
#include "runtime/runtime_int.h"

static const char socket_name[] = "userns";

struct err *runtime_userns_offer(int run_fd, int *ret_listen) {
    autofd int fd = -1;
    TRY_CTX(fd_unix_listen(run_fd, socket_name, &fd), "socket for the user namespace");
    TRY(fd_set_nonblock(fd, true));
    *ret_listen = take_fd(&fd);
    return NULL;
}

static bool peer_is(int sock, uid_t uid, pid_t *ret_pid) {
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != uid)
        return false;
    *ret_pid = peer.pid;
    return true;
}

void runtime_userns_hand_over(int listen_fd) {
    autofd int conn = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    pid_t pid;
    if (conn < 0 || !peer_is(conn, geteuid(), &pid))
        return;
    autofd int ns = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        return;
    automsg chan = msg_chan_new(take_fd(&conn));
    autojson empty = json_object();
    err_free(msg_send(chan, empty, &ns, 1)); /* who went away does not need it */
}

void runtime_userns_withdraw(int run_fd, int take_listen) {
    fd_close(take_listen);
    unlinkat(run_fd, socket_name, 0);
}

bool userns_ask(int run, const char *id, uid_t uid, int *ret_ns, pid_t *ret_pid) {
    static const struct timeval patience = {.tv_sec = 1}; /* a monitor answers in less than a millisecond */
    struct stat st;
    autofd int dir = -1;
    autofd int conn = -1;
    autoerr none = fd_open_dir(run, id, &dir);
    if (none || fstatat(dir, socket_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    autoerr dead = fd_unix_connect(dir, socket_name, &conn);
    if (dead || !peer_is(conn, uid, ret_pid) ||
        setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
        return false;
    automsg chan = msg_chan_new(take_fd(&conn));
    autojson answer = NULL;
    int fds[MSG_FDS];
    size_t n = 0;
    autoerr silent = msg_recv(chan, &answer, fds, &n);
    for (size_t i = 1; i < n; i++)
        fd_close(fds[i]);
    *ret_ns = n ? fds[0] : -1;
    return !silent && n > 0;
}
