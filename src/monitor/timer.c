/* timer: the one timerfd, kept at the earliest deadline (deadlines_int.h), and what is done when one is due. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/monitor_int.h"

static bool make_timer(struct mon *o) {
    if (o->timer_fd >= 0)
        return true;
    o->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return o->timer_fd >= 0 && mon_watch(o, o->timer_fd, (union ref){.kind = REF_TIMER}, EPOLLIN);
}

/* Moved only when the earliest deadline has changed. */
static bool arm(struct mon *o) {
    int64_t at = deadlines_next(&o->deadlines);
    if (at == o->timer_at)
        return true;
    if (!make_timer(o))
        return false;
    const struct itimerspec t = {.it_value = {.tv_sec = at / NSEC_PER_SEC, .tv_nsec = at % NSEC_PER_SEC}};
    o->timer_at = at;
    return timerfd_settime(o->timer_fd, TFD_TIMER_ABSTIME, &t, NULL) == 0;
}

bool timer_set(struct mon *o, enum deadline kind, int64_t at) {
    deadlines_set(&o->deadlines, kind, at);
    return arm(o);
}

bool timer_after(struct mon *o, enum deadline kind, int64_t delay) {
    int64_t now = clock_boot();
    return timer_set(o, kind, delay < INT64_MAX - now ? now + delay : INT64_MAX);
}

void timer_clear(struct mon *o, enum deadline kind) { (void)timer_set(o, kind, 0); }

static void carry_out(struct mon *o, enum deadline kind) {
    switch (kind) {
    case DEADLINE_STOP:
    case DEADLINE_TIMEOUT:
        stop_signal(o, SIGKILL);
        return;
    case DEADLINE_LOOK:
        stop_second_look(o);
        return;
    case DEADLINE_RESTART:
        o->over = true;
        return;
    case DEADLINE_HEALTH:
        health_check(o);
        return;
    case DEADLINE_CHECK:
        health_timeout(o);
        return;
    case DEADLINE_WATCH:
        watch_look(o);
        return;
    case DEADLINES:
        return;
    }
}

void timer_event(struct mon *o) {
    uint64_t times;
    if (read(o->timer_fd, &times, sizeof times) != (ssize_t)sizeof times)
        return;
    o->timer_at = 0; /* it has fired: to be set again, at whatever comes next */
    for (enum deadline k; (k = deadlines_due(&o->deadlines, clock_boot())) != DEADLINES;)
        carry_out(o, k);
    (void)arm(o);
}
