/*
 * warden_setup: the helper's network namespace, from nothing or over what a dead helper has left. Every step may be
 * done again. What the kernel may lack is found out by doing it: the level says what it came to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "net/helper/warden_int.h"

#define UPLINK_PEER "uplink-peer"
#define SLIRP_ADDRESS "10.0.2.2"
#define SLIRP_ADDRESS6 "fd00:10:2::2"

/* ---- namespaces ---- */

/* The address that the host uses towards the world: asked before the host's namespace is left. Nothing is sent. */
static void host_address(char ret[HOST_MAX]) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(0xc6336401)}}, me;
    socklen_t len = sizeof me;
    autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof to) && !getsockname(fd, (struct sockaddr *)&me, &len))
        (void)inet_ntop(AF_INET, &me.sin_addr, ret, HOST_MAX);
}

static void host_address6(char ret[HOST_MAX]) {
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr.s6_addr = {0x20, 0x01}}, me;
    socklen_t len = sizeof me;
    autofd int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof to) && !getsockname(fd, (struct sockaddr *)&me, &len))
        (void)inet_ntop(AF_INET6, &me.sin6_addr, ret, HOST_MAX);
}

static struct err *enter_namespace(struct warden *w, int helper_ns) {
    if (w->own_ns >= 0)
        return NULL;
    host_address(w->host);
    host_address6(w->host6);
    if (helper_ns < 0 && unshare(CLONE_NEWNET) < 0)
        return err_hint(err_sys(errno, "make a network namespace"),
                        "the system may forbid it: see /proc/sys/user/max_net_namespaces");
    if (helper_ns >= 0 && setns(helper_ns, CLONE_NEWNET) < 0)
        return err_sys(errno, "enter the network namespace of the last helper");
    if (helper_ns >= 0)
        return fd_dup(helper_ns, &w->own_ns);
    return fd_open_at(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0, &w->own_ns);
}

struct err *warden_enter(const struct lease *l) {
    return setns(l->netns, CLONE_NEWNET) < 0 ? err_sys(errno, "enter the container's network namespace") : NULL;
}

void warden_come_back(struct warden *w) {
    if (setns(w->own_ns, CLONE_NEWNET) < 0)
        warden_die(err_sys(errno, "come back from a container"));
}

/* ---- sysctls: /proc/sys/net shows the namespace of who looks ---- */

struct sysctl {
    const char *path, *value;
};

int warden_sysctl(const char *path, const char *value) {
    autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

static struct err *set_sysctls(void) {
    static const struct sysctl must = {"/proc/sys/net/ipv4/ip_forward", "1"};
    /* The bridge's hooks are there when somebody on the host has loaded br_netfilter: frames within a network are not
     * ours to look at. */
    static const struct sysctl may[] = {
        {"/proc/sys/net/ipv4/conf/all/rp_filter", "0"},         {"/proc/sys/net/ipv4/conf/default/rp_filter", "0"},
        {"/proc/sys/net/ipv4/conf/all/send_redirects", "0"},    {"/proc/sys/net/ipv4/conf/default/send_redirects", "0"},
        {"/proc/sys/net/ipv6/conf/all/forwarding", "1"},        {"/proc/sys/net/ipv6/conf/all/accept_ra", "0"},
        {"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},     {"/proc/sys/net/ipv6/conf/all/accept_dad", "0"},
        {"/proc/sys/net/ipv6/conf/default/accept_dad", "0"},    {"/proc/sys/net/bridge/bridge-nf-call-iptables", "0"},
        {"/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0"},
    };
    if (warden_sysctl(must.path, must.value) < 0)
        return err_hint(err_sys(errno, "switch on forwarding (%s)", must.path),
                        "/proc/sys must be writable where coracle runs, or use --network host");
    for (size_t i = 0; i < ARRAY_LEN(may); i++)
        (void)warden_sysctl(may[i].path, may[i].value);
    return NULL;
}

/* ---- uplink ---- */

/* Notes what is missing for the best level, in the words of `take_e` or of its own. */
static void lack(struct warden *w, const char *what, struct err *take_e) {
    autoerr e = take_e;
    autostr struct str text = STR_INIT;
    if (w->lacks)
        str_appendf(&text, "%s; ", w->lacks);
    str_append(&text, what);
    if (e && *what)
        str_append(&text, ": ");
    if (e)
        err_format(e, &text);
    mem_set(&w->lacks, str_c(&text));
}

static struct err *uplink_veth(struct warden *w, int *ret) {
    static const uint8_t mac[6] = {0x02, 0x42, 10, 0, 2, 2};
    const struct veth v = {.name = UPLINK, .peer = UPLINK_PEER, .netns = -1, .mac = mac, .mtu = UPLINK_MTU};
    TRY(rtnl_veth(w->rtnl, &v));
    autofd int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0 || sys_link_no_offload(any, UPLINK) < 0)
        return err_sys(errno, "switch off checksum offload");
    return socket_packet(w->rtnl, UPLINK_PEER, ret);
}

static struct err *uplink_routes(struct warden *w) {
    static const char *const addresses[2][2] = {{"10.0.2.100/24", SLIRP_ADDRESS},
                                                {"fd00:10:2::100/64", SLIRP_ADDRESS6}};
    unsigned index;
    TRY(rtnl_index(w->rtnl, UPLINK, &index));
    TRY(rtnl_up(w->rtnl, index, UPLINK_MTU));
    for (size_t i = 0; i < (w->has_ipv6 ? 2 : 1); i++) {
        struct net_addr own, gateway;
        TRY(net_addr_parse(addresses[i][0], &own));
        TRY(net_addr_parse(addresses[i][1], &gateway));
        TRY(rtnl_addr(w->rtnl, index, &own));
        TRY(rtnl_default_route(w->rtnl, index, &gateway, 0));
    }
    return NULL;
}

static struct err *uplink(struct warden *w, int *ret, bool *ret_tap) {
    TRY(rtnl_delete(w->rtnl, UPLINK)); /* a veth pair of the last helper's: it may outlive the packet socket */
    autofd int fd = sys_tap_open(UPLINK);
    *ret_tap = fd >= 0;
    if (fd < 0) {
        lack(w, "a veth pair takes the place of a tap", err_sys(errno, "open /dev/net/tun"));
        TRY(uplink_veth(w, &fd));
    }
    TRY(uplink_routes(w));
    *ret = take_fd(&fd);
    return NULL;
}

/* ---- all of it ---- */

static void tell_uplink(struct warden *w, int fd, bool tap) {
    autojson m = json_object();
    json_set_str(m, "op", "uplink");
    json_set_str(m, "kind", tap ? "tap" : "packet");
    json_set_int(m, "mtu", UPLINK_MTU);
    json_set_str(m, "subnet", "10.0.2.0/24");
    json_set_str(m, "gateway", SLIRP_ADDRESS);
    json_set_str(m, "subnet6", "fd00:10:2::/64");
    json_set_str(m, "gateway6", SLIRP_ADDRESS6);
    warden_tell(w, m, &fd, 1);
}

static void tell_bypass(struct warden *w, int listen4, int listen6, int queue) {
    autojson m = json_object();
    json_set_str(m, "op", "bypass");
    const int fds[] = {listen4, listen6, queue};
    warden_tell(w, m, fds, queue >= 0 ? 3 : 2);
}

/* ---- what the kernel takes ---- */

/* The rules of nft, the listeners that they redirect to, and the queue. */
static struct err *rules(struct warden *w, bool again, enum nft_level *ret) {
    autofd int queue = -1, listen4 = -1, listen6 = -1;
    uint16_t port;
    if (!w->nft)
        TRY(nft_open(&w->nft));
    TRY(socket_redirect(w->has_ipv6, &listen4, &listen6, &port));
    autoerr no_queue = nfqueue_open(&queue);
    const struct nft_wanted want = {.redirect_port = port, .hold = !no_queue, .replace = again || w->loaded_once};
    w->loaded_once = true;
    TRY(nft_load(w->nft, &want, ret));
    if (*ret != NFT_QUEUE) {
        lack(w, "connections are not held until the other side has answered", take_ptr(&no_queue));
        fd_replace(&queue, -1);
    }
    tell_bypass(w, listen4, listen6, queue);
    w->queue = take_fd(&queue);
    return NULL;
}

/* Without them the routing table holds networks apart, and everything that leaves is libslirp's. */
static struct err *no_rules(struct warden *w, struct err *take_why) {
    static const char *const gateways[] = {SLIRP_ADDRESS, SLIRP_ADDRESS6};
    unsigned index;
    lack(w, "", take_why);
    nft_free(take_ptr(&w->nft));
    TRY(rtnl_index(w->rtnl, UPLINK, &index));
    for (size_t i = 0; i < (w->has_ipv6 ? 2 : 1); i++) {
        struct net_addr gateway;
        TRY(net_addr_parse(gateways[i], &gateway));
        TRY(walls_begin(w, index, &gateway));
    }
    return NULL;
}

static const char *level_name(bool tap, bool nft, enum nft_level level) {
    static const char *const names[2][3] = {{"veth+slirp", "veth+redirect", "veth+nfqueue"},
                                            {"slirp", "redirect", "nfqueue"}};
    return names[tap][!nft ? 0 : level == NFT_REDIRECT ? 1 : 2];
}

static struct err *links(struct warden *w) {
    if (!w->rtnl)
        TRY(rtnl_open(&w->rtnl));
    TRY(sweep_start(w));
    TRY(rtnl_up(w->rtnl, 1, 0));
    TRY(set_sysctls());
    TRY(rtnl_local_table(w->rtnl, AF_INET, NULL));
    autoerr none = rtnl_local_table(w->rtnl, AF_INET6, NULL);
    w->has_ipv6 = !none;
    return NULL;
}

struct err *warden_setup(struct warden *w, int helper_ns) {
    if (w->level)
        return NULL;
    TRY(enter_namespace(w, helper_ns));
    TRY(links(w));
    autofd int frames = -1;
    bool tap;
    enum nft_level level = NFT_REDIRECT;
    mem_set(&w->lacks, NULL);
    TRY(uplink(w, &frames, &tap));
    struct err *refused = rules(w, helper_ns >= 0, &level);
    if (refused)
        TRY(no_rules(w, refused));
    tell_uplink(w, frames, tap);
    resolv_start(w);
    w->level = level_name(tap, w->nft, level);
    return NULL;
}
