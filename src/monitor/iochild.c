/*
 * iochild: the command's side of a process that it has started (exec): its pty or pipes, pumped to ours. It is over
 * when the process has ended and what is there of its output is written; a grandchild that keeps the pipe open is not
 * waited for.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "monitor/pump_int.h"

enum { BLOCK = 128 << 10 };

/* One direction: from the child to an output. */
struct flow {
    int from; /* -1: at its end */
    const struct outlet *to;
    struct pages buf;
    size_t at, len;
    bool dry; /* nothing more now; after the child's end that is the end */
};

struct child {
    struct pump pump; /* first: the callbacks get a pointer to it */
    const struct monitor_child *of;
    int master;
    int to; /* the child's input; -1: none or closed */
    struct flow flow[2];
    bool in_ended, done;
};

static void resize_master(struct pump *p, unsigned short rows, unsigned short cols) {
    struct child *c = (struct child *)(void *)p;
    const struct winsize ws = {.ws_row = rows, .ws_col = cols};
    if (c->master >= 0)
        sys_tty_set_size(c->master, &ws);
}

static void signal_child(struct pump *p, int signo) {
    struct child *c = (struct child *)(void *)p;
    if (!c->pump.r.ended)
        sys_pidfd_send_signal(c->of->pidfd, signo);
}

/* ---- output ---- */

static void flow_read(struct flow *f) {
    char *buf = pages_get(&f->buf, BLOCK);
    ssize_t n = read(f->from, buf, BLOCK);
    f->at = 0;
    f->len = n > 0 ? (size_t)n : 0;
    f->dry = n < 0 && errno == EAGAIN;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        f->from = -1; /* EIO: nobody has the terminal open any more */
}

/* Writes what was read; false when our output failed. */
static bool flow_write(struct child *c, struct flow *f) {
    while (f->at < f->len) {
        ssize_t k = outlet_write(f->to, f->buf.p + f->at, f->len - f->at);
        if (k == 0)
            break;
        if (k < 0) {
            c->pump.r.out_error = errno;
            return false;
        }
        f->at += (size_t)k;
    }
    return true;
}

/* Whether there is something was asked before: nothing is read in vain. */
static void flow_step(struct child *c, struct flow *f, short revents) {
    if (revents & POLLIN)
        flow_read(f);
    else if (revents) /* nobody has it open any more, and nothing is left */
        f->from = -1;
    else if (f->at == f->len)
        f->dry = true;
    if (!flow_write(c, f))
        c->done = true;
}

static bool flow_over(const struct flow *f, bool ended) {
    return f->at == f->len && (f->from < 0 || (ended && f->dry));
}

/* ---- input ---- */

static void close_input(struct child *c) {
    if (c->to >= 0 && c->to != c->master)
        fd_close(c->to);
    c->to = -1;
    c->pump.in_open = false;
    queue_drop(&c->pump.tx, c->pump.tx.len);
}

static void send_waiting(struct child *c) {
    struct queue *tx = &c->pump.tx;
    while (tx->len && c->to >= 0) {
        ssize_t n = write(c->to, queue_at(tx), tx->len);
        if (n > 0) {
            queue_drop(tx, (size_t)n);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            close_input(c);
            return;
        }
    }
    if (c->in_ended && c->to >= 0 && c->to != c->master)
        close_input(c);
}

static void take_input(struct child *c) {
    const unsigned char *data;
    size_t n;
    bool end;
    pump_input(&c->pump, &data, &n, &end);
    if (n && !queue_put(&c->pump.tx, data, n, PUMP_TX_MAX))
        close_input(c);
    c->in_ended = c->in_ended || end;
    c->done = c->done || c->pump.r.detached;
}

/* ---- the loop ---- */

static struct pollfd poll_flow_in(const struct flow *f) {
    return (struct pollfd){.fd = f->from >= 0 && f->at == f->len ? f->from : -1, .events = POLLIN};
}

static struct pollfd poll_flow_out(const struct flow *f) {
    return (struct pollfd){.fd = f->at < f->len ? f->to->fd : -1, .events = POLLOUT};
}

static struct err *take_end(struct child *c) {
    TRY(c->of->reap(c->of->ctx, &c->pump.r.code));
    c->pump.r.ended = true;
    close_input(c);
    return NULL;
}

enum { IN_0, IN_1, OUT_0, OUT_1, INPUT, SIGNAL, END, SEND, N_POLLED };

static struct err *wait_for_something(const struct child *c, struct pollfd f[N_POLLED]) {
    const struct pump *p = &c->pump;
    f[IN_0] = poll_flow_in(&c->flow[0]);
    f[IN_1] = poll_flow_in(&c->flow[1]);
    f[OUT_0] = poll_flow_out(&c->flow[0]);
    f[OUT_1] = poll_flow_out(&c->flow[1]);
    f[INPUT] = pump_poll_input(p);
    f[SIGNAL] = (struct pollfd){.fd = p->signal_fd, .events = POLLIN};
    f[END] = (struct pollfd){.fd = p->r.ended ? -1 : c->of->pidfd, .events = POLLIN};
    f[SEND] = (struct pollfd){.fd = p->tx.len ? c->to : -1, .events = POLLOUT};
    /* After the end every flow is read until it is dry, and only a slow output of ours is waited for. */
    bool waiting = c->flow[0].at < c->flow[0].len || c->flow[1].at < c->flow[1].len;
    while (poll(f, N_POLLED, p->r.ended && !waiting ? 0 : -1) < 0)
        if (errno != EINTR)
            return err_sys(errno, "wait for the process");
    return NULL;
}

static struct err *step(struct child *c) {
    struct pollfd f[N_POLLED];
    bool ended = c->pump.r.ended;
    send_waiting(c);
    TRY(wait_for_something(c, f));
    if (f[SIGNAL].revents)
        TRY(pump_signal(&c->pump));
    if (f[INPUT].revents)
        take_input(c);
    for (int i = 0; i < 2; i++)
        if (ended || f[IN_0 + i].revents || f[OUT_0 + i].revents)
            flow_step(c, &c->flow[i], f[IN_0 + i].revents);
    if (f[END].revents)
        TRY(take_end(c));
    c->done = c->done || (ended && flow_over(&c->flow[0], ended) && flow_over(&c->flow[1], ended));
    return NULL;
}

static struct err *prepare(struct child *c) {
    const int *pipes = c->of->pipes;
    c->flow[0] = (struct flow){.from = c->master >= 0 ? c->master : pipes[1], .to = &c->pump.out[0]};
    c->flow[1] = (struct flow){.from = c->master >= 0 ? -1 : pipes[2], .to = &c->pump.out[1]};
    c->to = c->master >= 0 ? c->master : pipes[0];
    for (int i = 0; i < 2; i++)
        if (c->flow[i].from >= 0)
            TRY(fd_set_nonblock(c->flow[i].from, true));
    if (c->to >= 0)
        TRY(fd_set_nonblock(c->to, true));
    return NULL;
}

struct err *monitor_io_child(const struct monitor_child *child, const struct monitor_io *io,
                             struct monitor_io_result *ret) {
    struct child c = {.of = child, .master = child->master, .pump = {.resize = resize_master, .forward = signal_child}};
    struct err *e = prepare(&c);
    if (!e)
        e = pump_begin(&c.pump, io);
    if (!e) {
        pump_resize(&c.pump);
        c.in_ended = io->in < 0; /* nothing will come: the child sees the end at once */
    }
    while (!e && !c.done)
        e = step(&c);
    if (!e)
        send_waiting(&c);
    pump_end(&c.pump);
    close_input(&c);
    for (int i = 0; i < 2; i++) {
        pages_done(&c.flow[i].buf);
        if (child->master < 0)
            fd_close(child->pipes[1 + i]);
    }
    if (!e)
        *ret = c.pump.r;
    return e;
}
