/*
 * A query of a stranger, and a server's reply to it: the first two bytes say how long the query is, the rest is the
 * reply. What is answered fits, echoes the question and is a reply to it by our own measure; a name is whole text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/helper/dns_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char networks[] = "{\"network\":\"n\",\"name\":\"back\",\"host\":\"192.0.2.7\",\"names\":["
                               "{\"ip\":\"10.89.7.2\",\"ip6\":\"fd00::2\",\"names\":[\"web\",\"store\",\"a.b\"]},"
                               "{\"ip\":\"10.89.7.3\",\"ip6\":\"\",\"names\":[\"db\",\"store\"]}]}";

static struct dns_names *table(void) {
    static struct dns_names t;
    if (!t.networks) {
        struct json *j = NULL;
        if (json_parse(networks, strlen(networks), "networks", 0, &j))
            abort();
        dns_names_network(&t, j);
        json_free(j);
    }
    return &t;
}

static void check_answer(const uint8_t *query, const struct dns_question *q, const struct dns_answer *a, size_t room) {
    autofree uint8_t *out = mem_alloc(room);
    size_t n = dns_answer_write(query, q, a, out, room);
    if (n > room || n < DNS_HEADER || (out[2] & 0x80) == 0 || memcmp(out, query, 2) != 0)
        abort();
    bool question = q->end > DNS_HEADER;
    if (question && q->rcode != DNS_NOTIMP && dns_reply_check(query, q->end, out, n) == DNS_REPLY_FOREIGN)
        abort();
    size_t records = question && !q->edns ? dns_get16(out + 6) : 0;
    if (q->end + records * 16 > n && a->ptr == NULL) /* no record is shorter than an A record */
        abort();
}

static void check_query(const uint8_t *query, size_t n) {
    static struct dns_answer a;
    struct dns_question q;
    if (!dns_question_read(query, n, &q))
        return;
    if (q.end > n || strlen(q.name) > 253 || q.udp_size < DNS_UDP_PLAIN || q.udp_size > DNS_UDP_PAYLOAD)
        abort();
    memset(&a, 0, sizeof a);
    a.rcode = q.rcode;
    a.first = n;
    if (a.rcode == DNS_NOERROR && !dns_names_find(table(), "net:n", &q, &a))
        a.rcode = DNS_NXDOMAIN;
    check_answer(query, &q, &a, DNS_UDP_PLAIN);
    for (size_t i = a.n; i && i < 300; i++)
        a.addrs[a.n++] = a.addrs[0];
    check_answer(query, &q, &a, DNS_UDP_PLAIN);
    check_answer(query, &q, &a, DNS_UDP_PAYLOAD);
}

static void check_reply(const uint8_t *query, size_t n, const uint8_t *reply, size_t n_reply) {
    struct dns_question q;
    if (!dns_question_read(query, n, &q) || q.rcode != DNS_NOERROR)
        return;
    autofree uint8_t *copy = mem_alloc(n_reply);
    memcpy(copy, reply, n_reply);
    if (n_reply > 1) /* the id is not what is to be guessed here */
        memcpy(copy, query, 2);
    if (dns_reply_check(query, q.end, copy, n_reply) == DNS_REPLY_FOREIGN)
        return;
    size_t fit = dns_reply_fit(copy, n_reply, q.end, DNS_UDP_PLAIN);
    if (fit > n_reply || fit > DNS_UDP_PLAIN || dns_reply_check(query, q.end, copy, fit) == DNS_REPLY_FOREIGN)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t n = dns_get16(data), rest = size - 2;
    if (n > rest)
        n = rest;
    autofree uint8_t *query = mem_alloc(n); /* exact, so that ASan sees its end */
    memcpy(query, data + 2, n);
    check_query(query, n);
    check_reply(query, n, data + 2 + n, rest - n);
    return 0;
}
