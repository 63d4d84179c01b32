/* dns: the warden's messages, the sockets where queries arrive, and what becomes of a query. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/helper/dns_int.h"

enum { BURST = 64 }; /* queries of one socket in a round, so that a flood does not keep the others waiting */

/* ---- a query ---- */

const struct dns_servers *dns_servers_of(const struct dns_listener *li) {
    return dns_names_servers(&li->dns->names, li->scope, &li->dns->host);
}

bool dns_server_allowed(const struct dns_listener *li, const struct dns_servers *servers,
                        const union dns_peer *server) {
    bool v6 = server->sa.sa_family == AF_INET6;
    struct net_addr to = {.family = server->sa.sa_family, .prefix = v6 ? 128 : 32};
    if (v6)
        memcpy(to.b, &server->in6.sin6_addr, sizeof server->in6.sin6_addr);
    else
        memcpy(to.b, &server->in.sin_addr, sizeof server->in.sin_addr);
    return servers == &li->dns->host || !policy_denies(li->dns->loop, &to);
}

static size_t room(const struct dns_exchange *x) { return x->udp && x->q.udp_size < x->room ? x->q.udp_size : x->room; }

void dns_fail(struct dns_exchange *x) {
    static const struct dns_answer servfail = {.rcode = DNS_SERVFAIL};
    x->len = dns_answer_write(x->query, &x->q, &servfail, x->answer, room(x));
}

/* What a name is that is nobody's here when nobody else is asked. */
static enum dns_rcode unknown(const struct dns_question *q) {
    bool single = *q->name && !strchr(q->name, '.');
    return single || dns_reverse_name(q->name) ? DNS_NXDOMAIN : DNS_SERVFAIL;
}

enum dns_fate dns_judge(struct dns_listener *li, struct dns_exchange *x) {
    struct dns *d = li->dns;
    struct dns_answer *a = &d->answer;
    if (!dns_question_read(x->query, x->n, &x->q))
        return DNS_IGNORE;
    a->rcode = x->q.rcode;
    a->ptr = NULL;
    a->n = 0;
    a->first = d->turn++;
    if (a->rcode == DNS_NOERROR && !dns_names_find(&d->names, li->scope, &x->q, a)) {
        if (dns_servers_of(li))
            return DNS_FORWARD;
        a->rcode = unknown(&x->q);
    }
    x->len = dns_answer_write(x->query, &x->q, a, x->answer, room(x));
    return DNS_ANSWER;
}

/* ---- UDP ---- */

static void serve_packet(struct dns_listener *li, const uint8_t *query, size_t n, const union dns_peer *from) {
    uint8_t answer[DNS_UDP_PAYLOAD];
    struct dns_exchange x = {.query = query, .n = n, .answer = answer, .room = sizeof answer, .udp = true};
    switch (dns_judge(li, &x)) {
    case DNS_ANSWER:
        if (sendto(li->udp.fd, answer, x.len, MSG_DONTWAIT | MSG_NOSIGNAL, &from->sa, dns_peer_len(from)) < 0)
            log_debug("answer to a query lost: %s", strerror(errno));
        break;
    case DNS_FORWARD:
        dns_forward(li, &x, from);
        break;
    case DNS_IGNORE:
        break;
    }
}

static void serve_udp(struct loop *l, struct watch *w, uint32_t events) {
    struct dns_listener *li = container_of(w, struct dns_listener, udp);
    uint8_t query[DNS_UDP_PAYLOAD];
    (void)l;
    (void)events;
    for (int i = 0; i < BURST; i++) {
        union dns_peer from = {.in6 = {.sin6_family = 0}};
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(w->fd, query, sizeof query, MSG_DONTWAIT | MSG_TRUNC, &from.sa, &len);
        if (n < 0)
            return;
        if ((size_t)n <= sizeof query)
            serve_packet(li, query, (size_t)n, &from);
    }
}

/* ---- the warden's messages ---- */

static bool watch_socket(struct dns *d, struct watch *w, int take_fd,
                         void (*ready)(struct loop *, struct watch *, uint32_t)) {
    w->fd = take_fd;
    w->ready = ready;
    if (take_fd < 0 || loop_add(d->loop, w, EPOLLIN))
        return true;
    fd_close(w->fd);
    w->fd = -1;
    return false;
}

static void listener_end(struct dns *d, struct dns_listener **at) {
    struct dns_listener *li = *at;
    *at = li->next;
    dns_forward_drop(li);
    dns_tcp_drop(li);
    if (li->udp.fd >= 0)
        loop_drop(d->loop, &li->udp);
    if (li->tcp.fd >= 0)
        loop_drop(d->loop, &li->tcp);
    free(li->scope);
    free(li);
}

static void listener_start(struct dns *d, const char *scope, int take_udp, int take_tcp) {
    struct dns_listener *li = mem_alloc(sizeof *li);
    li->dns = d;
    li->scope = mem_dup(scope);
    li->next = d->listeners;
    d->listeners = li;
    bool udp = watch_socket(d, &li->udp, take_udp, serve_udp);
    bool tcp = watch_socket(d, &li->tcp, take_tcp, dns_tcp_accept);
    if (!udp || !tcp)
        log_warn("no name server for %s: out of descriptors", scope);
}

static void scope_end(struct dns *d, const char *scope) {
    struct dns_listener **at = &d->listeners;
    while (*at)
        if (str_eq((*at)->scope, scope))
            listener_end(d, at);
        else
            at = &(*at)->next;
    dns_names_unscope(&d->names, scope);
}

static struct dns *dns_get(struct loop *l) {
    if (l->dns)
        return l->dns;
    struct dns *d = mem_alloc(sizeof *d);
    d->loop = l;
    d->queries.next = d->queries.prev = &d->queries;
    d->conns.next = d->conns.prev = &d->conns;
    return l->dns = d;
}

void dns_message(struct loop *l, const struct json *request, const int *fds, size_t n) {
    struct dns *d = dns_get(l);
    const char *op = json_str_value(json_get(request, "op")), *id = json_str_value(json_get(request, "id"));
    size_t used = 0;
    if (str_eq(op, "dns") && id && n) {
        listener_start(d, id, fds[0], n > 1 ? fds[1] : -1);
        used = 2;
    } else if (str_eq(op, "undns") && id) {
        scope_end(d, id);
    } else if (str_eq(op, "names")) {
        dns_names_network(&d->names, request);
    } else if (str_eq(op, "scope")) {
        dns_names_scope(&d->names, request);
    } else if (str_eq(op, "resolv")) {
        dns_servers_read(json_get(request, "servers"), &d->host);
    }
    for (size_t i = used; i < n; i++)
        fd_close(fds[i]);
}

void dns_stop(struct loop *l) {
    struct dns *d = l->dns;
    if (!d)
        return;
    while (d->listeners)
        listener_end(d, &d->listeners);
    dns_names_done(&d->names);
    free(d);
    l->dns = NULL;
}
