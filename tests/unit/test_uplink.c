/* What a container may open by a libslirp of its own: its share, what it has goes on, and what ends makes room. */
#include "net/helper/slirp.c"

#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "base/sys/sys.h"
#include "net/helper/loop.c"
#include "uplink_fixture.h"

static bool answered; /* connections are made, and nothing comes by them; else … */

/* The world: … every connection is on its way for ever (what listens has nothing to tell); every datagram arrives. */
int connect(int fd, const struct sockaddr *to, socklen_t len) {
    (void)to, (void)len;
    int pair[2];
    if (answered && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
        dup2(pair[0], fd);
        close(pair[0]); /* the other end stays until this process ends */
        return 0;
    }
    errno = listen(fd, 1) == 0 ? EINPROGRESS : ENETUNREACH;
    return -1;
}
ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t len) {
    (void)fd, (void)data, (void)flags, (void)to, (void)len;
    return (ssize_t)n;
}

/* An IPv4 packet from a port of the container's to 192.0.2.1. */
static void send_packet(uint8_t protocol, const void *content, size_t n) {
    struct {
        struct ether_header eth;
        struct ip ip;
        uint8_t content[64];
    } __attribute__((packed)) f = {.eth = {.ether_type = htons(ETHERTYPE_IP), .ether_shost = {2, 0, 0, 0, 0, 1}}};
    f.ip = (struct ip){.ip_hl = 5, .ip_v = 4, .ip_ttl = 64, .ip_p = protocol};
    f.ip.ip_len = htons((uint16_t)(sizeof f.ip + n));
    f.ip.ip_src.s_addr = htonl(0x0a000264);
    f.ip.ip_dst.s_addr = htonl(0xc0000201);
    f.ip.ip_sum = checksum(&f.ip, sizeof f.ip, 0);
    memcpy(f.content, content, n);
    while (send(far, &f, sizeof f.eth + sizeof f.ip + n, 0) < 0) {
        CHECK(errno == EAGAIN);
        loop_round(&l);
    }
}

static void send_ack(unsigned port, uint8_t flags, uint32_t ack) {
    struct tcphdr h = {.th_sport = htons((uint16_t)port), .th_dport = htons(80), .th_off = 5, .th_flags = flags};
    h.th_seq = htonl(flags != TH_SYN); /* behind the SYN */
    h.th_ack = htonl(ack);
    uint32_t pseudo = 0x0a00 + 0x0264 + 0xc000 + 0x0201 + IPPROTO_TCP + sizeof h;
    h.th_win = htons(1000);
    h.th_sum = checksum(&h, sizeof h, pseudo);
    send_packet(IPPROTO_TCP, &h, sizeof h);
}

static void send_tcp(unsigned port, uint8_t flags) { send_ack(port, flags, 0); }

static void send_udp(unsigned port) {
    const struct udphdr h = {.uh_sport = htons((uint16_t)port), .uh_dport = htons(7), .uh_ulen = htons(sizeof h)};
    send_packet(IPPROTO_UDP, &h, sizeof h);
}

/* Until all frames are handled. */
static void settle(void) {
    while (sys_waiting(l.uplinks->link.fd) > 0)
        loop_round(&l);
}

/* The sequence number of the answer to a SYN, which comes when the connection is made. */
static uint32_t answer_to(unsigned port) {
    uint8_t frame[2048];
    for (int turns = 0; turns < 1000; turns++) {
        struct tcphdr h = {.th_flags = 0};
        if (recv(far, frame, sizeof frame, 0) >= ETH_HLEN + (ssize_t)sizeof(struct ip) + (ssize_t)sizeof h)
            memcpy(&h, frame + ETH_HLEN + sizeof(struct ip), sizeof h);
        else
            loop_round(&l);
        if (h.th_flags == (TH_SYN | TH_ACK) && h.th_dport == htons((uint16_t)port))
            return ntohl(h.th_seq);
    }
    CHECK(false); /* no answer */
    return 0;
}

static void test_streams(void) {
    const struct slirp_uplink *u = begin(400, false); /* a share of a hundred */
    CHECK_INT(u->most[STREAM], 100);
    for (unsigned port = 1000; port < 1300; port++)
        send_tcp(port, TH_SYN);
    settle();
    CHECK_INT(u->n_open[STREAM], 100);
    for (unsigned port = 1000; port < 1050; port++) /* what ends makes room */
        send_tcp(port, TH_RST);
    for (unsigned port = 2000; port < 2030; port++)
        send_tcp(port, TH_SYN);
    settle();
    CHECK(u->n_open[STREAM] > 50 && u->n_open[STREAM] <= 100);
    CHECK_INT(u->n_open[FLOW], 0);
    end();
}

/* A connection that ends and one that begins in the same turn have the same descriptor, one after the other: however
 * often that happens, it is watched as one. */
static void test_turnover(void) {
    const struct slirp_uplink *u = begin(400, false);
    answered = true;
    send_tcp(1000, TH_SYN);
    for (unsigned port = 1000; port < 1200; port++) {
        send_ack(port, TH_ACK, answer_to(port) + 1);
        settle();
        send_tcp(port, TH_RST);
        send_tcp(port + 1, TH_SYN);
    }
    settle();
    answered = false;
    CHECK(u->n_open[STREAM] >= 1 && u->n_open[STREAM] < 10);
    CHECK_INT(u->n_listed, u->n_open[STREAM]);
    end();
}

static void test_flows(void) {
    struct slirp_uplink *u = begin(400, false);
    for (unsigned port = 1000; port < 1300; port++)
        send_udp(port);
    settle();
    CHECK_INT(u->n_open[FLOW], 100);
    /* those that have a socket go on */
    size_t passed = 0, kept_out = 0;
    for (unsigned port = 1000; port < 1300; port++) {
        uint8_t frame[ETH_HLEN + sizeof(struct ip) + sizeof(struct udphdr)] = {[12] = 8, [ETH_HLEN] = 0x45};
        frame[ETH_HLEN + offsetof(struct ip, ip_p)] = IPPROTO_UDP;
        memcpy(frame + ETH_HLEN + offsetof(struct ip, ip_src), (const uint8_t[]){10, 0, 2, 100}, 4);
        frame[sizeof frame - sizeof(struct udphdr)] = (uint8_t)(port >> 8);
        frame[sizeof frame - sizeof(struct udphdr) + 1] = (uint8_t)port;
        bool room = has_room(u, frame, sizeof frame);
        passed += room && port < 1100;
        kept_out += !room && port >= 1100;
    }
    CHECK(passed > 90);
    CHECK(kept_out > 190);
    send_tcp(1000, TH_SYN); /* of another kind there is room */
    settle();
    CHECK_INT(u->n_open[STREAM], 1);
    end();
}

static void test_share(void) {
    const struct slirp_uplink *u = begin(1 << 20, false);
    CHECK_INT(u->most[STREAM], STREAMS_MAX);
    CHECK_INT(u->most[FLOW], FLOWS_MAX);
    end();
}

UNIT_MAIN({"streams", test_streams}, {"turnover", test_turnover}, {"flows", test_flows}, {"share", test_share})
