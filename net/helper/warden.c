/*
 * warden: see warden_int.h. An epoll table of the listener, the connections, the loop and the host's resolv.conf. While
 * there is a lease, or somebody about to ask for one, nothing wakes it up but work; else it waits a few seconds for the
 * next and then goes.
 *
 * Going needs no lock. A monitor that connects while the listener is being closed gets its connection ended without an
 * answer, and asks again (net/lease.c): the next helper answers.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/sys/sys.h"
#include "net/helper/warden_int.h"

enum { IDLE_MS = 3000, EVENTS = 16 };

void warden_die(struct err *take_e) {
    autoerr e = take_e;
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    log_error("coracle-net: %s", str_c(&text));
    _exit(1);
}

void warden_watch(struct warden *w, struct source *s, int fd, void (*ready)(struct warden *, struct source *)) {
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
    s->fd = fd;
    s->ready = ready;
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        warden_die(err_sys(errno, "watch a descriptor"));
}

/* ---- the loop ---- */

void warden_tell(struct warden *w, const struct json *message, const int *fds, size_t n) {
    struct err *e = msg_send(w->loop, message, fds, n);
    if (e && err_errno(e) != EMSGSIZE)
        warden_die(err_wrap(e, "tell the loop"));
    err_free(e); /* thousands of names that fit in no message: the loop keeps to those that it knows */
}

static struct json *loop_receive(struct warden *w) {
    struct json *m = NULL;
    struct err *e = msg_recv(w->loop, &m, NULL, NULL);
    if (e)
        warden_die(err_wrap(e, "listen to the loop"));
    if (!m)
        warden_die(err_new(ERR_SYSTEM, "the loop has ended"));
    return m;
}

/* The loop asks for nothing but sockets, and to let held packets go, which takes a capability. */
static void loop_wants(struct warden *w, const struct json *m) {
    const char *want = json_str_value(json_get(m, "want")), *proto = json_str_value(json_get(m, "proto"));
    bool v6 = json_int_value(json_get(m, "family"), 4) == 6;
    queue_verdicts(w->queue, json_get(m, "verdicts"));
    const char *id = json_str_value(json_get(m, "id"));
    const struct lease *inside = id ? lease_find(w, id) : NULL;
    if (str_eq(want, "inner") && w->own_ns >= 0 && (inside || !id))
        warden_send_inner(w, inside, v6 ? AF_INET6 : AF_INET, str_eq(proto, "udp"));
}

static bool loop_has_spoken(const struct warden *w) {
    struct pollfd p = {.fd = w->loop_source.fd, .events = POLLIN};
    return msg_pending(w->loop) || poll(&p, 1, 0) > 0;
}

/* What the event was about may have been heard by then: who came before it in the table may have asked the loop. */
static void loop_ready(struct warden *w, struct source *s) {
    (void)s;
    while (loop_has_spoken(w)) {
        autojson m = loop_receive(w);
        loop_wants(w, m);
    }
}

static void loop_ended(struct warden *w, struct source *s) {
    (void)w;
    (void)s;
    warden_die(err_new(ERR_SYSTEM, "the loop has ended"));
}

struct err *warden_ask(struct warden *w, struct json *question, struct json **ret) {
    int64_t seq = ++w->seq;
    json_set_int(question, "seq", seq);
    warden_tell(w, question, NULL, 0);
    for (;;) {
        autojson m = loop_receive(w);
        if (json_int_value(json_get(m, "seq"), 0) != seq) {
            loop_wants(w, m);
            continue;
        }
        TRY(msg_err_of(m));
        *ret = take_ptr(&m);
        return NULL;
    }
}

/* ---- monitors ---- */

static void lease_end(struct warden *w, struct lease *l) {
    struct lease **at = &w->leases;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    w->n_leases--;
    w->n_greeted -= l->greeted;
    lease_detach(w, l);
    serving_changed(w);
    serving_forget(l);
    msg_chan_free(l->chan); /* takes it out of the table */
    free(l);
}

static void lease_ready(struct warden *w, struct source *s) {
    struct lease *l = (struct lease *)s;
    do {
        autojson request = NULL;
        int fds[MSG_FDS];
        size_t n = 0;
        autoerr e = msg_recv(l->chan, &request, fds, &n);
        if (e || !request || l->deferred) { /* who waits for an answer has nothing to say */
            lease_end(w, l);
            return;
        }
        if (!serving_defers(w, l, request, fds, n))
            lease_request(w, l, request, fds, n);
        for (size_t i = 0; i < n; i++)
            fd_close(fds[i]);
    } while (msg_pending(l->chan));
}

/* False when nobody is waiting. */
static bool accept_one(struct warden *w) {
    int fd = accept4(w->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return false;
    if (w->n_leases == LEASES_MAX) {
        fd_close(fd);
        return true;
    }
    struct lease *l = mem_alloc(sizeof *l);
    l->chan = msg_chan_new(fd);
    l->netns = l->deferred_fd = -1;
    serving_by(l, fd);
    l->next = w->leases;
    w->leases = l;
    w->n_leases++;
    warden_watch(w, &l->source, fd, lease_ready);
    return true;
}

static void listener_ready(struct warden *w, struct source *s) {
    (void)s;
    while (accept_one(w)) {
    }
}

/* ---- main ---- */

static void start(struct warden *w, int listener, int loop_fd, pid_t loop) {
    int loop_pidfd = sys_pidfd_open(loop);
    if (loop_pidfd < 0)
        warden_die(err_sys(errno, "watch the loop"));
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0)
        warden_die(err_sys(errno, "make an event table"));
    struct err *e = fd_set_nonblock(listener, true);
    if (e)
        warden_die(e);
    w->loop = msg_chan_new(loop_fd);
    w->own_ns = w->queue = w->sweep = w->resolv.fd = w->serving = -1;
    warden_watch(w, &w->listener, listener, listener_ready);
    warden_watch(w, &w->loop_source, loop_fd, loop_ready);
    warden_watch(w, &w->loop_end, loop_pidfd, loop_ended);
}

static int patience(const struct warden *w) {
    if (w->n_awaited)
        return serving_timeout(w);
    return w->n_attached || w->n_greeted ? -1 : IDLE_MS;
}

void warden_main(int listener, int loop_fd, pid_t loop, const char *run_root) {
    static struct warden w;
    start(&w, listener, loop_fd, loop);
    serving_start(&w, run_root, loop);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(w.epoll, events, EVENTS, patience(&w));
        if (n < 0 && errno != EINTR)
            warden_die(err_sys(errno, "wait for events"));
        if (!n && !w.n_awaited && !accept_one(&w))
            _exit(0);
        for (int i = 0; i < n; i++) {
            struct source *s = events[i].data.ptr;
            s->ready(&w, s);
        }
        serving_settle(&w, !n);
        if (msg_pending(w.loop)) /* it came right behind an answer: no event tells of it */
            loop_ready(&w, &w.loop_source);
    }
}
