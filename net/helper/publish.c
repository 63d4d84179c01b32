/* publish: see publish_int.h. */
#include "net/helper/publish_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    BACKLOG = 4096,      /* the kernel takes its own maximum when that is less */
    SAME_PORT_TRIES = 16 /* a port that the kernel picks for IPv4 may be taken in IPv6 */
};

static struct pools *pools_new(struct ports *ports, const char *id) {
    struct pools *s = mem_alloc(sizeof *s);
    s->id = mem_dup(id);
    for (int i = 0; i < 4; i++)
        s->pool[i / 2][i % 2] = (struct pool){.family = i / 2 ? AF_INET6 : AF_INET, .udp = i % 2};
    s->next = ports->pools;
    return ports->pools = s;
}

static struct ports *ports_of(struct loop *l) {
    if (l->ports)
        return l->ports;
    struct ports *ports = l->ports = mem_alloc(sizeof *ports);
    ports->last_waiting = &ports->waiting;
    pools_new(ports, NULL);
    udp_ports_init(ports);
    return ports;
}

/* ---- the pools of inner sockets ---- */

/* NULL: a container that has gone. */
static struct pools *find_pools(const struct ports *ports, const char *id) {
    struct pools *s = ports->pools;
    while (s && !(id ? str_eq(s->id, id) : !s->id))
        s = s->next;
    return s;
}

/* A port has gone: its container's sockets go with the last one. */
static void pools_put(struct ports *ports, struct pools *s) {
    if (!s || --s->n_ports || !s->id)
        return;
    struct pools **at = &ports->pools;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    for (int i = 0; i < 4; i++)
        while (s->pool[i / 2][i % 2].n)
            fd_close(s->pool[i / 2][i % 2].fd[--s->pool[i / 2][i % 2].n]);
    free(s->id);
    free(s);
}

/* A port whose container gives clients the gateway's address by its own name has sockets of its own. */
static void pools_get(struct ports *ports, struct port *p) {
    const char *id = p->gateway[0].family || p->gateway[1].family ? p->id : NULL;
    p->pools = find_pools(ports, id);
    if (!p->pools)
        p->pools = pools_new(ports, id);
    p->pools->n_ports++;
}

static void pool_fill(struct loop *l, struct pool *pool, const char *id) {
    for (; pool->n + POOL_BATCH * pool->asked < POOL_LOW; pool->asked++) {
        autojson m = json_object();
        json_set_str(m, "want", "inner");
        json_set_int(m, "family", pool->family == AF_INET6 ? 6 : 4);
        json_set_str(m, "proto", pool->udp ? "udp" : "tcp");
        if (id)
            json_set_str(m, "id", id);
        loop_tell(l, m);
    }
}

/* Which of the container's addresses a client of this family is led to: 0 IPv4, 1 IPv6. */
static int way_in(const struct port *p, int client_family) {
    int own = client_family == AF_INET6;
    return p->ip[own].family ? own : !own;
}

static struct pool *pool_of(const struct port *p, int client_family) {
    return &p->pools->pool[way_in(p, client_family)][p->udp];
}

bool inner_there(struct loop *l, const struct port *p, int client_family) {
    struct pool *pool = pool_of(p, client_family);
    pool_fill(l, pool, p->pools->id);
    return pool->n > 0;
}

int inner_take(struct loop *l, const struct port *p, int client_family) {
    struct pool *pool = pool_of(p, client_family);
    int fd = pool->n ? pool->fd[--pool->n] : -1;
    pool_fill(l, pool, p->pools->id);
    return fd;
}

/* Addresses that mean another machine inside than they do on the host. */
static bool speaks_for_itself(const struct loop *l, const struct net_addr *client, int way) {
    return (client->family == AF_INET6) == way && !policy_denies(l, client);
}

static int bind_as(int fd, const struct net_addr *as, uint16_t port) {
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_make(as, port, &sa);
    return bind(fd, (const struct sockaddr *)&sa, len);
}

socklen_t inner_address(const struct loop *l, const struct port *p, int fd, const struct sockaddr_storage *peer,
                        bool any_port, struct sockaddr_storage *ret_to) {
    static const int on = 1;
    int way = way_in(p, peer->ss_family);
    uint16_t client_port;
    const struct net_addr client = sockaddr_read(peer, &client_port);
    bool bound = false;
    if (speaks_for_itself(l, &client, way)) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        bound = bind_as(fd, &client, any_port ? 0 : client_port) == 0 ||
                (errno == EADDRINUSE && bind_as(fd, &client, 0) == 0);
    }
    if (!bound && p->gateway[way].family) /* elsewhere the routing table makes it the gateway */
        (void)!bind_as(fd, &p->gateway[way], 0);
    return sockaddr_make(&p->ip[way], p->port, ret_to);
}

/* ---- TCP ---- */

static void wait_for_inner(struct loop *l, struct port *p, int client, const struct sockaddr_storage *peer,
                           bool any_port) {
    struct waiter *w = mem_alloc(sizeof *w);
    *w = (struct waiter){.port = p, .client = client, .peer = *peer, .any_port = any_port};
    *l->ports->last_waiting = w;
    l->ports->last_waiting = &w->next;
}

static void join(struct loop *l, struct port *p, int client, const struct sockaddr_storage *peer, bool any_port) {
    struct sockaddr_storage to;
    int inner = inner_take(l, p, peer->ss_family);
    if (inner < 0) {
        wait_for_inner(l, p, client, peer, any_port);
        return;
    }
    relay_prepare_inside(inner);
    inner_address(l, p, inner, peer, any_port, &to);
    int code = relay_connect(l, &p->relays, client, inner, &to);
    if (!code)
        return;
    bool again = code == EADDRNOTAVAIL && !any_port; /* the client's last connection from there still lingers inside */
    close(inner);
    if (again)
        join(l, p, client, peer, true);
    else
        relay_reset(client);
}

static void tcp_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct port *p = ((struct listener *)(void *)w)->port;
    struct sockaddr_storage peer;
    (void)events;
    for (int i = 0; i < TURN_MAX; i++) {
        int fd = loop_accept(l, w->fd, &peer);
        if (fd < 0)
            return;
        join(l, p, fd, &peer, false);
    }
}

/* Those who wait, in their order, as long as there are sockets. */
static void serve_waiting(struct loop *l) {
    struct ports *ports = l->ports;
    struct waiter *w = ports->waiting;
    ports->waiting = NULL;
    ports->last_waiting = &ports->waiting;
    while (w) {
        struct waiter *next = w->next;
        join(l, w->port, w->client, &w->peer, w->any_port);
        free(w);
        w = next;
    }
}

void inner_add(struct loop *l, const char *id, int family, bool udp, const int *fds, size_t n) {
    struct pools *pools = find_pools(ports_of(l), id);
    struct pool *pool = pools ? &pools->pool[family == AF_INET6][udp] : NULL;
    if (pool && pool->asked)
        pool->asked--;
    for (size_t i = 0; i < n; i++) {
        if (pool && pool->n < POOL_MAX)
            pool->fd[pool->n++] = fds[i];
        else
            fd_close(fds[i]);
    }
    if (n && udp)
        udp_resume(l);
    else if (n)
        serve_waiting(l);
}

/* ---- listeners ---- */

/* In docker's words. A port that is taken is of kind conflict. */
static struct err *bind_error(const struct port *p, const struct net_addr *at, int code) {
    autofree char *text = net_addr_text(at);
    bool v6 = at->family == AF_INET6;
    autofree char *where =
        mem_printf("%s%s%s:%u/%s", v6 ? "[" : "", text, v6 ? "]" : "", p->host_port, p->udp ? "udp" : "tcp");
    if (code == EADDRINUSE)
        return err_new(ERR_CONFLICT, "failed to bind host port %s: address already in use", where);
    struct err *e = err_sys(code, "failed to bind host port %s", where);
    if (code != EACCES)
        return e;
    return err_hint(e,
                    "ports below 1024 are root's here: publish a higher one (-p 8080:%u), or let root allow it with "
                    "sysctl net.ipv4.ip_unprivileged_port_start=%u",
                    p->port, p->host_port);
}

/* Binds and listens at an address and port; *port 0 is replaced by what the kernel picked. */
static struct err *listen_at(const struct port *p, const struct net_addr *at, uint16_t *port, int *ret) {
    static const int on = 1;
    struct sockaddr_storage a;
    socklen_t len = sockaddr_make(at, *port, &a);
    autofd int fd = socket(at->family, (p->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return bind_error(p, at, errno);
    if (at->family == AF_INET6)
        setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (p->udp) {
        udp_prepare(fd, at->family);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        relay_prepare(fd);
    }
    if (bind(fd, (const struct sockaddr *)&a, len) != 0 || (!p->udp && listen(fd, BACKLOG) != 0) ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return bind_error(p, at, errno);
    sockaddr_read(&a, port);
    *ret = take_fd(&fd);
    return NULL;
}

/* Both families at one port. A host without IPv6 has IPv4 only. */
static struct err *listen_everywhere(struct port *p, uint16_t *port) {
    static const struct net_addr any4 = {.family = AF_INET, .prefix = 32}, any6 = {.family = AF_INET6, .prefix = 128};
    for (int i = 0;; i++) {
        uint16_t chosen = *port;
        autofd int fd4 = -1;
        TRY(listen_at(p, &any4, &chosen, &fd4));
        struct err *e = listen_at(p, &any6, &chosen, &p->listen[1].w.fd);
        int code = err_errno(e);
        if (e && err_kind(e) == ERR_CONFLICT && !*port && i < SAME_PORT_TRIES) {
            err_free(e);
            continue;
        }
        if (e && code != EAFNOSUPPORT && code != EADDRNOTAVAIL)
            return e;
        err_free(e);
        p->listen[0].w.fd = take_fd(&fd4);
        *port = chosen;
        return NULL;
    }
}

static struct err *listen_all(struct loop *l, struct port *p) {
    if (!*p->host_ip) {
        TRY(listen_everywhere(p, &p->host_port));
    } else {
        struct net_addr at;
        TRY(net_addr_parse(p->host_ip, &at));
        TRY(listen_at(p, &at, &p->host_port, &p->listen[at.family == AF_INET6].w.fd));
    }
    for (int i = 0; i < 2; i++)
        if (p->listen[i].w.fd >= 0 && !loop_add(l, &p->listen[i].w, EPOLLIN))
            return err_sys(errno, "watch a published port");
    return NULL;
}

/* ---- ports ---- */

static void port_free(struct loop *l, struct port *p) {
    for (int i = 0; i < 2; i++)
        loop_drop(l, &p->listen[i].w);
    relay_group_end(l, &p->relays);
    udp_port_end(l, p);
    for (struct waiter **w = &l->ports->waiting; *w;) {
        struct waiter *gone = *w;
        if (gone->port != p) {
            w = &gone->next;
            continue;
        }
        *w = gone->next;
        relay_reset(gone->client);
        free(gone);
    }
    l->ports->last_waiting = &l->ports->waiting;
    while (*l->ports->last_waiting)
        l->ports->last_waiting = &(*l->ports->last_waiting)->next;
    pools_put(l->ports, p->pools);
    free(p->id);
    free(p->host_ip);
    free(p);
}

static struct err *number(const struct json *request, const char *key, uint16_t *ret) {
    int64_t v;
    TRY(json_get_i64_opt(request, key, 0, &v));
    if (v < 0 || v > UINT16_MAX)
        return err_new(ERR_USAGE, "invalid port %lld", (long long)v);
    *ret = (uint16_t)v;
    return NULL;
}

static struct err *port_parse(const struct json *request, struct port *p) {
    const char *id, *proto, *host_ip;
    TRY(json_get_str(request, "id", &id));
    TRY(json_get_str(request, "proto", &proto));
    TRY(json_get_str_opt(request, "host_ip", "", &host_ip));
    TRY(number(request, "host_port", &p->host_port));
    TRY(number(request, "port", &p->port));
    TRY(loop_addr(request, "ip", &p->ip[0]));
    TRY(loop_addr(request, "ip6", &p->ip[1]));
    TRY(loop_addr(request, "gateway", &p->gateway[0]));
    TRY(loop_addr(request, "gateway6", &p->gateway[1]));
    if (!p->port || (p->ip[0].family != AF_INET && p->ip[1].family != AF_INET6))
        return err_new(ERR_USAGE, "a published port without a destination");
    if (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
        return err_new(ERR_UNSUPPORTED, "cannot publish %s ports", proto);
    p->udp = *proto == 'u';
    p->id = mem_dup(id);
    p->host_ip = mem_dup(host_ip);
    return NULL;
}

struct err *publish(struct loop *l, const struct json *request, uint16_t *ret_port) {
    struct ports *ports = ports_of(l);
    struct port *p = mem_alloc(sizeof *p);
    struct err *e = port_parse(request, p);
    for (int i = 0; i < 2; i++)
        p->listen[i] = (struct listener){.w = {.fd = -1, .ready = p->udp ? udp_ready : tcp_ready}, .port = p};
    if (!e)
        e = listen_all(l, p);
    if (!e)
        pools_get(ports, p);
    if (e) {
        port_free(l, p);
        return e;
    }
    p->next = ports->first;
    ports->first = p;
    for (int i = 0; i < 2; i++)
        if (p->listen[i].w.fd >= 0)
            inner_there(l, p, i ? AF_INET6 : AF_INET); /* has the pool filled before somebody comes */
    *ret_port = p->host_port;
    return NULL;
}

static bool is_meant(const struct port *p, const struct json *request) {
    const char *proto = json_str_value(json_get(request, "proto"));
    const char *host_ip = json_str_value(json_get(request, "host_ip"));
    if (!str_eq(p->id, json_str_value(json_get(request, "id"))))
        return false;
    return !proto || (strcmp(proto, p->udp ? "udp" : "tcp") == 0 && str_eq(host_ip ? host_ip : "", p->host_ip) &&
                      json_int_value(json_get(request, "host_port"), p->host_port) == p->host_port);
}

void unpublish(struct loop *l, const struct json *request) {
    for (struct port **at = &ports_of(l)->first; *at;) {
        struct port *p = *at;
        if (!is_meant(p, request)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        port_free(l, p);
    }
}
