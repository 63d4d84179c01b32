/* pool: which subnet a network gets. docker's default pools: 172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/16 in
 * pieces of 4,096 addresses. Pure but for the random site of IPv6. */
#include <string.h>
#include <sys/socket.h>

#include "base/id.h"
#include "net/net_int.h"

enum { FIRST_16 = 17, LAST_16 = 31, RANDOM_TRIES = 32 };

/* 10.0.2.0/24 and its IPv6 twin carry what leaves the helper's namespace for libslirp. */
static const char *const uplink[] = {"10.0.2.0/24", "fd00:10:2::/64"};

void net_pool_add_uplink(struct net_addrs *out) {
    for (size_t i = 0; i < sizeof uplink / sizeof *uplink; i++) {
        struct net_addr a = net_addr_of(uplink[i]);
        net_addrs_push(out, &a);
    }
}

static bool take_if_free(const struct net_addrs *taken, const struct net_addr *a, struct net_addr *ret) {
    if (net_addrs_overlap(taken, a))
        return false;
    *ret = *a;
    return true;
}

/* The first free pool with a second byte of at least `first` in 172.0.0.0/8, then those of 192.168.0.0/16. */
static bool next_from(unsigned first, const struct net_addrs *taken, struct net_addr *ret) {
    for (unsigned i = first; i <= LAST_16; i++) {
        struct net_addr a = {.family = AF_INET, .b = {172, (uint8_t)i}, .prefix = 16};
        if (take_if_free(taken, &a, ret))
            return true;
    }
    for (unsigned i = 0; i < 256; i += 16) {
        struct net_addr a = {.family = AF_INET, .b = {192, 168, (uint8_t)i}, .prefix = 20};
        if (take_if_free(taken, &a, ret))
            return true;
    }
    return false;
}

bool net_pool_bridge(const struct net_addrs *taken, struct net_addr *ret) { return next_from(FIRST_16, taken, ret); }

bool net_pool_next(const struct net_addrs *taken, struct net_addr *ret) { return next_from(FIRST_16 + 1, taken, ret); }

bool net_pool_next6(const struct net_addrs *taken, struct net_addr *ret) {
    for (int i = 0; i < RANDOM_TRIES; i++) {
        uint64_t site = id_random_u64();
        struct net_addr a = {.family = AF_INET6, .b = {0xfd}, .prefix = 64};
        memcpy(a.b + 1, &site, 5);
        if (take_if_free(taken, &a, ret))
            return true;
    }
    return false;
}
