/*
 * net_int: what the files of net share among themselves. From the bottom to the top:
 *
 *   addr.c     addresses as numbers (pure)                     def.c     one definition and its JSON (pure)
 *   routes.c   what /proc/net says the host can reach          pool.c    which subnet a network gets (pure)
 *   files.c    <data_root>/networks: names, lock, the bridge   create.c  net_create()
 *   start.c    the helper: connect, or start it once           lease.c   net_attach() and its kin
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "net/net.h"

/* ---- addr.c ---- */

struct net_addrs {
    struct net_addr *v;
    size_t n, cap;
};
void net_addrs_push(struct net_addrs *s, const struct net_addr *a);
void net_addrs_done(struct net_addrs *s);
#define autoaddrs __attribute__((cleanup(net_addrs_done))) struct net_addrs
/* Whether any of them shares an address with `a`. */
bool net_addrs_overlap(const struct net_addrs *s, const struct net_addr *a);
/* The n-th address after the first of the block, as a single address. */
struct net_addr net_addr_nth(const struct net_addr *block, uint32_t n);
/* The last address of the block, which in IPv4 is its broadcast address. */
struct net_addr net_addr_last(const struct net_addr *block);
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);
/* For texts that stand in the program. */
struct net_addr net_addr_of(const char *text);
/* The number of bits of an address of this family: 32 or 128. */
unsigned net_addr_bits(int family);

/* ---- def.c ---- */

/* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 255: it is a file name in networks/. */
bool net_name_ok(const char *name);
/* "bridge", "host", "none", and what --network means something else by. */
bool net_name_predefined(const char *name);
/* A new built-in network without subnets: "bridge", "host" or "none". */
struct net_def *net_def_builtin(const char *name);
/* One more subnet, empty; borrowed until the next one. */
struct net_subnet *net_def_new_subnet(struct net_def *d);
/* One more subnet, whose gateway is its first address. */
void net_def_add_pool(struct net_def *d, const struct net_addr *subnet);
/*
 * Checks one subnet with its gateway and range (NULL: none) as docker's daemon does, in its words (usage errors), and
 * puts them into their canonical form.
 */
struct err *net_subnet_check(struct net_subnet *s, struct net_addr *ret) __attribute__((warn_unused_result));

/* ---- routes.c ---- */

/*
 * Adds the destinations in the text of /proc/net/route or /proc/net/ipv6_route: those that are up and lead somewhere,
 * without default routes and their pieces. Lines in no known form are skipped.
 */
void net_routes_parse4(const char *text, struct net_addrs *out);
void net_routes_parse6(const char *text, struct net_addrs *out);
/* Those of the network namespace that the caller is in. */
struct err *net_routes_read(struct net_addrs *out) __attribute__((warn_unused_result));

/* ---- pool.c ---- */

/* The subnet of bridge: 172.17.0.0/16, or the next free one. False: every pool overlaps something in `taken`. */
bool net_pool_bridge(const struct net_addrs *taken, struct net_addr *ret);
/* For a network of the user's: the first free one from 172.18.0.0/16 on. */
bool net_pool_next(const struct net_addrs *taken, struct net_addr *ret);
/* A /64 of a random site of fd00::/8 (RFC 4193). */
bool net_pool_next6(const struct net_addrs *taken, struct net_addr *ret);
/* Adds what the helper uses itself for its uplink, inside its own namespace. */
void net_pool_add_uplink(struct net_addrs *out);

/* ---- files.c ---- */

/* Opens <data_root>/networks, making it. */
struct err *net_files_open(const struct host *h, int *ret_dir) __attribute__((warn_unused_result));
/* Waits for the lock of the directory: whoever holds it is alone in choosing subnets and in making and removing files.
 * It ends with the descriptor. */
struct err *net_files_lock(int dir, int *ret_lock) __attribute__((warn_unused_result));
/* With the lock held: removes temporary files that a killed process left. */
void net_files_sweep(int dir);
/* All networks, as net_list() gives them. The bridge is given its subnet if it has none; `locked`: the caller holds the
 * lock that this takes. */
struct err *net_files_load(int dir, bool locked, struct net_defs *ret) __attribute__((warn_unused_result));
/* Writes a new definition; conflict when the name is taken. Durable. */
struct err *net_files_add(int dir, const struct net_def *d) __attribute__((warn_unused_result));
#define autonetdefs __attribute__((cleanup(net_defs_done))) struct net_defs
/* Adds the subnets of all. */
void net_defs_addrs(const struct net_defs *defs, struct net_addrs *out);

/* ---- start.c ---- */

/* Connects to the helper; not_found when none runs. */
struct err *net_helper_connect(const struct host *h, int *ret_fd) __attribute__((warn_unused_result));
/*
 * Connects to the helper, starting it when none runs. However many call at once: one is started. ret_started: NULL, or
 * nobody waits for one that is being started: what is sent to it stays in the socket until it can read; its first
 * process is the caller's to reap.
 */
struct err *net_helper_reach(const struct host *h, int userns_fd, pid_t *ret_started, int *ret_fd)
    __attribute__((warn_unused_result));
