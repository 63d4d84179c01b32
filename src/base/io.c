/* io: whole reads, writes and files; trees are in io_tree.c, locks in io_lock.c. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys/sys.h"

enum { IO_CHUNK = 65536 };

static void io_wait(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    poll(&p, 1, -1);
}

struct err *io_write_all(int fd, const void *data, size_t n) {
    const char *p = data;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w >= 0) {
            p += w;
            n -= (size_t)w;
        } else if (errno == EAGAIN) {
            io_wait(fd, POLLOUT);
        } else if (errno != EINTR) {
            return err_sys(errno, "write");
        }
    }
    return NULL;
}

/* One read into `out` of at most `want` bytes; *ret is 0 at EOF. */
static struct err *read_some(int fd, size_t want, const char *what, struct str *out, size_t *ret) {
    char *at = str_reserve(out, want);
    if (!at)
        return err_new(ERR_CORRUPT, "%s is too large", what);
    for (;;) {
        ssize_t n = read(fd, at, want);
        if (n >= 0) {
            at[n] = '\0';
            out->len += (size_t)n;
            *ret = (size_t)n;
            return NULL;
        }
        if (errno == EAGAIN)
            io_wait(fd, POLLIN);
        else if (errno != EINTR)
            return err_sys(errno, "read %s", what);
    }
}

/* How the end shows: always by a read of nothing; by the size that was expected; by a read of less than asked for. */
enum end { END_EMPTY, END_EXACT, END_SHORT };

/* Reads to EOF. `hint` is the size to expect: one byte more is asked for, so that for a regular file one read does. */
static struct err *read_all(int fd, size_t max, size_t hint, enum end end, const char *what, struct str *out) {
    if (max > SSIZE_MAX - 1)
        max = SSIZE_MAX - 1; /* so that max + 1 is a size that read(2) takes */
    size_t total = 0, n = 0, want = hint < max ? hint + 1 : max + 1;
    do {
        TRY(read_some(fd, want, what, out, &n));
        total += n;
        if (total > max) {
            out->len -= total;
            out->ptr[out->len] = '\0';
            return err_new(ERR_CORRUPT, "%s is larger than %zu bytes", what, max);
        }
        if ((end == END_EXACT && total == hint) || (end == END_SHORT && n < want))
            return NULL;
        want = n < want ? want - n : IO_CHUNK;
        if (want > max - total + 1)
            want = max - total + 1;
    } while (n);
    return NULL;
}

struct err *io_read_all(int fd, size_t max, const char *what, struct str *out) {
    return read_all(fd, max, 4095, END_EMPTY, what, out);
}

struct err *io_read_file(int dirfd, const char *name, size_t max, struct str *out) {
    autofd int fd = -1;
    TRY(fd_open_at(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &fd));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", name);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_CORRUPT, "%s is not a regular file", name);
    size_t hint = st.st_size > 0 ? (size_t)st.st_size : 4095; /* files of /proc say 0 */
    return read_all(fd, max, hint, st.st_size > 0 ? END_EXACT : END_EMPTY, name, out);
}

struct err *io_read_record(int dirfd, const char *name, size_t max, struct str *out, bool *ret_there) {
    autofd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool there = fd >= 0 || errno != ENOENT;
    if (ret_there)
        *ret_there = there;
    if (fd < 0)
        return ret_there && !there ? NULL : err_sys(errno, "open %s", name);
    return read_all(fd, max, 4095, END_SHORT, name, out);
}

/* ".tmp-<random>" in the directory of `name`; owned. */
static char *temp_name(const char *name) {
    const char *slash = strrchr(name, '/');
    return mem_printf("%.*s.tmp-%016llx", slash ? (int)(slash + 1 - name) : 0, name,
                      (unsigned long long)id_random_u64());
}

static struct err *sync_dir_of(int dirfd, const char *name) {
    const char *slash = strrchr(name, '/');
    autofree char *dir = slash ? mem_dupn(name, (size_t)(slash + 1 - name)) : mem_dup(".");
    autofd int fd = -1;
    TRY(fd_open_dir(dirfd, dir, &fd));
    return io_sync(fd);
}

/* Makes dirfd/temp with the content and exactly the mode. */
static struct err *fill_temp(int dirfd, const char *temp, const struct str *content, mode_t mode, int flags) {
    autofd int fd = -1;
    TRY(fd_open_at(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode, &fd));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", temp);
    if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
        return err_sys(errno, "set the mode of %s", temp);
    TRY(io_write_all(fd, content->ptr, content->len));
    return flags & IO_DURABLE ? io_sync(fd) : NULL;
}

/* renameat2(RENAME_NOREPLACE), by link and unlink where the file system cannot. */
static int rename_exclusive(int dirfd, const char *temp, const char *name) {
    if (sys_renameat2(dirfd, temp, dirfd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (linkat(dirfd, temp, dirfd, name, 0) < 0)
        return -1;
    unlinkat(dirfd, temp, 0);
    return 0;
}

static struct err *put_file(int dirfd, const char *name, const struct str *content, mode_t mode, int flags,
                            bool exclusive) {
    autofree char *temp = temp_name(name);
    struct err *e = fill_temp(dirfd, temp, content, mode, flags);
    if (!e && (exclusive ? rename_exclusive(dirfd, temp, name) : renameat(dirfd, temp, dirfd, name)) < 0)
        e = err_sys(errno, "%s %s", exclusive ? "create" : "replace", name);
    else if (e)
        e = err_wrap(e, "write %s", name);
    if (e) {
        unlinkat(dirfd, temp, 0);
        return e;
    }
    return flags & IO_DURABLE ? sync_dir_of(dirfd, name) : NULL;
}

struct err *io_write_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode, int flags) {
    const struct str content = {.ptr = (char *)(uintptr_t)data, .len = n}; /* only read from */
    return put_file(dirfd, name, &content, mode, flags, false);
}

struct err *io_create_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode, int flags) {
    const struct str content = {.ptr = (char *)(uintptr_t)data, .len = n}; /* only read from */
    return put_file(dirfd, name, &content, mode, flags, true);
}

/* Reads from the file's beginning, and leaves its offset there. */
static bool holds(int fd, const char *data, size_t n) {
    autofree char *buf = mem_alloc(n + 1);
    size_t got = 0;
    ssize_t k = 1;
    for (; got <= n && k > 0; got += k > 0 ? (size_t)k : 0)
        k = pread(fd, buf + got, n + 1 - got, (off_t)got);
    return k == 0 && got == n && memcmp(buf, data, n) == 0;
}

struct err *io_rewrite_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode) {
    autofd int fd = -1;
    struct stat st;
    TRY(fd_open_at(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW, mode, &fd));
    if (fstat(fd, &st) < 0 || ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0))
        return err_sys(errno, "change the mode of %s", name);
    if (holds(fd, data, n))
        return NULL;
    TRY_CTX(io_write_all(fd, data, n), "write %s", name);
    return ftruncate(fd, (off_t)n) < 0 ? err_sys(errno, "cut %s", name) : NULL;
}

struct err *io_sync(int fd) {
    while (fsync(fd) < 0) {
        if (errno == EINVAL || errno == EROFS)
            return NULL; /* nothing there that could be lost */
        if (errno != EINTR)
            return err_sys(errno, "fsync");
    }
    return NULL;
}

/* One step by read and write. *ret is 0 at EOF. */
static struct err *copy_plain(int from, int to, size_t want, char *buf, size_t *ret) {
    for (;;) {
        ssize_t n = read(from, buf, want < IO_CHUNK ? want : IO_CHUNK);
        if (n >= 0) {
            *ret = (size_t)n;
            return io_write_all(to, buf, (size_t)n);
        }
        if (errno == EAGAIN)
            io_wait(from, POLLIN);
        else if (errno != EINTR)
            return err_sys(errno, "read");
    }
}

enum copy_way { COPY_RANGE, COPY_SPLICE, COPY_PLAIN };

/* One step in the kernel; -1 when this way does not work for these descriptors. */
static ssize_t copy_kernel(enum copy_way way, int from, int to, size_t want) {
    if (way == COPY_RANGE)
        return copy_file_range(from, NULL, to, NULL, want, 0);
    return splice(from, NULL, to, NULL, want, 0);
}

struct err *io_copy(int from, int to, uint64_t n, uint64_t *ret_n) {
    autofree char *buf = NULL;
    enum copy_way way = COPY_RANGE;
    uint64_t done = 0;
    while (done < n) {
        size_t want = n - done < (1U << 30) ? (size_t)(n - done) : 1U << 30;
        size_t moved = 0;
        ssize_t k = way == COPY_PLAIN ? -1 : copy_kernel(way, from, to, want);
        if (k > 0) {
            moved = (size_t)k;
        } else if (way != COPY_PLAIN) {
            /* Refused, or 0 as files of /proc and FUSE may answer before their end: the next way decides. */
            way = way == COPY_RANGE ? COPY_SPLICE : COPY_PLAIN;
            continue;
        } else {
            if (!buf)
                buf = mem_alloc(IO_CHUNK);
            TRY(copy_plain(from, to, want, buf, &moved));
            if (!moved)
                break;
        }
        done += moved;
    }
    if (ret_n)
        *ret_n = done;
    return NULL;
}

static struct err *mkdir_one(int dirfd, const char *path, mode_t mode) {
    if (mkdirat(dirfd, path, mode) == 0)
        return NULL;
    int errnum = errno;
    struct stat st; /* EROFS and EACCES may come before EEXIST */
    if (fstatat(dirfd, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
        return NULL;
    return err_sys(errnum == EEXIST ? ENOTDIR : errnum, "make directory %s", path);
}

struct err *io_mkdirs(int dirfd, const char *path, mode_t mode) {
    if (mkdirat(dirfd, path, mode) == 0)
        return NULL;
    if (errno != ENOENT)
        return mkdir_one(dirfd, path, mode);
    autofree char *part = mem_dup(path);
    for (char *p = part + strspn(part, "/"); (p = strchr(p, '/')); p++) {
        *p = '\0';
        TRY(mkdir_one(dirfd, part, mode));
        *p = '/';
    }
    return mkdir_one(dirfd, part, mode);
}
