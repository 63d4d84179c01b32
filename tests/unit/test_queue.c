/* Packets that the kernel holds: which begin a connection, and where containers may not go. */
#include "net/helper/queue.c"

#include "net/helper/policy.c"
#include "unit.h"

/* IPv4 without options, TCP with these flags. */
static size_t packet4(uint8_t *p, uint8_t flags) {
    static const uint8_t header[] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 89, 7, 2, 192, 0, 2, 9};
    memset(p, 0, 40);
    memcpy(p, header, sizeof header);
    memcpy(p + 20, (const uint8_t[]){0x9c, 0x40, 0x00, 0x50}, 4);
    p[20 + 12] = 5 << 4;
    p[20 + 13] = flags;
    return 40;
}

static void check_tuple(const struct tuple *t, const char *src, const char *dst) {
    autofree char *a = net_addr_text(&t->src);
    autofree char *b = net_addr_text(&t->dst);
    CHECK_STR(a, src);
    CHECK_STR(b, dst);
    CHECK_INT(t->sport, 40000);
    CHECK_INT(t->dport, 80);
}

static void test_ipv4(void) {
    uint8_t p[64];
    struct tuple t;
    size_t n = packet4(p, TH_SYN);
    CHECK(syn_parse(p, n, &t));
    check_tuple(&t, "10.89.7.2", "192.0.2.9");
    for (size_t i = 0; i < n; i++)
        CHECK(!syn_parse(p, i, &t)); /* cut anywhere */
    packet4(p, TH_SYN | TH_ACK);
    CHECK(!syn_parse(p, n, &t));
    packet4(p, TH_RST);
    CHECK(!syn_parse(p, n, &t));
    packet4(p, TH_SYN);
    p[9] = 17;
    CHECK(!syn_parse(p, n, &t)); /* UDP */
    packet4(p, TH_SYN);
    p[7] = 1;
    CHECK(!syn_parse(p, n, &t)); /* a later fragment */
    packet4(p, TH_SYN);
    p[0] = 0x44;
    CHECK(!syn_parse(p, n, &t)); /* a header shorter than headers are */
    p[0] = 0x4f;
    CHECK(!syn_parse(p, n, &t)); /* one longer than the packet */
}

static size_t packet6(uint8_t *p, size_t extensions) {
    size_t at = 40;
    memset(p, 0, 128);
    p[0] = 0x60;
    p[6] = extensions ? 0 : 6;
    inet_pton(AF_INET6, "fd89::2", p + 8);
    inet_pton(AF_INET6, "2001:db8::9", p + 24);
    for (; extensions; extensions--, at += 8)
        p[at] = extensions > 1 ? 60 : 6;
    memcpy(p + at, (const uint8_t[]){0x9c, 0x40, 0x00, 0x50}, 4);
    p[at + 12] = 5 << 4;
    p[at + 13] = TH_SYN;
    return at + 20;
}

static void test_ipv6(void) {
    uint8_t p[160];
    struct tuple t;
    for (size_t extensions = 0; extensions < 3; extensions++) {
        size_t n = packet6(p, extensions);
        CHECK(syn_parse(p, n, &t));
        check_tuple(&t, "fd89::2", "2001:db8::9");
        for (size_t i = 0; i < n; i++)
            CHECK(!syn_parse(p, i, &t));
    }
    size_t n = packet6(p, 1);
    p[41] = 255; /* an extension that goes on for ever */
    CHECK(!syn_parse(p, n, &t));
}

/* A message as the kernel sends it. */
static size_t message(uint8_t *m) {
    uint8_t packet[64];
    size_t n = packet4(packet, TH_SYN);
    struct nlmsghdr h = {.nlmsg_len = (uint32_t)(16 + 4 + 12 + 4 + n), .nlmsg_type = NFNL_SUBSYS_QUEUE << 8};
    const struct nfqnl_msg_packet_hdr head = {.packet_id = htonl(77)};
    const struct nlattr a = {.nla_len = 4 + sizeof head, .nla_type = NFQA_PACKET_HDR};
    const struct nlattr b = {.nla_len = (uint16_t)(4 + n), .nla_type = NFQA_PAYLOAD};
    memset(m, 0, 32);
    memcpy(m, &h, sizeof h);
    memcpy(m + 20, &a, sizeof a);
    memcpy(m + 24, &head, sizeof head);
    memcpy(m + 32, &b, sizeof b);
    memcpy(m + 36, packet, n);
    return h.nlmsg_len;
}

static void test_message(void) {
    uint8_t m[256];
    struct held held;
    size_t n = message(m);
    CHECK(queue_parse(m, n, &held));
    CHECK_INT(held.id, 77);
    CHECK(held.is_syn);
    check_tuple(&held.tuple, "10.89.7.2", "192.0.2.9");
    for (size_t i = 0; i < n; i++)
        CHECK(!queue_parse(m, i, &held));
    m[20] = 3; /* an attribute shorter than its header */
    CHECK(!queue_parse(m, n, &held));
    message(m);
    m[4] = NLMSG_ERROR;
    m[5] = 0;
    CHECK(!queue_parse(m, n, &held));
}

static bool denied(const struct loop *l, const char *address) {
    struct net_addr a;
    CHECK_OK(net_addr_parse(address, &a));
    return policy_denies(l, &a);
}

static void test_policy(void) {
    struct loop l = {0};
    static const char *const closed[] = {"127.0.0.1",
                                         "127.255.255.254",
                                         "0.0.0.0",
                                         "0.1.2.3",
                                         "224.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:0.0.0.0",
                                         "::127.0.0.1",
                                         "ff02::1",
                                         "fe80::1",
                                         "172.18.0.1",
                                         "::ffff:172.18.0.1",
                                         "fd00:10:2::2"};
    static const char *const open[] = {"192.0.2.1", "169.254.169.254", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"};
    autojson nets = json_array();
    json_push_str(nets, "172.18.0.1/32");
    json_push_str(nets, "fd00:10:2::/64");
    json_push_str(nets, "nonsense");
    policy_set(&l, nets);
    for (size_t i = 0; i < ARRAY_LEN(closed); i++)
        if (!denied(&l, closed[i]))
            CHECK_STR(closed[i], "denied");
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        CHECK(!denied(&l, open[i]));
    policy_set(&l, NULL); /* replaces what was said before */
    CHECK(!denied(&l, "172.18.0.1") && denied(&l, "127.0.0.1"));
    free(l.policy->denied);
    free(l.policy);
}

static void test_addresses(void) {
    struct sockaddr_storage s;
    static const char *const some[] = {"192.0.2.7", "2001:db8::7"};
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        struct net_addr a, b;
        uint16_t port = 0;
        CHECK_OK(net_addr_parse(some[i], &a));
        CHECK_INT(sockaddr_make(&a, 8080, &s), i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        b = sockaddr_read(&s, &port);
        CHECK(net_addr_contains(&a, &b) && net_addr_contains(&b, &a));
        CHECK_INT(port, 8080);
    }
}

UNIT_MAIN({"ipv4", test_ipv4}, {"ipv6", test_ipv6}, {"message", test_message}, {"policy", test_policy},
          {"addresses", test_addresses})
