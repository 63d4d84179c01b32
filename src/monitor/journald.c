/*
 * journald: the driver journald, by the native protocol of systemd's journal: one datagram an entry, of lines
 * "FIELD=value", or, for a value with a newline, "FIELD", a newline, the length (8 bytes, little endian), the value and
 * a newline. The fields are docker's.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/logsocket_int.h"

#define SOCKET_PATH "/run/systemd/journal/socket"
enum { ID_SHORT = 12, FIELDS_MAX = 512 /* that differ from entry to entry */ };

struct journald {
    struct logsocket s;
    struct str fixed; /* the fields that each entry has */
    int64_t line_id;  /* time of the first part of the line that is being sent */
};

static void put_field(struct str *out, const char *name, const char *value) {
    size_t n = strlen(value);
    if (!memchr(value, '\n', n)) {
        str_appendf(out, "%s=%s\n", name, value);
        return;
    }
    unsigned char length[8];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)n >> (8 * i));
    str_appendf(out, "%s\n", name);
    str_append_n(out, length, sizeof length);
    str_append(out, value);
    str_append_c(out, '\n');
}

static void put_fixed(struct str *out, const struct logdriver_config *c) {
    autofree char *short_id = mem_dupn(c->id, strnlen(c->id, ID_SHORT));
    put_field(out, "CONTAINER_ID", short_id);
    put_field(out, "CONTAINER_ID_FULL", c->id);
    put_field(out, "CONTAINER_NAME", c->name);
    put_field(out, "CONTAINER_TAG", c->tag);
    put_field(out, "IMAGE_NAME", c->image);
    put_field(out, "SYSLOG_IDENTIFIER", c->tag);
    JSON_EACH(it, c->attrs) {
        const char *value = json_str_value(it);
        put_field(out, json_key(it), value ? value : "");
    }
}

static size_t put_part(struct journald *j, const struct logsocket_entry *e, char *to, size_t room) {
    const struct logpart *part = &e->part;
    if (part->part == 0)
        j->line_id = e->time;
    if (part->part == 0 && part->newline)
        return 0;
    int n =
        snprintf(to, room, "CONTAINER_PARTIAL_ID=%016llx\nCONTAINER_PARTIAL_ORDINAL=%u\nCONTAINER_PARTIAL_LAST=%s\n%s",
                 (unsigned long long)j->line_id, part->part + 1U, part->newline ? "true" : "false",
                 part->newline ? "" : "CONTAINER_PARTIAL_MESSAGE=true\n");
    return (size_t)n;
}

static size_t format(struct logsocket *s, const struct logsocket_entry *e, char *to) {
    struct journald *j = (struct journald *)(void *)s;
    autostr struct str when = STR_INIT;
    clock_format_rfc3339(e->time, &when);
    memcpy(to, str_c(&j->fixed), j->fixed.len);
    char *at = to + j->fixed.len;
    at += snprintf(at, FIELDS_MAX / 2, "PRIORITY=%d\nSYSLOG_TIMESTAMP=%s\n", e->stream == 2 ? 3 : 6, str_c(&when));
    at += put_part(j, e, at, FIELDS_MAX / 2);
    static const char message[] = "MESSAGE=";
    memcpy(at, message, sizeof message - 1);
    at += sizeof message - 1;
    memcpy(at, e->part.text, e->part.n);
    at += e->part.n;
    *at++ = '\n';
    return (size_t)(at - to);
}

static void done(struct journald *j) {
    str_done(&j->fixed);
    free(j);
}

static struct err *driver_open(const struct logdriver_config *c, struct logdriver **ret) {
    struct journald *j = mem_alloc(sizeof *j);
    put_fixed(&j->fixed, c);
    j->s = (struct logsocket){.driver.ops = &journald_driver,
                              .format = format,
                              .type = SOCK_DGRAM,
                              .message_max = j->fixed.len + LOG_LINE_MAX + FIELDS_MAX + 16};
    struct err *e = logsocket_unix(&j->s, SOCKET_PATH);
    if (!e)
        e = logsocket_open(&j->s, c);
    if (e) {
        done(j);
        return err_hint(err_wrap(e, "journald is not enabled on this host: " SOCKET_PATH),
                        "use --log-driver local or json-file");
    }
    *ret = &j->s.driver;
    return NULL;
}

static void driver_close(struct logdriver *d) {
    struct journald *j = (struct journald *)(void *)d;
    logsocket_close(&j->s);
    done(j);
}

const struct logdriver_ops journald_driver = {
    .name = "journald",
    .open = driver_open,
    .close = driver_close,
    LOGSOCKET_OPERATIONS,
};
