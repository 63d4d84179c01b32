/*
 * deliver: the last bytes for clients that do not read as fast as the container ended. The log is whole and the exit
 * code recorded by then; only connections are left. A client that takes nothing for a moment (a pager, a stopped
 * terminal) does not keep the container's lock: its bytes are handed to a forked process that holds nothing but such
 * connections.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "monitor/monitor_int.h"

enum { GRACE_MS = 1000 };

/* Waits for room with any client that has bytes waiting; false when there is none for `timeout` ms, or nobody waits. */
static bool deliver_some(struct mon *o, int timeout) {
    struct pollfd p[MON_CLIENT_MAX];
    struct client *who[MON_CLIENT_MAX];
    nfds_t n = 0;
    for (size_t i = 0; i < o->client_top; i++) {
        struct client *c = o->clients[i];
        if (!c || !c->waiting.len)
            continue;
        who[n] = c;
        p[n++] = (struct pollfd){.fd = c->fd, .events = POLLOUT};
    }
    if (!n || poll(p, n, timeout) <= 0)
        return false;
    for (nfds_t i = 0; i < n; i++)
        if (p[i].revents)
            client_event(o, &(union ref){.kind = REF_CLIENT, .index = who[i]->slot, .generation = who[i]->generation},
                         EPOLLOUT);
    return true;
}

static bool somebody_waits(const struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i] && o->clients[i]->waiting.len)
            return true;
    return false;
}

static void deliver_child(struct mon *o) __attribute__((noreturn));
static void deliver_child(struct mon *o) {
    int keep[MON_CLIENT_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i] && o->clients[i]->waiting.len)
            keep[n++] = o->clients[i]->fd;
    keep[n++] = o->epoll;
    fd_close_all_but(keep, n);
    while (deliver_some(o, -1))
        ;
    _exit(0);
}

/* Returns when the process has let go of everything else, above all of the lock. */
static void deliver_apart(struct mon *o) {
    int p[2];
    char none;
    autoerr e = fd_pipe(0, p);
    if (e)
        return;
    if (fork() == 0)
        deliver_child(o);
    fd_close(p[1]);
    while (read(p[0], &none, 1) < 0 && errno == EINTR)
        ;
    fd_close(p[0]);
}

void clients_deliver(struct mon *o) {
    while (deliver_some(o, GRACE_MS))
        ;
    if (somebody_waits(o))
        deliver_apart(o);
}

void clients_last_requests(struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++) {
        struct client *c = o->clients[i];
        if (c && c->state == CLIENT_REQUEST)
            client_event(o, &(union ref){.kind = REF_CLIENT, .index = c->slot, .generation = c->generation}, EPOLLIN);
    }
}
