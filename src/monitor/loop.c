/* loop: the epoll table and the one switch that everything goes through. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "monitor/monitor_int.h"

enum {
    IDLE_MS = 50, /* after this long without an event buffers are given back; then there is no timeout */
    EVENTS = 32
};

bool mon_watch(struct mon *o, int fd, union ref ref, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.u64 = ref.u64};
    return epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

void mon_rewatch(struct mon *o, int fd, union ref ref, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.u64 = ref.u64};
    epoll_ctl(o->epoll, EPOLL_CTL_MOD, fd, &ev);
}

void mon_unwatch(struct mon *o, int fd) { epoll_ctl(o->epoll, EPOLL_CTL_DEL, fd, NULL); }

static void dispatch(struct mon *o, union ref ref, uint32_t events) {
    switch ((enum ref_kind)ref.kind) {
    case REF_INIT:
        o->over = true;
        return;
    case REF_OUTPUT:
        stdio_readable(o, ref.index, events);
        return;
    case REF_INPUT:
        stdio_writable(o);
        return;
    case REF_LISTEN:
        control_accept(o);
        return;
    case REF_CLIENT:
        client_event(o, &ref, events);
        return;
    case REF_TIMER:
        timer_event(o);
        return;
    case REF_SIGNAL:
        stop_from_signalfd(o);
        return;
    case REF_NETWORK:
        mon_network_event(o);
        return;
    case REF_USERNS:
        runtime_userns_hand_over(o->userns_listen);
        return;
    case REF_HEALTH:
        health_event(o, ref.index);
        return;
    case REF_SERVED:
        served_event(o, ref.index);
        return;
    case REF_LOG:
        mon_log_ready(o);
        return;
    }
}

static void idle(struct mon *o) {
    pages_release(&o->chunk);
    mon_log_idle(o);
    stdio_idle(o);
    clients_idle(o);
    o->dirty = false;
    if (!o->lean)
        mon_shed(o);
    o->lean = true;
}

void mon_loop(struct mon *o) {
    struct epoll_event ev[EVENTS];
    while (!o->over) {
        int n = epoll_wait(o->epoll, ev, EVENTS, o->dirty || !o->lean ? IDLE_MS : -1);
        if (n == 0)
            idle(o);
        for (int i = 0; i < n; i++)
            dispatch(o, (union ref){.u64 = ev[i].data.u64}, ev[i].events);
        clients_balance(o);
        stdio_balance(o);
        mon_log_balance(o);
    }
}
