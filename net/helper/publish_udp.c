/*
 * publish_udp: datagrams into containers and back. UDP has no connections; a flow is what one client sends to one of
 * the host's addresses at one published port, until it is silent for IDLE_S. It has an inner socket of its own, which
 * is connected to the container, so that the answers say by where they arrive for whom they are, and they go out from
 * the address that the client asked. Flows are bounded: the one that was silent longest makes room.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/helper/publish_int.h"

enum { FLOWS_MAX = 4096, IDLE_S = 90, DATAGRAM_MAX = 65536 };

struct flow {
    struct watch w; /* the inner socket */
    struct listener *via;
    struct net_addr client, own; /* the address that the client asked */
    uint16_t client_port;
    uint32_t scope; /* the interface of a link-local client */
    int64_t used;
    struct flow *next;          /* in its bucket */
    struct flow *older, *newer; /* by last use */
};

union control {
    char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr align;
};

/* Whose datagram, and to which of our addresses. */
struct from {
    struct sockaddr_storage peer;
    struct net_addr client, own;
    uint16_t client_port;
};

/* ---- the table ---- */

static size_t bucket_of(const struct listener *via, const struct net_addr *client, uint16_t port) {
    uint32_t h = 2166136261U ^ via->port->host_port;
    for (size_t i = 0; i < sizeof client->b; i++)
        h = (h ^ client->b[i]) * 16777619U;
    return ((h ^ port) * 16777619U) % FLOW_BUCKETS;
}

static struct flow *find(struct loop *l, const struct listener *via, const struct from *f) {
    for (struct flow *w = l->ports->flow[bucket_of(via, &f->client, f->client_port)]; w; w = w->next)
        if (w->via == via && w->client_port == f->client_port && net_addr_contains(&w->client, &f->client) &&
            net_addr_contains(&w->own, &f->own))
            return w;
    return NULL;
}

static void unlink_age(struct ports *ports, struct flow *w) {
    *(w->older ? &w->older->newer : &ports->oldest) = w->newer;
    *(w->newer ? &w->newer->older : &ports->newest) = w->older;
}

static void link_newest(struct ports *ports, struct flow *w) {
    w->newer = NULL;
    w->older = ports->newest;
    *(w->older ? &w->older->newer : &ports->oldest) = w;
    ports->newest = w;
}

static void touch(struct ports *ports, struct flow *w) {
    w->used = loop_now();
    if (ports->newest == w)
        return;
    unlink_age(ports, w);
    link_newest(ports, w);
}

static void flow_end(struct loop *l, struct flow *w) {
    struct flow **link = &l->ports->flow[bucket_of(w->via, &w->client, w->client_port)];
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    unlink_age(l->ports, w);
    l->ports->n_flows--;
    loop_drop(l, &w->w);
    free(w);
}

/* One timer, for the flow that has been silent longest; those that spoke since it was set are looked at again later. */
static void end_idle(struct loop *l, struct timer *t) {
    struct ports *ports = l->ports;
    int64_t now = loop_now(), most = IDLE_S * NSEC_PER_SEC;
    while (ports->oldest && now - ports->oldest->used >= most)
        flow_end(l, ports->oldest);
    if (ports->oldest)
        loop_timer(l, t, ports->oldest->used + most - now);
}

void udp_ports_init(struct ports *ports) { ports->idle.fire = end_idle; }

void udp_port_end(struct loop *l, const struct port *p) {
    for (struct flow *w = l->ports->oldest; w;) {
        struct flow *newer = w->newer;
        if (w->via->port == p)
            flow_end(l, w);
        w = newer;
    }
}

/* ---- out of the container ---- */

static void answer(const struct flow *w, const uint8_t *data, size_t n) {
    union control control = {0};
    struct sockaddr_storage to;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sockaddr_make(&w->client, w->client_port, &to),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.buf};
    struct cmsghdr *c = &control.align;
    if (w->client.family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_ifindex = w->scope};
        ((struct sockaddr_in6 *)&to)->sin6_scope_id = w->scope;
        memcpy(&info.ipi6_addr, w->own.b, sizeof info.ipi6_addr);
        *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = SOL_IPV6, .cmsg_type = IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m.msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, w->own.b, sizeof info.ipi_spec_dst);
        *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = SOL_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m.msg_controllen = CMSG_SPACE(sizeof info);
    }
    sendmsg(w->via->w.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); /* one that cannot go is lost, as datagrams are */
}

static void inner_ready(struct loop *l, struct watch *watch, uint32_t events) {
    struct flow *w = (struct flow *)(void *)watch;
    (void)events;
    touch(l->ports, w);
    for (int i = 0; i < TURN_MAX; i++) {
        ssize_t n = recv(watch->fd, l->buffer, DATAGRAM_MAX, MSG_DONTWAIT);
        if (n >= 0)
            answer(w, l->buffer, (size_t)n);
        else if (errno != ECONNREFUSED) /* nobody listens inside yet: the client will ask again */
            return;
    }
}

/* ---- into the container ---- */

void udp_prepare(int fd, int family) {
    static const int on = 1;
    if (family == AF_INET6)
        setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    else
        setsockopt(fd, SOL_IP, IP_PKTINFO, &on, sizeof on);
}

/* The address that a datagram was sent to. */
static struct net_addr asked_address(struct msghdr *m) {
    struct net_addr a = {0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO) {
            a = (struct net_addr){.family = AF_INET, .prefix = 32};
            memcpy(a.b, CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_spec_dst), 4);
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            a = (struct net_addr){.family = AF_INET6, .prefix = 128};
            memcpy(a.b, CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_addr), 16);
        }
    }
    return a;
}

static ssize_t receive(struct loop *l, int fd, int flags, struct from *ret) {
    union control control;
    struct iovec iov = {.iov_base = l->buffer, .iov_len = DATAGRAM_MAX};
    struct msghdr m = {.msg_name = &ret->peer,
                       .msg_namelen = sizeof ret->peer,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.buf,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &m, flags | MSG_DONTWAIT);
    if (n < 0)
        return n;
    ret->client = sockaddr_read(&ret->peer, &ret->client_port);
    ret->own = asked_address(&m);
    return n;
}

static struct flow *flow_new(struct loop *l, struct listener *via, const struct from *f) {
    struct ports *ports = l->ports;
    struct sockaddr_storage to;
    if (ports->n_flows >= FLOWS_MAX)
        flow_end(l, ports->oldest);
    int fd = inner_take(l, via->port, f->peer.ss_family);
    if (fd < 0)
        return NULL;
    struct flow *w = mem_alloc(sizeof *w);
    *w = (struct flow){.w = {.fd = fd, .ready = inner_ready},
                       .via = via,
                       .client = f->client,
                       .own = f->own,
                       .client_port = f->client_port};
    if (f->peer.ss_family == AF_INET6)
        w->scope = ((const struct sockaddr_in6 *)&f->peer)->sin6_scope_id;
    struct flow **bucket = &ports->flow[bucket_of(via, &w->client, w->client_port)];
    w->next = *bucket;
    *bucket = w;
    link_newest(ports, w);
    w->used = loop_now();
    ports->n_flows++;
    if (!ports->idle.due)
        loop_timer(l, &ports->idle, IDLE_S * NSEC_PER_SEC);
    socklen_t len = inner_address(l, via->port, fd, &f->peer, false, &to);
    if (connect(fd, (const struct sockaddr *)&to, len) == 0 && loop_add(l, &w->w, EPOLLIN))
        return w;
    flow_end(l, w);
    return NULL;
}

/* With no inner socket left, only datagrams of known flows are taken; one that needs a new flow stays where it is, and
 * the listener waits for the warden. */
static bool must_wait(struct loop *l, struct listener *via) {
    struct from f;
    int family = via == &via->port->listen[1] ? AF_INET6 : AF_INET;
    if (inner_there(l, via->port, family))
        return false;
    if (receive(l, via->w.fd, MSG_PEEK, &f) < 0 || find(l, via, &f))
        return false;
    via->paused = true;
    loop_mod(l, &via->w, 0);
    return true;
}

void udp_ready(struct loop *l, struct watch *watch, uint32_t events) {
    struct listener *via = (struct listener *)(void *)watch;
    struct from f;
    (void)events;
    for (int i = 0; i < TURN_MAX && !must_wait(l, via); i++) {
        ssize_t n = receive(l, watch->fd, 0, &f);
        if (n < 0)
            return;
        struct flow *w = find(l, via, &f);
        if (w)
            touch(l->ports, w);
        else
            w = flow_new(l, via, &f);
        if (w)
            send(w->w.fd, l->buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void udp_resume(struct loop *l) {
    for (struct port *p = l->ports->first; p; p = p->next)
        for (int i = 0; i < 2; i++)
            if (p->listen[i].paused) {
                p->listen[i].paused = false;
                loop_mod(l, &p->listen[i].w, EPOLLIN);
            }
}
