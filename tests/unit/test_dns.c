/*
 * The name server on real sockets of this machine's loopback: clients, listeners and servers are all in this process.
 * The loop is one of the test's own, whose timers fire when told to, so that nobody waits for a time-out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "net/helper/dns_int.h"
#include "unit.h"

/* ---- a loop ---- */

bool loop_add(struct loop *l, struct watch *w, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = w};
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &e) == 0;
}
void loop_mod(struct loop *l, struct watch *w, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = w};
    CHECK_INT(epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &e), 0);
}
void loop_drop(struct loop *l, struct watch *w) {
    CHECK_INT(epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL), 0);
    close(w->fd);
    w->fd = -1;
}
void loop_untimer(struct loop *l, struct timer *t) {
    (void)l;
    if (!t->next)
        return;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}
void loop_timer(struct loop *l, struct timer *t, int64_t after_ns) {
    loop_untimer(l, t);
    t->due = after_ns;
    struct timer *at = &l->timers;
    while (at->prev != &l->timers && at->prev->due > after_ns)
        at = at->prev;
    t->next = at;
    t->prev = at->prev;
    t->prev->next = t->next->prev = t;
}
int loop_accept(struct loop *l, int listener, struct sockaddr_storage *ret_peer) {
    socklen_t len = sizeof *ret_peer;
    (void)l;
    return accept4(listener, (struct sockaddr *)ret_peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
bool policy_denies(const struct loop *l, const struct net_addr *to) {
    (void)l;
    return to->family == AF_INET6;
}

static void fire(struct loop *l) { /* the earliest timer */
    struct timer *t = l->timers.next;
    CHECK(t != &l->timers);
    if (t == &l->timers)
        return;
    loop_untimer(l, t);
    t->fire(l, t);
}

static void step(struct loop *l) {
    struct epoll_event e;
    if (epoll_wait(l->epoll, &e, 1, 0) != 1)
        return;
    struct watch *w = e.data.ptr;
    w->ready(l, w, e.events);
}

enum { PATIENCE_MS = 60000 };

/* Runs until `fd` is readable. */
static bool wait_for(struct loop *l, int fd) {
    for (;;) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = l->epoll, .events = POLLIN}};
        if (poll(p, 2, PATIENCE_MS) <= 0)
            return false;
        if (p[0].revents)
            return true;
        step(l);
    }
}

/* What was sent before this has arrived: packets of one processor come in order, but on a busy one they may be left to
 * ksoftirqd, and that may have to wait. */
static void delivered(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_INT(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    CHECK_INT(sendto(fd, "x", 1, 0, (struct sockaddr *)&at, sizeof at), 1);
    CHECK_INT(poll(&p, 1, PATIENCE_MS), 1);
    close(fd);
}

/* Runs until there is nothing to do. */
static void settle(struct loop *l) {
    struct pollfd p = {.fd = l->epoll, .events = POLLIN};
    do
        delivered();
    while (poll(&p, 1, 0) > 0 && (step(l), true));
}

/* ---- sockets ---- */

struct side {
    int udp, tcp;
    struct sockaddr_in addr;
};

static struct side side_open(void) {
    struct side s = {.addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof s.addr;
    for (int tries = 0; tries < 100; tries++) { /* one port for both */
        s.addr.sin_port = 0;
        s.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        s.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK_INT(bind(s.tcp, (struct sockaddr *)&s.addr, sizeof s.addr), 0);
        CHECK_INT(getsockname(s.tcp, (struct sockaddr *)&s.addr, &len), 0);
        if (bind(s.udp, (struct sockaddr *)&s.addr, sizeof s.addr) == 0 && listen(s.tcp, 16) == 0)
            return s;
        close(s.tcp);
        close(s.udp);
    }
    CHECK(false); /* no port is free */
    return s;
}
static void side_close(const struct side *s) {
    close(s->udp);
    close(s->tcp);
}
/* One that refuses: nobody else gets the port, its TCP socket does not listen, and its UDP socket hears one peer. */
static struct side side_refusing(void) {
    struct side s = side_open();
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
    close(s.tcp);
    s.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(s.tcp, (struct sockaddr *)&s.addr, sizeof s.addr), 0);
    CHECK_INT(connect(s.udp, (struct sockaddr *)&peer, sizeof peer), 0);
    return s;
}

static int client(const struct side *to, int type) {
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    CHECK_INT(connect(fd, (const struct sockaddr *)&to->addr, sizeof to->addr), 0);
    return fd;
}

/* A query: `name` without compression, id 0x1234. */
static size_t query(uint8_t *m, const char *name, enum dns_type type) {
    static const uint8_t header[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    size_t at = sizeof header;
    memcpy(m, header, at);
    for (const char *label = name; *label;) {
        size_t n = strcspn(label, ".");
        m[at++] = (uint8_t)n;
        memcpy(m + at, label, n);
        at += n;
        label += n + (label[n] == '.');
    }
    m[at++] = 0;
    dns_put16(m + at, type);
    dns_put16(m + at + 2, DNS_CLASS_IN);
    return at + 4;
}

/* ---- one responder with one network, "back", seen by "c1" and by the network itself; and two servers ---- */

struct bed {
    struct loop loop;
    struct side at, one, two;
    int client;
    uint8_t q[512], r[70000];
    size_t n; /* of q */
};

static void tell_json(struct bed *b, const char *text, const int *fds, size_t n) {
    autojson j = NULL;
    CHECK_OK(json_parse(text, strlen(text), "message", 0, &j));
    dns_message(&b->loop, j, fds, n);
}
static void tell(struct bed *b, const char *text) { tell_json(b, text, NULL, 0); }

/* Which servers the host has; "" none. */
static void resolv(struct bed *b, const struct side *one, const struct side *two) {
    autostr struct str s = STR_INIT;
    str_append(&s, "{\"op\":\"resolv\",\"servers\":[");
    if (one)
        str_appendf(&s, "\"127.0.0.1#%d\"", ntohs(one->addr.sin_port));
    if (two)
        str_appendf(&s, ",\"127.0.0.1#%d\"", ntohs(two->addr.sin_port));
    str_append(&s, "]}");
    tell(b, str_c(&s));
}

static struct bed *bed_make(const char *scope) {
    struct bed *b = mem_alloc(sizeof *b);
    b->loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    b->loop.timers.next = b->loop.timers.prev = &b->loop.timers;
    b->at = side_open();
    b->one = side_open();
    b->two = side_open();
    b->client = client(&b->at, SOCK_DGRAM);
    autofree char *message = mem_printf("{\"op\":\"dns\",\"id\":\"%s\"}", scope);
    tell_json(b, message, (int[]){b->at.udp, b->at.tcp}, 2);
    tell(b, "{\"op\":\"names\",\"network\":\"n1\",\"name\":\"back\",\"host\":\"192.0.2.7\",\"names\":["
            "{\"id\":\"c1\",\"ip\":\"10.89.7.2\",\"ip6\":\"\",\"names\":[\"web\",\"Store\"]},"
            "{\"id\":\"c2\",\"ip\":\"10.89.7.3\",\"ip6\":\"\",\"names\":[\"db\",\"store\"]}]}");
    tell(b, "{\"op\":\"names\",\"network\":\"n2\",\"name\":\"other\",\"names\":["
            "{\"id\":\"c3\",\"ip\":\"10.89.8.2\",\"names\":[\"secret\"]}]}");
    tell(b, "{\"op\":\"scope\",\"id\":\"c1\",\"networks\":[\"n1\"]}");
    resolv(b, &b->one, &b->two);
    return b;
}

static void bed_free(struct bed *b) {
    dns_stop(&b->loop);
    CHECK(b->loop.timers.next == &b->loop.timers);
    side_close(&b->one);
    side_close(&b->two);
    close(b->client);
    close(b->loop.epoll);
    free(b);
}

static void ask(struct bed *b, const char *name, enum dns_type type) {
    b->n = query(b->q, name, type);
    CHECK_INT(send(b->client, b->q, b->n, 0), b->n);
}

/* The answer's length, 0 when there is none. */
static size_t answer(struct bed *b) {
    if (!wait_for(&b->loop, b->client))
        return 0;
    ssize_t n = recv(b->client, b->r, sizeof b->r, 0);
    CHECK(n >= DNS_HEADER && memcmp(b->r, b->q, 2) == 0);
    return n < 0 ? 0 : (size_t)n;
}

/* Asks; the answer has this code and as many records, and the first address ends with `last` (0: not looked at). */
static void check(struct bed *b, const char *name, enum dns_type type, enum dns_rcode rcode, unsigned records) {
    ask(b, name, type);
    CHECK(answer(b) >= b->n);
    CHECK_INT(dns_get16(b->r + 2) & 15, rcode);
    CHECK_INT(dns_get16(b->r + 6), records);
}

/* What a server got: the query with another id. Sends back the reply with this code, `change` xored to its id. */
static void serve(struct bed *b, const struct side *s, enum dns_rcode rcode, unsigned change) {
    uint8_t m[600];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    CHECK(wait_for(&b->loop, s->udp));
    ssize_t n = recvfrom(s->udp, m, sizeof m, 0, (struct sockaddr *)&from, &len);
    CHECK_INT(n, b->n);
    CHECK(n > 2 && memcmp(m + 2, b->q + 2, b->n - 2) == 0);
    dns_put16(m, dns_get16(m) ^ change);
    dns_put16(m + 2, 0x8180U | rcode);
    memcpy(m + n, "tail", 4);
    CHECK_INT(sendto(s->udp, m, (size_t)n + 4, 0, (struct sockaddr *)&from, len), n + 4);
}

static void test_names(void) {
    struct bed *b = bed_make("c1");
    check(b, "web", DNS_TYPE_A, DNS_NOERROR, 1);
    CHECK(memcmp(b->r + b->n + 12, "\x0a\x59\x07\x02", 4) == 0);
    check(b, "WEB.back", DNS_TYPE_A, DNS_NOERROR, 1);
    check(b, "web", DNS_TYPE_AAAA, DNS_NOERROR, 0); /* known, but without such an address */
    check(b, "web", (enum dns_type)15, DNS_NOERROR, 0);
    check(b, "web", DNS_TYPE_ANY, DNS_NOERROR, 1);
    check(b, "host.docker.internal", DNS_TYPE_A, DNS_NOERROR, 1);
    CHECK(memcmp(b->r + b->n + 12, "\xc0\x00\x02\x07", 4) == 0);
    check(b, "gateway.docker.internal", DNS_TYPE_AAAA, DNS_NOERROR, 0);
    check(b, "2.7.89.10.in-addr.arpa", DNS_TYPE_PTR, DNS_NOERROR, 1);
    CHECK(memcmp(b->r + b->n + 12, "\3web\4back", 10) == 0);
    check(b, "store", DNS_TYPE_A, DNS_NOERROR, 2);
    uint8_t first = b->r[b->n + 15];
    check(b, "store", DNS_TYPE_A, DNS_NOERROR, 2);
    CHECK_INT(b->r[b->n + 15], 5 - first); /* rotated */
    bed_free(b);
}

static void test_scopes(void) {
    struct bed *b = bed_make("net:n2");
    check(b, "secret", DNS_TYPE_A, DNS_NOERROR, 1);
    resolv(b, NULL, NULL);
    check(b, "web", DNS_TYPE_A, DNS_NXDOMAIN, 0);
    check(b, "2.7.89.10.in-addr.arpa", DNS_TYPE_PTR, DNS_NXDOMAIN, 0);
    check(b, "host.containers.internal", DNS_TYPE_A, DNS_NOERROR, 0); /* exists, if without an address */
    check(b, "example.org", DNS_TYPE_A, DNS_SERVFAIL, 0);
    tell(b, "{\"op\":\"scope\",\"id\":\"net:n2\",\"networks\":[\"n1\",\"n2\"]}");
    check(b, "web", DNS_TYPE_A, DNS_NOERROR, 1);
    check(b, "secret.other", DNS_TYPE_A, DNS_NOERROR, 1);
    check(b, "secret.back", DNS_TYPE_A, DNS_SERVFAIL, 0);
    tell(b, "{\"op\":\"names\",\"network\":\"n2\"}");
    check(b, "secret", DNS_TYPE_A, DNS_NXDOMAIN, 0);
    bed_free(b);
}

static void test_internal(void) {
    struct bed *b = bed_make("c1");
    tell(b, "{\"op\":\"scope\",\"id\":\"c1\",\"networks\":[\"n1\"],\"forward\":false}");
    check(b, "db", DNS_TYPE_A, DNS_NOERROR, 1);
    check(b, "nobody", DNS_TYPE_A, DNS_NXDOMAIN, 0);
    check(b, "example.org", DNS_TYPE_A, DNS_SERVFAIL, 0);
    settle(&b->loop);
    CHECK(recv(b->one.udp, b->r, sizeof b->r, 0) < 0);
    bed_free(b);
}

static void test_malformed(void) {
    struct bed *b = bed_make("c1");
    b->n = query(b->q, "web", DNS_TYPE_A);
    CHECK(send(b->client, b->q, b->n - 1, 0) > 0);
    CHECK_INT(answer(b), DNS_HEADER);
    CHECK_INT(b->r[3] & 15, DNS_FORMERR);
    CHECK(send(b->client, "junk", 4, 0) > 0); /* not even a header: nothing comes */
    check(b, "db", DNS_TYPE_A, DNS_NOERROR, 1);
    bed_free(b);
}

static void test_forward(void) {
    struct bed *b = bed_make("c1");
    ask(b, "example.org", (enum dns_type)65);
    serve(b, &b->one, DNS_NXDOMAIN, 0);
    CHECK_INT(answer(b), b->n + 4); /* verbatim */
    CHECK(memcmp(b->r + b->n, "tail", 4) == 0);
    CHECK_INT(b->r[3] & 15, DNS_NXDOMAIN);
    ask(b, "unknown", DNS_TYPE_A); /* a single label too */
    serve(b, &b->one, DNS_NOERROR, 0);
    CHECK_INT(answer(b), b->n + 4);
    CHECK_INT(b->loop.dns->n_queries, 0);
    bed_free(b);
}

static void test_forged(void) {
    struct bed *b = bed_make("c1");
    uint8_t m[600];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ask(b, "example.org", DNS_TYPE_A);
    CHECK(wait_for(&b->loop, b->one.udp));
    ssize_t n = recvfrom(b->one.udp, m, sizeof m, MSG_PEEK, (struct sockaddr *)&from, &len);
    CHECK_INT(n, b->n);
    m[2] = 0x81;
    CHECK(sendto(b->two.udp, m, b->n, 0, (struct sockaddr *)&from, len) > 0); /* another's port */
    m[13] = 'X';
    CHECK(sendto(b->one.udp, m, b->n, 0, (struct sockaddr *)&from, len) > 0); /* another question */
    settle(&b->loop);
    CHECK_INT(b->loop.dns->n_queries, 1);
    serve(b, &b->one, DNS_NOERROR, 1); /* another id */
    settle(&b->loop);
    CHECK_INT(b->loop.dns->n_queries, 1);
    m[13] = 'e';
    CHECK(sendto(b->one.udp, m, b->n, 0, (struct sockaddr *)&from, len) > 0);
    CHECK_INT(answer(b), b->n);
    bed_free(b);
}

static void test_next_server(void) {
    struct bed *b = bed_make("c1");
    ask(b, "example.org", DNS_TYPE_A);
    serve(b, &b->one, DNS_SERVFAIL, 0);
    serve(b, &b->two, DNS_NOERROR, 0);
    CHECK_INT(answer(b), b->n + 4);
    ask(b, "silent.example.org", DNS_TYPE_A);
    CHECK(wait_for(&b->loop, b->one.udp));
    fire(&b->loop);
    serve(b, &b->two, DNS_NOERROR, 0);
    CHECK_INT(answer(b), b->n + 4);
    CHECK(recv(b->one.udp, b->r, sizeof b->r, 0) > 0);
    ask(b, "nobody.example.org", DNS_TYPE_A);
    settle(&b->loop);
    fire(&b->loop);
    fire(&b->loop);
    CHECK_INT(answer(b), b->n);
    CHECK_INT(b->r[3] & 15, DNS_SERVFAIL);
    bed_free(b);
}

static void test_refusing_server(void) {
    struct bed *b = bed_make("c1");
    struct side closed = side_refusing();
    resolv(b, &closed, &b->two);
    ask(b, "example.org", DNS_TYPE_A);
    serve(b, &b->two, DNS_NOERROR, 0); /* at once */
    CHECK_INT(answer(b), b->n + 4);
    resolv(b, &closed, NULL);
    check(b, "example.org", DNS_TYPE_A, DNS_SERVFAIL, 0);
    side_close(&closed);
    bed_free(b);
}

static void test_single_server(void) {
    struct bed *b = bed_make("c1");
    resolv(b, &b->one, NULL);
    ask(b, "example.org", DNS_TYPE_A);
    CHECK(wait_for(&b->loop, b->one.udp));
    fire(&b->loop); /* sent again: the answer to the first counts */
    serve(b, &b->one, DNS_SERVFAIL, 0);
    CHECK_INT(answer(b), b->n + 4);
    CHECK_INT(b->r[3] & 15, DNS_SERVFAIL);
    bed_free(b);
}

static void test_own_servers(void) {
    struct bed *b = bed_make("c1");
    autofree char *own =
        mem_printf("{\"op\":\"scope\",\"id\":\"c1\",\"networks\":[\"n1\"],\"dns\":[\"::1\",\"127.0.0.1#%d\"]}",
                   ntohs(b->two.addr.sin_port));
    tell(b, own);
    ask(b, "example.org", DNS_TYPE_A);
    serve(b, &b->two, DNS_NOERROR, 0); /* ::1 is what the test's policy denies */
    CHECK_INT(answer(b), b->n + 4);
    bed_free(b);
}

static void test_large_reply(void) {
    struct bed *b = bed_make("c1");
    uint8_t m[900] = {0};
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ask(b, "example.org", DNS_TYPE_A);
    CHECK(wait_for(&b->loop, b->one.udp));
    CHECK_INT(recvfrom(b->one.udp, m, sizeof m, 0, (struct sockaddr *)&from, &len), b->n);
    m[2] = 0x81;
    CHECK(sendto(b->one.udp, m, sizeof m, 0, (struct sockaddr *)&from, len) > 0);
    CHECK_INT(answer(b), b->n);
    CHECK_INT(b->r[2] & 2, 2);
    bed_free(b);
}

static void test_flood(void) {
    struct bed *b = bed_make("c1");
    for (int i = 0; i < 300; i++) {
        ask(b, "example.org", DNS_TYPE_A);
        settle(&b->loop);
    }
    CHECK_INT(b->loop.dns->n_queries, 256);
    check(b, "web", DNS_TYPE_A, DNS_NOERROR, 1);
    tell(b, "{\"op\":\"undns\",\"id\":\"c1\"}");
    CHECK_INT(b->loop.dns->n_queries, 0);
    bed_free(b);
}

/* ---- TCP ---- */

static void send_frame(int fd, const uint8_t *m, size_t n) {
    uint8_t length[2];
    dns_put16(length, (unsigned)n);
    CHECK_INT(send(fd, length, 2, 0), 2);
    CHECK_INT(send(fd, m, n, 0), n);
}

/* Reads one, the loop running. */
static size_t read_frame(struct bed *b, int fd, uint8_t *m) {
    size_t at = 0, want = 2;
    while (at < want && wait_for(&b->loop, fd)) {
        ssize_t n = recv(fd, m + at, want - at, MSG_DONTWAIT);
        if (n <= 0)
            return 0;
        at += (size_t)n;
        if (at == 2)
            want = 2U + dns_get16(m);
    }
    memmove(m, m + 2, at < 2 ? 0 : at - 2);
    return at < 2 ? 0 : at - 2;
}

static void test_tcp(void) {
    struct bed *b = bed_make("c1");
    int fd = client(&b->at, SOCK_STREAM);
    b->n = query(b->q, "web", DNS_TYPE_A);
    send_frame(fd, b->q, b->n);
    send_frame(fd, b->q, b->n); /* the second before the first is answered */
    CHECK_INT(read_frame(b, fd, b->r), b->n + 16);
    CHECK_INT(read_frame(b, fd, b->r), b->n + 16);
    uint8_t length[2] = {0, (uint8_t)b->n};
    CHECK_INT(send(fd, length, 1, 0), 1);
    settle(&b->loop);
    CHECK_INT(send(fd, length + 1, 1, 0), 1);
    for (size_t i = 0; i < b->n; i++) {
        CHECK_INT(send(fd, b->q + i, 1, 0), 1);
        settle(&b->loop);
    }
    CHECK_INT(read_frame(b, fd, b->r), b->n + 16);
    settle(&b->loop);
    fire(&b->loop); /* idle */
    CHECK(wait_for(&b->loop, fd));
    CHECK_INT(recv(fd, b->r, 1, 0), 0);
    CHECK_INT(b->loop.dns->n_conns, 0);
    close(fd);
    bed_free(b);
}

static int server_accept(struct bed *b, const struct side *s) {
    CHECK(wait_for(&b->loop, s->tcp));
    return accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC);
}

static void test_tcp_forward(void) {
    struct bed *b = bed_make("c1");
    int fd = client(&b->at, SOCK_STREAM);
    b->n = query(b->q, "example.org", DNS_TYPE_A);
    send_frame(fd, b->q, b->n);
    int dead = server_accept(b, &b->one);
    close(dead); /* hangs up: the next one is asked */
    int up = server_accept(b, &b->two);
    CHECK_INT(read_frame(b, up, b->r), b->n);
    CHECK(memcmp(b->r + 2, b->q + 2, b->n - 2) == 0);
    memset(b->r + b->n, 7, 60000 - b->n);
    b->r[2] = 0x81;
    send_frame(up, b->r, 60000);
    CHECK_INT(read_frame(b, fd, b->r), 60000);
    CHECK(memcmp(b->r, b->q, 2) == 0);
    CHECK_INT(b->r[59999], 7);
    close(up);
    close(fd);
    settle(&b->loop);
    CHECK_INT(b->loop.dns->n_conns, 0);
    bed_free(b);
}

static void test_tcp_nobody(void) {
    struct bed *b = bed_make("c1");
    struct side closed = side_refusing();
    resolv(b, &closed, NULL);
    int fd = client(&b->at, SOCK_STREAM);
    b->n = query(b->q, "example.org", DNS_TYPE_A);
    send_frame(fd, b->q, b->n);
    CHECK_INT(read_frame(b, fd, b->r), b->n);
    CHECK_INT(b->r[3] & 15, DNS_SERVFAIL);
    resolv(b, &b->one, NULL);
    send_frame(fd, b->q, b->n);
    CHECK(wait_for(&b->loop, b->one.tcp));
    fire(&b->loop); /* silent, twice */
    fire(&b->loop);
    CHECK_INT(read_frame(b, fd, b->r), b->n);
    CHECK_INT(b->r[3] & 15, DNS_SERVFAIL);
    send_frame(fd, b->q, 5); /* shorter than a header */
    CHECK(wait_for(&b->loop, fd));
    /* a reset where the five bytes were there before it hung up */
    CHECK(recv(fd, b->r, 1, 0) == 0 || errno == ECONNRESET);
    close(fd);
    side_close(&closed);
    bed_free(b);
}

static void test_tcp_bounds(void) {
    struct bed *b = bed_make("c1");
    int fds[40];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = client(&b->at, SOCK_STREAM);
        settle(&b->loop);
    }
    CHECK_INT(b->loop.dns->n_conns, 32);
    CHECK_INT(recv(fds[0], b->r, 1, MSG_DONTWAIT), 0); /* the oldest went */
    CHECK(recv(fds[39], b->r, 1, MSG_DONTWAIT) < 0);
    b->n = query(b->q, "example.org", DNS_TYPE_A);
    send_frame(fds[39], b->q, b->n);
    settle(&b->loop);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) /* one of them while a server is asked */
        close(fds[i]);
    settle(&b->loop);
    CHECK(b->loop.dns->n_conns <= 1);
    bed_free(b);
}

/* One processor for all: what settle() relies on. */
static void test_begin(void) {
    cpu_set_t allowed, one;
    int cpu = 0;
    CPU_ZERO(&one);
    CHECK_INT(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET((size_t)cpu, &allowed))
        cpu++;
    CPU_SET((size_t)cpu, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
}

UNIT_MAIN({"begin", test_begin}, {"names", test_names}, {"scopes", test_scopes}, {"internal", test_internal},
          {"malformed", test_malformed}, {"forward", test_forward}, {"forged", test_forged},
          {"next server", test_next_server}, {"refusing server", test_refusing_server},
          {"single server", test_single_server}, {"own servers", test_own_servers}, {"large reply", test_large_reply},
          {"flood", test_flood}, {"TCP", test_tcp}, {"TCP forward", test_tcp_forward},
          {"TCP with nobody", test_tcp_nobody}, {"TCP bounds", test_tcp_bounds})
