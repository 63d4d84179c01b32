/* Definitions as files: names taken once, subnets that never overlap, whoever makes them and however many at once. */
#include <sys/socket.h>

#include "base/log.h"
#include "base/path.h"
#include "net_fixture.h"

enum { RACERS = 20 };

static struct err *create(struct fixture *f, const char *name, const char *subnet, struct net_def **ret) {
    autostrv struct strv subnets = {0};
    if (subnet)
        strv_push(&subnets, subnet);
    const struct net_create c = {.name = name, .subnets = subnets};
    return net_create(&f->host, &c, ret);
}

static void write_file(struct fixture *f, const char *name, const char *text) {
    autofd int dir = -1;
    CHECK_OK(net_files_open(&f->host, &dir));
    CHECK_OK(io_write_file(dir, name, text, strlen(text), 0600, 0));
}

static bool has_file(struct fixture *f, const char *name) {
    autofree char *path = mem_printf("%s/networks/%s", f->host.data_root, name);
    return access(path, F_OK) == 0;
}

/* The names of all, and that nothing overlaps. */
static void check_list(struct fixture *f, const char *want) {
    autonetdefs defs = {0};
    autoaddrs all = {0};
    autostrv struct strv names = {0};
    CHECK_OK(net_list(&f->host, &defs));
    for (size_t i = 0; i < defs.n; i++)
        strv_push(&names, defs.v[i]->name);
    autofree char *got = strv_join(&names, " ");
    CHECK_STR(got, want);
    net_defs_addrs(&defs, &all);
    for (size_t i = 0; i < all.n; i++)
        for (size_t k = i + 1; k < all.n; k++)
            CHECK(!net_addr_overlaps(&all.v[i], &all.v[k]));
}

static void test_builtin(void) {
    struct fixture f;
    fixture_open(&f);
    static const char *const refs[][2] = {
        {"bridge", "bridge"},   {"default", "bridge"},
        {"host", "host"},       {"none", "none"},
        {"17f29b07", "bridge"}, {"4740ae6347b0172c01254ff55bae5aff5199f4446e7f6d643d40185b3f475145", "host"}};
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        autonetdef d = NULL;
        CHECK_OK(net_find(&f.host, refs[i][0], &d));
        CHECK_STR(d ? d->name : NULL, refs[i][1]);
        CHECK(d && d->builtin);
        if (d)
            CHECK_ERR(net_remove(&f.host, d), ERR_DENIED);
    }
    autonetdef none = net_def_builtin("none");
    CHECK_WORDS(net_remove(&f.host, none), "none is a pre-defined network and cannot be removed");
    check_list(&f, "bridge host none");
    fixture_close(&f);
}

/* The bridge avoids routes and networks when it is chosen, and stays what it is. */
static void test_bridge(void) {
    struct fixture f;
    fixture_open(&f);
    autoaddrs routes = {0};
    autonetdef made = NULL;
    struct net_def *d = NULL;
    CHECK_OK(create(&f, "back", "10.89.7.0/24", &made));
    CHECK(has_file(&f, ".bridge"));
    CHECK_OK(net_find(&f.host, "bridge", &d));
    CHECK_OK(net_routes_read(&routes));
    struct net_addr a = net_addr_of(d->subnets[0].subnet), first = net_addr_nth(&a, 1);
    CHECK(!net_addrs_overlap(&routes, &a));
    autofree char *gateway = net_addr_text(&first);
    CHECK_STR(d->subnets[0].gateway, gateway);
    net_def_free(d);
    /* a hand moved the user's network into its way: it is chosen anew only when its file is gone or damaged */
    autofree char *cidr = net_addr_cidr(&a);
    mem_set(&made->subnets[0].subnet, cidr);
    mem_set(&made->subnets[0].gateway, gateway);
    autojson j = net_def_json(made);
    autostr struct str text = STR_INIT;
    json_render(j, JSON_COMPACT, &text);
    write_file(&f, "back", str_c(&text));
    CHECK_OK(net_find(&f.host, "bridge", &d));
    CHECK_STR(d->subnets[0].subnet, cidr);
    net_def_free(d);
    write_file(&f, ".bridge", "{");
    CHECK_OK(net_find(&f.host, "bridge", &d));
    CHECK(strcmp(d->subnets[0].subnet, cidr) != 0);
    net_def_free(d);
    check_list(&f, "bridge host none back");
    fixture_close(&f);
}

static void test_create(void) {
    struct fixture f;
    fixture_open(&f);
    autostrv struct strv subnets = {0}, gateways = {0}, ranges = {0}, labels = {0};
    strv_push(&subnets, "FD00:5::/64");
    strv_push(&subnets, "10.89.7.0/24");
    strv_push(&gateways, "10.89.7.9");
    strv_push(&gateways, "fd00:5::9");
    strv_push(&ranges, "10.89.7.128/25");
    strv_push(&labels, "a");
    strv_push(&labels, "b=1");
    strv_push(&labels, "b=2");
    const struct net_create c = {.name = "back",
                                 .internal = true,
                                 .subnets = subnets,
                                 .gateways = gateways,
                                 .ip_ranges = ranges,
                                 .labels = labels};
    autonetdef made = NULL;
    CHECK_OK(net_create(&f.host, &c, &made));
    autonetdef d = NULL;
    CHECK_OK(net_find(&f.host, "back", &d));
    if (!made || !d)
        return;
    CHECK_STR(d->id, made->id);
    CHECK(path_is_hex64(d->id) && d->internal && d->ipv6 && !d->builtin && d->created > 0);
    CHECK_STR(d->driver, "bridge");
    CHECK_INT(d->n_subnets, 2);
    CHECK_STR(d->subnets[0].subnet, "10.89.7.0/24");
    CHECK_STR(d->subnets[0].gateway, "10.89.7.9");
    CHECK_STR(d->subnets[0].ip_range, "10.89.7.128/25");
    CHECK_STR(d->subnets[1].subnet, "fd00:5::/64");
    CHECK_STR(d->subnets[1].gateway, "fd00:5::9");
    autofree char *got = strv_join(&d->labels, " ");
    CHECK_STR(got, "a= b=2");
    fixture_close(&f);
}

/* Chosen subnets keep clear of each other, of the bridge, of the routes. */
static void test_pools(void) {
    struct fixture f;
    fixture_open(&f);
    autoaddrs routes = {0};
    CHECK_OK(net_routes_read(&routes));
    for (int i = 0; i < 18; i++) { /* into 192.168.0.0/16 */
        autofree char *name = mem_printf("n%02d", i);
        const struct net_create c = {.name = name, .ipv6 = i & 1};
        autonetdef d = NULL;
        CHECK_OK(net_create(&f.host, &c, &d));
        CHECK_INT(d ? d->n_subnets : 0, 1 + (i & 1));
        for (size_t k = 0; d && k < d->n_subnets; k++) {
            struct net_addr a = net_addr_of(d->subnets[k].subnet);
            CHECK(!net_addrs_overlap(&routes, &a));
        }
    }
    check_list(&f, "bridge host none n00 n01 n02 n03 n04 n05 n06 n07 n08 n09 n10 n11 n12 n13 n14 n15 n16 n17");
    fixture_close(&f);
}

static void fail(struct fixture *f, const struct net_create *c, enum err_kind kind, const char *want) {
    struct net_def *d = NULL;
    struct err *e = net_create(&f->host, c, &d);
    CHECK_INT(e ? err_kind(e) : ERR_KIND_COUNT, kind);
    CHECK_WORDS(e, want);
    CHECK(d == NULL);
}

static struct strv list(const char *a, const char *b) {
    struct strv v = {0};
    strv_push(&v, a);
    if (b)
        strv_push(&v, b);
    return v;
}

static void test_words(void) {
    struct fixture f;
    fixture_open(&f);
    struct net_def *d = NULL;
    CHECK_OK(create(&f, "back", "10.89.0.0/16", &d));
    net_def_free(d);
    fail(&f, &(struct net_create){.name = "back"}, ERR_CONFLICT, "network with name back already exists");
    fail(&f, &(struct net_create){.name = "host"}, ERR_DENIED, "operation is not permitted on predefined host network");
    fail(&f, &(struct net_create){.name = "a/b"}, ERR_USAGE, "invalid network name: a/b");
    fail(&f, &(struct net_create){.name = ""}, ERR_USAGE, "invalid network name: ");
    fail(&f, &(struct net_create){.name = "x", .driver = "host"}, ERR_DENIED,
         "only one instance of \"host\" network is allowed");
    fail(&f, &(struct net_create){.name = "x", .driver = "foo"}, ERR_UNSUPPORTED, "plugin \"foo\" not found");
    fail(&f, &(struct net_create){.name = "x", .driver = "macvlan"}, ERR_UNSUPPORTED,
         "driver macvlan needs the host's interfaces, which only root may use");
    autostrv struct strv wide = list("10.0.0.0/8", NULL), uplink = list("10.0.2.0/24", NULL),
                         two = list("10.1.0.0/16", "10.2.0.0/16"), same = list("10.1.0.0/16", "10.1.2.0/24"),
                         one = list("10.1.0.0/16", NULL), outside = list("10.2.0.1", NULL),
                         inside = list("10.1.0.1", "10.1.0.2"), both = list("10.1.0.0/16", "fd00::/64"),
                         range = list("10.2.0.0/24", NULL), bad = list("10.1.0/16", NULL);
    fail(&f, &(struct net_create){.name = "x", .subnets = wide}, ERR_CONFLICT,
         "invalid pool request: Pool overlaps with other one on this address space");
    fail(&f, &(struct net_create){.name = "x", .subnets = uplink}, ERR_CONFLICT,
         "invalid pool request: Pool overlaps with other one on this address space");
    fail(&f, &(struct net_create){.name = "x", .subnets = two}, ERR_UNSUPPORTED,
         "bridge driver doesn't support multiple subnets");
    fail(&f, &(struct net_create){.name = "x", .subnets = same}, ERR_USAGE,
         "multiple overlapping subnet configuration is not supported");
    fail(&f, &(struct net_create){.name = "x", .subnets = bad}, ERR_USAGE,
         "invalid network config: invalid subnet 10.1.0/16: invalid CIDR block notation");
    fail(&f, &(struct net_create){.name = "x", .gateways = outside}, ERR_USAGE,
         "every ip-range or gateway must have a corresponding subnet");
    fail(&f, &(struct net_create){.name = "x", .subnets = one, .gateways = outside}, ERR_USAGE,
         "no matching subnet for gateway 10.2.0.1");
    fail(&f, &(struct net_create){.name = "x", .subnets = one, .ip_ranges = range}, ERR_USAGE,
         "no matching subnet for range 10.2.0.0/24");
    fail(&f, &(struct net_create){.name = "x", .subnets = both, .gateways = inside}, ERR_USAGE,
         "cannot configure multiple gateways (10.1.0.2, 10.1.0.1) for the same subnet (10.1.0.0/16)");
    check_list(&f, "bridge host none back");
    fixture_close(&f);
}

static void test_find(void) {
    struct fixture f;
    fixture_open(&f);
    autonetdef a = NULL;
    autonetdef b = NULL;
    struct net_def *d = NULL;
    CHECK_OK(create(&f, "back", NULL, &a));
    if (!a)
        return;
    /* a name that is the beginning of an id wins; the whole id wins over a name */
    autofree char *start = mem_dupn(a->id, 12);
    CHECK_OK(net_find(&f.host, start, &d));
    CHECK_STR(d->name, "back");
    net_def_free(d);
    CHECK_OK(create(&f, start, NULL, &b));
    CHECK_OK(net_find(&f.host, start, &d));
    CHECK_STR(d->id, b->id);
    net_def_free(d);
    net_def_freep(&b);
    CHECK_OK(create(&f, a->id, NULL, &b));
    CHECK_OK(net_find(&f.host, a->id, &d));
    CHECK_STR(d->name, "back");
    net_def_free(d);
    d = NULL;
    CHECK_WORDS(net_find(&f.host, "nope", &d), "network nope not found");
    CHECK_WORDS(net_find(&f.host, "", &d), "network  not found");
    CHECK_WORDS(net_find(&f.host, "../networks/back", &d), "network ../networks/back not found");
    CHECK_WORDS(net_find(&f.host, ".lock", &d), "network .lock not found");
    CHECK_ERR(net_find(&f.host, "nope", &d), ERR_NOT_FOUND);
    CHECK(d == NULL);
    fixture_close(&f);
}

static void test_ambiguous(void) {
    struct fixture f;
    fixture_open(&f);
    struct net_def *d = NULL;
    for (int i = 1; i <= 2; i++) {
        autofree char *name = mem_printf("n%d", i);
        autofree char *id = mem_printf("%057d%d", 0, i);
        autofree char *text = mem_printf("{\"id\":\"abcabc%s\",\"name\":\"%s\",\"driver\":\"bridge\",\"subnets\":"
                                         "[{\"subnet\":\"10.%d.0.0/16\",\"gateway\":\"10.%d.0.1\"}]}",
                                         id, name, i, i);
        write_file(&f, name, text);
    }
    CHECK_WORDS(net_find(&f.host, "abca", &d), "network abca is ambiguous (2 matches found based on ID prefix)");
    CHECK(d == NULL);
    fixture_close(&f);
}

static void test_remove(void) {
    struct fixture f;
    fixture_open(&f);
    autonetdef a = NULL;
    autonetdef b = NULL;
    CHECK_OK(create(&f, "back", NULL, &a));
    CHECK_OK(net_remove(&f.host, a));
    CHECK_WORDS(net_remove(&f.host, a), "network back not found");
    CHECK_OK(create(&f, "back", NULL, &b));
    CHECK_WORDS(net_remove(&f.host, a), "network back not found"); /* another one by now */
    check_list(&f, "bridge host none back");
    CHECK_OK(net_remove(&f.host, b));
    check_list(&f, "bridge host none");
    fixture_close(&f);
}

/* Neither damage nor what a killed process left gets in the way. */
static void test_damage(void) {
    struct fixture f;
    fixture_open(&f);
    struct net_def *d = NULL;
    CHECK_OK(create(&f, "back", NULL, &d));
    net_def_free(d);
    d = NULL;
    write_file(&f, "cut", "{\"id\":\"");
    write_file(&f, "other", "{\"id\":\"x\",\"name\":\"back\"}");
    write_file(&f, ".tmp-0123456789abcdef", "{");
    CHECK_ERR(net_find(&f.host, "cut", &d), ERR_CORRUPT);
    CHECK(d == NULL);
    log_set_level(LOG_LEVEL_ERROR);
    check_list(&f, "bridge host none back");
    CHECK(has_file(&f, ".tmp-0123456789abcdef"));
    CHECK_ERR(create(&f, "cut", NULL, &d), ERR_CONFLICT); /* what is damaged is not written over */
    CHECK_OK(create(&f, "new", NULL, &d));
    net_def_free(d);
    log_set_level(LOG_LEVEL_WARN);
    CHECK(!has_file(&f, ".tmp-0123456789abcdef"));
    fixture_close(&f);
}

static int make_one(void *ctx, int i) {
    autofree char *name = mem_printf("n%02d", i);
    autonetdef d = NULL;
    autoerr e = create(ctx, name, NULL, &d);
    return e ? 1 : 0;
}

static int make_same(void *ctx, int i) {
    (void)i;
    autonetdef d = NULL;
    autoerr e = create(ctx, "same", NULL, &d);
    return e ? 1 : 0;
}

static int find_bridge(void *ctx, int i) {
    (void)i;
    struct fixture *f = ctx;
    autonetdef d = NULL;
    autoerr e = net_find(&f->host, "bridge", &d);
    return e ? 1 : 0;
}

static void test_races(void) {
    struct fixture f;
    fixture_open(&f);
    CHECK_INT(race(RACERS, find_bridge, &f), RACERS);
    CHECK_INT(race(RACERS, make_one, &f), RACERS);
    check_list(&f, "bridge host none n00 n01 n02 n03 n04 n05 n06 n07 n08 n09 n10 n11 n12 n13 n14 n15 n16 n17 n18 n19");
    CHECK_INT(race(RACERS, make_same, &f), 1);
    fixture_close(&f);
}

UNIT_MAIN({"built-in", test_builtin}, {"bridge", test_bridge}, {"create", test_create}, {"pools", test_pools},
          {"words", test_words}, {"find", test_find}, {"ambiguous", test_ambiguous}, {"remove", test_remove},
          {"races", test_races}, {"damage", test_damage})
