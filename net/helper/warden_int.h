/*
 * warden_int: what the warden knows. Every monitor's connection is a `lease`, with a container once attach or restore
 * has succeeded. Leases own endpoints, endpoints use networks.
 *
 * The warden is one thread that changes its network namespace: it is in its own (`own_ns`) except between
 * warden_enter() and warden_come_back(), in functions that are in a container's for as long as they set that up.
 *
 * A network whose last endpoint has gone stays for the next one, until another wants its addresses.
 *
 * Nothing but leases holds state that matters: the opaque "restore" of an answer is an attach request in which nothing
 * is left to choose, so taking a lease up again is attaching, where links that are there already are left alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/helper/helper_int.h"

struct json;
struct warden;

#define DNS_INSIDE "127.0.0.11"

enum { ENDPOINTS_MAX = 32, PORTS_MAX = 4096, NAMES_MAX = 64, LEASES_MAX = 1024, LINK_NAME_MAX = 16, HOST_MAX = 46 };

/* A descriptor of the table, embedded in what it belongs to. */
struct source {
    int fd;
    void (*ready)(struct warden *w, struct source *s);
};

struct network {
    struct network *next;
    bool alone; /* of one container, behind a libslirp of its own (endpoint_slirp.c): no bridge */
    struct net_def *def;
    struct ipam *ipam;
    char bridge[LINK_NAME_MAX];
    unsigned index, mtu;
    struct net_addr gateway, gateway6; /* family 0: none */
    size_t endpoints;
    bool answers_dns; /* at the gateway's address */
};

struct endpoint {
    struct network *network;
    char link[LINK_NAME_MAX];
    char *ifname;
    struct net_addr ip, ip6; /* family 0: none */
    uint8_t mac[6];
    struct strv aliases, link_local; /* further addresses of the link, as text */
    int64_t gw_priority;             /* the highest gives the way out */
    bool linked, found;              /* the link was made, was there already */
};

struct port {
    char *proto, *host_ip;
    uint16_t host_port, port;
    bool published;
    char *lost; /* why it is not, though it was; NULL: it is, or is about to be */
};

struct lease {
    struct source source; /* first: the table hands this out */
    struct lease *next;
    struct msg_chan *chan;
    char *id; /* NULL: a connection that only asks */
    char *name, *hostname;
    int netns;
    struct endpoint *endpoints[ENDPOINTS_MAX];
    size_t n_endpoints;
    const struct endpoint *way_out;  /* IPv4's default route, and ports; NULL: none */
    const struct endpoint *way_out6; /* IPv6's */
    struct port *ports;
    size_t n_ports;
    struct strv dns;
    bool dns_internal, attached;
    bool greeted;          /* about to attach, by another connection */
    struct json *deferred; /* a request that waits for restores, NULL: none */
    int deferred_fd;
    pid_t pid; /* whose connection it is; 0: it cannot be seen from here */
    uint64_t pid_start;
};

struct warden {
    int epoll;
    struct source listener, loop_source, loop_end, resolv;
    struct msg_chan *loop;
    pid_t loop_pid;
    uint64_t loop_start; /* proc_start_time() */
    int64_t seq;
    struct lease *leases;
    size_t n_leases, n_attached, n_greeted;
    int serving;             /* the file of that name, -1: none */
    struct awaited *awaited; /* of whom n_awaited are to come back before anybody else is served */
    size_t n_awaited;
    int64_t await_until; /* loop_now(), after each restore anew */
    bool settled;        /* and who came before that has been served */
    struct network *networks;
    int own_ns;        /* -1: not decided yet */
    int queue;         /* of held packets, for the loop's verdicts; -1: none */
    struct nft *nft;   /* NULL: the kernel takes no rules, routing keeps networks apart (walls.c) */
    struct rtnl *rtnl; /* of own_ns */
    int sweep;         /* the sweeper's pipe, -1: none yet */
    bool loaded_once;
    const char *level;                    /* NULL: not set up yet */
    char *lacks;                          /* why the level is no better, NULL: it is the best */
    char host[HOST_MAX], host6[HOST_MAX]; /* the host's own outgoing addresses, or "" */
    char *resolv_text;                    /* what the loop was told last */
    bool primed[2][2];                    /* inner sockets were sent: [IPv6][UDP] */
    bool has_ipv6;
};

/* ---- warden.c ---- */
void warden_watch(struct warden *w, struct source *s, int fd, void (*ready)(struct warden *, struct source *));
/* Says something to the loop, with descriptors. A loop that cannot be told is dead, and with it the warden. */
void warden_tell(struct warden *w, const struct json *message, const int *fds, size_t n);
/* Asks the loop (a "seq" is added) and waits; its error is this function's. */
struct err *warden_ask(struct warden *w, struct json *question, struct json **ret) __attribute__((warn_unused_result));
void warden_die(struct err *take_e) __attribute__((noreturn));

/* ---- warden_setup.c ---- */
/* Makes the namespace (or enters `helper_ns`, -1: none) and sets it up, once. */
struct err *warden_setup(struct warden *w, int helper_ns) __attribute__((warn_unused_result));
/* Into a container's namespace, and back. */
struct err *warden_enter(const struct lease *l) __attribute__((warn_unused_result));
void warden_come_back(struct warden *w);
/* Of the namespace that the warden is in. -1 with errno. */
int warden_sysctl(const char *path, const char *value);

/* ---- walls.c: isolation where there is no nft ---- */
/* Once for each family: what goes out by `uplink` goes to `gateway`. */
struct err *walls_begin(struct warden *w, unsigned uplink, const struct net_addr *gateway)
    __attribute__((warn_unused_result));
/* The rules of one network, whose bridge is there. */
struct err *walls_around(struct warden *w, const struct network *n, bool add) __attribute__((warn_unused_result));

/* ---- warden_sockets.c: made in the namespace that the warden is in ---- */
/* A datagram socket, or a stream listener. */
struct err *socket_bound(const struct net_addr *at, uint16_t port, int type, int *ret)
    __attribute__((warn_unused_result));
/* Listeners of both families on one port. */
struct err *socket_redirect(bool ipv6, int *ret4, int *ret6, uint16_t *ret_port) __attribute__((warn_unused_result));
/* Port 53 of an address, handed to the loop under `id`. */
struct err *socket_dns(struct warden *w, const char *id, const struct net_addr *at) __attribute__((warn_unused_result));
/* Hands two such sockets to the loop: datagrams, listener. */
void socket_dns_tell(struct warden *w, const char *id, const int fds[2]);
/* Sockets for the pool of published ports; `inside` a container, NULL: here. */
void warden_send_inner(struct warden *w, const struct lease *inside, int family, bool udp);
/* Sets a link up and opens a socket that sees each frame that comes out of it, and can answer. */
struct err *socket_packet(struct rtnl *r, const char *link, int *ret) __attribute__((warn_unused_result));

/* ---- dns_inside.c: port 53 of 127.0.0.11, without taking it from the container ---- */
/* In the container's namespace; `id` is the container's. */
struct err *dns_inside(struct warden *w, const char *id) __attribute__((warn_unused_result));

/* ---- sweep.c ---- */
struct err *sweep_start(struct warden *w) __attribute__((warn_unused_result));
/* Deletes a link, soon. */
void sweep(struct warden *w, const char *link);

/* ---- serving.c: after another helper ---- */
/* Reads from the directory run_root who there may be, NULL: nobody; waits until the last helper's loop is gone, and
 * says who ours is. */
void serving_start(struct warden *w, const char *run_root, pid_t loop);
/* Whose connection it is. */
void serving_by(struct lease *l, int fd);
/* To be called before a lease is granted and after one has ended. */
void serving_changed(struct warden *w);
/* How long to wait for the next restore, in ms. */
int serving_timeout(const struct warden *w);
/* Puts aside a request that has to wait, and the first of its descriptors. */
bool serving_defers(struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds);
/* Lets go of what was put aside. */
void serving_forget(struct lease *l);
/* When all are there, or no more come: serves those who had to wait. nobody: nothing has happened since the last time.
 */
void serving_settle(struct warden *w, bool nobody);

/* ---- resolv.c ---- */
void resolv_start(struct warden *w);

/* ---- lease.c: one request; lease_json.c: its words ---- */
void lease_request(struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds);
/* Of a container; NULL: none. */
struct lease *lease_find(const struct warden *w, const char *id);
/* Takes back all that the lease has, in the reverse order. */
void lease_detach(struct warden *w, struct lease *l);
/* Everything of an attach request but its endpoints. */
struct err *lease_parse(struct lease *l, const struct json *request) __attribute__((warn_unused_result));
struct json *lease_answer(const struct warden *w, const struct lease *l);
/* Adds level and lacks. */
void lease_level(const struct warden *w, struct json *answer);
struct json *lease_list(const struct warden *w);

/* ---- endpoint_network.c ---- */
struct err *network_get(struct warden *w, const struct json *definition, struct network **ret)
    __attribute__((warn_unused_result));
void network_put(struct warden *w, struct network *n);
/* DNS at the gateway's address, for containers that have none inside. */
struct err *network_answer_dns(struct warden *w, struct network *n) __attribute__((warn_unused_result));
/* Tells the loop who is called what in a network. */
void network_names(struct warden *w, const struct network *n);

/* ---- endpoint.c ---- */
/* From {"network", "ifname", "ip", "ip6", "mac", "aliases", "link"}: the network, addresses, and the link. */
struct err *endpoint_new(struct warden *w, const struct lease *l, const struct json *j, struct endpoint **ret)
    __attribute__((warn_unused_result));
/* Takes back addresses and link. */
void endpoint_free(struct warden *w, struct endpoint *e);
/* Sets up, in the container, the endpoints from index `from` on and the way out; DNS inside when `dns`. */
struct err *endpoint_inside(struct warden *w, struct lease *l, size_t from, bool dns)
    __attribute__((warn_unused_result));

/* ---- endpoint_slirp.c: a container alone with libslirp ---- */
/* Makes the link, and the uplink in the loop; may be done again by the next helper. */
struct err *slirp_plug(struct warden *w, const struct lease *l, const struct endpoint *e)
    __attribute__((warn_unused_result));
/* Ends both. */
void slirp_unplug(struct warden *w, const struct network *n);
/* The way back of a published port, in the container. */
struct err *slirp_port_rules(struct warden *w, const struct lease *l, const struct port *p, bool add)
    __attribute__((warn_unused_result));

/* ---- lease_ports.c ---- */
struct err *ports_publish(struct warden *w, struct lease *l) __attribute__((warn_unused_result));
/* After a helper's death: a port that a stranger has taken meanwhile is lost, and not the whole network with it. */
void ports_republish(struct warden *w, struct lease *l);
void ports_unpublish(struct warden *w, struct lease *l);
