/*
 * logfiles: which file comes next. A log file is known by its inode, not by its name: names move on at every rotation,
 * always to a higher number. So a look at "log", "log.1", "log.2" … in this order may meet a file twice but can never
 * miss one that was there when the look began, and what it lists is in order from the newest to the oldest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "monitor/jsonlog_int.h"
#include "monitor/logread_int.h"

enum {
    GAP_MAX = 3, /* a rotation under way (or one that a crash ended) leaves one number free */
    NUMBER_MAX = 4096,
    ATTEMPTS = 1000
};

struct listed {
    dev_t dev;
    ino_t ino;
    int number;
};
struct list {
    struct listed *v; /* newest first */
    size_t n;
};
static void list_done(struct list *l) { free(l->v); }
#define autolist __attribute__((cleanup(list_done))) struct list

static void name_of(int n, char ret[24]) { snprintf(ret, 24, n ? JSONLOG_NAME ".%d" : JSONLOG_NAME, n); }

static bool same(const struct listed *e, const struct stat *st) { return e->dev == st->st_dev && e->ino == st->st_ino; }

static void list_add(struct list *l, const struct stat *st, int number) {
    for (size_t i = 0; i < l->n; i++)
        if (same(&l->v[i], st))
            return;
    l->v = mem_resize(l->v, l->n + 1, sizeof *l->v);
    l->v[l->n++] = (struct listed){st->st_dev, st->st_ino, number};
}

static void list_make(int dirfd, struct list *l) {
    char name[24];
    struct stat st;
    for (int i = 0, gap = 0; i < NUMBER_MAX && gap <= GAP_MAX; i++) {
        name_of(i, name);
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            list_add(l, &st, i);
            gap = 0;
        } else {
            gap++;
        }
    }
}

/* Opens a listed file; *ret_fd is -1 when that name is another file's by now. */
static struct err *list_open(int dirfd, const struct listed *e, int *ret_fd) {
    char name[24];
    struct stat st;
    /* It may have moved up meanwhile. */
    for (int number = e->number; number <= e->number + 2; number++) {
        name_of(number, name);
        autofd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 && errno != ENOENT && errno != ELOOP)
            return err_sys(errno, "open the container's log");
        if (fd >= 0 && fstat(fd, &st) == 0 && same(e, &st)) {
            *ret_fd = take_fd(&fd);
            return NULL;
        }
    }
    *ret_fd = -1;
    return NULL;
}

static void set_file(struct logfile *f, const struct listed *e, int fd) {
    fd_replace(&f->fd, fd);
    f->dev = e->dev;
    f->ino = e->ino;
    f->start = 0;
}

static size_t list_find(const struct list *l, const struct logfile *f) {
    size_t i = 0;
    while (i < l->n && !(f->fd >= 0 && l->v[i].dev == f->dev && l->v[i].ino == f->ino))
        i++;
    return i;
}

/* Moves *f by one file: to the newer one, or the older one. The oldest comes after none, and after one that is gone. */
static struct err *move(int dirfd, struct logfile *f, bool older, bool *ret_moved) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        autolist list = {NULL, 0};
        list_make(dirfd, &list);
        size_t at = list_find(&list, f);
        if (older ? at + 1 >= list.n : at == 0) {
            *ret_moved = false;
            return NULL;
        }
        const struct listed *e = &list.v[older ? at + 1 : at - 1];
        int fd;
        TRY(list_open(dirfd, e, &fd));
        if (fd >= 0) {
            set_file(f, e, fd);
            *ret_moved = true;
            return NULL;
        }
    }
    return err_new(ERR_IN_USE, "the container's log is rotated faster than it can be read");
}

struct err *logfile_oldest(int dirfd, struct logfile *ret) {
    bool moved;
    *ret = (struct logfile){.fd = -1};
    return move(dirfd, ret, false, &moved);
}

struct err *logfile_next(int dirfd, struct logfile *f, bool *ret_moved) {
    return move(dirfd, f, false, ret_moved);
}

bool logfile_rotated(int dirfd, const struct logfile *f) {
    struct stat st;
    if (fstatat(dirfd, JSONLOG_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return true; /* in the middle of a rotation */
    return st.st_dev != f->dev || st.st_ino != f->ino;
}

static struct err *open_newest(int dirfd, struct logfile *f) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        autolist list = {NULL, 0};
        list_make(dirfd, &list);
        if (!list.n)
            return NULL;
        int fd;
        TRY(list_open(dirfd, &list.v[0], &fd));
        if (fd >= 0) {
            set_file(f, &list.v[0], fd);
            return NULL;
        }
    }
    return err_new(ERR_IN_USE, "the container's log is rotated faster than it can be read");
}

/*
 * Walks back over `*lines` newlines; leaves in *lines how many lines more are wanted from older files, and the offset.
 */
static struct err *count_back(int fd, int64_t *lines, off_t *ret_at) {
    char block[64 << 10];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "look at the container's log");
    int64_t seen = 0;
    for (off_t at = st.st_size; at > 0;) {
        size_t n = at < (off_t)sizeof block ? (size_t)at : sizeof block;
        at -= (off_t)n;
        ssize_t got = pread(fd, block, n, at);
        if (got < 0)
            return err_sys(errno, "read the container's log");
        for (const char *p = block + got; (p = memrchr(block, '\n', (size_t)(p - block)));)
            if (seen++ == *lines) {
                *lines = 0;
                *ret_at = at + (p - block) + 1;
                return NULL;
            }
    }
    *lines -= seen;
    *ret_at = 0;
    return NULL;
}

struct err *logfile_tail(int dirfd, int64_t lines, struct logfile *ret) {
    struct logfile f = {.fd = -1};
    struct err *e = open_newest(dirfd, &f);
    while (!e && f.fd >= 0) {
        bool moved = false;
        e = count_back(f.fd, &lines, &f.start);
        if (!e && lines > 0)
            e = move(dirfd, &f, true, &moved);
        if (!moved)
            break;
    }
    if (e)
        fd_close(f.fd);
    else
        *ret = f;
    return e;
}
