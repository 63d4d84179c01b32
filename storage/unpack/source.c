/* source: see source_int.h. */
#include "storage/unpack/source_int.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"

void source_done(struct source *s) {
    digest_free(s->digest);
    s->digest = NULL;
    free(take_ptr(&s->buf));
}

static ssize_t read_piece(struct source *s) {
    ssize_t n;
    do {
        if (s->at < s->prefix) {
            int64_t left = s->prefix - s->at;
            n = pread(s->prefix_fd, s->buf, left < (int64_t)SOURCE_CHUNK ? (size_t)left : SOURCE_CHUNK, s->at);
        } else {
            n = read(s->fd, s->buf, SOURCE_CHUNK);
        }
    } while (n < 0 && errno == EINTR);
    return n;
}

struct err *source_read(struct source *s, const unsigned char **ret, size_t *ret_n) {
    if (!s->buf)
        s->buf = mem_resize(NULL, SOURCE_CHUNK, 1);
    bool prefix = s->at < s->prefix;
    ssize_t n = read_piece(s);
    if (n < 0)
        return err_sys(errno, "read the compressed layer");
    if (n == 0 && prefix)
        return err_new(ERR_CORRUPT, "partial download is shorter than the %lld bytes it should have",
                       (long long)s->prefix);
    if (n > 0 && !prefix && s->copy_fd >= 0)
        TRY_CTX(io_write_all(s->copy_fd, s->buf, (size_t)n), "keep the compressed layer");
    if (s->digest)
        digest_update(s->digest, s->buf, (size_t)n);
    s->at += n;
    *ret = s->buf;
    *ret_n = (size_t)n;
    return NULL;
}
