/* A container's connections that the host refuses at once, within connect(2), by a libslirp of the container's own. */
#include "net/helper/slirp.c"

#include <netinet/tcp.h>
#include <signal.h>
#include <sys/syscall.h>

#include "deny.h"
#include "net/helper/loop.c"
#include "net/helper/slirp_connect.c"
#include "uplink_fixture.h"

struct segment {
    struct ether_header eth;
    struct ip ip;
    struct tcphdr tcp;
} __attribute__((packed));

/* A SYN to 10.0.2.2, from one of the container's addresses. */
static void knock(unsigned host) {
    struct segment f = {.eth = {.ether_type = htons(ETHERTYPE_IP), .ether_shost = {2, 0, 0, 0, 0, 1}}};
    f.ip = (struct ip){.ip_hl = 5, .ip_v = 4, .ip_ttl = 64, .ip_p = IPPROTO_TCP};
    f.ip.ip_len = htons(sizeof f.ip + sizeof f.tcp);
    f.ip.ip_src.s_addr = htonl(0x0a000200 + host);
    f.ip.ip_dst.s_addr = htonl(0x0a000202);
    f.ip.ip_sum = checksum(&f.ip, sizeof f.ip, 0);
    f.tcp = (struct tcphdr){.th_sport = htons(4000), .th_dport = htons(80), .th_off = 5, .th_flags = TH_SYN};
    f.tcp.th_sum =
        checksum(&f.tcp, sizeof f.tcp, 0x0a00 + 0x0200 + host + 0x0a00 + 0x0202 + IPPROTO_TCP + sizeof f.tcp);
    CHECK(send(far, &f, sizeof f, 0) == sizeof f);
}

static size_t count_resets(void) {
    struct segment f;
    size_t n = 0;
    while (recv(far, &f, sizeof f, 0) > 0)
        n += f.eth.ether_type == htons(ETHERTYPE_IP) && f.ip.ip_p == IPPROTO_TCP && (f.tcp.th_flags & TH_RST);
    return n;
}

static void knock_all(void) {
    size_t resets = 0;
    begin(0, true);
    for (unsigned host = 10; host < 210; host++) { /* addresses that libslirp has not heard of yet */
        knock(host);
        for (int turns = 0; turns < 5 && resets < host - 9; turns++) {
            loop_round(&l);
            resets += count_resets();
        }
    }
    CHECK_INT(resets, 200);
    CHECK_INT(l.uplinks->n_open[STREAM], 0);
    end();
}

static void test_refused(void) {
    signal(SIGPIPE, SIG_IGN); /* as the helper does: libslirp writes to what is not connected */
    with_denied(SYS_connect, ECONNREFUSED, knock_all);
}

UNIT_MAIN({"refused", test_refused})
