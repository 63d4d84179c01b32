/*
 * --network and what belongs to it: the mode, and, where the container gets addresses of its own, the file network.json
 * that each start reads: which networks it joins under which names, its ports, its resolver.
 */
#include "spec/spec_int.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char default_network[] = "bridge";

static bool is_default(const char *name) { return str_eq(name, default_network); }

void spec_endpoints_done(struct spec_ctx *x) {
    for (size_t i = 0; i < x->n_endpoints; i++) {
        struct spec_endpoint *e = &x->endpoints[i];
        free(e->network);
        free(e->ip);
        free(e->ip6);
        free(e->mac);
        strv_done(&e->aliases);
        strv_done(&e->link_local);
        strv_done(&e->options);
    }
    free(x->endpoints);
}

/* ---- one --network ---- */

static struct err *set_once(char **field, const char *key, const char *value) {
    if (*field)
        return err_new(ERR_USAGE, "--network: %s is given twice", key);
    if (!*value)
        return err_new(ERR_USAGE, "--network: %s has no value", key);
    mem_set(field, value);
    return NULL;
}

/* In docker's words. */
static struct err *set_priority(struct spec_endpoint *e, const char *text, const char *value) {
    const char *digits = value + (*value == '-' || *value == '+');
    if (str_to_i64(*value == '+' ? digits : value, INT64_MIN, INT64_MAX, &e->gw_priority))
        return NULL;
    bool number = *digits && strspn(digits, "0123456789") == strlen(digits);
    return err_new(ERR_USAGE, "invalid argument \"%s\" for \"--network\" flag: invalid gw-priority (%s): %s", text,
                   value, number ? "value out of range" : "invalid syntax");
}

/* "name=back", "alias=store", … of docker's long form, which `text` is the whole of. */
static struct err *long_field(struct spec_endpoint *e, const char *text, const char *field) {
    size_t n = strcspn(field, "=");
    autofree char *key = mem_dupn(field, n);
    const char *value = field + n + (field[n] == '=');
    if (str_eq(key, "name"))
        return set_once(&e->network, key, value);
    if (str_eq(key, "ip"))
        return set_once(&e->ip, key, value);
    if (str_eq(key, "ip6"))
        return set_once(&e->ip6, key, value);
    if (str_eq(key, "mac-address"))
        return set_once(&e->mac, key, value);
    if (str_eq(key, "alias")) {
        strv_push(&e->aliases, value);
        return NULL;
    }
    if (str_eq(key, "link-local-ip")) {
        strv_push(&e->link_local, value);
        return NULL;
    }
    if (str_eq(key, "gw-priority"))
        return set_priority(e, text, value);
    if (str_eq(key, "driver-opt"))
        return err_hint(err_new(ERR_UNSUPPORTED, "--network: %s is not available", key), SPEC_HINT_COMPAT);
    return err_new(ERR_USAGE, "invalid field %s in --network", key);
}

static struct err *parse_network(const char *text, struct spec_endpoint *e) {
    autostrv struct strv fields = {0};
    if (!strchr(text, '=')) {
        mem_set(&e->network, str_eq(text, "default") || !*text ? default_network : text);
        return NULL;
    }
    strv_split(&fields, text, ',');
    for (size_t i = 0; i < fields.n; i++)
        TRY(long_field(e, text, fields.v[i]));
    if (!e->network)
        return err_new(ERR_USAGE, "--network: no name specified for network");
    return NULL;
}

/* ---- the mode ---- */

/* none, host, container:X and the like stand alone. */
static bool is_mode(const char *v) {
    return str_eq(v, "none") || str_eq(v, "host") || str_starts(v, "container:") || str_starts(v, "ns:") ||
           spec_is_slirp(v);
}

static struct spec_endpoint *new_endpoint(struct spec_ctx *x) {
    x->endpoints = mem_resize(x->endpoints, x->n_endpoints + 1, sizeof *x->endpoints);
    struct spec_endpoint *e = &x->endpoints[x->n_endpoints++];
    *e = (struct spec_endpoint){.network = NULL};
    return e;
}

static struct err *set_slirp(struct spec_ctx *x, const char *v) {
    struct spec_endpoint *e = new_endpoint(x);
    e->network = mem_dup(SPEC_SLIRP);
    return spec_slirp_options(v, &e->options);
}

static struct err *set_mode(struct spec_ctx *x, const char *v) {
    static const char container[] = "container:", path[] = "ns:";
    x->net_name = v;
    if (str_eq(v, "none"))
        return NULL;
    if (str_eq(v, "host")) {
        x->net.mode = SPEC_NS_HOST;
        return NULL;
    }
    if (str_starts(v, container) && v[sizeof container - 1]) {
        x->net.mode = SPEC_NS_CONTAINER;
        x->net.of = v + sizeof container - 1;
        return NULL;
    }
    if (spec_is_slirp(v))
        return set_slirp(x, v);
    if (str_starts(v, path)) {
        if (v[sizeof path - 1] != '/')
            return err_new(ERR_USAGE, "--network %s: expected ns: and the absolute path of a network namespace", v);
        x->net.mode = SPEC_NS_PATH;
        x->net.of = v + sizeof path - 1;
        return NULL;
    }
    return err_hint(err_new(ERR_UNSUPPORTED, "network mode %s is not available", v),
                    "use a network, none, host, slirp, container:NAME or ns:PATH; " SPEC_HINT_COMPAT);
}

static struct err *check_address(const char *text, int family, const char *flag) {
    unsigned char buf[sizeof(struct in6_addr)];
    if (text && inet_pton(family, text, buf) != 1)
        return err_new(ERR_USAGE, "invalid argument \"%s\" for \"%s\" flag: not an %s address", text, flag,
                       family == AF_INET ? "IPv4" : "IPv6");
    return NULL;
}

static bool mac_ok(const char *text) {
    unsigned b[6];
    int n = 0;
    return sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &n) == 6 && !text[n] &&
           !(b[0] & 1);
}

struct err *spec_check_link_local(const char *text) {
    struct in6_addr v6;
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1 && (ntohl(v4.s_addr) & 0xffff0000) == 0xa9fe0000)
        return NULL;
    if (inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LINKLOCAL(&v6))
        return NULL;
    return err_new(ERR_USAGE, "invalid link local IP address: %s", text);
}

/* What only a network of the user's own has. */
static struct err *check_endpoint(const struct spec_endpoint *e) {
    TRY(check_address(e->ip, AF_INET, "--ip"));
    TRY(check_address(e->ip6, AF_INET6, "--ip6"));
    for (size_t i = 0; i < e->link_local.n; i++)
        TRY(spec_check_link_local(e->link_local.v[i]));
    if (e->mac && !mac_ok(e->mac))
        return err_new(ERR_USAGE, "%s is not a valid mac address", e->mac);
    for (size_t i = 0; i < e->aliases.n; i++)
        if (!*e->aliases.v[i] || spec_has_control(e->aliases.v[i]) || strpbrk(e->aliases.v[i], " ,"))
            return err_new(ERR_USAGE, "invalid network alias '%s'", e->aliases.v[i]);
    if (!is_default(e->network))
        return NULL;
    if (e->ip || e->ip6)
        return err_hint(err_new(ERR_USAGE, "user specified IP address is supported on user defined networks only"),
                        "make one: coracle network create --subnet 10.89.7.0/24 NAME, then --network NAME");
    if (e->aliases.n)
        return err_hint(
            err_new(ERR_USAGE, "network-scoped alias is supported only for containers in user defined networks"),
            "make one: coracle network create NAME, then --network NAME");
    return NULL;
}

/* The flags --ip, --ip6, --mac-address and --network-alias speak of the first network. */
static struct err *first_flags(const struct container_options *o, struct spec_endpoint *e) {
    const struct {
        const char *flag, *key, *value;
        char **field;
    } singles[] = {{"--ip", "ip", o->ip, &e->ip},
                   {"--ip6", "ip6", o->ip6, &e->ip6},
                   {"--mac-address", "mac-address", o->mac_address, &e->mac}};
    for (size_t i = 0; i < ARRAY_LEN(singles); i++) {
        if (!singles[i].value || !*singles[i].value)
            continue;
        if (*singles[i].field)
            return err_new(ERR_USAGE, "conflicting options: cannot specify both %s and %s of --network",
                           singles[i].flag, singles[i].key);
        mem_set(singles[i].field, singles[i].value);
    }
    if (o->network_alias.n && e->aliases.n)
        return err_new(ERR_USAGE, "conflicting options: cannot specify both --network-alias and per-network alias");
    if (o->link_local.n && e->link_local.n)
        return err_new(
            ERR_USAGE,
            "conflicting options: cannot specify both --link-local-ip and per-network link-local IP addresses");
    strv_extend(&e->aliases, &o->network_alias);
    strv_extend(&e->link_local, &o->link_local);
    return NULL;
}

static struct err *add_endpoint(struct spec_ctx *x, const char *text) {
    struct spec_endpoint *e = new_endpoint(x);
    TRY(parse_network(text, e));
    for (size_t i = 0; i + 1 < x->n_endpoints; i++)
        if (str_eq(x->endpoints[i].network, e->network))
            return err_new(ERR_USAGE, "network \"%s\" is specified multiple times", e->network);
    return NULL;
}

static struct err *check_fallback(const char *v) {
    if (!v || str_eq(v, "host") || str_eq(v, "error"))
        return NULL;
    return err_new(ERR_USAGE, "invalid argument \"%s\" for \"--network-fallback\" flag: must be host or error", v);
}

static struct err *check_links(const struct strv *links) {
    for (size_t i = 0; i < links->n; i++) {
        const char *v = links->v[i];
        size_t n = strcspn(v, ":");
        bool alias = v[n] && v[n + 1];
        if (!n || (v[n] && !alias) || strchr(v + n + alias, ':') || strpbrk(v, " #") || spec_has_control(v))
            return err_new(ERR_USAGE, "bad format for links: %s", v);
    }
    return NULL;
}

struct err *spec_resolve_network(struct spec_ctx *x) {
    TRY(check_links(&x->o->links));
    TRY(check_fallback(x->o->network_fallback));
    const struct strv *networks = &x->o->networks;
    bool addressed = x->o->ip || x->o->ip6 || x->o->mac_address || x->o->network_alias.n || x->o->link_local.n;
    if (networks->n == 1 && is_mode(networks->v[0])) {
        if (x->o->links.n)
            return err_new(ERR_USAGE, "conflicting options: links need a network, not --network %s", networks->v[0]);
        if (addressed)
            return err_new(ERR_USAGE, "conflicting options: addresses and aliases need a network, not --network %s",
                           networks->v[0]);
        return set_mode(x, networks->v[0]);
    }
    for (size_t i = 0; i < networks->n; i++) {
        if (is_mode(networks->v[i]))
            return err_new(ERR_USAGE, "conflicting options: cannot attach both user-defined and non-user-defined "
                                      "network-modes");
        TRY(add_endpoint(x, networks->v[i]));
    }
    if (!networks->n)
        TRY(add_endpoint(x, default_network));
    TRY(first_flags(x->o, &x->endpoints[0]));
    for (size_t i = 0; i < x->n_endpoints; i++)
        TRY(check_endpoint(&x->endpoints[i]));
    x->net_name = x->endpoints[0].network;
    return NULL;
}

const char *spec_network_mode(const struct container_options *o) {
    return o->networks.n && *o->networks.v[0] ? o->networks.v[0] : default_network;
}

/* ---- network.json ---- */

static struct json *endpoint_json(const struct spec_endpoint *e) {
    struct json *j = json_object();
    json_set_str(j, "network", e->network);
    json_set_str(j, "ip", e->ip ? e->ip : "");
    json_set_str(j, "ip6", e->ip6 ? e->ip6 : "");
    json_set_str(j, "mac", e->mac ? e->mac : "");
    json_set_strv(j, "aliases", &e->aliases);
    if (e->link_local.n)
        json_set_strv(j, "link_local", &e->link_local);
    if (e->gw_priority)
        json_set_int(j, "gw_priority", e->gw_priority);
    if (e->options.n)
        json_set_strv(j, "options", &e->options);
    return j;
}

static void push_port(struct json *list, const char *key, const char *host_ip, const char *host_port) {
    struct json *j = json_object();
    autofree char *port = mem_dupn(key, strcspn(key, "/"));
    int64_t number = 0;
    (void)str_to_i64(port, 0, 65535, &number);
    json_set_str(j, "proto", key + strcspn(key, "/") + 1);
    json_set_str(j, "host_ip", host_ip);
    json_set_str(j, "host_port", host_port);
    json_set_int(j, "port", number);
    json_push(list, j);
}

/* "80" of an image's ExposedPorts means "80/tcp". */
static void push_exposed(const struct spec_ctx *x, struct json *list, const char *key) {
    autofree char *full = strchr(key, '/') ? mem_dup(key) : mem_printf("%s/tcp", key);
    push_port(list, full, x->in->config && x->in->config->ip ? x->in->config->ip : "", "");
}

static bool is_published(const struct spec_ctx *x, const char *key) {
    for (size_t i = 0; i < x->n_ports; i++)
        if (x->ports[i].host_port && str_eq(x->ports[i].key, key))
            return true;
    return false;
}

static struct json *ports_json(const struct spec_ctx *x) {
    struct json *list = json_array();
    for (size_t i = 0; i < x->n_ports; i++)
        if (x->ports[i].host_port)
            push_port(list, x->ports[i].key, x->ports[i].host_ip, x->ports[i].host_port);
    if (!x->o->publish_all)
        return list;
    for (size_t i = 0; i < x->n_ports; i++)
        if (!x->ports[i].host_port && !is_published(x, x->ports[i].key))
            push_exposed(x, list, x->ports[i].key);
    JSON_EACH(p, json_get(x->img, "ExposedPorts"))
    if (json_key(p) && !is_published(x, json_key(p)))
        push_exposed(x, list, json_key(p));
    return list;
}

struct json *spec_emit_network(const struct spec_ctx *x) {
    if (!x->n_endpoints)
        return NULL;
    struct json *j = json_object(), *networks = json_array();
    for (size_t i = 0; i < x->n_endpoints; i++)
        json_push(networks, endpoint_json(&x->endpoints[i]));
    json_set(j, "networks", networks);
    json_set(j, "ports", ports_json(x));
    json_set_str(j, "hostname", x->hostname);
    if (x->o->links.n)
        json_set_strv(j, "links", &x->o->links);
    if (x->o->network_fallback)
        json_set_str(j, "fallback", x->o->network_fallback);
    json_set_strv(j, "dns", &x->o->dns);
    json_set_str(j, "hosts", x->hosts_text ? x->hosts_text : "");
    json_set_str(j, "resolv", x->resolv_text ? x->resolv_text : "");
    return j;
}
