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
    do
        n = s->growing ? pread(s->fd, s->buf, SOURCE_CHUNK, s->at) : read(s->fd, s->buf, SOURCE_CHUNK);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Waits until there may be more in the file; at the last ring it is whole. */
static struct err *listen_for_more(struct source *s) {
    char rings[4096];
    ssize_t n;
    do
        n = read(s->bell_fd, rings, sizeof rings);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(errno, "wait for the compressed layer");
    if (n == 0)
        s->bell_fd = -1;
    return NULL;
}

struct err *source_read(struct source *s, const unsigned char **ret, size_t *ret_n) {
    if (!s->buf)
        s->buf = mem_resize(NULL, SOURCE_CHUNK, 1);
    ssize_t n = read_piece(s);
    while (n == 0 && s->bell_fd >= 0) {
        TRY(listen_for_more(s));
        n = read_piece(s);
    }
    if (n < 0)
        return err_sys(errno, "read the compressed layer");
    if (n > 0 && s->copy_fd >= 0)
        TRY_CTX(io_write_all(s->copy_fd, s->buf, (size_t)n), "keep the compressed layer");
    if (s->digest)
        digest_update(s->digest, s->buf, (size_t)n);
    s->at += n;
    *ret = s->buf;
    *ret_n = (size_t)n;
    return NULL;
}
