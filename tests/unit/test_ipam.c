/* Addresses of a network: which are given out, in what order, and what is refused. */
#include <arpa/inet.h>

#include "base/mem.h"
#include "net/helper/helper_int.h"
#include "unit.h"

struct texts {
    const char *subnet, *gateway, *range;
};

static struct ipam *make(const struct texts *t, size_t n) {
    struct net_def *d = mem_alloc(sizeof *d);
    d->name = mem_dup("back");
    d->subnets = mem_array(n, sizeof *d->subnets);
    d->n_subnets = n;
    for (size_t i = 0; i < n; i++)
        d->subnets[i] = (struct net_subnet){mem_dup(t[i].subnet), mem_dup(t[i].gateway), mem_dup(t[i].range)};
    struct ipam *i = ipam_new(d);
    net_def_free(d);
    return i;
}

#define MAKE(...)                                                                                                      \
    make((const struct texts[]){__VA_ARGS__}, sizeof((const struct texts[]){__VA_ARGS__}) / sizeof(struct texts))

static struct net_addr take(struct ipam *i, const char *wanted, int family, const char *want) {
    struct net_addr a = {0};
    CHECK_OK(ipam_take(i, wanted, family, "web", &a));
    char *text = net_addr_cidr(&a);
    CHECK_STR(text, want);
    free(text);
    return a;
}

static void test_order(void) {
    struct ipam *i = MAKE({"10.0.0.0/24", "10.0.0.1", NULL});
    take(i, "", AF_INET, "10.0.0.2/24");
    struct net_addr third = take(i, NULL, AF_INET, "10.0.0.3/24");
    ipam_give(i, &third);
    take(i, "", AF_INET, "10.0.0.4/24"); /* not the one just given back */
    take(i, "10.0.0.5", AF_INET, "10.0.0.5/24");
    take(i, "", AF_INET, "10.0.0.6/24");
    ipam_free(i);
}

static void test_all_of_them(void) {
    struct ipam *i = MAKE({"10.0.0.0/29", "10.0.0.1", NULL});
    struct net_addr a = {0};
    for (int n = 2; n <= 6; n++)
        CHECK_OK(ipam_take(i, "", AF_INET, "web", &a));
    CHECK_ERR(ipam_take(i, "", AF_INET, "web", &a), ERR_CONFLICT);
    ipam_give(i, &a);
    ipam_give(i, &a); /* twice is once */
    take(i, "", AF_INET, "10.0.0.6/29");
    CHECK_ERR(ipam_take(i, "", AF_INET, "web", &a), ERR_CONFLICT);
    ipam_free(i);
}

static void test_refused(void) {
    struct ipam *i = MAKE({"10.0.0.0/24", "10.0.0.1", NULL});
    struct net_addr a = {0};
    CHECK_ERR(ipam_take(i, "10.0.0.0", AF_INET, "web", &a), ERR_CONFLICT);
    CHECK_ERR(ipam_take(i, "10.0.0.1", AF_INET, "web", &a), ERR_CONFLICT);
    CHECK_ERR(ipam_take(i, "10.0.0.255", AF_INET, "web", &a), ERR_CONFLICT);
    CHECK_ERR(ipam_take(i, "10.0.1.1", AF_INET, "web", &a), ERR_USAGE);
    CHECK_ERR(ipam_take(i, "x", AF_INET, "web", &a), ERR_USAGE);
    CHECK_ERR(ipam_take(i, "", AF_INET6, "web", &a), ERR_NOT_FOUND);
    CHECK_INT(a.family, 0);
    ipam_give(i, &a); /* none */
    take(i, "10.0.0.9", AF_INET, "10.0.0.9/24");
    struct err *e = ipam_take(i, "10.0.0.9", AF_INET, "db", &a);
    struct str s = STR_INIT;
    err_format(e, &s);
    CHECK_STR(str_c(&s), "address 10.0.0.9 of network back is already in use by web");
    str_done(&s);
    err_free(e);
    ipam_free(i);
}

static void test_range(void) {
    struct ipam *i = MAKE({"10.0.0.0/24", "10.0.0.1", "10.0.0.128/30"});
    struct net_addr a = {0};
    take(i, "", AF_INET, "10.0.0.128/24");
    take(i, "", AF_INET, "10.0.0.129/24");
    take(i, "", AF_INET, "10.0.0.130/24");
    take(i, "", AF_INET, "10.0.0.131/24");
    CHECK_ERR(ipam_take(i, "", AF_INET, "web", &a), ERR_CONFLICT);
    take(i, "10.0.0.7", AF_INET, "10.0.0.7/24"); /* by name from the whole subnet */
    ipam_free(i);
}

static void test_ipv6(void) {
    struct ipam *i = MAKE({"10.0.0.0/30", "10.0.0.1", NULL}, {"fd00:1::/64", "fd00:1::1", NULL});
    take(i, "", AF_INET6, "fd00:1::2/64");
    take(i, "fd00:1::3", AF_INET6, "fd00:1::3/64");
    take(i, "", AF_INET6, "fd00:1::4/64");
    take(i, "fd00:1:0:0:ffff::9", AF_INET6, "fd00:1::ffff:0:0:9/64");
    take(i, "", AF_INET, "10.0.0.2/30");
    ipam_free(i);
}

static void test_two_subnets(void) {
    struct ipam *i = MAKE({"10.0.0.0/30", "10.0.0.1", NULL}, {"10.0.1.0/30", "10.0.1.1", NULL});
    take(i, "", AF_INET, "10.0.0.2/30");
    take(i, "", AF_INET, "10.0.1.2/30"); /* the first one is full */
    ipam_free(i);
}

static void test_tiny(void) {
    struct ipam *i = MAKE({"10.0.0.0/31", "10.0.0.0", NULL});
    struct net_addr a = {0};
    take(i, "", AF_INET, "10.0.0.1/31");
    CHECK_ERR(ipam_take(i, "", AF_INET, "web", &a), ERR_CONFLICT);
    ipam_free(i);
    ipam_free(NULL);
}

static void test_many(void) {
    struct ipam *i = MAKE({"10.0.0.0/16", "10.0.0.1", NULL});
    struct net_addr a = {0};
    for (int n = 0; n < 65533; n++)
        CHECK_OK(ipam_take(i, "", AF_INET, "web", &a));
    CHECK_ERR(ipam_take(i, "", AF_INET, "web", &a), ERR_CONFLICT);
    ipam_free(i);
}

UNIT_MAIN({"order", test_order}, {"all of them", test_all_of_them}, {"refused", test_refused}, {"range", test_range},
          {"ipv6", test_ipv6}, {"two subnets", test_two_subnets}, {"tiny", test_tiny}, {"many", test_many})
