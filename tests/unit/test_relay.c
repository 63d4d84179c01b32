/* The relay, between real TCP sockets: bytes, ends of streams, resets, slow readers, connections that fail; and timers.
 */
#include "net/helper/relay.c"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>

#include "base/clock.h"
#include "net/helper/loop.c"
#include "unit.h"

enum { PATIENCE_MS = 60000 };

static struct loop l;

static struct sockaddr_in local(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Buffers as small as any machine's: some let a reader who sleeps fall 32 MiB behind. */
static int small_socket(int flags) {
    const int bytes = 1 << 20;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    return fd;
}

static int listener(struct sockaddr_in *ret_at) {
    int fd = small_socket(SOCK_NONBLOCK);
    socklen_t len = sizeof *ret_at;
    *ret_at = local(0);
    CHECK(bind(fd, (const struct sockaddr *)ret_at, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)ret_at, &len) == 0);
    return fd;
}

/* A client may believe itself connected before the listener has heard of it. */
static void await_client(int listener) {
    struct pollfd p = {.fd = listener, .events = POLLIN};
    CHECK_INT(poll(&p, 1, PATIENCE_MS), 1);
}

/* Two ends of a TCP connection, neither of which blocks. */
static void tcp_pair(int ret[2]) {
    struct sockaddr_in at;
    struct sockaddr_storage peer;
    int at_fd = listener(&at);
    ret[0] = small_socket(0);
    CHECK(connect(ret[0], (const struct sockaddr *)&at, sizeof at) == 0);
    fcntl(ret[0], F_SETFL, O_NONBLOCK);
    await_client(at_fd);
    ret[1] = loop_accept(&l, at_fd, &peer);
    CHECK(ret[1] >= 0);
    close(at_fd);
}

static void nothing(struct loop *in, struct timer *t) { (void)in, (void)t; }

static void one_round(void) {
    struct timer tick = {.fire = nothing};
    loop_timer(&l, &tick, NSEC_PER_MSEC);
    loop_round(&l);
    loop_untimer(&l, &tick);
}

/* Lets the loop do what is left to do. */
static void settle(void) {
    for (int i = 0; i < 50; i++)
        one_round();
}

/* Lets the loop work until it says yes; false after a while. */
static bool until_so(bool (*fn)(void *ctx), void *ctx) {
    for (int64_t end = clock_boot() + PATIENCE_MS * NSEC_PER_MSEC; clock_boot() < end; one_round())
        if (fn(ctx))
            return true;
    return false;
}

static bool is_ready(void *ctx) { return poll(ctx, 1, 0) == 1; }

/* Until `fd` has something to say (POLLIN) or takes something (POLLOUT). */
static bool until(int fd, short events) { return until_so(is_ready, &(struct pollfd){.fd = fd, .events = events}); }

/* The outer ends of a relay: what goes in at out[0] comes out of out[1]. */
static void relayed(struct relay_group *group, int out[2]) {
    int a[2], b[2];
    tcp_pair(a);
    tcp_pair(b);
    relay_prepare(a[1]);
    relay_start(&l, group, a[1], b[1], false);
    out[0] = a[0];
    out[1] = b[0];
}

static void check_arrives(int from, int to, const char *text) {
    char got[64] = "";
    CHECK_INT(send(from, text, strlen(text), MSG_NOSIGNAL), (long long)strlen(text));
    CHECK(until(to, POLLIN));
    CHECK_INT(recv(to, got, sizeof got - 1, 0), (long long)strlen(text));
    CHECK_STR(got, text);
}

static void test_both_ways(void) {
    int s[2];
    relayed(NULL, s);
    check_arrives(s[0], s[1], "there");
    check_arrives(s[1], s[0], "and back");
    close(s[0]);
    CHECK(until(s[1], POLLIN));
    char c;
    CHECK_INT(recv(s[1], &c, 1, 0), 0);
    close(s[1]);
}

static void test_half_close(void) {
    int s[2];
    char c;
    relayed(NULL, s);
    check_arrives(s[0], s[1], "question");
    shutdown(s[0], SHUT_WR);
    CHECK(until(s[1], POLLIN));
    CHECK_INT(recv(s[1], &c, 1, 0), 0);
    check_arrives(s[1], s[0], "answer after the end");
    close(s[1]);
    CHECK(until(s[0], POLLIN));
    CHECK_INT(recv(s[0], &c, 1, 0), 0);
    close(s[0]);
}

static void test_reset(void) {
    int s[2];
    char c;
    relayed(NULL, s);
    check_arrives(s[0], s[1], "x");
    relay_reset(s[0]);
    CHECK(until(s[1], POLLIN));
    CHECK(recv(s[1], &c, 1, 0) < 0 && errno == ECONNRESET);
    close(s[1]);
}

static void test_refused(void) {
    int a[2];
    char c;
    struct sockaddr_in nobody = local(0);
    socklen_t len = sizeof nobody;
    int taken =
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* a port that nobody else gets, and nobody listens at */
    CHECK(bind(taken, (const struct sockaddr *)&nobody, len) == 0);
    CHECK(getsockname(taken, (struct sockaddr *)&nobody, &len) == 0);
    tcp_pair(a);
    int b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(connect(b, (const struct sockaddr *)&nobody, sizeof nobody) < 0);
    relay_start(&l, NULL, a[1], b, true);
    CHECK(until(a[0], POLLIN));
    CHECK(recv(a[0], &c, 1, 0) < 0 && errno == ECONNRESET);
    close(a[0]);
    close(taken);
}

/* What a client has sent before anybody was connected arrives, and a client that waits to be spoken to is. */
static void test_connect(void) {
    for (int speaks = 0; speaks < 2; speaks++) {
        int a[2];
        struct sockaddr_storage at = {0}, peer;
        int at_fd = listener((struct sockaddr_in *)&at);
        int b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        char got[16] = "";
        tcp_pair(a);
        if (speaks)
            CHECK_INT(send(a[0], "early", 5, 0), 5);
        relay_prepare_inside(b);
        CHECK_INT(relay_connect(&l, NULL, a[1], b, &at), 0);
        CHECK(until(at_fd, POLLIN));
        int server = loop_accept(&l, at_fd, &peer);
        CHECK(server >= 0);
        if (speaks) {
            CHECK(until(server, POLLIN));
            CHECK_INT(recv(server, got, sizeof got - 1, 0), 5);
            CHECK_STR(got, "early");
        }
        check_arrives(server, a[0], "hello");
        check_arrives(a[0], server, "and back");
        const int all[] = {a[0], server, at_fd};
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            close(all[i]);
        settle();
    }
}

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 31 + (i >> 12)); }

/* Sends as much as goes; returns the new position. */
static size_t pour(int fd, size_t at, size_t end) {
    static uint8_t piece[1 << 16];
    size_t n = end - at < sizeof piece ? end - at : sizeof piece;
    for (size_t i = 0; i < n; i++)
        piece[i] = byte_at(at + i);
    ssize_t k = send(fd, piece, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return at + (k > 0 ? (size_t)k : 0);
}

static size_t drain(int fd, size_t at, bool *ret_right) {
    static uint8_t piece[1 << 16];
    ssize_t k = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
    for (ssize_t i = 0; i < k; i++)
        *ret_right = *ret_right && piece[i] == byte_at(at + (size_t)i);
    return at + (k > 0 ? (size_t)k : 0);
}

/* The reader sleeps until the writer is stopped: what the relay holds is bounded, and arrives whole, then the end. */
static void test_slow_reader(void) {
    enum { TOTAL = 24 << 20 };
    int s[2];
    size_t in = 0, out = 0, most = 0;
    bool right = true;
    char c;
    relayed(NULL, s);
    for (int idle = 0; in < TOTAL && idle < (most ? 50 : PATIENCE_MS);) { /* rounds of a millisecond at most */
        size_t before = in;
        in = pour(s[0], in, TOTAL);
        one_round();
        idle = in == before ? idle + 1 : 0;
        most = l.kept > most ? l.kept : most;
        if (l.kept) /* stopped, or about to be */
            while (out < in / 2 && until(s[1], POLLIN))
                out = drain(s[1], out, &right);
    }
    while (out < TOTAL) {
        if (in < TOTAL)
            in = pour(s[0], in, TOTAL);
        if (in == TOTAL)
            shutdown(s[0], SHUT_WR);
        if (!until(s[1], POLLIN))
            break;
        out = drain(s[1], out, &right);
    }
    CHECK_INT(out, TOTAL);
    CHECK(right);
    CHECK(most > 0 && most <= LOOP_BUFFER);
    CHECK_INT(l.kept, 0);
    CHECK(until(s[1], POLLIN));
    CHECK_INT(recv(s[1], &c, 1, 0), 0);
    close(s[0]);
    close(s[1]);
}

/* Until no more goes; returns the new position. */
static size_t pour_all(int fd, size_t at, size_t end) {
    for (size_t before = at - 1; at < end && at != before;)
        at = pour(fd, before = at, end);
    return at;
}

struct writer {
    int fd;
    size_t at, end, rounds;
};

/* Whether the relay holds bytes, in a pipe or copied, and for fifty rounds no more went. */
static bool is_stopped(void *ctx) {
    struct writer *w = ctx;
    size_t before = w->at;
    w->at = pour_all(w->fd, before, w->end);
    w->rounds = w->at == before ? w->rounds + 1 : 0;
    return w->rounds >= 50 && (l.kept || l.pipes.n > l.pipes.n_idle);
}

/* Everything from one end to the other, to a reader who begins when the writer is stopped, and the end with it;
 * *ret_spliced: whether bytes waited in a pipe then. */
static void pass_through(size_t total, bool *ret_spliced) {
    int s[2];
    size_t in = 0, out = 0;
    bool right = true;
    char c;
    relayed(NULL, s);
    struct writer w = {.fd = s[0], .end = total};
    CHECK(until_so(is_stopped, &w));
    in = w.at;
    CHECK(in < total);
    *ret_spliced = l.pipes.n > l.pipes.n_idle;
    while (out < total) {
        in = pour_all(s[0], in, total);
        if (in == total)
            shutdown(s[0], SHUT_WR);
        if (!until(s[1], POLLIN))
            break;
        out = drain(s[1], out, &right);
    }
    CHECK_INT(out, total);
    CHECK(right);
    CHECK(until(s[1], POLLIN));
    CHECK_INT(recv(s[1], &c, 1, 0), 0);
    check_arrives(s[1], s[0], "answer after the end");
    close(s[0]);
    close(s[1]);
    CHECK_INT(l.kept, 0);
    CHECK_INT(l.pipes.n, (long long)l.pipes.n_idle);
}

static void test_bulk(void) {
    bool spliced;
    pass_through(40 << 20, &spliced);
    CHECK(spliced);
    size_t n = l.pipes.n, n_idle = l.pipes.n_idle;
    struct pipe *idle = l.pipes.idle;
    l.pipes.idle = NULL; /* as if others had them all */
    l.pipes.n = l.pipes.n_idle = SIZE_MAX;
    pass_through(40 << 20, &spliced);
    CHECK(!spliced);
    l.pipes.n = n;
    l.pipes.n_idle = n_idle;
    l.pipes.idle = idle;
}

/* A connection that ends while a pipe holds bytes of it takes the pipe along. */
static void test_bulk_reset(void) {
    int s[2];
    relayed(NULL, s);
    for (size_t in = 0; l.pipes.n == l.pipes.n_idle && until(s[0], POLLOUT);)
        in = pour(s[0], in, in + LOOP_BUFFER);
    CHECK(l.pipes.n > l.pipes.n_idle);
    relay_reset(s[1]);
    CHECK(until(s[0], POLLERR));
    CHECK_INT(l.pipes.n, (long long)l.pipes.n_idle);
    close(s[0]);
}

static void test_group(void) {
    struct relay_group group = {0};
    int s[2], t[2], u[2];
    char c;
    relayed(&group, s);
    relayed(NULL, t);
    relayed(&group, u);
    check_arrives(s[0], s[1], "s");
    check_arrives(t[0], t[1], "t");
    check_arrives(u[0], u[1], "u");
    relay_reset(u[0]); /* leaves the group by itself */
    CHECK(until(u[1], POLLIN));
    relay_group_end(&l, &group);
    CHECK(until(s[0], POLLIN));
    CHECK(recv(s[0], &c, 1, 0) < 0 && errno == ECONNRESET);
    check_arrives(t[0], t[1], "still there");
    const int all[] = {s[0], s[1], t[0], t[1], u[1]};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        close(all[i]);
}

static int open_descriptors(void) {
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return fd;
}

static bool as_many_descriptors(void *ctx) { return open_descriptors() == *(const int *)ctx; }

static void test_nothing_left(void) {
    int before = open_descriptors();
    test_both_ways();
    test_half_close();
    test_refused();
    CHECK(until_so(as_many_descriptors, &before));
}

/* A client of a process without descriptors is hung up on, and the listener is quiet again. */
static void test_no_descriptors(void) {
    struct sockaddr_in at;
    struct sockaddr_storage peer;
    int at_fd = listener(&at), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), taken[4096], n = 0;
    char c;
    CHECK(connect(client, (const struct sockaddr *)&at, sizeof at) == 0);
    await_client(at_fd);
    while (n < 4096 && (taken[n] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) >= 0)
        n++;
    if (n < 4096) { /* else the limit is higher than that: nothing to see */
        CHECK_INT(loop_accept(&l, at_fd, &peer), -1);
        CHECK(recv(client, &c, 1, 0) < 0 && errno == ECONNRESET);
        CHECK(loop_accept(&l, at_fd, &peer) == -1 && errno == EAGAIN);
    }
    while (n)
        close(taken[--n]);
    close(client);
    close(at_fd);
}

static int fired[3];
static void fire0(struct loop *in, struct timer *t) { (void)in, (void)t, fired[0]++; }
static void fire1(struct loop *in, struct timer *t) { (void)in, (void)t, fired[1] += fired[0] + 1; }
static void fire2(struct loop *in, struct timer *t) { (void)in, (void)t, fired[2]++; }

static void test_timers(void) {
    struct timer a = {.fire = fire0}, b = {.fire = fire1}, c = {.fire = fire2};
    loop_timer(&l, &b, 2 * NSEC_PER_MSEC);
    loop_timer(&l, &c, NSEC_PER_MSEC);
    loop_timer(&l, &a, NSEC_PER_MSEC);
    loop_untimer(&l, &c);
    while (!fired[1])
        loop_round(&l);
    CHECK_INT(fired[0], 1);
    CHECK_INT(fired[1], 2); /* after the first */
    CHECK_INT(fired[2], 0);
    CHECK(l.timers.next == &l.timers);
}

/* What a connection costs while nothing happens on it. */
static void test_size(void) { CHECK(sizeof(struct relay) <= 256); }

static void test_begin(void) { CHECK_OK(loop_init(&l)); }

UNIT_MAIN({"begin", test_begin}, {"both ways", test_both_ways}, {"half close", test_half_close}, {"reset", test_reset},
          {"refused", test_refused}, {"connect", test_connect}, {"slow reader", test_slow_reader}, {"bulk", test_bulk},
          {"bulk reset", test_bulk_reset}, {"group", test_group}, {"nothing left", test_nothing_left},
          {"no descriptors", test_no_descriptors}, {"timers", test_timers}, {"size", test_size})
