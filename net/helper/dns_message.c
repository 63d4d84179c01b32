/* dns_message: DNS on the wire (RFC 1035, RFC 3596, RFC 6891). Bytes in, bytes out; whatever comes is a stranger's. */
#include <arpa/inet.h>
#include <string.h>

#include "net/helper/dns_int.h"

enum { QR = 0x8000, TC = 0x0200, RD = 0x0100, RA = 0x0080, OPCODE = 0x7800, RCODE = 0x000f };
enum { LABEL_MAX = 63, NAME_MAX_WIRE = 255, POINTER = 0xc0, OPT_LEN = 11, QUESTION_AT = DNS_HEADER };

/* ---- reading ---- */

struct cursor {
    const uint8_t *m;
    size_t at, n;
};

static bool skip(struct cursor *c, size_t n) {
    if (c->n - c->at < n)
        return false;
    c->at += n;
    return true;
}

static uint8_t lower(uint8_t b) { return b >= 'A' && b <= 'Z' ? (uint8_t)(b | 0x20) : b; }

/* Adds a label and a dot; false when no text can say it, for it holds a dot or a NUL itself. */
static bool label_text(const uint8_t *label, size_t n, char *text) {
    bool plain = true;
    for (size_t i = 0; i < n; i++) {
        plain &= label[i] != '.' && label[i] != '\0';
        text[i] = (char)lower(label[i]);
    }
    text[n] = '.';
    return plain;
}

/* The name of a question. Nothing stands before it that a compression pointer could point to, so there can be none. */
static bool question_name(struct cursor *c, char text[DNS_NAME_TEXT]) {
    size_t len = 0; /* of the text, which is as long as the labels on the wire */
    bool plain = true;
    for (;;) {
        if (c->at >= c->n)
            return false;
        size_t n = c->m[c->at++];
        if (n == 0)
            break;
        const uint8_t *label = c->m + c->at;
        if (n > LABEL_MAX || len + 1 + n + 1 > NAME_MAX_WIRE || !skip(c, n))
            return false;
        plain &= label_text(label, n, text + len);
        len += n + 1;
    }
    text[plain && len ? len - 1 : 0] = '\0';
    return true;
}

static bool skip_name(struct cursor *c) {
    for (;;) {
        if (c->at >= c->n)
            return false;
        uint8_t n = c->m[c->at++];
        if (n == 0)
            return true;
        if ((n & POINTER) == POINTER)
            return skip(c, 1);
        if (n > LABEL_MAX || !skip(c, n))
            return false;
    }
}

/* One record after the question: only OPT means something in a query, and it may be there once. */
static bool read_record(struct cursor *c, struct dns_question *q) {
    size_t start = c->at;
    if (!skip_name(c) || c->n - c->at < 10)
        return false;
    const uint8_t *r = c->m + c->at;
    if (!skip(c, 10U + dns_get16(r + 8)))
        return false;
    if (dns_get16(r) != DNS_TYPE_OPT)
        return true;
    if (q->edns || c->m[start] != 0)
        return false;
    q->edns = true;
    size_t size = dns_get16(r + 2);
    q->udp_size = size < DNS_UDP_PLAIN ? DNS_UDP_PLAIN : size > DNS_UDP_PAYLOAD ? DNS_UDP_PAYLOAD : size;
    if (r[5] != 0) /* a version of EDNS that is not the one there is */
        q->rcode = DNS_BADVERS;
    return true;
}

static bool read_body(struct cursor *c, struct dns_question *q) {
    if (dns_get16(c->m + 4) != 1 || !question_name(c, q->name) || c->n - c->at < 4)
        return false;
    q->type = dns_get16(c->m + c->at);
    q->class = dns_get16(c->m + c->at + 2);
    c->at += 4;
    q->end = c->at;
    size_t records = (size_t)dns_get16(c->m + 6) + dns_get16(c->m + 8) + dns_get16(c->m + 10);
    for (size_t i = 0; i < records; i++)
        if (!read_record(c, q))
            return false;
    return c->at == c->n;
}

bool dns_question_read(const uint8_t *m, size_t n, struct dns_question *ret) {
    *ret = (struct dns_question){.end = QUESTION_AT, .udp_size = DNS_UDP_PLAIN};
    if (n < DNS_HEADER || dns_get16(m + 2) & QR)
        return false;
    if (dns_get16(m + 2) & OPCODE) {
        ret->rcode = DNS_NOTIMP;
        return true;
    }
    struct cursor c = {m, QUESTION_AT, n};
    if (!read_body(&c, ret)) {
        ret->rcode = DNS_FORMERR;
        ret->name[0] = '\0';
    } else if (ret->type == DNS_TYPE_AXFR || ret->type == DNS_TYPE_IXFR) {
        ret->rcode = DNS_REFUSED;
    }
    return true;
}

/* ---- writing ---- */

struct out {
    uint8_t *m;
    size_t n, room;
    bool full;
};

static uint8_t *reserve(struct out *o, size_t n) {
    if (o->full || o->room - o->n < n) {
        o->full = true;
        return NULL;
    }
    uint8_t *p = o->m + o->n;
    o->n += n;
    return p;
}

/* A record about the name that was asked for. */
static bool put_record(struct out *o, enum dns_type type, const void *data, size_t n) {
    uint8_t *p = reserve(o, 12 + n);
    if (!p)
        return false;
    dns_put16(p, POINTER << 8 | QUESTION_AT);
    dns_put16(p + 2, type);
    dns_put16(p + 4, DNS_CLASS_IN);
    dns_put16(p + 6, 0);
    dns_put16(p + 8, DNS_TTL);
    dns_put16(p + 10, (unsigned)n);
    memcpy(p + 12, data, n);
    return true;
}

/* A dotted name as labels; 0 for one that cannot be a name. */
static size_t name_wire(const char *text, uint8_t wire[NAME_MAX_WIRE]) {
    size_t at = 0;
    for (const char *label = text; *label;) {
        size_t n = strcspn(label, ".");
        if (n == 0 || n > LABEL_MAX || at + 1 + n + 1 > NAME_MAX_WIRE)
            return 0;
        wire[at++] = (uint8_t)n;
        memcpy(wire + at, label, n);
        at += n;
        label += n + (label[n] == '.');
    }
    wire[at++] = 0;
    return at;
}

static unsigned put_records(struct out *o, const struct dns_answer *a) {
    unsigned count = 0;
    for (size_t i = 0; i < a->n; i++) {
        const struct net_addr *addr = a->addrs[(a->first + i) % a->n];
        bool v4 = addr->family == AF_INET;
        count += put_record(o, v4 ? DNS_TYPE_A : DNS_TYPE_AAAA, addr->b, v4 ? 4 : 16);
    }
    uint8_t wire[NAME_MAX_WIRE];
    size_t n = a->ptr ? name_wire(a->ptr, wire) : 0;
    if (n)
        count += put_record(o, DNS_TYPE_PTR, wire, n);
    return count;
}

/* Our own OPT record; the upper bits of the code have their place there. */
static void put_opt(uint8_t *p, unsigned rcode) {
    memset(p, 0, OPT_LEN);
    dns_put16(p + 1, DNS_TYPE_OPT);
    dns_put16(p + 3, DNS_UDP_PAYLOAD);
    p[5] = (uint8_t)(rcode >> 4);
}

size_t dns_answer_write(const uint8_t *query, const struct dns_question *q, const struct dns_answer *a, uint8_t *out,
                        size_t room) {
    size_t opt = q->edns ? OPT_LEN : 0;
    struct out o = {.m = out, .n = q->end, .room = room - opt};
    memcpy(out, query, q->end);
    unsigned answers = put_records(&o, a);
    unsigned flags = QR | (dns_get16(query + 2) & (OPCODE | RD)) | RA | (a->rcode & RCODE) | (o.full ? TC : 0U);
    dns_put16(out + 2, flags);
    dns_put16(out + 4, q->end > QUESTION_AT);
    dns_put16(out + 6, answers);
    dns_put16(out + 8, 0);
    dns_put16(out + 10, q->edns);
    if (q->edns)
        put_opt(out + o.n, a->rcode);
    return o.n + opt;
}

/* ---- replies of servers ---- */

enum dns_reply dns_reply_check(const uint8_t *query, size_t end, const uint8_t *reply, size_t n) {
    if (n < DNS_HEADER || dns_get16(reply) != dns_get16(query))
        return DNS_REPLY_FOREIGN;
    unsigned flags = dns_get16(reply + 2), rcode = flags & RCODE;
    if (!(flags & QR) || flags & OPCODE)
        return DNS_REPLY_FOREIGN;
    if (dns_get16(reply + 4) == 0 && rcode != DNS_NOERROR) /* an old server that did not understand the query */
        return DNS_REPLY_FAILED;
    if (n < end || dns_get16(reply + 4) != 1 || memcmp(query + end - 4, reply + end - 4, 4) != 0)
        return DNS_REPLY_FOREIGN;
    for (size_t i = QUESTION_AT; i < end - 4; i++) /* lengths of labels are below 'A', so this is exact for them */
        if (lower(query[i]) != lower(reply[i]))
            return DNS_REPLY_FOREIGN;
    return rcode == DNS_SERVFAIL || rcode == DNS_REFUSED ? DNS_REPLY_FAILED : DNS_REPLY_GOOD;
}

size_t dns_reply_fit(uint8_t *reply, size_t n, size_t end, size_t room) {
    if (n <= room)
        return n;
    bool question = dns_get16(reply + 4) == 1;
    dns_put16(reply + 2, dns_get16(reply + 2) | TC);
    memset(reply + 6, 0, 6);
    return question ? end : DNS_HEADER;
}

/* ---- names of addresses ---- */

static const char in4[] = ".in-addr.arpa", in6[] = ".ip6.arpa";

bool dns_reverse_name(const char *name) { return str_ends(name, in4) || str_ends(name, in6); }

static bool reverse4(const char *name, struct net_addr *ret) {
    struct net_addr a = {.family = AF_INET, .prefix = 32};
    const char *at = name;
    for (size_t i = 4; i-- > 0;) {
        unsigned v = 0;
        size_t n = strspn(at, "0123456789");
        if (n == 0 || n > 3)
            return false;
        for (size_t k = 0; k < n; k++)
            v = v * 10 + (unsigned)(at[k] - '0');
        if (v > 255 || (n > 1 && *at == '0') || at[n] != '.')
            return false;
        a.b[i] = (uint8_t)v;
        at += n + 1;
    }
    if (strcmp(at - 1, in4) != 0)
        return false;
    *ret = a;
    return true;
}

static bool reverse6(const char *name, struct net_addr *ret) {
    static const char digits[] = "0123456789abcdef";
    struct net_addr a = {.family = AF_INET6, .prefix = 128};
    if (strlen(name) != 64 - 1 + sizeof in6 - 1)
        return false;
    for (size_t i = 0; i < 32; i++) { /* the last digit of the address comes first */
        const char *d = strchr(digits, name[2 * i]);
        if (!d || !*d || name[2 * i + 1] != '.')
            return false;
        size_t at = 15 - i / 2;
        a.b[at] = (uint8_t)(a.b[at] | (unsigned)(d - digits) << (i % 2 * 4));
    }
    if (strcmp(name + 63, in6) != 0)
        return false;
    *ret = a;
    return true;
}

bool dns_reverse_read(const char *name, struct net_addr *ret) { return reverse4(name, ret) || reverse6(name, ret); }
