/* node: see node_int.h. */
#include "storage/unpack/node_int.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "storage/unpack/shared_int.h"
#include "storage/unpack/tree_int.h"
#include "storage/unpack/writer_int.h"

/*
 * Aligned runs of zeros of this size become holes, so that a bomb of zeros takes (next to) no space. Where a buffer
 * ends within one, half of it is enough.
 */
#define HOLE ((size_t)64 << 10)

/* setuid and setgid do not survive a write or a change of owner, so they come last. */
#define LATE_BITS 06000U

static bool is_zero(const char *p, size_t n) { return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0; }

static bool needs_chown(const struct node *n) {
    return n->own && (n->uid != 0 || n->gid != 0 || tree_inherits(n->tree));
}

static struct err *write_err(int errnum, int64_t at) {
    if (errnum == EFBIG || errnum == EINVAL)
        return err_new(ERR_UNSUPPORTED, "a file of %lld bytes or more is too large for the file system", (long long)at);
    return err_sys(errnum, "write a file");
}

static struct err *write_at(int fd, const char *p, size_t n, int64_t at) {
    while (n > 0) {
        ssize_t got = pwrite(fd, p, n, at);
        if (got < 0 && errno != EINTR)
            return write_err(errno, at);
        if (got > 0) {
            p += got;
            n -= (size_t)got;
            at += got;
        }
    }
    return NULL;
}

/* Writes a block, leaving out runs of zeros at HOLE boundaries. *end is where the written part of the file ends. */
static struct err *write_sparse(int fd, const char *p, size_t n, int64_t at, int64_t *end) {
    size_t start = 0, i = 0;
    while (i < n) {
        size_t piece = HOLE - (size_t)(at + (int64_t)i) % HOLE;
        if (piece > n - i)
            piece = n - i;
        if (piece >= HOLE / 2 && is_zero(p + i, piece)) {
            TRY(write_at(fd, p + start, i - start, at + (int64_t)start));
            start = i + piece;
        }
        i += piece;
        if (start < i)
            *end = at + (int64_t)i;
    }
    return write_at(fd, p + start, n - start, at + (int64_t)start);
}

struct block {
    const void *data;
    size_t len;
    la_int64_t at;
};

/* The next piece of the file's data, all of it within the file; *ret_more is false when there is none. */
static struct err *next_block(const struct node *n, struct block *ret, bool *ret_more) {
    int code = archive_read_data_block(n->archive, &ret->data, &ret->len, &ret->at);
    *ret_more = code != ARCHIVE_EOF;
    if (code == ARCHIVE_EOF)
        return NULL;
    if (code < ARCHIVE_WARN)
        return err_new(ERR_CORRUPT, "%s", archive_error_string(n->archive));
    if (ret->at < 0 || ret->at > n->size || ret->len > (uint64_t)(n->size - ret->at))
        return err_new(ERR_CORRUPT, "more data than its size of %lld bytes", (long long)n->size);
    return NULL;
}

static struct err *write_data(const struct node *n, int fd) {
    int64_t end = 0;
    struct block b;
    bool more;
    for (;;) {
        TRY(next_block(n, &b, &more));
        if (!more)
            break;
        if (b.len > 0)
            TRY(write_sparse(fd, b.data, b.len, b.at, &end));
    }
    if (end < n->size && ftruncate(fd, n->size) != 0)
        return write_err(errno, n->size);
    return NULL;
}

/* Creates a file that was not there, whatever was there before. */
static struct err *create(const struct node *n, int *ret_fd) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const mode_t mode = n->mode & ~LATE_BITS;
    tree_touch(n->tree);
    int fd, tries = 0;
    while ((fd = openat(tree_fd(n->tree), n->name, flags, mode)) < 0 && errno == EEXIST)
        TRY(tree_make_room(n->tree, n->name, &tries));
    if (fd < 0)
        return err_sys(errno, "create a file");
    *ret_fd = fd;
    return NULL;
}

static bool is_for_writer(const struct node *n) {
    return n->writer && n->size <= (int64_t)WRITER_FILE_MAX && !(n->mode & LATE_BITS) && !tree_inherits(n->tree) &&
           archive_entry_xattr_count(n->entry) == 0;
}

/* Collects the data in `room`; what is a hole in the archive is zeros here. */
static struct err *read_data(const struct node *n, char *room) {
    int64_t end = 0;
    struct block b;
    bool more = n->size > 0;
    while (more) {
        TRY(next_block(n, &b, &more));
        if (!more || b.len == 0)
            continue;
        if (b.at > end)
            memset(room + end, 0, (size_t)(b.at - end));
        memcpy(room + b.at, b.data, b.len);
        if (b.at + (int64_t)b.len > end) /* a sparse map may name its pieces in any order */
            end = b.at + (int64_t)b.len;
    }
    memset(room + end, 0, (size_t)(n->size - end));
    return NULL;
}

static struct err *hand_over(const struct node *n, int *fd) {
    void *room;
    if (needs_chown(n) && fchown(*fd, n->uid, n->gid) != 0)
        return err_sys(errno, "set owner %u:%u", n->uid, n->gid);
    TRY(writer_room(n->writer, (size_t)n->size, &room));
    TRY(read_data(n, room));
    writer_hand_over(n->writer, take_fd(fd), n->times);
    return NULL;
}

struct err *node_file(const struct node *n) {
    autofd int fd = -1;
    TRY(create(n, &fd));
    bool referred = n->shared && shared_refer(n->shared, n->path, n, fd);
    if (!referred && is_for_writer(n))
        return hand_over(n, &fd);
    if (n->size > 0 && !referred)
        TRY(write_data(n, fd));
    if (needs_chown(n) && fchown(fd, n->uid, n->gid) != 0)
        return err_sys(errno, "set owner %u:%u", n->uid, n->gid);
    if (archive_entry_xattr_count(n->entry) > 0)
        TRY(xattr_apply(fd, n->entry, n->skipped_xattrs));
    if (((n->mode & LATE_BITS) || tree_inherits(n->tree)) && fchmod(fd, n->mode) != 0)
        return err_sys(errno, "set mode %o", n->mode);
    if (futimens(fd, n->times) != 0)
        return err_sys(errno, "set its time");
    return NULL;
}

/* Owner, mode, extended attributes and time of an open directory. */
static struct err *dir_attributes(const struct node *n, int fd) {
    if (n->own && fchown(fd, n->uid, n->gid) != 0)
        return err_sys(errno, "set owner %u:%u", n->uid, n->gid);
    TRY(xattr_apply(fd, n->entry, n->skipped_xattrs));
    if (fchmod(fd, n->mode) != 0)
        return err_sys(errno, "set mode %o", n->mode);
    if (futimens(fd, n->times) != 0)
        return err_sys(errno, "set its time");
    return NULL;
}

struct err *node_dir(const struct node *n) {
    if (n->name[0] == '\0') {
        TRY(dir_attributes(n, tree_fd(n->tree)));
        return tree_root_changed(n->tree);
    }
    bool existed;
    TRY(tree_mkdir(n->tree, n->name, n->mode & ~LATE_BITS, &existed));
    int parent = tree_fd(n->tree);
    if (existed || (n->mode & LATE_BITS) || needs_chown(n) || archive_entry_xattr_count(n->entry) > 0) {
        autofd int fd = -1;
        TRY(fd_open_at(parent, n->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd));
        return dir_attributes(n, fd);
    }
    if (utimensat(parent, n->name, n->times, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(errno, "set its time");
    return NULL;
}

/* Owner and time of what cannot be opened. */
static struct err *path_attributes(const struct node *n) {
    int parent = tree_fd(n->tree);
    if (needs_chown(n) && fchownat(parent, n->name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) != 0)
        return tree_lost(n->tree) ? NULL : err_sys(errno, "set owner %u:%u", n->uid, n->gid);
    if (utimensat(parent, n->name, n->times, AT_SYMLINK_NOFOLLOW) != 0)
        return tree_lost(n->tree) ? NULL : err_sys(errno, "set its time");
    return NULL;
}

struct err *node_symlink(const struct node *n, const char *target) {
    if (target[0] == '\0' || strlen(target) >= TREE_PATH_MAX)
        return err_new(ERR_CORRUPT, "a symlink whose target is %s", target[0] ? "too long" : "empty");
    tree_touch(n->tree);
    int code, tries = 0;
    while ((code = symlinkat(target, tree_fd(n->tree), n->name)) != 0 && errno == EEXIST)
        TRY(tree_make_room(n->tree, n->name, &tries));
    if (code != 0)
        return err_sys(errno, "make a symlink");
    return path_attributes(n);
}

struct err *node_fifo(const struct node *n) {
    tree_touch(n->tree);
    int code, tries = 0;
    while ((code = mknodat(tree_fd(n->tree), n->name, S_IFIFO | n->mode, 0)) != 0 && errno == EEXIST)
        TRY(tree_make_room(n->tree, n->name, &tries));
    if (code != 0)
        return err_sys(errno, "make a FIFO");
    return path_attributes(n);
}

static bool same_file(int dir_a, const char *a, int dir_b, const char *b) {
    struct stat sa, sb;
    return fstatat(dir_a, a, &sa, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(dir_b, b, &sb, AT_SYMLINK_NOFOLLOW) == 0 &&
           sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}

struct err *node_link(const struct node *n, const char *target) {
    autofd int dir = -1;
    const char *base;
    TRY_CTX(tree_lookup(n->tree, target, &dir, &base), "hard link to \"%s\"", target);
    int to = tree_fd(n->tree), from = dir < 0 ? to : dir;
    if (base[0] == '\0')
        return err_new(ERR_CORRUPT, "a hard link to the root directory");
    tree_touch(n->tree);
    int code, tries = 0;
    while ((code = linkat(from, base, to, n->name, 0)) != 0 && errno == EEXIST) {
        if (same_file(from, base, to, n->name))
            return NULL;
        TRY(tree_make_room(n->tree, n->name, &tries));
    }
    if (code == 0)
        return NULL;
    struct err *e = err_sys(errno, "hard link to \"%s\"", target);
    return errno == EPERM || errno == EXDEV ? err_with_kind(e, ERR_CORRUPT) : e;
}

/* Overlay's other form, which only the drivers know that work where the store itself lies on an overlay: one of those
 * lets nobody make the device. */
static struct err *whiteout_file(struct tree *t, const char *hidden) {
    autofd int fd = openat(tree_fd(t), hidden, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
    const struct timespec never[2] = {{.tv_sec = 0}}; /* as the device has none that matters */
    if (fd >= 0 && fsetxattr(fd, TREE_WH_XATTR, "y", 1, 0) == 0 && futimens(fd, never) == 0)
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "whiteouts cannot be made here"),
                    "Linux 5.8 or later is needed to unpack images with deleted files, and 6.7 on an overlay");
}

struct err *node_whiteout(struct tree *t, const char *hidden) {
    tree_touch(t);
    if (mknodat(tree_fd(t), hidden, S_IFCHR, 0) == 0)
        return NULL;
    if (errno == EPERM)
        return whiteout_file(t, hidden);
    if (errno != EEXIST)
        return err_sys(errno, "make a whiteout");
    autofd int fd = openat(tree_fd(t), hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? NULL : tree_set_opaque(fd);
}
