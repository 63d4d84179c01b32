/*
 * dns_inside: the name server at 127.0.0.11 port 53 of a container, which leaves port 53 itself to the container: it
 * may run a name server of its own, on all addresses. So the sockets are at another port, and four rules change one
 * port into the other. Both ends are in this namespace, so both directions pass its output hook, and it takes neither
 * NAT nor connection tracking, which all other packets of the container would pay for.
 */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/helper/nft_int.h"
#include "net/helper/warden_int.h"

#define CHAIN "dns"

enum { LOOPBACK_INDEX = 1, BEFORE_TRACKING = -300 };
enum { PORT_ASIDE = 20053 }; /* below the ports that are given out, so that nobody gets it by chance */
/* offsets in headers */
enum {
    IP_SOURCE = 12,
    IP_DESTINATION = 16,
    SOURCE_PORT = 0,
    DESTINATION_PORT = 2,
    UDP_CHECKSUM = 6,
    TCP_CHECKSUM = 16
};

/* ---- rules ---- */

static void leave_alone(struct nft_batch *b, enum nft_meta_keys key, const void *unless, size_t n) {
    nft_rule(b, CHAIN);
    nft_meta(b, key);
    nft_cmp(b, NFT_CMP_NEQ, unless, n);
    nft_verdict(b, NF_ACCEPT);
    nft_rule_end(b);
}

static void change_port(struct nft_batch *b, uint8_t protocol, bool answer, uint16_t from, uint16_t to) {
    const in_addr_t server = inet_addr(DNS_INSIDE);
    const uint16_t wire = htons(from);
    unsigned port = answer ? SOURCE_PORT : DESTINATION_PORT;
    nft_rule(b, CHAIN);
    nft_network(b, answer ? IP_SOURCE : IP_DESTINATION, sizeof server);
    nft_cmp(b, NFT_CMP_EQ, &server, sizeof server);
    nft_meta(b, NFT_META_L4PROTO);
    nft_cmp(b, NFT_CMP_EQ, &protocol, sizeof protocol);
    nft_transport(b, port, sizeof wire);
    nft_cmp(b, NFT_CMP_EQ, &wire, sizeof wire);
    nft_set_port(b, port, protocol == IPPROTO_UDP ? UDP_CHECKSUM : TCP_CHECKSUM, to);
    nft_rule_end(b);
}

static void fill(struct nft_batch *b) {
    static const struct nft_chain chain = {CHAIN, "filter", NF_INET_LOCAL_OUT, BEFORE_TRACKING};
    static const uint32_t loopback = LOOPBACK_INDEX;
    static const uint8_t v4 = NFPROTO_IPV4, protocols[] = {IPPROTO_UDP, IPPROTO_TCP};
    nft_batch_begin(b);
    nft_table(b, true);
    nft_chain(b, &chain);
    leave_alone(b, NFT_META_OIF, &loopback, sizeof loopback);
    leave_alone(b, NFT_META_NFPROTO, &v4, sizeof v4);
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        change_port(b, protocols[i], false, DNS_PORT, PORT_ASIDE);
        change_port(b, protocols[i], true, PORT_ASIDE, DNS_PORT);
    }
}

/* What an earlier helper has loaded is the same, and stays. */
static bool load(void) {
    struct mnl_socket *s; /* of this namespace */
    autoerr e = netlink_open(NETLINK_NETFILTER, &s);
    if (e)
        return false;
    struct nft_batch *b = mem_alloc(sizeof *b);
    bool there = nft_has_chain(b, s, CHAIN);
    if (!there) {
        fill(b);
        there = nft_batch_send(b, s) == 0;
    }
    free(b);
    mnl_socket_close(s);
    return there;
}

/* ---- sockets ---- */

static struct err *bind_both(const struct net_addr *at, uint16_t port, int *ret_udp, int *ret_tcp) {
    autofd int udp = -1;
    TRY(socket_bound(at, port, SOCK_DGRAM, &udp));
    TRY(socket_bound(at, port, SOCK_STREAM, ret_tcp));
    *ret_udp = take_fd(&udp);
    return NULL;
}

struct err *dns_inside(struct warden *w, const char *id) {
    struct net_addr at;
    autofd int udp = -1, tcp = -1;
    TRY(net_addr_parse(DNS_INSIDE, &at));
    autoerr taken = bind_both(&at, PORT_ASIDE, &udp, &tcp);
    if (taken || !load()) {
        log_debug("the name server of container %s takes port %d itself", id, DNS_PORT);
        fd_replace(&udp, -1);
        fd_replace(&tcp, -1);
        TRY(bind_both(&at, DNS_PORT, &udp, &tcp));
    }
    socket_dns_tell(w, id, (const int[]){udp, tcp});
    return NULL;
}
