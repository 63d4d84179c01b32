/* The log drivers and their options: see log.h. One row of a table a driver and an option. */
#include "spec/log.h"

#include <string.h>

#include "spec/spec_int.h"

enum {
    ALL_FILES = 1 << SPEC_LOG_JSON_FILE | 1 << SPEC_LOG_LOCAL,
    ALL_SOCKETS = 1 << SPEC_LOG_JOURNALD | 1 << SPEC_LOG_SYSLOG,
    WITH_ATTRS = 1 << SPEC_LOG_JSON_FILE | ALL_SOCKETS,
    ONLY_SYSLOG = 1 << SPEC_LOG_SYSLOG,
    ALL_WRITTEN = ALL_FILES | ALL_SOCKETS
};
#define BUFFER_DEFAULT (INT64_C(1) << 20)
#define BUFFER_MAX (INT64_C(1) << 30)
#define LOCAL_MAX_SIZE (INT64_C(20) << 20)
enum { LOCAL_MAX_FILE = 5, MAX_FILE_LIMIT = 1000, FACILITY_DAEMON = 3 };

const char *const spec_log_drivers[] = {"journald", "json-file", "local", "none", "passthrough", "syslog", NULL};

static const struct {
    const char *name;
    enum spec_log_kind kind;
} drivers[] = {
    {"json-file", SPEC_LOG_JSON_FILE}, {"local", SPEC_LOG_LOCAL}, {"journald", SPEC_LOG_JOURNALD},
    {"syslog", SPEC_LOG_SYSLOG},       {"none", SPEC_LOG_NONE},   {"passthrough", SPEC_LOG_PASSTHROUGH},
};

/* docker's others, with what to use instead. */
static const char *const others[][2] = {
    {"gelf", "use --log-driver syslog and let the local syslog daemon forward, or read json-file's log with a shipper"},
    {"fluentd", "use --log-driver json-file: fluentd reads it with in_tail, LogPath in 'coracle inspect' names it"},
    {"awslogs", "use --log-driver json-file and the CloudWatch agent, LogPath in 'coracle inspect' names the file"},
    {"splunk", "use --log-driver json-file and the Splunk forwarder, LogPath in 'coracle inspect' names the file"},
    {"gcplogs", "use --log-driver json-file and the Ops Agent, LogPath in 'coracle inspect' names the file"},
    {"etwlogs", "it is Windows' own; use --log-driver journald or syslog"},
};

/* ---- values ---- */

static struct err *parse_size(const char *value, struct spec_log *r) {
    if (str_eq(value, "-1") && r->kind == SPEC_LOG_JSON_FILE) {
        r->max_size = -1;
        return NULL;
    }
    TRY_CTX(spec_parse_bytes(value, &r->max_size), "invalid log opt max-size");
    return r->max_size > 0 ? NULL
                           : err_new(ERR_USAGE, "invalid log opt max-size: max size should be a positive number");
}

static struct err *parse_count(const char *value, struct spec_log *r) {
    int64_t n;
    if (str_eq(value, "0"))
        return err_new(ERR_USAGE, "max-file cannot be less than 1");
    if (!str_to_i64(value, 1, MAX_FILE_LIMIT, &n))
        return err_new(ERR_USAGE, "invalid log opt max-file: '%s' is not a number from 1 to %d", value, MAX_FILE_LIMIT);
    r->max_file = (int)n;
    return NULL;
}

static struct err *parse_compress(const char *value, struct spec_log *r) {
    if (!spec_parse_bool(value, &r->compress))
        return err_new(ERR_USAGE, "invalid log opt compress: %s", value);
    return NULL;
}

static struct err *parse_copy(const char *value, struct spec_log *r) {
    bool disabled;
    if (!spec_parse_bool(value, &disabled))
        return err_new(ERR_USAGE, "invalid log opt cache-disabled: %s", value);
    r->copy = !disabled;
    return NULL;
}

static struct err *parse_mode(const char *value, struct spec_log *r) {
    if (str_eq(value, "non-blocking"))
        r->buffer = BUFFER_DEFAULT;
    else if (*value && !str_eq(value, "blocking"))
        return err_new(ERR_USAGE, "logger: logging mode not supported: %s", value);
    return NULL;
}

/* After "mode", for the table is in that order. */
static struct err *parse_buffer(const char *value, struct spec_log *r) {
    if (r->buffer < 0)
        return err_new(ERR_USAGE, "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    TRY_CTX(spec_parse_bytes(value, &r->buffer), "error parsing option max-buffer-size");
    if (r->buffer < 1 || r->buffer > BUFFER_MAX)
        return err_new(ERR_USAGE, "invalid log opt max-buffer-size: expected 1 byte to 1 GiB");
    return NULL;
}

static struct err *parse_facility(const char *value, struct spec_log *r) {
    static const char *const names[] = {"kern",   "user",   "mail",   "daemon", "auth",     "syslog",
                                        "lpr",    "news",   "uucp",   "cron",   "authpriv", "ftp",
                                        NULL,     NULL,     NULL,     NULL,     "local0",   "local1",
                                        "local2", "local3", "local4", "local5", "local6",   "local7"};
    int64_t n;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], value)) {
            r->facility = (int)i;
            return NULL;
        }
    if (!str_to_i64(value, 0, 23, &n))
        return err_new(ERR_USAGE, "invalid syslog facility: %s", value);
    r->facility = (int)n;
    return NULL;
}

static struct err *parse_format(const char *value, struct spec_log *r) {
    static const char *const names[] = {"", "rfc3164", "rfc5424", "rfc5424micro"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], value)) {
            r->format = (enum spec_log_syslog_format)i;
            return NULL;
        }
    return err_new(ERR_USAGE, "invalid syslog format: %s", value);
}

static struct err *parse_address(const char *value, struct spec_log *r) {
    const char *scheme;
    autofree char *host = NULL, *port = NULL;
    TRY(spec_log_address(value, &scheme, &host, &port));
    r->address = value;
    return NULL;
}

static struct err *parse_tls(const char *value, struct spec_log *r) {
    (void)value;
    (void)r;
    return err_hint(err_new(ERR_UNSUPPORTED, "log driver syslog: TLS is not supported"),
                    "log to the local syslog daemon (unix:///dev/log) and let it forward over TLS");
}

/* Taken as they are; spec_log_attrs() and the tag's template look at them. */
static struct err *parse_nothing(const char *value, struct spec_log *r) {
    (void)value;
    (void)r;
    return NULL;
}

static const struct option {
    const char *key;
    unsigned drivers;
    struct err *(*parse)(const char *value, struct spec_log *r);
} options[] = {
    {"max-size", ALL_FILES, parse_size},
    {"max-file", ALL_FILES, parse_count},
    {"compress", ALL_FILES, parse_compress},
    {"cache-disabled", ALL_SOCKETS, parse_copy},
    {"cache-max-size", ALL_SOCKETS, parse_size},
    {"cache-max-file", ALL_SOCKETS, parse_count},
    {"cache-compress", ALL_SOCKETS, parse_compress},
    {"mode", ALL_WRITTEN, parse_mode},
    {"max-buffer-size", ALL_WRITTEN, parse_buffer},
    {"labels", WITH_ATTRS, parse_nothing},
    {"labels-regex", WITH_ATTRS, parse_nothing},
    {"env", WITH_ATTRS, parse_nothing},
    {"env-regex", WITH_ATTRS, parse_nothing},
    {"tag", WITH_ATTRS, parse_nothing},
    {"syslog-address", ONLY_SYSLOG, parse_address},
    {"syslog-facility", ONLY_SYSLOG, parse_facility},
    {"syslog-format", ONLY_SYSLOG, parse_format},
    {"syslog-tls-ca-cert", ONLY_SYSLOG, parse_tls},
    {"syslog-tls-cert", ONLY_SYSLOG, parse_tls},
    {"syslog-tls-key", ONLY_SYSLOG, parse_tls},
    {"syslog-tls-skip-verify", ONLY_SYSLOG, parse_tls},
};

/* ---- addresses ---- */

static struct err *host_and_port(const char *text, char **ret_host, char **ret_port) {
    const char *begin = text, *end = text + strcspn(text, ":/"), *rest = end;
    if (*text == '[') { /* an IPv6 address */
        begin = text + 1;
        end = begin + strcspn(begin, "]");
        rest = *end ? end + 1 : "no end";
    }
    int64_t port = 514;
    if (end == begin || (*rest && *rest != ':') || (*rest && !str_to_i64(rest + 1, 1, UINT16_MAX, &port)))
        return err_new(ERR_USAGE, "syslog-address: '%s' is not host[:port]", text);
    *ret_host = mem_dupn(begin, (size_t)(end - begin));
    *ret_port = mem_printf("%d", (int)port);
    return NULL;
}

struct err *spec_log_address(const char *text, const char **ret_scheme, char **ret_host, char **ret_port) {
    static const char *const schemes[] = {"unix", "unixgram", "udp", "tcp"};
    if (str_starts(text, "tcp+tls://"))
        return parse_tls(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (strncmp(text, schemes[i], n) != 0 || !str_starts(text + n, "://"))
            continue;
        const char *rest = text + n + 3;
        *ret_scheme = schemes[i];
        if (i >= 2)
            return host_and_port(rest, ret_host, ret_port);
        if (*rest != '/')
            return err_new(ERR_USAGE, "syslog-address: '%s' is not an absolute path", rest);
        *ret_host = mem_dup(rest);
        *ret_port = NULL;
        return NULL;
    }
    return err_new(ERR_USAGE, "syslog-address should be in form proto://address, got %s", text);
}

/* ---- the whole ---- */

static struct err *driver_kind(const char *name, enum spec_log_kind *ret) {
    if (!name || !*name)
        name = "json-file";
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
        if (str_eq(name, drivers[i].name)) {
            *ret = drivers[i].kind;
            return NULL;
        }
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq(name, others[i][0]))
            return err_hint(err_new(ERR_UNSUPPORTED, "log driver %s is not supported", name), "%s", others[i][1]);
    return err_new(ERR_USAGE, "logger: no log driver named '%s' is registered", name);
}

static struct err *check_known(enum spec_log_kind kind, const char *driver, const char *key) {
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (str_eq(key, options[i].key) && (options[i].drivers & 1U << kind))
            return NULL;
    if (kind == SPEC_LOG_LOCAL) /* docker's two ways to say it */
        return err_new(ERR_USAGE, "unknown log opt '%s' for log driver %s", key, driver);
    return err_new(ERR_USAGE, "unknown log opt '%s' for %s log driver", key, driver);
}

static struct err *parse_options(const struct strmap *opts, struct spec_log *r) {
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *value = strmap_get(opts, options[i].key);
        if (value && (options[i].drivers & 1U << r->kind))
            TRY(options[i].parse(value, r));
    }
    return NULL;
}

struct err *spec_log_parse(const char *driver, const struct strmap *opts, struct spec_log *ret) {
    struct spec_log r = {.max_size = -1, .max_file = 1, .buffer = -1, .facility = FACILITY_DAEMON};
    TRY(driver_kind(driver, &r.kind));
    if (r.kind != SPEC_LOG_JSON_FILE)
        r = (struct spec_log){.kind = r.kind,
                              .max_size = LOCAL_MAX_SIZE,
                              .max_file = LOCAL_MAX_FILE,
                              .compress = true,
                              .copy = (ALL_SOCKETS & 1U << r.kind) != 0,
                              .buffer = -1,
                              .facility = FACILITY_DAEMON};
    for (size_t i = 0; i < opts->n; i++)
        TRY(check_known(r.kind, driver && *driver ? driver : "json-file", opts->e[i].key));
    TRY(parse_options(opts, &r));
    bool asked = strmap_get(opts, "compress") || strmap_get(opts, "cache-compress");
    if (r.compress && asked && (r.max_file < 2 || r.max_size < 0))
        return err_new(ERR_USAGE, "compress cannot be true when max-file is less than 2 or max-size is not set");
    *ret = r;
    return NULL;
}

const char *spec_log_default_tag(enum spec_log_kind kind) { return (ALL_SOCKETS & 1U << kind) ? "{{.ID}}" : NULL; }
