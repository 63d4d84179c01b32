/*
 * lease: what monitors ask for. Taking a lease either works as a whole or leaves nothing behind; taking it up again
 * after a helper's death (restore) is the same, with everything said that the first time was left open.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "net/helper/warden_int.h"

/* ---- the loop's picture of a container ---- */

static void tell_scope(struct warden *w, const struct lease *l) {
    autojson m = json_object();
    struct json *networks = json_array();
    bool forward = false;
    for (size_t i = 0; i < l->n_endpoints; i++) {
        json_push_str(networks, l->endpoints[i]->network->def->id);
        forward |= !l->endpoints[i]->network->def->internal;
    }
    json_set_str(m, "op", "scope");
    json_set_str(m, "id", l->id);
    json_set(m, "networks", networks);
    json_set_strv(m, "dns", &l->dns);
    json_set_bool(m, "forward", forward);
    warden_tell(w, m, NULL, 0);
}

static void tell_names(struct warden *w, const struct lease *l) {
    for (size_t i = 0; i < l->n_endpoints; i++)
        network_names(w, l->endpoints[i]->network);
}

static void tell_undns(struct warden *w, const struct lease *l) {
    autojson m = json_object();
    json_set_str(m, "op", "undns");
    json_set_str(m, "id", l->id);
    warden_tell(w, m, NULL, 0);
}

/* ---- attach, restore ---- */

static struct err *add_endpoint(struct warden *w, struct lease *l, const struct json *j) {
    if (l->n_endpoints == ENDPOINTS_MAX)
        return err_new(ERR_USAGE, "more than %d networks", ENDPOINTS_MAX);
    TRY(endpoint_new(w, l, j, &l->endpoints[l->n_endpoints]));
    l->n_endpoints++;
    return NULL;
}

struct lease *lease_find(const struct warden *w, const char *id) {
    struct lease *l = w->leases;
    while (l && !(l->id && str_eq(l->id, id)))
        l = l->next;
    return l;
}

static struct err *set_up(struct warden *w, struct lease *l, const struct json *request, bool again) {
    struct json *endpoints;
    TRY(json_get_array(request, "endpoints", &endpoints));
    JSON_EACH(j, endpoints)
    TRY(add_endpoint(w, l, j));
    tell_scope(w, l); /* before the sockets: the first query finds everything known */
    tell_names(w, l);
    TRY(endpoint_inside(w, l, 0, l->dns_internal));
    if (!l->dns_internal && l->n_endpoints)
        TRY(network_answer_dns(w, l->endpoints[0]->network));
    if (!again)
        return ports_publish(w, l);
    ports_republish(w, l);
    return NULL;
}

static struct err *take_lease(struct warden *w, struct lease *l, const struct json *request, bool again) {
    const char *id;
    TRY(json_get_str(request, "id", &id));
    if (l->id || lease_find(w, id))
        return err_new(ERR_CONFLICT, "container %s is attached already", id);
    TRY(lease_parse(l, request));
    return set_up(w, l, request, again);
}

/* At once, where the container goes on and may have the same again. */
static void unplug(struct warden *w, struct endpoint *e) {
    err_free(rtnl_delete(w->rtnl, e->link));
    e->linked = e->found = false;
}

/* Everything that the request gave, for one that failed and for the end. */
static void forget(struct lease *l) {
    for (size_t i = 0; i < l->n_ports; i++) {
        free(l->ports[i].proto);
        free(l->ports[i].host_ip);
        free(l->ports[i].lost);
    }
    free(take_ptr(&l->ports));
    l->n_ports = 0;
    mem_set(&l->id, NULL);
    mem_set(&l->name, NULL);
    mem_set(&l->hostname, NULL);
    strv_done(&l->dns);
    l->dns = (struct strv){0};
    fd_replace(&l->netns, -1);
}

void lease_detach(struct warden *w, struct lease *l) {
    if (l->id) {
        ports_unpublish(w, l);
        tell_undns(w, l);
    }
    l->way_out = l->way_out6 = NULL;
    while (l->n_endpoints) {
        struct endpoint *e = l->endpoints[--l->n_endpoints];
        network_names(w, e->network);
        endpoint_free(w, e);
    }
    w->n_attached -= l->attached;
    l->attached = false;
    forget(l);
}

/* Whether it is the user namespace that we are in. One that the kernel does not open to us is not: -1. */
static bool is_own(int userns) { return fd_is_at(userns, AT_FDCWD, "/proc/self/ns/user", 0); }

/*
 * Between the last container of one user namespace and the first of the next there may be less time than we wait
 * before we go. Then we go at once: whoever asked asks again (net/lease.c), and starts a helper in its own. With
 * containers, or somebody about to start one, we stay, and who can comes along (hello).
 */
static struct err *check_userns(const struct warden *w, int userns) {
    if (is_own(userns))
        return NULL;
    if (!w->n_attached && !w->n_greeted)
        _exit(0);
    return err_new(ERR_CONFLICT, "the container is in another user namespace than those that have a network");
}

/* A container with ids of its own is in a user namespace below ours, of which we are root as well. */
static struct err *check_owner(const struct warden *w, int netns) {
    autofd int userns = sys_ns_userns(netns);
    autofd int above = userns >= 0 ? sys_ns_parent(userns) : -1;
    if (is_own(above))
        return NULL;
    return userns < 0 && errno != EPERM ? NULL : check_userns(w, userns); /* an old kernel does not tell */
}

/* Whatever this machine lacks, there are networks that need nothing. */
static struct err *with_way_out(struct err *e) {
    if (err_hint_text(e))
        return e;
    return err_hint(e, "a container needs nothing of this with --network host, and with --network none");
}

static struct err *set_up_once(struct warden *w, int helper_ns) {
    struct err *cannot = warden_setup(w, helper_ns);
    return cannot ? err_with_kind(with_way_out(cannot), ERR_UNSUPPORTED) : NULL;
}

/* Our own namespace, for who can come along: it is there as long as we are, and we stay until he has attached. */
static struct err *offer_userns(struct json *answer, int *ret) {
    TRY(fd_open_at(AT_FDCWD, "/proc/self/ns/user", O_RDONLY, 0, ret));
    json_set_int(answer, "pid", getpid());
    return NULL;
}

static struct err *hello(struct warden *w, struct lease *l, const struct json *request, const int *fds, size_t n_fds) {
    if (n_fds != 1)
        return err_new(ERR_USAGE, "the user namespace is missing");
    autojson answer = json_object();
    autofd int other = -1;
    if (!json_bool_value(json_get(request, "moves"), false))
        TRY(check_userns(w, fds[0]));
    else if (!is_own(fds[0]))
        TRY(offer_userns(answer, &other));
    TRY(set_up_once(w, -1));
    w->n_greeted += !l->greeted;
    l->greeted = true;
    json_set_bool(answer, "ok", true);
    lease_level(w, answer);
    return msg_send(l->chan, answer, &other, other >= 0);
}

static struct err *attach(struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds) {
    bool restore = str_eq(json_str_value(json_get(request, "op")), "restore");
    if (n_fds != (restore ? 2 : 1))
        return err_new(ERR_USAGE, "the container's network namespace is missing");
    if (l->attached)
        return err_new(ERR_CONFLICT, "this connection has a container already");
    TRY(check_owner(w, fds[0]));
    TRY(set_up_once(w, restore ? fds[1] : -1));
    l->netns = take_fd(&fds[0]);
    struct err *e = take_lease(w, l, restore ? json_get(request, "restore") : request, restore);
    if (e) {
        for (size_t i = 0; i < l->n_endpoints; i++)
            unplug(w, l->endpoints[i]);
        lease_detach(w, l);
        return e;
    }
    l->attached = true;
    w->n_attached++;
    serving_changed(w);
    autojson answer = lease_answer(w, l);
    return msg_send(l->chan, answer, &w->own_ns, 1);
}

/* ---- connect, disconnect ---- */

static struct err *changed(struct warden *w, struct lease *l) {
    tell_scope(w, l);
    autojson event = lease_answer(w, l);
    json_remove(event, "ok");
    json_set_str(event, "event", "changed");
    struct err *e = msg_send(l->chan, event, NULL, 0);
    if (msg_is_gone(e)) { /* its monitor has ended: that will be seen */
        err_free(e);
        return NULL;
    }
    return e;
}

static struct err *named_lease(const struct warden *w, const struct json *request, struct lease **ret) {
    const char *id;
    TRY(json_get_str(request, "id", &id));
    struct lease *l = lease_find(w, id);
    if (!l || !l->attached)
        return err_new(ERR_NOT_FOUND, "container %s has no networks of coracle's", id);
    *ret = l;
    return NULL;
}

static size_t endpoint_on(const struct lease *l, const char *network) {
    size_t i = 0;
    while (i < l->n_endpoints && !str_eq(l->endpoints[i]->network->def->id, network))
        i++;
    return i;
}

static void remove_endpoint(struct warden *w, struct lease *l, size_t i) {
    struct endpoint *e = l->endpoints[i];
    unplug(w, e);
    memmove(l->endpoints + i, l->endpoints + i + 1, (--l->n_endpoints - i) * sizeof(struct endpoint *));
    network_names(w, e->network);
    endpoint_free(w, e);
}

/* Published ports follow the way out. */
static struct err *move_ports(struct warden *w, struct lease *l, const struct endpoint *before) {
    const struct endpoint *now = l->way_out;
    if (now == before)
        return NULL;
    l->way_out = before;
    ports_unpublish(w, l);
    l->way_out = now;
    return ports_publish(w, l);
}

/* The last endpoint goes again, and what had gone its way comes back. */
static void connect_undo(struct warden *w, struct lease *l, const struct endpoint *before) {
    bool moved = l->way_out != before;
    if (moved)
        ports_unpublish(w, l);
    l->way_out = l->way_out6 = NULL;
    remove_endpoint(w, l, l->n_endpoints - 1);
    err_free(endpoint_inside(w, l, l->n_endpoints, false));
    if (moved)
        ports_republish(w, l);
}

static struct err *connect_network(struct warden *w, const struct json *request) {
    struct lease *l;
    struct json *j, *network;
    const char *id;
    TRY(named_lease(w, request, &l));
    TRY(json_get_object(request, "endpoint", &j));
    TRY(json_get_object(j, "network", &network));
    TRY(json_get_str(network, "id", &id));
    if (endpoint_on(l, id) < l->n_endpoints)
        return err_new(ERR_CONFLICT, "endpoint with name %s already exists in network %s", l->name,
                       l->endpoints[endpoint_on(l, id)]->network->def->name);
    const struct endpoint *before = l->way_out;
    TRY(add_endpoint(w, l, j));
    struct err *e = endpoint_inside(w, l, l->n_endpoints - 1, false);
    if (!e)
        e = move_ports(w, l, before);
    if (e) {
        connect_undo(w, l, before);
        return e;
    }
    network_names(w, l->endpoints[l->n_endpoints - 1]->network);
    return changed(w, l);
}

static struct err *disconnect_network(struct warden *w, const struct json *request) {
    struct lease *l;
    const char *network;
    TRY(named_lease(w, request, &l));
    TRY(json_get_str(request, "network", &network));
    size_t i = endpoint_on(l, network);
    if (i == l->n_endpoints)
        return err_new(ERR_NOT_FOUND, "container %s is not connected to network %s", l->name, network);
    const struct endpoint *before = l->way_out;
    if (l->endpoints[i] == before) {
        ports_unpublish(w, l);
        l->way_out = before = NULL;
    }
    if (l->endpoints[i] == l->way_out6)
        l->way_out6 = NULL;
    remove_endpoint(w, l, i);
    TRY(endpoint_inside(w, l, l->n_endpoints, false));
    TRY(move_ports(w, l, before));
    return changed(w, l);
}

/* Its holder has closed it, but the event that tells may come after the question of who knows that by other ways. What
 * else there is of the lease goes with the event. */
static struct err *ended(struct warden *w, const struct json *request) {
    const char *id;
    TRY(json_get_str(request, "id", &id));
    struct lease *l = lease_find(w, id);
    struct pollfd p = {.fd = l ? msg_chan_fd(l->chan) : -1, .events = POLLRDHUP};
    if (l && poll(&p, 1, 0) > 0)
        lease_detach(w, l);
    return NULL;
}

/* ---- dispatch ---- */

static struct err *reply_ok(struct lease *l, struct err *e) {
    TRY(e);
    autojson ok = json_object();
    json_set_bool(ok, "ok", true);
    return msg_send(l->chan, ok, NULL, 0);
}

static struct err *dispatch(struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds) {
    const char *op;
    TRY(json_get_str(request, "op", &op));
    if (str_eq(op, "hello"))
        return hello(w, l, request, fds, n_fds);
    if (str_eq(op, "attach") || str_eq(op, "restore"))
        return attach(w, l, request, fds, n_fds);
    if (str_eq(op, "connect"))
        return reply_ok(l, connect_network(w, request));
    if (str_eq(op, "disconnect"))
        return reply_ok(l, disconnect_network(w, request));
    if (str_eq(op, "ended"))
        return reply_ok(l, ended(w, request));
    if (!str_eq(op, "list"))
        return err_new(ERR_USAGE, "no such request: %s", op);
    autojson list = lease_list(w);
    return msg_send(l->chan, list, NULL, 0);
}

void lease_request(struct warden *w, struct lease *l, const struct json *request, int *fds, size_t n_fds) {
    autoerr e = dispatch(w, l, request, fds, n_fds);
    if (e)
        err_free(msg_send_err(l->chan, e)); /* who is gone: its end will be seen */
}
