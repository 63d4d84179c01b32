/*
 * slirp: uplinks. That of the helper's namespace is for all that is not a TCP connection through the bypass; a
 * container with a libslirp of its own (--network slirp) has one for everything, and no other way.
 *
 * Behind the link of the namespace is one guest, 10.0.2.100, for it masquerades what leaves by it; libslirp turns its
 * packets into sockets of the host. Addresses are given statically, so libslirp neither serves DHCP nor DNS nor (its
 * timer is never set) advertises a route. Behind a container's link is whatever its root makes up: of the frames that
 * come from there, libslirp sees those that frame_welcome() lets pass.
 *
 * libslirp wants to be asked before each wait which sockets to watch and how long at most. It is asked only after it
 * had something to do, its sockets are in an epoll table of their own, which is one descriptor of the loop's, and a
 * wait is limited only while it has TCP connections or packets to put together: with nothing to time nobody wakes up.
 * Frames are read until there are none, at most FRAMES_A_TURN, before it is asked again.
 *
 * It opens a socket for whoever asks, and buffers of a quarter of a megabyte with it for a connection. What would open
 * one more than an uplink may have is lost, as in a network that is full: a connection's first packet, an echo request,
 * a datagram from a port that has none yet. So a container uses up its own share, and not the helper.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <slirp/libslirp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/helper/helper_int.h"

enum {
    FRAMES_A_TURN = 64,
    EVENTS_A_TURN = 64,
    FRAME_MAX = ETH_HLEN + 65535,
    ARP_LEN = 28,
    NOTHING_TO_TIME_MS = 1000, /* libslirp says so when it has no reason to wake up */
    FLOWS_CHECK_S = 30,        /* UDP flows end after minutes; to be late by this much does no harm */
    STREAMS_MAX = 2048,        /* of a container of its own; the namespace, which is many containers', has … */
    FLOWS_MAX = 4096,
    NAMESPACE_TIMES = 8, /* … so many times more */
    OF_DESCRIPTORS = 4   /* and neither kind more than this part of the process's descriptors */
};

enum kind { STREAM, FLOW, KINDS };

/* A socket of libslirp's, by its number. */
struct polled {
    bool open;
    bool listed; /* until the next sweep, even if it is closed: its number may be another's before that */
    enum kind kind;
    uint32_t events;   /* as in the table; 0: not there */
    uint32_t revents;  /* of this turn */
    uint32_t asked_in; /* the question that it came up in last */
};

struct slirp_uplink {
    struct watch link;    /* first: the table hands this out */
    struct watch sockets; /* the epoll table of libslirp's sockets */
    struct slirp_uplink *next;
    char *id; /* of the container behind the link; NULL: the helper's namespace */
    struct link_near near;
    struct sockaddr_storage from[2]; /* libslirp does not copy them */
    struct timer clock;
    struct loop *loop;
    Slirp *slirp;
    uint8_t mac[ETH_ALEN]; /* of our end of the link, once it has sent a frame */
    struct polled *polled;
    size_t n_polled; /* room in `polled` */
    int *listed;     /* the sockets in the table */
    size_t n_listed, room_listed;
    uint32_t question;
    uint32_t n_open[KINDS], most[KINDS];
    uint32_t known[FLOWS_MAX]; /* of flows that have a socket, as far as they do not share a place; 0: none */
};

/* ---- what libslirp calls ---- */

/*
 * Whoever libslirp asks for is behind the one end that the link has. It is told so at once, from inside of its question
 * (an answer goes into its table, and no further): where nothing is masqueraded it may ask for as many as there are
 * containers, and its table holds sixteen.
 */
static bool answer_arp(const struct slirp_uplink *u, const uint8_t *frame, size_t len) {
    struct arp_frame {
        struct ether_header eth;
        struct ether_arp arp;
    } q, a;
    if (len < sizeof q)
        return false;
    memcpy(&q, frame, sizeof q);
    if (q.eth.ether_type != htons(ETHERTYPE_ARP) || q.arp.arp_op != htons(ARPOP_REQUEST))
        return false;
    a = q;
    a.arp.arp_op = htons(ARPOP_REPLY);
    memcpy(a.eth.ether_dhost, q.eth.ether_shost, ETH_ALEN);
    memcpy(a.eth.ether_shost, u->mac, ETH_ALEN);
    memcpy(a.arp.arp_sha, u->mac, ETH_ALEN);
    memcpy(a.arp.arp_spa, q.arp.arp_tpa, sizeof a.arp.arp_spa);
    memcpy(a.arp.arp_tha, q.arp.arp_sha, ETH_ALEN);
    memcpy(a.arp.arp_tpa, q.arp.arp_spa, sizeof a.arp.arp_tpa);
    slirp_input(u->slirp, (const uint8_t *)&a, sizeof a);
    return true;
}

/* Of the pseudo header that IPv6 puts before a message of ICMP, and the message. */
static uint16_t icmp6_checksum(const struct ip6_hdr *ip, const void *message, size_t len) {
    const uint8_t *parts[] = {ip->ip6_src.s6_addr, ip->ip6_dst.s6_addr, message};
    const size_t lens[] = {sizeof ip->ip6_src, sizeof ip->ip6_dst, len};
    uint32_t sum = (uint32_t)len + IPPROTO_ICMPV6;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        for (size_t k = 0; k < lens[i]; k += 2)
            sum += (uint32_t)parts[i][k] << 8 | parts[i][k + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    return htons((uint16_t)~sum);
}

/* The same of IPv6. */
static bool answer_neighbour(const struct slirp_uplink *u, const uint8_t *frame, size_t len) {
    struct nd_neighbor_solicit question;
    struct ether_header eth;
    struct ip6_hdr ip;
    uint8_t answer[sizeof eth + sizeof ip + sizeof(struct nd_neighbor_advert)];
    if (len < sizeof eth + sizeof ip + sizeof question)
        return false;
    memcpy(&eth, frame, sizeof eth);
    memcpy(&ip, frame + sizeof eth, sizeof ip);
    memcpy(&question, frame + sizeof eth + sizeof ip, sizeof question);
    if (eth.ether_type != htons(ETHERTYPE_IPV6) || ip.ip6_nxt != IPPROTO_ICMPV6 ||
        question.nd_ns_type != ND_NEIGHBOR_SOLICIT)
        return false;
    struct nd_neighbor_advert nd = {.nd_na_type = ND_NEIGHBOR_ADVERT, .nd_na_target = question.nd_ns_target};
    nd.nd_na_flags_reserved = ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE;
    ip.ip6_dst = ip.ip6_src;
    ip.ip6_src = question.nd_ns_target;
    ip.ip6_plen = htons(sizeof nd);
    nd.nd_na_cksum = icmp6_checksum(&ip, &nd, sizeof nd);
    memcpy(eth.ether_dhost, eth.ether_shost, ETH_ALEN);
    memcpy(eth.ether_shost, u->mac, ETH_ALEN);
    memcpy(answer, &eth, sizeof eth);
    memcpy(answer + sizeof eth, &ip, sizeof ip);
    memcpy(answer + sizeof eth + sizeof ip, &nd, sizeof nd);
    slirp_input(u->slirp, answer, sizeof answer);
    return true;
}

static ssize_t send_frame(const void *frame, size_t len, void *ctx) {
    const struct slirp_uplink *u = ctx;
    if (answer_arp(u, frame, len) || answer_neighbour(u, frame, len))
        return (ssize_t)len;
    ssize_t n = write(u->link.fd, frame, len);
    /* A full queue loses the frame, as any network would. */
    return n < 0 && (errno == EAGAIN || errno == ENOBUFS) ? (ssize_t)len : n;
}

static void guest_error(const char *text, void *ctx) {
    (void)ctx;
    log_debug("uplink: %s", text);
}

static int64_t clock_ns(void *ctx) {
    (void)ctx;
    return loop_now();
}

/* The one timer there is sends router advertisements, which nobody behind the link listens to. */
static void *timer_new(SlirpTimerId id, void *cb_ctx, void *ctx) {
    (void)id, (void)cb_ctx;
    return ctx;
}
static void timer_free(void *timer, void *ctx) { (void)timer, (void)ctx; }
static void timer_mod(void *timer, int64_t expire_ms, void *ctx) { (void)timer, (void)expire_ms, (void)ctx; }

static struct polled *polled_of(struct slirp_uplink *u, int fd) {
    if ((size_t)fd >= u->n_polled) {
        size_t n = (size_t)fd + 64;
        u->polled = mem_resize(u->polled, n, sizeof *u->polled);
        memset(u->polled + u->n_polled, 0, (n - u->n_polled) * sizeof *u->polled);
        u->n_polled = n;
    }
    return &u->polled[fd];
}

static void socket_opened(int fd, void *ctx) {
    struct slirp_uplink *u = ctx;
    int type = 0;
    socklen_t len = sizeof type;
    struct polled *p = fd < 0 ? NULL : polled_of(u, fd);
    if (!p || p->open)
        return;
    p->open = true;
    p->kind = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM ? STREAM : FLOW;
    u->n_open[p->kind]++;
}

/* Closing takes it out of the table; the number may be another socket's at once. */
static void socket_closes(int fd, void *ctx) {
    struct slirp_uplink *u = ctx;
    if (fd < 0 || (size_t)fd >= u->n_polled)
        return;
    const struct polled *p = &u->polled[fd];
    if (p->open)
        u->n_open[p->kind]--;
    if (p->events)
        epoll_ctl(u->sockets.fd, EPOLL_CTL_DEL, fd, NULL);
    u->polled[fd] = (struct polled){.listed = p->listed};
}

/* More can be read soon; it is asked again at the end of every turn anyway. */
static void notify(void *ctx) { (void)ctx; }

static const SlirpCb callbacks = {
    .send_packet = send_frame,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_new_opaque = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = socket_opened,
    .unregister_poll_fd = socket_closes,
    .notify = notify,
};

/* ---- what it wants to be watched ---- */

static const struct {
    int slirp;
    uint32_t epoll;
} event_names[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

static void list_socket(struct slirp_uplink *u, int fd) {
    if (u->n_listed == u->room_listed) {
        u->room_listed = u->room_listed ? 2 * u->room_listed : 16;
        u->listed = mem_resize(u->listed, u->room_listed, sizeof *u->listed);
    }
    u->listed[u->n_listed++] = fd;
    u->polled[fd].listed = true;
}

/* A descriptor is its own index. */
static int add_poll(int fd, int events, void *ctx) {
    struct slirp_uplink *u = ctx;
    struct polled *p = polled_of(u, fd);
    struct epoll_event ev = {.data.fd = fd};
    for (size_t i = 0; i < ARRAY_LEN(event_names); i++)
        if (events & event_names[i].slirp)
            ev.events |= event_names[i].epoll;
    p->asked_in = u->question;
    if (p->events == ev.events)
        return fd;
    if (!p->listed)
        list_socket(u, fd);
    if (epoll_ctl(u->sockets.fd, p->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) == 0)
        p->events = ev.events;
    return fd;
}

/* Takes out of the table what did not come up in the last question. */
static void sweep(struct slirp_uplink *u) {
    size_t kept = 0;
    for (size_t i = 0; i < u->n_listed; i++) {
        int fd = u->listed[i];
        struct polled *p = &u->polled[fd];
        if (p->events && p->asked_in == u->question) {
            u->listed[kept++] = fd;
            continue;
        }
        if (p->events)
            epoll_ctl(u->sockets.fd, EPOLL_CTL_DEL, fd, NULL);
        p->events = 0;
        p->listed = false;
    }
    u->n_listed = kept;
}

static void ask_slirp(struct slirp_uplink *u) {
    uint32_t ms = UINT32_MAX;
    u->question++;
    slirp_pollfds_fill(u->slirp, &ms, add_poll, u);
    sweep(u);
    if (ms >= NOTHING_TO_TIME_MS)
        loop_untimer(u->loop, &u->clock);
    else if (!u->id && u->loop->bypass) /* no TCP comes by here: all there is to time is the end of a flow */
        loop_timer(u->loop, &u->clock, FLOWS_CHECK_S * NSEC_PER_SEC);
    else
        loop_timer(u->loop, &u->clock, ms * NSEC_PER_MSEC);
}

static int get_revents(int fd, void *ctx) {
    const struct slirp_uplink *u = ctx;
    int events = 0;
    if (fd < 0 || (size_t)fd >= u->n_polled)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(event_names); i++)
        if (u->polled[fd].revents & event_names[i].epoll)
            events |= event_names[i].slirp;
    return events;
}

/* Lets libslirp handle its sockets, and asks what next. */
static void serve_sockets(struct slirp_uplink *u) {
    struct epoll_event ev[EVENTS_A_TURN];
    int n = u->n_listed ? epoll_wait(u->sockets.fd, ev, EVENTS_A_TURN, 0) : 0;
    for (int i = 0; i < n; i++)
        u->polled[ev[i].data.fd].revents = ev[i].events;
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    for (int i = 0; i < n; i++)
        u->polled[ev[i].data.fd].revents = 0;
    ask_slirp(u);
}

/* ---- frames ---- */

/*
 * libslirp's own reassembly of fragments can be led astray by a single one. The namespace has put together what came in
 * parts (its address translation cannot do without), so all that is lost is a datagram larger than the link.
 */
static bool is_fragment(const uint8_t *ip) { return (ip[6] & 0x3f) || ip[7]; }

/*
 * An address on the container's own link: libslirp, which serves files and boots machines there if one lets it. Of its
 * own it answers pings and refuses connections.
 */
static bool may_reach(const struct loop *l, const struct link_near *near, const struct net_addr *to,
                      unsigned protocol) {
    const struct net_addr *net = near ? &near->net[to->family == AF_INET6] : NULL;
    if (net && net->family && net_addr_contains(net, to))
        return protocol != IPPROTO_UDP || near->loopback;
    return !policy_denies(l, to);
}

static bool welcome4(const struct loop *l, const struct link_near *near, const uint8_t *packet, size_t len) {
    struct net_addr to = {.family = AF_INET, .prefix = 32};
    if (len < sizeof(struct ip) || is_fragment(packet))
        return false;
    memcpy(to.b, packet + offsetof(struct ip, ip_dst), 4);
    return may_reach(l, near, &to, packet[offsetof(struct ip, ip_p)]);
}

static bool welcome6(const struct loop *l, const struct link_near *near, const uint8_t *packet, size_t len) {
    struct net_addr to = {.family = AF_INET6, .prefix = 128};
    if (len < sizeof(struct ip6_hdr))
        return false;
    unsigned protocol = packet[offsetof(struct ip6_hdr, ip6_nxt)];
    memcpy(to.b, packet + offsetof(struct ip6_hdr, ip6_dst), 16);
    /* neighbours are asked for by multicast, and answer to the link's own addresses */
    if (to.b[0] == 0xff || (to.b[0] == 0xfe && (to.b[1] & 0xc0) == 0x80))
        return protocol == IPPROTO_ICMPV6;
    return may_reach(l, near, &to, protocol);
}

bool frame_welcome(const struct loop *l, const struct link_near *near, const uint8_t *frame, size_t len) {
    if (len < ETH_HLEN)
        return false;
    unsigned type = (unsigned)frame[12] << 8 | frame[13];
    if (type == ETHERTYPE_IP)
        return welcome4(l, near, frame + ETH_HLEN, len - ETH_HLEN);
    if (type == ETHERTYPE_IPV6)
        return welcome6(l, near, frame + ETH_HLEN, len - ETH_HLEN);
    return type == ETHERTYPE_ARP && len >= ETH_HLEN + ARP_LEN;
}

/* ---- what is one too many ---- */

/* An IP packet that libslirp may see, which has checked no more than its IP header. */
struct content {
    const uint8_t *source, *data; /* the address; what follows the header */
    size_t source_len, len;
    unsigned protocol;
};

static struct content content_of(const uint8_t *frame, size_t len) {
    const uint8_t *ip = frame + ETH_HLEN;
    bool v6 = (frame[12] << 8 | frame[13]) == ETHERTYPE_IPV6;
    size_t header = v6 ? sizeof(struct ip6_hdr) : (size_t)(ip[0] & 0x0f) * 4, rest = len - ETH_HLEN;
    return (struct content){.source = ip + (v6 ? offsetof(struct ip6_hdr, ip6_src) : offsetof(struct ip, ip_src)),
                            .source_len = v6 ? 16 : 4,
                            .protocol = ip[v6 ? offsetof(struct ip6_hdr, ip6_nxt) : offsetof(struct ip, ip_p)],
                            .data = ip + (header < rest ? header : rest),
                            .len = header < rest ? rest - header : 0};
}

static bool begins_stream(const struct content *c) {
    enum { FLAGS_AT = 13, SYN = 0x02, FIN_SYN_RST_ACK_URG = 0x37 };
    return c->protocol == IPPROTO_TCP && c->len > FLAGS_AT && (c->data[FLAGS_AT] & FIN_SYN_RST_ACK_URG) == SYN;
}

static bool is_echo(const struct content *c) {
    return c->len && ((c->protocol == IPPROTO_ICMP && c->data[0] == ICMP_ECHO) ||
                      (c->protocol == IPPROTO_ICMPV6 && c->data[0] == ICMP6_ECHO_REQUEST));
}

/* libslirp has one socket for all that comes from an address and port. FNV-1a: who finds collisions gains a socket. */
static uint32_t flow_of(const struct content *c) {
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < c->source_len; i++)
        h = (h ^ c->source[i]) * 16777619U;
    for (size_t i = 0; i < 2 && i < c->len; i++)
        h = (h ^ c->data[i]) * 16777619U;
    return h ? h : 1;
}

/* Whether a frame opens no socket, or one that there is room for. */
static bool has_room(struct slirp_uplink *u, const uint8_t *frame, size_t len) {
    if ((frame[12] << 8 | frame[13]) == ETHERTYPE_ARP)
        return true;
    const struct content c = content_of(frame, len);
    if (begins_stream(&c))
        return u->n_open[STREAM] < u->most[STREAM];
    bool room = u->n_open[FLOW] < u->most[FLOW];
    if (c.protocol != IPPROTO_UDP)
        return room || !is_echo(&c);
    uint32_t flow = flow_of(&c), *known = &u->known[flow % FLOWS_MAX];
    if (room)
        *known = flow;
    return room || *known == flow;
}

static void set_most(struct slirp_uplink *u) {
    static const uint32_t most[KINDS] = {[STREAM] = STREAMS_MAX, [FLOW] = FLOWS_MAX};
    uint32_t part = u->loop->descriptors / OF_DESCRIPTORS;
    for (int i = 0; i < KINDS; i++) {
        uint32_t wanted = most[i] * (u->id ? 1 : NAMESPACE_TIMES);
        u->most[i] = wanted < part ? wanted : part;
    }
}

static void link_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct slirp_uplink *u = (struct slirp_uplink *)(void *)w;
    (void)events;
    for (int i = 0; i < FRAMES_A_TURN; i++) {
        ssize_t n = read(w->fd, l->buffer, FRAME_MAX);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            log_debug("uplink: %m");
            loop_park(l, w); /* the namespace is gone */
            return;
        }
        if (n <= 0)
            break;
        if (!frame_welcome(l, u->id ? &u->near : NULL, l->buffer, (size_t)n))
            continue;
        memcpy(u->mac, l->buffer + ETH_ALEN, ETH_ALEN);
        if (has_room(u, l->buffer, (size_t)n))
            slirp_input(u->slirp, l->buffer, (int)n);
    }
    serve_sockets(u);
}

static void sockets_ready(struct loop *l, struct watch *w, uint32_t events) {
    (void)l, (void)events;
    serve_sockets(container_of(w, struct slirp_uplink, sockets));
}

static void clock_fires(struct loop *l, struct timer *t) {
    (void)l;
    serve_sockets(container_of(t, struct slirp_uplink, clock));
}

/* ---- the beginning ---- */

static Slirp *new_slirp(struct slirp_uplink *u, const struct uplink_wanted *want) {
    const struct net_addr *net6 = &want->near.net[1];
    struct net_addr mask = {.family = AF_INET, .b = {0xff, 0xff, 0xff, 0xff}, .prefix = want->near.net[0].prefix};
    SlirpConfig c = {.version = 4,
                     .in_enabled = true,
                     .in6_enabled = net6->family != 0,
                     .vprefix_len = (uint8_t)net6->prefix,
                     .if_mtu = (size_t)want->mtu,
                     .if_mru = (size_t)want->mtu,
                     .disable_host_loopback = !want->near.loopback,
                     .disable_dns = true,
                     .disable_dhcp = true};
    mask = net_addr_masked(&mask);
    memcpy(&c.vnetmask, mask.b, sizeof c.vnetmask);
    memcpy(&c.vnetwork, want->near.net[0].b, sizeof c.vnetwork);
    memcpy(&c.vhost, want->gateway[0].b, sizeof c.vhost);
    memcpy(&c.vprefix_addr6, net6->b, sizeof c.vprefix_addr6);
    memcpy(&c.vhost6, want->gateway[1].b, sizeof c.vhost6);
    for (int i = 0; i < 2; i++)
        (void)sockaddr_make(&want->from[i], 0, &u->from[i]);
    if (want->from[0].family)
        c.outbound_addr = (struct sockaddr_in *)&u->from[0];
    if (want->from[1].family)
        c.outbound_addr6 = (struct sockaddr_in6 *)&u->from[1];
    return slirp_new(&c, &callbacks, u);
}

/* The container's, or that of the helper's namespace (NULL). */
static struct slirp_uplink **find_uplink(struct loop *l, const char *id) {
    struct slirp_uplink **at = &l->uplinks;
    while (*at && !(id ? (*at)->id && strcmp((*at)->id, id) == 0 : !(*at)->id))
        at = &(*at)->next;
    return at;
}

static void uplink_free(struct loop *l, struct slirp_uplink *u) {
    loop_untimer(l, &u->clock);
    if (u->slirp)
        slirp_cleanup(u->slirp);
    loop_drop(l, &u->sockets);
    loop_drop(l, &u->link);
    free(u->polled);
    free(u->listed);
    free(u->id);
    free(u);
}

struct err *uplink_start(struct loop *l, int take_link, const struct uplink_wanted *want) {
    static const int on = 1;
    autofd int fd = take_link;
    if (fd < 0 || *find_uplink(l, want->id))
        return err_new(ERR_CONFLICT, fd < 0 ? "uplink without a descriptor" : "there is an uplink already");
    TRY(fd_set_nonblock(fd, true));
    if (strcmp(want->kind, "packet") ==
        0) /* frames of our side's kernel that go out by this interface are not for us */
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
    struct slirp_uplink *u = mem_alloc(sizeof *u);
    u->loop = l;
    u->id = mem_dup(want->id);
    u->near = want->near;
    set_most(u);
    u->link = (struct watch){.fd = take_fd(&fd), .ready = link_ready};
    u->sockets = (struct watch){.fd = epoll_create1(EPOLL_CLOEXEC), .ready = sockets_ready};
    u->clock.fire = clock_fires;
    u->slirp = u->sockets.fd >= 0 ? new_slirp(u, want) : NULL;
    if (!u->slirp || !loop_add(l, &u->sockets, EPOLLIN) || !loop_add(l, &u->link, EPOLLIN)) {
        uplink_free(l, u);
        return err_new(ERR_SYSTEM, "start the uplink");
    }
    u->next = l->uplinks;
    l->uplinks = u;
    return NULL;
}

void uplink_end(struct loop *l, const char *id) {
    struct slirp_uplink **at = find_uplink(l, id), *u = *at;
    if (!u)
        return;
    *at = u->next;
    uplink_free(l, u);
}
