/*
 * share: how many connections each container has open by way of the bypass. A connection is two descriptors and two
 * sockets' worth of the kernel's memory, and all containers have one helper. So nobody gets more than his share, known
 * by the address that he comes from, and all of them together leave descriptors for published ports and for DNS. Who
 * makes up addresses (CAP_NET_ADMIN in his own namespace) gets more shares, up to that.
 *
 * A share is there as long as it has connections, each of which is on its way (bypass.c) or in the share's group of
 * relays, which tell of their end.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "net/helper/helper_int.h"

enum {
    BUCKETS = 64,
    CONNECTIONS_MAX = 16384, /* of one container, and … */
    OF_DESCRIPTORS = 8,      /* … no more than this part of what the process may have: a quarter, for each has two */
    ALL_OF_DESCRIPTORS = 4   /* all together: half of them */
};

struct share {
    struct relay_group relays; /* first: the relays hand this out */
    struct share *next;
    struct net_addr of;
    uint32_t n;
};

struct shares {
    struct share *bucket[BUCKETS];
    uint32_t n; /* connections of all */
};

static struct share **find(struct shares *all, const struct net_addr *of) {
    uint32_t h = 2166136261U; /* FNV-1a; who finds collisions has as many entries as connections, at most */
    for (size_t i = 0; i < sizeof of->b; i++)
        h = (h ^ of->b[i]) * 16777619U;
    struct share **at = &all->bucket[h % BUCKETS];
    while (*at && !((*at)->of.family == of->family && net_addr_contains(&(*at)->of, of)))
        at = &(*at)->next;
    return at;
}

static void relay_ended(struct loop *l, struct relay_group *group) {
    share_give(l, container_of(group, struct share, relays));
}

static uint32_t most_of_one(const struct loop *l) {
    uint32_t part = l->descriptors / OF_DESCRIPTORS;
    return part < CONNECTIONS_MAX ? part : CONNECTIONS_MAX;
}

struct share *share_take(struct loop *l, const struct net_addr *of) {
    if (!l->shares)
        l->shares = mem_alloc(sizeof *l->shares);
    struct share **at = find(l->shares, of), *s = *at;
    uint32_t has = s ? s->n : 0;
    if (has >= most_of_one(l) || l->shares->n >= l->descriptors / ALL_OF_DESCRIPTORS)
        return NULL;
    if (!s) {
        s = *at = mem_alloc(sizeof *s);
        *s = (struct share){.relays.ended = relay_ended, .of = *of};
    }
    s->n = has + 1;
    l->shares->n++;
    return s;
}

struct relay_group *share_relays(struct share *s) {
    return &s->relays;
}

void share_give(struct loop *l, struct share *s) {
    l->shares->n--;
    if (--s->n)
        return;
    struct share **at = find(l->shares, &s->of);
    *at = s->next;
    free(s);
}
