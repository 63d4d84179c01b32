/* logwriter: see logwriter_int.h. */
#include "monitor/logwriter_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "monitor/logdriver_int.h"
#include "monitor/lognames_int.h"
#include "spec/log.h"

static struct err *open_file(int dir_fd, const char *name, int flags, int *ret_fd, int64_t *ret_size) {
    autofd int fd = -1;
    TRY(fd_open_at(dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | flags, 0600, &fd));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "look at %s", name);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_CORRUPT, "%s is not a regular file", name);
    *ret_size = st.st_size;
    *ret_fd = take_fd(&fd);
    return NULL;
}

/* A monitor that was killed in the middle of a write leaves half a record: it goes. */
static void trim_half_record(struct logwriter *w) {
    autofd int fd = openat(w->c.dir_fd, LOG_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int64_t whole = fd < 0 ? w->size : w->format->whole_file(fd, w->size);
    if (whole < w->size && ftruncate(w->fd, whole) == 0)
        w->size = whole;
}

struct logwriter_config logwriter_config_of(const struct logdriver_config *c) {
    const struct spec_log *o = c->options;
    return (struct logwriter_config){
        .dir_fd = c->dir_fd, .max_size = o->max_size, .max_file = o->max_file, .compress = o->compress};
}

struct err *logwriter_open(struct logwriter *w, const struct logwriter_config *c, const struct logwriter_format *f,
                           size_t extra) {
    int fd;
    int64_t size;
    TRY_CTX(open_file(c->dir_fd, LOG_NAME, 0, &fd, &size), "open the container's log");
    *w = (struct logwriter){.c = *c, .format = f, .fd = fd, .size = size};
    w->capacity = LOGWRITER_FULL + f->record_max + extra + LOGWRITER_NOTE + extra;
    if (size)
        trim_half_record(w);
    return NULL;
}

void logwriter_batch(struct logwriter *w) { pages_get(&w->out, w->capacity); }

/* ---- rotation ---- */

/* Gives the current file its number; false where that cannot be. */
static bool put_away(struct logwriter *w) {
    char name[LOG_NAME_SIZE];
    if (w->c.max_file == 1)
        return true; /* it goes when the new one takes its name */
    logname(w->newest + 1, false, name);
    if (renameat(w->c.dir_fd, LOG_NAME, w->c.dir_fd, name) < 0)
        return false;
    w->newest++;
    for (; w->oldest <= w->newest - w->c.max_file + 1; w->oldest++)
        logname_remove(w->c.dir_fd, w->oldest);
    return true;
}

/* The new file is there before the old one moves: where it cannot be made, the log goes on in the old one. */
static void rotate(struct logwriter *w) {
    if (!w->oldest) {
        struct logrange r;
        autoerr e = logrange_find(w->c.dir_fd, &r);
        if (e)
            return;
        w->oldest = r.oldest;
        w->newest = r.newest;
    }
    int fd = -1;
    int64_t size = 0;
    autoerr e = open_file(w->c.dir_fd, LOG_NAME_NEXT, O_TRUNC, &fd, &size);
    if (e)
        return;
    if (!put_away(w) || renameat(w->c.dir_fd, LOG_NAME_NEXT, w->c.dir_fd, LOG_NAME) < 0) {
        fd_close(fd);
        return;
    }
    fd_replace(&w->fd, fd);
    w->size = size;
    if (w->c.compress && w->c.max_file > 1)
        logpack_begin(w->c.dir_fd);
}

/* ---- writing ---- */

static size_t write_some(int fd, const char *data, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t k = write(fd, data + done, n - done);
        if (k > 0)
            done += (size_t)k;
        else if (k == 0 || errno != EINTR)
            break;
    }
    return done;
}

/* Writes data[0..n), or as many whole records of it as fit; *ret_count is how many these are. */
static bool write_whole(struct logwriter *w, const char *data, size_t n, size_t *ret_count) {
    size_t done = write_some(w->fd, data, n);
    w->size += (int64_t)done;
    if (done == n)
        return true;
    size_t half = done - w->format->whole(data, done, ret_count);
    if (ftruncate(w->fd, w->size - (int64_t)half) == 0)
        w->size -= (int64_t)half;
    return false;
}

/* Says how much is missing; false while there is still no space. Its place is behind the records in the buffer. */
static bool write_note(struct logwriter *w) {
    char text[LOGWRITER_NOTE / 4];
    size_t none;
    int n = snprintf(text, sizeof text, "coracle: %llu lines of output were lost, the log could not be written",
                     (unsigned long long)w->dropped);
    char *to = w->out.p + w->len;
    if (!write_whole(w, to, w->format->note(w, text, (size_t)n, to), &none))
        return false;
    w->dropped = 0;
    return true;
}

void logwriter_flush(struct logwriter *w) {
    size_t written = 0;
    if (w->len && w->dropped && !write_note(w))
        w->dropped += w->records;
    else if (w->len && !write_whole(w, w->out.p, w->len, &written))
        w->dropped += w->records - written;
    w->len = w->records = 0;
}

void logwriter_make_room(struct logwriter *w) {
    logwriter_flush(w);
    if (w->c.max_size > 0 && w->size >= w->c.max_size)
        rotate(w);
}

void logwriter_idle(struct logwriter *w) { pages_release(&w->out); }

void logwriter_close(struct logwriter *w) {
    pages_done(&w->out);
    fd_close(w->fd);
}
