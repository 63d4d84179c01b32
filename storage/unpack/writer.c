/* writer: see writer_int.h. The ring's buffers hold files one after the other: a header, and its data. */
#include "storage/unpack/writer_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/unpack/ring_int.h"

#define BATCHES 3
#define BATCH_SIZE ((size_t)128 << 10)
#define BATCH_FILES 32 /* with BATCHES, how many files may be open at once */

struct file {
    int fd;
    size_t size;
    struct timespec times[2];
};

struct writer {
    struct ring *ring;
    pthread_t thread;
    char *batch; /* being filled, or NULL */
    size_t used, files;
    size_t size;     /* of the room that was given last */
    struct err *err; /* the thread's, until it is joined */
    bool joined;
};

/* A header or data of `size` bytes take this much, so that the next header is aligned. */
static size_t padded(size_t size) { return (size + _Alignof(struct file) - 1) & ~(_Alignof(struct file) - 1); }

static struct err *complete(const struct file *f) {
    autofd int fd = f->fd;
    if (f->size > 0)
        TRY_CTX(io_write_all(fd, f + 1, f->size), "write a file");
    return futimens(fd, f->times) == 0 ? NULL : err_sys(errno, "set the time of a file");
}

static struct err *complete_batch(const char *batch, size_t n) {
    for (size_t at = 0; at < n;) {
        const struct file *f = (const void *)(batch + at);
        TRY(complete(f));
        at += sizeof *f + padded(f->size);
    }
    return NULL;
}

static void *run(void *arg) {
    struct writer *w = arg;
    const void *batch;
    size_t n = 0;
    do {
        w->err = ring_next(w->ring, &batch, &n);
        if (!w->err)
            w->err = complete_batch(batch, n);
    } while (!w->err && n > 0);
    ring_abandon(w->ring);
    return NULL;
}

struct err *writer_new(struct writer **ret) {
    struct writer *w = mem_alloc(sizeof *w);
    *w = (struct writer){.ring = ring_new(BATCHES, BATCH_SIZE)};
    int code = pthread_create(&w->thread, NULL, run, w);
    if (code != 0) {
        ring_free(w->ring);
        free(w);
        return err_sys(code, "start a thread");
    }
    *ret = w;
    return NULL;
}

static struct err *join(struct writer *w) {
    if (!w->joined)
        pthread_join(w->thread, NULL);
    w->joined = true;
    return take_ptr(&w->err);
}

struct err *writer_room(struct writer *w, size_t size, void **ret) {
    size_t wanted = sizeof(struct file) + padded(size);
    if (w->batch && (w->files == BATCH_FILES || w->used + wanted > BATCH_SIZE)) {
        ring_commit(w->ring, w->used);
        w->batch = NULL;
    }
    if (!w->batch) {
        w->batch = ring_reserve(w->ring);
        w->used = w->files = 0;
    }
    if (!w->batch) { /* the thread has given up */
        struct err *e = join(w);
        return e ? e : err_new(ERR_SYSTEM, "files are no longer written");
    }
    w->size = size;
    *ret = w->batch + w->used + sizeof(struct file);
    return NULL;
}

void writer_hand_over(struct writer *w, int take_fd, const struct timespec times[2]) {
    struct file *f = (void *)(w->batch + w->used);
    *f = (struct file){.fd = take_fd, .size = w->size, .times = {times[0], times[1]}};
    w->used += sizeof *f + padded(w->size);
    w->files++;
}

struct err *writer_finish(struct writer *take_writer) {
    struct writer *w = take_writer;
    if (w->batch && w->files > 0)
        ring_commit(w->ring, w->used);
    ring_end(w->ring, NULL);
    struct err *e = join(w);
    ring_free(w->ring);
    free(w);
    return e;
}
