/* DNS on the wire: queries as dig, glibc and musl send them, broken ones, answers byte by byte, replies of servers. */
#include <arpa/inet.h>

#include "net/helper/dns_int.h"
#include "unit.h"

/* "web", A, recursion desired, as musl sends it */
static const uint8_t web_a[] = {0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'w', 'e', 'b', 0, 0, 1, 0, 1};
/* "WeB.Back", AAAA, with an OPT record of 1232 bytes and a cookie, as dig sends it */
static const uint8_t web_aaaa[] = {0xab, 0xcd, 0x01, 0x20, 0,  1, 0,  0, 0, 0, 0, 1,  3,    'W',  'e', 'B', 4,
                                   'B',  'a',  'c',  'k',  0,  0, 28, 0, 1, 0, 0, 41, 0x04, 0xd0, 0,   0,   0x80,
                                   0,    0,    12,   0,    10, 0, 8,  1, 2, 3, 4, 5,  6,    7,    8};

static struct dns_question read_ok(const uint8_t *m, size_t n, enum dns_rcode want) {
    struct dns_question q;
    CHECK(dns_question_read(m, n, &q));
    CHECK_INT(q.rcode, want);
    return q;
}

static void test_question(void) {
    struct dns_question q = read_ok(web_a, sizeof web_a, DNS_NOERROR);
    CHECK_STR(q.name, "web");
    CHECK_INT(q.type, DNS_TYPE_A);
    CHECK_INT(q.class, DNS_CLASS_IN);
    CHECK_INT(q.end, sizeof web_a);
    CHECK_INT(q.udp_size, DNS_UDP_PLAIN);
    CHECK(!q.edns);
    q = read_ok(web_aaaa, sizeof web_aaaa, DNS_NOERROR);
    CHECK_STR(q.name, "web.back");
    CHECK_INT(q.type, DNS_TYPE_AAAA);
    CHECK_INT(q.udp_size, 1232);
    CHECK(q.edns);
}

static void test_edns_sizes(void) {
    uint8_t m[sizeof web_aaaa];
    memcpy(m, web_aaaa, sizeof m);
    dns_put16(m + 29, 100);
    CHECK_INT(read_ok(m, sizeof m, DNS_NOERROR).udp_size, DNS_UDP_PLAIN);
    dns_put16(m + 29, 65000);
    CHECK_INT(read_ok(m, sizeof m, DNS_NOERROR).udp_size, DNS_UDP_PAYLOAD);
    m[32] = 1;
    CHECK_INT(read_ok(m, sizeof m, DNS_BADVERS).end, 26);
}

/* Every prefix of a good query is a malformed one, and none is read beyond its end (the copies are exact for ASan). */
static void test_prefixes(void) {
    for (size_t n = 0; n < sizeof web_aaaa; n++) {
        uint8_t *m = malloc(n ? n : 1);
        struct dns_question q;
        memcpy(m, web_aaaa, n);
        CHECK_INT(dns_question_read(m, n, &q), n >= DNS_HEADER);
        if (n >= DNS_HEADER)
            CHECK_INT(q.rcode, DNS_FORMERR);
        free(m);
    }
}

static void test_malformed(void) {
    uint8_t m[600] = {0};
    struct dns_question q;
    memcpy(m, web_a, sizeof web_a);
    m[2] = 0x81; /* a response: never answered, or two servers would talk for ever */
    CHECK(!dns_question_read(m, sizeof web_a, &q));
    m[2] = 0x29; /* UPDATE */
    CHECK_INT(read_ok(m, sizeof web_a, DNS_NOTIMP).end, DNS_HEADER);
    m[2] = 0x01;
    m[5] = 2;
    (void)read_ok(m, sizeof web_a, DNS_FORMERR);
    m[5] = 0;
    (void)read_ok(m, DNS_HEADER, DNS_FORMERR);
    m[5] = 1;
    (void)read_ok(m, sizeof web_a + 1, DNS_FORMERR); /* something behind it */
    m[12] = 0xc0;                                    /* a pointer at the header, and one at itself */
    m[13] = 0x0c;
    (void)read_ok(m, sizeof web_a, DNS_FORMERR);
    m[12] = 64;
    (void)read_ok(m, sizeof m, DNS_FORMERR);
    memcpy(m, web_a, sizeof web_a);
    m[18] = 252;
    (void)read_ok(m, sizeof web_a, DNS_REFUSED);
}

/* `labels` labels of `n` bytes and then one of `last` */
static size_t long_name(uint8_t *m, size_t labels, size_t n, size_t last) {
    size_t at = DNS_HEADER;
    memcpy(m, web_a, DNS_HEADER);
    for (size_t i = 0; i <= labels; i++) {
        size_t len = i < labels ? n : last;
        m[at++] = (uint8_t)len;
        memset(m + at, 'X', len);
        at += len;
    }
    memcpy(m + at, "\0\0\1\0\1", 5);
    return at + 5;
}

static void test_name_limits(void) {
    uint8_t m[600];
    size_t n = long_name(m, 3, 63, 61); /* 255 bytes with the root */
    CHECK_INT(strlen(read_ok(m, n, DNS_NOERROR).name), 253);
    n = long_name(m, 3, 63, 62);
    (void)read_ok(m, n, DNS_FORMERR);
    n = long_name(m, 126, 1, 1);
    CHECK_INT(strlen(read_ok(m, n, DNS_NOERROR).name), 253);
    n = long_name(m, 127, 1, 1);
    (void)read_ok(m, n, DNS_FORMERR);
}

/* A label with a dot in it must not pass for two labels, nor one with a NUL for a shorter name. */
static void test_names_that_are_no_text(void) {
    uint8_t m[sizeof web_a];
    memcpy(m, web_a, sizeof m);
    m[14] = '.';
    CHECK_STR(read_ok(m, sizeof m, DNS_NOERROR).name, "");
    m[14] = 0;
    CHECK_STR(read_ok(m, sizeof m, DNS_NOERROR).name, "");
}

static void test_answer(void) {
    static const uint8_t want[] = {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0,    0,    3, 'w', 'e', 'b', 0, 0, 1,
                                   0,    1,    0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x02, 0x58, 0, 4,   10,  89,  7, 2};
    struct net_addr addr = {.family = AF_INET, .b = {10, 89, 7, 2}, .prefix = 32};
    struct dns_answer a = {.addrs = {&addr}, .n = 1};
    struct dns_question q = read_ok(web_a, sizeof web_a, DNS_NOERROR);
    uint8_t out[DNS_UDP_PLAIN];
    size_t n = dns_answer_write(web_a, &q, &a, out, sizeof out);
    CHECK_INT(n, sizeof want);
    CHECK(memcmp(out, want, sizeof want) == 0);
}

static void test_answer_edns(void) {
    struct net_addr addr = {.family = AF_INET6, .b = {0xfd, 0, 0, 1}, .prefix = 128};
    struct dns_answer a = {.addrs = {&addr}, .n = 1};
    struct dns_question q = read_ok(web_aaaa, sizeof web_aaaa, DNS_NOERROR);
    uint8_t out[DNS_UDP_PLAIN];
    size_t n = dns_answer_write(web_aaaa, &q, &a, out, sizeof out);
    CHECK_INT(n, 26 + 28 + 11);
    CHECK(memcmp(out + 12, web_aaaa + 12, 14) == 0); /* the client's own spelling */
    CHECK_INT(dns_get16(out + 28), DNS_TYPE_AAAA);
    CHECK_INT(dns_get16(out + 10), 1);
    CHECK_INT(out[n - 11], 0);
    CHECK_INT(dns_get16(out + n - 10), DNS_TYPE_OPT);
    CHECK_INT(dns_get16(out + n - 8), DNS_UDP_PAYLOAD);
    a = (struct dns_answer){.rcode = DNS_BADVERS};
    n = dns_answer_write(web_aaaa, &q, &a, out, sizeof out);
    CHECK_INT(dns_get16(out + 2) & 15, 0);
    CHECK_INT(out[n - 6], 1);
}

static void test_truncation_and_rotation(void) {
    static struct net_addr addrs[100];
    struct dns_answer a = {.n = 100, .first = 98};
    for (unsigned i = 0; i < 100; i++) {
        addrs[i] = (struct net_addr){.family = AF_INET, .b = {10, 0, 0, (uint8_t)i}};
        a.addrs[i] = &addrs[i];
    }
    struct dns_question q = read_ok(web_a, sizeof web_a, DNS_NOERROR);
    uint8_t out[4096];
    size_t n = dns_answer_write(web_a, &q, &a, out, DNS_UDP_PLAIN);
    CHECK(n <= DNS_UDP_PLAIN);
    CHECK_INT(dns_get16(out + 2) & 0x0200, 0x0200);
    CHECK_INT(dns_get16(out + 6), (DNS_UDP_PLAIN - sizeof web_a) / 16);
    n = dns_answer_write(web_a, &q, &a, out, sizeof out);
    CHECK_INT(n, sizeof web_a + 1600);
    CHECK_INT(dns_get16(out + 2) & 0x0200, 0);
    CHECK_INT(out[sizeof web_a + 15], 98);
    CHECK_INT(out[sizeof web_a + 31], 99);
    CHECK_INT(out[sizeof web_a + 47], 0);
}

static void test_ptr(void) {
    struct dns_answer a = {.ptr = "web.back"};
    struct dns_question q = read_ok(web_a, sizeof web_a, DNS_NOERROR);
    uint8_t out[DNS_UDP_PLAIN];
    size_t n = dns_answer_write(web_a, &q, &a, out, sizeof out);
    CHECK_INT(n, sizeof web_a + 12 + 10);
    CHECK(memcmp(out + sizeof web_a + 12, "\3web\4back", 10) == 0);
    a.ptr = "not..a.name";
    CHECK_INT(dns_answer_write(web_a, &q, &a, out, sizeof out), sizeof web_a);
}

static void test_replies(void) {
    uint8_t r[64];
    size_t end = sizeof web_a;
    memcpy(r, web_a, end);
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_FOREIGN); /* the query itself */
    r[2] = 0x81;
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_GOOD);
    r[13] = 'W';
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_GOOD);
    CHECK_INT(dns_reply_check(web_a, end, r, end - 1), DNS_REPLY_FOREIGN);
    CHECK_INT(dns_reply_check(web_a, end, r, 11), DNS_REPLY_FOREIGN);
    r[13] = 'v';
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_FOREIGN);
    r[13] = 'w';
    r[18] = 28; /* another type */
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_FOREIGN);
    r[18] = 1;
    r[1] ^= 1; /* another id */
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_FOREIGN);
    r[1] ^= 1;
    r[3] = DNS_NXDOMAIN;
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_GOOD);
    r[3] = DNS_SERVFAIL;
    CHECK_INT(dns_reply_check(web_a, end, r, end), DNS_REPLY_FAILED);
    r[3] = DNS_FORMERR;
    r[5] = 0;
    CHECK_INT(dns_reply_check(web_a, end, r, DNS_HEADER), DNS_REPLY_FAILED);
}

static void test_fit(void) {
    uint8_t r[1000] = {0};
    memcpy(r, web_a, sizeof web_a);
    dns_put16(r + 2, 0x8180);
    dns_put16(r + 6, 40);
    CHECK_INT(dns_reply_fit(r, 512, sizeof web_a, 512), 512);
    CHECK_INT(dns_get16(r + 6), 40);
    CHECK_INT(dns_reply_fit(r, 513, sizeof web_a, 512), sizeof web_a);
    CHECK_INT(dns_get16(r + 2), 0x8380);
    CHECK_INT(dns_get16(r + 6), 0);
}

static void check_reverse(const char *name, const char *want) {
    struct net_addr a;
    char text[INET6_ADDRSTRLEN] = "";
    if (dns_reverse_read(name, &a))
        CHECK(inet_ntop(a.family, a.b, text, sizeof text));
    CHECK_STR(text, want);
}

static void test_reverse(void) {
    check_reverse("2.7.89.10.in-addr.arpa", "10.89.7.2");
    check_reverse("255.0.0.1.in-addr.arpa", "1.0.0.255");
    check_reverse("256.7.89.10.in-addr.arpa", "");
    check_reverse("02.7.89.10.in-addr.arpa", "");
    check_reverse("7.89.10.in-addr.arpa", "");
    check_reverse("1.2.7.89.10.in-addr.arpa", "");
    check_reverse("2.7.89.10.in-addr.arpa.x", "");
    check_reverse("in-addr.arpa", "");
    check_reverse("f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", "fd00:1::f");
    check_reverse("g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", "");
    check_reverse("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", "");
    CHECK(dns_reverse_name("9.10.in-addr.arpa"));
    CHECK(!dns_reverse_name("web"));
}

UNIT_MAIN({"question", test_question}, {"edns sizes", test_edns_sizes}, {"prefixes", test_prefixes},
          {"malformed", test_malformed}, {"name limits", test_name_limits},
          {"names that are no text", test_names_that_are_no_text}, {"answer", test_answer},
          {"answer with EDNS", test_answer_edns}, {"truncation and rotation", test_truncation_and_rotation},
          {"PTR", test_ptr}, {"replies", test_replies}, {"fit", test_fit}, {"reverse", test_reverse})
