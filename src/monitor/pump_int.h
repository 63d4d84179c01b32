/*
 * pump_int: what the pumps of io.c (a connection) and iochild.c (a child's pty or pipes) share: this side's terminal,
 * input with its detach keys, signals, and outputs that never block the pump.
 *
 * Nothing here changes the flags of a descriptor that came from outside: O_NONBLOCK on a terminal or a pipe would be
 * seen by the shell. An output that could block is opened a second time, and where that is not allowed written in
 * pieces that poll() promises to take.
 */
#pragma once

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "monitor/monitor.h"
#include "monitor/pages_int.h"
#include "monitor/terminal_int.h"

struct outlet {
    int fd;     /* -1: discard */
    bool owned; /* opened a second time */
    bool socket;
    bool guarded; /* may block: asked before each small piece */
};
/* Bytes written, 0 when it would block, -1 with errno. */
ssize_t outlet_write(const struct outlet *o, const void *data, size_t n);

struct pump {
    const struct monitor_io *io;
    struct outlet out[2];
    struct detach detach;
    struct pages input;
    struct queue tx; /* towards the container */
    bool in_open, raw, masked;
    int signal_fd;
    sigset_t mask_before;
    struct sigaction pipe_before;
    struct monitor_io_result r;
    /* What differs: how a size and a signal reach the container. */
    void (*resize)(struct pump *p, unsigned short rows, unsigned short cols);
    void (*forward)(struct pump *p, int signo);
};
#define PUMP_INPUT_MAX ((size_t)64 << 10)
#define PUMP_TX_MAX ((size_t)128 << 10)

/* Sets up terminal and signals; undone by pump_end() on every path. */
struct err *pump_begin(struct pump *p, const struct monitor_io *io) __attribute__((warn_unused_result));
void pump_end(struct pump *p);
/* Tells the container the size of our terminal. */
void pump_resize(struct pump *p);
/* What to poll for: input only while nothing waits to be sent. */
struct pollfd pump_poll_input(const struct pump *p);
/* Reads input once. *ret bytes at *ret_data are for the container; *ret_end at the end of input. Sets r.detached. */
void pump_input(struct pump *p, const unsigned char **ret_data, size_t *ret_n, bool *ret_end);
/* Reads one signal; an error when it was one to die of and somebody caught it. */
struct err *pump_signal(struct pump *p) __attribute__((warn_unused_result));
