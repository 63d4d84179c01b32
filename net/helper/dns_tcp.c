/*
 * dns_tcp: queries over TCP (RFC 7766), each behind its length. A connection has one query at a time: read, answered or
 * handed on over a connection of its own to a server, answer written, the next one read. A client that is not read
 * from cannot fill anything but its own socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "net/helper/dns_int.h"

enum { CONNS = 128, CONNS_OF_ONE = 32, LENGTH = 2, ACCEPTS = 16 };
#define IDLE (10 * NSEC_PER_SEC)

/* A message and its length in front, on its way in or out. */
struct frame {
    uint8_t *p;
    size_t at, size; /* LENGTH until the length is known */
};

struct dns_conn {
    struct watch client, server; /* server.fd -1: none */
    struct timer timer;
    struct dns_listener *listener;
    struct frame query, reply;
    struct dns_question q;
    uint16_t id; /* the client's */
    size_t tries;
    struct dns_ring link;
};

/* ---- frames ---- */

enum progress { MORE, WHOLE, BROKEN };

static void frame_reset(struct frame *f, size_t message) {
    f->p = mem_resize(f->p, 1, LENGTH + message);
    f->size = LENGTH + message;
    f->at = 0;
    if (message)
        dns_put16(f->p, (unsigned)message);
}

static enum progress frame_read(int fd, struct frame *f, size_t max) {
    while (f->at < f->size) {
        ssize_t n = recv(fd, f->p + f->at, f->size - f->at, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return MORE;
        if (n <= 0)
            return BROKEN;
        f->at += (size_t)n;
        if (f->at != LENGTH)
            continue;
        size_t message = dns_get16(f->p);
        if (message < DNS_HEADER || message > max)
            return BROKEN;
        f->size = LENGTH + message;
        f->p = mem_resize(f->p, 1, f->size);
    }
    return WHOLE;
}

static enum progress frame_write(int fd, struct frame *f) {
    while (f->at < f->size) {
        ssize_t n = send(fd, f->p + f->at, f->size - f->at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? MORE : BROKEN;
        f->at += (size_t)n;
    }
    return WHOLE;
}

/* ---- a connection ---- */

static void server_drop(struct dns_conn *c) {
    if (c->server.fd >= 0)
        loop_drop(c->listener->dns->loop, &c->server);
    c->server.fd = -1;
}

static void conn_end(struct dns_conn *c) {
    struct dns *d = c->listener->dns;
    server_drop(c);
    loop_untimer(d->loop, &c->timer);
    loop_drop(d->loop, &c->client);
    dns_ring_remove(&c->link);
    d->n_conns--;
    c->listener->n_conns--;
    free(c->query.p);
    free(c->reply.p);
    free(c);
}

static void client_ready(struct loop *l, struct watch *w, uint32_t events);

static void client_listen(struct dns_conn *c) {
    struct loop *l = c->listener->dns->loop;
    frame_reset(&c->query, 0);
    c->client.ready = client_ready;
    loop_mod(l, &c->client, EPOLLIN);
    loop_timer(l, &c->timer, IDLE);
}

static void client_write(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_conn *c = container_of(w, struct dns_conn, client);
    (void)l;
    switch ((events & EPOLLERR) ? BROKEN : frame_write(w->fd, &c->reply)) {
    case MORE:
        break;
    case WHOLE:
        client_listen(c);
        break;
    case BROKEN:
        conn_end(c);
        break;
    }
}

/* Sends the answer that is in c->reply; what does not fit into the socket follows when the client reads. */
static void client_answer(struct dns_conn *c) {
    struct loop *l = c->listener->dns->loop;
    server_drop(c);
    c->reply.at = 0;
    dns_put16(c->reply.p + LENGTH, c->id);
    c->client.ready = client_write;
    loop_mod(l, &c->client, EPOLLOUT);
    loop_timer(l, &c->timer, IDLE);
}

static void client_answer_with(struct dns_conn *c, const uint8_t *answer, size_t n) {
    frame_reset(&c->reply, n);
    memcpy(c->reply.p + LENGTH, answer, n);
    client_answer(c);
}

static void client_fail(struct dns_conn *c) {
    uint8_t answer[DNS_UDP_PLAIN];
    struct dns_exchange x = {.query = c->query.p + LENGTH, .answer = answer, .room = sizeof answer, .q = c->q};
    dns_fail(&x);
    client_answer_with(c, answer, x.len);
}

/* ---- the server's side ---- */

static void server_write(struct loop *l, struct watch *w, uint32_t events);

static bool server_open(struct dns_conn *c, const union dns_peer *server) {
    autofd int fd = socket(server->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (sys_connect(fd, &server->sa, dns_peer_len(server)) != 0 && errno != EINPROGRESS))
        return false;
    c->server = (struct watch){.fd = fd, .ready = server_write};
    if (!loop_add(c->listener->dns->loop, &c->server, EPOLLOUT)) {
        c->server.fd = -1;
        return false;
    }
    (void)take_fd(&fd);
    return true;
}

static void server_try(struct dns_conn *c) {
    const struct dns_servers *servers = dns_servers_of(c->listener);
    server_drop(c);
    while (servers && c->tries < dns_tries(servers)) {
        const union dns_peer *server = &servers->v[c->tries++ % servers->n];
        if (!dns_server_allowed(c->listener, servers, server) || !server_open(c, server))
            continue;
        c->query.at = 0;
        loop_timer(c->listener->dns->loop, &c->timer, DNS_PATIENCE);
        return;
    }
    client_fail(c);
}

static void server_read(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_conn *c = container_of(w, struct dns_conn, server);
    (void)l;
    (void)events;
    enum progress p = frame_read(w->fd, &c->reply, DNS_MESSAGE_MAX);
    if (p == MORE)
        return;
    enum dns_reply r =
        p == BROKEN ? DNS_REPLY_FOREIGN
                    : dns_reply_check(c->query.p + LENGTH, c->q.end, c->reply.p + LENGTH, c->reply.size - LENGTH);
    const struct dns_servers *servers = dns_servers_of(c->listener);
    bool last = !servers || servers->n == 1 || c->tries >= dns_tries(servers);
    if (r == DNS_REPLY_GOOD || (r == DNS_REPLY_FAILED && last))
        client_answer(c);
    else
        server_try(c);
}

/* Also the end of the connect: a failed one shows itself at the first byte. */
static void server_write(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_conn *c = container_of(w, struct dns_conn, server);
    (void)events;
    switch (frame_write(w->fd, &c->query)) {
    case MORE:
        break;
    case WHOLE:
        frame_reset(&c->reply, 0);
        w->ready = server_read;
        loop_mod(l, w, EPOLLIN);
        break;
    case BROKEN:
        server_try(c);
        break;
    }
}

/* ---- the client's side ---- */

/* A client that goes away while a server is asked. */
static void client_waits(struct loop *l, struct watch *w, uint32_t events) {
    (void)l;
    if (events & (EPOLLHUP | EPOLLERR))
        conn_end(container_of(w, struct dns_conn, client));
}

static void serve_query(struct dns_conn *c) {
    struct dns *d = c->listener->dns;
    struct dns_exchange x = {
        .query = c->query.p + LENGTH, .n = c->query.size - LENGTH, .answer = d->buf, .room = DNS_MESSAGE_MAX};
    enum dns_fate fate = dns_judge(c->listener, &x);
    c->id = dns_get16(x.query);
    c->q = x.q;
    switch (fate) {
    case DNS_ANSWER:
        client_answer_with(c, d->buf, x.len);
        break;
    case DNS_FORWARD:
        c->client.ready = client_waits;
        loop_mod(d->loop, &c->client, 0);
        dns_put16(c->query.p + LENGTH, (unsigned)(id_random_u64() & 0xffff));
        c->tries = 0;
        server_try(c);
        break;
    case DNS_IGNORE:
        conn_end(c);
        break;
    }
}

static void client_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_conn *c = container_of(w, struct dns_conn, client);
    (void)l;
    (void)events;
    switch (frame_read(w->fd, &c->query, DNS_UDP_PAYLOAD)) {
    case MORE:
        break;
    case WHOLE:
        serve_query(c);
        break;
    case BROKEN:
        conn_end(c);
        break;
    }
}

/* No answer in time: the next server. No query, or an answer that is not taken: the end. */
static void timed_out(struct loop *l, struct timer *t) {
    struct dns_conn *c = container_of(t, struct dns_conn, timer);
    (void)l;
    if (c->server.fd >= 0)
        server_try(c);
    else
        conn_end(c);
}

/* The oldest one, of this listener or, with NULL, of all. */
static struct dns_conn *oldest(struct dns *d, const struct dns_listener *of) {
    struct dns_ring *r = d->conns.next;
    while (of && r != &d->conns && container_of(r, struct dns_conn, link)->listener != of)
        r = r->next;
    return container_of(r, struct dns_conn, link);
}

static void make_room(struct dns_listener *li) {
    struct dns *d = li->dns;
    if (li->n_conns >= CONNS_OF_ONE)
        conn_end(oldest(d, li));
    else if (d->n_conns >= CONNS)
        conn_end(oldest(d, NULL));
}

static void conn_start(struct dns_listener *li, int take_fd) {
    struct dns *d = li->dns;
    make_room(li);
    struct dns_conn *c = mem_alloc(sizeof *c);
    c->client = (struct watch){.fd = take_fd, .ready = client_ready};
    c->server.fd = -1;
    c->timer.fire = timed_out;
    c->listener = li;
    frame_reset(&c->query, 0);
    if (!loop_add(d->loop, &c->client, EPOLLIN)) {
        fd_close(take_fd);
        free(c->query.p);
        free(c);
        return;
    }
    dns_ring_add(&d->conns, &c->link);
    d->n_conns++;
    li->n_conns++;
    loop_timer(d->loop, &c->timer, IDLE);
}

void dns_tcp_accept(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_listener *li = container_of(w, struct dns_listener, tcp);
    struct sockaddr_storage peer;
    (void)events;
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = loop_accept(l, w->fd, &peer);
        if (fd < 0)
            return;
        conn_start(li, fd);
    }
}

void dns_tcp_drop(struct dns_listener *li) {
    struct dns_ring *r = li->dns->conns.next;
    while (r != &li->dns->conns) {
        struct dns_conn *c = container_of(r, struct dns_conn, link);
        r = r->next;
        if (c->listener == li)
            conn_end(c);
    }
}
