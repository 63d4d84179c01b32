/*
 * net: docker's networks without root. This layer knows what a network is (definitions, address pools), how the helper
 * coracle-net is started and spoken to (leases), and nothing of containers: callers describe endpoints and ports in
 * JSON.
 *
 *     <data_root>/networks/<name>     one JSON file a user-made network, which lands whole and takes its name once
 *     <data_root>/networks/.bridge    the network bridge, whose subnet is chosen when it is first asked for, and stays
 *     host, none                      are always there and are no files
 *     <data_root>/networks/.lock      held by who makes or removes one: no two networks get the same subnet
 *     <run_root>/net/socket           where coracle-net listens, one for a user; net/lock: who may start it
 *
 * A lease is a connection to coracle-net, held by a container's monitor for as long as the container lives. Its end
 * frees addresses, links and ports; the helper ends a few seconds after the last lease. Addresses are given out by the
 * helper, from what its leases hold: there is no file that a crash could leave wrong. When the helper dies, each
 * monitor sees the end of its lease and calls net_restore() with the answer that it was given and the descriptors of
 * the namespaces, which it kept: the next helper enters the same namespaces and finds bridges and links in place. Until
 * those that <run_root>/net/serving names have come or have ended, or none has come for ten seconds, others wait for
 * their answers.
 *
 * coracle-net is started as `coracle-net --run-root <dir> --data-root <dir>` with an empty environment and these
 * descriptors: 0 and 1 /dev/null, 2 a file in memory, 3 the listening socket. Its first process leaves the rest to a
 * child and ends with 0 at once; or with another status when it cannot, and then the last line of what it wrote to
 * descriptor 2 is the reason that the user is told. It never removes the socket's name, and one process alone may hold
 * the listening socket: when that dies, connections must be refused.
 *
 * Requests and answers are JSON objects (base/msg.h), an error is {"error": …}:
 *
 *   attach (descriptor: the container's network namespace)
 *     {"op":"attach", "id":"<64 hex>", "name":"web", "hostname":"web",
 *      "endpoints":[{"network":<definition>, "ifname":"eth0", "ip":"", "ip6":"", "mac":"", "aliases":["store"],
 *                    "link_local":["169.254.7.7"], "gw_priority":0}],
 *      "ports":[{"proto":"tcp", "host_ip":"", "host_port":8080, "port":80}],
 *      "dns":["1.1.1.1"], "dns_internal":true}
 *       gw_priority: the endpoint with the highest one gives the default gateway, and published ports lead there; among
 *       equals the network that comes first by name
 *       host_port 0: any free one; host_ip "": all addresses, v4 and v6
 *       dns: forwarders instead of the host's; dns_internal: answer at 127.0.0.11 inside
 *     → {"ok":true, "level":"nfqueue",
 *        "endpoints":[{"network":"<id>", "name":"back", "ifname":"eth0", "ip":"10.89.7.2", "prefix":24,
 *                      "gateway":"10.89.7.1", "mac":"02:42:0a:59:07:02", "ip6":"", "prefix6":0, "gateway6":"",
 *                      "aliases":[…]}],
 *        "ports":[{"proto","host_ip","host_port","port"}], "lost":[{the same, "why"}],
 *        "nameserver":"127.0.0.11" or the gateway's, "host":"192.0.2.7",
 *        "restore":<opaque>}                           descriptor: the helper's network namespace
 *       lost: what somebody else has taken between two helpers
 *       host: what host-gateway and host.docker.internal stand for
 *   hello (descriptor: a user namespace)
 *     {"op":"hello", "moves":true} → {"ok":true, "level":…, "lacks":…}, when the helper can make networks. As long as
 *     the connection is open the helper stays: who is about to attach holds it until he has.
 *       moves: the asker can go into another user namespace. When the helper's own is not the one that was sent, the
 *       answer has a descriptor of it, and "pid", of a process in it; without this, that is an error.
 *   connect, disconnect
 *     {"op":"connect", "id":…, "endpoint":{…}}   {"op":"disconnect", "id":…, "network":"<id>"}
 *     → {"ok":true}, from any connection; the lease gets
 *       {"event":"changed", "endpoints":[…], "ports":[…], "restore":…}
 *   ended
 *     {"op":"ended", "id":…} → {"ok":true}, from any connection: the lease is over, if its holder has closed it
 *   list
 *     {"op":"list"} → {"containers":[{"id","name","endpoints":[…],"ports":[…]}], "level":…, "lacks":…}
 *       level: docs/internals/networks.md; "": nobody has asked for a network yet. lacks: why it is no better, or ""
 *   restore (descriptors: the container's namespace, the helper's namespace)
 *     {"op":"restore", "restore":<opaque>} → as attach
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;
struct host;
struct json;
struct msg_chan;

/* ---- definitions ---- */

struct net_subnet {
    char *subnet;   /* "10.89.7.0/24" or "fd00:1::/64", canonical */
    char *gateway;  /* address without prefix */
    char *ip_range; /* CIDR inside of the subnet, or NULL */
};

struct net_def {
    char *id;     /* 64 hex digits */
    char *name;   /* [a-zA-Z0-9][a-zA-Z0-9_.-]* */
    char *driver; /* "bridge", "host", "null", NET_SLIRP */
    int64_t created;
    bool internal, ipv6, attachable;
    bool builtin;
    struct strv labels, options; /* KEY=VALUE */
    struct net_subnet *subnets;  /* v4 first */
    size_t n_subnets;
};
/* Frees a definition; NULL is fine. autonetdef does it at the end of the scope. */
void net_def_free(struct net_def *d);
static inline void net_def_freep(struct net_def **d) { net_def_free(*d); }
#define autonetdef __attribute__((cleanup(net_def_freep))) struct net_def *

struct net_defs {
    struct net_def **v;
    size_t n;
};
/* Frees the definitions and empties the list. */
void net_defs_done(struct net_defs *d);

/* The form of the files and of requests: {"id","name","driver","created","internal","ipv6","labels":[…],"options":[…],
 * "subnets":[{"subnet","gateway","ip_range"}]}. net_def_parse() checks everything, for files can be edited by hand. */
struct json *net_def_json(const struct net_def *d);
struct err *net_def_parse(const struct json *j, struct net_def **ret) __attribute__((warn_unused_result));

/*
 * The network of one container that --network slirp makes, which is in no file: behind it is a libslirp of its own, and
 * nobody else. `id`: the container's; `options`, KEY=VALUE: "cidr" (10.0.2.0/24), "mtu" (65520), "enable_ipv6" (true),
 * and those below, of which "true" opens the host's loopback at the gateway's address, and the others bind what goes
 * out to an address of the host.
 */
#define NET_SLIRP "slirp"
#define NET_SLIRP_LOOPBACK "allow_host_loopback"
#define NET_SLIRP_FROM "outbound_addr"
#define NET_SLIRP_FROM6 "outbound_addr6"
struct err *net_def_slirp(const char *id, const struct strv *options, struct net_def **ret)
    __attribute__((warn_unused_result));

/* All networks, the built-in ones first, then by name. A damaged file is skipped with a warning in the log. */
struct err *net_list(const struct host *h, struct net_defs *ret) __attribute__((warn_unused_result));
/* By id, name, or an unambiguous prefix of an id, in docker's order; "default" is bridge. not_found in docker's words;
 * corrupt, with a hint, when the file of that name is damaged. */
struct err *net_find(const struct host *h, const char *ref, struct net_def **ret) __attribute__((warn_unused_result));

struct net_create {
    const char *name, *driver; /* driver NULL: bridge; others are refused with the reason */
    bool internal, ipv6, attachable;
    struct strv subnets, gateways, ip_ranges; /* as typed, in any order: a gateway goes to the subnet that holds it */
    struct strv labels, options;              /* KEY=VALUE; KEY alone is KEY= */
};
/*
 * Makes a network, of at most one subnet of IPv4 and one of IPv6 (which implies --ipv6). Without one of IPv4, that is
 * chosen from docker's pools (172.18.0.0/16 … 172.31.0.0/16, then 192.168.0.0/20 …) so that it overlaps neither another
 * network nor a route of the host; with --ipv6 also a random fd…/64. One that is typed may hide a route of the host's.
 * The gateway is the first address of the subnet unless told. Errors in docker's words: name taken or pre-defined,
 * overlapping pool (conflict), gateway outside of the subnet (usage), no free pool (conflict). Called in the host's
 * network namespace; durable.
 */
struct err *net_create(const struct host *h, const struct net_create *c, struct net_def **ret)
    __attribute__((warn_unused_result));
/* Removes a definition; a built-in one is refused (denied), one that is gone, or another by now, is not_found. Whether
 * containers use it is the caller's to ask (op list). */
struct err *net_remove(const struct host *h, const struct net_def *d) __attribute__((warn_unused_result));

/* ---- addresses (pure) ---- */

struct net_addr {
    int family; /* AF_INET, AF_INET6, 0: none */
    uint8_t b[16];
    unsigned prefix;
};
/* "10.0.0.1" (prefix 32) or "10.0.0.5/8" (bits after the prefix are kept), as inet_pton(3) reads them; usage error
 * naming the text. */
struct err *net_addr_parse(const char *text, struct net_addr *ret) __attribute__((warn_unused_result));
/* Text without prefix, and as CIDR; owned; "" for none. */
char *net_addr_text(const struct net_addr *a);
char *net_addr_cidr(const struct net_addr *a);
/* Whether all of `a` lies in the block `net`; whether the two blocks share an address. */
bool net_addr_contains(const struct net_addr *net, const struct net_addr *a);
bool net_addr_overlaps(const struct net_addr *a, const struct net_addr *b);
/* The first address of the block, with the same prefix. */
struct net_addr net_addr_masked(const struct net_addr *a);
/* "02:42:ac:11:00:02" (or with '-') into 6 bytes; usage error for a multicast, zero or malformed one. */
struct err *net_mac_parse(const char *text, uint8_t ret[6]) __attribute__((warn_unused_result));

/* ---- leases ---- */

struct net_lease {
    int fd;                /* for poll, -1: no lease; readable when the helper has something to say or has died */
    struct msg_chan *chan; /* the connection; owns fd */
    int helper_netns;      /* kept for net_restore() */
    struct json *answer;   /* the last one, with the events since, owned */
};
#define NET_LEASE_INIT                                                                                                 \
    { .fd = -1, .helper_netns = -1 }
/* Ends a lease and leaves NET_LEASE_INIT behind; harmless for one that is that. */
void net_lease_done(struct net_lease *l);

/* What a starter has of the helper until the container is attached. */
struct net_prepared {
    struct msg_chan *hold; /* a connection: the helper does not go */
    pid_t started;         /* 0, or a child of the caller's that ends soon */
    int userns;            /* -1, or where the helper is instead: the container must be there, too, to have a network */
    pid_t in_userns;       /* a process in it */
};
#define NET_PREPARED_INIT                                                                                              \
    { .userns = -1 }
/* Lets the helper go, reaps, closes. */
void net_prepared_done(struct net_prepared *p);
#define autoprepared __attribute__((cleanup(net_prepared_done))) struct net_prepared
/*
 * Makes sure that a helper of the user namespace runs or is being started, which takes it longer than a container takes
 * to be made: who attaches will wait for the rest. Called by the starter, outside of the user namespace, before the
 * monitor attaches: what is started there lies in no container's reach. `moves`: the caller can take another user
 * namespace than `userns_fd`; else it is a conflict when others have networks in another one.
 */
struct err *net_prepare(const struct host *h, int userns_fd, bool moves, struct net_prepared *ret)
    __attribute__((warn_unused_result));
/* What this machine has for networks: {"level","lacks"} as in `list`. Starts a helper when none runs; unsupported, or
 * what kept it from starting, where there can be no networks at all. */
struct err *net_level(const struct host *h, int userns_fd, struct json **ret) __attribute__((warn_unused_result));
/*
 * Attaches a container: starts the helper when none runs (under a lock; the socket is bound here and inherited, so that
 * nobody waits for anything), sends the request with the namespace, waits for the answer. Called inside the user
 * namespace, in the host's network namespace. Errors carry the helper's own words (address in use, port taken by …). A
 * helper that dies meanwhile is replaced by a new one; the error comes when that dies too.
 */
struct err *net_attach(const struct host *h, const struct json *request, int netns_fd, struct net_lease *ret)
    __attribute__((warn_unused_result));
/* After the end of a lease: starts the next helper if none has done so yet, and takes the lease up again. On failure
 * the lease stays as it was, and may be tried again. The old l->fd is closed on success: take it out of tables first.
 */
struct err *net_restore(const struct host *h, int netns_fd, struct net_lease *l) __attribute__((warn_unused_result));
/* Reads what the helper has to say, waiting for one message and taking all that have come with it: the members of a
 * "changed" event replace those of l->answer, and *ret_changed is set. End of file is ERR_NOT_FOUND. */
struct err *net_lease_read(struct net_lease *l, bool *ret_changed) __attribute__((warn_unused_result));
/* Returns when the helper knows that a lease has ended, which its holder has closed: its names, addresses and ports are
 * nobody's then. Best effort. */
void net_ended(const struct host *h, const char *id);
/* What became of a question. */
struct net_asked {
    bool none;     /* no helper runs just now */
    bool repeated; /* a helper ended without an answer: what it was told to do it may have done. Never cleared */
};
/* One question to a running helper, from anywhere; not_found when none runs. `asked` may be NULL. */
struct err *net_ask(const struct host *h, const struct json *request, struct net_asked *asked, struct json **ret)
    __attribute__((warn_unused_result));
/* The same by who has a lease, or is about to: a helper that was killed is replaced, as by net_attach(). */
struct err *net_ask_own(const struct host *h, const struct json *request, struct json **ret)
    __attribute__((warn_unused_result));
