/*
 * engine_int: what the engine's files share. See engine.h for the contract.
 */
#pragma once

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "engine/engine.h"
#include "engine/events.h"
#include "net/net.h"
#include "runtime/runtime.h"
#include "storage/store.h"

struct engine {
    const struct host *host;
    const struct config *config;
    struct store *store;     /* NULL until first used */
    const char *driver_name; /* engine_driver_name()'s; NULL until first asked for */
    int userns_fd;           /* -1 until a command needed it */
    uint32_t ids;            /* number of ids mapped there */
    unsigned due;            /* removals whose debris engine_collect_later() has left for later */
    bool due_sweep;
};

/* The store, opened at first use; borrowed. */
struct err *engine_store(struct engine *e, struct store **ret) __attribute__((warn_unused_result));
/* The user namespace for unpacking and removing: a descriptor owned by the engine, made at first use. */
struct err *engine_userns(struct engine *e, int *ret_fd, uint32_t *ret_ids) __attribute__((warn_unused_result));
/* The same in the form that image_pull and image_load call; ctx is the engine. */
struct err *engine_userns_cb(void *ctx, int *ret_fd, uint32_t *ret_ids) __attribute__((warn_unused_result));
/* Takes the user namespace `ns`, which process `inside` is in, in place of the one that was found or made. Conflict
 * when it is not one of the user's for containers. */
struct err *engine_userns_move(struct engine *e, int ns, pid_t inside) __attribute__((warn_unused_result));
/*
 * Deletes debris (trash and what crashes left) without keeping the user waiting: a detached child does it, entering the
 * user namespace only when files of subordinate ids are in the way. `sweep`: unreferenced layers and blobs too. Best
 * effort.
 */
void engine_collect(struct engine *e, bool sweep);
/* The same at the end of the command, or after some more removals: each costs two processes that list all containers.
 */
void engine_collect_later(struct engine *e, bool sweep);

/* Everything a command needs to know of one container. */
struct engine_container {
    char id[65];
    int dirfd;
    struct json *summary;       /* container.json */
    struct monitor_state state; /* put right: never "running" without a live monitor */
};
/* Finds and loads a container; done with engine_container_done(). */
struct err *engine_container_load(struct engine *e, const char *name, struct engine_container *ret)
    __attribute__((warn_unused_result));
/* The same for a full id that is known to exist. */
struct err *engine_container_load_id(struct engine *e, const char *id, struct engine_container *ret)
    __attribute__((warn_unused_result));
void engine_container_done(struct engine_container *c);
#define autocontainer __attribute__((cleanup(engine_container_done))) struct engine_container
#define ENGINE_CONTAINER_INIT                                                                                          \
    { .dirfd = -1 }
/* What to say of an error: that the container is not there any more, where another command has removed it meanwhile and
 * what was not found is one of its files; else the error itself.
 */
struct err *engine_container_unless_gone(struct engine *e, const struct engine_container *c, struct err *take_err)
    __attribute__((warn_unused_result));
/* Reads one of its records, "config.json" or "options.json"; not_found when it has been removed. */
struct err *engine_container_record(struct engine *e, const struct engine_container *c, const char *file,
                                    struct json **ret) __attribute__((warn_unused_result));
/* The container's name without "/", borrowed from its summary. */
const char *engine_container_name(const struct engine_container *c);
/* The map of ids of a container's own that its config.json has: *ret_map is `ret`, or NULL where it has none. */
struct err *engine_id_map(const struct json *config, struct id_map *ret, const struct id_map **ret_map)
    __attribute__((warn_unused_result));
/* Where `coracle mount` mounts a container's files, in its directory. It is not there before the first time. */
#define ENGINE_MOUNT_DIR "mount"
/* docker's name for the driver of containers that have no copy of their image's files. Static. */
const char *engine_driver_name(struct engine *e) __attribute__((returns_nonnull));
/* How its root is to be put together now; its lock is ours. `config` is its config.json. Done with rootfs_plan_done().
 */
struct err *engine_rootfs_plan(struct engine *e, const struct engine_container *c, const struct json *config,
                               struct rootfs_plan *ret) __attribute__((warn_unused_result));
/* Has the monitor join the namespaces that a container's config.json wants of other containers, or at a path; the
 * host's own network is left out of `config`. `again`: in the monitor, for a later run. *ret_neighbour gets the
 * directory of the container whose network it shares, if it does. */
struct err *share_namespaces(struct engine *e, struct json *config, bool again, struct monitor *m, int *ret_neighbour)
    __attribute__((warn_unused_result));
/* The same for a start, with the trees that are mounted in it (storage/trees.h): what earlier starts left of them goes.
 */
struct err *engine_start_plan(struct engine *e, const struct engine_container *c, const struct json *config,
                              struct rootfs_plan *ret) __attribute__((warn_unused_result));
/* "running" and so on: is one of the states in which a monitor is alive. */
bool engine_state_alive(const struct monitor_state *s);
/*
 * Waits out a start or an end that is going on. Then the container is alive (c->state says so, *ret_lock is untouched)
 * or nobody's, and *ret_lock is its lock. not_found when it was removed meanwhile.
 */
struct err *engine_container_settle(struct engine *e, struct engine_container *c, int *ret_lock)
    __attribute__((warn_unused_result));
/* Returns when the container's record or lock may have changed, after 20 ms at the latest. */
struct err *engine_container_await_change(const struct engine_container *c) __attribute__((warn_unused_result));
/* An inotify descriptor, not blocking, that tells of a directory's changes; `what` names it in errors. */
struct err *engine_watch_dir(int dirfd, const char *what, uint32_t mask, int *ret_fd)
    __attribute__((warn_unused_result));
/* Removes the run directory of a container whose lock is ours, best effort: what a killed monitor left. */
void engine_run_dir_remove(const struct engine *e, const char *id);
/* Removes those of monitors that are no more, apart from those of `known` containers, which have a lock to ask. */
void engine_run_dirs_sweep(const struct engine *e, const struct strv *known);
/* For qsort() by time of creation. */
static inline int engine_newest_first(int64_t x, int64_t y) { return x < y ? 1 : x > y ? -1 : 0; }

/* ---- endpoints.c: the network of a container ---- */

#define NETWORK_FILE "network.json" /* what is wanted (spec.h); absent: no network of its own */
#define ENDPOINTS_FILE                                                                                                 \
    "endpoints.json" /* what it has got, while it runs: "endpoints", "ports", "lost", "level" of net.h */

struct endpoints {
    const struct host *host;
    const char *id, *name;
    int dirfd;           /* the container's directory, borrowed */
    int netns;           /* its network namespace, kept for the next helper */
    int retry;           /* readable when it is time to try for the next helper again, -1: nothing to try for */
    int64_t retry_after; /* seconds from the last try to that one, 0: the last try did not fail */
    struct net_lease lease;
};
#define ENDPOINTS_INIT                                                                                                 \
    { .dirfd = -1, .netns = -1, .retry = -1, .lease = NET_LEASE_INIT }
/* Gives a new namespace its networks, and writes hosts, resolv.conf and ENDPOINTS_FILE. *ret_watch is borrowed: when it
 * is readable endpoints_event() is due, which may put another descriptor, or -1, in its place. */
struct err *endpoints_attach(struct endpoints *n, int netns_fd, int *ret_watch) __attribute__((warn_unused_result));
void endpoints_event(struct endpoints *n, int *watch);
/* Gives up what it has and leaves ENDPOINTS_INIT behind; harmless for one that is that. */
void endpoints_end(struct endpoints *n);
/* Appends an event for each network that the container with that directory is in. */
void endpoints_tell(int dirfd, const char *id, const char *action, struct str *batch);
/* The same for a container that runs on the host's network for want of another (fallback.c). */
struct err *endpoints_on_host(const struct engine *e, int dirfd) __attribute__((warn_unused_result));
/* One endpoint of a request: the n-th interface, in `def`, with the addresses and aliases of an entry of NETWORK_FILE.
 */
struct json *engine_endpoint_json(const struct net_def *def, const struct json *wanted, unsigned n);
/* The network that an entry of NETWORK_FILE names, of the container `id` where it is its own. */
struct err *engine_network_def(const struct host *h, const char *id, const struct json *wanted, struct net_def **ret)
    __attribute__((warn_unused_result));
/* Whether one of a list's objects has this text as its "network": a name in NETWORK_FILE's "networks", an id in
 * ENDPOINTS_FILE's "endpoints". */
bool engine_has_network(const struct json *list, const char *network);
/* Whether a NETWORK_FILE object has a network of this name. */
bool engine_wants_network(const struct json *wanted, const char *network);
/* docker's list of ports (ps): what is published of an ENDPOINTS_FILE object (may be NULL), and what is only exposed.
 */
struct json *endpoints_ports(const struct json *endpoints, const struct json *exposed);
/* "80/tcp", of a port of ENDPOINTS_FILE; owned. */
char *endpoints_port_key(const struct json *port) __attribute__((returns_nonnull, warn_unused_result));
/* Adds those that were taken by somebody else while there was no helper: with "Lost", why. */
void endpoints_lost(const struct json *endpoints, struct json *ports);
/* docker's NetworkSettings. */
struct json *endpoints_settings(const struct engine_container *c);
/* Writes one of the files that docker makes for every container. */
struct err *engine_host_file(int dirfd, const char *file, const char *text) __attribute__((warn_unused_result));

/* Tells an event of an image by its hex id, with the image's labels; `actor`: the event's id where it is not the
 * image's (pull), or NULL; `name`: its attribute, or NULL for the id. */
void engine_image_tell(struct engine *e, const char *id, const char *action, const char *actor, const char *name);

/* not_found, in docker's words, where `platform` (as typed; NULL: any) is not that of the image, called `name`. */
struct err *engine_image_platform_check(const struct engine *e, const char *name, const struct store_image *img,
                                        const char *platform) __attribute__((warn_unused_result));

/* ---- fallback.c: where this machine has no networks for containers ---- */

/* After a start that failed: NULL when the container may start again on the host's network (a warning has said so);
 * else the error to report. */
struct err *engine_fallback(struct engine *e, const struct engine_container *c, struct err *take_failed)
    __attribute__((warn_unused_result));
/* Takes the network namespace, and its sysctls, out of an OCI configuration. */
void engine_config_host_network(struct json *config);
/* The level that `info` shows there. */
const char *engine_fallback_level(const struct engine *e);

/* ---- measure.c ---- */

struct engine_size {
    int64_t bytes, unused; /* all of it; what nothing needs any more */
};
typedef struct err *(*engine_measure_fn)(const struct store *s, const char *name, struct engine_size *ret);
/* Measures by `fn`, one of those below, inside the user namespace where it cannot be done outside. */
struct err *engine_measure(struct engine *e, engine_measure_fn fn, const char *name, struct engine_size *ret)
    __attribute__((warn_unused_result));
/* What a container wrote; what lies in a volume; the trees of images with other owners (no name). */
struct err *engine_measure_container(const struct store *s, const char *id, struct engine_size *ret)
    __attribute__((warn_unused_result));
struct err *engine_measure_volume(const struct store *s, const char *name, struct engine_size *ret)
    __attribute__((warn_unused_result));
struct err *engine_measure_idmaps(const struct store *s, const char *unused, struct engine_size *ret)
    __attribute__((warn_unused_result));
struct err *engine_measure_deduped(const struct store *s, const char *unused, struct engine_size *ret)
    __attribute__((warn_unused_result));

/* ---- limits.c ---- */

/* What the machine has, for spec_resources_check() and spec_resources_oci(). Empty texts: not looked at. */
struct machine {
    struct str cpus, mems;
    struct strmap devices; /* "/dev/sda" → "8:0" */
};
/* Looks at what a HostConfig's limits are about. A device that is not there, or no block device, is an error. */
struct err *engine_machine(const struct json *host_config, struct machine *ret) __attribute__((warn_unused_result));
/* The same for limits as typed. Nothing asked for: nothing is looked at. */
struct err *engine_machine_options(const struct spec_resources *r, struct machine *ret)
    __attribute__((warn_unused_result));
void engine_machine_done(struct machine *m);
#define automachine __attribute__((cleanup(engine_machine_done))) struct machine

/* Whether an error about a container's first process is that it has ended, or, with a pidfd of -1, was never found. One
 * that has let go of its memory, but is not dead yet, looks like one that may not be looked at: it is waited for. */
bool engine_process_ended(int pidfd, const struct err *e);
/* docker's "X is not running" error. */
struct err *engine_err_not_running(const char *id) __attribute__((returns_nonnull, warn_unused_result));
