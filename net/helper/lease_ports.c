/*
 * lease_ports: published ports. The loop listens; the warden makes the way back: what a container sends from a
 * published port may be an answer to a transparent socket, so it is looked at as local (RULE_TABLE) before it is
 * routed.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/helper/warden_int.h"

static bool is_udp(const struct port *p) { return str_eq(p->proto, "udp"); }

/* ---- the way back ---- */

/* Containers of one network may publish the same port of theirs: the rule is for all of them. */
static bool rule_shared(const struct warden *w, const struct lease *mine, const struct port *p) {
    for (const struct lease *l = w->leases; l; l = l->next)
        for (size_t i = 0; l->way_out && l->way_out->network == mine->way_out->network && i < l->n_ports; i++)
            if (&l->ports[i] != p && l->ports[i].published && l->ports[i].port == p->port &&
                is_udp(&l->ports[i]) == is_udp(p))
                return true;
    return false;
}

static struct err *rules(struct warden *w, const struct lease *l, const struct port *p, bool add) {
    if (l->way_out->network->alone)
        return slirp_port_rules(w, l, p, add);
    struct route_rule rule = {.family = AF_INET,
                              .priority = RULE_PRIORITY,
                              .iif = l->way_out->network->bridge,
                              .ipproto = is_udp(p) ? IPPROTO_UDP : IPPROTO_TCP,
                              .sport = p->port,
                              .table = RULE_TABLE};
    if (l->way_out->ip.family)
        TRY(rtnl_rule(w->rtnl, add, &rule));
    rule.family = AF_INET6;
    return l->way_out->ip6.family ? rtnl_rule(w->rtnl, add, &rule) : NULL;
}

static void prime(struct warden *w, int family, bool udp) {
    bool *done = &w->primed[family == AF_INET6][udp];
    if (!*done)
        warden_send_inner(w, NULL, family, udp);
    *done = true;
}

/* ---- publishing ---- */

/* The loop knows that a port is busy; whose it is when it is ours is known here. */
static struct err *check_owner(const struct warden *w, const struct port *p) {
    for (const struct lease *l = w->leases; l && p->host_port; l = l->next)
        for (size_t i = 0; i < l->n_ports; i++) {
            const struct port *o = &l->ports[i];
            if (o != p && o->published && o->host_port == p->host_port && is_udp(o) == is_udp(p) &&
                (!*o->host_ip || !*p->host_ip || str_eq(o->host_ip, p->host_ip)))
                return err_new(ERR_IN_USE, "port %u/%s is already published by container %s", p->host_port, p->proto,
                               l->name);
        }
    return NULL;
}

static void set_addr(struct json *j, const char *key, const struct net_addr *a, bool wanted) {
    autofree char *text = wanted && a->family ? net_addr_text(a) : NULL;
    json_set_str(j, key, text ? text : "");
}

static struct json *question(const struct lease *l, const struct port *p) {
    const struct endpoint *e = l->way_out;
    struct json *j = json_object();
    json_set_str(j, "op", "publish");
    json_set_str(j, "id", l->id);
    json_set_str(j, "proto", p->proto);
    json_set_str(j, "host_ip", p->host_ip);
    json_set_int(j, "host_port", p->host_port);
    json_set_int(j, "port", p->port);
    set_addr(j, "ip", &e->ip, true);
    set_addr(j, "ip6", &e->ip6, true);
    set_addr(j, "gateway", &e->network->gateway, e->network->alone && e->ip.family);
    set_addr(j, "gateway6", &e->network->gateway6, e->network->alone && e->ip6.family);
    return j;
}

static struct err *publish_one(struct warden *w, struct lease *l, struct port *p) {
    bool own_sockets = l->way_out->network->alone;
    TRY(check_owner(w, p));
    if (!own_sockets && l->way_out->ip.family)
        prime(w, AF_INET, is_udp(p));
    if (!own_sockets && l->way_out->ip6.family)
        prime(w, AF_INET6, is_udp(p));
    TRY(rules(w, l, p, true));
    autojson q = question(l, p);
    autojson answer = NULL;
    TRY(warden_ask(w, q, &answer));
    p->host_port = (uint16_t)json_int_value(json_get(answer, "host_port"), p->host_port);
    p->published = true;
    return NULL;
}

/* A port that is lost already may stay that, and come back when nobody has it any more. */
static void lose(struct warden *w, struct lease *l, struct port *p, const struct err *why) {
    autostr struct str text = STR_INIT;
    if (!rule_shared(w, l, p))
        err_free(rules(w, l, p, false));
    err_format(why, &text);
    p->published = false;
    mem_set(&p->lost, str_c(&text));
}

static void publish_again(struct warden *w, struct lease *l, struct port *p) {
    autoerr taken = publish_one(w, l, p);
    if (taken)
        lose(w, l, p, taken);
    else
        mem_set(&p->lost, NULL);
}

struct err *ports_publish(struct warden *w, struct lease *l) {
    for (size_t i = 0; l->way_out && i < l->n_ports; i++) {
        if (l->ports[i].lost)
            publish_again(w, l, &l->ports[i]);
        else
            TRY(publish_one(w, l, &l->ports[i]));
    }
    return NULL;
}

void ports_republish(struct warden *w, struct lease *l) {
    for (size_t i = 0; l->way_out && i < l->n_ports; i++)
        publish_again(w, l, &l->ports[i]);
}

void ports_unpublish(struct warden *w, struct lease *l) {
    if (!l->way_out || !l->n_ports)
        return;
    autojson m = json_object();
    json_set_str(m, "op", "unpublish");
    json_set_str(m, "id", l->id);
    warden_tell(w, m, NULL, 0);
    for (size_t i = 0; i < l->n_ports; i++) {
        l->ports[i].published = false;
        if (!l->way_out->network->alone && !rule_shared(w, l, &l->ports[i])) /* what is inside ends with it */
            err_free(rules(w, l, &l->ports[i], false));
    }
}
