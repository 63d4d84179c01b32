/* networks: the use cases of `coracle network`. Definitions are files (net/net.h); who is plugged in where is asked of
 * coracle-net, and what a container wants stands in its network.json. */
#include "engine/engine_int.h"

#include <string.h>

#include "base/clock.h"

/* For a helper to come, and for a monitor to write down what it has done. One that somebody has stopped does that when
 * it goes on. */
enum { PATIENCE_S = 10 };

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

/* ---- questions ---- */

/* Whether the container has what only a helper keeps up. */
static bool needs_helper(struct engine *e, const char *id, struct engine_container *c) {
    autojson got = NULL;
    autoerr gone = engine_container_load_id(e, id, c);
    if (gone || !engine_state_alive(&c->state) || str_eq(c->state.status, "restarting"))
        return false;
    autoerr none = json_read_file(c->dirfd, ENDPOINTS_FILE, &got);
    return !none && !str_eq(json_text(got, "level"), "host");
}

/* A question about a container. No helper although it needs one: that was killed, and the container's monitor is about
 * to start the next, or tries again after some seconds (endpoints.c). */
static struct err *ask_about(struct engine *e, const char *id, const struct json *request, bool *ret_repeated,
                             struct json **ret) {
    struct net_asked asked = {.none = true};
    for (int64_t end = clock_boot() + PATIENCE_S * NSEC_PER_SEC;;) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        struct err *err = net_ask(e->host, request, &asked, ret);
        *ret_repeated = asked.repeated;
        if (!asked.none || clock_boot() >= end || !needs_helper(e, id, &c))
            return err;
        err_free(err);
        TRY(engine_container_await_change(&c));
    }
}

/* What is plugged in where, while the container has a network. */
static struct err *list_with(struct engine *e, const char *id, struct json **ret) {
    autojson ask = json_object();
    bool repeated;
    json_set_str(ask, "op", "list");
    return ask_about(e, id, ask, &repeated, ret);
}

/* One that lives on the network, by the records; "" for none. */
static struct err *any_member(struct engine *e, const char *network_id, char ret_id[65]) {
    struct store *store;
    autostrv struct strv ids = {.n = 0};
    *ret_id = '\0';
    TRY(engine_store(e, &store));
    TRY(store_container_ids(store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autojson got = NULL;
        autocontainer c = ENGINE_CONTAINER_INIT;
        autoerr none = store_container_read(store, ids.v[i], ENDPOINTS_FILE, &got);
        if (none || !engine_has_network(json_get(got, "endpoints"), network_id) || !needs_helper(e, ids.v[i], &c))
            continue;
        memcpy(ret_id, c.id, sizeof c.id);
        return NULL;
    }
    return NULL;
}

/* The containers that are plugged in now; none when no helper runs, and none is missed. */
static struct err *plugged(struct engine *e, const char *network_id, struct json **ret) {
    autojson ask = json_object();
    autojson answer = NULL;
    struct net_asked asked = {.none = false};
    char id[65];
    json_set_str(ask, "op", "list");
    struct err *err = net_ask(e->host, ask, &asked, &answer);
    if (asked.none) {
        err_free(err);
        TRY(any_member(e, network_id, id));
        err = *id ? list_with(e, id, &answer) : NULL;
    }
    TRY(err);
    *ret = answer ? take_ptr(&answer) : json_object();
    return NULL;
}

/* ---- inspect ---- */

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
    TRY(plugged(e, d->id, &list));
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
    int lock; /* of its records: who comes at the same time sees what we have made of them */
    struct net_def *network;
    struct json *before, *wanted; /* its network.json, and what is made of that */
};

static void membership_done(struct membership *m) {
    engine_container_done(&m->c);
    fd_close(m->lock);
    net_def_free(m->network);
    json_free(m->before);
    json_free(m->wanted);
}
#define automembership __attribute__((cleanup(membership_done))) struct membership
#define MEMBERSHIP_INIT                                                                                                \
    { .c = ENGINE_CONTAINER_INIT, .lock = -1 }

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
    TRY(store_container_lock_records(m->c.dirfd, &m->lock));
    TRY(engine_container_record(e, &m->c, NETWORK_FILE, &m->before));
    m->wanted = json_copy(m->before);
    return engine_wants_network(m->wanted, SPEC_SLIRP) ? no_networks(m) : NULL;
}

/* The helper tells the container's monitor, too. Until that has written it down neither inspect nor the container's own
 * hosts and resolv.conf show it. */
static struct err *await_record(struct engine *e, const struct membership *m, bool joined) {
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

/* Whether the container has joined or left: by the helper that has it, *ret_known. */
static bool is_listed(struct engine *e, const struct membership *m, bool joined, bool *ret_known) {
    autojson list = NULL;
    autoerr nobody = list_with(e, m->c.id, &list);
    JSON_EACH(c, nobody ? NULL : json_get(list, "containers"))
    if (str_eq(json_text(c, "id"), m->c.id)) {
        *ret_known = true;
        return engine_has_network(json_get(c, "endpoints"), m->network->id) == joined;
    }
    return false;
}

/* The same when its monitor has come to the next helper, or by what that has written down. */
static bool is_done(struct engine *e, const struct membership *m, bool joined) {
    bool known = false;
    for (int64_t end = clock_boot() + PATIENCE_S * NSEC_PER_SEC; clock_boot() < end;) {
        autocontainer c = ENGINE_CONTAINER_INIT;
        bool listed = is_listed(e, m, joined, &known);
        if (known)
            return listed;
        if (!needs_helper(e, m->c.id, &c))
            break;
        autoerr unseen = engine_container_await_change(&c);
        if (unseen)
            break;
    }
    autojson got = NULL;
    autoerr none = json_read_file(m->c.dirfd, ENDPOINTS_FILE, &got);
    return !none && engine_has_network(json_get(got, "endpoints"), m->network->id) == joined;
}

/* A helper that was killed before it could answer may have done it, and the container's monitor has brought that to the
 * next one, which refuses to do it twice. */
static struct err *carry_out(struct engine *e, const struct membership *m, const struct json *request, bool joined) {
    autojson answer = NULL;
    bool repeated = false;
    struct err *refused = ask_about(e, m->c.id, request, &repeated, &answer);
    if (!refused || !repeated || !is_done(e, m, joined))
        return refused;
    err_free(refused);
    return NULL;
}

static bool has_ended(struct engine *e, const struct membership *m) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    autoerr gone = engine_container_load_id(e, m->c.id, &c);
    return gone || !engine_state_alive(&c.state);
}

/* Keeps what is wanted for the next starts, and carries it out on a container that runs, whose monitor reads it then.
 */
static struct err *membership_change(struct engine *e, const struct membership *m, struct json *request, bool joined) {
    TRY(json_write_file(m->c.dirfd, NETWORK_FILE, m->wanted, 0600, IO_DURABLE));
    if (!engine_state_alive(&m->c.state))
        return NULL;
    json_set_str(request, "id", m->c.id);
    struct err *refused = carry_out(e, m, request, joined);
    if (refused && err_kind(refused) == ERR_NOT_FOUND && has_ended(e, m)) {
        err_free(refused);
        return NULL;
    }
    if (refused) {
        err_free(json_write_file(m->c.dirfd, NETWORK_FILE, m->before, 0600, IO_DURABLE));
        return refused;
    }
    return await_record(e, m, joined);
}

struct err *engine_network_connect(struct engine *e, const char *network, const char *container,
                                   const struct engine_endpoint *p) {
    automembership m = MEMBERSHIP_INIT;
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
    automembership m = MEMBERSHIP_INIT;
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
