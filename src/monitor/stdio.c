/*
 * stdio: the container's side. Output goes from the pipe (or the terminal) into one buffer, from there to the clients
 * and into the log. Our ends of the pipes are descriptions of our own, so that they are non-blocking is nobody else's
 * business.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys/sys.h"
#include "monitor/monitor_int.h"

struct err *stdio_make(struct mon *o, int theirs[3]) {
    const struct monitor *m = o->m;
    int p[2];
    if (m->terminal)
        return NULL;
    if (m->stdio[1] >= 0) { /* the starter's, kept for the next run of the container */
        for (int i = 0; i < 3; i++)
            TRY(fd_dup(m->stdio[i], &theirs[i]));
        return NULL;
    }
    if (m->open_stdin) {
        TRY(fd_pipe(0, p));
        theirs[0] = p[0];
        o->in.fd = p[1];
        TRY(fd_set_nonblock(o->in.fd, true));
    } else {
        TRY(fd_open_at(AT_FDCWD, "/dev/null", O_RDONLY, 0, &theirs[0]));
    }
    for (int i = 0; i < 2; i++) {
        TRY(fd_pipe(0, p));
        theirs[1 + i] = p[1];
        o->out[i].fd = p[0];
        TRY(fd_set_nonblock(p[0], true));
    }
    return NULL;
}

static struct err *take_terminal(struct mon *o) {
    int master = take_fd(&o->proc.console);
    o->out[0].fd = master;
    TRY(fd_set_nonblock(master, true));
    TRY(fd_dup(master, &o->in.fd)); /* its own entry in the table */
    o->tty_peer = sys_tty_open_peer(master, O_RDWR | O_NOCTTY);
    return NULL;
}

struct err *stdio_watch(struct mon *o) {
    if (o->m->terminal)
        TRY(take_terminal(o));
    stdio_balance(o);
    for (int i = 0; i < 2; i++)
        if (o->out[i].fd >= 0 && !o->out[i].watched)
            return err_sys(ENOMEM, "watch the container's output");
    return NULL;
}

/* ---- output ---- */

static union ref output_ref(unsigned i) { return (union ref){.kind = REF_OUTPUT, .index = (uint16_t)i}; }

static void output_unwatch(struct mon *o, struct output *out) {
    if (out->watched)
        mon_unwatch(o, out->fd);
    out->watched = false;
}

static void output_close(struct mon *o, struct output *out) {
    output_unwatch(o, out);
    fd_replace(&out->fd, -1);
}

/* A pipe that was found full is made larger as long as it is busy. True when that was done now. */
static bool pipe_grow(int fd, bool *busy) {
    if (*busy || fcntl(fd, F_SETPIPE_SZ, MON_PIPE_BUSY) < 0)
        return false;
    *busy = true;
    return true;
}

static void pipe_shrink(int fd, bool *busy) {
    if (*busy && fcntl(fd, F_SETPIPE_SZ, MON_PIPE_IDLE) >= 0)
        *busy = false;
}

/* Takes one chunk. False when there is nothing now, or no more. */
static bool output_take(struct mon *o, unsigned i) {
    struct output *out = &o->out[i];
    char *buf = pages_get(&o->chunk, MON_CHUNK);
    size_t want = out->busy ? MON_CHUNK : MON_CHUNK_SMALL;
    ssize_t n = read(out->fd, buf, want);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) { /* EIO: nobody has the terminal open any more */
        output_close(o, out);
        return false;
    }
    o->dirty = true;
    if ((size_t)n == want)
        pipe_grow(out->fd, &out->busy);
    clients_output(o, (int)i + 1, buf, (size_t)n);
    mon_log_write(o, (int)i + 1, buf, (size_t)n);
    return true;
}

void stdio_readable(struct mon *o, unsigned index, uint32_t events) {
    if (index >= 2 || o->out[index].fd < 0)
        return;
    if (!(events & EPOLLIN)) /* hung up, and nothing left */
        output_close(o, &o->out[index]);
    else if (!clients_behind(o) && !mon_log_behind(o)) /* one may have fallen behind earlier in this round */
        output_take(o, index);
}

void stdio_balance(struct mon *o) {
    bool behind = clients_behind(o) || mon_log_behind(o);
    for (unsigned i = 0; i < 2; i++) {
        struct output *out = &o->out[i];
        if (out->fd < 0 || out->watched == !behind)
            continue;
        if (behind) /* not masked: a hang-up would be reported for ever */
            output_unwatch(o, out);
        else
            out->watched = mon_watch(o, out->fd, output_ref(i), EPOLLIN);
    }
}

void stdio_drain(struct mon *o) {
    fd_replace(&o->tty_peer, -1);
    for (unsigned i = 0; i < 2; i++)
        while (o->out[i].fd >= 0 && output_take(o, i))
            ;
}

/* ---- input ---- */

static void input_close(struct mon *o) {
    if (o->in.watched)
        mon_unwatch(o, o->in.fd);
    o->in.watched = false;
    fd_replace(&o->in.fd, -1);
    pages_done(&o->in.waiting.mem);
    o->in.waiting = (struct queue){.len = 0};
}

/* Writes what the container takes now; closes when it takes no more at all. Returns the bytes taken. */
static size_t input_write(struct mon *o, const char *data, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t k = write(o->in.fd, data + done, n - done);
        if (k > 0) {
            done += (size_t)k;
        } else if (k < 0 && (errno == EINTR || (errno == EAGAIN && pipe_grow(o->in.fd, &o->in.busy)))) {
            continue;
        } else {
            if (k < 0 && errno != EAGAIN)
                input_close(o);
            break;
        }
    }
    return done;
}

/* Waits for room while something waits, closes when that was asked for. */
static void input_settle(struct mon *o) {
    struct input *in = &o->in;
    if (in->fd < 0)
        return;
    bool want = in->waiting.len > 0;
    if (!want && in->closing) {
        input_close(o);
        return;
    }
    if (want && !in->watched)
        in->watched = mon_watch(o, in->fd, (union ref){.kind = REF_INPUT}, EPOLLOUT);
    else if (!want && in->watched) {
        mon_unwatch(o, in->fd);
        in->watched = false;
    }
}

void stdio_input(struct mon *o, const void *data, size_t n) {
    struct input *in = &o->in;
    if (in->fd < 0 || in->closing)
        return;
    size_t done = in->waiting.len ? 0 : input_write(o, data, n);
    if (in->fd >= 0 && done < n && !queue_put(&in->waiting, (const char *)data + done, n - done, MON_INPUT_QUEUE))
        input_close(o); /* cannot be: clients are read only as far as there is room */
    o->dirty = true;
    input_settle(o);
}

void stdio_writable(struct mon *o) {
    struct input *in = &o->in;
    if (in->fd < 0)
        return;
    size_t done = input_write(o, queue_at(&in->waiting), in->waiting.len);
    if (in->fd >= 0)
        queue_drop(&in->waiting, done);
    input_settle(o);
}

void stdio_input_end(struct mon *o) {
    if (o->m->terminal) /* a terminal's input ends with a character, not with a connection */
        return;
    o->in.closing = true;
    input_settle(o);
}

size_t stdio_input_room(const struct mon *o) {
    return o->in.fd < 0 ? MON_INPUT_MAX : o->in.waiting.len ? 0 : MON_INPUT_MAX;
}

/* ---- the rest ---- */

void stdio_resize(const struct mon *o, unsigned short rows, unsigned short cols) {
    const struct winsize ws = {.ws_row = rows, .ws_col = cols};
    if (o->m->terminal && o->out[0].fd >= 0 && sys_tty_set_size(o->out[0].fd, &ws) == 0)
        mon_tell_resize(o, rows, cols);
}

void stdio_idle(struct mon *o) {
    if (!o->in.waiting.len)
        pages_release(&o->in.waiting.mem);
    pipe_shrink(o->in.fd, &o->in.busy);
    for (int i = 0; i < 2; i++)
        pipe_shrink(o->out[i].fd, &o->out[i].busy);
}

void stdio_done(struct mon *o) {
    input_close(o);
    for (int i = 0; i < 2; i++)
        output_close(o, &o->out[i]);
    fd_replace(&o->tty_peer, -1);
}
