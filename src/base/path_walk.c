/*
 * path_walk: path_open_in_root() for kernels and sandboxes without openat2.
 *
 * One O_PATH | O_NOFOLLOW step per component. The directories on the way down stay open on a stack, so ".." goes back
 * to where we came from and cannot be led outside by a rename; at the bottom of the stack lies the root, and ".." there
 * stays there. A link's target is put before the rest of the path; an absolute one begins at the root again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path_int.h"

enum { WALK_LINKS_MAX = 40 }; /* as the kernel's MAXSYMLINKS */

struct walk {
    int *dirs; /* dirs[0] is the borrowed root */
    size_t n, cap;
    char *path; /* owned: what is left begins at `at` */
    char *at;
    unsigned links;
};

static void walk_push(struct walk *w, int take_dir) {
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 16;
        w->dirs = mem_resize(w->dirs, w->cap, sizeof *w->dirs);
    }
    w->dirs[w->n++] = take_dir;
}

static void walk_pop_to(struct walk *w, size_t n) {
    while (w->n > n)
        fd_close(w->dirs[--w->n]);
}

static int walk_cur(const struct walk *w) { return w->dirs[w->n - 1]; }

/* Magic links of procfs lead to objects, not to names; their text is a name only by courtesy. */
static bool is_magic(int dir, const char *target) {
    struct statfs fs;
    return fstatfs(dir, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC && (target[0] == '/' || strchr(target, ':'));
}

/* Puts the target of the link dir/name (name "": the O_PATH descriptor itself) before the rest. -1 and errno if it is
 * no link. */
static int walk_expand(struct walk *w, int dir, const char *name) {
    autofree char *target = mem_alloc(PATH_MAX);
    ssize_t n = readlinkat(dir, name, target, PATH_MAX - 1);
    if (n < 0)
        return -1;
    if (is_magic(dir, target) || w->links++ >= WALK_LINKS_MAX) {
        errno = ELOOP;
        return -1;
    }
    if (target[0] == '/')
        walk_pop_to(w, 1);
    char *path = mem_printf("%s%s", target, w->at);
    free(w->path);
    w->path = w->at = path;
    return 0;
}

/* The kernel asks for search permission before any look-up, that of "." and ".." included, which we do not look up. */
static bool may_search(int dir) {
    autofd int fd = openat(dir, ".", O_PATH | O_CLOEXEC);
    return fd >= 0;
}

/* Goes through a component that is not the last one. */
static int walk_step(struct walk *w, const char *name) {
    bool up = strcmp(name, "..") == 0;
    if (up || strcmp(name, ".") == 0) {
        if (!may_search(walk_cur(w)))
            return -1;
        if (up && w->n > 1)
            walk_pop_to(w, w->n - 1);
        return 0;
    }
    autofd int fd = openat(walk_cur(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (S_ISLNK(st.st_mode))
        return walk_expand(w, fd, "");
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }
    walk_push(w, take_fd(&fd));
    return 0;
}

static int open_retry(int dir, const char *name, int flags, mode_t mode) {
    int fd;
    do
        fd = openat(dir, name, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static bool is_link(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

/* "." and "..", and what ends with a slash after one of them. */
static int walk_last_dots(struct walk *w, const char *name, int flags, mode_t mode) {
    if (walk_step(w, name) < 0)
        return -1;
    return open_retry(walk_cur(w), ".", flags & ~O_NOFOLLOW, mode);
}

/* Opens the last component. Returns the descriptor, -1, or -2 when it was a link whose target now stands in w->at. */
static int walk_last(struct walk *w, const char *name, int flags, mode_t mode) {
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return walk_last_dots(w, name, flags, mode);
    bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    autofd int fd = open_retry(walk_cur(w), name, flags | O_NOFOLLOW, mode);
    int errnum = errno;
    bool opened_link = fd >= 0 && follow && flags & O_PATH && is_link(fd);
    if (fd >= 0 && !opened_link)
        return take_fd(&fd);
    /* A link that was not opened answers ELOOP, or ENOTDIR when a directory was asked for. */
    if (fd < 0 && (!follow || (errnum != ELOOP && errnum != ENOTDIR))) {
        errno = errnum;
        return -1;
    }
    if (walk_expand(w, walk_cur(w), name) == 0)
        return -2;
    if (errno == EINVAL) /* no link after all */
        errno = errnum;
    return -1;
}

/* Cuts the next component off w->at into `name`. Tells whether it is the last, and whether slashes follow it. */
static int walk_next(struct walk *w, char name[NAME_MAX + 1], bool *ret_last, bool *ret_slash) {
    w->at += strspn(w->at, "/");
    size_t n = strcspn(w->at, "/");
    if (n > NAME_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, n ? w->at : ".", n ? n : 1);
    name[n ? n : 1] = '\0';
    w->at += n;
    *ret_slash = *w->at == '/';
    *ret_last = w->at[strspn(w->at, "/")] == '\0';
    return 0;
}

static int walk_open(struct walk *w, int flags, mode_t mode) {
    for (;;) {
        char name[NAME_MAX + 1];
        bool last, slash;
        if (walk_next(w, name, &last, &slash) < 0)
            return -1;
        if (!last) {
            if (walk_step(w, name) < 0)
                return -1;
            continue;
        }
        int how = flags;
        if (slash) { /* "name/" is a directory, and a link there is followed whatever the flags say */
            if (flags & O_CREAT) {
                errno = EISDIR;
                return -1;
            }
            how = (flags & ~O_NOFOLLOW) | O_DIRECTORY;
        }
        int fd = walk_last(w, name, how, mode);
        if (fd != -2)
            return fd;
    }
}

int path_walk_open(int rootfd, const char *path, int flags, mode_t mode) {
    if (!*path) {
        errno = ENOENT;
        return -1;
    }
    struct walk w = {.path = mem_dup(path)};
    w.at = w.path;
    walk_push(&w, rootfd);
    int fd = walk_open(&w, flags, mode);
    int saved = errno;
    walk_pop_to(&w, 1);
    free(w.dirs);
    free(w.path);
    errno = saved;
    return fd;
}
