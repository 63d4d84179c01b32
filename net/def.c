/*
 * def: one network's definition, and its JSON. A definition that has been parsed holds these: bridge networks have one
 * IPv4 subnet and, with ipv6, one of IPv6 after it; the gateway and the range lie inside; every text is canonical;
 * host and null have no subnet; the ids of built-in names belong to them alone.
 */
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "net/net_int.h"

enum { NAME_MAX_LEN = 255, PREFIX_MAX_4 = 30, PREFIX_MAX_6 = 126 };

/* Constant ids: the sha256 of the name. */
static const struct {
    const char *name, *driver, *id;
} builtins[] = {
    {"bridge", "bridge", "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6121"},
    {"host", "host", "4740ae6347b0172c01254ff55bae5aff5199f4446e7f6d643d40185b3f475145"},
    {"none", "null", "140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe"},
};

static bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool net_name_ok(const char *name) {
    if (!is_alnum(name[0]))
        return false;
    size_t n = 1;
    for (; name[n]; n++)
        if (n == NAME_MAX_LEN || (!is_alnum(name[n]) && !strchr("_.-", name[n])))
            return false;
    return true;
}

bool net_name_predefined(const char *name) {
    static const char *const names[] = {"bridge", "host", "none", "default", "slirp", "pasta"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

struct net_def *net_def_builtin(const char *name) {
    struct net_def *d = mem_alloc(sizeof *d);
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        if (strcmp(name, builtins[i].name) != 0)
            continue;
        d->id = mem_dup(builtins[i].id);
        d->driver = mem_dup(builtins[i].driver);
    }
    d->name = mem_dup(name);
    d->builtin = true;
    return d;
}

static void subnet_done(struct net_subnet *s) {
    free(s->subnet);
    free(s->gateway);
    free(s->ip_range);
}

void net_def_free(struct net_def *d) {
    if (!d)
        return;
    free(d->id);
    free(d->name);
    free(d->driver);
    strv_done(&d->labels);
    strv_done(&d->options);
    for (size_t i = 0; i < d->n_subnets; i++)
        subnet_done(&d->subnets[i]);
    free(d->subnets);
    free(d);
}

void net_defs_done(struct net_defs *d) {
    for (size_t i = 0; i < d->n; i++)
        net_def_free(d->v[i]);
    free(d->v);
    *d = (struct net_defs){0};
}

struct net_subnet *net_def_new_subnet(struct net_def *d) {
    d->subnets = mem_resize(d->subnets, d->n_subnets + 1, sizeof *d->subnets);
    struct net_subnet *s = &d->subnets[d->n_subnets++];
    *s = (struct net_subnet){0};
    return s;
}

void net_def_add_pool(struct net_def *d, const struct net_addr *subnet) {
    struct net_addr gateway = net_addr_nth(subnet, 1);
    struct net_subnet *s = net_def_new_subnet(d);
    s->subnet = net_addr_cidr(subnet);
    s->gateway = net_addr_text(&gateway);
}

/* ---- checks ---- */

static struct err *invalid(const char *what, const char *text, const char *why) {
    return err_new(ERR_USAGE, "invalid network config: invalid %s %s: %s", what, text, why);
}

/* With a prefix or without one, as `cidr` says. */
static bool parse_text(const char *text, bool cidr, struct net_addr *ret) {
    autoerr e = net_addr_parse(text, ret);
    return !e && cidr == (strchr(text, '/') != NULL);
}

/* A block in CIDR notation without host bits. */
static struct err *check_block(const char *what, const char *text, struct net_addr *ret) {
    struct net_addr a = {0};
    if (!parse_text(text, true, &a))
        return invalid(what, text, "invalid CIDR block notation");
    struct net_addr masked = net_addr_masked(&a);
    if (!net_addr_equal(&a, &masked)) {
        autofree char *right = net_addr_cidr(&masked), *why = mem_printf("it should be %s", right);
        return invalid(what, text, why);
    }
    *ret = a;
    return NULL;
}

/* Addresses that mean something else to every host: "this network", loopback, multicast, link-local IPv6. */
static bool has_other_meaning(const struct net_addr *a) {
    static const char *const blocks[] = {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8"};
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        struct net_addr block = net_addr_of(blocks[i]);
        if (net_addr_overlaps(&block, a))
            return true;
    }
    return false;
}

static struct err *check_subnet(const char *text, struct net_addr *ret) {
    struct net_addr a;
    TRY(check_block("subnet", text, &a));
    if (a.prefix > (a.family == AF_INET ? PREFIX_MAX_4 : PREFIX_MAX_6))
        return invalid("subnet", text, "it has no room for a gateway and a container");
    if (has_other_meaning(&a))
        return invalid("subnet", text, "it holds loopback, multicast or reserved addresses");
    *ret = a;
    return NULL;
}

static struct err *check_gateway(const struct net_subnet *s, const struct net_addr *subnet, struct net_addr *ret) {
    struct net_addr a = {0};
    if (!parse_text(s->gateway, false, &a))
        return invalid("gateway", s->gateway, "invalid address");
    if (!net_addr_contains(subnet, &a)) {
        autofree char *why = mem_printf("parent subnet %s doesn't contain this address", s->subnet);
        return invalid("gateway", s->gateway, why);
    }
    struct net_addr last = net_addr_last(subnet);
    if (net_addr_equal(&a, subnet) || (a.family == AF_INET && net_addr_equal(&a, &last)))
        return invalid("gateway", s->gateway, "it is the network's or the broadcast address");
    *ret = a;
    return NULL;
}

static struct err *check_range(const struct net_subnet *s, const struct net_addr *subnet, struct net_addr *ret) {
    struct net_addr a;
    TRY(check_block("ip-range", s->ip_range, &a));
    autofree char *why = NULL;
    if (!net_addr_overlaps(subnet, &a))
        why = mem_printf("parent subnet %s doesn't contain ip-range", s->subnet);
    else if (a.prefix < subnet->prefix)
        why = mem_printf("CIDR block is bigger than its parent subnet %s", s->subnet);
    if (why)
        return invalid("ip-range", s->ip_range, why);
    *ret = a;
    return NULL;
}

static void replace(char **p, char *take_text) {
    free(*p);
    *p = take_text;
}

struct err *net_subnet_check(struct net_subnet *s, struct net_addr *ret) {
    struct net_addr subnet = {0}, gateway = {0}, range = {0};
    TRY(check_subnet(s->subnet, &subnet));
    if (s->gateway)
        TRY(check_gateway(s, &subnet, &gateway));
    if (s->ip_range)
        TRY(check_range(s, &subnet, &range));
    replace(&s->subnet, net_addr_cidr(&subnet));
    if (s->gateway)
        replace(&s->gateway, net_addr_text(&gateway));
    if (s->ip_range)
        replace(&s->ip_range, net_addr_cidr(&range));
    *ret = subnet;
    return NULL;
}

/* ---- a container alone ---- */

/* One block of the link: libslirp is its second address, the container has the one that the range holds. */
static struct err *alone_with(struct net_def *d, const char *cidr, uint32_t own) {
    struct net_addr subnet;
    TRY(check_subnet(cidr, &subnet));
    struct net_addr gateway = net_addr_nth(&subnet, 2), container = net_addr_nth(&subnet, own);
    if (!net_addr_contains(&subnet, &container))
        return invalid("cidr", cidr, "it must be /25 or larger");
    struct net_subnet *s = net_def_new_subnet(d);
    s->subnet = net_addr_cidr(&subnet);
    s->gateway = net_addr_text(&gateway);
    s->ip_range = net_addr_cidr(&container);
    return NULL;
}

struct err *net_def_slirp(const char *id, const struct strv *options, struct net_def **ret) {
    autonetdef d = mem_alloc(sizeof *d);
    const char *cidr = strv_env_get(options, "cidr");
    d->id = mem_dup(id);
    d->name = mem_dup(NET_SLIRP);
    d->driver = mem_dup(NET_SLIRP);
    d->ipv6 = !str_eq(strv_env_get(options, "enable_ipv6"), "false");
    strv_extend(&d->options, options);
    TRY(alone_with(d, cidr ? cidr : "10.0.2.0/24", 100));
    if (d->ipv6)
        TRY(alone_with(d, "fd00:10:2::/64", 0x100));
    *ret = take_ptr(&d);
    return NULL;
}

/* ---- JSON ---- */

struct json *net_def_json(const struct net_def *d) {
    struct json *j = json_object(), *subnets = json_array();
    json_set_str(j, "id", d->id);
    json_set_str(j, "name", d->name);
    json_set_str(j, "driver", d->driver);
    json_set_int(j, "created", d->created);
    json_set_bool(j, "internal", d->internal);
    json_set_bool(j, "ipv6", d->ipv6);
    json_set_bool(j, "attachable", d->attachable);
    json_set_strv(j, "labels", &d->labels);
    json_set_strv(j, "options", &d->options);
    for (size_t i = 0; i < d->n_subnets; i++) {
        struct json *s = json_object();
        json_set_str(s, "subnet", d->subnets[i].subnet);
        json_set_str(s, "gateway", d->subnets[i].gateway);
        if (d->subnets[i].ip_range)
            json_set_str(s, "ip_range", d->subnets[i].ip_range);
        json_push(subnets, s);
    }
    json_set(j, "subnets", subnets);
    return j;
}

static struct err *copy_str(const struct json *j, const char *key, char **ret) {
    const char *s;
    TRY(json_get_str(j, key, &s));
    *ret = mem_dup(s);
    return NULL;
}

static struct err *parse_flags(const struct json *j, struct net_def *d) {
    TRY(json_get_i64_opt(j, "created", 0, &d->created));
    TRY(json_get_bool_opt(j, "internal", false, &d->internal));
    TRY(json_get_bool_opt(j, "ipv6", false, &d->ipv6));
    TRY(json_get_bool_opt(j, "attachable", false, &d->attachable));
    TRY(json_get_strv_opt(j, "labels", &d->labels));
    TRY(json_get_strv_opt(j, "options", &d->options));
    return NULL;
}

static struct err *check_pairs(const struct strv *sv, const char *what) {
    for (size_t i = 0; i < sv->n; i++)
        if (!strchr(sv->v[i], '='))
            return err_new(ERR_CORRUPT, "%s '%s' is not KEY=VALUE", what, sv->v[i]);
    return NULL;
}

static struct err *parse_subnet(const struct json *j, struct net_def *d) {
    struct net_subnet *s = net_def_new_subnet(d);
    const char *range;
    struct net_addr a;
    TRY(copy_str(j, "subnet", &s->subnet));
    TRY(copy_str(j, "gateway", &s->gateway));
    TRY(json_get_str_opt(j, "ip_range", NULL, &range));
    s->ip_range = mem_dup(range);
    struct err *e = net_subnet_check(s, &a);
    if (e)
        return err_with_kind(e, ERR_CORRUPT);
    if (a.family != (d->n_subnets == 1 ? AF_INET : AF_INET6))
        return err_new(ERR_CORRUPT, "subnet %s is out of order", s->subnet);
    return NULL;
}

/* As many subnets as the driver and the flags say. */
static struct err *parse_subnets(const struct json *j, struct net_def *d) {
    struct json *subnets;
    bool addressed = str_eq(d->driver, "bridge") || str_eq(d->driver, NET_SLIRP);
    size_t want = !addressed ? 0 : d->ipv6 ? 2 : 1;
    TRY(json_get_array_opt(j, "subnets", &subnets));
    if (json_count(subnets) != want)
        return err_new(ERR_CORRUPT, "%zu subnets instead of %zu", json_count(subnets), want);
    JSON_EACH(s, subnets)
    TRY(parse_subnet(s, d));
    return NULL;
}

/* Names, ids and drivers: of a built-in network all three are given, any other has none of them. */
static struct err *check_identity(struct net_def *d) {
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        bool named = str_eq(d->name, builtins[i].name), marked = str_eq(d->id, builtins[i].id);
        if (named && marked && str_eq(d->driver, builtins[i].driver)) {
            d->builtin = true;
            return NULL;
        }
        if (named || marked)
            return err_new(ERR_CORRUPT, "it passes itself off as the pre-defined network %s", builtins[i].name);
    }
    bool slirp = str_eq(d->name, NET_SLIRP) && str_eq(d->driver, NET_SLIRP);
    if (!slirp && (!net_name_ok(d->name) || net_name_predefined(d->name)))
        return err_new(ERR_CORRUPT, "invalid network name '%s'", d->name);
    if (!path_is_hex64(d->id))
        return err_new(ERR_CORRUPT, "invalid network id '%s'", d->id);
    if (!slirp && strcmp(d->driver, "bridge") != 0)
        return err_new(ERR_CORRUPT, "unknown driver '%s'", d->driver);
    return NULL;
}

struct err *net_def_parse(const struct json *j, struct net_def **ret) {
    autonetdef d = mem_alloc(sizeof *d);
    TRY(copy_str(j, "id", &d->id));
    TRY(copy_str(j, "name", &d->name));
    TRY(copy_str(j, "driver", &d->driver));
    TRY(parse_flags(j, d));
    TRY(check_pairs(&d->labels, "label"));
    TRY(check_pairs(&d->options, "option"));
    TRY(check_identity(d));
    TRY(parse_subnets(j, d));
    *ret = take_ptr(&d);
    return NULL;
}
