/*
 * link: see helper_int.h. One request, one acknowledgement; what is there already is as good as made, so that a helper
 * that enters the namespace of a dead one can ask for everything again.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/helper/helper_int.h"

enum { BUFFER = 8192, MSG_ROOM = 1024 };

struct rtnl {
    struct mnl_socket *socket;
    uint32_t seq;
    union {
        struct nlmsghdr head;
        char bytes[BUFFER];
    } msg;
};

struct err *netlink_open(int bus, struct mnl_socket **ret) {
    struct mnl_socket *s = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0) {
        *ret = s;
        return NULL;
    }
    struct err *e = err_sys(errno, "open a %s socket", bus == NETLINK_ROUTE ? "route" : "netfilter");
    if (s)
        mnl_socket_close(s);
    return e;
}

struct err *rtnl_open(struct rtnl **ret) {
    struct rtnl *r = mem_alloc(sizeof *r);
    struct err *e = netlink_open(NETLINK_ROUTE, &r->socket);
    if (!e)
        *ret = take_ptr(&r);
    rtnl_free(r);
    return e;
}

void rtnl_free(struct rtnl *r) {
    if (!r)
        return;
    if (r->socket)
        mnl_socket_close(r->socket);
    free(r);
}

/* ---- messages ---- */

static struct nlmsghdr *begin(struct rtnl *r, uint16_t type, uint16_t flags) {
    struct nlmsghdr *m = mnl_nlmsg_put_header(r->msg.bytes);
    m->nlmsg_type = type;
    m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    m->nlmsg_seq = ++r->seq;
    return m;
}

static size_t addr_size(const struct net_addr *a) { return a->family == AF_INET6 ? 16 : 4; }

static void put_addr(struct nlmsghdr *m, uint16_t type, const struct net_addr *a) {
    mnl_attr_put(m, type, addr_size(a), a->b);
}

/* The next message that answers the last request: 0, or a negative errno. */
static int answer(struct rtnl *r, unsigned *ret_index) {
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(r->socket, r->msg.bytes, sizeof r->msg);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        int left = (int)n;
        for (const struct nlmsghdr *m = &r->msg.head; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_seq != r->seq)
                continue;
            if (m->nlmsg_type == RTM_NEWLINK && ret_index)
                *ret_index = (unsigned)((const struct ifinfomsg *)mnl_nlmsg_get_payload(m))->ifi_index;
            if (m->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(m))->error;
        }
    }
}

static int talk(struct rtnl *r, unsigned *ret_index) {
    if (mnl_socket_sendto(r->socket, r->msg.bytes, r->msg.head.nlmsg_len) < 0)
        return errno;
    return -answer(r, ret_index);
}

/* As talk(), where `fine` is as good as success. */
static int talk_or(struct rtnl *r, int fine) {
    int e = talk(r, NULL);
    return e == fine ? 0 : e;
}

/* ---- links ---- */

static struct nlmsghdr *begin_link(struct rtnl *r, uint16_t type, uint16_t flags, const char *name) {
    struct nlmsghdr *m = begin(r, type, flags);
    mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
    if (name)
        mnl_attr_put_strz(m, IFLA_IFNAME, name);
    return m;
}

static struct ifinfomsg *link_info(struct nlmsghdr *m) { return mnl_nlmsg_get_payload(m); }

struct err *rtnl_index(struct rtnl *r, const char *name, unsigned *ret) {
    struct nlmsghdr *m = begin_link(r, RTM_GETLINK, 0, name);
    mnl_attr_put_u32(m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    unsigned index = 0;
    int e = talk(r, &index);
    if (e)
        return err_with_kind(err_sys(e, "find link %s", name), e == ENODEV ? ERR_NOT_FOUND : ERR_SYSTEM);
    *ret = index;
    return NULL;
}

struct err *rtnl_bridge(struct rtnl *r, const char *name, const uint8_t mac[6], unsigned mtu) {
    struct nlmsghdr *m = begin_link(r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name);
    link_info(m)->ifi_flags = link_info(m)->ifi_change = IFF_UP;
    mnl_attr_put_u32(m, IFLA_MTU, mtu);
    mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
    struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u8(m, IFLA_BR_MCAST_SNOOPING, 0); /* no querier's timers, and no group is ever missed */
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    int e = talk_or(r, EEXIST);
    return e ? err_sys(e, "make bridge %s", name) : NULL;
}

struct err *rtnl_veth(struct rtnl *r, const struct veth *v) {
    struct nlmsghdr *m = begin_link(r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, v->name);
    link_info(m)->ifi_flags = link_info(m)->ifi_change = IFF_UP;
    mnl_attr_put_u32(m, IFLA_MTU, v->mtu);
    if (v->master)
        mnl_attr_put_u32(m, IFLA_MASTER, v->master);
    struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(m, IFLA_IFNAME, v->peer);
    mnl_attr_put_u32(m, IFLA_MTU, v->mtu);
    mnl_attr_put(m, IFLA_ADDRESS, 6, v->mac);
    if (v->netns >= 0)
        mnl_attr_put_u32(m, IFLA_NET_NS_FD, (uint32_t)v->netns);
    mnl_attr_nest_end(m, peer);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    int e = talk(r, NULL);
    return e ? err_sys(e, "make link %s", v->peer) : NULL;
}

struct err *rtnl_up(struct rtnl *r, unsigned index, unsigned mtu) {
    struct nlmsghdr *m = begin_link(r, RTM_NEWLINK, 0, NULL);
    link_info(m)->ifi_index = (int)index;
    link_info(m)->ifi_flags = link_info(m)->ifi_change = IFF_UP;
    if (mtu)
        mnl_attr_put_u32(m, IFLA_MTU, mtu);
    int e = talk(r, NULL);
    return e ? err_sys(e, "set link %u up", index) : NULL;
}

struct err *rtnl_mac(struct rtnl *r, unsigned index, const uint8_t mac[6]) {
    struct nlmsghdr *m = begin_link(r, RTM_NEWLINK, 0, NULL);
    link_info(m)->ifi_index = (int)index;
    mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
    int e = talk(r, NULL);
    return e ? err_sys(e, "set the address of link %u", index) : NULL;
}

struct err *rtnl_delete(struct rtnl *r, const char *name) {
    (void)begin_link(r, RTM_DELLINK, 0, name);
    int e = talk_or(r, ENODEV);
    return e ? err_sys(e, "delete link %s", name) : NULL;
}

/* ---- addresses, routes, rules ---- */

static void put_broadcast(struct nlmsghdr *m, const struct net_addr *a) {
    struct net_addr b = *a;
    for (unsigned bit = a->prefix; bit < 32; bit++)
        b.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    put_addr(m, IFA_BROADCAST, &b);
}

struct err *rtnl_addr(struct rtnl *r, unsigned index, const struct net_addr *a) {
    struct nlmsghdr *m = begin(r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(m, sizeof *body);
    body->ifa_family = (uint8_t)a->family;
    body->ifa_prefixlen = (uint8_t)a->prefix;
    body->ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
    body->ifa_index = index;
    put_addr(m, IFA_LOCAL, a);
    put_addr(m, IFA_ADDRESS, a);
    if (a->family == AF_INET && a->prefix < 31)
        put_broadcast(m, a);
    int e = talk_or(r, EEXIST);
    if (!e)
        return NULL;
    autofree char *text = net_addr_cidr(a);
    return err_sys(e, "set address %s", text);
}

static struct rtmsg *begin_route(struct rtnl *r, int family, uint8_t type, struct nlmsghdr **ret) {
    *ret = begin(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *body = mnl_nlmsg_put_extra_header(*ret, sizeof *body);
    body->rtm_family = (uint8_t)family;
    body->rtm_table = RT_TABLE_MAIN;
    body->rtm_protocol = RTPROT_BOOT;
    body->rtm_scope = RT_SCOPE_UNIVERSE;
    body->rtm_type = type;
    return body;
}

struct err *rtnl_default_route(struct rtnl *r, unsigned index, const struct net_addr *gateway, unsigned metric) {
    struct nlmsghdr *m;
    (void)begin_route(r, gateway->family, RTN_UNICAST, &m);
    put_addr(m, RTA_GATEWAY, gateway);
    mnl_attr_put_u32(m, RTA_OIF, index);
    if (metric)
        mnl_attr_put_u32(m, RTA_PRIORITY, metric);
    int e = talk_or(r, EEXIST);
    if (!e)
        return NULL;
    autofree char *text = net_addr_text(gateway);
    return err_sys(e, "set the default route by %s", text);
}

struct err *rtnl_local_table(struct rtnl *r, int family, const struct net_addr *from) {
    struct nlmsghdr *m;
    struct rtmsg *body = begin_route(r, family, RTN_LOCAL, &m);
    body->rtm_table = RULE_TABLE;
    body->rtm_scope = RT_SCOPE_HOST;
    mnl_attr_put_u32(m, RTA_OIF, 1); /* lo is the first link of every namespace */
    if (from)
        put_addr(m, RTA_PREFSRC, from);
    int e = talk_or(r, EEXIST);
    return e ? err_sys(e, "set the route of transparent sockets") : NULL;
}

/* ---- other tables, and the rules that lead to them ---- */

static int talk_either(struct rtnl *r, bool add) { return talk_or(r, add ? EEXIST : ENOENT); }

static void put_block(struct nlmsghdr *m, uint16_t type, const struct net_addr *block) {
    const struct net_addr first = net_addr_masked(block);
    put_addr(m, type, &first);
}

struct err *rtnl_table_default(struct rtnl *r, unsigned table, unsigned index, const struct net_addr *gateway) {
    struct nlmsghdr *m;
    begin_route(r, gateway->family, RTN_UNICAST, &m)->rtm_table = (uint8_t)table;
    put_addr(m, RTA_GATEWAY, gateway);
    mnl_attr_put_u32(m, RTA_OIF, index);
    int e = talk_or(r, EEXIST);
    return e ? err_sys(e, "set the default route of table %u", table) : NULL;
}

struct err *rtnl_table_unreachable(struct rtnl *r, bool add, unsigned table, const struct net_addr *block) {
    struct nlmsghdr *m;
    struct rtmsg *body = begin_route(r, block->family, RTN_UNREACHABLE, &m);
    if (!add) {
        m->nlmsg_type = RTM_DELROUTE;
        m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    }
    body->rtm_table = (uint8_t)table;
    body->rtm_dst_len = (uint8_t)block->prefix;
    put_block(m, RTA_DST, block);
    int e = talk_or(r, add ? EEXIST : ESRCH);
    return e ? err_sys(e, "close a network off in table %u", table) : NULL;
}

static struct nlmsghdr *begin_rule(struct rtnl *r, bool add, const struct route_rule *rule) {
    struct nlmsghdr *m = add ? begin(r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL) : begin(r, RTM_DELRULE, 0);
    struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(m, sizeof *body);
    body->family = (uint8_t)rule->family;
    body->table = (uint8_t)rule->table;
    body->action = rule->table ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
    body->src_len = rule->from ? (uint8_t)rule->from->prefix : 0;
    body->dst_len = rule->to ? (uint8_t)rule->to->prefix : 0;
    mnl_attr_put_u32(m, FRA_PRIORITY, rule->priority);
    if (rule->iif)
        mnl_attr_put_strz(m, FRA_IIFNAME, rule->iif);
    if (rule->from)
        put_block(m, FRA_SRC, rule->from);
    if (rule->to)
        put_block(m, FRA_DST, rule->to);
    return m;
}

struct err *rtnl_rule(struct rtnl *r, bool add, const struct route_rule *rule) {
    struct nlmsghdr *m = begin_rule(r, add, rule);
    struct fib_rule_port_range sport = {.start = rule->sport, .end = rule->sport};
    if (rule->ipproto)
        mnl_attr_put_u8(m, FRA_IP_PROTO, (uint8_t)rule->ipproto);
    if (rule->sport)
        mnl_attr_put(m, FRA_SPORT_RANGE, sizeof sport, &sport);
    int e = talk_either(r, add);
    return e ? err_sys(e, "%s the routing rule %u", add ? "add" : "delete", rule->priority) : NULL;
}

struct err *rtnl_local_rule_move(struct rtnl *r, int family, unsigned priority) {
    const struct route_rule first = {.family = family, .table = RT_TABLE_LOCAL};
    const struct route_rule moved = {.family = family, .priority = priority, .table = RT_TABLE_LOCAL};
    int e = 0;
    while (!e) { /* priority 0 means any: also the one that a dead helper has moved */
        (void)begin_rule(r, false, &first);
        e = talk(r, NULL);
    }
    return e == ENOENT ? rtnl_rule(r, true, &moved) : err_sys(e, "move the rule of local addresses");
}
