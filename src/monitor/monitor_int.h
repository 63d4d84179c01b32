/*
 * monitor_int: the monitor at work, shared by its files.
 *
 * Theory of operation. One struct, one epoll table, one dispatch switch (loop.c). What stands in the table is a typed
 * reference (kind and index), never a pointer, and a client's carries a generation, so an event for a descriptor that
 * was closed earlier in the same round finds nobody. After each round mon_balance() puts the interest masks right:
 * outputs of the container are watched only while no client has bytes waiting, clients are read only while the
 * container has taken what they typed before. That is the whole of flow control, and why memory is bounded: one chunk a
 * client, one chunk of input.
 *
 *     monitor.c   life: from the fork to _exit         stdio.c     the container's pipes or terminal
 *     loop.c      the table, the switch, idleness      clients.c   connections: frames in, output out
 *     ending.c    from the death of init to the end    control.c   requests and answers
 *     stop.c      signals to PID 1                     shed.c      memory of the command given back
 *     timer.c     the one timer                        again.c     the next start of a container that ended
 *     health.c    health checks
 *     pause.c     pause and unpause                    watch.c     limits that no cgroup holds; update
 *     logging.c   the log drivers                  served.c    file systems that a program serves
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "monitor/deadlines_int.h"
#include "monitor/frames_int.h"
#include "monitor/health_int.h"
#include "monitor/monitor.h"
#include "monitor/pages_int.h"
#include "monitor/restart_int.h"
#include "runtime/runtime.h"

struct json;
struct logdriver;

#define MON_CHUNK ((size_t)256 << 10)      /* most output taken at once */
#define MON_CHUNK_SMALL ((size_t)64 << 10) /* until a pipe proves busy */
#define MON_PIPE_BUSY (1 << 20) /* size of a busy pipe; given back when idle, for a user's pipe pages are counted */
#define MON_PIPE_IDLE (64 << 10)
#define MON_INPUT_MAX ((size_t)64 << 10) /* input taken at once */
#define MON_CLIENT_MAX 256
#define MON_REQUEST_MAX 1024
/* Input waiting for the container: what was taken at once, and what came with requests to attach. */
#define MON_INPUT_QUEUE (MON_INPUT_MAX + (size_t)MON_CLIENT_MAX * MON_REQUEST_MAX)
/*
 * Output waiting for one client: a chunk of each stream while running; at the end, what pipes and buffers still hold.
 */
#define MON_QUEUE_MAX ((size_t)4 << 20)

enum ref_kind {
    REF_INIT,
    REF_OUTPUT,
    REF_INPUT,
    REF_LISTEN,
    REF_CLIENT,
    REF_TIMER,
    REF_SIGNAL,
    REF_NETWORK,
    REF_HEALTH,
    REF_USERNS,
    REF_LOG,
    REF_SERVED
};
union ref {
    struct {
        uint8_t kind;
        uint8_t unused;
        uint16_t index;
        uint32_t generation;
    };
    uint64_t u64;
};
_Static_assert(sizeof(union ref) == 8, "a reference is epoll's 64 bits");

struct output {
    int fd;       /* -1: at its end */
    bool watched; /* in the table */
    bool busy;    /* pipe made large */
};

struct input {
    int fd; /* -1: none, or closed */
    bool watched;
    bool busy;    /* pipe made large */
    bool closing; /* close when `waiting` is empty */
    struct queue waiting;
};

enum client_state {
    CLIENT_REQUEST,  /* its request line is being read */
    CLIENT_ATTACHED, /* frames */
    CLIENT_CODE,     /* waits for the exit code */
    CLIENT_STOP,     /* the same, in the words of op stop */
    CLIENT_END,      /* waits for the end only */
    CLIENT_HEALTH,   /* waits for the health check that runs */
    CLIENT_HOLD,     /* the container is paused until it goes */
    CLIENT_CLOSING   /* closed when its answer is sent */
};

struct client {
    int fd;
    uint16_t slot;
    uint32_t generation;
    enum client_state state;
    bool in, out[2]; /* attached to which streams */
    bool first;      /* the starter */
    bool registered; /* in the table */
    bool held;       /* not read, because input waits */
    bool gone;       /* nobody reads its output any more */
    struct queue waiting;
    struct frame_parser frames;
    size_t request_len;
    char request[MON_REQUEST_MAX];
};

struct mon {
    struct monitor *m;
    int epoll, run_fd, listen_fd, signal_fd, timer_fd;
    int userns_listen; /* where the user namespace is offered between two runs */
    int oom_fd;        /* for runtime_create() */
    int network_fd;    /* to watch for m->network_event, or -1 */
    struct runtime_cgroup cgroup;
    struct runtime_stopped stopped; /* while paused */
    struct runtime_emulation emulation;
    struct runtime_survey survey;
    bool over_memory; /* it was killed for that */
    struct runtime_proc proc;
    struct monitor_state state; /* what was recorded last, once it has been read */
    uint64_t init_start;        /* clock ticks: tells the first process from a later one of the same pid */
    int64_t started;
    struct output out[2]; /* stdout or the terminal, stderr */
    struct input in;
    int tty_peer; /* the terminal's other side: keeps it alive when the container closes and reopens it */
    struct logdriver *log, *log_copy; /* NULL: none */
    int log_fd;                       /* what the log waits for, or -1 */
    struct pages chunk;
    struct client *clients[MON_CLIENT_MAX];
    size_t client_top; /* slots from here on are empty */
    uint32_t generation;
    bool dirty;          /* buffers hold pages that idleness gives back */
    bool lean;           /* memory of the start is given back; a container that ends soon does not pay for it */
    bool killed_at_once; /* by a stop whose signal could not be received */
    bool paused;
    bool until_released; /* paused for nobody but the clients that hold it */
    int second_look;     /* the signal of a stop that was blocked when it was sent; 0: none */
    struct deadlines deadlines;
    int64_t timer_at; /* what the timer is set to, 0: nothing */
    struct restart restart;
    struct health *health; /* NULL: nothing is checked */
    int runs;              /* times that it was started here */
    uint64_t oom_before;   /* kills in earlier runs */
    bool over;             /* leave the loop: init has ended, or a wait has */
    bool waiting;          /* between two runs: there is no init */
    bool by_user;          /* ended by a command: not started again, and remembered */
    bool leaving;          /* the monitor itself is to end: not started again */
    bool once_more;        /* to be started again whatever the policy */
    char error[256];       /* why it could not be started again, or was killed */
    struct monitor_exit x;
};

/* ---- tell.c ---- */

/* Tells an event of the container (monitor.h: event). */
void mon_tell(const struct mon *o, const char *action, const char *const *attributes);
/* The container's first process was sent a signal; its terminal has another size; it has ended (o->x). */
void mon_tell_kill(const struct mon *o, int signo);
void mon_tell_resize(const struct mon *o, unsigned short rows, unsigned short cols);
void mon_tell_end(const struct mon *o);

/* ---- shed.c ---- */

/* Gives back the memory that only the start needed. */
void mon_shed(struct mon *o);

/* ---- loop.c ---- */

/* Adds, changes, removes a descriptor. False when the kernel refuses. */
bool mon_watch(struct mon *o, int fd, union ref ref, uint32_t events);
void mon_rewatch(struct mon *o, int fd, union ref ref, uint32_t events);
void mon_unwatch(struct mon *o, int fd);
/* The lease of the network has something to say. */
void mon_network_event(struct mon *o);
/* Runs until o->over. */
void mon_loop(struct mon *o);

/* ---- stdio.c ---- */

/* Makes the pipes; theirs[3] are the container's ends (the caller's to close). Nothing with a terminal. */
struct err *stdio_make(struct mon *o, int theirs[3]) __attribute__((warn_unused_result));
/* Takes the terminal, if there is one, and starts watching. */
struct err *stdio_watch(struct mon *o) __attribute__((warn_unused_result));
void stdio_readable(struct mon *o, unsigned index, uint32_t events);
void stdio_writable(struct mon *o);
/* Input from a client; what does not go through at once waits. */
void stdio_input(struct mon *o, const void *data, size_t n);
/* Closes the container's input when it has taken what waits. */
void stdio_input_end(struct mon *o);
/* Bytes of input that may be taken from clients now. */
size_t stdio_input_room(const struct mon *o);
void stdio_resize(const struct mon *o, unsigned short rows, unsigned short cols);
/* Watches outputs only while no client is behind. */
void stdio_balance(struct mon *o);
/* Reads what is left after the container's end; never waits. */
void stdio_drain(struct mon *o);
void stdio_idle(struct mon *o);
void stdio_done(struct mon *o);

/* ---- clients.c ---- */

/* Takes a connected socket; NULL (and closed) when there are too many. */
struct client *client_new(struct mon *o, int take_fd);
void client_drop(struct mon *o, struct client *c);
void client_event(struct mon *o, const union ref *ref, uint32_t events);
/* Sends bytes, or queues what the socket does not take. */
void client_send(struct mon *o, struct client *c, const struct iovec *v, int n);
/* Output of the container (stream 1 or 2) to every attached client that wants it. */
void clients_output(struct mon *o, int stream, const char *data, size_t n);
/* Whether any client has output waiting. */
bool clients_behind(const struct mon *o);
/* Reads from held clients again when input has been taken. */
void clients_balance(struct mon *o);
void clients_idle(struct mon *o);
/* At the end: reads requests that have arrived, then delivers what waits; what somebody does not take goes to a process
 * of its own. */
void clients_last_requests(struct mon *o);
void clients_deliver(struct mon *o);
/* Attaches a client (state, streams). */
void client_attach(struct client *c, bool in, bool out, bool err);

/* ---- logging.c ---- */

/* Opens the log that the container is to have. */
struct err *mon_log_open(struct mon *o) __attribute__((warn_unused_result));
void mon_log_write(struct mon *o, int stream, const char *data, size_t n);
/* What it waited for is there. */
void mon_log_ready(struct mon *o);
/* Whether the container's output must wait for it. */
bool mon_log_behind(const struct mon *o);
/* Watches what it waits for. */
void mon_log_balance(struct mon *o);
void mon_log_idle(struct mon *o);
/* The container has ended, and may run again: unfinished lines are logged. */
void mon_log_end(struct mon *o);
void mon_log_close(struct mon *o);

/* ---- control.c ---- */

struct err *control_listen(struct mon *o) __attribute__((warn_unused_result));
void control_accept(struct mon *o);
/* Carries out one request line. */
void control_request(struct mon *o, struct client *c, const char *line, size_t n);
/* A client that held the container is about to be dropped. */
void control_release(struct mon *o, struct client *c);
/* Tells everyone who waits that it is over. */
void control_answer_end(struct mon *o);
/* The same at the end of a run that is not the last: the connections end as soon as that is said. */
void control_answer_run(struct mon *o);
/* Tells those who wait for the health check. */
void control_answer_health(struct mon *o, int code);
/* Stops listening. */
void control_done(struct mon *o);

/* ---- stop.c ---- */

/* Signals PID 1. */
void stop_signal(struct mon *o, int signo);
/* Signals it and kills it `timeout` seconds later (< 0: never), or at once where it cannot receive the signal. */
void stop_begin(struct mon *o, int signo, int64_t timeout);
/* Not blocked any more and still no handler: what was sent has been dropped since. */
void stop_second_look(struct mon *o);
/* By the container's own signal, with docker's default timeout. */
void stop_own(struct mon *o);
/* A user wants the container to end, and to stay so: by `stop`, or by a signal that is meant so. */
void stop_by_user(struct mon *o, int signo);
/* SIGTERM to the monitor itself. */
void stop_from_signalfd(struct mon *o);

/* ---- pause.c ---- */

/* Halts the container's processes, or lets them go on, and records it. Conflict when a user has paused it, or it is not
 * paused. */
struct err *pause_begin(struct mon *o) __attribute__((warn_unused_result));
struct err *pause_end(struct mon *o) __attribute__((warn_unused_result));
/* The same for a client that holds it, whoever has paused it, and for one that no longer does. */
struct err *pause_hold(struct mon *o) __attribute__((warn_unused_result));
struct err *pause_release(struct mon *o) __attribute__((warn_unused_result));
/* Who is to be ended must run: called with every stop and SIGKILL; nothing when it is not paused. */
void pause_over(struct mon *o);
/* The container has ended while it was paused: its next run is not. */
void pause_forget(struct mon *o);

/* ---- timer.c ---- */

/* Sets a deadline to a time of CLOCK_BOOTTIME, or from now; clears it. False when there is no timer to be had. */
bool timer_set(struct mon *o, enum deadline kind, int64_t at);
bool timer_after(struct mon *o, enum deadline kind, int64_t delay);
void timer_clear(struct mon *o, enum deadline kind);
void timer_event(struct mon *o);

/* ---- served.c ---- */

struct err *served_watch(struct mon *o) __attribute__((warn_unused_result));
/* One of the programs has ended. */
void served_event(struct mon *o, unsigned index);
/* The run has ended: so do they. */
void served_end(struct mon *o);

/* ---- again.c ---- */

/* A run has ended (ending_run()): where the container is to run again, waits and starts it, and it is true. */
bool mon_again(struct mon *o);
/* Ends the wait between two runs. */
void again_cancel(struct mon *o);

/* ---- health.c ---- */

/* Reads what is to be checked from the config of a run that begins, and sets the first check's time. */
void health_begin(struct mon *o);
/* The run has ended: ends a check that runs. */
void health_end(struct mon *o);
/* Runs a check now; nothing while another one runs. */
void health_check(struct mon *o);
/* The check that runs takes too long. */
void health_timeout(struct mon *o);
/* Its output, or its end. */
void health_event(struct mon *o, unsigned index);

/* ---- monitor.c ---- */

/* The container's directory, for its hooks, owned; NULL where it has none. */
char *mon_bundle(const struct mon *o) __attribute__((warn_unused_result));
/* Makes the container and runs it: of the first start, and of those after it. */
struct err *mon_start_run(struct mon *o) __attribute__((warn_unused_result));

/* ---- watch.c ---- */

/* Watches what o->emulation says is to be watched; anew when that has changed. */
struct err *watch_begin(struct mon *o) __attribute__((warn_unused_result));
void watch_look(struct mon *o);
void watch_end(struct mon *o);
/* Reads the limits of config.json again and puts them into force. */
struct err *watch_update(struct mon *o) __attribute__((warn_unused_result));

/* ---- ending.c ---- */

/* Init has ended: reaps it and takes what it left to read. */
void ending_run(struct mon *o);
/* Its network is nobody's from now on. More than once does no harm. */
void ending_network(struct mon *o);
/* Copies at most size - 1 bytes, whole characters only: state.json is JSON. */
void mon_copy_text(char *to, size_t size, const char *text);
/* The exit code of a container that could not be started. */
int mon_code_of(const struct err *e);

/* There is no further run: record, answer, clean up. Never returns. */
void ending(struct mon *o) __attribute__((noreturn));
/* The start failed before exec: record, tell the starter, clean up. Never returns. Takes the error. */
void ending_failed(struct mon *o, struct err *take_err) __attribute__((noreturn));
/* Reads what mon_state_write() needs to know besides, ahead of time. */
struct err *mon_state_prepare(struct mon *o, pid_t init) __attribute__((warn_unused_result));
/* state.json with what this run adds. */
struct err *mon_state_write(struct mon *o, const char *status, const char *error) __attribute__((warn_unused_result));
