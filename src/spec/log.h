/*
 * log: which log drivers there are and what --log-opt means to each. PURE. The options were checked when the container
 * was created and are read again by this, from its record, at each start: so both see the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct strmap;

enum spec_log_kind {
    SPEC_LOG_NONE,
    SPEC_LOG_PASSTHROUGH, /* the container has the starter's own stdio */
    SPEC_LOG_JSON_FILE,
    SPEC_LOG_LOCAL,
    SPEC_LOG_JOURNALD,
    SPEC_LOG_SYSLOG
};

enum spec_log_syslog_format {
    SPEC_SYSLOG_UNIX, /* RFC 3164 without a host name, as local daemons want it */
    SPEC_SYSLOG_RFC3164,
    SPEC_SYSLOG_RFC5424,
    SPEC_SYSLOG_RFC5424_MICRO
};

struct spec_log {
    enum spec_log_kind kind;
    /* The files of json-file and local; else those of the copy in local's format that `logs` reads. */
    int64_t max_size; /* bytes, -1: unlimited */
    int max_file;
    bool compress;
    bool copy;           /* of a driver that cannot be read: such a copy is kept */
    int64_t buffer;      /* mode=non-blocking: bytes that may wait; -1: blocking */
    const char *address; /* syslog-address as typed, borrowed from the options; NULL: the local daemon */
    int facility;        /* syslog(3)'s number */
    enum spec_log_syslog_format format;
};
/* What a driver's options come to; NULL or "" is json-file. Usage errors in docker's words. */
struct err *spec_log_parse(const char *driver, const struct strmap *opts, struct spec_log *ret)
    __attribute__((warn_unused_result));
/* A syslog-address taken apart: *ret_scheme is "unix", "unixgram", "udp" or "tcp" (static), host and port (default
 * 514) or the path in *ret_host, owned; *ret_port is NULL for a path. */
struct err *spec_log_address(const char *text, const char **ret_scheme, char **ret_host, char **ret_port)
    __attribute__((warn_unused_result));
/* Whether the driver uses the option tag, and its template where none is given: NULL: none. */
const char *spec_log_default_tag(enum spec_log_kind kind);
/* The drivers' names for info, NULL-terminated. */
extern const char *const spec_log_drivers[];
