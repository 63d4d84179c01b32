/* tree: see tree_int.h. */
#include "storage/unpack/tree_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
enum { MAKE_ROOM_TRIES = 100 };

struct level {
    int fd;     /* -1: closed to save descriptors, its time already put back */
    size_t end; /* length of the path up to and including this component */
    bool dirty, inherits;
    struct timespec mtime; /* what to put back when dirty */
};

struct tree {
    char path[TREE_PATH_MAX];  /* the directory stood in, no leading or trailing slash */
    char entry[TREE_PATH_MAX]; /* the cleaned name of the current entry */
    char target[TREE_PATH_MAX];
    size_t depth; /* levels in use; level 0 is the root */
    bool aliased; /* a level was reached through a symlink */
    bool shared, follow, own;
    struct level level[TREE_DEPTH_MAX + 1];
};

static struct level *top(struct tree *t) { return &t->level[t->depth - 1]; }

static struct err *level_init(const struct tree *t, struct level *l, int fd, size_t end) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(errno, "stat a directory of the %s", t->shared ? "destination" : "layer");
    bool inherits = (st.st_mode & S_ISGID) || st.st_gid != 0;
    if (t->shared && !inherits)
        inherits = fgetxattr(fd, "system.posix_acl_default", NULL, 0) > 0;
    *l = (struct level){.fd = fd, .end = end, .inherits = inherits, .mtime = st.st_mtim};
    return NULL;
}

/* Puts back the time of a directory that is being left, and closes it. */
static struct err *level_leave(struct level *l) {
    autofd int fd = take_fd(&l->fd);
    if (fd < 0 || !l->dirty)
        return NULL;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, l->mtime};
    if (futimens(fd, times) != 0)
        return err_sys(errno, "set the time of a directory");
    return NULL;
}

struct tree *tree_new(int rootfd) {
    struct tree *t = mem_alloc(sizeof *t);
    t->level[0].fd = rootfd;
    t->depth = 1;
    return t;
}

void tree_set_shared(struct tree *t, bool follow, bool own) {
    t->shared = true;
    t->follow = follow;
    t->own = own;
}

void tree_free(struct tree *t) {
    if (!t)
        return;
    for (size_t i = 1; i < t->depth; i++)
        fd_close(t->level[i].fd);
    free(t);
}

int tree_fd(const struct tree *t) { return t->level[t->depth - 1].fd; }
bool tree_inherits(const struct tree *t) { return t->level[t->depth - 1].inherits; }
void tree_touch(struct tree *t) { top(t)->dirty = true; }

struct err *tree_root_changed(struct tree *t) {
    return level_init(t, &t->level[0], t->level[0].fd, 0);
}

struct err *tree_clean(const char *path, char *out, size_t *ret_len, size_t *ret_base) {
    size_t len = 0, base = 0, depth = 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            return err_new(ERR_CORRUPT, "\"..\" in the path");
        if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (n > 255)
                return err_new(ERR_CORRUPT, "a file name of %zu bytes; 255 are allowed", n);
            if (len + n + 2 > TREE_PATH_MAX)
                return err_new(ERR_CORRUPT, "a path of more than %d bytes", TREE_PATH_MAX - 1);
            if (++depth > TREE_DEPTH_MAX)
                return err_new(ERR_CORRUPT, "a path more than %d directories deep", TREE_DEPTH_MAX);
            if (len > 0)
                out[len++] = '/';
            base = len;
            memcpy(out + len, p, n);
            len += n;
        }
        p += n + (p[n] == '/');
    }
    out[len] = '\0';
    *ret_len = len;
    *ret_base = base;
    return NULL;
}

bool tree_is_whiteout(int dirfd, const char *name) {
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (S_ISCHR(st.st_mode))
        return st.st_rdev == makedev(0, 0);
    if (!S_ISREG(st.st_mode) || st.st_size)
        return false;
    autofd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fgetxattr(fd, TREE_WH_XATTR, NULL, 0) >= 0;
}

struct err *tree_set_opaque(int fd) {
    if (fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) != 0)
        return err_hint(err_sys(errno, "mark a directory opaque"),
                        "the store's file system must support extended attributes of users");
    return NULL;
}

struct err *tree_make_room(struct tree *t, const char *name, int *tries) {
    tree_touch(t);
    if (++*tries > MAKE_ROOM_TRIES)
        return err_sys(EEXIST, "replace an earlier entry");
    if (unlinkat(tree_fd(t), name, 0) == 0 || errno == ENOENT)
        return NULL;
    if (errno != EISDIR && errno != EPERM)
        return err_sys(errno, "replace an earlier entry");
    return io_remove_tree(tree_fd(t), name);
}

bool tree_lost(const struct tree *t) { return t->shared && errno == ENOENT; }

/* Replaces a whiteout by a directory that shows nothing of the layers below. */
static struct err *mkdir_over_whiteout(struct tree *t, const char *name, unsigned mode) {
    if (unlinkat(tree_fd(t), name, 0) != 0 || mkdirat(tree_fd(t), name, mode) != 0)
        return err_sys(errno, "replace a whiteout");
    autofd int fd = openat(tree_fd(t), name, OPEN_DIR);
    if (fd < 0)
        return err_sys(errno, "open a new directory");
    return tree_set_opaque(fd);
}

struct err *tree_mkdir(struct tree *t, const char *name, unsigned mode, bool *ret_existed) {
    *ret_existed = false;
    tree_touch(t);
    for (int tries = 0; mkdirat(tree_fd(t), name, mode) != 0;) {
        if (errno != EEXIST)
            return err_sys(errno, "make a directory");
        if (!t->shared && tree_is_whiteout(tree_fd(t), name))
            return mkdir_over_whiteout(t, name, mode);
        struct stat st;
        *ret_existed = fstatat(tree_fd(t), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
        if (*ret_existed)
            return NULL;
        TRY(tree_make_room(t, name, &tries));
    }
    return NULL;
}

/* The same of a shared tree. Magic links of /proc lead out of every root. */
static struct err *open_link(struct tree *t, const char *name, int *ret_fd) {
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    if (!t->follow)
        return err_new(ERR_CONFLICT, "its parent \"%s\" is not a directory", name);
    t->aliased = true;
    int fd = sys_openat2(tree_fd(t), name, &how);
    if (fd < 0)
        return err_sys(errno, "open its parent \"%s\"", name);
    *ret_fd = fd;
    return NULL;
}

/* A parent that is not a directory: follows a link inside the root, and replaces a whiteout. */
static struct err *open_odd(struct tree *t, const char *name, size_t end, int *ret_fd) {
    struct stat st;
    if (fstatat(tree_fd(t), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(errno, "stat a parent directory");
    if (t->shared)
        return open_link(t, name, ret_fd);
    if (S_ISLNK(st.st_mode)) {
        char prefix[TREE_PATH_MAX];
        memcpy(prefix, t->entry, end);
        prefix[end] = '\0';
        t->aliased = true;
        struct err *e = path_open_in_root(t->level[0].fd, prefix, O_RDONLY | O_DIRECTORY, 0, ret_fd);
        return e ? err_with_kind(err_wrap(e, "its parent \"%s\" is a symlink to nowhere", prefix), ERR_CORRUPT) : NULL;
    }
    bool existed;
    if (!tree_is_whiteout(tree_fd(t), name))
        return err_new(ERR_CORRUPT, "its parent \"%s\" is not a directory", name);
    TRY(tree_mkdir(t, name, 0755, &existed));
    return fd_open_at(tree_fd(t), name, OPEN_DIR, 0, ret_fd);
}

static struct err *make_parent(struct tree *t, const char *name) {
    tree_touch(t);
    if (mkdirat(tree_fd(t), name, 0755) != 0)
        return errno == EEXIST ? NULL : err_sys(errno, "make a parent directory");
    if (tree_inherits(t) && (!t->shared || t->own) &&
        (fchownat(tree_fd(t), name, 0, 0, AT_SYMLINK_NOFOLLOW) != 0 || fchmodat(tree_fd(t), name, 0755, 0) != 0))
        return err_sys(errno, "set the owner of a parent directory");
    return NULL;
}

/* Opens component `name` of the current directory and stands there; `end` is where it ends in t->entry. */
static struct err *push(struct tree *t, const char *name, size_t end) {
    autofd int fd = openat(tree_fd(t), name, OPEN_DIR);
    if (fd < 0 && errno == ENOENT) {
        TRY(make_parent(t, name));
        fd = openat(tree_fd(t), name, OPEN_DIR);
    }
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        TRY(open_odd(t, name, end, &fd));
    if (fd < 0)
        return err_sys(errno, "open a parent directory");
    if (t->depth > TREE_OPEN_MAX)
        TRY(level_leave(top(t)));
    TRY(level_init(t, &t->level[t->depth], fd, end));
    fd = -1;
    t->depth++;
    return NULL;
}

static struct err *pop_to(struct tree *t, size_t depth) {
    while (t->depth > depth) {
        t->depth--;
        TRY(level_leave(&t->level[t->depth]));
    }
    return NULL;
}

/* Leaves what is no parent of the entry whose parent is the first `len` bytes of t->entry. */
static struct err *pop_to_common(struct tree *t, size_t len) {
    size_t depth = 1;
    while (depth < t->depth) {
        size_t end = t->level[depth].end, start = t->level[depth - 1].end;
        if (end > len || (end < len && t->entry[end] != '/') ||
            memcmp(t->path + start, t->entry + start, end - start) != 0)
            break;
        depth++;
    }
    while (depth > 1 && t->level[depth - 1].fd < 0)
        depth--;
    return pop_to(t, depth);
}

struct err *tree_enter(struct tree *t, const char *path, const char **ret_name) {
    size_t len, base;
    TRY(tree_clean(path, t->entry, &len, &base));
    size_t parent = base > 0 ? base - 1 : 0;
    TRY(pop_to_common(t, parent));
    for (size_t at = top(t)->end; at < parent;) {
        char name[256];
        at += at > 0;
        size_t n = strcspn(t->entry + at, "/");
        memcpy(name, t->entry + at, n);
        name[n] = '\0';
        TRY(push(t, name, at + n));
        memcpy(t->path, t->entry, at + n);
        at += n;
    }
    *ret_name = t->entry + base;
    return NULL;
}

struct err *tree_lookup(struct tree *t, const char *path, int *ret_fd, const char **ret_name) {
    size_t len, base;
    TRY(tree_clean(path, t->target, &len, &base));
    size_t parent = base > 0 ? base - 1 : 0;
    *ret_name = t->target + base;
    if (parent == top(t)->end && memcmp(t->target, t->path, parent) == 0) {
        *ret_fd = -1;
        return NULL;
    }
    if (parent == 0)
        return fd_dup(t->level[0].fd, ret_fd);
    t->target[parent] = '\0';
    return path_open_in_root(t->level[0].fd, t->target, O_PATH | O_DIRECTORY, 0, ret_fd);
}

struct err *tree_settle(struct tree *t) {
    if (!t->aliased)
        return NULL;
    t->aliased = false;
    return pop_to(t, 1);
}

struct err *tree_finish(struct tree *t) {
    TRY(pop_to(t, 1));
    struct level *root = &t->level[0];
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, root->mtime};
    if (root->dirty && !t->shared && futimens(root->fd, times) != 0)
        return err_sys(errno, "set the time of the root directory");
    return NULL;
}
