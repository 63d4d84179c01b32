/*
 * relay: bytes between two stream sockets, as if they were one connection.
 *
 * One buffer serves the whole process: what is read from one side is written to the other at once. What the other side
 * does not take is kept in a block of its own, and until that is gone nothing more is read for it: a slow reader stops
 * the sender through TCP's own window, and an idle connection costs the two watches below and nothing else. The end of
 * a stream goes on as shutdown(2), a reset as a reset (SO_LINGER with no time).
 *
 * Readiness is level triggered, and a hang-up is reported whether one asks or not. EPOLLIN covers the end of a stream,
 * so EPOLLRDHUP is not needed; a socket that has hung up while there is nothing that could be done about it, because
 * its last bytes still wait for the other side, leaves the table until there is.
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
#include "net/helper/helper_int.h"

enum {
    KEPT_MAX = 64 << 20,  /* for all slow readers together: beyond it, small reads keep the rest small */
    SMALL_READ = 4 << 10, /* … as small as this */
    READS_A_TURN = 2,     /* then it is another connection's turn */
    ALIVE_IDLE_S = 300    /* a container may vanish without a word (its namespace is gone) */
};

struct relay_end {
    struct watch w;
    uint8_t side;      /* index in relay.end */
    bool at_end;       /* nothing more comes from it */
    uint32_t events;   /* that the table has */
    uint32_t rest_len; /* bytes that wait to be written to it … */
    uint32_t rest_at;  /* … beginning here */
    uint8_t *rest;
};

struct relay {
    struct relay_end end[2];
    bool connecting;    /* end[1] is on the way */
    struct relay *next; /* in its group */
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

static void relay_free(struct loop *l, struct relay *r, bool reset) {
    for (int i = 0; i < 2; i++) {
        struct relay_end *e = &r->end[i];
        if (reset && e->w.fd >= 0) {
            loop_park(l, &e->w);
            relay_reset(e->w.fd);
            e->w.fd = -1;
        }
        loop_drop(l, &e->w);
        l->kept -= e->rest_len;
        free(e->rest);
    }
    if (r->link)
        *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    free(r);
}

void relay_group_end(struct loop *l, struct relay_group *group) {
    while (group->first)
        relay_free(l, group->first, true);
}

static void ask(struct loop *l, struct relay_end *e) {
    uint32_t want = 0;
    const struct relay *r = relay_of(e);
    if (r->connecting)
        want = e->side == 1 ? EPOLLOUT : 0;
    else
        want = (!e->at_end && !other(e)->rest_len ? (uint32_t)EPOLLIN : 0) | (e->rest_len ? (uint32_t)EPOLLOUT : 0);
    if (want == e->events)
        return;
    e->events = want;
    loop_mod(l, &e->w, want);
}

/* Both streams have ended and nothing is on the way. */
static bool finished(const struct relay *r) {
    return r->end[0].at_end && r->end[1].at_end && !r->end[0].rest_len && !r->end[1].rest_len;
}

/* ---- one step each: false means that the connection is broken ---- */

static bool keep_rest(struct loop *l, struct relay_end *to, const uint8_t *bytes, size_t n) {
    to->rest = mem_alloc(n);
    memcpy(to->rest, bytes, n);
    to->rest_len = (uint32_t)n;
    to->rest_at = 0;
    l->kept += n;
    return true;
}

static bool write_some(struct relay_end *to, const uint8_t *bytes, size_t n, size_t *ret_written) {
    ssize_t k = send(to->w.fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (k < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    *ret_written = k < 0 ? 0 : (size_t)k;
    return true;
}

/* Reads from an end and writes to the other; *ret_more when the read filled the buffer and all of it was written. */
static bool pass_on(struct loop *l, struct relay_end *from, bool *ret_more) {
    struct relay_end *to = other(from);
    size_t most = l->kept < KEPT_MAX ? LOOP_BUFFER : SMALL_READ, written = 0;
    ssize_t n = recv(from->w.fd, l->buffer, most, MSG_DONTWAIT);
    *ret_more = false;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
        from->at_end = true;
        shutdown(to->w.fd, SHUT_WR);
        return true;
    }
    if (!write_some(to, l->buffer, (size_t)n, &written))
        return false;
    if (written < (size_t)n)
        return keep_rest(l, to, l->buffer + written, (size_t)n - written);
    *ret_more = (size_t)n == most;
    return true;
}

static bool read_end(struct loop *l, struct relay_end *from) {
    bool more = true;
    for (int i = 0; i < READS_A_TURN && more; i++)
        if (!pass_on(l, from, &more))
            return false;
    return true;
}

static bool write_rest(struct loop *l, struct relay_end *to) {
    size_t written;
    if (!write_some(to, to->rest + to->rest_at, to->rest_len, &written))
        return false;
    to->rest_at += (uint32_t)written;
    to->rest_len -= (uint32_t)written;
    l->kept -= written;
    if (!to->rest_len)
        free(take_ptr(&to->rest));
    return true;
}

/* The connect of end[1] has an outcome. */
static bool connected(struct relay *r) {
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(r->end[1].w.fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0 || code)
        return false;
    r->connecting = false;
    return true;
}

static bool step(struct loop *l, struct relay_end *e, uint32_t events) {
    struct relay *r = relay_of(e);
    if (r->connecting)
        return e->side == 1 ? connected(r) : !(events & EPOLLERR);
    if ((events & EPOLLERR) && !(e->events & EPOLLIN))
        return false; /* reset while nobody reads from it; who reads finds out below, after the last bytes */
    if ((events & EPOLLOUT) && e->rest_len && !write_rest(l, e))
        return false;
    return !(e->events & EPOLLIN) || !(events & (EPOLLIN | EPOLLERR | EPOLLHUP)) || read_end(l, e);
}

static void relay_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct relay_end *e = (struct relay_end *)(void *)w;
    struct relay *r = relay_of(e);
    if (!step(l, e, events)) {
        relay_free(l, r, true);
        return;
    }
    if (finished(r)) {
        relay_free(l, r, false);
        return;
    }
    ask(l, other(e));
    ask(l, e);
    if ((events & EPOLLHUP) && !e->events)
        loop_park(l, w);
}

void relay_start(struct loop *l, struct relay_group *group, int a, int b, bool connecting) {
    struct relay *r = mem_alloc(sizeof *r);
    const int fds[2] = {a, b};
    for (uint8_t i = 0; i < 2; i++)
        r->end[i] = (struct relay_end){.w = {.fd = fds[i], .ready = relay_ready}, .side = i};
    r->connecting = connecting;
    r->end[0].events = connecting ? 0 : EPOLLIN;
    r->end[1].events = connecting ? EPOLLOUT : EPOLLIN;
    if (group) {
        r->next = group->first;
        r->link = &group->first;
        if (r->next)
            r->next->link = &r->next;
        group->first = r;
    }
    if (!loop_add(l, &r->end[0].w, r->end[0].events) || !loop_add(l, &r->end[1].w, r->end[1].events))
        relay_free(l, r, true);
}
