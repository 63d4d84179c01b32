/*
 * logsocket_int: entries sent to somebody, under the drivers journald and syslog.
 *
 * Output is taken apart and formatted when it can be sent; what cannot be sent yet waits as it came. Nothing here
 * blocks. Blocking mode means that the container does: `behind` tells the monitor not to read its output meanwhile, so
 * that little more than a chunk of each stream waits. In non-blocking mode up to max-buffer-size waits and the rest is
 * dropped, in whole lines. A connection that breaks is made anew, once a second at most; what comes while there is none
 * is dropped. What was dropped is counted, and said in its place as soon as something can be sent again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "monitor/logdriver_int.h"
#include "monitor/logsplit_int.h"
#include "monitor/pages_int.h"

struct logsocket;

struct logsocket_entry {
    int stream;   /* 1, 2 */
    int64_t time; /* ns */
    struct logpart part;
};
/* Formats an entry at `to`, where there is room for message_max; returns the length, 0 for one that is not sent. */
typedef size_t logsocket_format(struct logsocket *s, const struct logsocket_entry *e, char *to);

struct logsocket {
    struct logdriver driver; /* the first member of the driver's own */
    logsocket_format *format;
    size_t message_max;

    struct sockaddr_storage address;
    socklen_t address_len;
    int type;             /* SOCK_DGRAM, SOCK_STREAM */
    int fd;               /* the same number as long as it is open: the loop may have it in its table */
    bool connected;       /* or on the way to it */
    bool connecting;      /* on the way */
    int64_t next_attempt; /* CLOCK_BOOTTIME */

    bool blocking;
    size_t buffer;        /* bytes that may wait */
    struct queue waiting; /* pieces of output */
    struct logsplit split[2];
    bool cut[2];          /* pieces of the stream were dropped, up to the end of a line */
    struct pages message; /* being sent */
    size_t message_len, message_sent;
    uint64_t message_lines; /* that it stands for */
    uint64_t lost;
    int64_t last; /* newest time used */
};

/* Connects, waiting for it; the address, type, format and message_max are set. */
struct err *logsocket_open(struct logsocket *s, const struct logdriver_config *c) __attribute__((warn_unused_result));
/* Sets the address of a unix socket. */
struct err *logsocket_unix(struct logsocket *s, const char *path) __attribute__((warn_unused_result));

/* The operations of a driver that are the same for all of them: all but open and close. */
void logsocket_write(struct logdriver *d, int stream, const char *data, size_t n);
void logsocket_idle(struct logdriver *d);
void logsocket_end(struct logdriver *d);
int logsocket_waits(const struct logdriver *d, uint32_t *ret_events);
void logsocket_ready(struct logdriver *d);
bool logsocket_behind(const struct logdriver *d);
#define LOGSOCKET_OPERATIONS                                                                                           \
    .write = logsocket_write, .idle = logsocket_idle, .end = logsocket_end, .waits = logsocket_waits,                  \
    .ready = logsocket_ready, .behind = logsocket_behind
/* Delivers what waits, and closes; what nobody takes for ten seconds is lost. */
void logsocket_close(struct logsocket *s);
