/*
 * host: facts about the user and the machine, probed once at the start of a command and passed on as const.
 * Nothing below src/cli reads the environment: what it needs of it stands here. Facts that cost more than a few
 * microseconds (subordinate ids, kernel features) are separate calls made by those who need them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/idmap.h"

struct err;
struct strv;

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct host {
    uid_t uid;
    gid_t gid;
    char *user;              /* login name, or the uid as text where passwd has none */
    char *home;              /* HOME, else passwd, else NULL */
    char *data_root;         /* the store: --root, CORACLE_ROOT, XDG_DATA_HOME/coracle, ~/.local/share/coracle */
    char *run_root;          /* XDG_RUNTIME_DIR/coracle when usable, else /tmp/coracle-<uid> (0700, owned, checked) */
    char *config_dir;        /* XDG_CONFIG_HOME/coracle or ~/.config/coracle */
    char *docker_config_dir; /* DOCKER_CONFIG or ~/.docker */
    char *libexec_dir;       /* where the helpers are: beside the binary (build tree), or ../libexec/coracle from it */
    char *boot_id;
    char *kernel; /* uname release */
    char *hostname;
    const char *arch;    /* Go's GOARCH: amd64, arm64, … */
    const char *variant; /* "v8", "v7" or "" */
    enum cgroup_mode cgroup;
    char *default_platform; /* DOCKER_DEFAULT_PLATFORM or NULL */
    char *const *environ;   /* the caller's environment, borrowed */
    bool stdin_tty, stdout_tty, stderr_tty;
};

/* Probes. `root` overrides the store's place and may be NULL. Fails with a hint when no place for the store can be
 * found. */
struct err *host_probe(const char *root, struct host **ret) __attribute__((warn_unused_result));
void host_free(struct host *h);
static inline void host_freep(struct host **h) { host_free(*h); }

/* The value of an environment variable as the caller had it, borrowed, or NULL. */
const char *host_env(const struct host *h, const char *name);

/*
 * The user's default map: 0 → the user, 1.. → the subordinate ids that libsubid (dlopen; /etc/subuid and /etc/subgid
 * read directly where it is absent) grants. Errors: not_found with the usermod line as hint when there are none.
 */
struct err *host_id_map(const struct host *h, struct id_map *ret) __attribute__((warn_unused_result));

/* Whether the kernel has SELinux, with a policy or without, as libselinux sees it: selinuxfs is mounted. */
bool host_has_selinux(void);

/* What the host's user database says of the user. */
struct host_account {
    char *name, *gecos, *home, *group; /* owned; where nothing is known: the uid, "", "/", the gid as text */
};
void host_account_load(const struct host *h, struct host_account *ret);
void host_account_done(struct host_account *a);

/* Full path of a program in PATH (or of a helper in libexec), owned; not_found with the package to install as hint. */
struct err *host_find_program(const struct host *h, const char *name, const char *package_hint, char **ret)
    __attribute__((warn_unused_result));
