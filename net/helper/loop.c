/*
 * loop: see helper_int.h. One process, one thread, one epoll table. A handler does what its descriptor is ready for, as
 * much as is fair, and returns; it never waits. Nothing here wakes up by itself: without a timer the wait is endless.
 *
 * The warden says what to do by messages. One with a "seq" is answered; the others cannot fail in a way that somebody
 * could do something about, and go to the debug log. The end of the channel is the end of this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "net/helper/helper_int.h"

enum { ROUND_MAX = 64 };

/* ---- descriptors ---- */

bool loop_add(struct loop *l, struct watch *w, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.ptr = w};
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &ev) == 0;
}

void loop_mod(struct loop *l, struct watch *w, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &ev) != 0 && errno == ENOENT)
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &ev); /* it was parked */
}

void loop_park(struct loop *l, struct watch *w) {
    /* Said aloud, for a description that somebody else holds too stays in the table when we close it. */
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    for (size_t i = 0; i < l->n_round; i++)
        if (l->round[i].data.ptr == w)
            l->round[i].data.ptr = NULL;
}

void loop_drop(struct loop *l, struct watch *w) {
    if (w->fd < 0)
        return;
    loop_park(l, w);
    close(w->fd);
    w->fd = -1;
}

int loop_accept(struct loop *l, int listener, struct sockaddr_storage *ret_peer) {
    socklen_t len = sizeof *ret_peer;
    int fd = accept4(listener, (struct sockaddr *)ret_peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || l->spare < 0)
        return fd;
    close(l->spare);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        relay_reset(fd);
    l->spare = fcntl(l->epoll, F_DUPFD_CLOEXEC, 3);
    return -1;
}

/* ---- timers ---- */

int64_t loop_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

void loop_untimer(struct loop *l, struct timer *t) {
    (void)l;
    if (!t->due)
        return;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->due = 0;
}

void loop_timer(struct loop *l, struct timer *t, int64_t after_ns) {
    loop_untimer(l, t);
    t->due = loop_now() + after_ns;
    struct timer *before = l->timers.prev; /* most are due after all others */
    while (before != &l->timers && before->due > t->due)
        before = before->prev;
    t->prev = before;
    t->next = before->next;
    t->next->prev = before->next = t;
}

static void run_timers(struct loop *l) {
    if (l->timers.next == &l->timers)
        return;
    int64_t now = loop_now();
    for (struct timer *t = l->timers.next; t != &l->timers && t->due <= now; t = l->timers.next) {
        loop_untimer(l, t);
        t->fire(l, t);
    }
}

/* For epoll_wait: milliseconds, rounded up so that nobody wakes before his time. */
static int until_next(const struct loop *l) {
    if (l->timers.next == &l->timers)
        return -1;
    int64_t ns = l->timers.next->due - loop_now();
    return ns <= 0 ? 0 : (int)((ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

/* ---- messages ---- */

struct descriptors {
    int v[MSG_FDS];
    size_t n;
};

static int take_nth(struct descriptors *d, size_t i) { return i < d->n ? take_fd(&d->v[i]) : -1; }

static struct err *op_uplink(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    const char *kind;
    int64_t mtu;
    (void)answer;
    TRY(json_get_str(m, "kind", &kind));
    TRY(json_get_i64_opt(m, "mtu", UPLINK_MTU, &mtu));
    return uplink_start(l, take_nth(d, 0), kind, (int)mtu);
}

static struct err *op_bypass(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)m, (void)answer;
    return bypass_start(l, take_nth(d, 0), take_nth(d, 1), take_nth(d, 2));
}

static struct err *op_inner(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)answer;
    bool v6 = json_int_value(json_get(m, "family"), 4) == 6;
    const char *proto;
    TRY(json_get_str(m, "proto", &proto));
    inner_add(l, v6 ? AF_INET6 : AF_INET, strcmp(proto, "udp") == 0, d->v, d->n);
    d->n = 0;
    return NULL;
}

static struct err *op_publish(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    uint16_t port = 0;
    (void)d;
    TRY(publish(l, m, &port));
    json_set_int(answer, "host_port", port);
    return NULL;
}

static struct err *op_unpublish(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)d, (void)answer;
    unpublish(l, m);
    return NULL;
}

static struct err *op_deny(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)d, (void)answer;
    policy_set(l, json_get(m, "nets"));
    return NULL;
}

static struct err *op_dns(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)answer;
    dns_message(l, m, d->v, d->n);
    d->n = 0;
    return NULL;
}

static const struct {
    const char *op;
    struct err *(*serve)(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer);
} ops[] = {
    {"uplink", op_uplink},   {"bypass", op_bypass},       {"inner", op_inner}, {"deny", op_deny},
    {"publish", op_publish}, {"unpublish", op_unpublish}, {"dns", op_dns},     {"undns", op_dns},
    {"names", op_dns},       {"scope", op_dns},           {"resolv", op_dns},
};

static struct err *serve(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    const char *op;
    TRY(json_get_str(m, "op", &op));
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strcmp(ops[i].op, op) == 0)
            return ops[i].serve(l, m, d, answer);
    return err_new(ERR_UNSUPPORTED, "unknown request '%s'", op);
}

void loop_tell(struct loop *l, const struct json *message) {
    autoerr e = msg_send(l->warden, message, NULL, 0);
    if (e)
        exit(0); /* the warden is gone */
}

/* Answers a request that has a number; `e` is NULL when it was done. */
static void answer_request(struct loop *l, const struct json *m, struct json *answer, const struct err *e) {
    autostr struct str text = STR_INIT;
    int64_t seq = json_int_value(json_get(m, "seq"), -1);
    if (e)
        err_format(e, &text);
    if (e)
        log_debug("request of the warden: %s", str_c(&text));
    if (seq < 0)
        return;
    json_set_int(answer, "seq", seq);
    if (e) {
        autojson as_json = NULL;
        str_clear(&text);
        err_encode(e, &text);
        autoerr bad = json_parse(text.ptr, text.len, "error", 0, &as_json);
        if (!bad)
            json_set(answer, "error", take_ptr(&as_json));
    }
    loop_tell(l, answer);
}

static void channel_ready(struct loop *l, struct watch *w, uint32_t events) {
    (void)w, (void)events;
    do {
        autojson m = NULL;
        autojson answer = json_object();
        struct descriptors d = {.n = 0};
        autoerr e = msg_recv(l->warden, &m, d.v, &d.n);
        if (e || !m)
            exit(0);
        autoerr failure = serve(l, m, &d, answer);
        for (size_t i = 0; i < d.n; i++)
            fd_close(d.v[i]);
        answer_request(l, m, answer, failure);
    } while (msg_pending(l->warden));
}

/* ---- the process ---- */

static struct err *begin(struct loop *l, int warden_fd) {
    l->warden = msg_chan_new(warden_fd);
    l->timers.next = l->timers.prev = &l->timers;
    l->buffer = mem_alloc(LOOP_BUFFER);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_sys(errno, "ignore SIGPIPE");
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return err_sys(errno, "make an epoll table");
    l->spare = fcntl(l->epoll, F_DUPFD_CLOEXEC, 3);
    policy_set(l, NULL);
    TRY(sandbox_enter());
    l->channel = (struct watch){.fd = warden_fd, .ready = channel_ready};
    if (!loop_add(l, &l->channel, EPOLLIN))
        return err_sys(errno, "watch the warden's channel");
    return NULL;
}

static void run_round(struct loop *l) {
    struct epoll_event events[ROUND_MAX];
    int n = epoll_wait(l->epoll, events, ROUND_MAX, until_next(l));
    l->round = events;
    l->n_round = n > 0 ? (size_t)n : 0;
    for (size_t i = 0; i < l->n_round; i++) {
        struct watch *w = events[i].data.ptr;
        if (w)
            w->ready(l, w, events[i].events);
    }
    l->n_round = 0;
    run_timers(l);
    bypass_settle(l);
}

void loop_main(int warden_fd) {
    struct loop l = {.epoll = -1, .spare = -1};
    fd_close_all_but(&warden_fd, 1);
    autoerr e = begin(&l, warden_fd);
    if (e) {
        err_free(msg_send_err(l.warden, e));
        exit(1);
    }
    autojson ready = json_object();
    json_set_bool(ready, "ready", true);
    loop_tell(&l, ready);
    for (;;)
        run_round(&l);
}
