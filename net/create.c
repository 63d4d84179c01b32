/* create: a new network. What was typed is checked first; then, under the lock, against the networks that there are. */
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "net/net_int.h"

/* ---- what was typed ---- */

static struct err *check_name(const char *name) {
    if (net_name_predefined(name))
        return err_new(ERR_DENIED, "operation is not permitted on predefined %s network", name);
    if (!net_name_ok(name))
        return err_hint(err_new(ERR_USAGE, "invalid network name: %s", name),
                        "A name has up to 255 of the characters [a-zA-Z0-9_.-] and begins with a letter or digit.");
    return NULL;
}

static struct err *check_driver(const char *driver) {
    static const char *const roots[] = {"macvlan", "ipvlan", "overlay"};
    if (!driver || str_eq(driver, "bridge") || str_eq(driver, "default"))
        return NULL;
    if (str_eq(driver, "host") || str_eq(driver, "null"))
        return err_new(ERR_DENIED, "only one instance of \"%s\" network is allowed", driver);
    for (size_t i = 0; i < ARRAY_LEN(roots); i++)
        if (str_eq(driver, roots[i]))
            return err_hint(
                err_new(ERR_UNSUPPORTED, "driver %s needs the host's interfaces, which only root may use", driver),
                "A bridge network (the default) reaches the same hosts.");
    return err_new(ERR_UNSUPPORTED, "plugin \"%s\" not found", driver);
}

static struct err *add_subnet(struct net_def *d, const char *text) {
    struct net_addr a, other;
    struct net_subnet *s = net_def_new_subnet(d);
    s->subnet = mem_dup(text);
    TRY(net_subnet_check(s, &a));
    for (size_t i = 0; i + 1 < d->n_subnets; i++) {
        other = net_addr_of(d->subnets[i].subnet);
        if (net_addr_overlaps(&a, &other))
            return err_new(ERR_USAGE, "multiple overlapping subnet configuration is not supported");
        if (a.family == other.family)
            return err_new(ERR_UNSUPPORTED, "bridge driver doesn't support multiple subnets");
    }
    d->ipv6 |= a.family == AF_INET6;
    return NULL;
}

/* The subnet that holds an address or block, or NULL. */
static struct net_subnet *holder_of(const struct net_def *d, const struct net_addr *a) {
    for (size_t i = 0; i < d->n_subnets; i++) {
        struct net_addr subnet = net_addr_of(d->subnets[i].subnet);
        if (net_addr_overlaps(&subnet, a))
            return &d->subnets[i];
    }
    return NULL;
}

/* Gives gateways, or ranges, to the subnets that hold them. */
static struct err *distribute(struct net_def *d, const struct strv *texts, bool gateways) {
    const char *what = gateways ? "gateway" : "range", *prep = gateways ? "for" : "on";
    for (size_t i = 0; i < texts->n; i++) {
        struct net_addr a;
        TRY_CTX(net_addr_parse(texts->v[i], &a), "invalid %s", what);
        struct net_subnet *s = holder_of(d, &a);
        if (!s)
            return err_new(ERR_USAGE, "no matching subnet for %s %s", what, texts->v[i]);
        char **field = gateways ? &s->gateway : &s->ip_range;
        if (*field)
            return err_new(ERR_USAGE, "cannot configure multiple %ss (%s, %s) %s the same subnet (%s)", what,
                           texts->v[i], *field, prep, s->subnet);
        *field = mem_dup(texts->v[i]);
    }
    return NULL;
}

/* The subnets as typed, checked, each with its gateway and range. */
static struct err *take_subnets(struct net_def *d, const struct net_create *c) {
    if (c->subnets.n < c->ip_ranges.n || c->subnets.n < c->gateways.n)
        return err_new(ERR_USAGE, "every ip-range or gateway must have a corresponding subnet");
    for (size_t i = 0; i < c->subnets.n; i++)
        TRY(add_subnet(d, c->subnets.v[i]));
    TRY(distribute(d, &c->ip_ranges, false));
    TRY(distribute(d, &c->gateways, true));
    for (size_t i = 0; i < d->n_subnets; i++) {
        struct net_subnet *s = &d->subnets[i];
        struct net_addr a;
        TRY(net_subnet_check(s, &a));
        struct net_addr first = net_addr_nth(&a, 1);
        if (!s->gateway)
            s->gateway = net_addr_text(&first);
    }
    return NULL;
}

/* KEY without a value is KEY=; the last of the same KEY counts. */
static void copy_pairs(const struct strv *from, struct strv *to) {
    for (size_t i = 0; i < from->n; i++) {
        autofree char *pair = mem_printf("%s%s", from->v[i], strchr(from->v[i], '=') ? "" : "=");
        strv_env_set(to, pair);
    }
}

static struct err *new_def(const struct net_create *c, struct net_def **ret) {
    TRY(check_name(c->name));
    TRY(check_driver(c->driver));
    autonetdef d = mem_alloc(sizeof *d);
    char id[ID_LEN + 1];
    id_random(id);
    d->id = mem_dup(id);
    d->name = mem_dup(c->name);
    d->driver = mem_dup("bridge");
    d->created = clock_now();
    d->internal = c->internal;
    d->ipv6 = c->ipv6;
    d->attachable = c->attachable;
    copy_pairs(&c->labels, &d->labels);
    copy_pairs(&c->options, &d->options);
    TRY(take_subnets(d, c));
    *ret = take_ptr(&d);
    return NULL;
}

/* ---- against the others ---- */

static struct err *check_overlaps(const struct net_def *d, const struct net_defs *others) {
    autoaddrs taken = {0}, uplink = {0};
    net_defs_addrs(others, &taken);
    net_pool_add_uplink(&uplink);
    for (size_t i = 0; i < d->n_subnets; i++) {
        struct net_addr a = net_addr_of(d->subnets[i].subnet);
        bool is_uplink = net_addrs_overlap(&uplink, &a);
        if (!is_uplink && !net_addrs_overlap(&taken, &a))
            continue;
        struct err *e =
            err_new(ERR_CONFLICT, "invalid pool request: Pool overlaps with other one on this address space");
        return is_uplink ? err_hint(e, "10.0.2.0/24 and fd00:10:2::/64 are coracle's own: they lead to the host.") : e;
    }
    return NULL;
}

static bool has_family(const struct net_def *d, int family) {
    for (size_t i = 0; i < d->n_subnets; i++)
        if (net_addr_of(d->subnets[i].subnet).family == family)
            return true;
    return false;
}

/* Chooses what was not given, clear of other networks and of the host's routes. */
static struct err *add_pools(struct net_def *d, const struct net_defs *others) {
    autoaddrs taken = {0};
    struct net_addr a;
    net_defs_addrs(others, &taken);
    net_pool_add_uplink(&taken);
    TRY(net_routes_read(&taken));
    bool ok = true;
    if (!has_family(d, AF_INET) && (ok = net_pool_next(&taken, &a)))
        net_def_add_pool(d, &a);
    if (ok && d->ipv6 && !has_family(d, AF_INET6) && (ok = net_pool_next6(&taken, &a)))
        net_def_add_pool(d, &a);
    if (ok)
        return NULL;
    return err_hint(err_new(ERR_CONFLICT, "all predefined address pools have been fully subnetted"),
                    "Choose one that is free with --subnet, or remove networks: coracle network prune");
}

static void sort_subnets(struct net_def *d) {
    if (d->n_subnets < 2 || net_addr_of(d->subnets[0].subnet).family == AF_INET)
        return;
    struct net_subnet v6 = d->subnets[0];
    d->subnets[0] = d->subnets[1];
    d->subnets[1] = v6;
}

struct err *net_create(const struct host *h, const struct net_create *c, struct net_def **ret) {
    autonetdef d = NULL;
    autonetdefs others = {0};
    autofd int dir = -1, lock = -1;
    TRY(new_def(c, &d));
    TRY(net_files_open(h, &dir));
    TRY(net_files_lock(dir, &lock));
    net_files_sweep(dir);
    TRY(net_files_load(dir, true, &others));
    for (size_t i = 0; i < others.n; i++)
        if (str_eq(others.v[i]->name, d->name))
            return err_new(ERR_CONFLICT, "network with name %s already exists", d->name);
    TRY(check_overlaps(d, &others));
    TRY(add_pools(d, &others));
    sort_subnets(d);
    TRY(net_files_add(dir, d));
    *ret = take_ptr(&d);
    return NULL;
}
