/*
 * copy: one merged directory from layers, where neither the kernel's nor FUSE's overlay can be had.
 *
 * Layers are applied bottom first, so that each is a plain walk: a whiteout removes what is there, an opaque directory
 * is emptied before it is filled, a directory merges, everything else replaces. The target is a work directory of ours
 * that nobody else knows of, and each of its directories is made (or checked with O_NOFOLLOW) by us, so no link of an
 * image can lead out of it. It mirrors the walk: one descriptor, down by a component, up by "..".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "base/walk.h"
#include "storage/store_int.h"

enum { XATTR_MAX = 65536 };

#define WH_PREFIX ".wh."

struct copy {
    bool plain;                      /* no layer: nothing is a whiteout */
    bool link;                       /* files become links to those that there are */
    const struct store_shift *shift; /* it gets other owners; or NULL */
    int data;                        /* where the data is of files that have none, -1, or STORE_DATA_REFER */
    int top;                         /* the target's root, borrowed */
    int cur;                         /* the target directory that matches the walk's */
    size_t depth;                    /* 0: before the root */
    size_t fresh;                    /* depth of a directory made by this copy: nothing was below it; 0: none */
    struct str path;                 /* of cur below top, "" or "a/b/" */
    struct walk_inodes linked;       /* hard links of this layer → path of the first below top */
};

/* ---- what layers say about each other ---- */

static bool xattr_is(int fd, const char *name, const char *values) {
    char value[8];
    ssize_t n = fgetxattr(fd, name, value, sizeof value);
    return n == 1 && strchr(values, value[0]);
}

bool store_is_whiteout(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0); }

/* Overlay marks a directory 'y' when it hides what lies below, fuse-overlayfs also by a file. */
bool store_is_opaque(int dir) {
    return xattr_is(dir, "user.overlay.opaque", "y") || xattr_is(dir, "trusted.overlay.opaque", "y") ||
           xattr_is(dir, "user.fuseoverlayfs.opaque", "y") || store_exists(dir, STORE_WH_OPAQUE);
}

bool store_hides(int fd, const struct stat *st) {
    char path[32];
    if (store_is_whiteout(st))
        return true;
    return S_ISREG(st->st_mode) && !st->st_size && getxattr(path_of_fd(fd, path), STORE_WH_XATTR, NULL, 0) >= 0;
}

/* Three forms: device 0:0, an empty file with an xattr, and ".wh.<name>". */
const char *store_whiteout_of(int at, const char *name, const struct stat *st) {
    if (store_is_whiteout(st))
        return name;
    if (!S_ISREG(st->st_mode) || st->st_size)
        return NULL;
    if (str_starts(name, WH_PREFIX) && path_is_component(name + strlen(WH_PREFIX)))
        return name + strlen(WH_PREFIX);
    autofd int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && store_hides(fd, st) ? name : NULL;
}

bool store_xattr_internal(const char *name) {
    return str_starts(name, "user.overlay.") || str_starts(name, "trusted.overlay.") ||
           str_starts(name, "user.fuseoverlayfs.");
}

/* ---- attributes ---- */

static struct err *copy_xattr(int from, int to, const char *key, const char *name) {
    autofree char *value = mem_alloc(XATTR_MAX);
    ssize_t len = fgetxattr(from, key, value, XATTR_MAX);
    if (len < 0)
        return err_sys(errno, "read the attribute %s of %s", key, name);
    if (fsetxattr(to, key, value, (size_t)len, 0) < 0 && errno != ENOTSUP && errno != EPERM)
        return err_sys(errno, "set the attribute %s of %s", key, name);
    return NULL;
}

static struct err *copy_xattrs(int from, int to, const char *name) {
    ssize_t n = flistxattr(from, NULL, 0);
    if (n <= 0) /* nearly always */
        return !n || errno == ENOTSUP ? NULL : err_sys(errno, "list the attributes of %s", name);
    autofree char *list = mem_alloc(XATTR_MAX);
    n = flistxattr(from, list, XATTR_MAX);
    if (n < 0)
        return err_sys(errno, "list the attributes of %s", name);
    for (const char *key = list; key < list + n; key += strlen(key) + 1)
        if (!store_xattr_internal(key))
            TRY(copy_xattr(from, to, key, name));
    return NULL;
}

static struct err *owner_failed(int errnum, const char *name) {
    return err_hint(err_sys(errnum, "set the owner of %s", name), "Copying layers needs the user namespace.");
}

static int set_owner(const struct copy *c, int at, const char *name, const struct stat *st) {
    const struct store_shift *s = c->shift;
    uint32_t uid = s ? s->stray_uid : st->st_uid, gid = s ? s->stray_gid : st->st_gid;
    if (s) {
        (void)idmap_above(s->map->uid, s->map->n_uid, st->st_uid, &uid);
        (void)idmap_above(s->map->gid, s->map->n_gid, st->st_gid, &gid);
    }
    return fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH));
}

/* Owner, then mode (chown clears setuid), then xattrs (chown clears capabilities), then times. */
static struct err *copy_attributes(const struct copy *c, int from, int to, const char *name, const struct stat *st) {
    if (set_owner(c, to, "", st) < 0)
        return owner_failed(errno, name);
    if (fchmod(to, st->st_mode & 07777) < 0)
        return err_sys(errno, "set the mode of %s", name);
    TRY(copy_xattrs(from, to, name));
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (futimens(to, times) < 0)
        return err_sys(errno, "set the times of %s", name);
    return NULL;
}

/* ---- files whose data is elsewhere ---- */

enum { REDIRECT_MAX = 64 };

/* Makes `to` a file of `size` bytes without data, which overlay takes from `redirect`. */
static struct err *set_reference(int to, const char *redirect, off_t size, const char *name) {
    if (ftruncate(to, size) < 0 || fsetxattr(to, "user.overlay.metacopy", "", 0, 0) < 0 ||
        fsetxattr(to, "user.overlay.redirect", redirect, strlen(redirect), 0) < 0)
        return err_sys(errno, "refer to the data of %s", name);
    return NULL;
}

/* What a file refers to; false when its data is its own. */
static bool get_reference(int from, char ret[REDIRECT_MAX + 1]) {
    ssize_t n = fgetxattr(from, "user.overlay.redirect", ret, REDIRECT_MAX);
    ret[n > 0 ? n : 0] = '\0';
    return n > 0 && fgetxattr(from, "user.overlay.metacopy", NULL, 0) >= 0;
}

/*
 * An inode without data that says where overlay finds it. Not where the data cannot be linked to (too many links): a
 * copy is right, too.
 */
static struct err *refer(const struct copy *c, int at, const char *name, const struct stat *st, int to,
                         bool *ret_done) {
    char ino[32], redirect[REDIRECT_MAX];
    (void)snprintf(ino, sizeof ino, "%llx", (unsigned long long)st->st_ino);
    (void)snprintf(redirect, sizeof redirect, "/%zu/%s", c->shift->depth, ino);
    if (linkat(at, name, c->shift->data, ino, 0) < 0)
        return errno == EMLINK || errno == EPERM ? NULL : err_sys(errno, "link to %s", name);
    TRY(set_reference(to, redirect, st->st_size, name));
    *ret_done = true;
    return NULL;
}

/* The same reference for the copy. */
static struct err *refer_too(int from, int to, const char *name, const struct stat *st, bool *ret_done) {
    char redirect[REDIRECT_MAX + 1];
    *ret_done = get_reference(from, redirect);
    return *ret_done ? set_reference(to, redirect, st->st_size, name) : NULL;
}

/* The file that another one refers to (storage/shared.h), in its place; the attributes stay those of the one. */
static struct err *open_referred(const struct copy *c, int from, const char *name, int *ret_fd) {
    char redirect[REDIRECT_MAX + 1];
    if (!get_reference(from, redirect) || redirect[0] != '/' || !redirect[1])
        return NULL;
    TRY_CTX(fd_open_at(c->data, redirect + 1, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, ret_fd), "the shared data of %s",
            name);
    return NULL;
}

/* ---- entries ---- */

static struct err *copy_regular(const struct copy *c, int at, const char *name, const struct stat *st) {
    autofd int from = -1, to = -1, shared = -1;
    if (c->link && linkat(at, name, c->cur, name, 0) == 0) /* one with too many links already is copied */
        return NULL;
    TRY(fd_open_at(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &from));
    TRY(fd_open_at(c->cur, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &to));
    if (st->st_size && c->data >= 0)
        TRY(open_referred(c, from, name, &shared));
    int source = shared >= 0 ? shared : from;
    bool done = !st->st_size;
    if (!done && c->data == STORE_DATA_REFER)
        TRY(refer_too(from, to, name, st, &done));
    if (!done && c->shift && c->shift->data >= 0)
        TRY(refer(c, at, name, st, to, &done));
    if (!done && sys_reflink(to, source) < 0)
        TRY_CTX(io_copy(source, to, UINT64_MAX, NULL), "copy %s", name);
    return copy_attributes(c, from, to, name, st);
}

static struct err *copy_symlink(const struct copy *c, int at, const char *name) {
    char target[4096];
    ssize_t n = readlinkat(at, name, target, sizeof target - 1);
    if (n < 0)
        return err_sys(errno, "read the link %s", name);
    target[n] = '\0';
    if (symlinkat(target, c->cur, name) < 0)
        return err_sys(errno, "make the link %s", name);
    return NULL;
}

/* Links, FIFOs and sockets; devices cannot be made and are left out, as when the layer was unpacked. */
static struct err *copy_special(const struct copy *c, int at, const char *name, const struct stat *st) {
    if (S_ISLNK(st->st_mode)) {
        TRY(copy_symlink(c, at, name));
    } else if (mknodat(c->cur, name, st->st_mode & (S_IFMT | 0777), st->st_rdev) < 0) {
        if (errno != EPERM)
            return err_sys(errno, "make %s", name);
        log_debug("leaving out the device %s", name);
        return NULL;
    }
    if (set_owner(c, c->cur, name, st) < 0)
        return owner_failed(errno, name);
    if (!S_ISLNK(st->st_mode) && fchmodat(c->cur, name, st->st_mode & 07777, 0) < 0)
        return err_sys(errno, "set the mode of %s", name);
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (utimensat(c->cur, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "set the times of %s", name);
    return NULL;
}

/* True when the file is a further link to one that this layer brought, and could be linked. */
static bool link_again(struct copy *c, const char *name, const struct stat *st) {
    if (st->st_nlink < 2)
        return false;
    size_t len = c->path.len;
    str_append(&c->path, name);
    const char *first = walk_inodes_put(&c->linked, st, str_c(&c->path));
    c->path.len = len;
    c->path.ptr[len] = '\0';
    return first && linkat(c->top, first, c->cur, name, 0) == 0;
}

static struct err *copy_file(void *ctx, int at, const char *name, const struct stat *st) {
    struct copy *c = ctx;
    const char *hidden = c->plain ? NULL : store_whiteout_of(at, name, st);
    if (!c->plain && !strcmp(name, STORE_WH_OPAQUE))
        return NULL;
    if (!c->fresh)
        TRY_CTX(io_remove_tree(c->cur, hidden ? hidden : name), "replace %s", name);
    if (hidden || link_again(c, name, st))
        return NULL;
    return S_ISREG(st->st_mode) ? copy_regular(c, at, name, st) : copy_special(c, at, name, st);
}

static struct err *empty_entry(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    return io_remove_tree(*(const int *)ctx, name);
}

/* Opens (makes) the directory of that name in c->cur; what is there and no directory goes. */
static struct err *target_dir(const struct copy *c, const char *name, int *ret_fd, bool *ret_made) {
    *ret_made = mkdirat(c->cur, name, 0700) == 0;
    if (!*ret_made) {
        struct stat st;
        if (errno != EEXIST || fstatat(c->cur, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_sys(errno, "make the directory %s", name);
        if (!S_ISDIR(st.st_mode)) {
            TRY(io_remove_tree(c->cur, name));
            if (mkdirat(c->cur, name, 0700) < 0)
                return err_sys(errno, "make the directory %s", name);
        }
    }
    return fd_open_at(c->cur, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, ret_fd);
}

static struct err *enter_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    (void)st;
    struct copy *c = ctx;
    autofd int fd = -1;
    bool made = false;
    if (c->depth) {
        TRY(target_dir(c, name, &fd, &made));
        str_append(&c->path, name);
        str_append_c(&c->path, '/');
    } else {
        TRY(fd_dup(c->top, &fd));
    }
    c->depth++;
    if (made && !c->fresh)
        c->fresh = c->depth;
    fd_replace(&c->cur, take_fd(&fd));
    if (!c->plain && store_is_opaque(dir))
        TRY_CTX(io_each_entry(c->cur, empty_entry, &c->cur), "empty %s", name);
    return NULL;
}

/* Last, so that the times are not touched again and a read-only directory can be filled. */
static struct err *leave_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct copy *c = ctx;
    TRY(copy_attributes(c, dir, c->cur, name, st));
    if (c->depth == c->fresh)
        c->fresh = 0;
    if (--c->depth) {
        autofd int up = -1;
        TRY(fd_open_dir(c->cur, "..", &up));
        fd_replace(&c->cur, take_fd(&up));
        c->path.len -= strlen(name) + 1;
        c->path.ptr[c->path.len] = '\0';
    }
    return NULL;
}

static struct err *copy_all(struct copy c, int from) {
    c.cur = -1;
    const struct walk_ops ops = {.file = copy_file, .enter = enter_dir, .leave = leave_dir, .ctx = &c};
    struct err *e = walk_tree(from, ".", &ops);
    fd_close(c.cur);
    str_done(&c.path);
    walk_inodes_done(&c.linked);
    return e;
}

struct err *store_copy_layer(int from, int data, int to) {
    return copy_all((struct copy){.data = data, .top = to}, from);
}
struct err *store_copy_tree(int from, int to) {
    return copy_all((struct copy){.plain = true, .data = -1, .top = to}, from);
}
struct err *store_copy_linked(int from, int to) {
    return copy_all((struct copy){.plain = true, .link = true, .data = -1, .top = to}, from);
}
struct err *store_copy_shifted(int from, int data, int to, const struct store_shift *shift) {
    return copy_all((struct copy){.shift = shift, .data = data, .top = to}, from);
}
