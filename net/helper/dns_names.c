/* dns_names: who has what name. Kept in lower case; looked up by walking, for a user's networks have dozens of names.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "net/helper/dns_int.h"

struct dns_host {
    struct net_addr ip, ip6; /* family 0: none */
    struct strv names;       /* the first is the one that PTR records tell */
};
struct dns_network {
    char *id;
    char *name;                  /* "" when not told; "web.<name>" is as good as "web" */
    struct net_addr gate, gate6; /* the host, as seen from this network */
    struct dns_host *hosts;
    size_t n;
    struct dns_network *next;
};
struct dns_scope {
    char *id;
    struct strv networks;
    struct dns_servers own;
    bool forward;
    struct dns_scope *next;
};

#define OF_NETWORK "net:" /* "net:<id>" is the scope of a network itself: it sees that one, unless told otherwise */

static const char *const names_of_host[] = {"host.docker.internal", "host.containers.internal",
                                            "gateway.docker.internal"};

/* ---- what the warden says ---- */

static char *lower_case(const char *s) {
    char *copy = mem_dup(s ? s : "");
    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p | 0x20);
    return copy;
}

static struct net_addr address(const struct json *j, int family) {
    struct net_addr a = {.family = family, .prefix = family == AF_INET ? 32 : 128};
    const char *text = json_str_value(j);
    return text && inet_pton(family, text, a.b) == 1 ? a : (struct net_addr){.family = 0};
}

static void host_read(struct dns_host *h, const struct json *j) {
    h->ip = address(json_get(j, "ip"), AF_INET);
    h->ip6 = address(json_get(j, "ip6"), AF_INET6);
    JSON_EACH(name, json_get(j, "names")) strv_push_take(&h->names, lower_case(json_str_value(name)));
}

static void network_clear(struct dns_network *net) {
    for (size_t i = 0; i < net->n; i++)
        strv_done(&net->hosts[i].names);
    free(net->hosts);
    net->hosts = NULL;
    net->n = 0;
    free(take_ptr(&net->name));
}

static void network_forget(struct dns_network **at) {
    struct dns_network *net = *at;
    *at = net->next;
    network_clear(net);
    free(net->id);
    free(net);
}

/* Where the pointer to a network is, or the one that a new one is put into. */
static struct dns_network **network_at(struct dns_names *t, const char *id) {
    struct dns_network **at = &t->networks;
    while (*at && !str_eq((*at)->id, id))
        at = &(*at)->next;
    return at;
}

static const struct dns_network *network_find(const struct dns_names *t, const char *id) {
    const struct dns_network *net = t->networks;
    while (net && !str_eq(net->id, id))
        net = net->next;
    return net;
}

void dns_names_network(struct dns_names *t, const struct json *request) {
    const char *id = json_str_value(json_get(request, "network"));
    const struct json *names = json_get(request, "names");
    if (!id)
        return;
    struct dns_network **at = network_at(t, id);
    if (*at && !names)
        network_forget(at);
    if (!names)
        return;
    struct dns_network *net = *at ? *at : (*at = mem_alloc(sizeof *net));
    mem_set(&net->id, id);
    network_clear(net);
    net->name = lower_case(json_str_value(json_get(request, "name")));
    net->gate = address(json_get(request, "host"), AF_INET);
    net->gate6 = address(json_get(request, "host6"), AF_INET6);
    net->hosts = mem_array(json_count(names), sizeof *net->hosts);
    JSON_EACH(host, names) host_read(&net->hosts[net->n++], host);
}

/* "fe80::1%2#5353": address, index of the interface, port. */
static bool server_read(const char *text, union dns_peer *ret) {
    autofree char *host = mem_dup(text);
    int64_t port = DNS_PORT, index = 0;
    char *hash = strchr(host, '#'), *percent = strchr(host, '%');
    if (hash && !str_to_i64(hash + 1, 1, UINT16_MAX, &port))
        return false;
    if (hash)
        *hash = '\0';
    if (percent && !str_to_i64(percent + 1, 1, INT32_MAX, &index))
        return false;
    if (percent)
        *percent = '\0';
    union dns_peer p = {.in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
    if (inet_pton(AF_INET, host, &p.in.sin_addr) != 1) {
        p.in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_scope_id = (uint32_t)index};
        if (inet_pton(AF_INET6, host, &p.in6.sin6_addr) != 1)
            return false;
    }
    *ret = p;
    return true;
}

void dns_servers_read(const struct json *list, struct dns_servers *ret) {
    ret->n = 0;
    JSON_EACH(server, list) {
        const char *text = json_str_value(server);
        if (text && ret->n < DNS_SERVERS)
            ret->n += server_read(text, &ret->v[ret->n]);
    }
}

static const struct dns_scope *scope_find(const struct dns_names *t, const char *id) {
    const struct dns_scope *s = t->scopes;
    while (s && !str_eq(s->id, id))
        s = s->next;
    return s;
}

static void scope_forget(struct dns_scope **at) {
    struct dns_scope *s = *at;
    *at = s->next;
    strv_done(&s->networks);
    free(s->id);
    free(s);
}

void dns_names_unscope(struct dns_names *t, const char *id) {
    struct dns_scope **at = &t->scopes;
    while (*at && !str_eq((*at)->id, id))
        at = &(*at)->next;
    if (*at)
        scope_forget(at);
}

void dns_names_scope(struct dns_names *t, const struct json *request) {
    const char *id = json_str_value(json_get(request, "id"));
    if (!id)
        return;
    dns_names_unscope(t, id);
    struct dns_scope *s = mem_alloc(sizeof *s);
    s->id = mem_dup(id);
    s->forward = json_bool_value(json_get(request, "forward"), true);
    dns_servers_read(json_get(request, "dns"), &s->own);
    JSON_EACH(network, json_get(request, "networks"))
    if (json_str_value(network))
        strv_push(&s->networks, json_str_value(network));
    s->next = t->scopes;
    t->scopes = s;
}

void dns_names_done(struct dns_names *t) {
    while (t->networks)
        network_forget(&t->networks);
    while (t->scopes)
        scope_forget(&t->scopes);
}

/* ---- what clients ask ---- */

const struct dns_servers *dns_names_servers(const struct dns_names *t, const char *scope,
                                            const struct dns_servers *host) {
    const struct dns_scope *s = scope_find(t, scope);
    if (s && !s->forward)
        return NULL;
    const struct dns_servers *servers = s && s->own.n ? &s->own : host;
    return servers->n ? servers : NULL;
}

static void add_address(struct dns_answer *a, const struct dns_question *q, const struct net_addr *addr) {
    bool wanted = q->type == DNS_TYPE_ANY || (q->type == DNS_TYPE_A && addr->family == AF_INET) ||
                  (q->type == DNS_TYPE_AAAA && addr->family == AF_INET6);
    if (addr->family && wanted && a->n < DNS_ADDRS)
        a->addrs[a->n++] = addr;
}

static bool is_name_of(const struct dns_host *h, const char *name, size_t n) {
    for (size_t i = 0; i < h->names.n; i++)
        if (n && strlen(h->names.v[i]) == n && memcmp(h->names.v[i], name, n) == 0)
            return true;
    return false;
}

/* "web" or "web.<network>", in one network. */
static bool find_name(const struct dns_network *net, const struct dns_question *q, struct dns_answer *a) {
    size_t n = strlen(q->name), tail = strlen(net->name), bare = 0;
    if (tail && n > tail + 1 && q->name[n - tail - 1] == '.' && str_ends(q->name, net->name))
        bare = n - tail - 1;
    bool found = false;
    for (size_t i = 0; i < net->n; i++) {
        const struct dns_host *h = &net->hosts[i];
        if (!is_name_of(h, q->name, n) && !is_name_of(h, q->name, bare))
            continue;
        found = true;
        add_address(a, q, &h->ip);
        add_address(a, q, &h->ip6);
    }
    return found;
}

static bool same_address(const struct net_addr *a, const struct net_addr *b) {
    return a->family == b->family && memcmp(a->b, b->b, a->family == AF_INET ? 4 : 16) == 0;
}

/* The name that belongs to an address, with its network behind it as docker gives it; NULL: nobody's here. */
static const char *find_address(const struct dns_network *net, const struct net_addr *addr, char text[DNS_NAME_TEXT]) {
    for (size_t i = 0; i < net->n; i++) {
        const struct dns_host *h = &net->hosts[i];
        if (!h->names.n || (!same_address(&h->ip, addr) && !same_address(&h->ip6, addr)))
            continue;
        struct str name = STR_INIT_MAX(DNS_NAME_TEXT - 1);
        str_append(&name, h->names.v[0]);
        if (*net->name) {
            str_append_c(&name, '.');
            str_append(&name, net->name);
        }
        memcpy(text, str_c(&name), name.len + 1);
        str_done(&name);
        return text;
    }
    return NULL;
}

static bool is_host(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(names_of_host); i++)
        if (strcmp(name, names_of_host[i]) == 0)
            return true;
    return false;
}

/* One network's answer: true when it knows the name. */
static bool ask(const struct dns_network *net, const struct dns_question *q, const struct net_addr *reverse,
                struct dns_answer *a) {
    if (reverse->family) {
        bool wanted = q->type == DNS_TYPE_PTR || q->type == DNS_TYPE_ANY;
        const char *name = find_address(net, reverse, a->text);
        a->ptr = wanted ? name : NULL;
        return name != NULL;
    }
    if (!is_host(q->name))
        return find_name(net, q, a);
    add_address(a, q, &net->gate);
    add_address(a, q, &net->gate6);
    return true;
}

bool dns_names_find(const struct dns_names *t, const char *scope, const struct dns_question *q, struct dns_answer *a) {
    struct net_addr reverse = {.family = 0};
    if (!*q->name || (q->class != DNS_CLASS_IN && q->class != DNS_CLASS_ANY))
        return false;
    if (dns_reverse_name(q->name) && !dns_reverse_read(q->name, &reverse))
        return false;
    bool found = is_host(q->name);
    const struct dns_scope *s = scope_find(t, scope);
    if (!s) {
        const struct dns_network *own =
            str_starts(scope, OF_NETWORK) ? network_find(t, scope + strlen(OF_NETWORK)) : NULL;
        return (own && ask(own, q, &reverse, a)) || found;
    }
    for (size_t i = 0; i < s->networks.n && !a->n && !a->ptr; i++) {
        const struct dns_network *net = network_find(t, s->networks.v[i]);
        found |= net && ask(net, q, &reverse, a);
    }
    return found;
}
