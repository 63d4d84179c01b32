/*
 * relay: bytes between two stream sockets, as if they were one connection.
 *
 * One buffer serves the whole process: what is read from one side is written to the other at once. What the other side
 * does not take is kept in a block of its own, and until that is gone nothing more is read for it: a slow reader stops
 * the sender through TCP's own window, and an idle connection costs the two watches below and nothing else. Where much
 * comes at a time it goes through a pipe instead (pipe.c), and what the other side does not take stays in there: such
 * bytes are on their way from one processor's cache to another's, and would miss both here. The end of a stream goes on
 * as shutdown(2), a reset as a reset (SO_LINGER with no time).
 *
 * Readiness is edge triggered: each socket enters the table once, for everything, and an end remembers what it was told
 * until the kernel says EAGAIN. A turn that is over before that asks for its events again.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys/sys.h"
#include "net/helper/helper_int.h"

enum {
    EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
    BROKEN = EPOLLERR | EPOLLHUP,
    NOT_ALL = EPOLLRDHUP | EPOLLPRI | BROKEN, /* a short read was not the last: an end or an urgent mark follows */
    KEPT_MAX = 64 << 20,                      /* for all slow readers together: beyond it, small reads keep it small */
    SMALL_READ = 4 << 10,                     /* … as small as this */
    BULK_READ = 64 << 10,                     /* from here on a pipe is cheaper than two copies */
    SPLICE_MOST = 1 << 20,                    /* at a time */
    READS_A_TURN = 2,                         /* then it is another connection's turn */
    ALIVE_IDLE_S = 300                        /* a container may vanish without a word (its namespace is gone) */
};

struct relay_end {
    struct watch w;
    uint8_t side; /* index in relay.end */
    bool readable, writable;
    bool at_end;       /* nothing more comes from it */
    bool bulk;         /* much comes from it at a time */
    uint32_t told;     /* events since it was readable */
    uint32_t rest_len; /* bytes that wait to be written to it, in `pipe` or … */
    uint32_t rest_at;  /* … beginning here */
    uint8_t *rest;
    struct pipe *pipe;
};

struct relay {
    struct relay_end end[2];
    bool connecting; /* end[1] is on the way */
    struct relay_group *group;
    struct relay *next; /* there */
    struct relay **link;
};

static struct relay *relay_of(struct relay_end *e) { return (struct relay *)(void *)(e - e->side); }
static struct relay_end *other(struct relay_end *e) { return &relay_of(e)->end[1 - e->side]; }

void relay_reset(int take_fd) {
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(take_fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(take_fd);
}

void relay_prepare(int fd) {
    const int on = 1, idle = ALIVE_IDLE_S;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

void relay_prepare_inside(int fd) {
    relay_prepare(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", sizeof "reno" - 1);
}

static void relay_free(struct loop *l, struct relay *r, bool reset) {
    for (int i = 0; i < 2; i++) {
        struct relay_end *e = &r->end[i];
        if (reset && e->w.fd >= 0) {
            loop_park(l, &e->w);
            relay_reset(e->w.fd);
            e->w.fd = -1;
        }
        loop_drop(l, &e->w);
        if (e->pipe)
            pipe_give(l, e->pipe, false);
        if (e->rest)
            l->kept -= e->rest_len;
        free(e->rest);
    }
    if (r->link)
        *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    struct relay_group *group = r->group;
    free(r);
    if (group && group->ended)
        group->ended(l, group);
}

void relay_group_end(struct loop *l, struct relay_group *group) {
    for (struct relay *r = group->first, *next; r; r = next) {
        next = r->next;
        relay_free(l, r, true);
    }
}

/* Both streams have ended and nothing is on the way. */
static bool finished(const struct relay *r) {
    return r->end[0].at_end && r->end[1].at_end && !r->end[0].rest_len && !r->end[1].rest_len;
}

/* ---- one step each: false means that the connection is broken ---- */

/* What a read or write that moved nothing tells. */
static bool only_later(bool *ready) {
    if (errno == EINTR)
        return true;
    *ready = false;
    return errno == EAGAIN;
}

/* All that `to` takes of these bytes. What ends the stream goes with its end: MSG_MORE waits for that. */
static bool write_some(struct relay_end *to, const uint8_t *bytes, size_t n, size_t *ret_written) {
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | ((other(to)->told & EPOLLRDHUP) ? MSG_MORE : 0);
    size_t done = 0;
    while (done < n && to->writable) {
        ssize_t k = send(to->w.fd, bytes + done, n - done, flags);
        if (k < 0 && !only_later(&to->writable))
            return false;
        done += k < 0 ? 0 : (size_t)k;
    }
    *ret_written = done;
    return true;
}

static void keep_rest(struct loop *l, struct relay_end *to, const uint8_t *bytes, size_t n) {
    to->rest = mem_alloc(n);
    memcpy(to->rest, bytes, n);
    to->rest_len = (uint32_t)n;
    to->rest_at = 0;
    l->kept += n;
}

/* All that `to` takes of what its pipe holds. */
static bool write_spliced(struct loop *l, struct relay_end *to) {
    while (to->rest_len && to->writable) {
        ssize_t k = pipe_drain(to->pipe, to->w.fd, to->rest_len);
        if (k < 0 && !only_later(&to->writable))
            return false;
        to->rest_len -= k < 0 ? 0 : (uint32_t)k;
    }
    if (!to->rest_len)
        pipe_give(l, take_ptr(&to->pipe), true);
    return true;
}

static bool write_rest(struct loop *l, struct relay_end *to) {
    size_t written;
    if (to->pipe)
        return write_spliced(l, to);
    if (!write_some(to, to->rest + to->rest_at, to->rest_len, &written))
        return false;
    to->rest_at += (uint32_t)written;
    to->rest_len -= (uint32_t)written;
    l->kept -= written;
    if (!to->rest_len)
        free(take_ptr(&to->rest));
    return true;
}

/* The stream has ended. When the other one has too, close(2) says so. */
static bool end_reached(struct relay_end *from) {
    from->at_end = true;
    if (!finished(relay_of(from)))
        shutdown(other(from)->w.fd, SHUT_WR);
    return true;
}

/* Reads from an end and writes to the other, by way of the buffer. */
static bool copy_on(struct loop *l, struct relay_end *from) {
    struct relay_end *to = other(from);
    size_t most = l->kept < KEPT_MAX ? LOOP_BUFFER : SMALL_READ, written;
    ssize_t n = recv(from->w.fd, l->buffer, most, MSG_DONTWAIT);
    if (n < 0)
        return only_later(&from->readable);
    if (n == 0)
        return end_reached(from);
    from->bulk = n >= BULK_READ;
    from->readable = (size_t)n == most || from->told & NOT_ALL;
    if (!write_some(to, l->buffer, (size_t)n, &written))
        return false;
    if (written < (size_t)n)
        keep_rest(l, to, l->buffer + written, (size_t)n - written);
    return true;
}

/* The same by way of a pipe. */
static bool splice_on(struct loop *l, struct relay_end *from) {
    struct relay_end *to = other(from);
    to->pipe = pipe_take(l);
    if (!to->pipe)
        return copy_on(l, from);
    ssize_t n = pipe_fill(to->pipe, from->w.fd, SPLICE_MOST);
    bool fine = n > 0 || (n < 0 ? only_later(&from->readable) : end_reached(from));
    from->bulk = n >= BULK_READ;
    to->rest_len = n > 0 ? (uint32_t)n : 0;
    return write_spliced(l, to) && fine;
}

/* Passes on what comes from an end, for one turn. */
static bool pump(struct loop *l, struct relay_end *from) {
    struct relay_end *to = other(from);
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        if (to->rest_len && !write_rest(l, to))
            return false;
        if (to->rest_len || from->at_end || !from->readable)
            return true;
        if (!(from->bulk ? splice_on(l, from) : copy_on(l, from)))
            return false;
    }
    if (from->readable && !from->at_end)
        loop_mod(l, &from->w, EVENTS);
    return true;
}

static bool step(struct loop *l, struct relay_end *e, uint32_t events) {
    struct relay *r = relay_of(e);
    if (events & (EPOLLIN | NOT_ALL))
        e->readable = true;
    if (events & EPOLLOUT)
        e->writable = true;
    e->told = events;
    if (r->connecting) {
        if (events & (e->side == 1 ? BROKEN : EPOLLERR))
            return false;
        r->connecting = e->side == 0 || !(events & EPOLLOUT);
        return r->connecting || (pump(l, &r->end[0]) && pump(l, &r->end[1]));
    }
    if ((events & EPOLLERR) && (e->at_end || other(e)->rest_len))
        return false; /* reset while nobody reads from it; who reads finds out below, after the last bytes */
    return (!(events & EPOLLOUT) || pump(l, other(e))) && pump(l, e);
}

static void relay_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct relay_end *e = (struct relay_end *)(void *)w;
    struct relay *r = relay_of(e);
    bool fine = step(l, e, events);
    if (!fine || finished(r))
        relay_free(l, r, !fine);
}

/* Puts both ends into the table; NULL: that failed, and all is over. */
static struct relay *begin(struct loop *l, struct relay_group *group, int a, int b, bool connecting) {
    struct relay *r = mem_alloc(sizeof *r);
    const int fds[2] = {a, b};
    for (uint8_t i = 0; i < 2; i++)
        r->end[i] = (struct relay_end){.w = {.fd = fds[i], .ready = relay_ready}, .side = i, .writable = true};
    r->connecting = connecting;
    r->group = group;
    if (group) {
        r->next = group->first;
        r->link = &group->first;
        if (r->next)
            r->next->link = &r->next;
        group->first = r;
    }
    if (loop_add(l, &r->end[0].w, EVENTS) && loop_add(l, &r->end[1].w, EVENTS))
        return r;
    relay_free(l, r, true);
    return NULL;
}

void relay_start(struct loop *l, struct relay_group *group, int a, int b, bool connecting) {
    (void)!begin(l, group, a, b, connecting);
}

/*
 * Within one machine the handshake is over when connect(2) returns. So what the client has sent already goes at once,
 * and the last packet of the handshake with it: TCP_DEFER_ACCEPT on a socket that connects waits for that.
 */
int relay_connect(struct loop *l, struct relay_group *group, int a, int b, const struct sockaddr_storage *to) {
    static const int on = 1;
    socklen_t len = to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    bool speaks = sys_waiting(a) > 0;
    if (speaks)
        setsockopt(b, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    if (sys_connect(b, (const struct sockaddr *)to, len) != 0 && errno != EINPROGRESS)
        return errno;
    struct relay *r = begin(l, group, a, b, true);
    if (r && speaks) {
        r->end[0].readable = true;
        if (!pump(l, &r->end[0]))
            relay_free(l, r, true);
    }
    return 0;
}
