/*
 * io_tree: directories and their removal.
 *
 * Trees come from images and containers, so they may be deeper than PATH_MAX, RLIMIT_NOFILE or the stack allow, and
 * somebody may move things about meanwhile. The walk therefore goes down by one component (O_NOFOLLOW) and holds the
 * descriptors of the last few levels. To a level that was let go it comes back by "..", and believes ".." only when
 * device and inode are those it came down from.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

/* Not readdir(), which takes 32 KB from the heap and three more system calls for what is most often a few names. */
enum { ENTRIES = 8192 };

/* Calls fn for what stands in `fd` from its offset on. */
static struct err *each_entry(int fd, struct err *(*fn)(void *ctx, const char *name, unsigned char d_type), void *ctx) {
    _Alignas(struct dirent64) char buf[ENTRIES];
    for (;;) {
        ssize_t n = getdents64(fd, buf, sizeof buf);
        if (n <= 0) /* ENOENT: it has been removed */
            return n && errno != ENOENT ? err_sys(errno, "read a directory") : NULL;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buf + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                TRY(fn(ctx, entry->d_name, entry->d_type));
        }
    }
}

struct err *io_each_entry(int dirfd, struct err *(*fn)(void *ctx, const char *name, unsigned char d_type), void *ctx) {
    autofd int fd = -1;
    TRY(fd_open_dir(dirfd, ".", &fd)); /* with an offset of its own */
    return each_entry(fd, fn, ctx);
}

enum { RESCANS_MAX = 4, REMOVE_TRIES = 64, HELD_LEVELS = 16 };

struct level {
    int fd;           /* -1: let go, because too many are below it */
    char *name;       /* in the directory above */
    struct strv dirs; /* subdirectories still to be removed, last first */
    dev_t dev;
    ino_t ino;
    unsigned scans; /* how often it was read: entries may be missed while they are removed */
};

struct removal {
    int top;        /* borrowed: where the walk started */
    uint64_t mount; /* mount id of the tree */
    struct level *levels;
    size_t n, cap;
    struct err *first; /* the first failure */
};

static void note_failure(struct removal *r, struct err *take_e) {
    if (r->first)
        err_free(take_e);
    else
        r->first = take_e;
}

static struct err *remove_entry(void *ctx, const char *name, unsigned char d_type) {
    struct removal *r = ctx;
    struct level *level = &r->levels[r->n - 1];
    if (d_type != DT_DIR) {
        if (unlinkat(level->fd, name, 0) == 0 || errno == ENOENT)
            return NULL;
        struct stat st;
        int errnum = errno;
        if (fstatat(level->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) {
            note_failure(r, err_sys(errnum, "remove %s", name));
            return NULL;
        }
    }
    if (unlinkat(level->fd, name, AT_REMOVEDIR) < 0) /* many are empty */
        strv_push(&level->dirs, name);
    return NULL;
}

static void scan(struct removal *r) {
    struct level *level = &r->levels[r->n - 1];
    if (level->scans++)
        lseek(level->fd, 0, SEEK_SET);
    struct err *e = each_entry(level->fd, remove_entry, r);
    if (e)
        note_failure(r, err_wrap(e, "remove %s", level->name));
}

static struct err *open_level(int parent, const char *name, int *ret_fd) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "remove %s", name);
    *ret_fd = fd;
    return NULL;
}

static void push_level(struct removal *r, struct level level) {
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 16;
        r->levels = mem_resize(r->levels, r->cap, sizeof *r->levels);
    }
    r->levels[r->n++] = level;
    if (r->n > HELD_LEVELS)
        fd_replace(&r->levels[r->n - 1 - HELD_LEVELS].fd, -1);
}

static void drop_level(struct removal *r) {
    struct level *level = &r->levels[--r->n];
    fd_close(level->fd);
    free(level->name);
    strv_done(&level->dirs);
}

/* Enters a directory: one more level, and what is in it that is no directory is removed. */
static struct err *go_down(struct removal *r, int parent, const char *name) {
    autofd int fd = -1;
    TRY(open_level(parent, name, &fd));
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0)
        return err_sys(errno, "stat %s", name);
    if (r->n && stx.stx_mnt_id != r->mount)
        return err_sys(EBUSY, "%s is a mount point", name);
    r->mount = stx.stx_mnt_id;
    if ((stx.stx_mode & 0700) != 0700 && fchmod(fd, (mode_t)stx.stx_mode | 0700) < 0 && errno != EPERM)
        return err_sys(errno, "make %s accessible", name);
    push_level(r, (struct level){.fd = take_fd(&fd),
                                 .name = mem_dup(name),
                                 .dev = ((dev_t)stx.stx_dev_major << 32) | stx.stx_dev_minor,
                                 .ino = stx.stx_ino});
    scan(r);
    return NULL;
}

/* Opens the directory above the last level again; it must be the one that was come down from. */
static struct err *open_above(struct removal *r) {
    const struct level *level = &r->levels[r->n - 1];
    struct level *above = &r->levels[r->n - 2];
    autofd int fd = -1;
    TRY(fd_open_dir(level->fd, "..", &fd));
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
        return err_sys(errno, "stat the directory above %s", level->name);
    if (stx.stx_ino != above->ino || (((dev_t)stx.stx_dev_major << 32) | stx.stx_dev_minor) != above->dev)
        return err_new(ERR_CONFLICT, "%s was moved while it was being removed", level->name);
    above->fd = take_fd(&fd);
    return NULL;
}

/* Removes the directory of the last level and leaves it, unless new entries appeared in it. */
static struct err *go_up(struct removal *r) {
    struct level *level = &r->levels[r->n - 1];
    if (r->n > 1 && level[-1].fd < 0)
        TRY(open_above(r));
    if (unlinkat(r->n > 1 ? level[-1].fd : r->top, level->name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
        if (errno == ENOTEMPTY && !r->first && level->scans < RESCANS_MAX) {
            scan(r);
            return NULL;
        }
        note_failure(r, err_sys(errno, "remove %s", level->name));
    }
    drop_level(r);
    return NULL;
}

static struct err *remove_levels(struct removal *r) {
    while (r->n) {
        struct strv *dirs = &r->levels[r->n - 1].dirs;
        if (!dirs->n) {
            TRY(go_up(r));
            continue;
        }
        autofree char *name = take_ptr(&dirs->v[dirs->n - 1]);
        dirs->n--;
        struct err *e = go_down(r, r->levels[r->n - 1].fd, name);
        if (e)
            note_failure(r, e);
    }
    return NULL;
}

static struct err *remove_once(int dirfd, const char *name) {
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return NULL;
    if (errno != EISDIR)
        return err_sys(errno, "remove %s", name);
    struct removal r = {.top = dirfd};
    struct err *e = go_down(&r, dirfd, name);
    if (!e)
        e = remove_levels(&r);
    while (r.n)
        drop_level(&r);
    free(r.levels);
    if (e)
        note_failure(&r, e);
    return r.first;
}

struct err *io_remove_tree(int dirfd, const char *name) {
    /* ENOENT from within: somebody else removes the same tree. Each new attempt finds less of it. */
    for (int tries = 0;; tries++) {
        struct err *e = remove_once(dirfd, name);
        if (!e || err_errno(e) != ENOENT || tries >= REMOVE_TRIES)
            return e;
        err_free(e);
    }
}
