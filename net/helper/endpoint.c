/*
 * endpoint: one network of one container: addresses and a veth pair, one end on the bridge, the other in the container.
 * The pair is made in one message that names both namespaces; only what netlink can do in its own namespace needs the
 * warden to go into the container's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

enum { LINK_DIGITS = 12 };

/* ---- from a request ---- */

static bool ifname_ok(const char *name) {
    size_t n = strlen(name);
    return n && n < LINK_NAME_MAX && !strpbrk(name, "/ :%\t\n") && !str_eq(name, ".") && !str_eq(name, "..") &&
           !str_eq(name, "lo");
}

/* "v" and 12 digits: the one that a restored endpoint had, or a new one. */
static bool link_ok(const char *name) {
    return name[0] == 'v' && strlen(name) == LINK_DIGITS + 1 && strspn(name + 1, "0123456789abcdef") == LINK_DIGITS;
}

static void link_name(struct endpoint *e, const char *old) {
    char digits[ID_LEN + 1];
    id_random(digits);
    e->link[0] = 'v';
    memcpy(e->link + 1, digits, LINK_DIGITS);
    if (link_ok(old))
        memcpy(e->link, old, LINK_DIGITS + 1);
}

static bool has_ifname(const struct lease *l, const char *name) {
    for (size_t i = 0; i < l->n_endpoints; i++)
        if (str_eq(l->endpoints[i]->ifname, name))
            return true;
    return false;
}

/* The first ethN that the container has not. */
static char *free_ifname(const struct lease *l) {
    char *name = mem_dup("eth0");
    for (unsigned n = 1; has_ifname(l, name); n++) {
        free(name);
        name = mem_printf("eth%u", n);
    }
    return name;
}

struct wishes {
    const char *ifname, *ip, *ip6, *mac, *link;
};

static struct err *read_wishes(const struct json *j, struct wishes *w, struct endpoint *e) {
    TRY(json_get_str_opt(j, "ifname", "", &w->ifname));
    TRY(json_get_str_opt(j, "ip", "", &w->ip));
    TRY(json_get_str_opt(j, "ip6", "", &w->ip6));
    TRY(json_get_str_opt(j, "mac", "", &w->mac));
    TRY(json_get_str_opt(j, "link", "", &w->link));
    TRY(json_get_strv_opt(j, "aliases", &e->aliases));
    TRY(json_get_strv_opt(j, "link_local", &e->link_local));
    TRY(json_get_i64_opt(j, "gw_priority", 0, &e->gw_priority));
    if (*w->ifname && !ifname_ok(w->ifname))
        return err_new(ERR_USAGE, "invalid interface name %s", w->ifname);
    if (e->aliases.n > NAMES_MAX || e->link_local.n > NAMES_MAX)
        return err_new(ERR_USAGE, "more than %d aliases or link-local addresses", NAMES_MAX);
    return NULL;
}

/* One address of a family, if the network has that family or somebody asks for it. */
static struct err *take_address(const struct network *n, const char *wanted, int family, const char *owner,
                                struct net_addr *ret) {
    const struct net_addr *gateway = family == AF_INET6 ? &n->gateway6 : &n->gateway;
    if (!*wanted && !gateway->family)
        return NULL;
    struct net_addr a;
    TRY(ipam_take(n->ipam, wanted, family, owner, &a));
    if (a.family != family) {
        ipam_give(n->ipam, &a);
        return err_new(ERR_USAGE, "address %s is of the other family", wanted);
    }
    *ret = a;
    return NULL;
}

static struct err *take_addresses(struct endpoint *e, const struct wishes *wish, const char *owner) {
    TRY(take_address(e->network, wish->ip, AF_INET, owner, &e->ip));
    return take_address(e->network, wish->ip6, AF_INET6, owner, &e->ip6);
}

/* A monitor that slept while all others took up their leases again may find its address given away. Another address is
 * better than no network; the link that has the old one goes. */
static struct err *take_others(struct warden *w, struct endpoint *e, struct wishes *wish, const char *owner) {
    ipam_give(e->network->ipam, &e->ip);
    e->ip = (struct net_addr){0};
    if (link_ok(wish->link))
        err_free(rtnl_delete(w->rtnl, wish->link));
    wish->ip = wish->ip6 = wish->mac = wish->link = "";
    return take_addresses(e, wish, owner);
}

static struct err *fill(struct warden *w, const struct lease *l, const struct json *j, struct endpoint *e) {
    struct wishes wish;
    TRY(read_wishes(j, &wish, e));
    TRY(network_get(w, json_get(j, "network"), &e->network));
    struct err *taken = take_addresses(e, &wish, l->name);
    if (taken && *wish.link && err_kind(taken) == ERR_CONFLICT) {
        err_free(taken);
        taken = take_others(w, e, &wish, l->name);
    }
    TRY(taken);
    e->ifname = *wish.ifname ? mem_dup(wish.ifname) : free_ifname(l);
    link_name(e, wish.link);
    const uint8_t mac[6] = {0x02, 0x42};
    memcpy(e->mac, mac, sizeof mac);
    memcpy(e->mac + 2, e->ip.family ? e->ip.b : e->ip6.b + 12, 4);
    if (*wish.mac)
        TRY(net_mac_parse(wish.mac, e->mac));
    return NULL;
}

/* What a helper that was killed had begun, in its namespace or in ours: its end in the container is in the way. */
static void drop_stale(struct warden *w, const struct lease *l, const char *ifname) {
    autoerr gone = warden_enter(l);
    if (gone)
        return;
    struct rtnl *r __attribute__((cleanup(rtnl_freep))) = NULL;
    struct err *e = rtnl_open(&r);
    err_free(e ? e : rtnl_delete(r, ifname));
    warden_come_back(w);
}

/* A link that a dead helper made is as good as a new one. */
static struct err *plug(struct warden *w, const struct lease *l, struct endpoint *e, bool may_exist) {
    unsigned index;
    if (e->network->alone)
        return slirp_plug(w, l, e);
    if (may_exist) {
        autoerr missing = rtnl_index(w->rtnl, e->link, &index);
        e->found = !missing;
        if (e->found)
            return NULL;
    }
    const struct veth v = {.name = e->link,
                           .master = e->network->index,
                           .peer = e->ifname,
                           .netns = l->netns,
                           .mac = e->mac,
                           .mtu = e->network->mtu};
    struct err *failed = rtnl_veth(w->rtnl, &v);
    if (failed && err_errno(failed) == EEXIST && !has_ifname(l, e->ifname)) {
        err_free(failed);
        drop_stale(w, l, e->ifname);
        failed = rtnl_veth(w->rtnl, &v);
    }
    TRY(failed);
    e->linked = true;
    return NULL;
}

struct err *endpoint_new(struct warden *w, const struct lease *l, const struct json *j, struct endpoint **ret) {
    struct endpoint *e = mem_alloc(sizeof *e);
    struct err *failed = fill(w, l, j, e);
    if (!failed)
        failed = plug(w, l, e, json_get(j, "link"));
    if (failed) {
        endpoint_free(w, e);
        return failed;
    }
    *ret = e;
    return NULL;
}

void endpoint_free(struct warden *w, struct endpoint *e) {
    if (e->linked || e->found)
        sweep(w, e->link);
    if (e->network) {
        ipam_give(e->network->ipam, &e->ip);
        ipam_give(e->network->ipam, &e->ip6);
        network_put(w, e->network);
    }
    strv_done(&e->aliases);
    strv_done(&e->link_local);
    free(e->ifname);
    free(e);
}

/* ---- in the container ---- */

/* Without an IPv6 address of ours the link has none at all: no link-local one, no router solicitations. */
static void no_ipv6(const char *ifname) {
    autofree char *path = mem_printf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
    (void)warden_sysctl(path, "1"); /* it is for quiet only */
}

/* With the prefixes that docker gives them. */
static struct err *set_link_local(struct rtnl *r, unsigned index, const struct endpoint *e) {
    for (size_t i = 0; i < e->link_local.n; i++) {
        struct net_addr a;
        TRY(net_addr_parse(e->link_local.v[i], &a));
        a.prefix = a.family == AF_INET6 ? 64 : 16;
        TRY(rtnl_addr(r, index, &a));
    }
    return NULL;
}

static bool wants_ipv6(const struct endpoint *e) {
    bool any = e->ip6.family != 0;
    for (size_t i = 0; i < e->link_local.n; i++)
        any |= strchr(e->link_local.v[i], ':') != NULL;
    return any;
}

static struct err *set_up(struct rtnl *r, const struct endpoint *e) {
    unsigned index;
    if (!wants_ipv6(e))
        no_ipv6(e->ifname);
    TRY(rtnl_index(r, e->ifname, &index));
    if (e->ip.family)
        TRY(rtnl_addr(r, index, &e->ip));
    if (e->ip6.family)
        TRY(rtnl_addr(r, index, &e->ip6));
    TRY(set_link_local(r, index, e));
    return rtnl_up(r, index, e->network->mtu);
}

/* ---- the way out ---- */

static const struct net_addr *gateway_of(const struct endpoint *e, bool v6) {
    return v6 ? &e->network->gateway6 : &e->network->gateway;
}

static bool has_way_out(const struct endpoint *e, bool v6) {
    const struct net_addr *own = v6 ? &e->ip6 : &e->ip;
    return !e->network->def->internal && own->family && gateway_of(e, v6)->family;
}

/* docker's order: the highest priority, then the first name. */
static bool comes_before(const struct endpoint *a, const struct endpoint *b) {
    if (a->gw_priority != b->gw_priority)
        return a->gw_priority > b->gw_priority;
    return strcmp(a->network->def->name, b->network->def->name) < 0;
}

static const struct endpoint *find_way_out(const struct lease *l, bool v6) {
    const struct endpoint *best = NULL;
    for (size_t i = 0; i < l->n_endpoints; i++)
        if (has_way_out(l->endpoints[i], v6) && (!best || comes_before(l->endpoints[i], best)))
            best = l->endpoints[i];
    return best;
}

/* Of one family, where it is not the one that it was. */
static struct err *set_way_out(struct rtnl *r, const struct lease *l, bool v6, const struct endpoint **now) {
    const struct endpoint *out = find_way_out(l, v6);
    unsigned index;
    if (out && out != *now) {
        TRY(rtnl_index(r, out->ifname, &index));
        TRY(rtnl_default_route(r, index, gateway_of(out, v6), 0));
    }
    *now = out;
    return NULL;
}

static struct err *inside(struct warden *w, struct lease *l, size_t from, bool dns) {
    struct rtnl *r __attribute__((cleanup(rtnl_freep))) = NULL;
    TRY(rtnl_open(&r));
    TRY(rtnl_up(r, 1, 0));
    for (size_t i = from; i < l->n_endpoints; i++)
        if (!l->endpoints[i]->found)
            TRY(set_up(r, l->endpoints[i]));
    TRY(set_way_out(r, l, false, &l->way_out));
    TRY(set_way_out(r, l, true, &l->way_out6));
    return dns ? dns_inside(w, l->id) : NULL;
}

struct err *endpoint_inside(struct warden *w, struct lease *l, size_t from, bool dns) {
    TRY(warden_enter(l));
    struct err *e = inside(w, l, from, dns);
    warden_come_back(w);
    return e;
}
