/* endpoints_view: what docker shows of a container's network: NetworkSettings, and the ports of ps and port. */
#include "engine/engine_int.h"

#include <string.h>

/* host_ip "" is every address: docker lists it once for each family. */
static void each_binding(const struct json *port, void (*fn)(void *ctx, const struct json *port, const char *ip),
                         void *ctx) {
    const char *ip = json_text(port, "host_ip");
    if (*ip) {
        fn(ctx, port, ip);
        return;
    }
    fn(ctx, port, "0.0.0.0");
    fn(ctx, port, "::");
}

char *endpoints_port_key(const struct json *port) {
    return mem_printf("%d/%s", (int)json_int_value(json_get(port, "port"), 0), json_text(port, "proto"));
}

/* ---- ps ---- */

static struct json *port_view(const char *proto, int64_t port) {
    struct json *v = json_object();
    json_set_int(v, "PrivatePort", port);
    json_set_str(v, "Type", proto);
    return v;
}

static void push_port(void *ctx, const struct json *port, const char *ip) {
    struct json *v = port_view(json_text(port, "proto"), json_int_value(json_get(port, "port"), 0));
    json_set_str(v, "IP", ip);
    json_set_int(v, "PublicPort", json_int_value(json_get(port, "host_port"), 0));
    json_push(ctx, v);
}

static bool is_bound(const struct json *ports, const char *proto, int64_t port) {
    JSON_EACH(p, ports)
    if (str_eq(json_text(p, "proto"), proto) && json_int_value(json_get(p, "port"), 0) == port)
        return true;
    return false;
}

/* "80/tcp" entries that are exposed but not published come without a public port. */
struct json *endpoints_ports(const struct json *endpoints, const struct json *exposed) {
    struct json *list = json_array();
    const struct json *ports = json_get(endpoints, "ports");
    JSON_EACH(p, ports) { each_binding(p, push_port, list); }
    JSON_EACH(x, exposed) {
        const char *key = json_str_value(x);
        autofree char *number = mem_dupn(key ? key : "", key ? strcspn(key, "/") : 0);
        const char *proto = key && strchr(key, '/') ? strchr(key, '/') + 1 : "tcp";
        int64_t port;
        if (str_to_i64(number, 0, UINT16_MAX, &port) && !is_bound(ports, proto, port))
            json_push(list, port_view(proto, port));
    }
    return list;
}

void endpoints_lost(const struct json *endpoints, struct json *ports) {
    JSON_EACH(p, json_get(endpoints, "lost")) {
        struct json *v = port_view(json_text(p, "proto"), json_int_value(json_get(p, "port"), 0));
        json_set_int(v, "PublicPort", json_int_value(json_get(p, "host_port"), 0));
        json_set_str(v, "HostIp", json_text(p, "host_ip"));
        json_set_str(v, "Lost", json_text(p, "why"));
        json_push(ports, v);
    }
}

/* ---- inspect ---- */

static void add_binding(void *ctx, const struct json *port, const char *ip) {
    struct json *all = ctx, *one = json_object();
    autofree char *key = endpoints_port_key(port);
    autofree char *number = mem_printf("%d", (int)json_int_value(json_get(port, "host_port"), 0));
    if (json_type(json_get(all, key)) != JSON_ARRAY)
        json_set(all, key, json_array());
    json_set_str(one, "HostIp", ip);
    json_set_str(one, "HostPort", number);
    json_push(json_get(all, key), one);
}

static struct json *ports_map(const struct json *endpoints, const struct json *exposed) {
    struct json *all = json_object();
    JSON_EACH(x, exposed)
    if (json_str_value(x))
        json_set(all, json_str_value(x), json_null());
    JSON_EACH(p, json_get(endpoints, "ports")) { each_binding(p, add_binding, all); }
    return all;
}

static struct json *copy_or_null(const struct json *v) {
    struct json *copy = json_count(v) ? json_copy(v) : NULL;
    return copy ? copy : json_null();
}

/* What was asked for: docker's IPAMConfig. */
static struct json *ipam_config(const struct json *wanted) {
    static const char *const keys[][2] = {{"ip", "IPv4Address"}, {"ip6", "IPv6Address"}};
    struct json *o = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (*json_text(wanted, keys[i][0]))
            json_set_str(o, keys[i][1], json_text(wanted, keys[i][0]));
    if (json_count(json_get(wanted, "link_local")))
        json_set(o, "LinkLocalIPs", json_copy(json_get(wanted, "link_local")));
    if (json_count(o))
        return o;
    json_free(o);
    return json_null();
}

/* docker's EndpointSettings; `e` is an endpoint of ENDPOINTS_FILE, or an entry of NETWORK_FILE for one that is not
 * plugged in; `wanted` is the entry itself. */
static struct json *settings(const struct json *e, const struct json *wanted) {
    struct json *j = json_object();
    const char *id = json_str_value(json_get(e, "name")) ? json_text(e, "network") : "";
    json_set(j, "IPAMConfig", ipam_config(wanted));
    json_set(j, "Links", json_null());
    json_set(j, "Aliases", copy_or_null(json_get(e, "aliases")));
    json_set_str(j, "MacAddress", json_text(e, "mac"));
    json_set(j, "DriverOpts", json_null());
    json_set_int(j, "GwPriority", json_int_value(json_get(wanted, "gw_priority"), 0));
    json_set_str(j, "NetworkID", id);
    json_set_str(j, "EndpointID", *id ? json_text(e, "endpoint") : "");
    json_set_str(j, "Gateway", json_text(e, "gateway"));
    json_set_str(j, "IPAddress", json_text(e, "ip"));
    json_set_int(j, "IPPrefixLen", json_int_value(json_get(e, "prefix"), 0));
    json_set_str(j, "IPv6Gateway", json_text(e, "gateway6"));
    json_set_str(j, "GlobalIPv6Address", json_text(e, "ip6"));
    json_set_int(j, "GlobalIPv6PrefixLen", json_int_value(json_get(e, "prefix6"), 0));
    json_set(j, "DNSNames", copy_or_null(json_get(e, "names")));
    return j;
}

static const struct json *find_endpoint(const struct json *endpoints, const char *network) {
    JSON_EACH(e, json_get(endpoints, "endpoints"))
    if (str_eq(json_text(e, "name"), network))
        return e;
    return NULL;
}

static struct json *networks_map(const struct json *wanted, const struct json *endpoints, const char *mode) {
    struct json *all = json_object();
    if (!wanted)
        json_set(all, str_eq(mode, "host") ? "host" : "none", settings(NULL, NULL));
    JSON_EACH(w, json_get(wanted, "networks")) {
        const struct json *e = find_endpoint(endpoints, json_text(w, "network"));
        json_set(all, json_text(w, "network"), settings(e ? e : w, w));
    }
    return all;
}

/* Not docker's, whose daemon does not lose any: those that somebody else has got while the helper was replaced. */
static struct json *lost_ports(const struct json *lost) {
    struct json *list = json_array();
    JSON_EACH(p, lost) {
        struct json *one = json_object();
        autofree char *key = endpoints_port_key(p);
        autofree char *number = mem_printf("%d", (int)json_int_value(json_get(p, "host_port"), 0));
        json_set_str(one, "Port", key);
        json_set_str(one, "HostIp", json_text(p, "host_ip"));
        json_set_str(one, "HostPort", number);
        json_set_str(one, "Error", json_text(p, "why"));
        json_push(list, one);
    }
    return list;
}

struct json *endpoints_settings(const struct engine_container *c) {
    static const char *const on_top[] = {"EndpointID", "Gateway",     "GlobalIPv6Address", "GlobalIPv6PrefixLen",
                                         "IPAddress",  "IPPrefixLen", "IPv6Gateway",       "MacAddress"};
    struct json *o = json_object();
    autojson wanted = NULL;
    autojson endpoints = NULL;
    err_free(json_read_file(c->dirfd, NETWORK_FILE, &wanted));
    if (engine_state_alive(&c->state))
        err_free(json_read_file(c->dirfd, ENDPOINTS_FILE, &endpoints));
    json_set_str(o, "Bridge", "");
    json_set_str(o, "SandboxID", "");
    json_set_str(o, "SandboxKey", "");
    json_set(o, "Ports", ports_map(endpoints, endpoints ? json_get(c->summary, "Exposed") : NULL));
    json_set_bool(o, "HairpinMode", false);
    if (json_count(json_get(endpoints, "lost")))
        json_set(o, "LostPorts", lost_ports(json_get(endpoints, "lost")));
    struct json *networks = networks_map(wanted, endpoints, json_text(c->summary, "NetworkMode"));
    const struct json *bridge = json_get(networks, "bridge");
    autojson none = settings(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(on_top); i++)
        json_set(o, on_top[i], json_copy(json_get(bridge ? bridge : none, on_top[i])));
    json_set(o, "Networks", networks);
    return o;
}
