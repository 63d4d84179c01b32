/*
 * publish: ports of the host that lead into containers. The part that publish.c (ports, TCP, the pool of inner sockets)
 * and publish_udp.c (flows) share.
 *
 * A published port has a listener for each family of addresses, in the host's network namespace. For each client there
 * is an inner socket, made by the warden in the helper's namespace and allowed to take any address (IP_TRANSPARENT):
 * it takes the client's, so that the container sees who it is, and the answers come home by the helper's rules. A
 * client on the host's own loopback, or one of the other family, or one with an address that means something else
 * inside, appears as the gateway instead.
 */
#pragma once

#include "net/helper/helper_int.h"

enum {
    POOL_LOW = 16,  /* ask for more below this */
    POOL_BATCH = 8, /* so many come at a time */
    POOL_MAX = 32,  /* more are closed */
    FLOW_BUCKETS = 256,
    TURN_MAX = 64 /* connections or datagrams, then it is somebody else's turn */
};

/* Inner sockets of a family and protocol that nobody uses yet. */
struct pool {
    int fd[POOL_MAX];
    size_t n;
    size_t asked; /* messages on the way */
    int family;
    bool udp;
};

/* Those of one namespace: the helper's, or a container's that has no bridge. */
struct pools {
    struct pools *next;
    char *id;               /* the container's; NULL: the helper's namespace */
    size_t n_ports;         /* that use them */
    struct pool pool[2][2]; /* [IPv6][UDP] */
};

struct port;
struct listener {
    struct watch w; /* fd -1: not this family */
    struct port *port;
    bool paused; /* UDP: no inner socket for the next datagram */
};

struct port {
    struct port *next;
    char *id, *host_ip; /* of the container; as asked for */
    bool udp;
    uint16_t host_port, port;
    struct net_addr ip[2];      /* of the container, v4 and v6; family 0: none */
    struct net_addr gateway[2]; /* what a client without an address inside is there; family 0: the kernel knows */
    struct pools *pools;
    struct listener listen[2];
    struct relay_group relays;
};

/* A client that waits for an inner socket. */
struct waiter {
    struct waiter *next;
    struct port *port;
    int client;
    struct sockaddr_storage peer;
    bool any_port; /* its own port is taken inside */
};

struct flow;
struct ports {
    struct port *first;
    struct pools *pools; /* the helper's namespace's last */
    struct waiter *waiting, **last_waiting;
    struct flow *flow[FLOW_BUCKETS];
    struct flow *oldest, *newest; /* by last use */
    size_t n_flows;
    struct timer idle;
};

/* An inner socket for a client of this port: from the pool of the family in which the container is reached; -1: none
 * there yet. Asks for more when it runs low. */
int inner_take(struct loop *l, const struct port *p, int client_family);
/* Whether there is one. */
bool inner_there(struct loop *l, const struct port *p, int client_family);
/* Lets `fd` speak as the client where that can be, and fills in the container's address. */
socklen_t inner_address(const struct loop *l, const struct port *p, int fd, const struct sockaddr_storage *peer,
                        bool any_port, struct sockaddr_storage *ret_to);

/* ---- publish_udp.c ---- */
void udp_ports_init(struct ports *ports);
/* Prepares a bound socket; its handler is udp_ready(). */
void udp_prepare(int fd, int family);
void udp_ready(struct loop *l, struct watch *w, uint32_t events);
/* Ends the flows of a port. */
void udp_port_end(struct loop *l, const struct port *p);
/* Inner sockets have come: listeners that wait for one go on. */
void udp_resume(struct loop *l);
