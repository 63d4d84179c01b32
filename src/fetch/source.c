/* source: the file that an upload is read from, by position: the descriptor is shared with the parent. */
#include "fetch/fetch_int.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

void source_done(struct upload_source *s) {
    fd_close(s->fd);
    s->fd = -1;
}

size_t source_on_read(char *buf, size_t one, size_t n, void *ctx) {
    struct transfer *t = ctx;
    struct upload_source *s = &t->source;
    size_t want = one * n;
    if (s->fd < 0)
        return 0;
    if ((int64_t)want > s->length - s->sent)
        want = (size_t)(s->length - s->sent);
    ssize_t got;
    do
        got = pread(s->fd, buf, want, s->from + s->sent);
    while (got < 0 && errno == EINTR);
    if (got < 0 || (got == 0 && want > 0)) {
        if (!t->sink.err)
            t->sink.err = got < 0 ? err_sys(errno, "read what is to be sent")
                                  : err_new(ERR_CORRUPT, "the file to be sent has become shorter");
        return CURL_READFUNC_ABORT;
    }
    s->sent += got;
    transfer_say_progress(t);
    return (size_t)got;
}

int source_on_seek(void *ctx, curl_off_t offset, int origin) {
    struct transfer *t = ctx;
    /* libcurl sends again by itself what it has begun on a connection that was dead. How much of it the server has kept
     * is not known then, so that is no decision of its. */
    bool begun = t->source.sent > 0;
    return origin == SEEK_SET && offset == 0 && !begun ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}
