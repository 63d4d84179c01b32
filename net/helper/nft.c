/*
 * nft: the rule set of the helper's namespace (helper_int.h), and the queue of held connection requests.
 *
 * Whether a packet leaves is asked of the routing table (fib): what goes out by "uplink" is for the world, the rest is
 * ours. So no rule holds an address, and networks come and go without a change here, but for the set of internal ones.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/helper/helper_int.h"
#include "net/helper/nft_int.h"

#define INTERNAL "internal"

/* How the kernel takes "hand it to the queue". */
enum hold { HOLD_COMPAT, HOLD_NATIVE, HOLD_NONE };

enum { NFQUEUE_REVISION = 3 };

enum { CT_STATE_NEW_BIT = 1 << 3, CT_STATE_KNOWN_BITS = 1 << 1 | 1 << 2 /* established, related */ };

/*
 * The socket is kept: closing one waits until the kernel has freed what transactions took away, a tenth of a second
 * at worst.
 */
struct nft {
    struct mnl_socket *socket;
    struct nft_batch batch;
};

struct err *nft_open(struct nft **ret) {
    struct nft *nft = mem_alloc(sizeof *nft);
    struct err *e = netlink_open(NETLINK_NETFILTER, &nft->socket);
    if (!e)
        *ret = take_ptr(&nft);
    nft_free(nft);
    return e;
}

void nft_free(struct nft *nft) {
    if (nft && nft->socket)
        mnl_socket_close(nft->socket);
    free(nft);
}

/* ---- conditions ---- */

static void from_bridge(struct nft_batch *b) {
    nft_meta(b, NFT_META_IIFNAME);
    nft_cmp(b, NFT_CMP_EQ, BRIDGE_PREFIX, sizeof BRIDGE_PREFIX - 1);
}

static void from_open_bridge(struct nft_batch *b) {
    from_bridge(b);
    nft_lookup(b, INTERNAL, true);
}

static void compare_name(struct nft_batch *b, const char *name) {
    char key[IFNAMSIZ] = "";
    memcpy(key, name, strnlen(name, sizeof key - 1));
    nft_cmp(b, NFT_CMP_EQ, key, sizeof key);
}

static void to_the_world(struct nft_batch *b) {
    nft_fib(b, NFT_FIB_RESULT_OIFNAME, NFTA_FIB_F_DADDR);
    compare_name(b, UPLINK);
}

static void is_tcp(struct nft_batch *b) {
    static const uint8_t tcp = IPPROTO_TCP;
    nft_meta(b, NFT_META_L4PROTO);
    nft_cmp(b, NFT_CMP_EQ, &tcp, sizeof tcp);
}

/* SYN without ACK. */
static void is_request(struct nft_batch *b) {
    static const uint8_t mask = 0x12, syn = 0x02;
    nft_transport(b, 13, 1);
    nft_and(b, &mask, sizeof mask);
    nft_cmp(b, NFT_CMP_EQ, &syn, sizeof syn);
}

static void ct_state(struct nft_batch *b, uint32_t bits) {
    static const uint32_t zero;
    nft_ct_state(b);
    nft_and(b, &bits, sizeof bits);
    nft_cmp(b, NFT_CMP_NEQ, &zero, sizeof zero);
}

/* ---- rules ---- */

static void rules_hold(struct nft_batch *b, enum hold hold) {
    static const struct xt_NFQ_info_v3 queue = {.queuenum = NFQUEUE_NUMBER, .queues_total = 1, .flags = 1 /* bypass */};
    nft_rule(b, "hold");
    from_open_bridge(b);
    is_tcp(b);
    is_request(b);
    ct_state(b, CT_STATE_NEW_BIT);
    to_the_world(b);
    if (hold == HOLD_NATIVE)
        nft_queue(b, NFQUEUE_NUMBER);
    else
        nft_target(b, "NFQUEUE", NFQUEUE_REVISION, &queue, sizeof queue);
    nft_rule_end(b);
}

/* What the loop has found out about the other side, told to the container. */
static void rule_answer(struct nft_batch *b, uint32_t mark, enum nft_reject_types type,
                        enum nft_reject_inet_code code) {
    nft_rule(b, "answer");
    nft_meta(b, NFT_META_MARK);
    nft_cmp(b, NFT_CMP_EQ, &mark, sizeof mark);
    if (type == NFT_REJECT_TCP_RST)
        is_tcp(b);
    nft_reject(b, type, code);
    nft_rule_end(b);
}

static void rules_redirect(struct nft_batch *b, uint16_t port) {
    nft_rule(b, "bypass");
    from_open_bridge(b);
    is_tcp(b);
    to_the_world(b);
    nft_redirect(b, port);
    nft_rule_end(b);
}

static void rule_masquerade(struct nft_batch *b) {
    nft_rule(b, "leave");
    nft_meta(b, NFT_META_OIFNAME);
    compare_name(b, UPLINK);
    nft_masquerade(b);
    nft_rule_end(b);
}

/* Networks do not see each other, and internal ones see nothing else. */
static void rules_forward(struct nft_batch *b) {
    nft_rule(b, "forward");
    from_bridge(b);
    nft_meta(b, NFT_META_OIFNAME);
    nft_cmp(b, NFT_CMP_EQ, BRIDGE_PREFIX, sizeof BRIDGE_PREFIX - 1);
    nft_verdict(b, NF_DROP);
    nft_rule_end(b);
    static const enum nft_meta_keys sides[] = {NFT_META_IIFNAME, NFT_META_OIFNAME};
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        nft_rule(b, "forward");
        nft_meta(b, sides[i]);
        nft_lookup(b, INTERNAL, false);
        nft_verdict(b, NF_DROP);
        nft_rule_end(b);
    }
}

/* A container reaches the gateway of its own network and not those of others. Answers to a transparent socket go to an
 * address that is nobody's here: conntrack knows them. */
static void rules_input(struct nft_batch *b) {
    static const uint32_t local = RTN_LOCAL;
    nft_rule(b, "input");
    ct_state(b, CT_STATE_KNOWN_BITS);
    nft_verdict(b, NF_ACCEPT);
    nft_rule_end(b);
    nft_rule(b, "input");
    from_bridge(b);
    nft_fib(b, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR);
    nft_cmp(b, NFT_CMP_EQ, &local, sizeof local);
    nft_fib(b, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR | NFTA_FIB_F_IIF);
    nft_cmp(b, NFT_CMP_NEQ, &local, sizeof local);
    nft_verdict(b, NF_DROP);
    nft_rule_end(b);
}

static int load(struct nft *nft, const struct nft_wanted *want, enum hold hold) {
    static const struct nft_chain chains[] = {
        {"hold", "filter", NF_INET_PRE_ROUTING, -150}, {"answer", "filter", NF_INET_PRE_ROUTING, -145},
        {"bypass", "nat", NF_INET_PRE_ROUTING, -100},  {"input", "filter", NF_INET_LOCAL_IN, 0},
        {"forward", "filter", NF_INET_FORWARD, 0},     {"leave", "nat", NF_INET_POST_ROUTING, 100},
    };
    struct nft_batch *b = &nft->batch;
    nft_batch_begin(b);
    nft_table(b, true);
    if (want->replace) {
        nft_table(b, false);
        nft_table(b, true);
    }
    nft_set_of_names(b, INTERNAL);
    for (size_t i = 0; i < ARRAY_LEN(chains); i++)
        if (hold != HOLD_NONE || i > 1)
            nft_chain(b, &chains[i]);
    if (hold != HOLD_NONE) {
        rules_hold(b, hold);
        rule_answer(b, MARK_REFUSED, NFT_REJECT_TCP_RST, 0);
        rule_answer(b, MARK_HOST_UNREACHABLE, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_HOST_UNREACH);
        rule_answer(b, MARK_NET_UNREACHABLE, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_NO_ROUTE);
    }
    rules_redirect(b, want->redirect_port);
    rules_input(b);
    rules_forward(b);
    rule_masquerade(b);
    return nft_batch_send(b, nft->socket);
}

/* Whether the kernel has the target of xtables: asked without a transaction, for one that fails costs milliseconds. */
static bool has_target(struct nft *nft) {
    char *buf = nft->batch.bytes;
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = NFNL_SUBSYS_NFT_COMPAT << 8 | NFNL_MSG_COMPAT_GET;
    m->nlmsg_flags = NLM_F_REQUEST;
    m->nlmsg_seq = ++nft->batch.seq;
    struct nfgenmsg *body = mnl_nlmsg_put_extra_header(m, sizeof *body);
    body->nfgen_family = NFPROTO_IPV4;
    mnl_attr_put_strz(m, NFTA_COMPAT_NAME, "NFQUEUE");
    mnl_attr_put_u32(m, NFTA_COMPAT_REV, htonl(NFQUEUE_REVISION));
    mnl_attr_put_u32(m, NFTA_COMPAT_TYPE, htonl(1 /* a target */));
    if (mnl_socket_sendto(nft->socket, buf, m->nlmsg_len) < 0)
        return false;
    ssize_t n = mnl_socket_recvfrom(nft->socket, buf, sizeof nft->batch.bytes);
    return mnl_nlmsg_ok(m, (int)n) && m->nlmsg_type != NLMSG_ERROR;
}

struct err *nft_load(struct nft *nft, const struct nft_wanted *want, enum nft_level *ret) {
    enum hold how = !want->hold ? HOLD_NONE : has_target(nft) ? HOLD_COMPAT : HOLD_NATIVE;
    int e = load(nft, want, how);
    while (e && how != HOLD_NONE)
        e = load(nft, want, ++how);
    *ret = how == HOLD_NONE ? NFT_REDIRECT : NFT_QUEUE;
    if (!e)
        return NULL;
    return err_sys(e, "this kernel does not take nftables rules (nft_fib_inet, nft_redir, nft_masq, nft_ct)");
}

struct err *nft_internal(struct nft *nft, const char *bridge, bool internal) {
    nft_batch_begin(&nft->batch);
    nft_element(&nft->batch, internal, INTERNAL, bridge);
    int e = nft_batch_send(&nft->batch, nft->socket);
    return e && e != (internal ? EEXIST : ENOENT) ? err_sys(e, "mark bridge %s as internal", bridge) : NULL;
}

/* ---- the queue ---- */

static struct nlmsghdr *queue_message(char *buf) {
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
    m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    struct nfgenmsg *body = mnl_nlmsg_put_extra_header(m, sizeof *body);
    body->nfgen_family = AF_UNSPEC;
    body->version = NFNETLINK_V0;
    body->res_id = htons(NFQUEUE_NUMBER);
    return m;
}

static int queue_talk(struct mnl_socket *s, char *buf, size_t size) {
    if (mnl_socket_sendto(s, buf, ((struct nlmsghdr *)(void *)buf)->nlmsg_len) < 0)
        return errno;
    ssize_t n = mnl_socket_recvfrom(s, buf, size);
    return n < 0 || mnl_cb_run(buf, (size_t)n, 0, 0, NULL, NULL) < 0 ? errno : 0;
}

static int queue_bind(struct mnl_socket *s) {
    _Alignas(8) char buf[4096];
    struct nfqnl_msg_config_cmd bind = {.command = NFQNL_CFG_CMD_BIND};
    struct nlmsghdr *m = queue_message(buf);
    mnl_attr_put(m, NFQA_CFG_CMD, sizeof bind, &bind);
    int e = queue_talk(s, buf, sizeof buf);
    if (e)
        return e;
    struct nfqnl_msg_config_params params = {.copy_range = htonl(0xffff), .copy_mode = NFQNL_COPY_PACKET};
    m = queue_message(buf);
    mnl_attr_put(m, NFQA_CFG_PARAMS, sizeof params, &params);
    return queue_talk(s, buf, sizeof buf);
}

struct err *nfqueue_open(int *ret) {
    struct mnl_socket *s;
    TRY(netlink_open(NETLINK_NETFILTER, &s));
    int e = queue_bind(s);
    struct err *failed = e ? err_sys(e, "bind packet queue %d", NFQUEUE_NUMBER) : fd_dup(mnl_socket_get_fd(s), ret);
    mnl_socket_close(s);
    return failed;
}
