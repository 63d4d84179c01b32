/* networks: the use cases of `coracle network`. Definitions are files (net/net.h); who is plugged in where is asked of
 * coracle-net, and what a container wants stands in its network.json. */
#include "engine/engine_int.h"

#include <string.h>

#include "base/clock.h"

/* ---- views ---- */

static struct json *pairs(const struct strv *list) {
    autostrmap struct strmap m = {.n = 0};
    for (size_t i = 0; i < list->n; i++)
        strmap_set_pair(&m, list->v[i]);
    return json_of_strmap(&m);
}

static struct json *ipam_view(const struct net_def *d) {
    struct json *ipam = json_object(), *config = json_array();
    json_set_str(ipam, "Driver", "default");
    json_set(ipam, "Options", json_null());
    for (size_t i = 0; i < d->n_subnets; i++) {
        struct json *one = json_object();
        json_set_str(one, "Subnet", d->subnets[i].subnet);
        if (d->subnets[i].ip_range)
            json_set_str(one, "IPRange", d->subnets[i].ip_range);
        if (d->subnets[i].gateway)
            json_set_str(one, "Gateway", d->subnets[i].gateway);
        json_push(config, one);
    }
    json_set(ipam, "Config", config);
    return ipam;
}

static struct json *view_of(const struct net_def *d) {
    struct json *v = json_object(), *from = json_object();
    autostr struct str created = STR_INIT;
    clock_format_rfc3339(d->created, &created);
    json_set_str(v, "Name", d->name);
    json_set_str(v, "Id", d->id);
    json_set_str(v, "Created", str_c(&created));
    json_set_str(v, "Scope", "local");
    json_set_str(v, "Driver", d->driver);
    json_set_bool(v, "EnableIPv4", true);
    json_set_bool(v, "EnableIPv6", d->ipv6);
    json_set(v, "IPAM", ipam_view(d));
    json_set_bool(v, "Internal", d->internal);
    json_set_bool(v, "Attachable", d->attachable);
    json_set_bool(v, "Ingress", false);
    json_set_str(from, "Network", "");
    json_set(v, "ConfigFrom", from);
    json_set_bool(v, "ConfigOnly", false);
    json_set(v, "Containers", json_object());
    json_set(v, "Options", pairs(&d->options));
    json_set(v, "Labels", pairs(&d->labels));
    return v;
}

/* The containers that are plugged in now; none when no helper runs. */
static struct err *plugged(const struct engine *e, struct json **ret) {
    autojson ask = json_object();
    autojson answer = NULL;
    json_set_str(ask, "op", "list");
    struct err *err = net_ask(e->host, ask, &answer);
    if (err && err_kind(err) == ERR_NOT_FOUND) {
        err_free(err);
        answer = json_object();
        err = NULL;
    }
    if (!err)
        *ret = take_ptr(&answer);
    return err;
}

static struct json *member_view(const struct json *container, const struct json *endpoint) {
    struct json *v = json_object();
    const char *ip = json_text(endpoint, "ip"), *ip6 = json_text(endpoint, "ip6");
    autofree char *v4 = mem_printf("%s/%d", ip, (int)json_int_value(json_get(endpoint, "prefix"), 0));
    autofree char *v6 = mem_printf("%s/%d", ip6, (int)json_int_value(json_get(endpoint, "prefix6"), 0));
    json_set_str(v, "Name", json_text(container, "name"));
    json_set_str(v, "EndpointID", json_text(endpoint, "endpoint"));
    json_set_str(v, "MacAddress", json_text(endpoint, "mac"));
    json_set_str(v, "IPv4Address", *ip ? v4 : "");
    json_set_str(v, "IPv6Address", *ip6 ? v6 : "");
    return v;
}

/* {container id: endpoint} of one network. */
static struct json *members_of(const struct json *list, const char *network_id) {
    struct json *all = json_object();
    JSON_EACH(c, json_get(list, "containers"))
    JSON_EACH(e, json_get(c, "endpoints"))
    if (str_eq(json_text(e, "network"), network_id))
        json_set(all, json_text(c, "id"), member_view(c, e));
    return all;
}

struct err *engine_network_list(struct engine *e, struct json **ret) {
    struct net_defs defs = {.n = 0};
    TRY(net_list(e->host, &defs));
    struct json *list = json_array();
    for (size_t i = 0; i < defs.n; i++) {
        struct json *v = view_of(defs.v[i]);
        json_set_int(v, "CreatedNs", defs.v[i]->created);
        json_set_bool(v, "Builtin", defs.v[i]->builtin);
        json_push(list, v);
    }
    net_defs_done(&defs);
    *ret = list;
    return NULL;
}

struct err *engine_network_inspect(struct engine *e, const char *name, struct json **ret) {
    autonetdef d = NULL;
    autojson list = NULL;
    TRY(net_find(e->host, name, &d));
    TRY(plugged(e, &list));
    struct json *v = view_of(d);
    json_set(v, "Containers", members_of(list, d->id));
    *ret = v;
    return NULL;
}

/* ---- create, rm, prune ---- */

/* `container`: the id of the one it is about, or NULL. */
static void tell(const struct engine *e, const struct net_def *d, const char *action, const char *container) {
    const char *const attributes[] = {
        "name", d->name, "type", d->driver ? d->driver : "bridge", container ? "container" : NULL, container, NULL};
    const struct event ev = {.type = "network", .action = action, .id = d->id, .attributes = attributes};
    events_tell(e->host, &ev);
}

struct err *engine_network_create(struct engine *e, const struct engine_network_new *n, char ret_id[65]) {
    autonetdef d = NULL;
    const struct net_create c = {.name = n->name,
                                 .driver = n->driver,
                                 .internal = n->internal,
                                 .ipv6 = n->ipv6,
                                 .attachable = n->attachable,
                                 .subnets = n->subnets,
                                 .gateways = n->gateways,
                                 .ip_ranges = n->ip_ranges,
                                 .labels = n->labels,
                                 .options = n->options};
    TRY(net_create(e->host, &c, &d));
    tell(e, d, "create", NULL);
    memcpy(ret_id, d->id, 65);
    return NULL;
}

static struct err *in_use(const char *network, const struct engine_container *c) {
    const char *name = engine_container_name(c);
    return err_hint(err_new(ERR_CONFLICT,
                            "error while removing network: network %s has active endpoints (name:\"%s\" id:\"%.12s\")",
                            network, name, c->id),
                    "stop the containers that use it, or: coracle network disconnect -f %s %s", network, name);
}

bool engine_has_network(const struct json *list, const char *network) {
    JSON_EACH(w, list)
    if (str_eq(json_text(w, "network"), network))
        return true;
    return false;
}

bool engine_wants_network(const struct json *wanted, const char *network) {
    return engine_has_network(json_get(wanted, "networks"), network);
}

/* By the records, not by the helper: one that was killed a moment ago knows of nobody yet. */
static struct err *check_unused(struct engine *e, const char *network) {
    struct store *store;
    autostrv struct strv ids = {.n = 0};
    TRY(engine_store(e, &store));
    TRY(store_container_ids(store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autojson wanted = NULL;
        autocontainer c = ENGINE_CONTAINER_INIT;
        autoerr none = store_container_read(store, ids.v[i], NETWORK_FILE, &wanted);
        if (none || !engine_wants_network(wanted, network))
            continue;
        autoerr gone = engine_container_load_id(e, ids.v[i], &c);
        if (!gone && engine_state_alive(&c.state))
            return in_use(network, &c);
    }
    return NULL;
}

struct err *engine_network_remove(struct engine *e, const char *name) {
    autonetdef d = NULL;
    TRY(net_find(e->host, name, &d));
    if (!d->builtin)
        TRY(check_unused(e, d->name));
    TRY(net_remove(e->host, d));
    tell(e, d, "destroy", NULL);
    return NULL;
}

/* Whether any container, running or not, wants the network. */
static bool is_wanted(struct engine *e, const struct strv *ids, const char *network) {
    for (size_t i = 0; i < ids->n; i++) {
        autojson wanted = NULL;
        autoerr none = store_container_read(e->store, ids->v[i], NETWORK_FILE, &wanted);
        if (!none && engine_wants_network(wanted, network))
            return true;
    }
    return false;
}

struct err *engine_network_unused(struct engine *e, struct strv *ret_names) {
    struct net_defs defs = {.n = 0};
    struct store *store;
    autostrv struct strv ids = {.n = 0};
    TRY(engine_store(e, &store));
    TRY(store_container_ids(store, &ids));
    TRY(net_list(e->host, &defs));
    for (size_t i = 0; i < defs.n; i++)
        if (!defs.v[i]->builtin && !is_wanted(e, &ids, defs.v[i]->name))
            strv_push(ret_names, defs.v[i]->name);
    net_defs_done(&defs);
    return NULL;
}

/* ---- connect, disconnect ---- */

static struct json *new_entry(const struct net_def *d, const struct engine_endpoint *p) {
    struct json *j = json_object();
    json_set_str(j, "network", d->name);
    json_set_str(j, "ip", p->ip ? p->ip : "");
    json_set_str(j, "ip6", p->ip6 ? p->ip6 : "");
    json_set_str(j, "mac", p->mac ? p->mac : "");
    json_set_strv(j, "aliases", &p->aliases);
    json_set_strv(j, "link_local", &p->link_local);
    json_set_int(j, "gw_priority", p->gw_priority);
    return j;
}

static struct err *check_link_local(const struct strv *addresses) {
    for (size_t i = 0; i < addresses->n; i++)
        TRY(spec_check_link_local(addresses->v[i]));
    return NULL;
}

/* A container and a network that it is to join or to leave. */
struct membership {
    struct engine_container c;
    struct net_def *network;
    struct json *before, *wanted; /* its network.json, and what is made of that */
};

static void membership_done(struct membership *m) {
    engine_container_done(&m->c);
    net_def_free(m->network);
    json_free(m->before);
    json_free(m->wanted);
}
#define automembership __attribute__((cleanup(membership_done))) struct membership

static struct err *no_networks(const struct membership *m) {
    return err_new(ERR_CONFLICT, "container %s has --network %s and cannot be connected to a network",
                   engine_container_name(&m->c), json_text(m->c.summary, "NetworkMode"));
}

/* Loads both; a container without a network of its own cannot be plugged in. */
static struct err *membership_load(struct engine *e, const char *network, const char *container, struct membership *m) {
    TRY(net_find(e->host, network, &m->network));
    TRY(engine_container_load(e, container, &m->c));
    if (!json_bool_value(json_get(m->c.summary, "Networked"), false))
        return no_networks(m);
    TRY(json_read_file(m->c.dirfd, NETWORK_FILE, &m->before));
    m->wanted = json_copy(m->before);
    return engine_wants_network(m->wanted, SPEC_SLIRP) ? no_networks(m) : NULL;
}

/* The helper tells the container's monitor, too. Until that has written it down neither inspect nor the container's own
 * hosts and resolv.conf show it. */
static struct err *await_record(struct engine *e, const struct membership *m, bool joined) {
    enum { PATIENCE_S = 10 }; /* a monitor that somebody has stopped does it when it goes on */
    for (int64_t end = clock_boot() + PATIENCE_S * NSEC_PER_SEC; clock_boot() < end;) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        autojson got = NULL;
        autoerr gone = engine_container_load_id(e, m->c.id, &c);
        if (gone || !engine_state_alive(&c.state))
            return NULL;
        autoerr none = json_read_file(c.dirfd, ENDPOINTS_FILE, &got);
        if (none || engine_has_network(json_get(got, "endpoints"), m->network->id) == joined)
            return NULL;
        TRY(engine_container_await_change(&c));
    }
    return NULL;
}

/* Keeps what is wanted for the next starts, and carries it out on a container that runs, whose monitor reads it then.
 */
static struct err *membership_change(struct engine *e, const struct membership *m, struct json *request, bool joined) {
    autojson answer = NULL;
    TRY(json_write_file(m->c.dirfd, NETWORK_FILE, m->wanted, 0600, IO_DURABLE));
    if (!engine_state_alive(&m->c.state))
        return NULL;
    json_set_str(request, "id", m->c.id);
    struct err *refused = net_ask(e->host, request, &answer);
    if (refused) {
        err_free(json_write_file(m->c.dirfd, NETWORK_FILE, m->before, 0600, IO_DURABLE));
        return refused;
    }
    return await_record(e, m, joined);
}

struct err *engine_network_connect(struct engine *e, const char *network, const char *container,
                                   const struct engine_endpoint *p) {
    automembership m = {.c = ENGINE_CONTAINER_INIT};
    autojson request = json_object();
    TRY(check_link_local(&p->link_local));
    TRY(membership_load(e, network, container, &m));
    if (engine_wants_network(m.wanted, m.network->name))
        return err_new(ERR_CONFLICT, "endpoint with name %s already exists in network %s", engine_container_name(&m.c),
                       m.network->name);
    struct json *networks = json_get(m.wanted, "networks"), *entry = new_entry(m.network, p);
    json_push(networks, entry);
    json_set_str(request, "op", "connect");
    json_set(request, "endpoint", engine_endpoint_json(m.network, entry, (unsigned)json_count(networks) - 1));
    TRY(membership_change(e, &m, request, true));
    tell(e, m.network, "connect", m.c.id);
    return NULL;
}

struct err *engine_network_disconnect(struct engine *e, const char *network, const char *container) {
    automembership m = {.c = ENGINE_CONTAINER_INIT};
    autojson request = json_object();
    TRY(membership_load(e, network, container, &m));
    if (!engine_wants_network(m.wanted, m.network->name))
        return err_new(ERR_NOT_FOUND, "container %s is not connected to network %s", engine_container_name(&m.c),
                       m.network->name);
    struct json *left = json_array();
    JSON_EACH(w, json_get(m.wanted, "networks"))
    if (!str_eq(json_text(w, "network"), m.network->name))
        json_push(left, json_copy(w));
    json_set(m.wanted, "networks", left);
    json_set_str(request, "op", "disconnect");
    json_set_str(request, "network", m.network->id);
    TRY(membership_change(e, &m, request, false));
    tell(e, m.network, "disconnect", m.c.id);
    return NULL;
}

void engine_complete_networks(struct engine *e, struct strv *out) {
    struct net_defs defs = {.n = 0};
    autoerr bad = net_list(e->host, &defs);
    for (size_t i = 0; !bad && i < defs.n; i++)
        strv_push(out, defs.v[i]->name);
    net_defs_done(&defs);
}

struct err *engine_container_ports(struct engine *e, const char *name, struct json **ret) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    autojson endpoints = NULL;
    TRY(engine_container_load(e, name, &c));
    if (engine_state_alive(&c.state) && json_bool_value(json_get(c.summary, "Networked"), false))
        err_free(json_read_file(c.dirfd, ENDPOINTS_FILE, &endpoints));
    *ret = endpoints_ports(endpoints, NULL);
    endpoints_lost(endpoints, *ret);
    return NULL;
}
