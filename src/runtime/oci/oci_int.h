/*
 * oci_int: coracle-runtime, the runtime as an OCI command line, for engines (podman --runtime) and conformance suites.
 *
 *     main.c       global options, the command table, errors to stderr and --log
 *     opts.c       the option parser of the commands
 *     record.c     <root>/<id>/: state.json, config.json, start.sock; what status follows from them
 *     create.c     create and run        idmap.c   the user namespace that a config asks for
 *     lifecycle.c  start, kill, delete   view.c    state, list, ps
 *     exec.c       exec                  describe.c  spec, features: what a config may ask for
 *     pause.c      pause, resume         update.c  update    events.c  events
 *
 * No process of ours stays behind. `create` leaves the container's first process waiting on start.sock, and the
 * caller's subreaper (conmon, containerd-shim) inherits it; `start` connects, says go, and hears whether execve has
 * worked. A container is its directory: what is not in there is looked up in the kernel, by pid and start time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"

struct err;
struct host;
struct str;
struct strv;

#define OCI_VERSION "1.0.2"
#define OCI_CONFIG "config.json"
#define OCI_STATE "state.json"
#define OCI_START_SOCKET "start.sock"
#define OCI_PAUSED "paused.json" /* there while it stands still: the pids that had been stopped before */

struct oci {
    struct host *host;
    char *root;  /* directory of all containers */
    int root_fd; /* opened, or -1 when it is not there yet */
    char *log;   /* --log, or NULL */
    bool log_json;
};

struct oci_cmd {
    const char *name, *usage, *summary;
    /* argv[0] is the command's name. *ret_code is the exit code on success. */
    struct err *(*run)(struct oci *o, int argc, char **argv, int *ret_code);
};

/* ---- opts.c ---- */

enum opt_type { OPT_FLAG, OPT_STRING, OPT_LIST, OPT_IGNORED /* takes a value, has no effect here */, OPT_IGNORED_FLAG };
struct opt {
    const char *name; /* "bundle" */
    char letter;      /* 'b' or 0 */
    enum opt_type type;
    void *target; /* bool *, const char **, struct strv * */
};
/*
 * Reads options up to the first other word or "--" and returns its index. Values are --name=V, --name V, -n V; flags
 * take =true and =false. An unknown option is a usage error.
 */
struct err *opts_parse(const struct opt *opts, size_t n, int argc, char **argv, int *ret_index)
    __attribute__((warn_unused_result));
/* A whole number for an option. */
struct err *opts_number(const char *name, const char *text, int64_t max, int64_t *ret)
    __attribute__((warn_unused_result));

/* ---- record.c ---- */

enum status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_PAUSED, STATUS_STOPPED };
struct record {
    char *id;
    int dir;            /* <root>/<id> */
    struct json *state; /* as in state.json */
    pid_t pid;
    int pidfd; /* -1 when the process has ended */
    enum status status;
};
#define autorecord __attribute__((cleanup(record_done))) struct record
#define RECORD_INIT                                                                                                    \
    { .dir = -1, .pidfd = -1 }

/* Opens a container's directory and finds out its status. not_found with docker's and runc's words. */
struct err *record_open(const struct oci *o, const char *id, struct record *ret) __attribute__((warn_unused_result));
void record_done(struct record *r);
/* The word for it in the specification. */
const char *status_name(enum status s);
/* Reserves an id: its directory is made, or the error says that it is taken. */
struct err *record_reserve(struct oci *o, const char *id, int *ret_dir) __attribute__((warn_unused_result));
/* Takes the directory away. */
struct err *record_remove(const struct oci *o, const char *id) __attribute__((warn_unused_result));
/* The config that the container was created with. */
struct err *record_config(const struct record *r, struct json **ret) __attribute__((warn_unused_result));
/* Calls fn for each container that can be read. */
struct err *record_each(const struct oci *o, struct err *(*fn)(void *ctx, const struct record *r), void *ctx)
    __attribute__((warn_unused_result));
/* The state object of the specification, with the status. */
struct json *record_view(const struct record *r) __attribute__((returns_nonnull, warn_unused_result));

/* start.sock: made by create, handed to the container's process, connected to by start. */
struct err *start_listen(int dir, int *ret_fd) __attribute__((warn_unused_result));
struct err *start_connect(int dir, int *ret_fd) __attribute__((warn_unused_result));

/* Writes the pid to a file, whole or not at all. */
struct err *pid_file_write(const char *path, pid_t pid) __attribute__((warn_unused_result));
/* Sends the master of a terminal to who listens at `path`. */
struct err *console_send(const char *path, int master) __attribute__((warn_unused_result));
/* Waits for a child, passing on the signals that come in; its exit code. */
struct err *foreground_wait(pid_t pid, int pidfd, int *ret_code) __attribute__((warn_unused_result));
/* Blocks what foreground_wait() passes on; before the child is made. */
void foreground_block(void);

/* ---- idmap.c ---- */

/* The user namespace to make the container in: *ret_fd is -1 when the current one serves. */
struct err *idmap_userns(const struct host *h, const struct json *config, int *ret_fd)
    __attribute__((warn_unused_result));

/* ---- the commands ---- */
struct err *cmd_create(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_run(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_start(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_kill(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_delete(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_state(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_list(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_features(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_exec(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_ps(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_pause(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_resume(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_update(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_events(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));
struct err *cmd_spec(struct oci *o, int argc, char **argv, int *ret_code) __attribute__((warn_unused_result));

/* Starts a created container (lifecycle.c; `run` uses it too). */
struct err *container_start(const struct oci *o, const char *id) __attribute__((warn_unused_result));
/* Removes a container; a live one is killed first with `force`. */
struct err *container_delete(const struct oci *o, const char *id, bool force) __attribute__((warn_unused_result));
/* Lets a paused container go on; nothing for one that is not. */
struct err *container_resume(struct record *r) __attribute__((warn_unused_result));
/* Writes text to standard output. */
struct err *print_text(const struct str *s) __attribute__((warn_unused_result));
/* The only argument of a command without options. */
struct err *one_id(int argc, char **argv, const char **ret) __attribute__((warn_unused_result));
/* Writes JSON and a newline there. */
struct err *print_json(const struct json *j, enum json_style style) __attribute__((warn_unused_result));
