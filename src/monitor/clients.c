/* clients: connections. Every socket call is MSG_DONTWAIT: the starter's end may share its flags with somebody. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "monitor/monitor_int.h"

static union ref client_ref(const struct client *c) {
    return (union ref){.kind = REF_CLIENT, .index = c->slot, .generation = c->generation};
}

/* ---- the table of clients ---- */

/* Puts the interest mask right. A connection that is neither read nor written is taken out: its hang-up would never
 * end. */
static void client_arm(struct mon *o, struct client *c) {
    uint32_t mask = (c->held ? 0 : EPOLLIN) | (c->waiting.len ? EPOLLOUT : 0);
    if (!mask && c->gone) {
        if (c->registered)
            mon_unwatch(o, c->fd);
        c->registered = false;
    } else if (c->registered) {
        mon_rewatch(o, c->fd, client_ref(c), mask);
    } else {
        c->registered = mon_watch(o, c->fd, client_ref(c), mask);
    }
}

struct client *client_new(struct mon *o, int take_fd) {
    size_t slot = 0;
    while (slot < MON_CLIENT_MAX && o->clients[slot])
        slot++;
    if (slot == MON_CLIENT_MAX) {
        fd_close(take_fd);
        return NULL;
    }
    struct client *c = mem_alloc(sizeof *c);
    c->fd = take_fd;
    c->slot = (uint16_t)slot;
    c->generation = ++o->generation;
    o->clients[slot] = c;
    if (slot >= o->client_top)
        o->client_top = slot + 1;
    client_arm(o, c);
    if (!c->registered) {
        client_drop(o, c);
        return NULL;
    }
    return c;
}

void client_drop(struct mon *o, struct client *c) {
    if (c->state == CLIENT_HOLD)
        control_release(o, c);
    if (c->registered)
        mon_unwatch(o, c->fd);
    /* docker's StdinOnce: the input ends with the client that had it. */
    if (c->state == CLIENT_ATTACHED && c->in && o->m->stdin_once)
        stdio_input_end(o);
    o->clients[c->slot] = NULL;
    while (o->client_top && !o->clients[o->client_top - 1])
        o->client_top--;
    fd_close(c->fd);
    pages_done(&c->waiting.mem);
    free(c);
}

void client_attach(struct client *c, bool in, bool out, bool err) {
    c->state = CLIENT_ATTACHED;
    c->in = in;
    c->out[0] = out;
    c->out[1] = err;
}

/* ---- to the client ---- */

/* Its reader is gone: no more output for it. What it sent before may still be read. */
static void client_mute(struct client *c) {
    c->gone = true;
    c->waiting.head = c->waiting.len = 0;
}

static void queue_rest(struct client *c, const struct iovec *v, int n, size_t skip) {
    for (int i = 0; i < n; i++) {
        size_t s = skip < v[i].iov_len ? skip : v[i].iov_len;
        skip -= s;
        if (!queue_put(&c->waiting, (const char *)v[i].iov_base + s, v[i].iov_len - s, MON_QUEUE_MAX)) {
            client_mute(c);
            return;
        }
    }
}

void client_send(struct mon *o, struct client *c, const struct iovec *v, int n) {
    size_t done = 0;
    if (c->gone)
        return;
    if (!c->waiting.len) {
        struct iovec copy[3];
        memcpy(copy, v, (size_t)n * sizeof *v);
        const struct msghdr mh = {.msg_iov = copy, .msg_iovlen = (size_t)n};
        ssize_t k = sendmsg(c->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k < 0 && errno != EAGAIN && errno != EINTR) {
            client_mute(c);
            return;
        }
        done = k > 0 ? (size_t)k : 0;
    }
    size_t all = 0;
    for (int i = 0; i < n; i++)
        all += v[i].iov_len;
    if (done < all)
        queue_rest(c, v, n, done);
    if (c->waiting.len) {
        o->dirty = true;
        client_arm(o, c);
    }
}

static void client_flush(struct mon *o, struct client *c) {
    while (c->waiting.len) {
        ssize_t k = send(c->fd, queue_at(&c->waiting), c->waiting.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0) {
            queue_drop(&c->waiting, (size_t)k);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            client_mute(c);
        break;
    }
    client_arm(o, c);
}

void clients_output(struct mon *o, int stream, const char *data, size_t n) {
    uint8_t head[FRAME_HEAD];
    frame_head(head, stream == 2 ? FRAME_STDERR : FRAME_STDOUT, n);
    const struct iovec v[2] = {{head, FRAME_HEAD}, {(void *)(uintptr_t)data, n}};
    for (size_t i = 0; i < o->client_top; i++) {
        struct client *c = o->clients[i];
        if (c && c->state == CLIENT_ATTACHED && c->out[stream - 1])
            client_send(o, c, v, 2);
    }
}

bool clients_behind(const struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i] && o->clients[i]->waiting.len && o->clients[i]->state == CLIENT_ATTACHED)
            return true;
    return false;
}

void clients_idle(struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i] && !o->clients[i]->waiting.len)
            pages_release(&o->clients[i]->waiting.mem);
}

/* ---- from the client ---- */

static unsigned short be16(const uint8_t *p) { return (unsigned short)(p[0] << 8 | p[1]); }

/* False for a frame that no client may send. */
static bool take_frame(struct mon *o, struct client *c, const struct frame *f) {
    switch (f->type) {
    case FRAME_STDIN:
        if (!c->in)
            return true;
        if (!f->empty)
            stdio_input(o, f->data, f->n);
        else if (o->m->stdin_once || c->first)
            stdio_input_end(o);
        return true;
    case FRAME_RESIZE:
        stdio_resize(o, be16(f->data), be16(f->data + 2));
        return true;
    case FRAME_SIGNAL:
        stop_by_user(o, f->data[0]);
        stop_signal(o, f->data[0]);
        return true;
    case FRAME_STDOUT:
    case FRAME_STDERR:
    case FRAME_EXIT:
    default:
        return false;
    }
}

/* False when the client is to be dropped. */
static bool take_frames(struct mon *o, struct client *c, const char *data, size_t n) {
    const uint8_t *at = (const uint8_t *)data;
    for (;;) {
        struct frame f;
        enum frame_result r = frame_next(&c->frames, &at, &n, &f);
        if (r == FRAME_NONE)
            return true;
        if (r == FRAME_BROKEN || !take_frame(o, c, &f))
            return false;
    }
}

static bool take_request(struct mon *o, struct client *c, const char *data, size_t n) {
    const char *newline = memchr(data, '\n', n);
    size_t part = newline ? (size_t)(newline - data) : n;
    if (c->request_len + part >= sizeof c->request)
        return false;
    memcpy(c->request + c->request_len, data, part);
    c->request_len += part;
    if (!newline)
        return true;
    control_request(o, c, c->request, c->request_len);
    if (c->state == CLIENT_REQUEST)
        return false;
    part++;
    return c->state != CLIENT_ATTACHED || take_frames(o, c, data + part, n - part);
}

/* Reads once; drops the client at its end. */
static void client_read(struct mon *o, struct client *c) {
    size_t room = c->state == CLIENT_ATTACHED ? stdio_input_room(o) : MON_REQUEST_MAX;
    if (!room) {
        c->held = true;
        client_arm(o, c);
        return;
    }
    char *buf = pages_get(&o->chunk, MON_CHUNK);
    ssize_t n = recv(c->fd, buf, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    o->dirty = true;
    bool keep = n > 0;
    if (keep && c->state == CLIENT_REQUEST)
        keep = take_request(o, c, buf, (size_t)n);
    else if (keep && c->state == CLIENT_ATTACHED)
        keep = take_frames(o, c, buf, (size_t)n);
    if (!keep || (c->state == CLIENT_CLOSING && !c->waiting.len))
        client_drop(o, c);
}

void client_event(struct mon *o, const union ref *ref, uint32_t events) {
    struct client *c = ref->index < MON_CLIENT_MAX ? o->clients[ref->index] : NULL;
    if (!c || c->generation != ref->generation)
        return;
    if (events & (EPOLLHUP | EPOLLERR))
        client_mute(c);
    if (events & EPOLLOUT || c->gone)
        client_flush(o, c);
    if (c->state == CLIENT_CLOSING && !c->waiting.len) {
        client_drop(o, c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !c->held)
        client_read(o, c);
}

void clients_balance(struct mon *o) {
    if (!stdio_input_room(o))
        return;
    for (size_t i = 0; i < o->client_top; i++) {
        struct client *c = o->clients[i];
        if (c && c->held) {
            c->held = false;
            client_arm(o, c);
        }
    }
}
