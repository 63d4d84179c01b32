/*
 * logging: the monitor's end of the log drivers: which one, the copy that `logs` reads where the driver itself cannot
 * be read, and the place in the loop of those that wait for somebody.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/mem.h"
#include "monitor/logdriver_int.h"
#include "monitor/monitor_int.h"
#include "spec/log.h"

static const struct logdriver_ops *driver_of(enum spec_log_kind kind) {
    switch (kind) {
    case SPEC_LOG_JSON_FILE:
        return &jsonlog_driver;
    case SPEC_LOG_LOCAL:
        return &locallog_driver;
    case SPEC_LOG_JOURNALD:
        return &journald_driver;
    case SPEC_LOG_SYSLOG:
        return &syslog_driver;
    case SPEC_LOG_NONE:
    case SPEC_LOG_PASSTHROUGH:
        break;
    }
    return NULL;
}

struct err *mon_log_open(struct mon *o) {
    const struct monitor *m = o->m;
    struct spec_log options;
    TRY(spec_log_parse(m->log.driver, &m->log.opts, &options));
    const struct logdriver_ops *driver = driver_of(options.kind);
    const struct logdriver_config c = {
        .dir_fd = m->dir_fd,
        .options = &options,
        .attrs = m->log.attrs,
        .tag = m->log.tag ? m->log.tag : "",
        .id = m->id,
        .name = m->name,
        .image = m->log.image ? m->log.image : "",
    };
    if (driver)
        TRY_CTX(driver->open(&c, &o->log), "failed to initialize logging driver");
    return options.copy ? locallog_driver.open(&c, &o->log_copy) : NULL;
}

void mon_log_write(struct mon *o, int stream, const char *data, size_t n) {
    if (o->log)
        o->log->ops->write(o->log, stream, data, n);
    if (o->log_copy)
        o->log_copy->ops->write(o->log_copy, stream, data, n);
}

void mon_log_ready(struct mon *o) { o->log->ops->ready(o->log); }

bool mon_log_behind(const struct mon *o) { return o->log && o->log->ops->behind && o->log->ops->behind(o->log); }

void mon_log_balance(struct mon *o) {
    uint32_t events = 0;
    const union ref ref = {.kind = REF_LOG};
    if (!o->log || !o->log->ops->waits)
        return;
    int fd = o->log->ops->waits(o->log, &events);
    /* Added each time: a connection that was made anew has the old one's number, but is in no table. */
    if (fd >= 0 && !mon_watch(o, fd, ref, events) && errno == EEXIST)
        mon_rewatch(o, fd, ref, events);
    else if (fd < 0 && o->log_fd >= 0)
        mon_unwatch(o, o->log_fd);
    o->log_fd = fd;
}

void mon_log_idle(struct mon *o) {
    if (o->log)
        o->log->ops->idle(o->log);
    if (o->log_copy)
        o->log_copy->ops->idle(o->log_copy);
}

void mon_log_end(struct mon *o) {
    if (o->log)
        o->log->ops->end(o->log);
    if (o->log_copy)
        o->log_copy->ops->end(o->log_copy);
}

void mon_log_close(struct mon *o) {
    struct logdriver *log = take_ptr(&o->log), *copy = take_ptr(&o->log_copy);
    if (log)
        log->ops->close(log);
    if (copy)
        copy->ops->close(copy);
}
