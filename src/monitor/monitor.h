/*
 * monitor: the one process that a container has beside its own. Forked by the starter without exec, single-threaded,
 * small (150 KB of anonymous memory, of which 90 are those of any program with a C library), it holds the container's
 * lock, its terminal or pipes, its log and its control socket, and ends with the container. Everything that waits,
 * waits in its one epoll loop: no thread, no timer without need, no wake-up when idle.
 *
 * Life: monitor_main() is entered in the forked child → new session, title "coracle-mon <id>", descriptors closed →
 * user namespace → runtime_create, and while the container prepares itself: control socket, log, signals → state.json
 * "running" → runtime_start → one message on the sync socket ({"started":true,"pid":N} or {"error":…}) → loop → init
 * has ended: drain pipes to EOF, flush the log, write state.json, answer waiters and attached clients with the exit
 * code, call `ended` (removes a --rm container), release the lock, _exit. The exit code is given to clients before the
 * tree is deleted, after the last byte of output. Connections stay open until the lock is released: who reads one to
 * its end finds the container free (monitor_stop, _wait and a _kill with SIGKILL do that). SIGTERM to the monitor is a
 * stop with the default timeout. A client that is slow at the very end (a pager) gets its bytes from a forked process,
 * so that it does not keep the lock.
 *
 * Duties, with nobody's help: restart policies (again.c: the container ends, is "restarting" while its monitor waits,
 * and is made anew by the same process, with its log and control socket; attached clients and waiters get the exit code
 * of the run that they saw), health checks (health.c), --timeout. One timer for all of them, none without.
 *
 * A crash: when the monitor dies, init gets SIGKILL and the lock frees itself; the next command sees "running" with a
 * free lock and records "exited (monitor lost)", code 137 (engine_container_refresh). Output that was in the pipe then
 * is lost, log lines are whole.
 *
 * Control socket run_root/<id>/control (0600, unix stream): first a JSON line (base/msg.h) with "op"; answers are JSON
 * lines:
 *     {"op":"kill","signal":15}            → {"ok":true}
 *     {"op":"stop","signal":15,"timeout":10} (seconds, -1: for ever) → {"ok":true,"code":143,"killed_at_once":false}
 *                                                            when it has ended
 *     {"op":"pause"}, {"op":"unpause"}     → {"ok":true}
 *     {"op":"hold"}                        → {"ok":true}: paused until the last connection that holds it ends
 *     {"op":"update"}                      → {"ok":true}: the limits that config.json now has are in force
 *     {"op":"wait"}                        → {"code":0} when it has ended
 *     {"op":"restart-policy","name":"on-failure","max":3} → {"ok":true}
 *     {"op":"health"}                      → {"code":0} when the health check that this began has ended
 *     {"op":"resize","rows":24,"cols":80}  → {"ok":true}
 *     {"op":"attach","stdin":true,"stdout":true,"stderr":true} → {"ok":true,"tty":true}, then frames both ways
 * Frames (after attach): type(1) 0 0 0 length(4, big endian) payload. A slow client slows the container down (as
 * docker's does), never costs memory: at most 1 MiB is kept a client, the pipe is not read while a client is full.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/rootfs_plan.h"
#include "base/str.h"

struct err;
struct host;
struct id_map;
struct json;
struct msg_chan;

enum monitor_frame {
    FRAME_STDIN = 0,  /* client → monitor; length 0: end of input */
    FRAME_STDOUT = 1, /* monitor → client */
    FRAME_STDERR = 2,
    FRAME_RESIZE = 3, /* client → monitor: rows(2) cols(2), big endian */
    FRAME_SIGNAL = 4, /* client → monitor: signal number(1) for PID 1 */
    FRAME_EXIT = 5    /* monitor → client: exit code(4, big endian); the last frame */
};

struct monitor_exit {
    int code; /* 128+n for a signal */
    bool oom_killed;
    int64_t finished; /* ns */
};

enum monitor_restart_kind {
    MONITOR_RESTART_NO,
    MONITOR_RESTART_ON_FAILURE,
    MONITOR_RESTART_ALWAYS,
    MONITOR_RESTART_UNLESS_STOPPED
};
struct monitor_restart {
    enum monitor_restart_kind kind;
    int max; /* restarts at most, on failure; 0: any number */
};
/* By docker's name; false for one that is none. */
bool monitor_restart_named(const char *name, int max, struct monitor_restart *ret);

struct monitor {
    const char *id, *name;
    const struct host *host;
    struct json *config; /* the OCI config, merged with what this start adds; taken: cut down once the container runs */
    struct rootfs_plan *rootfs;
    bool terminal, open_stdin, stdin_once;
    pid_t tied_to; /* 0, or who starts it: it dies with them, and the container with it; the step of a build */
    int tied_fd;   /* -1, or open as long as we live: it says that there is work in progress */
    unsigned short rows, cols;
    struct {                      /* borrowed until `started` */
        const char *driver;       /* NULL: json-file */
        struct strmap opts;       /* --log-opt, as the spec has checked them */
        const struct json *attrs; /* labels and variables for each entry, or NULL */
        const char *tag, *image;  /* NULL: none */
    } log;
    int stdio[3];             /* the container's, with the log driver passthrough; -1: none. Kept as long as we run */
    int dir_fd;               /* containers/<id>: state.json, log */
    int lock_fd;              /* held until the end */
    int sync_fd;              /* to the starter */
    int first_client;         /* a connected socket already in the attached state (op attach said), or -1 */
    bool first_client_stdin;  /* its frames are the container's input */
    int userns_fd;            /* -1: runtime_userns_get() is done here */
    const char *init_program; /* coracle-init */
    struct {
        int fd;
        unsigned clone_flag;
    } join[8];
    int n_join;
    const struct id_map *map; /* of a user namespace of the container's own, as runtime.h has it; borrowed; or NULL */
    int preserve_fds;         /* descriptors 3 to 2 + n go to the first run, and are closed then */
    struct monitor_restart restart;
    /*
     * Called in the monitor, inside the user namespace, after clients were answered: when the container has ended, and
     * when it could not be started (code 125 to 128), so that --rm is carried out in both cases. The starter's other
     * descriptors are closed by then.
     */
    /* In the monitor, with the container's new network namespace (borrowed), while it sets itself up: gives it its
     * network. *ret_watch: a descriptor, not the monitor's, whose readability calls network_event, which may put
     * another one or -1 in its place. NULL: nothing to give. */
    struct err *(*network)(void *ctx, int netns_fd, int *ret_watch);
    void (*network_event)(void *ctx, int *watch);
    /* Gives the network of a run that has ended back, before there is another. */
    void (*network_end)(void *ctx);
    /* In the monitor, when the container is to run again: puts into `struct monitor` what `started` and the monitor
     * have freed, read anew: config, name, rootfs, init_program, join. */
    struct err *(*again)(void *ctx);
    /* In the monitor, when the output is whole and before anybody is told the exit code: a --rm container gives its
     * name back here. NULL: none. */
    void (*vanish)(void *ctx);
    void (*ended)(void *ctx, const struct monitor_exit *x);
    /* In the monitor: what docker tells as an event has happened to the container ("start", "die", "kill", "oom", …).
     * `attributes`: key, value, …, NULL, of the event; or NULL. NULL: nobody is told. */
    void (*event)(void *ctx, const char *action, const char *const *attributes);
    /* In the container's first process, as runtime.h's `prepare`. NULL: nothing. */
    struct err *(*prepare)(void *ctx, int root);
    /* In the monitor, once the container runs: frees what only its start needed. NULL: none. */
    void (*started)(void *ctx);
    void *ctx;
};
/* Runs the monitor in the calling (freshly forked) process; never returns. Descriptors in `m` are taken. */
void monitor_main(struct monitor *m) __attribute__((noreturn));

/* ---- for commands ---- */

/* Connects to a container's control socket. not_found when no monitor listens. */
struct err *monitor_connect(const struct host *h, const char *id, int *ret_fd) __attribute__((warn_unused_result));
/* op kill. */
struct err *monitor_kill(const struct host *h, const char *id, int signo) __attribute__((warn_unused_result));
/* op stop: returns when the container has ended. *ret_at_once: PID 1 could not have received the signal, so it was
 * killed immediately. */
struct err *monitor_stop(const struct host *h, const char *id, int signo, int timeout_s, int *ret_code,
                         bool *ret_at_once) __attribute__((warn_unused_result));
/* op pause, op unpause: conflict when it is paused already, or is not. */
struct err *monitor_pause(const struct host *h, const char *id) __attribute__((warn_unused_result));
struct err *monitor_unpause(const struct host *h, const char *id) __attribute__((warn_unused_result));
/* op hold: paused until *ret is closed, or nobody has it any more. Others may hold it too; who pauses it meanwhile has
 * it stay so. monitor_release() closes it, and returns when the container goes on. */
struct err *monitor_hold(const struct host *h, const char *id, struct msg_chan **ret)
    __attribute__((warn_unused_result));
struct err *monitor_release(struct msg_chan *take_hold) __attribute__((warn_unused_result));
/* op restart-policy. */
struct err *monitor_set_restart(const struct host *h, const char *id, const char *name, int max)
    __attribute__((warn_unused_result));
/* op health: checks once, now. *ret_code is the check's, not 0 for one that failed or took too long. */
struct err *monitor_health(const struct host *h, const char *id, int *ret_code) __attribute__((warn_unused_result));
/* op update: the limits that config.json has are put into force; where they are refused the old ones stay. */
struct err *monitor_update(const struct host *h, const char *id) __attribute__((warn_unused_result));
/* op wait on an open connection's id: returns the exit code when it ends. */
struct err *monitor_wait(const struct host *h, const char *id, int *ret_code) __attribute__((warn_unused_result));
/* Connects and attaches; *ret_fd carries frames from now on. */
struct err *monitor_attach(const struct host *h, const char *id, bool in, bool out, bool err, bool *ret_tty,
                           int *ret_fd) __attribute__((warn_unused_result));

/* What a terminal or pipe on this side does with an attached container or an exec'd process. */
struct monitor_io {
    int in, out, err;        /* -1: not attached */
    bool tty;                /* the container has a terminal: raw mode here if `in` is one, resizes are sent */
    const char *detach_keys; /* "ctrl-p,ctrl-q" form; "" : none; NULL: the default */
    bool sig_proxy; /* signals of this process go to the container (with a raw terminal all but SIGHUP and SIGTSTP) */
};
struct monitor_io_result {
    bool detached; /* the user typed the detach keys, or input ended without the process ending */
    bool ended;    /* the exit code is known */
    int code;
    int out_error; /* errno of writing our output (EPIPE: the reader went away), 0 */
};
/* Parses "ctrl-p,ctrl-q" into bytes (at most 16); usage error in docker's words. */
struct err *monitor_detach_keys_parse(const char *text, unsigned char ret[16], size_t *ret_n)
    __attribute__((warn_unused_result));
/* Pumps frames between a connection (borrowed) and this side until exit, detach or error. Restores the terminal on
 * every path, fatal signals included. */
struct err *monitor_io_attach(int conn, const struct monitor_io *io, struct monitor_io_result *ret)
    __attribute__((warn_unused_result));
/* A process that this side has started. */
struct monitor_child {
    int pidfd, master;                             /* borrowed; master: its pty, or -1 */
    int pipes[3];                                  /* without a pty our ends of its stdio, each may be -1; taken */
    struct err *(*reap)(void *ctx, int *ret_code); /* called when it has ended: its exit code */
    void *ctx;
};
/* The same for such a process. It is reaped when it has ended, which it has not when `detached` or `out_error` come
 * back. */
struct err *monitor_io_child(const struct monitor_child *child, const struct monitor_io *io,
                             struct monitor_io_result *ret) __attribute__((warn_unused_result));
/* Size of the terminal on `fd`; zeros when it is none. */
void monitor_tty_size(int fd, unsigned short *ret_rows, unsigned short *ret_cols);

/* ---- state.json ---- */

struct monitor_state {
    char status[16];    /* created, running, paused, restarting, exited, dead */
    pid_t pid;          /* init as the host sees it, 0 when not running */
    uint64_t pid_start; /* clock ticks */
    pid_t monitor_pid;
    char boot_id[40];
    int64_t started, finished; /* ns, 0: never */
    int exit_code;
    bool oom_killed;
    int restart_count;
    bool stopped_by_user; /* it ended by a command, and unless-stopped is satisfied */
    char health[12];      /* "starting", "healthy", "unhealthy"; "": nothing is checked */
    char error[256];
};
/* There is no state.json before the first start. */
#define MONITOR_STATE_CREATED                                                                                          \
    (struct monitor_state) { .status = "created" }
/* Reads and writes containers/<id>/state.json (dirfd); reads its text. Writing is atomic, not durable: what a power cut
 * tore is read as that of a container that ran in a boot that is over. */
struct err *monitor_state_read(int dirfd, struct monitor_state *ret) __attribute__((warn_unused_result));
struct err *monitor_state_parse(const struct str *text, struct monitor_state *ret) __attribute__((warn_unused_result));
struct err *monitor_state_write(int dirfd, const struct monitor_state *s) __attribute__((warn_unused_result));

/* ---- logs ---- */

struct monitor_log_read {
    int64_t tail;         /* lines, -1: all */
    int64_t since, until; /* ns, 0: unset */
    bool follow, timestamps, details;
    bool local;       /* the files are in the format of the driver local, not json-file */
    int out, err;     /* where stdout and stderr lines go */
    int lock_fd;      /* the container's lock file: follow ends when nobody holds it; -1 */
    int interrupt_fd; /* readable: stop following; -1 */
};
/* Prints containers/<id>/log with what was rotated away, compressed or not; follows across rotation without losing or
 * doubling a line. */
struct err *monitor_log_print(int dirfd, const struct monitor_log_read *r) __attribute__((warn_unused_result));
