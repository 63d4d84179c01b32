/*
 * The state of one spec_build(): what the options resolve to before it is written out three times (OCI config, docker's
 * view, summary). Every spec_resolve_* step reads the input and fills its part; every spec_emit_* step only reads.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/err.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "spec/secret.h"
#include "spec/selinux.h"
#include "spec/spec.h"
#include "spec/userns.h"

#define SPEC_SHM_DEFAULT (INT64_C(64) << 20)
#define SPEC_ANN_PREFIX "org.coracle."

enum spec_ns_mode { SPEC_NS_PRIVATE, SPEC_NS_HOST, SPEC_NS_CONTAINER, SPEC_NS_PATH };
struct spec_ns {
    enum spec_ns_mode mode;
    const char *of; /* SPEC_NS_CONTAINER: whose; SPEC_NS_PATH: where; borrowed from the options */
};

/* -v with a source, --mount, --tmpfs; -v without one and VOLUME of the image; --volumes-from */
enum spec_mount_from { SPEC_FROM_VOLUME, SPEC_FROM_MOUNT, SPEC_FROM_TMPFS, SPEC_FROM_PATH, SPEC_FROM_CONTAINER };
struct spec_user_mount {
    struct spec_mount m; /* the source of a volume is its name */
    enum spec_mount_from from;
    bool anonymous;   /* a volume that nobody gave a name */
    const char *text; /* as typed; of --volumes-from the other container's mode; borrowed */
};

struct spec_user_device {
    char *host, *container, *perms;
};

struct spec_rlimit {
    const char *name; /* static OCI name */
    uint64_t soft, hard;
};

struct spec_endpoint {
    char *network;
    struct strv aliases;
    char *ip, *ip6, *mac; /* or NULL */
    struct strv link_local;
    int64_t gw_priority;
    struct strv options; /* KEY=VALUE, of --network slirp */
};

struct spec_port {
    char *key;       /* "80/tcp" */
    char *host_ip;   /* "" for all */
    char *host_port; /* "8080", "8000-8010", "" for any; NULL: only exposed */
};

struct spec_ctx {
    const struct spec_input *in;
    const struct container_options *o;
    const struct json *img; /* the image's "config" object or NULL */
    struct strv *warnings;

    /* what runs */
    struct strv entrypoint, cmd, args;
    struct strv config_env; /* as inspect shows it */
    struct strv env;        /* what the process gets */
    struct strv unset_env;  /* -e NAME without a value anywhere */
    char *workdir, *user, *stop_signal, *hostname;
    char *timezone;                 /* the host's file that becomes /etc/localtime, or NULL */
    char *pidfile;                  /* absolute, or NULL */
    char *passwd_line, *group_line; /* or NULL */
    int umask;                      /* -1: the default */
    struct strmap labels, annotations, sysctls, log_opts;
    const char *log_driver;
    const char *restart; /* static name of the policy */
    int restart_max;
    struct json *health;      /* Config.Healthcheck, or NULL */
    struct json *health_plan; /* SPEC_ANN_HEALTH, or NULL: nothing is checked */
    struct strmap log_attrs;  /* what goes with each entry of the log */
    char *log_tag;            /* or NULL */

    /* walls */
    struct spec_ns pid, ipc, uts, net, cgroup, user_ns;
    bool ipc_none;
    const char *net_name;            /* docker's NetworkMode */
    struct spec_endpoint *endpoints; /* networks it gets an address in */
    size_t n_endpoints;
    uint64_t caps;
    char *seccomp;        /* SPEC_ANN_SECCOMP's value */
    const char *apparmor; /* profile, or NULL */
    struct selinux_labels label;
    bool no_new_privs, writable_cgroups;
    struct strv masked, readonly;
    struct spec_rlimit *rlimits;
    size_t n_rlimits;
    struct json *limits; /* HostConfig's members about resources that are not as they are by default */

    /* files */
    struct spec_user_mount *mounts;
    size_t n_mounts;
    size_t n_volume_names; /* used of in->volume_names */
    struct spec_user_device *devices;
    size_t n_devices;
    int64_t shm_size;
    struct strv extra_hosts; /* "name:ip" */
    char *hosts_text;
    char *resolv_text; /* NULL: the host's as it is */

    struct spec_port *ports;
    size_t n_ports;
};

/* ---- helpers ---- */

/* Frees the members of a context. */
void spec_ctx_done(struct spec_ctx *x);
/* An option's text is not valid UTF-8, which JSON cannot carry: a usage error that names the flag. */
struct err *spec_options_check(const struct container_options *o) __attribute__((warn_unused_result));
/* What is wrong with a flag's value, in docker's words: 'invalid argument "x" for "-e, --env" flag: …'. `flags` as in
 * the help; NULL where nothing is wrong. */
struct err *spec_invalid(const char *flags, const char *value, struct err *take_cause)
    __attribute__((warn_unused_result));
/* Sorts a map by key, as Go prints maps. */
void spec_sort_map(struct strmap *m);
/* Sets a list that docker shows as null when there is nothing in it. */
void spec_set_list(struct json *obj, const char *key, const struct strv *sv);
/*
 * Absolute and not "/"; *ret is cleaned and owned. The message is docker's, without a prefix.
 */
struct err *spec_check_target(const char *path, char **ret) __attribute__((warn_unused_result));
/* Puts "invalid mount config for type "x": " before an error. */
struct err *spec_mount_err(const char *type, struct err *take_cause)
    __attribute__((returns_nonnull, warn_unused_result));
/* Hands a mount over and leaves an empty one behind. */
struct spec_mount spec_mount_take(struct spec_mount *m);
/* True if the text holds a byte below space or DEL. */
bool spec_has_control(const char *s);
/* The way to docs/compat.md, for features of later releases. */
#define SPEC_HINT_COMPAT "docs/compat.md lists what this release does"

/* The fields of one record of CSV, appended. */
struct err *spec_csv_split(const char *text, struct strv *out) __attribute__((warn_unused_result));

/* ---- resolve: one step each, in this order ---- */

/* The network mode and the networks to join (network.c). */
struct err *spec_resolve_network(struct spec_ctx *x) __attribute__((warn_unused_result));
void spec_endpoints_done(struct spec_ctx *x);
/* Whether a --network asks for a libslirp of the container's own; and its options as KEY=VALUE (slirp.c). */
bool spec_is_slirp(const char *mode);
struct err *spec_slirp_options(const char *mode, struct strv *ret) __attribute__((warn_unused_result));
/* network.json, or NULL where the container has no address of its own. */
struct json *spec_emit_network(const struct spec_ctx *x);
/* Namespaces. */
struct err *spec_resolve_namespaces(struct spec_ctx *x) __attribute__((warn_unused_result));
/* ENTRYPOINT and CMD, working directory, user, stop signal, host name. */
struct err *spec_resolve_process(struct spec_ctx *x) __attribute__((warn_unused_result));
/* Environment (needs the host name), labels and annotations. */
/* Lines for the image's passwd and group (account.c); needs the user and the mounts. */
struct err *spec_resolve_account(struct spec_ctx *x) __attribute__((warn_unused_result));
/* Secrets that become variables, which only the process has; after all others. */
struct err *spec_resolve_secrets(struct spec_ctx *x) __attribute__((warn_unused_result));
/* Tells the mounts of those that are files, in their order: `source` NULL is a tmpfs. */
typedef void spec_secret_fn(void *ctx, const char *target, const char *source);
void spec_emit_secrets(const struct spec_ctx *x, spec_secret_fn *add, void *ctx);
struct err *spec_resolve_env(struct spec_ctx *x) __attribute__((warn_unused_result));
struct err *spec_resolve_labels(struct spec_ctx *x) __attribute__((warn_unused_result));
/* Capabilities. */
struct err *spec_resolve_caps(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --security-opt: seccomp, no-new-privileges, masked and read-only paths. */
struct err *spec_resolve_security(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --ulimit over the configured defaults. */
struct err *spec_resolve_rlimits(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --memory, --cpus and all other limits by cgroups (resources.c). */
struct err *spec_resolve_resources(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --sysctl (needs the namespaces). */
struct err *spec_resolve_sysctls(struct spec_ctx *x) __attribute__((warn_unused_result));
/* -v, --mount, --tmpfs, --device, --shm-size. */
struct err *spec_resolve_mounts(struct spec_ctx *x) __attribute__((warn_unused_result));
/* A mount of the user's at exactly that place; borrowed, or NULL. */
const struct spec_user_mount *spec_mount_at(const struct spec_ctx *x, const char *target);
/* The value of an option of --mount ("volume-subpath"), borrowed, or NULL. */
const char *spec_mount_option(const struct spec_mount *m, const char *key);
/* What lies in a volume or image (`type`): relative, and within it as far as its text goes; links are looked at when it
 * is mounted. NULL is fine. */
struct err *spec_check_subpath(const char *type, const char *subpath) __attribute__((warn_unused_result));
/* Adds a mount; a second one at its place is an error. */
struct err *spec_add_mount(struct spec_ctx *x, struct spec_user_mount take) __attribute__((warn_unused_result));
/* volumes.c: what --volumes-from, -v without a source and the image add where nothing is yet, in this order. */
struct err *spec_resolve_volumes(struct spec_ctx *x) __attribute__((warn_unused_result));
/* A name for a volume of which none was given. */
struct err *spec_name_volume(struct spec_ctx *x, struct spec_user_mount *u) __attribute__((warn_unused_result));
/* `volumes` of struct spec, SPEC_ANN_VOLUMES; NULL: none. The source of a volume's bind mount; owned. */
struct json *spec_emit_volumes(const struct spec_ctx *x);
struct json *spec_emit_volume_fills(const struct spec_ctx *x);
/* How it is mounted, where it is a tmpfs (spec_input's volume_mounts); else NULL. */
const struct json *spec_volume_words(const struct spec_ctx *x, const struct spec_mount *m);
/* SPEC_ANN_CHOWN and SPEC_ANN_RELABEL; NULL: nothing. */
struct json *spec_emit_chowns(const struct spec_ctx *x);
struct json *spec_emit_relabels(const struct spec_ctx *x);
/* Where the container's own file of that name is: "hosts". Owned. */
char *spec_own_file(const struct spec_ctx *x, const char *name) __attribute__((returns_nonnull, warn_unused_result));
/* container.json's "Trees": mounts that are put together from layers or directories at each start
 * ({"Destination","Writable"} with {"Image","Layers"} or {"Directory","Upper","Work"}); NULL: none. */
struct json *spec_emit_trees(const struct spec_ctx *x);
char *spec_volume_source(const struct spec_ctx *x, const struct spec_mount *m)
    __attribute__((returns_nonnull, warn_unused_result));
/* /etc/hosts and /etc/resolv.conf. */
struct err *spec_resolve_netfiles(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --publish and --expose. */
struct err *spec_resolve_ports(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --restart (restart.c), --health-* (health.c). */
struct err *spec_resolve_restart(struct spec_ctx *x) __attribute__((warn_unused_result));
struct err *spec_resolve_health(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --log-driver, --log-opt (needs the name, labels and environment). */
struct err *spec_resolve_log(struct spec_ctx *x) __attribute__((warn_unused_result));
/* --timeout, --oom-score-adj, and the log. */
struct err *spec_resolve_misc(struct spec_ctx *x) __attribute__((warn_unused_result));

/* What CDI devices add to the environment; after the mounts, whose places they must leave alone. */
struct err *spec_resolve_cdi(struct spec_ctx *x) __attribute__((warn_unused_result));

/* ---- emit ---- */

/* cdi.c: their nodes and mounts (each taken by `add`), hooks (NULL: none) and groups. */
typedef void spec_mount_fn(void *ctx, struct json *take_mount);
void spec_emit_cdi_mounts(const struct spec_ctx *x, spec_mount_fn *add, void *ctx);
struct json *spec_emit_cdi_hooks(const struct spec_ctx *x);
void spec_emit_cdi_groups(const struct spec_ctx *x, struct json *groups);

/* The OCI config. */
struct json *spec_emit_oci(const struct spec_ctx *x) __attribute__((returns_nonnull, warn_unused_result));
/* Its "mounts" array. */
struct json *spec_emit_mounts(const struct spec_ctx *x) __attribute__((returns_nonnull, warn_unused_result));
/* docker's {Config, HostConfig, NetworkingConfig, Mounts}. */
struct json *spec_emit_options(const struct spec_ctx *x) __attribute__((returns_nonnull, warn_unused_result));
/* Its "HostConfig" and "Mounts". */
struct json *spec_emit_host_config(const struct spec_ctx *x) __attribute__((returns_nonnull, warn_unused_result));
struct json *spec_emit_mount_points(const struct spec_ctx *x) __attribute__((returns_nonnull, warn_unused_result));
/* The small object that ps parses a thousand times. */
struct json *spec_emit_summary(const struct spec_ctx *x) __attribute__((returns_nonnull, warn_unused_result));
