/* endpoint_network: a network is a bridge with the gateway's address. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

enum { MTU_MIN = 1280, BRIDGE_ID_DIGITS = 11, IDLE_MAX = 16 };

#define MTU_OPTION "com.docker.network.driver.mtu"

/* ---- what a definition says ---- */

static unsigned mtu_of(const struct net_def *d) {
    int64_t mtu;
    const char *key = str_eq(d->driver, NET_SLIRP) ? "mtu" : MTU_OPTION;
    const char *text = d->options.n ? strv_env_get(&d->options, key) : NULL;
    return text && str_to_i64(text, MTU_MIN, UPLINK_MTU, &mtu) ? (unsigned)mtu : UPLINK_MTU;
}

/* The first gateway of a family, with the prefix of its subnet. */
static void gateway_of(const struct net_def *d, int family, struct net_addr *ret) {
    for (size_t i = 0; i < d->n_subnets; i++) {
        struct net_addr subnet, gateway;
        autoerr e = net_addr_parse(d->subnets[i].subnet, &subnet);
        if (e || subnet.family != family || !d->subnets[i].gateway)
            continue;
        autoerr e_gateway = net_addr_parse(d->subnets[i].gateway, &gateway);
        if (e_gateway || gateway.family != family)
            continue;
        gateway.prefix = subnet.prefix;
        *ret = gateway;
        return;
    }
}

/* ---- bridges ---- */

static struct err *bridge_up(struct warden *w, struct network *n) {
    if (n->alone)
        return NULL;
    uint8_t mac[6] = {0x02, 0x42};
    memcpy(mac + 2, n->gateway.family ? n->gateway.b : n->gateway6.b + 12, 4);
    TRY(rtnl_bridge(w->rtnl, n->bridge, mac, n->mtu));
    TRY(rtnl_index(w->rtnl, n->bridge, &n->index));
    if (n->gateway.family)
        TRY(rtnl_addr(w->rtnl, n->index, &n->gateway));
    if (n->gateway6.family)
        TRY(rtnl_addr(w->rtnl, n->index, &n->gateway6));
    if (!w->nft)
        return walls_around(w, n, true);
    return n->def->internal ? nft_internal(w->nft, n->bridge, true) : NULL;
}

/* No container may reach these by way of the host, where they may be somebody else's. */
static void tell_deny(struct warden *w) {
    autojson m = json_object();
    struct json *nets = json_array();
    json_push_str(nets, "10.0.2.0/24");
    json_push_str(nets, "fd00:10:2::/64");
    for (const struct network *n = w->networks; n; n = n->next) {
        const struct net_addr *both[] = {&n->gateway, &n->gateway6};
        for (size_t i = 0; i < ARRAY_LEN(both); i++) {
            if (!both[i]->family || n->alone)
                continue;
            autofree char *text = net_addr_text(both[i]);
            autofree char *cidr = mem_printf("%s/%d", text, both[i]->family == AF_INET6 ? 128 : 32);
            json_push_str(nets, cidr);
        }
    }
    json_set_str(m, "op", "deny");
    json_set(m, "nets", nets);
    warden_tell(w, m, NULL, 0);
}

static void network_free(struct network *n) {
    net_def_free(n->def);
    ipam_free(n->ipam);
    free(n);
}

static char *dns_id(const struct network *n) { return mem_printf("net:%s", n->def->id); }

/* Its names, and its sockets. */
static void tell_forget(struct warden *w, const struct network *n) {
    autojson names = json_object();
    json_set_str(names, "op", "names");
    json_set_str(names, "network", n->def->id);
    warden_tell(w, names, NULL, 0);
    if (!n->answers_dns)
        return;
    autofree char *id = dns_id(n);
    autojson m = json_object();
    json_set_str(m, "op", "undns");
    json_set_str(m, "id", id);
    warden_tell(w, m, NULL, 0);
}

static void bridge_down(struct warden *w, const struct network *n) {
    if (!w->nft)
        err_free(walls_around(w, n, false));
    else if (n->def->internal)
        err_free(nft_internal(w->nft, n->bridge, false));
    err_free(rtnl_delete(w->rtnl, n->bridge));
}

static void network_end(struct warden *w, struct network *n) {
    struct network **at = &w->networks;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    tell_forget(w, n);
    if (n->alone)
        slirp_unplug(w, n);
    else
        bridge_down(w, n);
    network_free(n);
}

static bool overlap(const struct net_def *a, const struct net_def *b) {
    for (size_t i = 0; i < a->n_subnets; i++)
        for (size_t k = 0; k < b->n_subnets; k++) {
            struct net_addr one, other;
            autoerr e = net_addr_parse(a->subnets[i].subnet, &one);
            autoerr e_other = net_addr_parse(b->subnets[k].subnet, &other);
            if (!e && !e_other && net_addr_overlaps(&one, &other))
                return true;
        }
    return false;
}

/* Networks that nobody is on are kept, for making a bridge costs milliseconds, and deleting one tens of them: until
 * they are in the way of `d`, or too many. */
static void make_room(struct warden *w, const struct net_def *d) {
    size_t idle = 0;
    for (struct network *n = w->networks, *next; n; n = next) {
        next = n->next;
        if (!n->alone && !n->endpoints && (++idle > IDLE_MAX || overlap(n->def, d)))
            network_end(w, n);
    }
}

static struct err *network_new(struct warden *w, struct net_def *take_def, struct network **ret) {
    struct network *n = mem_alloc(sizeof *n);
    n->alone = str_eq(take_def->driver, NET_SLIRP);
    if (!n->alone)
        make_room(w, take_def);
    n->def = take_def;
    n->ipam = ipam_new(take_def);
    n->mtu = mtu_of(take_def);
    memcpy(n->bridge, BRIDGE_PREFIX, sizeof BRIDGE_PREFIX - 1);
    memcpy(n->bridge + sizeof BRIDGE_PREFIX - 1, take_def->id, BRIDGE_ID_DIGITS);
    gateway_of(take_def, AF_INET, &n->gateway);
    if (w->has_ipv6)
        gateway_of(take_def, AF_INET6, &n->gateway6);
    struct err *e = bridge_up(w, n);
    if (e) {
        err_free(rtnl_delete(w->rtnl, n->bridge));
        e = err_wrap(e, "network %s", n->def->name);
        network_free(n);
        return e;
    }
    n->next = w->networks;
    w->networks = n;
    tell_deny(w);
    *ret = n;
    return NULL;
}

struct err *network_get(struct warden *w, const struct json *definition, struct network **ret) {
    struct net_def *d;
    TRY(net_def_parse(definition, &d));
    for (struct network *n = w->networks; n; n = n->next)
        if (str_eq(n->def->id, d->id)) {
            net_def_free(d);
            n->endpoints++;
            *ret = n;
            return NULL;
        }
    if ((!str_eq(d->driver, "bridge") && !str_eq(d->driver, NET_SLIRP)) || !d->n_subnets) {
        struct err *e = err_new(ERR_USAGE, "network %s is not a bridge with a subnet", d->name);
        net_def_free(d);
        return e;
    }
    TRY(network_new(w, d, ret));
    (*ret)->endpoints++;
    return NULL;
}

void network_put(struct warden *w, struct network *n) {
    if (--n->endpoints == 0 && n->alone)
        network_end(w, n);
}

/* ---- names ---- */

/* Its own scope sees the network itself; an internal one hands nothing on. */
static void tell_internal(struct warden *w, const struct network *n, const char *id) {
    autojson m = json_object();
    struct json *networks = json_array();
    json_push_str(networks, n->def->id);
    json_set_str(m, "op", "scope");
    json_set_str(m, "id", id);
    json_set(m, "networks", networks);
    json_set_bool(m, "forward", false);
    warden_tell(w, m, NULL, 0);
}

struct err *network_answer_dns(struct warden *w, struct network *n) {
    if (n->answers_dns)
        return NULL;
    autofree char *id = dns_id(n);
    n->answers_dns = true;
    if (n->def->internal)
        tell_internal(w, n, id);
    if (n->gateway.family)
        TRY(socket_dns(w, id, &n->gateway));
    return n->gateway6.family ? socket_dns(w, id, &n->gateway6) : NULL;
}

static void push_once(struct strv *names, const char *name) {
    if (name && *name && !strv_has(names, name))
        strv_push(names, name);
}

/* What a container answers to: its name, its aliases, its short id, its host name. */
static struct json *names_of(const struct lease *l, const struct endpoint *e) {
    autostrv struct strv names = {0};
    autofree char *id = mem_dupn(l->id, 12), *ip = net_addr_text(&e->ip), *ip6 = net_addr_text(&e->ip6);
    push_once(&names, l->name);
    for (size_t i = 0; i < e->aliases.n; i++)
        push_once(&names, e->aliases.v[i]);
    push_once(&names, id);
    push_once(&names, l->hostname);
    struct json *j = json_object();
    json_set_str(j, "id", l->id);
    json_set_str(j, "ip", e->ip.family ? ip : "");
    json_set_str(j, "ip6", e->ip6.family ? ip6 : "");
    json_set_strv(j, "names", &names);
    return j;
}

/* The default network has no names, as docker's has none. */
void network_names(struct warden *w, const struct network *n) {
    autojson m = json_object();
    struct json *names = json_array();
    for (const struct lease *l = n->def->builtin ? NULL : w->leases; l; l = l->next)
        for (size_t i = 0; l->id && i < l->n_endpoints; i++)
            if (l->endpoints[i]->network == n)
                json_push(names, names_of(l, l->endpoints[i]));
    json_set_str(m, "op", "names");
    json_set_str(m, "network", n->def->id);
    json_set_str(m, "name", n->def->name);
    json_set(m, "names", names);
    json_set_str(m, "host", w->host);
    json_set_str(m, "host6", w->host6);
    warden_tell(w, m, NULL, 0);
}
