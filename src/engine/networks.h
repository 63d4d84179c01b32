/*
 * networks: the part of engine.h that is about `coracle network`. Definitions are made and removed at once; who is
 * plugged in where is asked of coracle-net, and stands in each container's record for its next starts. Errors are in
 * docker's words: not_found, conflict (a name that is taken, a network in use), usage (addresses and subnets).
 */
#pragma once

#include "base/str.h"

struct engine;
struct err;
struct json;

struct engine_network_new {
    const char *name, *driver; /* driver NULL: bridge */
    bool internal, ipv6, attachable;
    struct strv subnets, gateways, ip_ranges, labels, options; /* as typed; borrowed */
};
/* Makes a network (net/net.h says which errors). */
struct err *engine_network_create(struct engine *e, const struct engine_network_new *n, char ret_id[65])
    __attribute__((warn_unused_result));
/* docker's network objects, the built-in ones first, plus "CreatedNs" and "Builtin" for filters; Containers is empty.
 */
struct err *engine_network_list(struct engine *e, struct json **ret) __attribute__((warn_unused_result));
/* One, with its Containers. */
struct err *engine_network_inspect(struct engine *e, const char *name, struct json **ret)
    __attribute__((warn_unused_result));
/* conflict when a running container uses it. */
struct err *engine_network_remove(struct engine *e, const char *name) __attribute__((warn_unused_result));
/* Names of the networks that no container, running or not, wants: what prune removes. */
struct err *engine_network_unused(struct engine *e, struct strv *ret_names) __attribute__((warn_unused_result));
struct engine_endpoint {
    const char *ip, *ip6, *mac; /* or NULL */
    struct strv aliases, link_local;
    int64_t gw_priority; /* the highest gives the default gateway */
};
/* Connects a container, running or not, for this and the next starts; disconnects it. */
struct err *engine_network_connect(struct engine *e, const char *network, const char *container,
                                   const struct engine_endpoint *p) __attribute__((warn_unused_result));
struct err *engine_network_disconnect(struct engine *e, const char *network, const char *container)
    __attribute__((warn_unused_result));
/* Names, for completion. */
void engine_complete_networks(struct engine *e, struct strv *out);
