/*
 * ipam: see helper_int.h. What is in use is a sorted array of addresses with their owners; a free one is found by going
 * on from the last one given, which meets at most as many taken ones as there are.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/helper/helper_int.h"

enum { POOLS_MAX = 8, USED_MAX = 1 << 16 };

struct used {
    uint8_t b[16];
    char *owner;
};

struct pool {
    struct net_addr subnet, range;
    uint64_t first, last, next; /* offsets from range's address */
    struct used *used;
    size_t n_used;
};

struct ipam {
    struct pool pools[POOLS_MAX];
    size_t n_pools;
    char *network;
};

static size_t width(int family) { return family == AF_INET6 ? 16 : 4; }

/* `base` + offset, as big-endian numbers; the low 64 bits are enough for what anybody hands out. */
static struct net_addr addr_add(const struct net_addr *base, uint64_t offset) {
    struct net_addr a = *base;
    a.prefix = a.family == AF_INET6 ? 128 : 32;
    for (size_t i = width(a.family), n = 0; i-- > 0 && n < sizeof offset; n++) {
        uint64_t sum = (uint64_t)a.b[i] + (offset & 0xff);
        a.b[i] = (uint8_t)sum;
        offset = (offset >> 8) + (sum >> 8);
    }
    return a;
}

/* How many addresses there are, less one. */
static uint64_t span(const struct net_addr *net) {
    unsigned bits = (net->family == AF_INET6 ? 128 : 32) - net->prefix;
    return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

/* ---- what is in use ---- */

/* The place of an address in the sorted array; *ret_found tells whether it is there. */
static size_t used_find(const struct pool *p, const uint8_t b[16], bool *ret_found) {
    size_t low = 0, high = p->n_used;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = memcmp(p->used[mid].b, b, sizeof p->used[mid].b);
        if (!c) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_found = false;
    return low;
}

static bool used_add(struct pool *p, const struct net_addr *a, const char *owner) {
    bool found;
    size_t at = used_find(p, a->b, &found);
    if (found)
        return false;
    p->used = mem_resize(p->used, p->n_used + 1, sizeof *p->used);
    memmove(p->used + at + 1, p->used + at, (p->n_used - at) * sizeof *p->used);
    memcpy(p->used[at].b, a->b, sizeof a->b);
    p->used[at].owner = mem_dup(owner);
    p->n_used++;
    return true;
}

/* ---- pools ---- */

/* The addresses of the subnet that mean something else: itself and, with IPv4, the broadcast address. */
static void reserve(struct pool *p, const struct net_addr *gateway) {
    if (gateway->family)
        (void)used_add(p, gateway, "the gateway");
    if (span(&p->subnet) < 3)
        return;
    struct net_addr a = addr_add(&p->subnet, 0);
    (void)used_add(p, &a, "the network");
    if (p->subnet.family != AF_INET)
        return;
    a = addr_add(&p->subnet, span(&p->subnet));
    (void)used_add(p, &a, "the broadcasts");
}

static bool pool_init(struct pool *p, const struct net_subnet *s) {
    struct net_addr gateway = {0};
    autoerr e = net_addr_parse(s->subnet, &p->subnet);
    if (e)
        return false;
    p->range = p->subnet;
    if (s->ip_range && *s->ip_range) {
        autoerr e_range = net_addr_parse(s->ip_range, &p->range);
        if (e_range || !net_addr_contains(&p->subnet, &p->range))
            p->range = p->subnet;
    }
    if (s->gateway && *s->gateway) {
        autoerr e_gateway = net_addr_parse(s->gateway, &gateway);
        if (e_gateway || gateway.family != p->subnet.family)
            gateway.family = 0;
    }
    p->last = span(&p->range);
    reserve(p, &gateway);
    return true;
}

struct ipam *ipam_new(const struct net_def *d) {
    struct ipam *i = mem_alloc(sizeof *i);
    i->network = mem_dup(d->name);
    for (size_t n = 0; n < d->n_subnets && i->n_pools < POOLS_MAX; n++)
        if (pool_init(&i->pools[i->n_pools], &d->subnets[n]))
            i->n_pools++;
    return i;
}

void ipam_free(struct ipam *i) {
    if (!i)
        return;
    for (size_t n = 0; n < i->n_pools; n++) {
        struct pool *p = &i->pools[n];
        for (size_t k = 0; k < p->n_used; k++)
            free(p->used[k].owner);
        free(p->used);
    }
    free(i->network);
    free(i);
}

static struct pool *pool_of(struct ipam *i, const struct net_addr *a) {
    for (size_t n = 0; n < i->n_pools; n++)
        if (i->pools[n].subnet.family == a->family && net_addr_contains(&i->pools[n].subnet, a))
            return &i->pools[n];
    return NULL;
}

/* ---- giving out ---- */

static struct err *take_wanted(struct ipam *i, const char *wanted, const char *owner, struct net_addr *ret) {
    struct net_addr a;
    TRY(net_addr_parse(wanted, &a));
    struct pool *p = pool_of(i, &a);
    if (!p)
        return err_new(ERR_USAGE, "invalid address %s: it does not belong to any of the subnets of network %s", wanted,
                       i->network);
    bool found;
    size_t at = used_find(p, a.b, &found);
    if (found)
        return err_new(ERR_CONFLICT, "address %s of network %s is already in use by %s", wanted, i->network,
                       p->used[at].owner);
    if (p->n_used >= USED_MAX || !used_add(p, &a, owner))
        return err_new(ERR_CONFLICT, "network %s has too many addresses in use", i->network);
    a.prefix = p->subnet.prefix;
    *ret = a;
    return NULL;
}

static bool take_next(struct pool *p, const char *owner, struct net_addr *ret) {
    if (p->n_used >= USED_MAX)
        return false;
    for (size_t tries = 0; tries <= p->n_used; tries++) {
        struct net_addr a = addr_add(&p->range, p->next);
        p->next = p->next == p->last ? p->first : p->next + 1;
        if (used_add(p, &a, owner)) {
            a.prefix = p->subnet.prefix;
            *ret = a;
            return true;
        }
        if (tries >= p->last)
            break; /* all of them were looked at */
    }
    return false;
}

struct err *ipam_take(struct ipam *i, const char *wanted, int family, const char *owner, struct net_addr *ret) {
    if (wanted && *wanted)
        return take_wanted(i, wanted, owner, ret);
    bool any = false;
    for (size_t n = 0; n < i->n_pools; n++) {
        if (i->pools[n].subnet.family != family)
            continue;
        any = true;
        if (take_next(&i->pools[n], owner, ret))
            return NULL;
    }
    if (!any)
        return err_new(ERR_NOT_FOUND, "network %s has no %s subnet", i->network, family == AF_INET6 ? "IPv6" : "IPv4");
    return err_hint(err_new(ERR_CONFLICT, "no available addresses in network %s", i->network),
                    "remove containers of the network, or make one with a larger subnet");
}

void ipam_give(struct ipam *i, const struct net_addr *a) {
    struct pool *p = a->family ? pool_of(i, a) : NULL;
    bool found = false;
    size_t at = p ? used_find(p, a->b, &found) : 0;
    if (!found)
        return;
    free(p->used[at].owner);
    memmove(p->used + at, p->used + at + 1, (p->n_used - at - 1) * sizeof *p->used);
    p->n_used--;
}
