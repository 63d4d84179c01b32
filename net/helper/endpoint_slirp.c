/*
 * endpoint_slirp: a container with a libslirp of its own (--network slirp). Its network is nobody else's: no bridge, no
 * rule, no route of the helper's namespace has to do with it. The link is a tap in the container's namespace, whose
 * other end the loop has; it goes when the loop does, and the next helper makes it anew.
 *
 * Published ports come from sockets in the container's own namespace, with the client's address as everywhere. What the
 * container answers has to be found local there, so the rules that lease_ports.c makes for bridges are made inside.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "net/helper/warden_int.h"

#define FAR_END "uplink-peer"

/* ---- the link ---- */

/* Frames would be taken for what they are not: an advertised route, an address of the kernel's own making. */
static void no_advertisements(const char *ifname) {
    autofree char *path = mem_printf("/proc/sys/net/ipv6/conf/%s/accept_ra", ifname);
    (void)warden_sysctl(path, "0"); /* without IPv6 there is no such file */
}

/* In the container. The last helper's link may still be there if it was a veth pair: that outlives its far end. */
static struct err *open_tap(struct rtnl *r, const struct endpoint *e, int *ret) {
    unsigned index;
    TRY(rtnl_delete(r, e->ifname));
    autofd int tap = sys_tap_open(e->ifname);
    if (tap < 0)
        return err_sys(errno, "open /dev/net/tun");
    TRY(rtnl_index(r, e->ifname, &index));
    TRY(rtnl_mac(r, index, e->mac));
    no_advertisements(e->ifname);
    *ret = take_fd(&tap);
    return NULL;
}

static struct err *tap_inside(struct warden *w, const struct lease *l, const struct endpoint *e, int *ret) {
    struct rtnl *r __attribute__((cleanup(rtnl_freep))) = NULL;
    TRY(warden_enter(l));
    struct err *failed = rtnl_open(&r);
    if (!failed)
        failed = open_tap(r, e, ret);
    warden_come_back(w);
    return failed;
}

/* The far end of a veth pair, in a namespace that nobody else is in and that ends with the packet socket. */
static struct err *far_end(const struct lease *l, const struct endpoint *e, int *ret) {
    struct rtnl *r __attribute__((cleanup(rtnl_freep))) = NULL;
    const struct veth v = {
        .name = FAR_END, .peer = e->ifname, .netns = l->netns, .mac = e->mac, .mtu = e->network->mtu};
    if (unshare(CLONE_NEWNET) < 0)
        return err_sys(errno, "make a network namespace");
    TRY(rtnl_open(&r));
    TRY(rtnl_veth(r, &v));
    return socket_packet(r, FAR_END, ret);
}

/* Where there is no /dev/net/tun. */
static struct err *veth_inside(struct warden *w, const struct lease *l, const struct endpoint *e, int *ret) {
    autofd int fd = -1, any = -1;
    struct err *failed = far_end(l, e, &fd);
    warden_come_back(w);
    TRY(failed);
    TRY(warden_enter(l));
    any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int code = any < 0 || sys_link_no_offload(any, e->ifname) < 0 ? errno : 0;
    no_advertisements(e->ifname);
    warden_come_back(w);
    if (code)
        return err_sys(code, "switch off checksum offload");
    *ret = take_fd(&fd);
    return NULL;
}

/* ---- what the loop is told ---- */

static const char *option(const struct network *n, const char *key) {
    const char *value = n->def->options.n ? strv_env_get(&n->def->options, key) : NULL;
    return value ? value : "";
}

static void tell_uplink(struct warden *w, const struct network *n, bool tap, int fd) {
    static const char *const keys[][2] = {{"subnet", "gateway"}, {"subnet6", "gateway6"}};
    autojson m = json_object();
    json_set_str(m, "op", "uplink");
    json_set_str(m, "id", n->def->id);
    json_set_str(m, "kind", tap ? "tap" : "packet");
    json_set_int(m, "mtu", n->mtu);
    for (size_t i = 0; i < n->def->n_subnets && i < ARRAY_LEN(keys); i++) {
        json_set_str(m, keys[i][0], n->def->subnets[i].subnet);
        json_set_str(m, keys[i][1], n->def->subnets[i].gateway);
    }
    json_set_bool(m, "loopback", str_eq(option(n, NET_SLIRP_LOOPBACK), "true"));
    json_set_str(m, "from", option(n, NET_SLIRP_FROM));
    json_set_str(m, "from6", option(n, NET_SLIRP_FROM6));
    warden_tell(w, m, &fd, 1);
}

struct err *slirp_plug(struct warden *w, const struct lease *l, const struct endpoint *e) {
    autofd int fd = -1;
    autoerr no_tap = tap_inside(w, l, e, &fd);
    if (no_tap)
        TRY(veth_inside(w, l, e, &fd));
    tell_uplink(w, e->network, !no_tap, fd);
    return NULL;
}

void slirp_unplug(struct warden *w, const struct network *n) {
    autojson m = json_object();
    json_set_str(m, "op", "unlink");
    json_set_str(m, "id", n->def->id);
    warden_tell(w, m, NULL, 0);
}

/* ---- published ports ---- */

static struct err *way_back(struct rtnl *r, const struct net_addr *own, const struct port *p, bool add) {
    const struct route_rule rule = {.family = own->family,
                                    .priority = RULE_PRIORITY,
                                    .ipproto = str_eq(p->proto, "udp") ? IPPROTO_UDP : IPPROTO_TCP,
                                    .sport = p->port,
                                    .table = RULE_TABLE};
    if (!own->family)
        return NULL;
    TRY(rtnl_local_table(r, own->family, own));
    return rtnl_rule(r, add, &rule);
}

static struct err *ways_back(const struct endpoint *e, const struct port *p, bool add) {
    struct rtnl *r __attribute__((cleanup(rtnl_freep))) = NULL;
    TRY(rtnl_open(&r));
    TRY(way_back(r, &e->ip, p, add));
    return way_back(r, &e->ip6, p, add);
}

struct err *slirp_port_rules(struct warden *w, const struct lease *l, const struct port *p, bool add) {
    TRY(warden_enter(l));
    struct err *e = ways_back(l->way_out, p, add);
    warden_come_back(w);
    return e;
}
