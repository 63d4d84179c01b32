/*
 * sink: bytes go to the file first, then into the pipe. What a full pipe does not take waits in the backlog (at most
 * one chunk of libcurl's): until it is gone the transfer is paused, and the others are not held up.
 */
#include "fetch/fetch_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"

#define PIPE_BYTES (1 << 20)

struct err *sink_init(struct sink *s, int take_file, int take_pipe, int64_t offset, int64_t max) {
    *s = (struct sink){.file = take_file, .pipe = take_pipe, .pos = offset, .max = max};
    if (s->pipe < 0)
        return NULL;
    (void)fcntl(s->pipe, F_SETPIPE_SZ, PIPE_BYTES); /* only a matter of speed: over the user's quota it stays small */
    return fd_set_nonblock(s->pipe, true);
}

void sink_done(struct sink *s) {
    fd_close(s->file);
    fd_close(s->pipe);
    str_done(&s->backlog);
    err_free(s->err);
    *s = (struct sink){.file = -1, .pipe = -1};
}

bool sink_blocked(const struct sink *s) { return s->backlog_off < s->backlog.len; }

static bool fail(struct sink *s, struct err *take_err) {
    if (s->err)
        err_free(take_err);
    else
        s->err = take_err;
    return false;
}

/* Writes what the pipe takes; the number of bytes, or -1 with s->err set. */
static ssize_t pipe_write(struct sink *s, const char *data, size_t n) {
    size_t off = 0;
    while (off < n) {
        ssize_t w = write(s->pipe, data + off, n - off);
        if (w > 0) {
            off += (size_t)w;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            fail(s, err_sys(errno, "pass data on"));
            return -1;
        }
    }
    return (ssize_t)off;
}

void sink_flush(struct sink *s) {
    if (!sink_blocked(s) || s->err)
        return;
    ssize_t w = pipe_write(s, s->backlog.ptr + s->backlog_off, s->backlog.len - s->backlog_off);
    if (w < 0)
        return;
    s->backlog_off += (size_t)w;
    if (!sink_blocked(s)) {
        str_clear(&s->backlog);
        s->backlog_off = 0;
    }
}

bool sink_write(struct sink *s, const char *data, size_t n) {
    if (s->skip > 0) {
        size_t drop = (int64_t)n < s->skip ? n : (size_t)s->skip;
        s->skip -= (int64_t)drop;
        data += drop;
        n -= drop;
    }
    if ((int64_t)n > s->max - s->pos)
        return fail(s, err_new(ERR_CORRUPT, "the server sends more than the %lld bytes expected", (long long)s->max));
    if (s->file >= 0 && n > 0) {
        struct err *e = io_write_all(s->file, data, n);
        if (e)
            return fail(s, err_wrap(e, "write download"));
    }
    s->pos += (int64_t)n;
    if (s->pipe < 0 || n == 0)
        return true;
    ssize_t w = pipe_write(s, data, n);
    if (w < 0)
        return false;
    str_append_n(&s->backlog, data + w, n - (size_t)w);
    return true;
}
