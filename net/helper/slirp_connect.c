/*
 * slirp_connect: connect(2) as libslirp sees it, which takes the program's before libc's; our own is sys_connect().
 *
 * What is refused within connect(2) itself, as a filter of the host's may do (SELinux's labels of packets, a program of
 * BPF; Linux alone refuses later), makes libslirp (4.7.0) answer in the buffer that the packet came in, and then give
 * this buffer back for the next packet, although it is free already or waits for the container's hardware address. By
 * connections from addresses that are not known yet a container has the lists of buffers overwritten. What is refused
 * later is answered as it should be. So libslirp is told that all are refused later: when it looks at the socket it
 * finds no connection, and resets the container's.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/sys/sys.h"

int connect(int fd, const struct sockaddr *to, socklen_t len) {
    int code = sys_connect(fd, to, len);
    if (code < 0 && errno == ECONNREFUSED && to->sa_family != AF_UNIX)
        errno = EINPROGRESS;
    return code;
}
