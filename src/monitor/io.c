/*
 * io: the command's side of an attached container. One poll loop: frames from the connection go to our outputs, input
 * and sizes and signals go back as frames. While an output does not take a piece nothing more is received, so the
 * monitor, and through it the container, waits: nothing is kept here but one buffer.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"
#include "monitor/frames_int.h"
#include "monitor/pump_int.h"

enum { RECEIVE_MAX = 256 << 10 };

struct attach {
    struct pump pump; /* first: the callbacks get a pointer to it */
    int conn;
    struct pages buf;
    const uint8_t *at; /* received, not yet taken apart */
    size_t left;
    struct frame_parser frames;
    struct frame piece; /* being written to `outlet`; n == 0: none */
    const struct outlet *outlet;
    bool done;
};

/* ---- to the container ---- */

static void queue_frame(struct pump *p, enum monitor_frame type, const void *data, size_t n) {
    uint8_t head[FRAME_HEAD];
    if (p->tx.len + FRAME_HEAD + n > PUMP_TX_MAX)
        return; /* only sizes and signals, thousands of them, at a monitor that has stopped reading */
    frame_head(head, type, n);
    bool fits = queue_put(&p->tx, head, sizeof head, PUMP_TX_MAX) && queue_put(&p->tx, data, n, PUMP_TX_MAX);
    (void)fits;
}

static void send_resize(struct pump *p, unsigned short rows, unsigned short cols) {
    const uint8_t size[4] = {(uint8_t)(rows >> 8), (uint8_t)rows, (uint8_t)(cols >> 8), (uint8_t)cols};
    queue_frame(p, FRAME_RESIZE, size, sizeof size);
}

static void send_signal(struct pump *p, int signo) {
    const uint8_t number = (uint8_t)signo;
    queue_frame(p, FRAME_SIGNAL, &number, 1);
}

static void take_input(struct attach *a) {
    const unsigned char *data;
    size_t n;
    bool end;
    pump_input(&a->pump, &data, &n, &end);
    if (n)
        queue_frame(&a->pump, FRAME_STDIN, data, n);
    if (end)
        queue_frame(&a->pump, FRAME_STDIN, "", 0);
    a->done = a->done || a->pump.r.detached;
}

/* Sends what waits. A broken connection shows when it is read. */
static void send_waiting(struct attach *a) {
    struct queue *tx = &a->pump.tx;
    while (tx->len) {
        ssize_t n = send(a->conn, queue_at(tx), tx->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            queue_drop(tx, (size_t)n);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            queue_drop(tx, tx->len);
            a->pump.in_open = false;
        }
        return;
    }
}

/* ---- from the container ---- */

/* Writes the current piece; false while the output takes no more. */
static bool write_piece(struct attach *a) {
    while (a->piece.n && !a->done) {
        ssize_t k = outlet_write(a->outlet, a->piece.data, a->piece.n);
        if (k == 0)
            return false;
        if (k < 0) {
            a->pump.r.out_error = errno;
            a->done = true;
            break;
        }
        a->piece.data += k;
        a->piece.n -= (size_t)k;
    }
    return true;
}

static struct err *take_frame(struct attach *a) {
    const uint8_t *d = a->piece.data;
    switch (a->piece.type) {
    case FRAME_STDOUT:
    case FRAME_STDERR:
        a->outlet = &a->pump.out[a->piece.type == FRAME_STDERR];
        return NULL;
    case FRAME_EXIT:
        a->pump.r.ended = true;
        a->pump.r.code = (int)((uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3]);
        a->piece.n = 0;
        a->done = true;
        return NULL;
    case FRAME_STDIN:
    case FRAME_RESIZE:
    case FRAME_SIGNAL:
    default:
        return err_new(ERR_CORRUPT, "the container's monitor sent a frame that makes no sense");
    }
}

/* Takes apart and writes what was received, as far as the outputs go along. */
static struct err *take_received(struct attach *a) {
    while (!a->done && write_piece(a) && a->left) {
        enum frame_result r = frame_next(&a->frames, &a->at, &a->left, &a->piece);
        if (r == FRAME_BROKEN)
            return err_new(ERR_CORRUPT, "the container's monitor sent what is no frame");
        if (r == FRAME_NONE)
            a->piece.n = 0;
        else
            TRY(take_frame(a));
    }
    return NULL;
}

static struct err *receive(struct attach *a) {
    a->at = (const uint8_t *)pages_get(&a->buf, RECEIVE_MAX);
    ssize_t n = recv(a->conn, a->buf.p, RECEIVE_MAX, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NULL;
    if (n < 0 && errno != ECONNRESET)
        return err_sys(errno, "read from the container's monitor");
    if (n <= 0)
        return err_hint(err_new(ERR_SYSTEM, "the container's monitor has died"),
                        "run 'coracle ps -a' to see the container");
    a->left = (size_t)n;
    return take_received(a);
}

/* ---- the loop ---- */

static struct err *step(struct attach *a) {
    struct pump *p = &a->pump;
    send_waiting(a);
    bool blocked = a->piece.n > 0;
    short events = (short)((blocked ? 0 : POLLIN) | (p->tx.len ? POLLOUT : 0));
    struct pollfd f[] = {{.fd = events ? a->conn : -1, .events = events},
                         pump_poll_input(p),
                         {.fd = p->signal_fd, .events = POLLIN},
                         {.fd = blocked ? a->outlet->fd : -1, .events = POLLOUT}};
    if (poll(f, ARRAY_LEN(f), -1) < 0)
        return errno == EINTR ? NULL : err_sys(errno, "wait for the container");
    if (f[2].revents)
        TRY(pump_signal(p));
    if (f[1].revents)
        take_input(a);
    if (f[3].revents)
        TRY(take_received(a));
    else if (!blocked && f[0].revents & (POLLIN | POLLHUP | POLLERR))
        TRY(receive(a));
    return NULL;
}

struct err *monitor_io_attach(int conn, const struct monitor_io *io, struct monitor_io_result *ret) {
    struct attach a = {.conn = conn, .pump = {.resize = send_resize, .forward = send_signal}};
    struct err *e = pump_begin(&a.pump, io);
    if (!e)
        pump_resize(&a.pump);
    while (!e && !a.done)
        e = step(&a);
    if (!e)
        send_waiting(&a); /* what was typed before the detach keys */
    pump_end(&a.pump);
    pages_done(&a.buf);
    if (!e)
        *ret = a.pump.r;
    return e;
}
