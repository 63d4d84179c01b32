/* warden_sockets: sockets that are made in one namespace and used in another, by the loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/helper/warden_int.h"

enum { BACKLOG = 4096, INNER_BATCH = 8 };

struct err *socket_bound(const struct net_addr *at, uint16_t port, int type, int *ret) {
    autofd int fd = socket(at->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_make(at, port, &sa);
    int on = 1;
    if (fd >= 0 && at->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (fd >= 0 && type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, len) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
        int saved = errno;
        autofree char *text = net_addr_text(at);
        return err_sys(saved, "listen at %s port %u", text, port);
    }
    *ret = take_fd(&fd);
    return NULL;
}

struct err *socket_redirect(bool ipv6, int *ret4, int *ret6, uint16_t *ret_port) {
    const struct net_addr any4 = {.family = AF_INET}, any6 = {.family = AF_INET6};
    autofd int fd4 = -1, fd6 = -1;
    TRY(socket_bound(&any4, 0, SOCK_STREAM, &fd4));
    struct sockaddr_in sa = {0};
    socklen_t len = sizeof sa;
    if (getsockname(fd4, (struct sockaddr *)&sa, &len) < 0)
        return err_sys(errno, "look at the redirect listener");
    uint16_t port = ntohs(sa.sin_port);
    if (ipv6)
        TRY(socket_bound(&any6, port, SOCK_STREAM, &fd6));
    else
        TRY(fd_dup(fd4, &fd6)); /* two watchers of one queue do no harm */
    *ret4 = take_fd(&fd4);
    *ret6 = take_fd(&fd6);
    *ret_port = port;
    return NULL;
}

void socket_dns_tell(struct warden *w, const char *id, const int fds[2]) {
    autojson m = json_object();
    json_set_str(m, "op", "dns");
    json_set_str(m, "id", id);
    warden_tell(w, m, fds, 2);
}

struct err *socket_dns(struct warden *w, const char *id, const struct net_addr *at) {
    autofd int udp = -1, tcp = -1;
    TRY(socket_bound(at, DNS_PORT, SOCK_DGRAM, &udp));
    TRY(socket_bound(at, DNS_PORT, SOCK_STREAM, &tcp));
    socket_dns_tell(w, id, (const int[]){udp, tcp});
    return NULL;
}

struct err *socket_packet(struct rtnl *r, const char *link, int *ret) {
    autofd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unsigned index;
    TRY(rtnl_index(r, link, &index));
    TRY(rtnl_up(r, index, 0));
    struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return err_sys(errno, "open a packet socket");
    *ret = take_fd(&fd);
    return NULL;
}

static int transparent(int family, int type) {
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, rc;
    if (fd < 0)
        return -1;
    if (family == AF_INET6)
        rc = setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on);
    else
        rc = setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
    if (rc < 0)
        fd_replace(&fd, -1);
    return fd;
}

void warden_send_inner(struct warden *w, const struct lease *inside, int family, bool udp) {
    int fds[INNER_BATCH];
    size_t n = 0;
    autoerr gone = inside ? warden_enter(inside) : NULL;
    while (!gone && n < INNER_BATCH && (fds[n] = transparent(family, udp ? SOCK_DGRAM : SOCK_STREAM)) >= 0)
        n++;
    if (inside && !gone)
        warden_come_back(w);
    autojson m = json_object();
    if (inside)
        json_set_str(m, "id", inside->id);
    json_set_str(m, "op", "inner");
    json_set_int(m, "family", family == AF_INET6 ? 6 : 4);
    json_set_str(m, "proto", udp ? "udp" : "tcp");
    warden_tell(w, m, fds, n);
    for (size_t i = 0; i < n; i++)
        fd_close(fds[i]);
}
