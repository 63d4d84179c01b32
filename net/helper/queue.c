/*
 * queue: messages of an NFQUEUE socket (linux/netfilter/nfnetlink_queue.h), read with care, for the packets in them are
 * a container's. Each is a header, nfgenmsg, and attributes, of which two matter: the number of the packet, and its
 * first bytes.
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/json.h"
#include "net/helper/helper_int.h"

enum { EXTENSIONS_MAX = 8, ATTR_HEADER = sizeof(struct nlattr) };

static uint16_t be16_at(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

/* ---- packets ---- */

/* `at` is where TCP's header begins. */
static bool tcp_parse(const uint8_t *packet, size_t n, size_t at, struct tuple *ret) {
    if (n < at || n - at < sizeof(struct tcphdr))
        return false;
    const uint8_t *tcp = packet + at;
    ret->sport = be16_at(tcp);
    ret->dport = be16_at(tcp + 2);
    return (tcp[13] & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) == TH_SYN;
}

static bool syn4_parse(const uint8_t *packet, size_t n, struct tuple *ret) {
    size_t header = (size_t)(packet[0] & 15) * 4;
    if (n < sizeof(struct ip) || header < sizeof(struct ip) || packet[9] != IPPROTO_TCP)
        return false;
    if (be16_at(packet + 6) & (IP_MF | IP_OFFMASK))
        return false;
    ret->src = ret->dst = (struct net_addr){.family = AF_INET, .prefix = 32};
    memcpy(ret->src.b, packet + 12, 4);
    memcpy(ret->dst.b, packet + 16, 4);
    return tcp_parse(packet, n, header, ret);
}

static bool syn6_parse(const uint8_t *packet, size_t n, struct tuple *ret) {
    size_t at = sizeof(struct ip6_hdr);
    if (n < at)
        return false;
    ret->src = ret->dst = (struct net_addr){.family = AF_INET6, .prefix = 128};
    memcpy(ret->src.b, packet + 8, 16);
    memcpy(ret->dst.b, packet + 24, 16);
    uint8_t next = packet[6];
    for (int i = 0; next != IPPROTO_TCP; i++) {
        if ((next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS) || i == EXTENSIONS_MAX || n < at + 8)
            return false;
        next = packet[at];
        at += (packet[at + 1] + (size_t)1) * 8;
    }
    return tcp_parse(packet, n, at, ret);
}

bool syn_parse(const uint8_t *packet, size_t n, struct tuple *ret) {
    struct tuple t = {0};
    if (!n || !(packet[0] >> 4 == 4 ? syn4_parse(packet, n, &t) : packet[0] >> 4 == 6 && syn6_parse(packet, n, &t)))
        return false;
    *ret = t;
    return true;
}

/* ---- messages ---- */

bool queue_parse(const uint8_t *message, size_t n, struct held *ret) {
    struct nlmsghdr h;
    struct held held = {0};
    bool numbered = false;
    if (n < NLMSG_HDRLEN + sizeof(struct nfgenmsg))
        return false;
    memcpy(&h, message, sizeof h);
    if (h.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) || h.nlmsg_len > n)
        return false;
    for (size_t at = NLMSG_HDRLEN + sizeof(struct nfgenmsg); at + ATTR_HEADER <= h.nlmsg_len;) {
        struct nlattr a;
        memcpy(&a, message + at, sizeof a);
        if (a.nla_len < ATTR_HEADER || a.nla_len > h.nlmsg_len - at)
            return false;
        const uint8_t *data = message + at + ATTR_HEADER;
        size_t len = a.nla_len - ATTR_HEADER;
        int type = a.nla_type & NLA_TYPE_MASK;
        if (type == NFQA_PACKET_HDR && len >= sizeof(struct nfqnl_msg_packet_hdr)) {
            memcpy(&held.id, data, sizeof held.id);
            held.id = ntohl(held.id);
            numbered = true;
        } else if (type == NFQA_PAYLOAD) {
            held.is_syn = syn_parse(data, len, &held.tuple);
        }
        at += (a.nla_len + (size_t)3) & ~(size_t)3;
    }
    if (numbered)
        *ret = held;
    return numbered;
}

/* ---- verdicts ---- */

struct verdict {
    struct nlmsghdr h;
    struct nfgenmsg g;
    struct nlattr verdict_attr;
    struct nfqnl_msg_verdict_hdr verdict;
    struct nlattr mark_attr;
    uint32_t mark;
};

static void send_verdict(int nfqueue, uint32_t id, int64_t mark) {
    bool drop = mark == VERDICT_DROP;
    struct verdict v = {
        .h = {.nlmsg_len = drop ? offsetof(struct verdict, mark_attr) : sizeof v,
              .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
              .nlmsg_flags = NLM_F_REQUEST},
        .g = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFQUEUE_NUMBER)},
        .verdict_attr = {.nla_len = ATTR_HEADER + sizeof v.verdict, .nla_type = NFQA_VERDICT_HDR},
        .verdict = {.verdict = htonl(drop ? NF_DROP : NF_ACCEPT), .id = htonl(id)},
        .mark_attr = {.nla_len = ATTR_HEADER + sizeof v.mark, .nla_type = NFQA_MARK},
        .mark = htonl((uint32_t)(drop ? 0 : mark)),
    };
    /* A packet that is gone already (its device, its namespace) needs no verdict. */
    send(nfqueue, &v, v.h.nlmsg_len, MSG_DONTWAIT);
}

void queue_verdicts(int nfqueue, const struct json *verdicts) {
    JSON_EACH(it, verdicts) {
        int64_t id = json_int_value(json_first(it), -1);
        int64_t mark = json_int_value(json_next(json_first(it)), VERDICT_DROP);
        if (id >= 0 && id <= UINT32_MAX && mark >= VERDICT_DROP && mark <= MARK_NET_UNREACHABLE)
            send_verdict(nfqueue, (uint32_t)id, mark);
    }
}
