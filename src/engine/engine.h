/*
 * engine: the use cases. One function for each thing a user can ask for; the command line today, compose and the API
 * server later call these and nothing below. The engine owns no process and no state: it opens the store, takes locks
 * for as long as it needs them, forks monitors, and talks to them over their control sockets.
 *
 * Views: list and inspect functions give JSON in the shapes of docker's API (/images/json, /containers/x/json, …);
 * renderers format those and nothing else, so --format and --filter work everywhere alike. The list of containers, of
 * which there may be thousands, is typed rows.
 * Names: every `name` argument is what a user typed: a name, an id, or a unique prefix of one.
 * Recovery: whatever a crash left is recognised here (a "running" state without a lock holder, debris in tmp) and put
 * right by the next command that meets it. Terminal input and output happen only through the monitor's io functions,
 * with what the caller gives.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "engine/duties.h"
#include "engine/images.h"
#include "engine/limits.h"
#include "engine/networks.h"
#include "engine/volumes.h"
#include "image/image.h"
#include "monitor/monitor.h"
#include "spec/spec.h"

struct config;
struct engine;
struct json;

/* Opens nothing yet: the store is opened at first use. `host` and `config` are borrowed and outlive the engine. */
struct engine *engine_new(const struct host *host, const struct config *config)
    __attribute__((returns_nonnull, warn_unused_result));
void engine_free(struct engine *e);

/*
 * For commands that enter containers: where the program's binary belongs to the user, goes on from a copy that
 * container root cannot overwrite (CVE-2019-5736). `argv` is the program's own. Call before anything else.
 */
struct err *engine_protect_self(char *const *argv) __attribute__((warn_unused_result));

/* ---- containers ---- */

/* What a container is made from when it is no image yet: a build's layers so far. */
struct engine_base {
    const struct json *image_config; /* an OCI image config */
    const struct strv *layers;       /* chain ids, bottom first */
    const struct json *trees; /* what the sources of its image mounts are: {name: {"Id", "Layers": […]}}; or NULL */
};
struct engine_create {
    const struct container_options *options;
    const struct engine_base *base;    /* instead of the image that the options name; or NULL */
    struct image_progress_fn progress; /* of a pull that turned out to be needed */
    /* Called before such a pull, to say "Unable to find image 'x' locally"; may be NULL. */
    void (*missing)(void *ctx, const char *reference);
    void *missing_ctx;
    const int *interrupted_fd;
    struct err *(*expand)(const char *text, const struct json *data, char **ret); /* as in spec.h; may be NULL */
    bool to_start; /* engine_container_start_created() follows: nothing is synced to disk before it */
};
/* A new container; done with engine_created_done(). What is there `to_start` it: its lock, its directory, its spec. */
struct engine_created {
    char id[65];
    int lock_fd, dirfd;
    struct spec *spec;
};
#define ENGINE_CREATED_INIT                                                                                            \
    { .lock_fd = -1, .dirfd = -1 }
void engine_created_done(struct engine_created *c);
#define autocreated __attribute__((cleanup(engine_created_done))) struct engine_created
/* The --userns that options without one mean, static; NULL: the ids of all containers. It is "keep-id" where files that
 * the container makes shall be the caller's: docs/adr/own-files.md. */
const char *engine_userns_default(const struct engine *e, const struct container_options *o);
/* Makes a container; pulls the image by policy. ret_warnings gets lines for stderr. */
struct err *engine_container_create(struct engine *e, const struct engine_create *c, struct engine_created *ret,
                                    struct strv *ret_warnings) __attribute__((warn_unused_result));
/* The OCI config that create would write (--print-spec). */
struct err *engine_container_spec(struct engine *e, const struct engine_create *c, struct json **ret)
    __attribute__((warn_unused_result));

enum { ENGINE_PRESERVE_MAX = 256 };
struct engine_start {
    bool attach;               /* stay with it until it ends or is detached */
    struct monitor_io io;      /* what to attach when `attach` */
    unsigned short rows, cols; /* first terminal size */
    int preserve_fds;          /* descriptors 3 to 2 + n are the container's too, and closed here once it runs */
};
/*
 * Starts a created or exited container. A running one is success. After `attach` *ret (may be NULL) tells how it ended.
 */
struct err *engine_container_start(struct engine *e, const char *name, const struct engine_start *s,
                                   struct monitor_io_result *ret) __attribute__((warn_unused_result));
/* The same of one that was made for it, from what is in memory. What `c` has is taken. */
struct err *engine_container_start_created(struct engine *e, struct engine_created *c, const struct engine_start *s,
                                           struct monitor_io_result *ret) __attribute__((warn_unused_result));
/* Attaches to a running container. */
struct err *engine_container_attach(struct engine *e, const char *name, const struct monitor_io *io,
                                    struct monitor_io_result *ret) __attribute__((warn_unused_result));
/* timeout_s: -1 for the container's own, -2: for ever. `signal` NULL: the container's own. A stopped one is success. */
struct err *engine_container_stop(struct engine *e, const char *name, const char *signal, int timeout_s,
                                  bool *ret_at_once) __attribute__((warn_unused_result));
struct err *engine_container_restart(struct engine *e, const char *name, const char *signal, int timeout_s)
    __attribute__((warn_unused_result));
/* conflict when it is not running. */
struct err *engine_container_kill(struct engine *e, const char *name, const char *signal)
    __attribute__((warn_unused_result));
/* Removes; a running one only with force. */
struct err *engine_container_remove(struct engine *e, const char *name, bool force, bool volumes)
    __attribute__((warn_unused_result));
struct err *engine_container_rename(struct engine *e, const char *name, const char *new_name)
    __attribute__((warn_unused_result));
/* Blocks until it is not running; its exit code. */
struct err *engine_container_wait(struct engine *e, const char *name, int *ret_code)
    __attribute__((warn_unused_result));
/* Prints the log to r->out and r->err. */
struct err *engine_container_logs(struct engine *e, const char *name, const struct monitor_log_read *r)
    __attribute__((warn_unused_result));
/* Of several, each line with the container's short id or name before it. */
struct engine_logs {
    char *const *names;
    size_t n;
    bool by_name, colour;
    struct monitor_log_read read;
};
struct err *engine_containers_logs(struct engine *e, const struct engine_logs *l) __attribute__((warn_unused_result));

struct engine_exec {
    struct strv command, env;   /* env as typed, NAME alone takes the host's */
    struct strv env_files;      /* texts */
    const char *user, *workdir; /* or NULL */
    bool tty, interactive, detach, privileged;
    struct monitor_io io;
    unsigned short rows, cols;
};
/* Runs a command in a running container. */
struct err *engine_container_exec(struct engine *e, const char *name, const struct engine_exec *x,
                                  struct monitor_io_result *ret) __attribute__((warn_unused_result));

struct engine_list {
    bool all;  /* not only running ones */
    int last;  /* -1; n newest, whatever their state */
    bool size; /* fill size_rw and size_rootfs (walks upper directories) */
};
/* One container of a list. What is not known is "". */
struct engine_row {
    char id[65], status[16];
    char health[12];      /* "starting", "healthy", "unhealthy"; "": nothing is checked */
    bool alive;           /* running, paused or restarting */
    bool stopped_by_user; /* it ended by a command */
    int exit_code;
    int pid;              /* of its first process, 0 when it does not run */
    const char *name;     /* without "/" */
    const char *image;    /* as the user named it */
    const char *image_id; /* hex */
    const char *command, *network;
    const char *labels, *mounts;        /* JSON: an object of strings; an array of docker's mount points */
    const char *layers;                 /* JSON: an array of chain ids */
    const char *exposed;                /* JSON: an array of "80/tcp" */
    const char *restart;                /* JSON: docker's RestartPolicy, {} for none */
    int64_t created, started, finished; /* ns, 0: never */
    int64_t size_rw, size_rootfs;
    char text[]; /* what the members point into */
};
struct engine_rows {
    struct engine_row **v;
    size_t n;
};
/* The containers, newest first; done with engine_rows_done(). Damaged records are skipped with a warning. */
struct err *engine_container_list(struct engine *e, const struct engine_list *l, struct engine_rows *ret)
    __attribute__((warn_unused_result));
void engine_rows_done(struct engine_rows *rows);
#define autorows __attribute__((cleanup(engine_rows_done))) struct engine_rows
/* "Up 2 minutes", "Exited (0) 3 hours ago", … as docker's ps shows it; appended. */
void engine_row_status(const struct engine_row *r, int64_t now, struct str *out);
/* An image that containers may descend from; done with engine_ancestor_done(). */
struct engine_ancestor {
    char *name; /* as it was given */
    char id[65];
    char *top; /* chain id of its uppermost layer */
};
/* Finds one by name or id; of an image that is gone only the name is known. */
void engine_ancestor_find(struct engine *e, const char *name, struct engine_ancestor *ret);
void engine_ancestor_done(struct engine_ancestor *a);
/* Whether the container was made from the image, or from one with all of its layers at the bottom. */
bool engine_row_descends(const struct engine_row *r, const struct engine_ancestor *a);
/* Names of the networks that it is connected to; of one without a network of its own "none", "host" … Appended. */
void engine_row_networks(const struct engine *e, const struct engine_row *r, struct strv *out);
/* docker's ports of a row, [{"IP","PrivatePort","PublicPort","Type"}]; without "PublicPort" what is only exposed. */
struct json *engine_row_ports(const struct engine *e, const struct engine_row *r)
    __attribute__((returns_nonnull, warn_unused_result));
/* docker's container inspect object. */
struct err *engine_container_inspect(struct engine *e, const char *name, bool size, struct json **ret)
    __attribute__((warn_unused_result));
/* Names of all containers (and images' references): for completion. Never fails; appends what can be read. */
void engine_complete_containers(struct engine *e, bool running_only, struct strv *out);
void engine_complete_images(struct engine *e, struct strv *out);
/* Whether the container has a terminal and an open stdin; its full id and whether it runs. */
struct engine_container_facts {
    char id[65];
    bool running, tty, open_stdin;
};
struct err *engine_container_facts(struct engine *e, const char *name, struct engine_container_facts *ret)
    __attribute__((warn_unused_result));

/* What is published: [{"IP","PrivatePort","PublicPort","Type"}], empty for one that does not run. */
struct err *engine_container_ports(struct engine *e, const char *name, struct json **ret)
    __attribute__((warn_unused_result));

/* ---- the system ---- */

/* docker info's object, with what this machine can do and what it lacks. */
struct err *engine_info(struct engine *e, struct json **ret) __attribute__((warn_unused_result));
/* docker version's object {Client, Server}. */
struct err *engine_version(struct engine *e, struct json **ret) __attribute__((warn_unused_result));

/* ---- words and terminals ---- */

/* docker's sizes ("64m", "1.5g", "2GB") in bytes. */
struct err *engine_parse_bytes(const char *text, int64_t *ret) __attribute__((warn_unused_result));
/* --memory-swap and --cpus (spec.h). */
struct err *engine_parse_swap(const char *text, int64_t *ret) __attribute__((warn_unused_result));
struct err *engine_parse_cpus(const char *text, int64_t *ret) __attribute__((warn_unused_result));
/* The name of capability n ("CAP_CHOWN"), or NULL behind the last one. */
const char *engine_cap_name(int cap);
/* A canonical reference as docker shows it ("docker.io/library/busybox:latest" → "busybox:latest"), owned. */
char *engine_reference_familiar(const char *canonical) __attribute__((returns_nonnull, warn_unused_result));
/* The size of a terminal; 0 and 0 for what is none. */
void engine_tty_size(int fd, unsigned short *ret_rows, unsigned short *ret_cols);
