/*
 * policy: where a container may not go through the host. Its own loopback never gets here, so what does is somebody who
 * tries for the host's: 127.0.0.1, 0.0.0.0 (which Linux takes for it), ::1, and the same written as IPv6. Multicast has
 * no meaning for a connection, and the helper's own addresses are reached inside. Addresses that the host has on its
 * network are as open as they are to any other machine.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/helper/helper_int.h"

struct policy {
    struct net_addr *denied;
    size_t n;
};

static const char *const always[] = {
    "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "ff00::/8", "fe80::/10",
};

static void add(struct policy *p, const char *cidr) {
    struct net_addr a;
    autoerr e = net_addr_parse(cidr, &a);
    if (e)
        return;
    p->denied = mem_resize(p->denied, p->n + 1, sizeof *p->denied);
    p->denied[p->n++] = a;
}

void policy_set(struct loop *l, const struct json *nets) {
    if (!l->policy)
        l->policy = mem_alloc(sizeof *l->policy);
    l->policy->n = 0;
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        add(l->policy, always[i]);
    JSON_EACH(it, nets)
    if (json_str_value(it))
        add(l->policy, json_str_value(it));
}

bool policy_denies(const struct loop *l, const struct net_addr *to) {
    struct net_addr a = *to;
    const struct in6_addr *v6 = (const struct in6_addr *)(const void *)a.b;
    if (a.family == AF_INET6 && (IN6_IS_ADDR_V4MAPPED(v6) || IN6_IS_ADDR_V4COMPAT(v6))) {
        a = (struct net_addr){.family = AF_INET, .prefix = 32};
        memcpy(a.b, to->b + 12, 4);
    }
    for (size_t i = 0; i < l->policy->n; i++)
        if (net_addr_contains(&l->policy->denied[i], &a))
            return true;
    return !a.family;
}

/* ---- socket addresses ---- */

socklen_t sockaddr_make(const struct net_addr *a, uint16_t port, struct sockaddr_storage *ret) {
    *ret = (struct sockaddr_storage){0};
    if (a->family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        memcpy(&v6->sin6_addr, a->b, sizeof v6->sin6_addr);
        return sizeof *v6;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    memcpy(&v4->sin_addr, a->b, sizeof v4->sin_addr);
    return sizeof *v4;
}

struct net_addr sockaddr_read(const struct sockaddr_storage *from, uint16_t *ret_port) {
    struct net_addr a = {.family = from->ss_family};
    if (a.family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        memcpy(a.b, &v6->sin6_addr, sizeof v6->sin6_addr);
        *ret_port = ntohs(v6->sin6_port);
        a.prefix = 128;
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        memcpy(a.b, &v4->sin_addr, sizeof v4->sin_addr);
        *ret_port = ntohs(v4->sin_port);
        a.prefix = 32;
    }
    return a;
}
