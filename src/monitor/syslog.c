/*
 * syslog: the driver syslog: one message an entry, to the local daemon or by UDP or TCP, in the forms that docker
 * offers: RFC 3164, the same without a host name for the local daemon, RFC 5424. Over a stream messages end with a
 * newline (RFC 6587, non-transparent framing). As with docker an empty line is no message.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/logsocket_int.h"
#include "spec/log.h"

enum { SEVERITY_ERROR = 3, SEVERITY_INFO = 6, HOST_MAX = 256, TIME_MAX = 40 };

struct syslog {
    struct logsocket s;
    enum spec_log_syslog_format form;
    int facility;
    char *tag;
    char host[HOST_MAX];
    int64_t second; /* that `when` shows */
    char when[TIME_MAX];
};

/* ---- form ---- */

/* The time of an entry: RFC 3164 has the local one without a year, RFC 5424 any zone; one text a second. */
static const char *time_text(struct syslog *y, int64_t t) {
    time_t second = (time_t)(t / NSEC_PER_SEC);
    struct tm tm;
    if ((int64_t)second == y->second)
        return y->when;
    if (y->form == SPEC_SYSLOG_UNIX || y->form == SPEC_SYSLOG_RFC3164)
        strftime(y->when, sizeof y->when, "%b %e %H:%M:%S", localtime_r(&second, &tm));
    else
        strftime(y->when, sizeof y->when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&second, &tm));
    y->second = (int64_t)second;
    return y->when;
}

static int put_head(struct syslog *y, const struct logsocket_entry *e, char *to, size_t room) {
    int priority = y->facility * 8 + (e->stream == 2 ? SEVERITY_ERROR : SEVERITY_INFO), pid = (int)getpid();
    const char *when = time_text(y, e->time);
    int micro = (int)(e->time % NSEC_PER_SEC / 1000);
    switch (y->form) {
    case SPEC_SYSLOG_UNIX:
        return snprintf(to, room, "<%d>%s %s[%d]: ", priority, when, y->tag, pid);
    case SPEC_SYSLOG_RFC3164:
        return snprintf(to, room, "<%d>%s %s %s[%d]: ", priority, when, y->host, y->tag, pid);
    case SPEC_SYSLOG_RFC5424:
        return snprintf(to, room, "<%d>1 %sZ %s %s %d %s - ", priority, when, y->host, y->tag, pid, y->tag);
    case SPEC_SYSLOG_RFC5424_MICRO:
        return snprintf(to, room, "<%d>1 %s.%06dZ %s %s %d %s - ", priority, when, micro, y->host, y->tag, pid, y->tag);
    }
    return 0;
}

static size_t format(struct logsocket *s, const struct logsocket_entry *e, char *to) {
    struct syslog *y = (struct syslog *)(void *)s;
    if (!e->part.n)
        return 0;
    char *at = to + put_head(y, e, to, s->message_max - LOG_LINE_MAX - 1);
    memcpy(at, e->part.text, e->part.n);
    at += e->part.n;
    *at++ = '\n';
    return (size_t)(at - to);
}

/* ---- connection ---- */

/* The local daemon, or one path: a datagram socket or, where it is none, a stream. */
static struct err *open_unix(struct syslog *y, const char *path, bool only_datagrams,
                             const struct logdriver_config *c) {
    TRY(logsocket_unix(&y->s, path));
    y->s.type = SOCK_DGRAM;
    struct err *e = logsocket_open(&y->s, c);
    if (e && err_errno(e) == EPROTOTYPE && !only_datagrams) {
        err_free(e);
        y->s.type = SOCK_STREAM;
        e = logsocket_open(&y->s, c);
    }
    return e ? err_wrap(e, "%s", path) : NULL;
}

static struct err *open_local(struct syslog *y, const struct logdriver_config *c) {
    static const char *const places[] = {"/dev/log", "/var/run/syslog", "/var/run/log"};
    struct err *e = NULL;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        err_free(e);
        e = open_unix(y, places[i], false, c);
        if (!e)
            return NULL;
    }
    err_free(e);
    return err_hint(err_new(ERR_NOT_FOUND, "no syslog daemon listens on this host"),
                    "name one with --log-opt syslog-address=udp://host:514, or use --log-driver local");
}

static struct err *open_network(struct syslog *y, const char *host, const char *port, int type,
                                const struct logdriver_config *c) {
    const struct addrinfo want = {.ai_socktype = type};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &want, &found);
    if (rc)
        return err_new(ERR_NETWORK, "syslog-address: %s: %s", host, gai_strerror(rc));
    struct err *e = NULL;
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        memcpy(&y->s.address, a->ai_addr, a->ai_addrlen);
        y->s.address_len = a->ai_addrlen;
        y->s.type = type;
        err_free(e);
        e = logsocket_open(&y->s, c);
        if (!e)
            break;
    }
    freeaddrinfo(found);
    return e ? err_wrap(e, "syslog-address: %s:%s", host, port) : NULL;
}

static struct err *open_socket(struct syslog *y, const struct logdriver_config *c) {
    const char *scheme;
    autofree char *host = NULL, *port = NULL;
    if (!c->options->address)
        return open_local(y, c);
    TRY(spec_log_address(c->options->address, &scheme, &host, &port));
    if (!port)
        return open_unix(y, host, strcmp(scheme, "unixgram") == 0, c);
    return open_network(y, host, port, strcmp(scheme, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM, c);
}

/* ---- as a driver ---- */

static void done(struct syslog *y) {
    free(y->tag);
    free(y);
}

static struct err *driver_open(const struct logdriver_config *c, struct logdriver **ret) {
    struct syslog *y = mem_alloc(sizeof *y);
    y->form = c->options->format;
    y->facility = c->options->facility;
    y->tag = mem_dup(c->tag);
    y->second = -1;
    if (gethostname(y->host, sizeof y->host - 1) < 0)
        memcpy(y->host, "localhost", sizeof "localhost");
    y->s = (struct logsocket){.driver.ops = &syslog_driver,
                              .format = format,
                              .message_max = LOG_LINE_MAX + 2 * strlen(y->tag) + HOST_MAX + TIME_MAX + 64};
    struct err *e = open_socket(y, c);
    if (e) {
        done(y);
        return err_wrap(e, "log driver syslog");
    }
    *ret = &y->s.driver;
    return NULL;
}

static void driver_close(struct logdriver *d) {
    struct syslog *y = (struct syslog *)(void *)d;
    logsocket_close(&y->s);
    done(y);
}

const struct logdriver_ops syslog_driver = {
    .name = "syslog",
    .open = driver_open,
    .close = driver_close,
    LOGSOCKET_OPERATIONS,
};
