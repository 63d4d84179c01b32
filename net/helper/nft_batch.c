/*
 * nft_batch: one nftables transaction as netlink messages (nft_int.h). What the attributes mean stands in
 * linux/netfilter/nf_tables.h; numbers are big-endian there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <string.h>

#include "base/err.h"
#include "net/helper/helper_int.h"
#include "net/helper/nft_int.h"

/* ---- messages ---- */

static struct nlmsghdr *message(struct nft_batch *b, uint16_t type, uint16_t flags, uint8_t family) {
    struct nlmsghdr *m = mnl_nlmsg_put_header(b->bytes + b->len);
    m->nlmsg_type = type;
    m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    m->nlmsg_seq = ++b->seq;
    struct nfgenmsg *body = mnl_nlmsg_put_extra_header(m, sizeof *body);
    body->nfgen_family = family;
    body->version = NFNETLINK_V0;
    body->res_id = type <= NFNL_MSG_BATCH_END ? htons(NFNL_SUBSYS_NFTABLES) : 0;
    b->message = m;
    return m;
}

static void message_end(struct nft_batch *b) { b->len += b->message->nlmsg_len; }

static struct nlmsghdr *table_message(struct nft_batch *b, int type, uint16_t flags, uint16_t name_attr) {
    struct nlmsghdr *m = message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET);
    mnl_attr_put_strz(m, name_attr, NFT_TABLE);
    return m;
}

static void put_be32(struct nlmsghdr *m, int type, uint32_t v) { mnl_attr_put_u32(m, (uint16_t)type, htonl(v)); }

void nft_batch_begin(struct nft_batch *b) {
    b->len = 0;
    b->first = b->seq;
    (void)message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC);
    message_end(b);
}

void nft_table(struct nft_batch *b, bool add) {
    (void)table_message(b, add ? NFT_MSG_NEWTABLE : NFT_MSG_DELTABLE, add ? NLM_F_CREATE : 0, NFTA_TABLE_NAME);
    message_end(b);
}

void nft_chain(struct nft_batch *b, const struct nft_chain *c) {
    struct nlmsghdr *m = table_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, NFTA_CHAIN_TABLE);
    mnl_attr_put_strz(m, NFTA_CHAIN_NAME, c->name);
    mnl_attr_put_strz(m, NFTA_CHAIN_TYPE, c->type);
    struct nlattr *hook = mnl_attr_nest_start(m, NFTA_CHAIN_HOOK);
    put_be32(m, NFTA_HOOK_HOOKNUM, c->hook);
    put_be32(m, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
    mnl_attr_nest_end(m, hook);
    message_end(b);
}

void nft_set_of_names(struct nft_batch *b, const char *name) {
    struct nlmsghdr *m = table_message(b, NFT_MSG_NEWSET, NLM_F_CREATE, NFTA_SET_TABLE);
    mnl_attr_put_strz(m, NFTA_SET_NAME, name);
    put_be32(m, NFTA_SET_KEY_TYPE, 41); /* nft's own number for "ifname", for who lists it */
    put_be32(m, NFTA_SET_KEY_LEN, IFNAMSIZ);
    put_be32(m, NFTA_SET_ID, 1);
    message_end(b);
}

void nft_element(struct nft_batch *b, bool add, const char *set, const char *name) {
    char key[IFNAMSIZ] = "";
    memcpy(key, name, strnlen(name, sizeof key - 1));
    struct nlmsghdr *m = table_message(b, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0,
                                       NFTA_SET_ELEM_LIST_TABLE);
    mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, set);
    struct nlattr *list = mnl_attr_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *one = mnl_attr_nest_start(m, NFTA_LIST_ELEM);
    struct nlattr *value = mnl_attr_nest_start(m, NFTA_SET_ELEM_KEY);
    mnl_attr_put(m, NFTA_DATA_VALUE, sizeof key, key);
    mnl_attr_nest_end(m, value);
    mnl_attr_nest_end(m, one);
    mnl_attr_nest_end(m, list);
    message_end(b);
}

/* ---- rules: a list of expressions over register 1 ---- */

void nft_rule(struct nft_batch *b, const char *chain) {
    struct nlmsghdr *m = table_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFTA_RULE_TABLE);
    mnl_attr_put_strz(m, NFTA_RULE_CHAIN, chain);
    b->expressions = mnl_attr_nest_start(m, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft_batch *b) {
    mnl_attr_nest_end(b->message, b->expressions);
    message_end(b);
}

static struct nlmsghdr *expression(struct nft_batch *b, const char *name) {
    b->element = mnl_attr_nest_start(b->message, NFTA_LIST_ELEM);
    mnl_attr_put_strz(b->message, NFTA_EXPR_NAME, name);
    b->data = mnl_attr_nest_start(b->message, NFTA_EXPR_DATA);
    return b->message;
}

static void expression_end(struct nft_batch *b) {
    mnl_attr_nest_end(b->message, b->data);
    mnl_attr_nest_end(b->message, b->element);
}

static void put_data(struct nlmsghdr *m, uint16_t type, const void *data, size_t n) {
    struct nlattr *nest = mnl_attr_nest_start(m, type);
    mnl_attr_put(m, NFTA_DATA_VALUE, n, data);
    mnl_attr_nest_end(m, nest);
}

void nft_meta(struct nft_batch *b, enum nft_meta_keys key) {
    struct nlmsghdr *m = expression(b, "meta");
    put_be32(m, NFTA_META_KEY, key);
    put_be32(m, NFTA_META_DREG, NFT_REG_1);
    expression_end(b);
}

void nft_cmp(struct nft_batch *b, enum nft_cmp_ops op, const void *data, size_t n) {
    struct nlmsghdr *m = expression(b, "cmp");
    put_be32(m, NFTA_CMP_SREG, NFT_REG_1);
    put_be32(m, NFTA_CMP_OP, op);
    put_data(m, NFTA_CMP_DATA, data, n);
    expression_end(b);
}

void nft_ct_state(struct nft_batch *b) {
    struct nlmsghdr *m = expression(b, "ct");
    put_be32(m, NFTA_CT_KEY, NFT_CT_STATE);
    put_be32(m, NFTA_CT_DREG, NFT_REG_1);
    expression_end(b);
}

static void payload(struct nft_batch *b, enum nft_payload_bases base, unsigned offset, unsigned n) {
    struct nlmsghdr *m = expression(b, "payload");
    put_be32(m, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_be32(m, NFTA_PAYLOAD_BASE, base);
    put_be32(m, NFTA_PAYLOAD_OFFSET, offset);
    put_be32(m, NFTA_PAYLOAD_LEN, n);
    expression_end(b);
}

void nft_transport(struct nft_batch *b, unsigned offset, unsigned n) {
    payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, offset, n);
}

void nft_network(struct nft_batch *b, unsigned offset, unsigned n) {
    payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, n);
}

void nft_and(struct nft_batch *b, const void *mask, size_t n) {
    static const uint8_t zero[4];
    struct nlmsghdr *m = expression(b, "bitwise");
    put_be32(m, NFTA_BITWISE_SREG, NFT_REG_1);
    put_be32(m, NFTA_BITWISE_DREG, NFT_REG_1);
    put_be32(m, NFTA_BITWISE_LEN, (uint32_t)n);
    put_data(m, NFTA_BITWISE_MASK, mask, n);
    put_data(m, NFTA_BITWISE_XOR, zero, n);
    expression_end(b);
}

void nft_fib(struct nft_batch *b, enum nft_fib_result result, unsigned flags) {
    struct nlmsghdr *m = expression(b, "fib");
    put_be32(m, NFTA_FIB_DREG, NFT_REG_1);
    put_be32(m, NFTA_FIB_RESULT, result);
    put_be32(m, NFTA_FIB_FLAGS, flags);
    expression_end(b);
}

void nft_lookup(struct nft_batch *b, const char *set, bool inverted) {
    struct nlmsghdr *m = expression(b, "lookup");
    mnl_attr_put_strz(m, NFTA_LOOKUP_SET, set);
    put_be32(m, NFTA_LOOKUP_SREG, NFT_REG_1);
    put_be32(m, NFTA_LOOKUP_SET_ID, 1);
    if (inverted)
        put_be32(m, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    expression_end(b);
}

void nft_verdict(struct nft_batch *b, int verdict) {
    struct nlmsghdr *m = expression(b, "immediate");
    put_be32(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(m, NFTA_IMMEDIATE_DATA);
    struct nlattr *v = mnl_attr_nest_start(m, NFTA_DATA_VERDICT);
    put_be32(m, NFTA_VERDICT_CODE, (uint32_t)verdict);
    mnl_attr_nest_end(m, v);
    mnl_attr_nest_end(m, data);
    expression_end(b);
}

void nft_reject(struct nft_batch *b, enum nft_reject_types type, enum nft_reject_inet_code code) {
    struct nlmsghdr *m = expression(b, "reject");
    put_be32(m, NFTA_REJECT_TYPE, type);
    mnl_attr_put_u8(m, NFTA_REJECT_ICMP_CODE, (uint8_t)code);
    expression_end(b);
}

static void load_port(struct nft_batch *b, uint16_t port) {
    uint16_t wire = htons(port);
    struct nlmsghdr *m = expression(b, "immediate");
    put_be32(m, NFTA_IMMEDIATE_DREG, NFT_REG_1);
    put_data(m, NFTA_IMMEDIATE_DATA, &wire, sizeof wire);
    expression_end(b);
}

void nft_set_port(struct nft_batch *b, unsigned offset, unsigned checksum, uint16_t port) {
    load_port(b, port);
    struct nlmsghdr *m = expression(b, "payload");
    put_be32(m, NFTA_PAYLOAD_SREG, NFT_REG_1);
    put_be32(m, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    put_be32(m, NFTA_PAYLOAD_OFFSET, offset);
    put_be32(m, NFTA_PAYLOAD_LEN, sizeof port);
    put_be32(m, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
    put_be32(m, NFTA_PAYLOAD_CSUM_OFFSET, checksum);
    expression_end(b);
}

void nft_redirect(struct nft_batch *b, uint16_t port) {
    load_port(b, port);
    struct nlmsghdr *m = expression(b, "redir");
    put_be32(m, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
    expression_end(b);
}

void nft_masquerade(struct nft_batch *b) {
    (void)expression(b, "masq");
    expression_end(b);
}

void nft_queue(struct nft_batch *b, uint16_t number) {
    struct nlmsghdr *m = expression(b, "queue");
    mnl_attr_put_u16(m, NFTA_QUEUE_NUM, htons(number));
    mnl_attr_put_u16(m, NFTA_QUEUE_TOTAL, htons(1));
    mnl_attr_put_u16(m, NFTA_QUEUE_FLAGS, htons(NFT_QUEUE_FLAG_BYPASS));
    expression_end(b);
}

void nft_target(struct nft_batch *b, const char *name, unsigned revision, const void *info, size_t n) {
    struct nlmsghdr *m = expression(b, "target");
    mnl_attr_put_strz(m, NFTA_TARGET_NAME, name);
    put_be32(m, NFTA_TARGET_REV, revision);
    mnl_attr_put(m, NFTA_TARGET_INFO, n, info);
    expression_end(b);
}

/* ---- a question ---- */

bool nft_has_chain(struct nft_batch *b, struct mnl_socket *s, const char *name) {
    b->len = 0;
    struct nlmsghdr *m = table_message(b, NFT_MSG_GETCHAIN, 0, NFTA_CHAIN_TABLE);
    mnl_attr_put_strz(m, NFTA_CHAIN_NAME, name);
    if (mnl_socket_sendto(s, b->bytes, m->nlmsg_len) < 0)
        return false;
    ssize_t n = mnl_socket_recvfrom(s, b->bytes, sizeof b->bytes);
    m = (struct nlmsghdr *)(void *)b->bytes;
    return n > 0 && mnl_nlmsg_ok(m, (int)n) && m->nlmsg_type != NLMSG_ERROR;
}

/* ---- the transaction ---- */

/* The kernel says what failed first, in the order of the messages; the one before the end asks for an answer anyway.
 * More answers of a failed transaction may stay behind: of another sequence, for later transactions to skip. */
static int first_answer(struct mnl_socket *s, char *buf, size_t size, const struct nft_batch *b) {
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s, buf, size);
        const struct nlmsghdr *m = (const void *)buf;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (mnl_nlmsg_ok(m, (int)n) && m->nlmsg_type == NLMSG_ERROR && m->nlmsg_seq > b->first &&
            m->nlmsg_seq <= b->seq)
            return -((const struct nlmsgerr *)mnl_nlmsg_get_payload(m))->error;
    }
}

int nft_batch_send(struct nft_batch *b, struct mnl_socket *s) {
    b->message->nlmsg_flags |= NLM_F_ACK;
    (void)message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC);
    message_end(b);
    return mnl_socket_sendto(s, b->bytes, b->len) < 0 ? errno : first_answer(s, b->bytes, sizeof b->bytes, b);
}
