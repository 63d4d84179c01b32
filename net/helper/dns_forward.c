/*
 * dns_forward: UDP queries on their way to a server. Each has a socket of its own, connected, so that the kernel picks
 * a random port and lets through nothing but packets of that server; with the random id a forger has 32 bits to guess.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "net/helper/dns_int.h"

enum { IN_FLIGHT = 1024, IN_FLIGHT_OF_ONE = 256 };

struct dns_query {
    struct watch server; /* fd -1: none */
    struct timer timer;
    struct dns_listener *listener;
    union dns_peer client;
    struct dns_question q;
    uint16_t id; /* the client's */
    size_t tries;
    struct dns_ring link;
    size_t n;
    uint8_t bytes[]; /* with our id */
};

static void hang_up(struct dns_query *query) {
    struct loop *l = query->listener->dns->loop;
    loop_untimer(l, &query->timer);
    if (query->server.fd >= 0)
        loop_drop(l, &query->server);
    query->server.fd = -1;
}

static void query_end(struct dns_query *query) {
    struct dns *d = query->listener->dns;
    hang_up(query);
    dns_ring_remove(&query->link);
    d->n_queries--;
    query->listener->n_queries--;
    free(query);
}

/* Sends the client what has become of its query. */
static void query_answer(struct dns_query *query, uint8_t *answer, size_t n) {
    dns_put16(answer, query->id);
    size_t len = dns_reply_fit(answer, n, query->q.end, query->q.udp_size);
    if (sendto(query->listener->udp.fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL, &query->client.sa,
               dns_peer_len(&query->client)) < 0) {
        /* the client is gone, or asks again */
    }
    query_end(query);
}

static void query_fail(struct dns_query *query) {
    uint8_t answer[DNS_UDP_PLAIN];
    struct dns_exchange x = {.query = query->bytes, .answer = answer, .room = sizeof answer, .q = query->q};
    dns_fail(&x);
    query_answer(query, answer, x.len);
}

static void server_ready(struct loop *l, struct watch *w, uint32_t events);

static bool server_open(struct dns_query *query, const union dns_peer *server) {
    struct loop *l = query->listener->dns->loop;
    autofd int fd = socket(server->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, &server->sa, dns_peer_len(server)) != 0)
        return false;
    query->server = (struct watch){.fd = fd, .ready = server_ready};
    if (!loop_add(l, &query->server, EPOLLIN)) {
        query->server.fd = -1;
        return false;
    }
    (void)take_fd(&fd);
    return true;
}

/* The next server, or SERVFAIL when all have been asked. A single one is sent the query again on the same socket: its
 * answer to the first is as good. */
static void query_try(struct dns_query *query) {
    const struct dns_servers *servers = dns_servers_of(query->listener);
    while (servers && query->tries < dns_tries(servers)) {
        const union dns_peer *server = &servers->v[query->tries++ % servers->n];
        if (servers->n > 1)
            hang_up(query);
        bool open = query->server.fd >= 0;
        if (!open && (!dns_server_allowed(query->listener, servers, server) || !server_open(query, server)))
            continue;
        if (send(query->server.fd, query->bytes, query->n, MSG_NOSIGNAL) < 0)
            continue;
        loop_timer(query->listener->dns->loop, &query->timer, DNS_PATIENCE);
        return;
    }
    query_fail(query);
}

static void timed_out(struct loop *l, struct timer *t) {
    (void)l;
    query_try(container_of(t, struct dns_query, timer));
}

static void server_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_query *query = container_of(w, struct dns_query, server);
    struct dns *d = l->dns;
    (void)events;
    ssize_t n = recv(w->fd, d->buf, sizeof d->buf, MSG_DONTWAIT);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return;
        hang_up(query); /* nobody listens there */
        query_try(query);
        return;
    }
    const struct dns_servers *servers = dns_servers_of(query->listener);
    switch (dns_reply_check(query->bytes, query->q.end, d->buf, (size_t)n)) {
    case DNS_REPLY_FOREIGN:
        return;
    case DNS_REPLY_FAILED:
        if (servers && servers->n > 1 && query->tries < dns_tries(servers)) {
            query_try(query);
            return;
        }
        break;
    case DNS_REPLY_GOOD:
        break;
    }
    query_answer(query, d->buf, (size_t)n);
}

/* The oldest one, of this listener or, with NULL, of all. */
static struct dns_query *oldest(struct dns *d, const struct dns_listener *of) {
    struct dns_ring *r = d->queries.next;
    while (of && r != &d->queries && container_of(r, struct dns_query, link)->listener != of)
        r = r->next;
    return container_of(r, struct dns_query, link);
}

/* Makes room: a listener that has many gives up its own oldest, else the oldest of all goes. Its client asks again. */
static void make_room(struct dns_listener *li) {
    struct dns *d = li->dns;
    if (li->n_queries >= IN_FLIGHT_OF_ONE)
        query_end(oldest(d, li));
    else if (d->n_queries >= IN_FLIGHT)
        query_end(oldest(d, NULL));
}

void dns_forward(struct dns_listener *li, const struct dns_exchange *x, const union dns_peer *to) {
    struct dns *d = li->dns;
    make_room(li);
    struct dns_query *query = mem_alloc(sizeof *query + x->n);
    query->server.fd = -1;
    query->timer.fire = timed_out;
    query->listener = li;
    query->client = *to;
    query->q = x->q;
    query->id = dns_get16(x->query);
    query->n = x->n;
    memcpy(query->bytes, x->query, x->n);
    dns_put16(query->bytes, (unsigned)(id_random_u64() & 0xffff));
    dns_ring_add(&d->queries, &query->link);
    d->n_queries++;
    li->n_queries++;
    query_try(query);
}

void dns_forward_drop(struct dns_listener *li) {
    struct dns_ring *r = li->dns->queries.next;
    while (r != &li->dns->queries) {
        struct dns_query *query = container_of(r, struct dns_query, link);
        r = r->next;
        if (query->listener == li)
            query_end(query);
    }
}
