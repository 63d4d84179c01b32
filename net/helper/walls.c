/*
 * walls: networks kept apart by routing rules, for kernels that take no nftables rules from us (a module that cannot be
 * loaded, a sandbox around all of coracle). What comes from a bridge is looked up
 *
 *    90  from its own subnet to its own gateway   → as the kernel's own rule for local addresses would
 *    91  to any other network's gateway           → unreachable
 *   100  from a published port                    → local, for transparent sockets (lease_ports.c)
 *   200  IPv6's neighbours and groups             → local
 *   201  from its own subnet, unless internal     → out by the uplink, but to no other network of ours
 *   202  the rest                                 → unreachable
 *
 * The kernel's rule for local addresses comes after these. Nothing is masqueraded: libslirp is spoken to by the
 * containers' own addresses, of which rule 201 lets pass nobody else's.
 */
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/helper/warden_int.h"

enum { OWN_GATEWAY = 90, OTHER_GATEWAY = 91, NEIGHBOURS = 200, WORLD = 201, NOWHERE = 202, LOCAL = 32000 };

struct err *walls_begin(struct warden *w, unsigned uplink, const struct net_addr *gateway) {
    TRY(rtnl_local_rule_move(w->rtnl, gateway->family, LOCAL));
    return rtnl_table_default(w->rtnl, WORLD_TABLE, uplink, gateway);
}

static struct err *rule(struct warden *w, bool add, struct route_rule r) { return rtnl_rule(w->rtnl, add, &r); }

/* Of one family that the network has. */
static struct err *addressed(struct warden *w, const struct network *n, const struct net_addr *gateway, bool add) {
    const int family = gateway->family;
    struct net_addr host = *gateway;
    host.prefix = family == AF_INET6 ? 128 : 32;
    TRY(rule(w, add,
             (struct route_rule){.family = family,
                                 .priority = OWN_GATEWAY,
                                 .iif = n->bridge,
                                 .from = gateway,
                                 .to = &host,
                                 .table = RT_TABLE_LOCAL}));
    TRY(rule(w, add, (struct route_rule){.family = family, .priority = OTHER_GATEWAY, .to = &host}));
    TRY(rtnl_table_unreachable(w->rtnl, add, WORLD_TABLE, gateway));
    if (n->def->internal)
        return NULL;
    return rule(w, add,
                (struct route_rule){
                    .family = family, .priority = WORLD, .iif = n->bridge, .from = gateway, .table = WORLD_TABLE});
}

static struct err *neighbours(struct warden *w, const struct network *n, bool add) {
    static const struct net_addr blocks[] = {{.family = AF_INET6, .b = {0xfe, 0x80}, .prefix = 10},
                                             {.family = AF_INET6, .b = {0xff}, .prefix = 8}};
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
        TRY(rule(w, add,
                 (struct route_rule){.family = AF_INET6,
                                     .priority = NEIGHBOURS,
                                     .iif = n->bridge,
                                     .to = &blocks[i],
                                     .table = RT_TABLE_LOCAL}));
    return rule(w, add, (struct route_rule){.family = AF_INET6, .priority = NOWHERE, .iif = n->bridge});
}

struct err *walls_around(struct warden *w, const struct network *n, bool add) {
    TRY(rule(w, add, (struct route_rule){.family = AF_INET, .priority = NOWHERE, .iif = n->bridge}));
    if (w->has_ipv6)
        TRY(neighbours(w, n, add));
    if (n->gateway.family)
        TRY(addressed(w, n, &n->gateway, add));
    return n->gateway6.family ? addressed(w, n, &n->gateway6, add) : NULL;
}
