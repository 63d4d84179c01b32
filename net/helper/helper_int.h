/*
 * helper: coracle-net, the one process pair that a user's bridge networks have.
 *
 *   warden   in the helper's own network namespace, with the capabilities of the user namespace. Speaks with monitors
 *            (net/net.h): it makes bridges, links, routes, nft rules and sockets, and gives out addresses. It sees no
 *            packet and no byte of a container's.
 *   loop     forked by the warden before anything else, in the host's network namespace, without a capability, behind a
 *            seccomp allow-list, in an empty root. It does all that touches containers' bytes: libslirp (UDP, ICMP, and
 *            TCP where there is no bypass), the TCP bypass, published ports, DNS. Every socket of the inner side comes
 *            from the warden by SCM_RIGHTS; sockets of the host side it makes itself.
 *
 * Between them a unix stream socket with base/msg.h. Requests of the warden have a "seq" and are answered with the same
 * "seq"; the loop asks for nothing but sockets ("want").
 *
 *   warden → loop
 *     {"op":"uplink","kind":"tap"|"packet","mtu":N,"subnet":"10.0.2.0/24","gateway":"10.0.2.2","subnet6","gateway6"}
 *                                                              fd: the tap, or an AF_PACKET socket
 *       of a container's own: "id", and "loopback":true         where the gateway's address leads to the host's
 * loopback, "from":"192.0.2.7","from6"                             where its sockets are bound to addresses of the host
 *     {"op":"unlink","id":"<container>"}                       its end
 *     {"op":"bypass"}                                          fds: listener v4, listener v6, [nfqueue netlink socket]
 *     {"op":"inner","family":4|6,"proto":"tcp"|"udp"}          fds: up to 8 transparent sockets, non-blocking, made in
 *                                                              the helper's namespace, for the pool of published ports;
 *                                                              with "id" in that container's, for its own
 *     {"op":"publish","seq":N,"id":…,"proto","host_ip","host_port","port","ip":"10.89.7.2","ip6":""}
 *                                                            → {"seq":N,"host_port":8080} or {"seq":N,"error":…}
 *       with "gateway","gateway6" the port of a container whose inner sockets are its own: what a client without an
 *       address of its own is there
 *     {"op":"unpublish","id":…}  {"op":"unpublish","id":…,"proto","host_ip","host_port"}
 *     {"op":"dns","id":"<container>" or "net:<network id>"}    fds: udp, tcp listener, where queries arrive; both
 *                                                              non-blocking, bound to one address (never to all of
 *                                                              them, for answers go out from it); again with the same
 *                                                              id for IPv6. The id names the scope of the answers
 *     {"op":"undns","id":…}                                    ends these sockets, and forgets the scope
 *     {"op":"names","network":"<id>","name":"back","host":"192.0.2.7","host6":"",
 *      "names":[{"id","ip","ip6","names":["web","store","0123456789ab"]}]}
 *                                                              replaces what is known of a network; without "names" it
 *                                                              is forgotten. The first name is the one for PTR, as
 *                                                              "web.back"; "host" is what host.docker.internal is
 *     {"op":"scope","id":"<container>" or "net:<id>","networks":["<id>", …],"dns":[…],"forward":true}
 *                                                              what is seen there, in this order: the first network
 *                                                              that knows a name answers. dns: servers instead of the
 *                                                              host's, asked only where policy lets containers connect.
 *                                                              forward false (all of its networks are internal): only
 *                                                              names. "net:<id>" without a scope sees its own network
 *     {"op":"resolv","servers":["192.0.2.1", "fe80::1%2", …]}  the host's resolv.conf, again when it changes; a zone is
 *                                                              a number, "#5353" behind an address another port
 *     {"op":"deny","nets":["172.17.0.1/32", …]}                addresses of the helper itself, never connected to
 *   loop → warden
 *     {"want":"inner","family":4|6,"proto":"tcp"|"udp"}        the pool runs low; with "id" that container's
 *     {"verdicts":[[id, mark], …]}                             on held packets, for queue_verdicts(): it takes
 *                                                              CAP_NET_ADMIN, which the loop has not
 *     {"ready":true,"level":…}                                 after self-isolation
 *
 * The helper's namespace: one bridge a network ("br-" and the first 11 digits of the network's id), holding the
 * gateway's address; link "v" + 12 digits of the endpoint on it; "uplink" (tap, or one end of a veth
 * pair) 10.0.2.100/24 and fd00:10:2::100/64 with the default routes to libslirp at .2; ip_forward on; rp_filter off;
 * nft table inet coracle, where "for the world" means that the routing table (fib) sends it out by the uplink:
 *   prerouting -150  a new SYN from a bridge for the world → queue (the xtables target NFQUEUE through nft_compat, else
 *                    nft's own `queue`, else nothing is held)
 *   prerouting -145  after the verdict: mark 1 → reset, mark 2 → host unreachable, mark 3 → net unreachable
 *   prerouting -100  TCP from a bridge for the world → redirect to the listener's port
 *   input            from a bridge to the gateway of another: drop
 *   forward          between two bridges: drop; from or to an internal network: drop
 *   postrouting 100  out by the uplink: masquerade
 * Replies to transparent sockets come home by `ip rule iif br-… ipproto … sport <port> lookup 100`, table 100 being
 * "local default dev lo", one rule a published port.
 *
 * A container of --network slirp has nothing in this namespace: its link is in its own, and its uplink, its published
 * ports' sockets and its rules for them carry its id (endpoint_slirp.c).
 *
 * Where the kernel takes no nft rules, routing rules hold the networks apart (walls.c), nothing is masqueraded, and all
 * that leaves goes by libslirp, which tells containers by their own addresses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/net.h"

/* The object that a member is part of. */
#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

struct msg_chan;

#define BRIDGE_PREFIX "br-"
#define UPLINK "uplink"

enum {
    MARK_REFUSED = 1,
    MARK_HOST_UNREACHABLE = 2,
    MARK_NET_UNREACHABLE = 3,
    NFQUEUE_NUMBER = 7,
    RULE_TABLE = 100,    /* of answers to transparent sockets */
    RULE_PRIORITY = 100, /* of the rules that lead there */
    WORLD_TABLE = 101,   /* out by the uplink, and nowhere else (walls.c) */
    DNS_PORT = 53,
    UPLINK_MTU = 65520
};

/* ---- loop.c: one epoll table; every descriptor has a handler ---- */

struct loop;
/* What is called when a descriptor is ready. Embed it in the object that it belongs to. */
struct watch {
    int fd;
    void (*ready)(struct loop *l, struct watch *w, uint32_t events);
};
struct timer {
    int64_t due; /* ns of CLOCK_MONOTONIC, 0: not set */
    void (*fire)(struct loop *l, struct timer *t);
    struct timer *next, *prev;
};
enum { LOOP_BUFFER = 256 << 10 };
struct loop {
    int epoll;
    int spare; /* given up for a moment to refuse a connection when there are no descriptors left */
    struct msg_chan *warden;
    struct watch channel;
    bool kept_for_warden;
    struct timer timers;       /* ring, the earliest first; no wake-up without one */
    struct epoll_event *round; /* what is still to be handled in this round */
    size_t n_round;
    uint8_t *buffer;      /* LOOP_BUFFER bytes that anybody may use until it returns */
    size_t kept;          /* bytes that relays hold for slow readers */
    uint32_t descriptors; /* how many the process may have */
    struct {
        struct pipe *idle;
        size_t n, n_idle;
    } pipes; /* of pipe.c */
    struct policy *policy;
    struct slirp_uplink *uplinks;
    struct bypass *bypass;
    struct shares *shares;
    struct ports *ports;
    struct dns *dns;
};
struct err *loop_init(struct loop *l) __attribute__((warn_unused_result));
/* Waits, lets everybody do what is to be done, and returns. */
void loop_round(struct loop *l);
bool loop_add(struct loop *l, struct watch *w, uint32_t events);
void loop_mod(struct loop *l, struct watch *w, uint32_t events);
/* Out of the table until the next loop_mod(): for a hung-up descriptor that nobody can do anything about yet. */
void loop_park(struct loop *l, struct watch *w);
/* Takes it out of the table and closes it. Safe for a watch whose event is still to be handled in this round. */
void loop_drop(struct loop *l, struct watch *w);
void loop_timer(struct loop *l, struct timer *t, int64_t after_ns);
void loop_untimer(struct loop *l, struct timer *t);
/* ns of CLOCK_MONOTONIC. */
int64_t loop_now(void);
/* accept4(2), non-blocking; -1 when nobody waits any more. Without a free descriptor it hangs up on the client. */
int loop_accept(struct loop *l, int listener, struct sockaddr_storage *ret_peer);

/* ---- loop_main.c: the process ---- */
/* Runs the loop process; never returns. Takes the channel to the warden. */
void loop_main(int warden_fd) __attribute__((noreturn));
/* An unasked message to the warden ("want", "verdicts"). */
void loop_tell(struct loop *l, const struct json *message);

/* An address or a block in a message; *ret stays when it is missing or "". */
struct err *loop_addr(const struct json *m, const char *key, struct net_addr *ret) __attribute__((warn_unused_result));

/* ---- sandbox.c ---- */
/* No new privileges, no capability, an empty root, the allow-list. After it the process can make AF_INET and AF_INET6
 * stream and datagram sockets and receive others, and nothing else. */
struct err *sandbox_enter(void) __attribute__((warn_unused_result));

/* ---- slirp.c ---- */
/* What libslirp itself has at the other end of a container's link. */
struct link_near {
    struct net_addr net[2]; /* the addresses of the link, IPv4 and IPv6 (family 0: none) */
    bool loopback;          /* its own is the host's loopback */
};
struct uplink_wanted {
    const char *id;   /* of the container behind the link; NULL: the helper's namespace */
    const char *kind; /* "tap", or "packet": an AF_PACKET socket */
    int mtu;
    struct link_near near;
    struct net_addr gateway[2]; /* libslirp's addresses */
    struct net_addr from[2];    /* addresses of the host that its sockets are bound to; family 0: none */
};
/* Takes the tap or the socket. One uplink for each id. */
struct err *uplink_start(struct loop *l, int take_link, const struct uplink_wanted *want)
    __attribute__((warn_unused_result));
/* Ends a container's uplink, and its connections; harmless when there is none. */
void uplink_end(struct loop *l, const char *id);
/*
 * Whether libslirp may see a frame: long enough for its headers, and not on its way to where policy denies. `near`: of
 * the link of a container, NULL: the helper's namespace, where nobody has a reason to speak to libslirp itself. Pure.
 */
bool frame_welcome(const struct loop *l, const struct link_near *near, const uint8_t *frame, size_t len);

/* ---- relay.c: two stream sockets, bytes both ways, half-close and reset carried over ---- */
struct relay;
struct relay_group { /* the connections of one published port, which end with it, or of one container's share */
    struct relay *first;
    void (*ended)(struct loop *l, struct relay_group *group); /* NULL, or is told of each that has ended */
};
/* Takes both sockets: a is connected, b is too, or on the way (`connecting`, by a non-blocking connect); where that
 * fails, a gets a reset. `group` may be NULL. The relay frees itself. */
void relay_start(struct loop *l, struct relay_group *group, int a, int b, bool connecting);
/* The same with b on its way to a container. 0, or the errno of a connect(2) that failed; then it takes nothing. */
int relay_connect(struct loop *l, struct relay_group *group, int a, int b, const struct sockaddr_storage *to);
/* Ends all connections of a group with resets. */
void relay_group_end(struct loop *l, struct relay_group *group);
/* Options that both sockets should have: no delay, and a look after five silent minutes whether the peer is still there
 * (a container may vanish without a word). What a listener accepts inherits them. */
void relay_prepare(int fd);
/* The same for one that leads into a container: there is no network to be congested, so nothing is paced, whatever the
 * host's rule for real ones. */
void relay_prepare_inside(int fd);
/* Closes a socket so that its peer sees a reset. */
void relay_reset(int take_fd);

/* ---- pipe.c: bytes from one socket to another without a copy ---- */
struct pipe;
/* An empty pipe, or NULL when there are enough of them. */
struct pipe *pipe_take(struct loop *l);
/* Gives one back; one that still holds something is no good for anybody else. */
void pipe_give(struct loop *l, struct pipe *take_pipe, bool empty);
/* As recv(2) and send(2), of a socket that does not block. To drain more than there is may hold back what there is. */
ssize_t pipe_fill(struct pipe *p, int from, size_t most);
ssize_t pipe_drain(struct pipe *p, int to, size_t n);

/* ---- share.c: how many connections each container has through the bypass ---- */
struct share;
/* A place for one more connection that comes from an address, to be given back with share_give() or by the end of a
 * relay in share_relays(). NULL: that address has its share, or all of them together have theirs. */
struct share *share_take(struct loop *l, const struct net_addr *of);
struct relay_group *share_relays(struct share *s);
void share_give(struct loop *l, struct share *s);

/* ---- bypass.c: outgoing TCP ---- */
struct err *bypass_start(struct loop *l, int listen4, int listen6, int nfqueue) __attribute__((warn_unused_result));
/* ---- queue.c: packets that the kernel holds (NFQUEUE) ---- */
/* A connection as its first packet names it; ports in host order. */
struct tuple {
    struct net_addr src, dst;
    uint16_t sport, dport;
};
struct held {
    uint32_t id;
    bool is_syn; /* else `tuple` is not set */
    struct tuple tuple;
};
/* One message of the queue's socket; false when it is none about a packet. Pure. */
bool queue_parse(const uint8_t *message, size_t n, struct held *ret);
/* A packet that begins a TCP connection; false for anything else. Pure. */
bool syn_parse(const uint8_t *packet, size_t n, struct tuple *ret);
/*
 * For the warden: carries out {"verdicts":[[id, mark], …]}, a mark of VERDICT_DROP dropping the packet and another one
 * accepting it with this mark. The kernel takes verdicts only from a process with CAP_NET_ADMIN, so the loop asks.
 */
enum { VERDICT_DROP = -1 };
void queue_verdicts(int nfqueue, const struct json *verdicts);

/* ---- policy.c ---- */
/* Addresses that a container may not reach through the host: loopback, unspecified, multicast, the helper's own. */
bool policy_denies(const struct loop *l, const struct net_addr *to);
void policy_set(struct loop *l, const struct json *nets);
/* A socket address of an address and a port (host order) and back; returns its length. */
socklen_t sockaddr_make(const struct net_addr *a, uint16_t port, struct sockaddr_storage *ret);
struct net_addr sockaddr_read(const struct sockaddr_storage *from, uint16_t *ret_port);
/* At the end of a round of the loop: sends the verdicts of this round. */
void bypass_settle(struct loop *l);

/* ---- publish.c, publish_udp.c ---- */
struct err *publish(struct loop *l, const struct json *request, uint16_t *ret_port) __attribute__((warn_unused_result));
void unpublish(struct loop *l, const struct json *request);
/* Takes inner sockets of a container (NULL: the helper's namespace) that the warden has made. */
void inner_add(struct loop *l, const char *id, int family, bool udp, const int *fds, size_t n);

/* ---- dns.c: sockets and forwarding; dns_message.c: bytes (pure, fuzzed); dns_names.c: who has what name ---- */
void dns_message(struct loop *l, const struct json *request, const int *fds,
                 size_t n); /* dns undns names scope resolv */

/* ---- warden.c ---- */
/* Serves monitors on a listening socket until a few seconds after the last lease; never returns. The end of the loop
 * is its end. run_root: where "net/serving" is, NULL: nowhere. */
void warden_main(int listener, int loop_fd, pid_t loop, const char *run_root) __attribute__((noreturn));

/* ---- link.c: rtnetlink on a socket of one namespace ---- */
struct mnl_socket;
/* A bound AF_NETLINK socket (NETLINK_ROUTE, NETLINK_NETFILTER) of the namespace that the caller is in;
 * mnl_socket_close() ends it. */
struct err *netlink_open(int bus, struct mnl_socket **ret) __attribute__((warn_unused_result));
struct rtnl; /* an AF_NETLINK socket made in the namespace that the caller is in */
struct err *rtnl_open(struct rtnl **ret) __attribute__((warn_unused_result));
void rtnl_free(struct rtnl *r);
static inline void rtnl_freep(struct rtnl **r) { rtnl_free(*r); }
struct err *rtnl_index(struct rtnl *r, const char *name, unsigned *ret) __attribute__((warn_unused_result));
/* A bridge that is up, or the one that exists. With a MAC of its own it does not change its mind with every port. */
struct err *rtnl_bridge(struct rtnl *r, const char *name, const uint8_t mac[6], unsigned mtu)
    __attribute__((warn_unused_result));
struct veth {
    const char *name;   /* here, up */
    unsigned master;    /* index of the bridge, 0: none */
    const char *peer;   /* there */
    int netns;          /* where `peer` is to be, -1: here */
    const uint8_t *mac; /* of the peer, 6 bytes */
    unsigned mtu;
};
/* A veth pair. */
struct err *rtnl_veth(struct rtnl *r, const struct veth *v) __attribute__((warn_unused_result));
struct err *rtnl_up(struct rtnl *r, unsigned index, unsigned mtu) __attribute__((warn_unused_result));
/* Of a link that is down. */
struct err *rtnl_mac(struct rtnl *r, unsigned index, const uint8_t mac[6]) __attribute__((warn_unused_result));
struct err *rtnl_addr(struct rtnl *r, unsigned index, const struct net_addr *a) __attribute__((warn_unused_result));
struct err *rtnl_default_route(struct rtnl *r, unsigned index, const struct net_addr *gateway, unsigned metric)
    __attribute__((warn_unused_result));
struct err *rtnl_delete(struct rtnl *r, const char *name) __attribute__((warn_unused_result));
/* A routing rule: where packets that are like this are looked up. What is NULL or 0 may be anything. */
struct route_rule {
    int family;
    unsigned priority;
    const char *iif;
    const struct net_addr *from, *to; /* blocks */
    int ipproto;
    uint16_t sport;
    unsigned table; /* 0: nowhere, they are unreachable */
};
/* Adds or deletes one; one that is there, or gone, already is fine. */
struct err *rtnl_rule(struct rtnl *r, bool add, const struct route_rule *rule) __attribute__((warn_unused_result));
/* RULE_TABLE: everything is local; what is sent there without an address has `from` (NULL: as the kernel likes). */
struct err *rtnl_local_table(struct rtnl *r, int family, const struct net_addr *from)
    __attribute__((warn_unused_result));
/* A default route of another table than the main one; and a block that it does not lead to. */
struct err *rtnl_table_default(struct rtnl *r, unsigned table, unsigned index, const struct net_addr *gateway)
    __attribute__((warn_unused_result));
struct err *rtnl_table_unreachable(struct rtnl *r, bool add, unsigned table, const struct net_addr *block)
    __attribute__((warn_unused_result));
/* Moves the kernel's own rule for local addresses from the first place to `priority`. */
struct err *rtnl_local_rule_move(struct rtnl *r, int family, unsigned priority) __attribute__((warn_unused_result));

/* ---- nft.c: the rule set as one netlink batch (libmnl) ---- */
struct nft; /* a socket of the namespace that the caller is in */
struct err *nft_open(struct nft **ret) __attribute__((warn_unused_result));
void nft_free(struct nft *nft);
enum nft_level { NFT_REDIRECT, NFT_QUEUE }; /* what the kernel took */
struct nft_wanted {
    uint16_t redirect_port;
    bool hold;    /* there is a queue to hold connection requests in */
    bool replace; /* there may be a table already */
};
struct err *nft_load(struct nft *nft, const struct nft_wanted *want, enum nft_level *ret)
    __attribute__((warn_unused_result));
/* Whether a bridge is in the set of those that lead nowhere. */
struct err *nft_internal(struct nft *nft, const char *bridge, bool internal) __attribute__((warn_unused_result));
/* An nfnetlink socket bound to NFQUEUE_NUMBER, copying whole packets. */
struct err *nfqueue_open(int *ret) __attribute__((warn_unused_result));

/* ---- ipam.c (pure): addresses of one network ---- */
struct ipam;
struct ipam *ipam_new(const struct net_def *d);
void ipam_free(struct ipam *i);
/* The address asked for, or the next free one (round robin, so that one just given back is not used again at once).
 * Errors: outside of the subnet, in use by whom, none left. */
struct err *ipam_take(struct ipam *i, const char *wanted, int family, const char *owner, struct net_addr *ret)
    __attribute__((warn_unused_result));
void ipam_give(struct ipam *i, const struct net_addr *a);
