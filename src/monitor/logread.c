/*
 * logread: `logs`. Reads whole lines file by file, turns them back into text and writes that in large pieces. While
 * following it sleeps on inotify (something was written or renamed) and on the monitor's pidfd (it has ended).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "monitor/logread_int.h"
#include "monitor/monitor.h"

enum {
    BLOCK = 256 << 10,        /* read and written at once */
    LINE_MAX_BYTES = 16 << 20 /* a longer "line" is no log */
};

struct sink {
    int fd;
    char *p;
    size_t len, cap;
};

struct reader {
    int dirfd;
    const struct monitor_log_read *r;
    struct logfile file;
    char *in;
    size_t begin, len, cap; /* unread bytes are [begin, len) */
    const struct logformat *format;
    struct logscratch scratch;
    struct sink sink[2];
    struct sink *last; /* the one written to before: order between the two is kept */
    bool one_sink;     /* both streams go to the same file */
    char since[LOG_TIME_LEN], until[LOG_TIME_LEN];
    bool done; /* `until` was reached */
    int notify, monitor;
};

/* ---- output ---- */

static struct err *sink_flush(struct sink *s) {
    size_t n = s->len;
    s->len = 0;
    return n ? io_write_all(s->fd, s->p, n) : NULL;
}

/* Room for `n` bytes. */
static struct err *sink_room(struct sink *s, size_t n, char **ret) {
    if (s->len + n > s->cap) {
        TRY(sink_flush(s));
        if (n > s->cap) {
            s->p = mem_resize(s->p, n, 1);
            s->cap = n;
        }
    }
    *ret = s->p + s->len;
    return NULL;
}

static struct err *put_line(struct reader *rd, const struct logline *line) {
    struct sink *s = &rd->sink[rd->one_sink ? 0 : line->stream - 1];
    if (s->fd < 0)
        return NULL;
    if (rd->last != s && rd->last)
        TRY(sink_flush(rd->last));
    rd->last = s;
    char *to;
    const struct str *details = &rd->scratch.details;
    TRY(sink_room(s, line->n + LOG_TIME_LEN + details->len + 3, &to));
    char *at = to;
    if (rd->r->timestamps) {
        memcpy(at, line->time, LOG_TIME_LEN);
        at[LOG_TIME_LEN] = ' ';
        at += LOG_TIME_LEN + 1;
    }
    if (rd->r->details) { /* also of none */
        memcpy(at, str_c(details), details->len);
        at += details->len;
        *at++ = ' ';
    }
    if (line->escaped) {
        size_t n = logline_unescape(line->text, line->n, at);
        if (n == SIZE_MAX)
            return NULL; /* not JSON: skipped as other broken lines */
        at += n;
    } else {
        memcpy(at, line->text, line->n);
        at += line->n;
    }
    if (line->newline)
        *at++ = '\n';
    s->len += (size_t)(at - to);
    return NULL;
}

/* ---- input ---- */

static struct err *take_entry(struct reader *rd, const char *entry, size_t n) {
    struct logline line;
    if (!rd->format->parse(entry, n, &rd->scratch, &line))
        return NULL;
    if (rd->r->since && memcmp(line.time, rd->since, LOG_TIME_LEN) < 0)
        return NULL;
    if (rd->r->until && memcmp(line.time, rd->until, LOG_TIME_LEN) > 0) {
        rd->done = true;
        return NULL;
    }
    return put_line(rd, &line);
}

static struct err *take_entries(struct reader *rd) {
    const char *p = rd->in + rd->begin, *end = rd->in + rd->len;
    size_t n = 0;
    while (!rd->done && (n = rd->format->entry(p, (size_t)(end - p))) && n != SIZE_MAX) {
        TRY(take_entry(rd, p, n));
        p += n;
    }
    if (n == SIZE_MAX) /* damaged: where the next one begins nobody knows */
        return err_new(ERR_CORRUPT, "the container's log is damaged");
    rd->begin = (size_t)(p - rd->in);
    return NULL;
}

/* Makes room behind the unread bytes: they move to the front, and where they fill the buffer it grows. */
static void make_room(struct reader *rd) {
    if (rd->begin) {
        memmove(rd->in, rd->in + rd->begin, rd->len - rd->begin);
        rd->len -= rd->begin;
        rd->begin = 0;
    }
    if (rd->len == rd->cap && rd->cap < LINE_MAX_BYTES) {
        rd->cap *= 2;
        rd->in = mem_resize(rd->in, rd->cap, 1);
    } else if (rd->len == rd->cap) {
        rd->len = 0;
    }
}

/* The end of the file in the middle of an entry: it is read again when it is whole (or was cut off by a full disk). */
static struct err *leave_half_line(struct reader *rd) {
    size_t half = rd->len - rd->begin;
    rd->begin = rd->len = 0;
    return logfile_unread(&rd->file, half);
}

/* Prints what the current file has; stops at its end. */
static struct err *read_file(struct reader *rd) {
    while (!rd->done && rd->file.fd >= 0) {
        make_room(rd);
        size_t n;
        TRY(logfile_read(&rd->file, rd->in + rd->len, rd->cap - rd->len, &n));
        if (n == 0)
            return leave_half_line(rd);
        rd->len += n;
        TRY(take_entries(rd));
    }
    return NULL;
}

/* This file and all that follow it, to the end of the current one. */
static struct err *read_on(struct reader *rd) {
    for (bool moved = true; moved && !rd->done;) {
        /* Looked at before the last read: all writes to a file come before it is renamed. */
        bool rotated = rd->file.fd < 0 || logfile_rotated(rd->dirfd, &rd->file);
        TRY(read_file(rd));
        if (!rotated || rd->done)
            break;
        TRY(logfile_next(rd->dirfd, &rd->file, &moved));
    }
    return NULL;
}

/* Prints them; what came before an error too. */
static struct err *read_files(struct reader *rd) {
    struct err *e = read_on(rd);
    for (int i = 0; i < 2; i++)
        e = err_first(e, sink_flush(&rd->sink[i]));
    return e;
}

/* ---- following ---- */

static struct err *watch(struct reader *rd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", rd->dirfd);
    rd->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (rd->notify < 0)
        return err_hint(err_sys(errno, "watch the container's log"), "raise fs.inotify.max_user_instances");
    if (inotify_add_watch(rd->notify, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF) < 0)
        return err_hint(err_sys(errno, "watch the container's log"), "raise fs.inotify.max_user_watches");
    return NULL;
}

/* Whether a monitor runs the container; opens its pidfd, so that its end wakes us. */
static struct err *check_monitor(struct reader *rd, bool *ret_alive) {
    bool held;
    *ret_alive = true;
    if (rd->r->lock_fd < 0)
        return NULL;
    struct monitor_state s;
    autoerr e = rd->monitor < 0 ? monitor_state_read(rd->dirfd, &s) : NULL;
    if (rd->monitor < 0 && !e && s.monitor_pid > 0)
        rd->monitor = sys_pidfd_open(s.monitor_pid);
    TRY(io_lock_held(rd->r->lock_fd, &held));
    *ret_alive = held;
    return NULL;
}

/* Takes the events; true when the container's directory was moved away, which is how it is removed. */
static bool take_events(int fd) {
    union {
        char bytes[4096];
        struct inotify_event align;
    } buf;
    bool removed = false;
    ssize_t n = read(fd, &buf, sizeof buf);
    for (ssize_t at = 0; at < n;) {
        struct inotify_event e;
        memcpy(&e, buf.bytes + at, sizeof e);
        removed = removed || (e.mask & (IN_MOVE_SELF | IN_IGNORED));
        at += (ssize_t)(sizeof e + e.len);
    }
    return removed;
}

/* Sleeps until there may be more. *ret_end: there will be none. */
static struct err *wait_for_more(struct reader *rd, bool *ret_end) {
    struct pollfd p[] = {{.fd = rd->notify, .events = POLLIN},
                         {.fd = rd->monitor, .events = POLLIN},
                         {.fd = rd->r->interrupt_fd, .events = POLLIN}};
    if (poll(p, ARRAY_LEN(p), -1) < 0) {
        if (errno == EINTR)
            return NULL;
        return err_sys(errno, "wait for the container's log");
    }
    if (p[1].revents) /* ended, or it was another process with the pid of an earlier monitor */
        fd_replace(&rd->monitor, -1);
    bool removed = p[0].revents && take_events(rd->notify);
    *ret_end = removed || p[2].revents;
    return NULL;
}

static struct err *follow(struct reader *rd) {
    TRY(watch(rd));
    for (bool alive = true, end = false; alive && !rd->done;) {
        TRY(check_monitor(rd, &alive));
        alive = alive && !end;
        TRY(read_files(rd)); /* after the look at the lock: what was written before it was freed is there */
        if (alive && !rd->done)
            TRY(wait_for_more(rd, &end));
    }
    return NULL;
}

/* ---- the whole ---- */

static void time_form(int64_t t, char ret[LOG_TIME_LEN]) {
    autostr struct str s = STR_INIT;
    clock_format_log(t, &s);
    memset(ret, '~', LOG_TIME_LEN);
    memcpy(ret, str_c(&s), s.len < LOG_TIME_LEN ? s.len : LOG_TIME_LEN);
}

static void reader_init(struct reader *rd, int dirfd, const struct monitor_log_read *r) {
    *rd = (struct reader){.dirfd = dirfd, .r = r, .file = {.fd = -1}, .cap = BLOCK, .notify = -1, .monitor = -1};
    rd->in = mem_alloc(BLOCK);
    for (int i = 0; i < 2; i++)
        rd->sink[i] = (struct sink){.fd = i ? r->err : r->out, .p = mem_alloc(BLOCK), .cap = BLOCK};
    rd->one_sink = fd_same_file(r->out, r->err);
    rd->format = r->local ? &logformat_local : &logformat_json;
    rd->scratch.want_details = r->details;
    time_form(r->since, rd->since);
    time_form(r->until, rd->until);
}

static void reader_done(struct reader *rd) {
    free(rd->in);
    logscratch_done(&rd->scratch);
    for (int i = 0; i < 2; i++)
        free(rd->sink[i].p);
    logfile_done(&rd->file);
    fd_close(rd->notify);
    fd_close(rd->monitor);
}

static struct err *print(struct reader *rd) {
    const struct monitor_log_read *r = rd->r;
    if (r->tail >= 0)
        TRY(logfile_tail(rd->dirfd, rd->format, r->tail, &rd->file));
    else
        TRY(logfile_oldest(rd->dirfd, &rd->file));
    if (rd->file.fd >= 0)
        TRY(logfile_seek_start(&rd->file));
    return r->follow ? follow(rd) : read_files(rd);
}

struct err *monitor_log_print(int dirfd, const struct monitor_log_read *r) {
    struct reader rd;
    reader_init(&rd, dirfd, r);
    struct err *e = print(&rd);
    reader_done(&rd);
    return e;
}
