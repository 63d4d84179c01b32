/* link: the one netlink message that the runtime itself needs: a network interface goes up. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys/sys.h"

struct link_request {
    struct nlmsghdr head;
    struct ifinfomsg info;
    struct rtattr attr;
    char name[IFNAMSIZ];
};

struct link_answer {
    struct nlmsghdr head;
    struct nlmsgerr err;
    char more[256]; /* the extended answer, not looked at */
};

static int link_talk(int fd, const struct link_request *req) {
    struct link_answer answer = {0};
    if (send(fd, req, req->head.nlmsg_len, 0) < 0)
        return -1;
    ssize_t n = recv(fd, &answer, sizeof answer, 0);
    if (n < 0)
        return -1;
    if ((size_t)n < NLMSG_LENGTH(sizeof answer.err) || answer.head.nlmsg_type != NLMSG_ERROR) {
        errno = EPROTO;
        return -1;
    }
    errno = -answer.err.error;
    return answer.err.error ? -1 : 0;
}

int sys_link_up(const char *name) {
    size_t len = strlen(name) + 1;
    if (len > IFNAMSIZ) {
        errno = ENODEV;
        return -1;
    }
    struct link_request req = {
        .head = {.nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .info = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP},
        .attr = {.rta_type = IFLA_IFNAME, .rta_len = (unsigned short)RTA_LENGTH(len)},
    };
    req.head.nlmsg_len = (uint32_t)(offsetof(struct link_request, attr) + RTA_SPACE(len));
    memcpy(req.name, name, len);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -1;
    int rc = link_talk(fd, &req);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}
