/* path: names and lexical paths, and opening below a root; the walk without openat2 is in path_walk.c. */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path_int.h"
#include "base/str.h"
#include "base/sys/sys.h"

enum { EAGAIN_TRIES = 32, LINKS_MAX = 40 };

bool path_is_component(const char *name) {
    size_t n = strlen(name);
    return n > 0 && n <= NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

bool path_is_hex64(const char *s) { return strspn(s, "0123456789abcdef") == 64 && s[64] == '\0'; }

bool path_is_below(const char *path, const char *dir) {
    size_t n = strlen(dir);
    return !strcmp(dir, "/") || (!strncmp(path, dir, n) && (path[n] == '/' || !path[n]));
}

const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_of_fd(int fd, char *buf) {
    snprintf(buf, 32, "/proc/self/fd/%d", fd);
    return buf;
}

char *path_join(const char *a, const char *b) {
    size_t n = b[0] == '/' ? 0 : strlen(a), m = strlen(b);
    char *joined = mem_alloc(n + m + 2), *end = mempcpy(joined, a, n);
    if (n && m && a[n - 1] != '/') /* an empty `a` has no slash to follow it */
        *end++ = '/';
    memcpy(end, b, m + 1);
    return joined;
}

char *path_clean(const char *path) {
    bool rooted = path[0] == '/';
    autostr struct str out = STR_INIT;
    if (rooted)
        str_append_c(&out, '/');
    size_t start = out.len;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (out.len > start && out.ptr[out.len - 1] != '/')
                out.len--;
            if (out.len > start)
                out.len--; /* the slash before what went */
        } else if (n && !(n == 1 && p[0] == '.')) {
            if (out.len > start)
                str_append_c(&out, '/');
            str_append_n(&out, p, n);
        }
        p += n;
        p += strspn(p, "/");
    }
    if (out.ptr)
        out.ptr[out.len] = '\0';
    if (!out.len)
        str_append_c(&out, '.');
    return str_take(&out);
}

int path_kernel_open(int rootfd, const char *path, int flags, mode_t mode) {
    bool creates = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW; /* openat2 refuses the rest, openat ignores it */
    const struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                                 .mode = creates ? mode & 07777 : 0,
                                 .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    for (int tries = 0;; tries++) {
        int fd = sys_openat2(rootfd, path, &how);
        /* EAGAIN: something was renamed or mounted while a ".." was resolved. */
        if (fd >= 0 || (errno != EINTR && (errno != EAGAIN || tries >= EAGAIN_TRIES)))
            return fd;
    }
}

/* Either way. EPERM may be a seccomp filter's answer; when it is the file's, the walk says it again. */
static int open_below(int rootfd, const char *path, int flags, mode_t mode) {
    int fd = path_kernel_open(rootfd, path, flags, mode);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
        fd = path_walk_open(rootfd, path, flags, mode);
    return fd;
}

int path_find_in_root(int rootfd, const char *path, int flags) { return open_below(rootfd, path, flags, 0); }

struct err *path_open_in_root(int rootfd, const char *path, int flags, mode_t mode, int *ret_fd) {
    int fd = open_below(rootfd, path, flags, mode);
    if (fd < 0)
        return err_sys(errno, "open %s", path);
    *ret_fd = fd;
    return NULL;
}

struct mkdirs {
    int root;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    unsigned links;
};

/* Makes parent/name with exactly the mode and owner. */
static struct err *make_dir(const struct mkdirs *m, int parent, const char *name) {
    if (mkdirat(parent, name, 0700) < 0)
        return err_sys(errno, "make directory %s", name);
    autofd int fd = -1;
    TRY(fd_open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd));
    if ((m->uid != (uid_t)-1 || m->gid != (gid_t)-1) && fchown(fd, m->uid, m->gid) < 0)
        return err_sys(errno, "set the owner of directory %s", name);
    if (fchmod(fd, m->mode) < 0)
        return err_sys(errno, "set the mode of directory %s", name);
    return NULL;
}

/*
 * The component path[start..end) is not there as a directory: makes it, or, when it is a symlink to nowhere,
 * replaces *path by one that spells out its target, for the caller to begin again.
 */
static struct err *make_or_expand(struct mkdirs *m, char **path, size_t start, size_t end, bool *ret_again) {
    autofd int parent = -1;
    autofree char *above = start ? mem_dupn(*path, start) : mem_dup("/");
    autofree char *name = mem_dupn(*path + start, end - start);
    TRY(path_open_in_root(m->root, above, O_PATH | O_DIRECTORY, 0, &parent));
    struct err *e = make_dir(m, parent, name);
    *ret_again = false;
    if (!e || err_errno(e) != EEXIST)
        return e;
    char target[PATH_MAX];
    ssize_t n = readlinkat(parent, name, target, sizeof target - 1);
    if (n < 0) { /* EINVAL: somebody else made it meanwhile; the next open decides */
        err_free(e);
        return NULL;
    }
    err_free(e);
    target[n] = '\0';
    if (++m->links > LINKS_MAX)
        return err_sys(ELOOP, "make directory %s", *path);
    char *longer = mem_printf("%s%s%s", target[0] == '/' ? "" : above, target, *path + end);
    free(*path);
    *path = longer;
    *ret_again = true;
    return NULL;
}

struct err *path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd) {
    struct mkdirs m = {.root = rootfd, .mode = mode, .uid = uid, .gid = gid};
    autofree char *whole = mem_printf("/%s", path);
    size_t end = strspn(whole, "/");
    int fd = open_below(rootfd, whole, O_PATH | O_DIRECTORY, 0);
    while (fd < 0 && errno == ENOENT && whole[end]) {
        size_t start = end;
        end += strcspn(whole + end, "/");
        autofree char *prefix = mem_dupn(whole, end);
        autofd int there = open_below(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
        bool again = false;
        if (there < 0 && errno == ENOENT)
            TRY(make_or_expand(&m, &whole, start, end, &again));
        else if (there < 0)
            return err_sys(errno, "open directory %s", prefix);
        end = again ? 0 : end;
        end += strspn(whole + end, "/");
        if (!whole[end])
            fd = open_below(rootfd, whole, O_PATH | O_DIRECTORY, 0);
        else
            errno = ENOENT; /* goes on */
    }
    if (fd < 0)
        return err_sys(errno, "open directory %s", path);
    *ret_fd = fd;
    return NULL;
}
