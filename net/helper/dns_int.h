/*
 * dns: the name server of coracle's networks, as docker's embedded one at 127.0.0.11.
 *
 *   dns_message.c  bytes: what a query asks, what an answer looks like, whether a reply belongs to a query. Pure,
 * fuzzed dns_names.c    who has what name: networks and their names, and what each scope sees of them dns.c messages of
 * the warden, the listening sockets, UDP queries, what becomes of a query dns_forward.c  UDP queries on their way to a
 * server of the host's resolv.conf dns_tcp.c      connections of clients, and theirs to such a server
 *
 * A query is one of three things. Ours, when a network that its scope sees has the name: answered at once, and with no
 * records when the name has none of that type, for an NXDOMAIN would make clients give up the other address family.
 * Anybody else's, a single label too: handed on as it came, but for the id, from a fresh socket with a fresh random id,
 * so that guessing a reply means guessing port and id; EDNS, DNSSEC and types nobody here has heard of pass untouched.
 * Where nobody hands on (internal networks, no server known), a single label and the name of an address do not exist,
 * and everything else is SERVFAIL, as docker says it.
 *
 * Nothing here wakes up but for a packet or for the time-out of a query or connection that is open.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/helper/helper_int.h"

struct json;

enum {
    DNS_HEADER = 12,        /* bytes before the question */
    DNS_NAME_TEXT = 256,    /* the longest name as text, and its NUL */
    DNS_UDP_PLAIN = 512,    /* what a client without EDNS takes (RFC 1035 4.2.1) */
    DNS_UDP_PAYLOAD = 4096, /* what we take, and the most that we send by UDP */
    DNS_MESSAGE_MAX = 65535,
    DNS_TTL = 600, /* docker's */
    DNS_ADDRS = 1024,
    DNS_SERVERS = 8
};
enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255
};
enum { DNS_CLASS_IN = 1, DNS_CLASS_ANY = 255 };
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16
};

/* ---- dns_message.c ---- */

struct dns_question {
    char name[DNS_NAME_TEXT]; /* lower case, without the final dot; "" for the root and for what text cannot say */
    uint16_t type, class;
    size_t end;      /* of the question in the message; DNS_HEADER when it could not be read */
    size_t udp_size; /* what the client takes by UDP: DNS_UDP_PLAIN … DNS_UDP_PAYLOAD */
    bool edns;
    enum dns_rcode rcode; /* not DNS_NOERROR: the answer, whoever is asked */
};
/* Reads a query (RFC 1035, RFC 6891). False for what is not answered at all: a response, or less than a header. */
bool dns_question_read(const uint8_t *m, size_t n, struct dns_question *ret);

struct dns_answer {
    enum dns_rcode rcode;
    const char *ptr;                         /* a name for a PTR record, or NULL; borrowed */
    char text[DNS_NAME_TEXT];                /* room for it */
    const struct net_addr *addrs[DNS_ADDRS]; /* for A and AAAA records; borrowed */
    size_t n;
    size_t first; /* where the rotation stands */
};
/*
 * Writes the answer to `query` as read into `q` and gives its length, at most `room` (and room for header, question and
 * an OPT record there must be: DNS_UDP_PLAIN is enough). What does not fit is left out, and TC says so.
 */
size_t dns_answer_write(const uint8_t *query, const struct dns_question *q, const struct dns_answer *a, uint8_t *out,
                        size_t room);

enum dns_reply { DNS_REPLY_FOREIGN, DNS_REPLY_FAILED, DNS_REPLY_GOOD };
/*
 * What a server's packet is to `query` (header and question: `end` bytes): not its reply (another id, another question,
 * not a response at all), a failure that another server may not share (SERVFAIL, REFUSED, an error without the
 * question), or the reply. Names are compared without case.
 */
enum dns_reply dns_reply_check(const uint8_t *query, size_t end, const uint8_t *reply, size_t n);
/* Cuts a reply that dns_reply_check() has seen to `room` bytes, with TC set; gives the new length. */
size_t dns_reply_fit(uint8_t *reply, size_t n, size_t end, size_t room);

/* "4.3.2.1.in-addr.arpa", 32 digits and "ip6.arpa": the address that such a name stands for. */
bool dns_reverse_read(const char *name, struct net_addr *ret);
/* True below these two domains, whether or not it is a whole address. */
bool dns_reverse_name(const char *name);

static inline uint16_t dns_get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline void dns_put16(uint8_t *p, unsigned v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* ---- dns_names.c ---- */

union dns_peer {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};
static inline socklen_t dns_peer_len(const union dns_peer *p) {
    return p->sa.sa_family == AF_INET6 ? sizeof p->in6 : sizeof p->in;
}
struct dns_servers {
    union dns_peer v[DNS_SERVERS];
    size_t n;
};
/* Reads ["192.0.2.1", "fe80::1%2", "127.0.0.1#5353"]; what is no address is left out, as resolvers do. */
void dns_servers_read(const struct json *list, struct dns_servers *ret);

struct dns_names {
    struct dns_network *networks;
    struct dns_scope *scopes;
};
void dns_names_done(struct dns_names *t);
/* Messages "names" and "scope" (helper_int.h). A network without "names" is forgotten. */
void dns_names_network(struct dns_names *t, const struct json *request);
void dns_names_scope(struct dns_names *t, const struct json *request);
void dns_names_unscope(struct dns_names *t, const char *id);
/* Looks for the name or address of `q` in what `scope` sees. True: it is ours, and *a has its records, maybe none. */
bool dns_names_find(const struct dns_names *t, const char *scope, const struct dns_question *q, struct dns_answer *a);
/* Who is asked for the rest: the scope's own servers, else the host's; NULL when nobody is. */
const struct dns_servers *dns_names_servers(const struct dns_names *t, const char *scope,
                                            const struct dns_servers *host);

/* ---- dns.c ---- */

/* Two sockets where the queries of one scope arrive. A scope may have several of them (IPv4 and IPv6). */
struct dns_listener {
    struct watch udp, tcp; /* fd -1: none */
    struct dns *dns;
    char *scope;
    size_t n_queries, n_conns;
    struct dns_listener *next;
};

/* What is under way, the oldest first; the head is a member too. */
struct dns_ring {
    struct dns_ring *next, *prev;
};
static inline void dns_ring_add(struct dns_ring *head, struct dns_ring *r) {
    r->next = head;
    r->prev = head->prev;
    r->prev->next = head->prev = r;
}
static inline void dns_ring_remove(struct dns_ring *r) {
    r->prev->next = r->next;
    r->next->prev = r->prev;
}

struct dns {
    struct loop *loop;
    struct dns_names names;
    struct dns_servers host; /* the host's resolv.conf */
    struct dns_listener *listeners;
    struct dns_ring queries, conns;
    size_t n_queries, n_conns;
    size_t turn;                      /* rotation of addresses */
    struct dns_answer answer;         /* large, so it is not on the stack; used within one query */
    uint8_t buf[2 + DNS_MESSAGE_MAX]; /* the same for packets */
};

/* One query and where its answer goes. */
struct dns_exchange {
    const uint8_t *query;
    size_t n;
    uint8_t *answer;
    size_t room; /* of the buffer; by UDP also what the client takes counts */
    size_t len;  /* of the answer */
    bool udp;
    struct dns_question q;
};
enum dns_fate { DNS_IGNORE, DNS_ANSWER, DNS_FORWARD };
/* Reads a query and answers it when it is ours. */
enum dns_fate dns_judge(struct dns_listener *li, struct dns_exchange *x);
/* Writes SERVFAIL. */
void dns_fail(struct dns_exchange *x);
/* The servers for a listener, or NULL. */
const struct dns_servers *dns_servers_of(const struct dns_listener *li);
/* The host's own servers may be anywhere, 127.0.0.53 too; a container's only where the container may connect to. */
bool dns_server_allowed(const struct dns_listener *li, const struct dns_servers *servers, const union dns_peer *server);
/* Ends everything and frees it; for tests, the loop process just ends. */
void dns_stop(struct loop *l);

/* A query is sent to each server in turn, to a single one twice. */
#define DNS_PATIENCE (2 * NSEC_PER_SEC)
static inline size_t dns_tries(const struct dns_servers *s) { return s->n == 1 ? 2 : s->n; }

/* ---- dns_forward.c ---- */

/* Sends a query on; its answer goes to `to` when it comes. */
void dns_forward(struct dns_listener *li, const struct dns_exchange *x, const union dns_peer *to);
/* Ends all queries of a listener. */
void dns_forward_drop(struct dns_listener *li);

/* ---- dns_tcp.c ---- */

/* Handler of the listening TCP socket. */
void dns_tcp_accept(struct loop *l, struct watch *w, uint32_t events);
void dns_tcp_drop(struct dns_listener *li);
