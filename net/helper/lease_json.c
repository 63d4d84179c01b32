/* lease_json: requests and answers, in the words of net/net.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

enum { WORD_MAX = 255 };

/* ---- requests ---- */

static struct err *parse_port(const struct json *j, struct port *p) {
    const char *proto, *host_ip;
    int64_t host_port, port;
    TRY(json_get_str_opt(j, "proto", "tcp", &proto));
    TRY(json_get_str_opt(j, "host_ip", "", &host_ip));
    TRY(json_get_i64_opt(j, "host_port", 0, &host_port));
    TRY(json_get_i64(j, "port", &port));
    if (!str_eq(proto, "tcp") && !str_eq(proto, "udp"))
        return err_new(ERR_UNSUPPORTED, "publishing %s ports is not possible without root", proto);
    if (port < 1 || port > UINT16_MAX || host_port < 0 || host_port > UINT16_MAX)
        return err_new(ERR_USAGE, "invalid port");
    if (*host_ip) {
        struct net_addr a;
        TRY(net_addr_parse(host_ip, &a));
    }
    *p = (struct port){
        .proto = mem_dup(proto), .host_ip = mem_dup(host_ip), .host_port = (uint16_t)host_port, .port = (uint16_t)port};
    return NULL;
}

static struct err *parse_ports(const struct json *request, struct lease *l) {
    struct json *ports;
    TRY(json_get_array_opt(request, "ports", &ports));
    if (json_count(ports) > PORTS_MAX)
        return err_new(ERR_USAGE, "more than %d ports", PORTS_MAX);
    l->ports = mem_array(json_count(ports), sizeof *l->ports);
    JSON_EACH(j, ports) {
        TRY(parse_port(j, &l->ports[l->n_ports]));
        l->n_ports++;
    }
    return NULL;
}

struct err *lease_parse(struct lease *l, const struct json *request) {
    const char *id, *name, *hostname;
    TRY(json_get_str(request, "id", &id));
    if (!path_is_hex64(id))
        return err_new(ERR_USAGE, "invalid container id");
    TRY(json_get_str_opt(request, "name", id, &name));
    TRY(json_get_str_opt(request, "hostname", "", &hostname));
    if (strlen(name) > WORD_MAX || strlen(hostname) > WORD_MAX)
        return err_new(ERR_USAGE, "name is longer than %d bytes", WORD_MAX);
    TRY(json_get_strv_opt(request, "dns", &l->dns));
    TRY(json_get_bool_opt(request, "dns_internal", false, &l->dns_internal));
    if (l->dns.n > NAMES_MAX)
        return err_new(ERR_USAGE, "more than %d name servers", NAMES_MAX);
    TRY(parse_ports(request, l));
    l->name = mem_dup(name);
    l->hostname = mem_dup(hostname);
    l->id = mem_dup(id);
    return NULL;
}

/* ---- answers ---- */

static void set_addr(struct json *j, const char *key, const struct net_addr *a) {
    autofree char *text = a->family ? net_addr_text(a) : NULL;
    json_set_str(j, key, text ? text : "");
}

static void set_mac(struct json *j, const uint8_t m[6]) {
    autofree char *text = mem_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    json_set_str(j, "mac", text);
}

/* What an endpoint's two forms share. */
static struct json *endpoint_core(const struct endpoint *e) {
    struct json *j = json_object();
    json_set_str(j, "ifname", e->ifname);
    set_addr(j, "ip", &e->ip);
    set_addr(j, "ip6", &e->ip6);
    set_mac(j, e->mac);
    json_set_strv(j, "aliases", &e->aliases);
    json_set_strv(j, "link_local", &e->link_local);
    json_set_int(j, "gw_priority", e->gw_priority);
    return j;
}

static struct json *endpoint_json(const struct endpoint *e) {
    struct json *j = endpoint_core(e);
    json_set_str(j, "network", e->network->def->id);
    json_set_str(j, "name", e->network->def->name);
    json_set_int(j, "prefix", e->ip.prefix);
    json_set_int(j, "prefix6", e->ip6.prefix);
    static const struct net_addr none;
    bool internal = e->network->def->internal;
    set_addr(j, "gateway", internal || !e->ip.family ? &none : &e->network->gateway);
    set_addr(j, "gateway6", internal || !e->ip6.family ? &none : &e->network->gateway6);
    return j;
}

static struct json *endpoint_restore(const struct endpoint *e) {
    struct json *j = endpoint_core(e);
    json_set(j, "network", net_def_json(e->network->def));
    json_set_str(j, "link", e->link);
    return j;
}

static struct json *endpoints_json(const struct lease *l, struct json *(*one)(const struct endpoint *)) {
    struct json *a = json_array();
    for (size_t i = 0; i < l->n_endpoints; i++)
        json_push(a, one(l->endpoints[i]));
    return a;
}

static struct json *port_json(const struct port *p) {
    struct json *j = json_object();
    json_set_str(j, "proto", p->proto);
    json_set_str(j, "host_ip", p->host_ip);
    json_set_int(j, "host_port", p->host_port);
    json_set_int(j, "port", p->port);
    return j;
}

/* Those that are published. */
static struct json *ports_json(const struct lease *l) {
    struct json *a = json_array();
    for (size_t i = 0; i < l->n_ports; i++)
        if (!l->ports[i].lost)
            json_push(a, port_json(&l->ports[i]));
    return a;
}

static struct json *lost_json(const struct lease *l) {
    struct json *a = json_array();
    for (size_t i = 0; i < l->n_ports; i++) {
        if (!l->ports[i].lost)
            continue;
        struct json *j = port_json(&l->ports[i]);
        json_set_str(j, "why", l->ports[i].lost);
        json_push(a, j);
    }
    return a;
}

/* All: the next helper may find a lost one free again. */
static struct json *ports_restore(const struct lease *l) {
    struct json *a = json_array();
    for (size_t i = 0; i < l->n_ports; i++)
        json_push(a, port_json(&l->ports[i]));
    return a;
}

static struct json *restore_json(const struct lease *l) {
    struct json *j = json_object();
    json_set_str(j, "id", l->id);
    json_set_str(j, "name", l->name);
    json_set_str(j, "hostname", l->hostname);
    json_set(j, "endpoints", endpoints_json(l, endpoint_restore));
    json_set(j, "ports", ports_restore(l));
    json_set_strv(j, "dns", &l->dns);
    json_set_bool(j, "dns_internal", l->dns_internal);
    return j;
}

/* Where the container's queries go: inside, or to the first network's gateway. */
static void set_nameserver(struct json *j, const struct lease *l) {
    static const struct net_addr none;
    const struct network *n = l->n_endpoints ? l->endpoints[0]->network : NULL;
    if (l->dns_internal && n)
        json_set_str(j, "nameserver", DNS_INSIDE);
    else
        set_addr(j, "nameserver", !n ? &none : n->gateway.family ? &n->gateway : &n->gateway6);
}

struct json *lease_answer(const struct warden *w, const struct lease *l) {
    struct json *j = json_object();
    json_set_bool(j, "ok", true);
    json_set_str(j, "level", w->level);
    json_set(j, "endpoints", endpoints_json(l, endpoint_json));
    json_set(j, "ports", ports_json(l));
    json_set(j, "lost", lost_json(l));
    set_nameserver(j, l);
    json_set_str(j, "host", w->host);
    json_set(j, "restore", restore_json(l));
    return j;
}

void lease_level(const struct warden *w, struct json *answer) {
    json_set_str(answer, "level", w->level ? w->level : "");
    json_set_str(answer, "lacks", w->lacks ? w->lacks : "");
}

struct json *lease_list(const struct warden *w) {
    struct json *all = json_object(), *containers = json_array();
    for (const struct lease *l = w->leases; l; l = l->next) {
        if (!l->id)
            continue;
        struct json *j = json_object();
        json_set_str(j, "id", l->id);
        json_set_str(j, "name", l->name);
        json_set(j, "endpoints", endpoints_json(l, endpoint_json));
        json_set(j, "ports", ports_json(l));
        json_push(containers, j);
    }
    json_set(all, "containers", containers);
    lease_level(w, all);
    return all;
}
