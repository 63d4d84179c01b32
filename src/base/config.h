/*
 * config: ~/.config/coracle/config.json, with the key names of docker's daemon.json, read once.
 * A key that is not known is an error that names it and the file; for one of daemon.json's that only a daemon could
 * follow, with what there is instead. A missing file means all defaults. docs/config.md has them all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct err;

/* "registries": {"quay.io": {"mirrors": ["https://…"], "insecure": true, "headers": {"X-Name": "value"},
 *                            "ca": ["/path/ca.crt"], "cert": "/path/client.cert", "key": "/path/client.key"}} */
struct config_registry {
    char *name;          /* host[:port] */
    struct strv mirrors; /* URLs, asked in this order before the registry itself */
    bool insecure;       /* its certificate is not checked, and plain http is fine */
    struct strv headers; /* "Name: value", sent to it and to nobody else */
    struct strv ca;      /* files of authorities, trusted beside the system's and those of certs.d */
    char *cert, *key;    /* files of the client's certificate, instead of certs.d's; both or neither */
};

struct config {
    struct strv registry_mirrors;       /* "registry-mirrors" */
    struct strv insecure_registries;    /* "insecure-registries": host[:port] or CIDR */
    struct config_registry *registries; /* "registries" */
    size_t n_registries;
    struct strmap aliases; /* "short-name-aliases": repositories ("quay.io/x/y") by names without domain and path */
    struct strv dns, dns_search, dns_opts;
    struct strv image_stores;         /* "additional-image-stores": directories of images that others share */
    char *log_driver;                 /* "log-driver", default json-file */
    struct strmap log_opts;           /* "log-opts" */
    struct strv default_ulimits;      /* "default-ulimits" as name=soft:hard */
    int64_t shm_size;                 /* "default-shm-size" bytes, 0: docker's 64 MiB */
    char *seccomp_profile;            /* "seccomp-profile": path, "unconfined", or NULL for the built-in one */
    bool no_new_privileges;           /* "no-new-privileges" */
    char *userns;                     /* "userns": --userns of containers that ask for none; or NULL */
    char *ipc_mode;                   /* "default-ipc-mode": private, shareable or NULL */
    char *cgroupns_mode;              /* "default-cgroupns-mode": private, host or NULL */
    char *cgroup_parent;              /* "cgroup-parent", or NULL */
    char *ip;                         /* "ip": where ports are published that are given without an address, or NULL */
    bool init;                        /* "init" */
    bool selinux_enabled;             /* "selinux-enabled": containers get a label */
    bool dedup;                       /* "dedup": of what is pulled, loaded or imported, files that others have, too */
    int64_t max_concurrent_downloads; /* "max-concurrent-downloads", default 3 */
    int64_t max_concurrent_uploads;   /* "max-concurrent-uploads", default 5 */
    int64_t upload_chunk_size;        /* "upload-chunk-size" bytes of a request, 0: a blob is sent whole */
    struct strv cdi_spec_dirs; /* "cdi-spec-dirs": where CDI files are, the last one wins; none: the usual ones */
    char *network_fallback;    /* "network-fallback": host, error, or NULL for host */
    char *storage_driver;      /* "storage-driver": overlay, fuse-overlayfs, copy, or NULL to choose */
};

/* Reads dir/config.json. */
struct err *config_load(const char *dir, struct config **ret) __attribute__((warn_unused_result));
void config_free(struct config *c);
/* What is said of one registry; NULL for nothing. Borrowed. */
const struct config_registry *config_registry(const struct config *c, const char *name);
