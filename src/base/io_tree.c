/*
 * io_tree: directories and their removal.
 *
 * Trees come from images and containers, so they may be deeper than PATH_MAX, RLIMIT_NOFILE or the stack allow, and
 * somebody may move things about meanwhile. The walk therefore holds one descriptor, goes down by one component
 * (O_NOFOLLOW) and up by "..", and believes ".." only when device and inode are those it came down from.
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

struct err *io_each_entry(int dirfd, struct err *(*fn)(void *ctx, const char *name, unsigned char d_type), void *ctx) {
    autofd int fd = -1;
    TRY(fd_open_dir(dirfd, ".", &fd));
    DIR *d = fdopendir(fd);
    if (!d)
        return err_sys(errno, "read a directory");
    take_fd(&fd);
    struct err *e = NULL;
    while (!e) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry) {
            e = errno ? err_sys(errno, "read a directory") : NULL;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            e = fn(ctx, entry->d_name, entry->d_type);
    }
    closedir(d);
    return e;
}

enum { RESCANS_MAX = 4, REMOVE_TRIES = 64 };

struct level {
    char *name;       /* in the directory above */
    struct strv dirs; /* subdirectories still to be removed, last first */
    dev_t dev;
    ino_t ino;
    unsigned scans; /* how often it was read: entries may be missed while they are removed */
};

struct removal {
    int top;        /* borrowed: where the walk started */
    int cur;        /* the directory of the last level */
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
        if (unlinkat(r->cur, name, 0) == 0 || errno == ENOENT)
            return NULL;
        struct stat st;
        int errnum = errno;
        if (fstatat(r->cur, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) {
            note_failure(r, err_sys(errnum, "remove %s", name));
            return NULL;
        }
    }
    if (level->scans == 1 || unlinkat(r->cur, name, AT_REMOVEDIR) < 0)
        strv_push(&level->dirs, name);
    return NULL;
}

static void scan(struct removal *r) {
    r->levels[r->n - 1].scans++;
    struct err *e = io_each_entry(r->cur, remove_entry, r);
    if (e)
        note_failure(r, err_wrap(e, "remove %s", r->levels[r->n - 1].name));
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

/* Enters a directory: one more level, r->cur replaced. */
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
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 16;
        r->levels = mem_resize(r->levels, r->cap, sizeof *r->levels);
    }
    r->levels[r->n++] = (struct level){
        .name = mem_dup(name), .dev = ((dev_t)stx.stx_dev_major << 32) | stx.stx_dev_minor, .ino = stx.stx_ino};
    fd_replace(&r->cur, take_fd(&fd));
    scan(r);
    return NULL;
}

static void drop_level(struct removal *r) {
    struct level *level = &r->levels[--r->n];
    free(level->name);
    strv_done(&level->dirs);
}

/* Opens the directory above r->cur, which must be the one that the level below the top of the stack describes. */
static struct err *open_above(struct removal *r, int *ret_fd) {
    const struct level *want = &r->levels[r->n - 2];
    autofd int fd = -1;
    TRY(fd_open_dir(r->cur, "..", &fd));
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
        return err_sys(errno, "stat the directory above %s", want->name);
    if (stx.stx_ino != want->ino || (((dev_t)stx.stx_dev_major << 32) | stx.stx_dev_minor) != want->dev)
        return err_new(ERR_CONFLICT, "%s was moved while it was being removed", r->levels[r->n - 1].name);
    *ret_fd = take_fd(&fd);
    return NULL;
}

/* Leaves the directory of the top level and removes it, unless new entries appeared in it. */
static struct err *go_up(struct removal *r) {
    struct level *level = &r->levels[r->n - 1];
    autofd int opened = -1;
    int above = r->top;
    if (r->n > 1) {
        TRY(open_above(r, &opened));
        above = opened;
    }
    if (unlinkat(above, level->name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
        if (errno == ENOTEMPTY && !r->first && level->scans < RESCANS_MAX) {
            scan(r);
            return NULL;
        }
        note_failure(r, err_sys(errno, "remove %s", level->name));
    }
    drop_level(r);
    fd_replace(&r->cur, take_fd(&opened));
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
        struct err *e = go_down(r, r->cur, name);
        if (e)
            note_failure(r, e);
    }
    return NULL;
}

static struct err *remove_once(int dirfd, const char *name) {
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "stat %s", name);
    if (!S_ISDIR(st.st_mode)) {
        if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
            return err_sys(errno, "remove %s", name);
        return NULL;
    }
    struct removal r = {.top = dirfd, .cur = -1};
    struct err *e = go_down(&r, dirfd, name);
    if (!e)
        e = remove_levels(&r);
    while (r.n)
        drop_level(&r);
    free(r.levels);
    fd_close(r.cur);
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
