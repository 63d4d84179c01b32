/*
 * sink: bytes go into the file. Who reads the file while it grows hears a bell, a pipe that one byte is written into
 * every RING_EVERY bytes; its end says that the file is whole. A full pipe has rung often enough.
 */
#include "fetch/fetch_int.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"

#define RING_EVERY (256 << 10)

struct err *sink_init(struct sink *s, int take_file, int take_bell, int64_t offset, int64_t max) {
    *s = (struct sink){.file = take_file, .bell = take_bell, .pos = offset, .max = max, .rung_at = offset};
    return s->bell < 0 ? NULL : fd_set_nonblock(s->bell, true);
}

void sink_done(struct sink *s) {
    fd_close(s->file);
    fd_close(s->bell);
    err_free(s->err);
    *s = (struct sink){.file = -1, .bell = -1};
}

static bool fail(struct sink *s, struct err *take_err) {
    if (s->err)
        err_free(take_err);
    else
        s->err = take_err;
    return false;
}

static bool ring(struct sink *s) {
    s->rung_at = s->pos;
    if (write(s->bell, "", 1) < 0 && errno != EAGAIN && errno != EINTR)
        return fail(s, err_sys(errno, "pass data on"));
    return true;
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
    return s->bell < 0 || s->pos - s->rung_at < RING_EVERY || ring(s);
}
