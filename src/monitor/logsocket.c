/* logsocket: see logsocket_int.h. From the end of the file to its beginning: pieces, entries, messages, connection. */
#include "monitor/logsocket_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "monitor/logclock_int.h"
#include "spec/log.h"

enum {
    CONNECT_MS = 5000, /* at the start */
    GRACE_MS =
        10000, /* at the end, for each step: docker's time for a log driver, so that a busy daemon loses nothing */
    SYN_RETRIES = 2, /* 7 seconds, then a connection is given up */
    MARKS = 4096     /* room that is kept for marks where pieces were dropped */
};
/* In blocking mode: a chunk of each stream; at the end, what the pipes still hold. */
#define BLOCKING_BUFFER ((size_t)4 << 20)

/* ---- connection ---- */

struct err *logsocket_unix(struct logsocket *s, const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof un.sun_path)
        return err_new(ERR_USAGE, "the path of the socket %s is too long", path);
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(&s->address, &un, sizeof un);
    s->address_len = sizeof un;
    return NULL;
}

/* Begins to connect; 0 or errno. */
static int begin_connect(struct logsocket *s) {
    int fd = socket(s->address.ss_family, s->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), tries = SYN_RETRIES;
    if (fd < 0)
        return errno;
    if (s->type == SOCK_STREAM && s->address.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &tries, sizeof tries);
    int rc = connect(fd, (const struct sockaddr *)&s->address, s->address_len), errnum = rc < 0 ? errno : 0;
    if (rc < 0 && errnum != EINPROGRESS) {
        close(fd);
        return errnum;
    }
    if (s->fd < 0) {
        s->fd = fd;
    } else {
        if (dup3(fd, s->fd, O_CLOEXEC) < 0)
            errnum = errno;
        close(fd);
    }
    s->connected = errnum == 0 || errnum == EINPROGRESS;
    s->connecting = errnum == EINPROGRESS;
    return s->connected ? 0 : errnum;
}

/* What became of a connection on its way; 0 or errno. */
static int end_connect(struct logsocket *s) {
    int errnum = 0;
    socklen_t n = sizeof errnum;
    s->connecting = false;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0)
        errnum = errno;
    s->connected = errnum == 0;
    return errnum;
}

static bool connect_again(struct logsocket *s) {
    int64_t now = clock_boot();
    if (now < s->next_attempt)
        return false;
    s->next_attempt = now + NSEC_PER_SEC;
    return begin_connect(s) == 0;
}

static bool wait_writable(const struct logsocket *s, int ms) {
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    int n;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

struct err *logsocket_open(struct logsocket *s, const struct logdriver_config *c) {
    s->fd = -1;
    s->blocking = c->options->buffer < 0;
    s->buffer = s->blocking ? BLOCKING_BUFFER : (size_t)c->options->buffer;
    int errnum = begin_connect(s);
    if (!errnum && s->connecting)
        errnum = wait_writable(s, CONNECT_MS) ? end_connect(s) : ETIMEDOUT;
    if (errnum) {
        fd_replace(&s->fd, -1);
        return err_sys(errnum, "connect to the log");
    }
    return NULL;
}

/* ---- messages ---- */

static void message_done(struct logsocket *s, bool sent) {
    if (!sent)
        s->lost += s->message_lines;
    s->message_len = s->message_sent = 0;
}

/* Sends the message; false when it has to wait. One that cannot be sent at all counts as lost. */
static bool send_message(struct logsocket *s) {
    while (s->message_len) {
        if (!s->connected && !connect_again(s)) {
            message_done(s, false);
            return true;
        }
        if (s->connecting)
            return false;
        ssize_t n =
            send(s->fd, s->message.p + s->message_sent, s->message_len - s->message_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            s->message_sent += (size_t)n;
            if (s->message_sent == s->message_len)
                message_done(s, true);
        } else if (errno == EAGAIN) {
            return false;
        } else if (errno == EMSGSIZE) {
            message_done(s, false);
        } else if (errno != EINTR && !(s->address.ss_family != AF_UNIX && s->type == SOCK_DGRAM)) {
            s->connected = false; /* once more, from its beginning */
            s->message_sent = 0;
        } /* else: of UDP it is what became of an earlier datagram */
    }
    return true;
}

static bool send_entry(struct logsocket *s, const struct logsocket_entry *e, uint64_t lines) {
    s->message_len = s->format(s, e, pages_get(&s->message, s->message_max));
    s->message_sent = 0;
    s->message_lines = lines;
    return send_message(s);
}

/* In the place of what was lost. */
static bool send_note(struct logsocket *s, int64_t time) {
    char text[96];
    uint64_t lost = s->lost;
    int n = snprintf(text, sizeof text, "coracle: %llu lines of output were lost, the log could not take them",
                     (unsigned long long)lost);
    const struct logsocket_entry e = {
        .stream = 2, .time = time, .part = {.text = text, .n = (size_t)n, .newline = true}};
    s->lost = 0;
    return send_entry(s, &e, lost);
}

/* ---- output ---- */

/* Sends [p, end), as far as that goes; returns how far it took. */
static const char *push(struct logsocket *s, int stream, int64_t time, const char *p, const char *end) {
    while (p < end && send_message(s)) {
        struct logsocket_entry e = {.stream = stream, .time = time};
        bool whole;
        if (s->lost && !send_note(s, time))
            break;
        p = logsplit_take(&s->split[stream == 2], p, end, &e.part, &whole);
        if (whole)
            send_entry(s, &e, 1);
    }
    return p;
}

static bool push_end(struct logsocket *s, int stream, int64_t time) {
    struct logsocket_entry e = {.stream = stream, .time = time};
    if (!send_message(s))
        return false;
    if (logsplit_end(&s->split[stream == 2], &e.part))
        send_entry(s, &e, 1);
    return true;
}

/* ---- what waits ---- */

struct piece {
    int64_t time;
    size_t n; /* bytes that follow */
    int stream;
    bool ends; /* the line too, for what came after it was dropped */
};

static bool put_piece(struct logsocket *s, const struct piece *piece, const char *data, size_t max) {
    if (sizeof *piece + piece->n > max || s->waiting.len > max - sizeof *piece - piece->n)
        return false;
    return queue_put(&s->waiting, piece, sizeof *piece, s->buffer + MARKS) &&
           queue_put(&s->waiting, data, piece->n, s->buffer + MARKS);
}

static uint64_t count_lines(const char *p, size_t n) {
    uint64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

/* Where [p, end) begins after a line whose beginning was dropped. */
static const char *after_cut(struct logsocket *s, int stream, const char *p, const char *end) {
    bool *cut = &s->cut[stream == 2];
    if (!*cut)
        return p;
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    if (!newline)
        return end;
    *cut = false;
    s->lost++;
    return newline + 1;
}

/* Lets it wait, or drops it. */
static void keep(struct logsocket *s, struct piece piece, const char *data) {
    if (put_piece(s, &piece, data, s->buffer))
        return;
    s->lost += count_lines(data, piece.n);
    s->cut[piece.stream == 2] = data[piece.n - 1] != '\n';
    piece.n = 0;
    piece.ends = true;
    (void)put_piece(s, &piece, data, s->buffer + MARKS); /* no room even for it: two lines become one */
}

/* Sends what waits; false when it has to wait on. */
static bool drain(struct logsocket *s) {
    while (s->waiting.len) {
        struct piece piece;
        const char *data = queue_at(&s->waiting) + sizeof piece;
        memcpy(&piece, queue_at(&s->waiting), sizeof piece);
        if (piece.ends && !push_end(s, piece.stream, piece.time))
            return false;
        size_t done = (size_t)(push(s, piece.stream, piece.time, data, data + piece.n) - data);
        if (done == piece.n) {
            queue_drop(&s->waiting, sizeof piece + piece.n);
            continue;
        }
        piece.n -= done; /* the rest of it, behind a new head */
        queue_drop(&s->waiting, done);
        memcpy(s->waiting.mem.p + s->waiting.head, &piece, sizeof piece);
        return false;
    }
    return send_message(s);
}

/* ---- as a driver ---- */

static struct logsocket *of(struct logdriver *d) { return (struct logsocket *)(void *)d; }
static const struct logsocket *of_const(const struct logdriver *d) { return (const struct logsocket *)(const void *)d; }

void logsocket_write(struct logdriver *d, int stream, const char *data, size_t n) {
    struct logsocket *s = of(d);
    struct piece piece = {.time = logclock_next(&s->last), .stream = stream};
    const char *end = data + n, *from = after_cut(s, stream, data, end);
    if (drain(s))
        from = push(s, stream, piece.time, from, end);
    piece.n = (size_t)(end - from);
    if (piece.n)
        keep(s, piece, from);
}

void logsocket_idle(struct logdriver *d) {
    struct logsocket *s = of(d);
    if (!s->message_len)
        pages_release(&s->message);
    if (!s->waiting.len)
        pages_release(&s->waiting.mem);
    for (int i = 0; i < 2; i++)
        logsplit_idle(&s->split[i]);
}

int logsocket_waits(const struct logdriver *d, uint32_t *ret_events) {
    const struct logsocket *s = of_const(d);
    *ret_events = EPOLLOUT;
    return s->message_len || s->waiting.len ? s->fd : -1;
}

void logsocket_ready(struct logdriver *d) {
    struct logsocket *s = of(d);
    if (s->connecting)
        end_connect(s);
    drain(s);
}

bool logsocket_behind(const struct logdriver *d) {
    const struct logsocket *s = of_const(d);
    return s->blocking && (s->message_len || s->waiting.len);
}

void logsocket_end(struct logdriver *d) {
    struct logsocket *s = of(d);
    for (int i = 1; i <= 2; i++) { /* the unfinished lines come after what waits of them */
        const struct piece end = {.time = logclock_next(&s->last), .stream = i, .ends = true};
        (void)put_piece(s, &end, "", s->buffer + MARKS);
    }
    drain(s);
}

void logsocket_close(struct logsocket *s) {
    logsocket_end(&s->driver);
    while (!drain(s) && wait_writable(s, GRACE_MS))
        if (s->connecting)
            end_connect(s);
    pages_done(&s->waiting.mem);
    pages_done(&s->message);
    for (int i = 0; i < 2; i++)
        logsplit_done(&s->split[i]);
    fd_close(s->fd);
}
