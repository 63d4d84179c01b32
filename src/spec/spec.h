/*
 * spec: from what the user asked, what the image says and what the host is, to an OCI runtime configuration. PURE: no
 * I/O at all (the few files that options name, such as --env-file, are read by the caller and passed in as text).
 *
 *     struct container_options   plain data as typed: filled by the CLI, compose or the API
 *     spec_build()               options + image config + host facts → struct spec (const from then on)
 *     spec->config               the OCI runtime config.json (runtime-spec 1.0.2+), what the runtime is given
 *     spec->options              docker's own view {Config, HostConfig, NetworkingConfig}: what inspect shows
 *     spec->summary              the few fields that ps and the lifecycle commands need
 *
 * What the OCI spec has no field for travels in config.annotations under "org.coracle.": user (unresolved "user:group"
 * text: it is resolved in the container's own passwd by the runtime), groups (--group-add as typed), seccomp
 * ("default", "unconfined", or the JSON profile text), init ("true"). hosts, hostname and resolv.conf are bind mounts
 * of <containers_root>/containers/<id>/{hosts,hostname,resolv.conf}, whose texts the annotations carry and the engine
 * writes at each start. Errors are usage errors in docker's words.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct config;
struct err;
struct host;
struct host_account;
struct json;

#define SPEC_ANN_USER "org.coracle.user"     /* "name[:group]", resolved at start; always there, "" for none */
#define SPEC_ANN_GROUPS "org.coracle.groups" /* JSON array of --group-add values */
/* Lines that /etc/passwd and /etc/group get where the image has none for their name and id. */
#define SPEC_ANN_PASSWD "org.coracle.passwd"
#define SPEC_ANN_GROUP "org.coracle.group"
#define SPEC_ANN_SECCOMP "org.coracle.seccomp"       /* "default", "unconfined" or a profile's JSON */
#define SPEC_ANN_INIT "org.coracle.init"             /* "true": coracle-init is PID 1 */
#define SPEC_ANN_PRIVILEGED "org.coracle.privileged" /* "true" */
#define SPEC_ANN_HOSTS "org.coracle.hosts"           /* text of /etc/hosts to write */
#define SPEC_ANN_RESOLV "org.coracle.resolv"         /* text of /etc/resolv.conf to write, absent: the host's is used */
/* JSON object of a health check that is carried out: "Args", to execute; "Interval", "Timeout", "StartPeriod" and
 * "StartInterval" in ns; "Retries"; "OnFailure": none, kill, restart or stop. */
#define SPEC_ANN_HEALTH "org.coracle.health"
#define SPEC_ANN_TIMEOUT "org.coracle.timeout" /* seconds after which the container is killed */
#define SPEC_ANN_PIDFILE "org.coracle.pidfile" /* absolute path of the file that gets PID 1's number at each start */
/* The OCI image specification's; absent: SIGTERM. */
#define SPEC_ANN_STOP_SIGNAL "org.opencontainers.image.stopSignal"
/* JSON object {"pid": "container:<id>", "network": "ns:<path>", …}: namespaces of others, resolved by the engine at
 * start. */
#define SPEC_ANN_SHARE "org.coracle.share"
/* JSON object {"/destination": "name"}: volumes that get the image's files while they are empty. */
#define SPEC_ANN_VOLUMES "org.coracle.volumes"
/* JSON array of {"Source": path[, "Subpath"]}: what is given to the container's user before its first start. */
#define SPEC_ANN_CHOWN "org.coracle.chown"
#define SPEC_OPTION_CHOWN "U" /* among the options of a mount; the runtime carries it out for a tmpfs */

/* Limits as typed; 0, NULL or empty: not asked for. docker's words: `docker run --help`. */
struct spec_resources {
    int64_t memory, memory_swap /* with memory; -1: no limit */, memory_reservation, memory_swappiness;
    int64_t nano_cpus, cpu_shares, cpu_period, cpu_quota, pids_limit, blkio_weight;
    bool memory_swappiness_set, pids_limit_set, oom_kill_disable;
    char *cpuset_cpus, *cpuset_mems, *cgroup_parent;
    struct strv weight_device, read_bps, write_bps, read_iops, write_iops; /* "/dev/sda:1mb" */
};
void spec_resources_done(struct spec_resources *r);

struct container_options {
    char *image;         /* as typed */
    char *cwd;           /* the caller's working directory, for relative -v sources */
    struct strv command; /* CMD override */
    char *entrypoint;    /* NULL: image's; "" clears it */
    bool entrypoint_set;
    char *name, *hostname, *domainname, *user, *workdir, *platform, *pull; /* pull: always, missing, never */
    struct strv env;                 /* -e as typed: NAME=VALUE, or NAME taken from the host's environment */
    struct strv unset_env;           /* --unsetenv as typed: not taken from image, host or defaults */
    struct strv env_files;           /* texts of the --env-file files (read by the caller) */
    struct strv labels, label_files; /* KEY=VALUE; texts */
    struct strv annotations;
    struct strv volumes, mounts, tmpfs, volumes_from; /* -v, --mount, … as typed */
    struct strv secrets;                              /* --secret as typed (secret.h) */
    char *volume_driver;
    struct strv group_add, cap_add, cap_drop, security_opt, ulimit, sysctl, device, gpus;
    struct strv add_host, dns, dns_search, dns_option;
    struct strv expose, publish;
    struct strv networks; /* as typed: a name, none, host, container:X, ns:PATH, or name=X,alias=Y,…; empty: bridge */
    struct strv network_alias, link_local, links; /* links: CONTAINER[:ALIAS] */
    char *ip, *ip6, *mac_address;
    char *network_fallback; /* "host", "error", NULL: as configured */
    char *pid, *ipc, *uts, *userns, *cgroupns;
    struct strv uidmap, gidmap;       /* as typed */
    char *tz;                         /* "Europe/Rome", "local" */
    char *umask;                      /* octal */
    char *passwd_entry, *group_entry; /* lines for /etc/passwd and /etc/group, with podman's $VARIABLES */
    char *pidfile;                    /* as typed */
    char *stop_signal;
    int64_t stop_timeout; /* seconds, -1 unset */
    int64_t shm_size;     /* bytes, 0: default */
    char *log_driver;
    struct strv log_opt;
    char *restart; /* "no" */
    char *health_cmd, *health_on_failure;
    int64_t health_interval, health_timeout, health_start_period, health_start_interval; /* ns, 0 unset */
    int64_t health_retries;                                                              /* 0 unset */
    int64_t timeout; /* seconds the container may run, 0: any */
    int64_t oom_score_adj;
    struct spec_resources resources;
    bool tty, interactive, detach, rm, read_only, privileged, init, no_healthcheck, publish_all;
    bool env_host, unset_env_all, no_passwd;
    bool rootfs;  /* `image` is a directory, DIR or DIR:O */
    bool replace; /* a container of that name is removed first; not the spec's business */
    bool attach_stdin, attach_stdout, attach_stderr; /* from -a or by docker's defaults */
};
/* Frees the members. */
void container_options_done(struct container_options *o);

/* What limits are checked against: "0-3"; NULL: not known. */
struct spec_machine {
    const char *cpus, *mems;
};

struct spec_input {
    const struct container_options *options;
    const struct json *image_config; /* the OCI image config blob, or NULL (--rootfs) */
    const char *image_id;            /* hex */
    const char *rootfs;              /* --rootfs: the directory, absolute; else NULL */
    bool rootfs_overlay;             /* it is not to be changed */
    const char *image_name;          /* as docker shows it in ps */
    const struct strv *layers;       /* chain ids, bottom first */
    const struct host *host;
    const struct config *config;
    const char *id;              /* container id */
    const char *containers_root; /* the container's directory is <this>/containers/<id> */
    const char *name;
    int64_t created;
    const char *host_resolv;  /* text of the host's /etc/resolv.conf */
    const char *host_hosts;   /* text of the host's /etc/hosts, for --network host; may be NULL */
    const char *seccomp_text; /* content of the file that config->seccomp_profile names, or NULL */
    /* Existing device nodes that --privileged adds (/dev/fuse, /dev/net/tun, /dev/kvm), or NULL. */
    const struct strv *host_devices;
    /* Executes a Go template (--log-opt tag) over `data`; *ret is owned. NULL: none can be. */
    struct err *(*expand)(const char *text, const struct json *data, char **ret);
    const struct spec_machine *machine; /* or NULL */
    /* "/dev/sda" → "8:0", for the devices of limits (spec_resources_devices()); NULL: none. */
    const struct strmap *block_devices;
    /* What anonymous volumes are called: at least one for each -v, each --mount and each volume of the image; or NULL
     * where there is none. */
    const struct strv *volume_names;
    /* {"name": ["size=1m", …]}: volumes that are a tmpfs, new at each start of the container; or NULL. */
    const struct json *volume_mounts;
    /* Images to be mounted: {"reference as typed": {"Id": hex, "Layers": [chain ids, bottom first]}}; or NULL. */
    const struct json *mount_images;
    /* By their names the secrets that --secret names: the text of one that becomes a variable, true for others; NULL:
     * none. */
    const struct json *secrets;
    /* For each --volumes-from the "Mounts" of that container, as `options` of its spec has them; or NULL. */
    const struct json *volumes_from;
    const struct json *cdi;   /* what CDI devices want (cdi.h); NULL: none */
    const struct id_map *map; /* of ids of its own, from spec_userns_map() or elsewhere; NULL: it has the user's */
    bool apparmor;            /* this machine's kernel has it switched on */
    const struct selinux_machine *selinux; /* NULL: the machine has none, or nobody wants a label */
    bool map_auto;                         /* its ids are nobody else's */
    const char *map_user;                  /* who runs there where neither options nor image say it, or NULL */
    const struct host_account *account;    /* of whom `map_user` are the ids; NULL: of nobody whom the host knows */
};
struct spec {
    struct json *config, *options, *summary;
    struct json *network; /* network.json, what each start asks coracle-net for; NULL: no network of its own */
    /* Volumes to be made where they are missing: [{"Name","Anonymous","Labels":[…],"Options":[…]}]; NULL: none. */
    struct json *volumes;
    struct strv warnings; /* said once on stderr: options without effect here */
    bool tty, open_stdin, rm;
};
/* Builds and validates everything. Every bad option is an error that names the flag and the value. */
struct err *spec_build(const struct spec_input *in, struct spec **ret) __attribute__((warn_unused_result));
void spec_free(struct spec *s);
/* The host's file for --tz, owned. */
struct err *spec_timezone_file(const struct host *h, const char *tz, char **ret) __attribute__((warn_unused_result));
/* A link-local address of IPv4 or IPv6, as --link-local-ip takes one; usage error. */
struct err *spec_check_link_local(const char *text) __attribute__((warn_unused_result));
#define SPEC_SLIRP "slirp" /* the name in network.json of a network of the container's own */
/* The network mode that the options ask for: "bridge", "none", "host", "container:X", or the first network as typed;
 * borrowed. */
const char *spec_network_mode(const struct container_options *o);

/* ---- limits: three steps, for create (spec_build() takes them) and update ---- */
/* Puts what was typed into docker's HostConfig object. Errors name the flag. */
struct err *spec_resources_patch(const struct spec_resources *r, struct json *host_config)
    __attribute__((warn_unused_result));
/* docker's checks of a HostConfig. */
struct err *spec_resources_check(const struct json *host_config, const struct spec_machine *m, struct strv *warnings)
    __attribute__((warn_unused_result));
/* Appends the devices whose numbers spec_resources_oci() needs. */
void spec_resources_devices(const struct json *host_config, struct strv *out);
/* "linux.resources" of a HostConfig; an empty object where it limits nothing. `numbers`: "/dev/sda" → "8:0". */
struct json *spec_resources_oci(const struct json *host_config, const struct strmap *numbers)
    __attribute__((returns_nonnull, warn_unused_result));

/* ---- mini grammars, each with its own fuzzer; all errors are usage errors ---- */

enum spec_mount_type { SPEC_MOUNT_BIND, SPEC_MOUNT_VOLUME, SPEC_MOUNT_TMPFS, SPEC_MOUNT_IMAGE };
struct spec_mount {
    enum spec_mount_type type;
    char *source, *target; /* source NULL for tmpfs and anonymous volumes; of an image as typed */
    bool read_only, create_source /* -v makes a missing bind source; --mount does not */, no_copy;
    bool overlay;      /* podman's :O: what the container changes is not the source's, and gone when it has ended */
    char *propagation; /* rprivate … or NULL */
    char *consistency;
    int64_t tmpfs_size; /* -1 unset */
    int64_t tmpfs_mode; /* -1 unset */
    /* Further mount options: noexec, …; z, Z; "key=value" of --mount and of :O (upperdir, workdir). */
    struct strv options;
};
/* "-v src:dst[:opts]", relative and ~ sources as docker's CLI does ("./x" is made absolute by `cwd`). */
struct err *spec_parse_volume(const char *text, const char *cwd, struct spec_mount *ret)
    __attribute__((warn_unused_result));
/* "--mount type=bind,src=…,dst=…,ro" (CSV with quotes). */
struct err *spec_parse_mount(const char *text, struct spec_mount *ret) __attribute__((warn_unused_result));
/* "--volumes-from name[:ro|rw|z|Z]". */
struct err *spec_parse_volumes_from(const char *text, char **ret_name, bool *ret_read_only)
    __attribute__((warn_unused_result));
/* "--tmpfs /run:rw,size=64m". */
struct err *spec_parse_tmpfs(const char *text, struct spec_mount *ret) __attribute__((warn_unused_result));
void spec_mount_done(struct spec_mount *m);
/* "nofile=1024:2048", "core=unlimited"; -1 is unlimited. `ret_name` is a static OCI name ("RLIMIT_NOFILE"). */
struct err *spec_parse_ulimit(const char *text, const char **ret_name, uint64_t *ret_soft, uint64_t *ret_hard)
    __attribute__((warn_unused_result));
/* docker's sizes: "64m", "1.5g", "1024", "2GB", "1kib" (binary units throughout, as RAMInBytes). */
struct err *spec_parse_bytes(const char *text, int64_t *ret) __attribute__((warn_unused_result));
/* Go's strconv.ParseBool; false for what it refuses. */
bool spec_parse_bool(const char *s, bool *ret);
/* --cpus: "1.5", "3/2", as a rational number, in billionths. */
struct err *spec_parse_cpus(const char *text, int64_t *ret) __attribute__((warn_unused_result));
/* --memory-swap: a size, or -1. */
struct err *spec_parse_swap(const char *text, int64_t *ret) __attribute__((warn_unused_result));
/* "/dev/sda:/dev/xvdc:rwm". Owned strings. */
struct err *spec_parse_device(const char *text, char **ret_host, char **ret_container, char **ret_perms)
    __attribute__((warn_unused_result));
/* "CAP_NET_ADMIN", "net_admin", "ALL" → bit mask (ALL: every known one). */
struct err *spec_parse_cap(const char *text, uint64_t *ret_mask) __attribute__((warn_unused_result));
/* The OCI name of capability n ("CAP_CHOWN"), or NULL. */
const char *spec_cap_name(int cap);
/* docker's default set. */
uint64_t spec_default_caps(void);
/* "no", "always", "unless-stopped", "on-failure[:max]"; *ret_name is static. */
struct err *spec_parse_restart(const char *text, const char **ret_name, int *ret_max)
    __attribute__((warn_unused_result));
/* docker's RestartPolicy object. */
struct json *spec_restart_json(const char *name, int max) __attribute__((returns_nonnull, warn_unused_result));
/* An --env-file's or --label-file's text: appends NAME=VALUE and bare NAME lines; comments and blank lines skipped. */
struct err *spec_parse_env_file(const char *text, const char *what, struct strv *out)
    __attribute__((warn_unused_result));
