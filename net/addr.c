/* addr: IPv4 and IPv6 addresses and blocks as numbers, and MAC addresses. Pure. */
#include <arpa/inet.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/net_int.h"

unsigned net_addr_bits(int family) { return family == AF_INET ? 32 : 128; }

/* A prefix length, without sign and leading zeros. */
static bool parse_prefix(const char *text, unsigned max, unsigned *ret) {
    int64_t v;
    if ((text[0] == '0' && text[1]) || !str_to_i64(text, 0, max, &v))
        return false;
    *ret = (unsigned)v;
    return true;
}

static bool parse(const char *text, struct net_addr *ret) {
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    char host[INET6_ADDRSTRLEN];
    if (n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    struct net_addr a = {.family = memchr(host, ':', n) ? AF_INET6 : AF_INET};
    a.prefix = net_addr_bits(a.family);
    if (inet_pton(a.family, host, a.b) != 1 || (slash && !parse_prefix(slash + 1, a.prefix, &a.prefix)))
        return false;
    *ret = a;
    return true;
}

struct err *net_addr_parse(const char *text, struct net_addr *ret) {
    if (!parse(text, ret))
        return err_new(ERR_USAGE, "invalid %s: %s", strchr(text, '/') ? "CIDR address" : "IP address", text);
    return NULL;
}

struct net_addr net_addr_of(const char *text) {
    struct net_addr a = {0};
    parse(text, &a);
    return a;
}

static void format(const struct net_addr *a, char ret[INET6_ADDRSTRLEN]) {
    if (!a->family || !inet_ntop(a->family, a->b, ret, INET6_ADDRSTRLEN))
        ret[0] = '\0';
}

char *net_addr_text(const struct net_addr *a) {
    char text[INET6_ADDRSTRLEN];
    format(a, text);
    return mem_dup(text);
}

char *net_addr_cidr(const struct net_addr *a) {
    char text[INET6_ADDRSTRLEN];
    format(a, text);
    return a->family ? mem_printf("%s/%u", text, a->prefix) : mem_dup("");
}

/* The bits of byte `i` that belong to a prefix of `prefix` bits. */
static uint8_t mask_byte(unsigned prefix, unsigned i) {
    if (prefix >= 8 * (i + 1))
        return 0xff;
    if (prefix <= 8 * i)
        return 0;
    return (uint8_t)(0xffu << (8 * (i + 1) - prefix) & 0xffu);
}

static bool same_bits(const struct net_addr *a, const struct net_addr *b, unsigned prefix) {
    for (unsigned i = 0; i < sizeof a->b; i++)
        if ((a->b[i] ^ b->b[i]) & mask_byte(prefix, i))
            return false;
    return true;
}

bool net_addr_contains(const struct net_addr *net, const struct net_addr *a) {
    return net->family && net->family == a->family && net->prefix <= a->prefix && same_bits(net, a, net->prefix);
}

bool net_addr_overlaps(const struct net_addr *a, const struct net_addr *b) {
    return a->family && a->family == b->family && same_bits(a, b, a->prefix < b->prefix ? a->prefix : b->prefix);
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b) {
    return a->family == b->family && memcmp(a->b, b->b, a->family == AF_INET ? 4 : 16) == 0;
}

struct net_addr net_addr_masked(const struct net_addr *a) {
    struct net_addr r = *a;
    for (unsigned i = 0; i < sizeof r.b; i++)
        r.b[i] &= mask_byte(r.prefix, i);
    return r;
}

struct net_addr net_addr_nth(const struct net_addr *block, uint32_t n) {
    struct net_addr r = net_addr_masked(block);
    r.prefix = net_addr_bits(r.family);
    for (unsigned i = r.prefix / 8; n && i-- > 0;) {
        n += r.b[i];
        r.b[i] = (uint8_t)n;
        n >>= 8;
    }
    return r;
}

struct net_addr net_addr_last(const struct net_addr *block) {
    struct net_addr r = *block;
    for (unsigned i = 0; i < net_addr_bits(r.family) / 8; i++)
        r.b[i] |= (uint8_t)~mask_byte(block->prefix, i);
    r.prefix = net_addr_bits(r.family);
    return r;
}

/* ---- sets ---- */

void net_addrs_push(struct net_addrs *s, const struct net_addr *a) {
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->v = mem_resize(s->v, s->cap, sizeof *s->v);
    }
    s->v[s->n++] = *a;
}

void net_addrs_done(struct net_addrs *s) {
    free(s->v);
    *s = (struct net_addrs){0};
}

bool net_addrs_overlap(const struct net_addrs *s, const struct net_addr *a) {
    for (size_t i = 0; i < s->n; i++)
        if (net_addr_overlaps(&s->v[i], a))
            return true;
    return false;
}

/* ---- MAC ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_mac(const char *text, uint8_t ret[6]) {
    if (strlen(text) != sizeof "02:42:ac:11:00:02" - 1)
        return false;
    for (size_t i = 0; i < 6; i++) {
        int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
        char after = text[3 * i + 2];
        if (high < 0 || low < 0 || (i < 5 && after != ':' && after != '-'))
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

struct err *net_mac_parse(const char *text, uint8_t ret[6]) {
    static const uint8_t zero[6];
    uint8_t mac[6];
    if (!parse_mac(text, mac))
        return err_new(ERR_USAGE, "%s is not a valid mac address", text);
    if (mac[0] & 1 || memcmp(mac, zero, sizeof mac) == 0)
        return err_hint(err_new(ERR_USAGE, "%s is not the mac address of one interface", text),
                        "The first byte of an address of one's own is 02: 02:42:ac:11:00:02.");
    memcpy(ret, mac, sizeof mac);
    return NULL;
}
