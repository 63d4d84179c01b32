/*
 * logdriver_int: what every log driver is to the monitor.
 *
 * A driver takes output as it was read, in order, and never fails towards the container: what it cannot deliver it
 * counts and tells of later. Drivers of files (json-file, local) are done when write() returns. Those of sockets
 * (journald, syslog) may have to wait for the other side: then they keep what came, say so by `events`, and are called
 * by `ready`. While one is `behind` the monitor does not read the container's output, so what waits is bounded; with
 * --log-opt mode=non-blocking a driver is never behind, keeps what max-buffer-size allows, and drops what comes then.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json;
struct spec_log;
struct strmap;

/* Borrowed until the driver is open, but for dir_fd, which stays open as long as it is. */
struct logdriver_config {
    int dir_fd;
    const struct spec_log *options;
    const struct json *attrs; /* labels and variables that go with each entry: an object of strings, or NULL */
    const char *tag;          /* "" for none */
    const char *id, *name, *image;
};

struct logdriver_ops;
/* The first member of each driver's own. */
struct logdriver {
    const struct logdriver_ops *ops;
};

struct logdriver_ops {
    const char *name;
    struct err *(*open)(const struct logdriver_config *c, struct logdriver **ret);
    /* Output of stream 1 or 2; data is borrowed. */
    void (*write)(struct logdriver *d, int stream, const char *data, size_t n);
    /* Gives buffers back to the system until the next write. */
    void (*idle)(struct logdriver *d);
    /* Logs unfinished lines. */
    void (*end)(struct logdriver *d);
    /* The same; delivers what waits as far as that is possible in a moment, and frees. */
    void (*close)(struct logdriver *d);

    /* For those that may wait; NULL for the others. The descriptor and the epoll events to wait for, -1: nothing
     * waits. */
    int (*waits)(const struct logdriver *d, uint32_t *ret_events);
    void (*ready)(struct logdriver *d);
    bool (*behind)(const struct logdriver *d);
};

extern const struct logdriver_ops jsonlog_driver, locallog_driver, journald_driver, syslog_driver;
