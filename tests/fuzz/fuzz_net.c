/*
 * Addresses, MACs, routes and definitions of networks: the first byte chooses. What is accepted is well-formed, says
 * the same when it is written and read again, and keeps what net/def.c promises.
 */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/net_int.h"
#include "require_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void address(const char *text) {
    struct net_addr a, again = {0};
    autoerr e = net_addr_parse(text, &a);
    if (e)
        return;
    autofree char *cidr = net_addr_cidr(&a);
    autoerr e2 = net_addr_parse(cidr, &again);
    require(!e2 && net_addr_equal(&a, &again) && a.prefix == again.prefix && a.prefix <= net_addr_bits(a.family));
    struct net_addr first = net_addr_masked(&a), last = net_addr_last(&a), whole = {.family = a.family};
    require(net_addr_contains(&a, &last) && net_addr_contains(&first, &a) && net_addr_overlaps(&first, &last));
    require(net_addr_contains(&whole, &a));
    autofree char *plain = net_addr_text(&a);
    require(str_starts(cidr, plain));
}

static void mac(const char *text) {
    uint8_t m[6];
    autoerr e = net_mac_parse(text, m);
    if (e)
        return;
    autofree char *again = mem_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    for (size_t i = 0; i < strlen(again); i++)
        require((text[i] | 0x20) == (again[i] | 0x20) || (text[i] == '-' && again[i] == ':'));
    require(!(m[0] & 1));
}

static void routes(const char *text, bool v6) {
    autoaddrs s = {0};
    (v6 ? net_routes_parse6 : net_routes_parse4)(text, &s);
    for (size_t i = 0; i < s.n; i++)
        require(s.v[i].prefix >= (v6 ? 16 : 8) && s.v[i].prefix <= net_addr_bits(s.v[i].family));
    struct net_addr a = {0};
    require(!net_pool_next(&s, &a) || !net_addrs_overlap(&s, &a));
    require(!net_pool_next6(&s, &a) || !net_addrs_overlap(&s, &a));
}

static void check_subnets(const struct net_def *d) {
    require(strcmp(d->driver, "bridge") != 0 ? d->n_subnets == 0 : d->n_subnets == (d->ipv6 ? 2 : 1));
    for (size_t i = 0; i < d->n_subnets; i++) {
        const struct net_subnet *s = &d->subnets[i];
        struct net_addr subnet = net_addr_of(s->subnet), gateway = net_addr_of(s->gateway);
        require(subnet.family == (i ? AF_INET6 : AF_INET) && net_addr_contains(&subnet, &gateway));
        struct net_addr range = net_addr_of(s->ip_range ? s->ip_range : s->subnet);
        require(net_addr_contains(&subnet, &range));
    }
}

static void definition(const char *text, size_t n) {
    autojson j = NULL;
    autoerr bad = json_parse(text, n, "definition", 0, &j);
    if (bad)
        return;
    autonetdef d = NULL;
    autoerr e = net_def_parse(j, &d);
    if (e)
        return;
    require(net_name_ok(d->name) && (d->builtin || !net_name_predefined(d->name)));
    check_subnets(d);
    autojson written = net_def_json(d);
    autonetdef again = NULL;
    autoerr e2 = net_def_parse(written, &again);
    require(!e2);
    autojson twice = net_def_json(again);
    autostr struct str a = STR_INIT, b = STR_INIT;
    json_render(written, JSON_COMPACT, &a);
    json_render(twice, JSON_COMPACT, &b);
    require(strcmp(str_c(&a), str_c(&b)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data + 1 : "", size ? size - 1 : 0);
    switch (size ? data[0] : 0) {
    case 'a':
        address(text);
        break;
    case 'm':
        mac(text);
        break;
    case '4':
    case '6':
        routes(text, data[0] == '6');
        break;
    default:
        definition(text, strlen(text));
    }
    return 0;
}
