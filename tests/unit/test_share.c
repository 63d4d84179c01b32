/* How many connections a container may have: its own share, that of all together, and places that come back. */
#include "net/helper/share.c"

#include "unit.h"

enum { OWN = 10, ALL = 20 };
static struct loop l = {.descriptors = OWN * OF_DESCRIPTORS};

static struct net_addr address(const char *text) {
    struct net_addr a = {0};
    CHECK_OK(net_addr_parse(text, &a));
    return a;
}

static size_t take(const char *text, struct share *ret[], size_t most) {
    const struct net_addr of = address(text);
    size_t n = 0;
    while (n < most && (ret[n] = share_take(&l, &of)))
        n++;
    return n;
}

static void give(struct share *s[], size_t n) {
    while (n)
        share_give(&l, s[--n]);
}

static void check_nothing_left(void) {
    CHECK_INT(l.shares->n, 0);
    for (size_t i = 0; i < BUCKETS; i++)
        CHECK(!l.shares->bucket[i]);
}

static void test_own(void) {
    struct share *one[ALL], *two[ALL];
    CHECK_INT(take("10.89.7.2", one, ALL), OWN);
    CHECK_INT(take("10.89.7.3", two, OWN / 2), OWN / 2); /* the other has all of his */
    share_give(&l, one[OWN - 1]);
    CHECK_INT(take("10.89.7.2", one + OWN - 1, ALL), 1);
    give(one, OWN);
    give(two, OWN / 2);
    check_nothing_left();
}

static void test_all(void) {
    struct share *s[4][ALL];
    CHECK_INT(take("10.89.7.2", s[0], ALL), OWN);
    CHECK_INT(take("fd00::2", s[1], ALL - OWN - 3), ALL - OWN - 3);
    CHECK_INT(take("10.89.7.4", s[2], ALL), 3);
    CHECK_INT(take("10.89.7.5", s[3], ALL), 0);
    give(s[0], OWN);
    CHECK_INT(take("10.89.7.5", s[3], ALL), OWN);
    give(s[3], OWN);
    give(s[2], 3);
    give(s[1], ALL - OWN - 3);
    check_nothing_left();
}

/* A connection that is joined gives its place back at the end of its relay. */
static void test_relays(void) {
    struct share *s[OWN];
    CHECK_INT(take("10.89.7.2", s, OWN), OWN);
    for (size_t i = 0; i < OWN; i++) {
        CHECK_INT(l.shares->n, (long long)(OWN - i));
        share_relays(s[i])->ended(&l, share_relays(s[i]));
    }
    check_nothing_left();
}

static void test_many_descriptors(void) {
    static struct share *s[CONNECTIONS_MAX + 1];
    l.descriptors = 1 << 20;
    CHECK_INT(take("10.89.7.2", s, CONNECTIONS_MAX + 1), CONNECTIONS_MAX);
    give(s, CONNECTIONS_MAX);
    check_nothing_left();
}

UNIT_MAIN({"own", test_own}, {"all", test_all}, {"relays", test_relays}, {"many_descriptors", test_many_descriptors})
