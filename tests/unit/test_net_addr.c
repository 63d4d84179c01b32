/* Networks without files: addresses, routes, pools, definitions. */
#include <sys/socket.h>

#include "base/json.h"
#include "base/mem.h"
#include "net/net_int.h"
#include "unit.h"

static void check_roundtrip(const char *text, const char *plain, const char *cidr) {
    struct net_addr a = {0};
    CHECK_OK(net_addr_parse(text, &a));
    autofree char *t = net_addr_text(&a), *c = net_addr_cidr(&a);
    CHECK_STR(t, plain);
    CHECK_STR(c, cidr);
}

static void test_parse(void) {
    check_roundtrip("10.0.0.1", "10.0.0.1", "10.0.0.1/32");
    check_roundtrip("10.1.2.3/8", "10.1.2.3", "10.1.2.3/8");
    check_roundtrip("0.0.0.0/0", "0.0.0.0", "0.0.0.0/0");
    check_roundtrip("FD00:0:0::1", "fd00::1", "fd00::1/128");
    check_roundtrip("fd00:1::/64", "fd00:1::", "fd00:1::/64");
    static const char *const bad[] = {"",
                                      "/",
                                      "/8",
                                      "10.0.0",
                                      "10.0.0.256",
                                      "10.0.0.01",
                                      "10.0.0.1/",
                                      "10.0.0.1/33",
                                      "10.0.0.1/-1",
                                      "10.0.0.1/+8",
                                      "10.0.0.1/08",
                                      " 10.0.0.1",
                                      "10.0.0.1 ",
                                      "fd00::/129",
                                      "fd00:::1",
                                      "fe80::1%eth0",
                                      "10.0.0.1/8/8",
                                      "a",
                                      "0x0a.0.0.1",
                                      "1:2:3:4:5:6:7:8:9",
                                      "00000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct net_addr a = {.family = 77};
        struct err *e = net_addr_parse(bad[i], &a);
        if (!e || a.family != 77)
            fprintf(stderr, "accepted: '%s'\n", bad[i]);
        CHECK_ERR(e, ERR_USAGE);
        CHECK_INT(a.family, 77);
    }
    const struct net_addr none = {0};
    autofree char *t = net_addr_text(&none), *c = net_addr_cidr(&none);
    CHECK_STR(t, "");
    CHECK_STR(c, "");
}

static bool contains(const char *net, const char *a) {
    struct net_addr n = net_addr_of(net), b = net_addr_of(a);
    return net_addr_contains(&n, &b);
}

static bool overlaps(const char *x, const char *y) {
    struct net_addr a = net_addr_of(x), b = net_addr_of(y);
    CHECK(net_addr_overlaps(&a, &b) == net_addr_overlaps(&b, &a));
    return net_addr_overlaps(&a, &b);
}

static void test_relations(void) {
    CHECK(contains("10.0.0.0/8", "10.255.255.255"));
    CHECK(!contains("10.0.0.0/8", "11.0.0.0"));
    CHECK(contains("10.0.0.128/25", "10.0.0.128"));
    CHECK(!contains("10.0.0.128/25", "10.0.0.127"));
    CHECK(contains("10.0.0.0/9", "10.127.0.0/16"));
    CHECK(!contains("10.0.0.0/9", "10.0.0.0/8"));
    CHECK(contains("0.0.0.0/0", "1.2.3.4"));
    CHECK(!contains("0.0.0.0/0", "::1"));
    CHECK(contains("fd00::/65", "fd00::7fff:0:0:0"));
    CHECK(!contains("fd00::/65", "fd00::8000:0:0:0"));
    CHECK(!contains("", "10.0.0.1"));
    CHECK(overlaps("10.0.0.0/8", "10.3.0.0/16"));
    CHECK(overlaps("0.0.0.0/0", "10.3.0.0/16"));
    CHECK(!overlaps("10.2.0.0/16", "10.3.0.0/16"));
    CHECK(!overlaps("10.2.0.0/16", "fd00::/8"));
    CHECK(!overlaps("", ""));
}

static void check_nth(const char *block, uint32_t n, const char *want) {
    struct net_addr b = net_addr_of(block), a = net_addr_nth(&b, n);
    autofree char *text = net_addr_cidr(&a);
    CHECK_STR(text, want);
}

static void test_arithmetic(void) {
    check_nth("10.0.0.0/24", 1, "10.0.0.1/32");
    check_nth("10.0.0.77/24", 1, "10.0.0.1/32");
    check_nth("10.0.255.0/16", 256 * 255 + 255, "10.0.255.255/32");
    check_nth("172.17.0.0/16", 65536, "172.18.0.0/32");
    check_nth("fd00::ffff:ff00/120", 255, "fd00::ffff:ffff/128");
    check_nth("fd00::ffff:ffff/128", 1, "fd00::1:0:0/128");
    struct net_addr b = net_addr_of("10.0.16.0/20"), last = net_addr_last(&b);
    autofree char *text = net_addr_text(&last);
    CHECK_STR(text, "10.0.31.255");
    b = net_addr_of("10.0.31.255/20");
    struct net_addr masked = net_addr_masked(&b);
    autofree char *cidr = net_addr_cidr(&masked);
    CHECK_STR(cidr, "10.0.16.0/20");
}

static void test_mac(void) {
    uint8_t m[6] = {0};
    CHECK_OK(net_mac_parse("02:42:ac:11:00:02", m));
    CHECK(memcmp(m, "\x02\x42\xac\x11\x00\x02", 6) == 0);
    CHECK_OK(net_mac_parse("FE-42-AC-11-00-0f", m));
    CHECK(memcmp(m, "\xfe\x42\xac\x11\x00\x0f", 6) == 0);
    static const char *const bad[] = {"",
                                      "02:42:ac:11:00",
                                      "02:42:ac:11:00:02:03",
                                      "02:42:ac:11:00:0g",
                                      "02.42.ac.11.00.02",
                                      "0242:ac:11:00:002",
                                      "03:42:ac:11:00:02",
                                      "ff:ff:ff:ff:ff:ff",
                                      "00:00:00:00:00:00",
                                      "02:42:ac:11:00: 2",
                                      "@2:42:ac:11:00:02"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(net_mac_parse(bad[i], m), ERR_USAGE);
    CHECK_INT(m[5], 0x0f);
}

/* ---- routes ---- */

static void check_set(const struct net_addrs *s, const char *want) {
    autostr struct str got = STR_INIT;
    for (size_t i = 0; i < s->n; i++) {
        autofree char *c = net_addr_cidr(&s->v[i]);
        str_appendf(&got, "%s%s", i ? " " : "", c);
    }
    CHECK_STR(str_c(&got), want);
}

#define HEAD4 "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT   \n"
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static void test_routes4(void) {
    autoaddrs s = {0};
    net_routes_parse4(HEAD4 "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0   \n" /* default */
                            "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0  \n"
                            "tun0\t00000000\t0101080A\t0003\t0\t0\t0\t00000080\t0\t0\t0  \n" /* 0.0.0.0/1 */
                            "tun0\t0000000A\t0101080A\t0003\t0\t0\t0\t000000FF\t0\t0\t0  \n"
                            "eth1\t000011AC\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0  \n" /* down */
                            "*\t000012AC\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0  \n"    /* unreachable */
                            "eth2\t000013AC\t00000000\t0001\t0\t0\t0\t00FF00FF\t0\t0\t0  \n" /* mask with holes */
                            "eth3\t0000\n"
                            "wg0\t020200C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0",
                      &s);
    check_set(&s, "192.0.2.0/24 10.0.0.0/8 192.0.2.2/32");
}
#else
static void test_routes4(void) {}
#endif

static void test_routes6(void) {
    static const char zero[] = "00000000000000000000000000000000";
    autostr struct str text = STR_INIT;
    str_appendf(&text, "fd00000a000b00000000000000000000 40 %s 00 %s 00000100 00000001 00000000 00000001     eth0\n",
                zero, zero);
    str_appendf(&text, "%s 00 %s 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003 eth0\n", zero,
                zero);
    str_appendf(&text, "20000000000000000000000000000000 03 %s 00 %s 00000400 00000003 00000000 00000003 tun0\n", zero,
                zero);
    str_appendf(&text, "fd010000000000000000000000000000 40 %s 00 %s ffffffff 00000001 00000000 00200200 lo\n", zero,
                zero);
    str_appendf(&text, "fd02 40\nfd020000000000000000000000000000 81 %s 00 %s 0 0 0 00000001 lo\n", zero, zero);
    str_appendf(&text, "fd000000000000000000000000000002 80 %s 00 %s 00000000 00000004 00000000 80200001 eth0\n", zero,
                zero);
    autoaddrs s = {0};
    net_routes_parse6(str_c(&text), &s);
    check_set(&s, "fd00:a:b::/64 fd00::2/128");
}

static void test_routes_of_host(void) {
    autoaddrs s = {0};
    CHECK_OK(net_routes_read(&s));
    for (size_t i = 0; i < s.n; i++)
        CHECK(s.v[i].prefix >= 8);
}

/* ---- pools ---- */

static void take(struct net_addrs *s, const char *text) {
    struct net_addr a = net_addr_of(text);
    CHECK(a.family != 0);
    net_addrs_push(s, &a);
}

static void check_next(const struct net_addrs *taken, bool (*next)(const struct net_addrs *, struct net_addr *),
                       const char *want) {
    struct net_addr a = {0};
    bool ok = next(taken, &a);
    CHECK(ok == (want != NULL));
    autofree char *text = net_addr_cidr(&a);
    CHECK_STR(text, want ? want : "");
}

static void test_pools(void) {
    autoaddrs s = {0};
    check_next(&s, net_pool_bridge, "172.17.0.0/16");
    check_next(&s, net_pool_next, "172.18.0.0/16");
    take(&s, "172.17.5.0/24");
    check_next(&s, net_pool_bridge, "172.18.0.0/16");
    take(&s, "172.18.0.0/15");
    check_next(&s, net_pool_next, "172.20.0.0/16");
    take(&s, "172.16.0.0/12");
    check_next(&s, net_pool_next, "192.168.0.0/20");
    take(&s, "192.168.15.255");
    take(&s, "192.168.16.0/24");
    check_next(&s, net_pool_bridge, "192.168.32.0/20");
    take(&s, "192.168.0.0/16");
    check_next(&s, net_pool_bridge, NULL);
    check_next(&s, net_pool_next, NULL);
}

static void test_pool6(void) {
    autoaddrs s = {0};
    struct net_addr a = {0}, b = {0}, ula = net_addr_of("fd00::/8");
    CHECK(net_pool_next6(&s, &a));
    CHECK(net_pool_next6(&s, &b));
    CHECK(a.prefix == 64 && net_addr_contains(&ula, &a));
    struct net_addr masked = net_addr_masked(&a);
    CHECK(net_addr_equal(&a, &masked));
    CHECK(!net_addr_equal(&a, &b));
    net_addrs_push(&s, &ula);
    CHECK(!net_pool_next6(&s, &a));
}

/* ---- definitions ---- */

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BRIDGE_ID "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6121"
#define NONE_ID "140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe"
#define V4 "{\"subnet\":\"10.89.7.0/24\",\"gateway\":\"10.89.7.1\"}"
#define V6 "{\"subnet\":\"FD00:1::/64\",\"gateway\":\"fd00:1:0::1\"}"
#define DEF(name, more) "{\"id\":\"" ID "\",\"name\":\"" name "\",\"driver\":\"bridge\"," more "}"

static struct err *parse_def(const char *text, struct net_def **ret) {
    autojson j = NULL;
    TRY(json_parse(text, strlen(text), "test", 0, &j));
    return net_def_parse(j, ret);
}

static void test_def_good(void) {
    autonetdef d = NULL;
    CHECK_OK(parse_def("{\"id\":\"" ID "\",\"name\":\"back\",\"driver\":\"bridge\",\"created\":1767323045000000000,"
                       "\"internal\":true,\"ipv6\":true,\"attachable\":true,\"labels\":[\"a=b=c\",\"x=\"],"
                       "\"options\":[\"com.docker.network.driver.mtu=1400\"],\"subnets\":[{\"subnet\":\"10.89.7.0/24\","
                       "\"gateway\":\"10.89.7.254\",\"ip_range\":\"10.89.7.128/25\"}," V6 "]}",
                       &d));
    if (!d)
        return;
    CHECK(d->internal && d->ipv6 && d->attachable && !d->builtin);
    CHECK_INT(d->created, INT64_C(1767323045000000000));
    CHECK_INT(d->n_subnets, 2);
    CHECK_STR(d->subnets[0].ip_range, "10.89.7.128/25");
    CHECK_STR(d->subnets[1].subnet, "fd00:1::/64");
    CHECK_STR(d->subnets[1].gateway, "fd00:1::1");
    CHECK(d->subnets[1].ip_range == NULL);
    autojson j = net_def_json(d);
    autojson again = NULL;
    autonetdef d2 = NULL;
    CHECK_OK(net_def_parse(j, &d2));
    if (d2)
        again = net_def_json(d2);
    autostr struct str a = STR_INIT, b = STR_INIT;
    json_render(j, JSON_COMPACT, &a);
    if (again)
        json_render(again, JSON_COMPACT, &b);
    CHECK_STR(str_c(&b), str_c(&a));
}

static void test_def_builtin(void) {
    static const char *const names[] = {"host", "none"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        autonetdef d = net_def_builtin(names[i]);
        autonetdef again = NULL;
        autojson j = net_def_json(d);
        CHECK_OK(net_def_parse(j, &again));
        CHECK(again && again->builtin);
        CHECK_STR(again ? again->driver : NULL, i ? "null" : "host");
    }
    autonetdef bridge = net_def_builtin("bridge");
    autonetdef again = NULL;
    struct net_addr a = net_addr_of("172.17.0.0/16");
    net_def_add_pool(bridge, &a);
    autojson j = net_def_json(bridge);
    CHECK_OK(net_def_parse(j, &again));
    CHECK(again && again->builtin);
    CHECK_STR(again ? again->subnets[0].gateway : NULL, "172.17.0.1");
}

static struct err *slirp(const char *option, struct net_def **ret) {
    static const char id[] = "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6122";
    autostrv struct strv options = {0};
    strv_push(&options, option);
    return net_def_slirp(id, &options, ret);
}

/* What comes out of it is what the helper takes, and nobody else may use its name. */
static void test_def_slirp(void) {
    autonetdef made = NULL;
    autonetdef read = NULL;
    autonetdef other = NULL;
    CHECK_OK(slirp("mtu=1500", &made));
    autojson j = net_def_json(made);
    CHECK_OK(net_def_parse(j, &read));
    CHECK_STR(read->driver, NET_SLIRP);
    CHECK_INT(read->n_subnets, 2);
    CHECK_STR(read->subnets[0].gateway, "10.0.2.2");
    CHECK_STR(read->subnets[0].ip_range, "10.0.2.100/32");
    CHECK_STR(read->subnets[1].gateway, "fd00:10:2::2");
    CHECK_STR(read->subnets[1].ip_range, "fd00:10:2::100/128");
    CHECK_STR(strv_env_get(&read->options, "mtu"), "1500");
    CHECK_ERR(slirp("cidr=10.9.0.0/26", &other), ERR_USAGE);
    CHECK_ERR(slirp("cidr=10.9.0.1/24", &other), ERR_USAGE);
    CHECK_ERR(slirp("cidr=127.0.0.0/8", &other), ERR_USAGE);
    json_set_str(j, "driver", "bridge");
    CHECK_ERR(net_def_parse(j, &other), ERR_CORRUPT);
    json_set_str(j, "driver", NET_SLIRP);
    json_set_str(j, "name", "mine");
    CHECK_ERR(net_def_parse(j, &other), ERR_CORRUPT);
}

static void test_def_bad(void) {
    static const char *const bad[] = {
        "{}",
        DEF("back", "\"subnets\":[]"),
        DEF("back", "\"subnets\":[" V4 "," V6 "]"), /* ipv6 is not set */
        DEF("back", "\"ipv6\":true,\"subnets\":[" V4 "]"),
        DEF("back", "\"ipv6\":true,\"subnets\":[" V6 "," V4 "]"),
        DEF("back", "\"ipv6\":true,\"subnets\":[" V4 "," V4 "]"),
        DEF("back", "\"subnets\":[" V6 "]"),
        DEF("bridge", "\"subnets\":[" V4 "]"),
        DEF("default", "\"subnets\":[" V4 "]"),
        DEF("../up", "\"subnets\":[" V4 "]"),
        DEF("", "\"subnets\":[" V4 "]"),
        DEF("back", "\"labels\":[\"a\"],\"subnets\":[" V4 "]"),
        DEF("back", "\"labels\":[7],\"subnets\":[" V4 "]"),
        DEF("back", "\"internal\":1,\"subnets\":[" V4 "]"),
        DEF("back", "\"subnets\":[7]"),
        DEF("back", "\"subnets\":[{\"subnet\":\"10.89.7.0/24\"}]"),
        DEF("back", "\"subnets\":[{\"subnet\":\"10.89.7.1/24\",\"gateway\":\"10.89.7.1\"}]"),
        DEF("back", "\"subnets\":[{\"subnet\":\"10.89.7.0/24\",\"gateway\":\"10.89.8.1\"}]"),
        DEF("back", "\"subnets\":[{\"subnet\":\"127.0.0.0/24\",\"gateway\":\"127.0.0.1\"}]"),
        "{\"id\":\"" NONE_ID "\",\"name\":\"back\",\"driver\":\"bridge\",\"subnets\":[" V4 "]}",
        "{\"id\":\"" NONE_ID "\",\"name\":\"none\",\"driver\":\"host\"}",
        "{\"id\":\"" NONE_ID "\",\"name\":\"none\",\"driver\":\"null\",\"subnets\":[" V4 "]}",
        "{\"id\":\"" BRIDGE_ID "\",\"name\":\"bridge\",\"driver\":\"bridge\"}",
        "{\"id\":\"x\",\"name\":\"back\",\"driver\":\"bridge\",\"subnets\":[" V4 "]}",
        "{\"id\":\"" ID "\",\"name\":\"back\",\"driver\":\"macvlan\",\"subnets\":[" V4 "]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct net_def *d = NULL;
        struct err *e = parse_def(bad[i], &d);
        if (!e)
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK_ERR(e, ERR_CORRUPT);
        net_def_free(d);
    }
}

static void check_subnet(const char *subnet, const char *gateway, const char *range, const char *want) {
    struct net_subnet s = {mem_dup(subnet), mem_dup(gateway), mem_dup(range)};
    struct net_addr a;
    autoerr e = net_subnet_check(&s, &a);
    autostr struct str text = STR_INIT;
    if (e)
        err_format(e, &text);
    CHECK_STR(str_c(&text), want);
    free(s.subnet);
    free(s.gateway);
    free(s.ip_range);
}

static void test_subnet_words(void) {
#define BAD "invalid network config: invalid "
    check_subnet("10.0.0.0/8", "10.0.0.1", "10.10.0.0/16", "");
    check_subnet("10.10.10.0/8", NULL, NULL, BAD "subnet 10.10.10.0/8: it should be 10.0.0.0/8");
    check_subnet("10.0.0.0/33", NULL, NULL, BAD "subnet 10.0.0.0/33: invalid CIDR block notation");
    check_subnet("10.0.0.0", NULL, NULL, BAD "subnet 10.0.0.0: invalid CIDR block notation");
    check_subnet("10.0.0.0/31", NULL, NULL, BAD "subnet 10.0.0.0/31: it has no room for a gateway and a container");
    check_subnet("0.0.0.0/0", NULL, NULL, BAD "subnet 0.0.0.0/0: it holds loopback, multicast or reserved addresses");
    check_subnet("::ffff:10.0.0.0/112", NULL, NULL,
                 BAD "subnet ::ffff:10.0.0.0/112: it holds loopback, multicast or reserved addresses");
    check_subnet("10.0.0.0/8", "192.168.0.1", NULL,
                 BAD "gateway 192.168.0.1: parent subnet 10.0.0.0/8 doesn't contain this address");
    check_subnet("10.0.0.0/8", "1001.10.5.3", NULL, BAD "gateway 1001.10.5.3: invalid address");
    check_subnet("10.0.0.0/8", "10.0.0.0", NULL, BAD "gateway 10.0.0.0: it is the network's or the broadcast address");
    check_subnet("10.0.0.0/8", "10.255.255.255", NULL,
                 BAD "gateway 10.255.255.255: it is the network's or the broadcast address");
    check_subnet("fd00::/120", "fd00::ff", NULL, "");
    check_subnet("10.0.0.0/8", NULL, "10.10.10.0/16", BAD "ip-range 10.10.10.0/16: it should be 10.10.0.0/16");
    check_subnet("10.10.10.0/24", NULL, "10.0.0.0/8",
                 BAD "ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.10.10.0/24");
    check_subnet("10.0.0.0/8", NULL, "192.168.0.0/24",
                 BAD "ip-range 192.168.0.0/24: parent subnet 10.0.0.0/8 doesn't contain ip-range");
}

static void test_names(void) {
    char longest[257];
    memset(longest, 'a', sizeof longest);
    longest[255] = '\0';
    CHECK(net_name_ok(longest));
    longest[255] = 'a';
    longest[256] = '\0';
    CHECK(!net_name_ok(longest));
    CHECK(net_name_ok("a") && net_name_ok("A_b.c-9") && net_name_ok("9"));
    CHECK(!net_name_ok("") && !net_name_ok(".a") && !net_name_ok("-a") && !net_name_ok("a/b") && !net_name_ok("a b"));
    CHECK(net_name_predefined("default") && !net_name_predefined("Bridge"));
}

UNIT_MAIN({"parse", test_parse}, {"relations", test_relations}, {"arithmetic", test_arithmetic}, {"mac", test_mac},
          {"routes4", test_routes4}, {"routes6", test_routes6}, {"routes of the host", test_routes_of_host},
          {"pools", test_pools}, {"pool6", test_pool6}, {"good definitions", test_def_good},
          {"built-in definitions", test_def_builtin}, {"slirp's definition", test_def_slirp},
          {"bad definitions", test_def_bad}, {"words about subnets", test_subnet_words}, {"names", test_names})
