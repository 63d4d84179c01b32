/*
 * logfiles: which file comes next. A rotated file is known by its number, which it keeps whatever becomes of it
 * (lognames_int.h), and the current one by the number that it is going to have: so a reader that has one open can
 * always tell which are newer, also when its own was compressed or deleted under it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/gzip.h"
#include "base/mem.h"
#include "monitor/lognames_int.h"
#include "monitor/logread_int.h"

enum { ATTEMPTS = 1000, BLOCK = 64 << 10 };

void logfile_done(struct logfile *f) {
    gunzip_free(take_ptr(&f->gz));
    fd_replace(&f->fd, -1);
}

static struct err *open_name(int dirfd, const char *name, int *ret_fd) {
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT && errno != ELOOP)
        return err_sys(errno, "open the container's log");
    *ret_fd = fd;
    return NULL;
}

static bool is_current(int dirfd, int fd) { return fd_is_at(fd, dirfd, LOG_NAME, AT_SYMLINK_NOFOLLOW); }

bool logfile_rotated(int dirfd, const struct logfile *f) { return f->gz || !is_current(dirfd, f->fd); }

static void replace(struct logfile *f, int take_fd, int64_t number) {
    logfile_done(f);
    *f = (struct logfile){.fd = take_fd, .number = number};
}

/* Opens a rotated file in the form that it has; *ret_opened is false when it has gone. */
static struct err *open_rotated(int dirfd, int64_t number, struct logfile *f, bool *ret_opened) {
    char name[LOG_NAME_SIZE];
    int fd = -1;
    bool packed = false;
    for (; fd < 0; packed = true) { /* the plain one first: the other is there before that goes */
        logname(number, packed, name);
        TRY(open_name(dirfd, name, &fd));
        if (fd >= 0 || packed)
            break;
    }
    *ret_opened = fd >= 0;
    if (fd < 0)
        return NULL;
    replace(f, fd, number);
    return packed ? gunzip_new(f->fd, &f->gz) : NULL;
}

/*
 * Opens the current file, if it is another one than *f and its number, which follows from those that are there, is at
 * most `newest_wanted`: else others come before it. *ret_opened, *ret_later.
 */
static struct err *open_current(int dirfd, int64_t newest_wanted, struct logfile *f, bool *ret_opened,
                                bool *ret_later) {
    autofd int fd = -1;
    struct logrange r;
    *ret_opened = *ret_later = false;
    if (f->fd >= 0 && !logfile_rotated(dirfd, f))
        return NULL;
    TRY(open_name(dirfd, LOG_NAME, &fd));
    if (fd < 0)
        return NULL; /* in the middle of a rotation, or never made */
    TRY(logrange_find(dirfd, &r));
    int64_t number = r.newest >= r.oldest ? r.newest + 1 : 1;
    if (number <= f->number) /* rotated files are not kept */
        number = f->number + 1;
    *ret_later = number > newest_wanted || !is_current(dirfd, fd); /* or it was rotated while they were looked for */
    if (*ret_later)
        return NULL;
    replace(f, take_fd(&fd), number);
    *ret_opened = true;
    return NULL;
}

static struct err *too_fast(void) {
    return err_new(ERR_IN_USE, "the container's log is rotated faster than it can be read");
}

struct err *logfile_next(int dirfd, struct logfile *f, bool *ret_moved) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct logrange r;
        bool later = true;
        TRY(logrange_find(dirfd, &r));
        int64_t number = f->number + 1 > r.oldest ? f->number + 1 : r.oldest;
        if (number <= r.newest)
            TRY(open_rotated(dirfd, number, f, ret_moved));
        else
            TRY(open_current(dirfd, number, f, ret_moved, &later));
        if (*ret_moved || !later)
            return NULL;
    }
    return too_fast();
}

struct err *logfile_oldest(int dirfd, struct logfile *ret) {
    bool moved;
    *ret = (struct logfile){.fd = -1};
    return logfile_next(dirfd, ret, &moved);
}

/* ---- reading ---- */

struct err *logfile_read(struct logfile *f, void *buf, size_t n, size_t *ret_n) {
    if (f->gz)
        return gunzip_read(f->gz, buf, n, ret_n);
    ssize_t got;
    do
        got = read(f->fd, buf, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_sys(errno, "read the container's log");
    *ret_n = (size_t)got;
    return NULL;
}

struct err *logfile_unread(struct logfile *f, size_t n) {
    if (n && !f->gz && lseek(f->fd, -(off_t)n, SEEK_CUR) < 0)
        return err_sys(errno, "read the container's log");
    return NULL;
}

struct err *logfile_seek_start(struct logfile *f) {
    if (!f->gz)
        return lseek(f->fd, f->start, SEEK_SET) < 0 ? err_sys(errno, "read the container's log") : NULL;
    autofree char *block = mem_alloc(BLOCK);
    for (off_t at = 0; at < f->start;) {
        size_t n;
        off_t left = f->start - at;
        TRY(gunzip_read(f->gz, block, left < BLOCK ? (size_t)left : BLOCK, &n));
        if (!n)
            return err_new(ERR_CORRUPT, "the container's log has changed while it was read");
        at += (off_t)n;
    }
    return NULL;
}

/* ---- the last entries ---- */

/* Goes over entries of what is being read, `limit` at most: how many there were, and where the last one ended. */
static struct err *measure(struct logfile *f, const struct logformat *format, int64_t limit, int64_t *ret_seen,
                           off_t *ret_end) {
    autostr struct str buf = STR_INIT;
    int64_t seen = 0;
    off_t end = 0;
    for (size_t n = 1; n && seen < limit;) {
        char *to = str_reserve(&buf, BLOCK);
        if (!to)
            return err_new(ERR_CORRUPT, "the container's log has an entry without an end");
        TRY(logfile_read(f, to, BLOCK, &n));
        buf.len += n;
        size_t at = 0;
        for (size_t len; seen < limit && (len = format->entry(buf.ptr + at, buf.len - at)) && len != SIZE_MAX; seen++)
            at += len;
        memmove(buf.ptr, buf.ptr + at, buf.len - at);
        buf.len -= at;
        end += (off_t)at;
    }
    *ret_seen = seen;
    *ret_end = end;
    return NULL;
}

static struct err *rewind_packed(struct logfile *f) {
    gunzip_free(take_ptr(&f->gz));
    if (lseek(f->fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "read the container's log");
    return gunzip_new(f->fd, &f->gz);
}

/* A compressed file can only be read forwards: once to count, and where it has enough once more up to the place. */
static struct err *back_packed(struct logfile *f, const struct logformat *format, int64_t *entries) {
    int64_t seen = 0;
    off_t end = 0;
    TRY(measure(f, format, INT64_MAX, &seen, &end));
    TRY(rewind_packed(f));
    f->start = 0;
    if (seen <= *entries) {
        *entries -= seen;
        return NULL;
    }
    TRY(measure(f, format, seen - *entries, &seen, &f->start));
    *entries = 0;
    return rewind_packed(f);
}

static struct err *back(struct logfile *f, const struct logformat *format, int64_t *entries) {
    return f->gz ? back_packed(f, format, entries) : format->back(f->fd, entries, &f->start);
}

/* The file before *f; *ret_moved is false when that was the oldest. */
static struct err *move_back(int dirfd, struct logfile *f, bool *ret_moved) {
    struct logrange r;
    *ret_moved = false;
    TRY(logrange_find(dirfd, &r));
    if (f->number - 1 < r.oldest || f->number - 1 > r.newest)
        return NULL;
    return open_rotated(dirfd, f->number - 1, f, ret_moved); /* gone: rotation took the oldest meanwhile */
}

/* The current file; where a crash in the middle of a rotation left none, the newest one. */
static struct err *open_newest(int dirfd, struct logfile *f, bool *ret_opened) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct logrange r;
        bool later;
        TRY(open_current(dirfd, INT64_MAX, f, ret_opened, &later));
        if (*ret_opened)
            return NULL;
        TRY(logrange_find(dirfd, &r));
        if (!later && r.newest >= r.oldest)
            TRY(open_rotated(dirfd, r.newest, f, ret_opened));
        if (*ret_opened || !later)
            return NULL;
    }
    return too_fast();
}

static struct err *find_tail(int dirfd, const struct logformat *format, int64_t entries, struct logfile *f) {
    bool moved;
    TRY(open_newest(dirfd, f, &moved));
    while (moved) {
        moved = false;
        TRY(back(f, format, &entries));
        if (entries > 0)
            TRY(move_back(dirfd, f, &moved));
    }
    return NULL;
}

struct err *logfile_tail(int dirfd, const struct logformat *format, int64_t entries, struct logfile *ret) {
    struct logfile f = {.fd = -1};
    struct err *e = find_tail(dirfd, format, entries, &f);
    if (e)
        logfile_done(&f);
    else
        *ret = f;
    return e;
}
