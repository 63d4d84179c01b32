/*
 * loop: see helper_int.h. One thread, one epoll table. A handler does what its descriptor is ready for, as much as is
 * fair, and returns; it never waits. Nothing here wakes up by itself: without a timer the wait is endless.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
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

/* ---- the table ---- */

struct err *loop_init(struct loop *l) {
    *l = (struct loop){.spare = -1, .buffer = mem_alloc(LOOP_BUFFER)};
    l->timers.next = l->timers.prev = &l->timers;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return err_sys(errno, "make an epoll table");
    l->spare = fcntl(l->epoll, F_DUPFD_CLOEXEC, 3);
    struct rlimit files = {.rlim_max = 1024};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    l->descriptors = files.rlim_max < UINT32_MAX ? (uint32_t)files.rlim_max : UINT32_MAX;
    return NULL;
}

void loop_round(struct loop *l) {
    struct epoll_event events[ROUND_MAX];
    int n = epoll_wait(l->epoll, events, ROUND_MAX, until_next(l));
    l->round = events;
    l->n_round = n > 0 ? (size_t)n : 0;
    for (size_t i = 0; i < l->n_round; i++) {
        struct watch *w = events[i].data.ptr;
        if (w)
            w->ready(l, w, events[i].events);
    }
    l->round = NULL;
    l->n_round = 0;
    run_timers(l);
}
