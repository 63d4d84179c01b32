/*
 * routes: what the host can reach, so that no network is laid over it. /proc/net/route and /proc/net/ipv6_route show
 * the main tables; routes that a VPN keeps in tables of its own are not seen.
 *
 * A default route is no reason to avoid anything, and neither are its pieces: VPNs split it into 0.0.0.0/1 and
 * 128.0.0.0/1, or into everything but the private blocks. No network is that large, so short prefixes are left out.
 * Routes that lead nowhere (unreachable, blackhole) are left out too: there is nothing behind them to be hidden.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "net/net_int.h"

enum { ROUTES_MAX = 64 << 20, PREFIX_MIN_4 = 8, PREFIX_MIN_6 = 16, LINE_MAX_LEN = 512 };

static bool leads_somewhere(unsigned flags) { return flags & RTF_UP && !(flags & RTF_REJECT); }

/* The number of leading ones; false for a mask with holes. */
static bool prefix_of_mask(uint32_t mask, unsigned *ret) {
    *ret = mask == UINT32_MAX ? 32 : (unsigned)__builtin_clz(~mask);
    return *ret == 32 || mask << *ret == 0;
}

/* "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF …": numbers are the kernel's __be32, printed as the host reads them. */
static void parse_line4(const char *line, struct net_addrs *out) {
    uint32_t to, mask;
    unsigned flags;
    struct net_addr a = {.family = AF_INET};
    if (sscanf(line, "%*s %8x %*x %4x %*d %*d %*d %8x", &to, &flags, &mask) != 3)
        return;
    memcpy(a.b, &to, sizeof to);
    if (leads_somewhere(flags) && prefix_of_mask(ntohl(mask), &a.prefix) && a.prefix >= PREFIX_MIN_4)
        net_addrs_push(out, &a);
}

/* "fd000000000000000000000000000000 40 <source> <prefix> <next hop> <metric> <count> <use> <flags> eth0" */
static void parse_line6(const char *line, struct net_addrs *out) {
    uint32_t words[4];
    unsigned prefix, flags;
    struct net_addr a = {.family = AF_INET6};
    if (sscanf(line, "%8x%8x%8x%8x %2x %*s %*x %*s %*x %*x %*x %8x", &words[0], &words[1], &words[2], &words[3],
               &prefix, &flags) != 6)
        return;
    for (size_t i = 0; i < 4; i++) {
        uint32_t be = htonl(words[i]);
        memcpy(a.b + 4 * i, &be, sizeof be);
    }
    a.prefix = prefix;
    if (leads_somewhere(flags) && prefix >= PREFIX_MIN_6 && prefix <= 128)
        net_addrs_push(out, &a);
}

static void each_line(const char *text, void (*fn)(const char *line, struct net_addrs *out), struct net_addrs *out) {
    while (*text) {
        char line[LINE_MAX_LEN];
        size_t n = strcspn(text, "\n");
        if (n < sizeof line) {
            memcpy(line, text, n);
            line[n] = '\0';
            fn(line, out);
        }
        text += n + (text[n] == '\n');
    }
}

void net_routes_parse4(const char *text, struct net_addrs *out) { each_line(text, parse_line4, out); }

void net_routes_parse6(const char *text, struct net_addrs *out) { each_line(text, parse_line6, out); }

/* A kernel without the protocol has no file. */
static struct err *read_table(const char *path, struct str *out) {
    struct err *e = io_read_file(AT_FDCWD, path, ROUTES_MAX, out);
    if (!e || err_errno(e) != ENOENT)
        return e;
    err_free(e);
    return NULL;
}

struct err *net_routes_read(struct net_addrs *out) {
    autostr struct str v4 = STR_INIT_MAX(2 * (size_t)ROUTES_MAX), v6 = STR_INIT_MAX(2 * (size_t)ROUTES_MAX);
    TRY_CTX(read_table("/proc/self/net/route", &v4), "read the host's routes");
    TRY_CTX(read_table("/proc/self/net/ipv6_route", &v6), "read the host's routes");
    net_routes_parse4(str_c(&v4), out);
    net_routes_parse6(str_c(&v6), out);
    return NULL;
}
