/*
 * blob: bytes as pulled, by digest; and the partial files that they arrive in.
 *
 * A partial belongs to whoever holds the OFD lock on the file that has its name. Because commit and drop take the name
 * away, whoever gets the lock looks again whether name and file still belong together, and begins anew if not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "storage/store_int.h"

enum { BLOB_MODE = 0444 };

static struct err *check_digest(const char *digest) {
    if (!digest_ok(digest))
        return err_new(ERR_USAGE, "%s is not a sha256 digest", digest);
    return NULL;
}

bool store_blob_has(const struct store *s, const char *digest) {
    int blobs;
    if (!digest_ok(digest))
        return false;
    autoerr e = store_dir(s, STORE_BLOBS, &blobs);
    bool has = !e && store_exists(blobs, digest_hex(digest));
    for (size_t i = 0; !has && i < s->n_shared; i++)
        has = store_blob_has(s->shared[i], digest);
    return has;
}

static struct err *own_blob_open(const struct store *s, const char *digest, int *ret_fd, int64_t *ret_size) {
    int blobs;
    TRY(check_digest(digest));
    TRY(store_dir(s, STORE_BLOBS, &blobs));
    autofd int fd = openat(blobs, digest_hex(digest), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? err_new(ERR_NOT_FOUND, "no such blob: %s", digest)
                               : err_sys(errno, "open blob %s", digest);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat blob %s", digest);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_CORRUPT, "blob %s is not a regular file", digest);
    if (ret_size)
        *ret_size = st.st_size;
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *store_blob_open(const struct store *s, const char *digest, int *ret_fd, int64_t *ret_size) {
    struct err *e = own_blob_open(s, digest, ret_fd, ret_size);
    for (size_t i = 0; e && err_kind(e) == ERR_NOT_FOUND && i < s->n_shared; i++) {
        err_free(e);
        e = own_blob_open(s->shared[i], digest, ret_fd, ret_size);
    }
    return e;
}

struct err *store_blob_read(const struct store *s, const char *digest, size_t max, struct str *out) {
    autofd int fd = -1;
    TRY(store_blob_open(s, digest, &fd, NULL));
    return io_read_all(fd, max, digest, out);
}

struct err *store_blob_put(struct store *s, const char *digest, const void *data, size_t n) {
    char got[DIGEST_LEN + 1];
    int blobs;
    TRY(check_digest(digest));
    TRY(digest_of(data, n, got));
    if (!str_eq(got, digest))
        return err_new(ERR_CORRUPT, "content of %s has the digest %s", digest, got);
    TRY(store_dir(s, STORE_BLOBS, &blobs));
    if (store_exists(blobs, digest_hex(digest)))
        return NULL;
    TRY_CTX(io_write_file(blobs, digest_hex(digest), data, n, BLOB_MODE, IO_DURABLE), "store blob %s", digest);
    return NULL;
}

/* One that was complete but for its rename, when its writer was killed or failed, can be read alone. */
static struct err *open_partial(int partial, const char *name, int *ret_fd) {
    struct err *e = fd_open_at(partial, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, ret_fd);
    if (!e || err_errno(e) != EACCES || fchmodat(partial, name, 0600, 0) < 0)
        return e;
    err_free(e);
    return fd_open_at(partial, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, ret_fd);
}

struct err *store_partial_open(struct store *s, const char *digest, int *ret_fd, int64_t *ret_have) {
    int partial;
    TRY(check_digest(digest));
    TRY(store_dir(s, STORE_PARTIAL, &partial));
    const char *name = digest_hex(digest);
    for (;;) {
        autofd int fd = -1;
        TRY_CTX(open_partial(partial, name, &fd), "store blob %s", digest);
        TRY_CTX(io_lock(fd, IO_LOCK_EXCLUSIVE), "wait for blob %s", digest);
        bool mine = store_same_file(partial, name, fd);
        if (store_blob_has(s, digest)) {
            if (mine)
                unlinkat(partial, name, 0);
            *ret_fd = -1;
            *ret_have = 0;
            return NULL;
        }
        if (!mine)
            continue;
        off_t have = lseek(fd, 0, SEEK_END);
        if (have < 0)
            return err_sys(errno, "seek in the partial blob %s", digest);
        *ret_have = have;
        *ret_fd = take_fd(&fd);
        return NULL;
    }
}

struct err *store_blob_seal(int dirfd, const char *name) {
    return fchmodat(dirfd, name, BLOB_MODE, 0) < 0 ? err_sys(errno, "set the mode of a blob") : NULL;
}

struct err *store_blob_show(const struct store *s, const char *digest, int dirfd, const char *name) {
    int blobs;
    TRY(check_digest(digest));
    TRY(store_dir(s, STORE_BLOBS, &blobs));
    if (store_blob_has(s, digest))
        return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? err_sys(errno, "remove %s", name) : NULL;
    return renameat(dirfd, name, blobs, digest_hex(digest)) < 0 ? err_sys(errno, "store blob %s", digest) : NULL;
}

/* Mode, fsync, rename, fsync of the directory. */
static struct err *publish(const struct store *s, const char *digest, int fd, int dirfd, const char *name) {
    int blobs;
    TRY(store_dir(s, STORE_BLOBS, &blobs));
    if (fchmod(fd, BLOB_MODE) < 0)
        return err_sys(errno, "set the mode of blob %s", digest);
    TRY_CTX(io_sync(fd), "store blob %s", digest);
    TRY(store_blob_show(s, digest, dirfd, name));
    TRY_CTX(io_sync(blobs), "store blob %s", digest);
    return NULL;
}

struct err *store_partial_commit(struct store *s, const char *digest, int fd) {
    int partial;
    TRY(check_digest(digest));
    TRY(store_dir(s, STORE_PARTIAL, &partial));
    if (!store_same_file(partial, digest_hex(digest), fd))
        return err_new(ERR_CONFLICT, "the partial blob %s was taken away", digest);
    return publish(s, digest, fd, partial, digest_hex(digest));
}

struct err *store_partial_drop(struct store *s, const char *digest) {
    int partial;
    TRY(check_digest(digest));
    TRY(store_dir(s, STORE_PARTIAL, &partial));
    if (unlinkat(partial, digest_hex(digest), 0) < 0 && errno != ENOENT)
        return err_sys(errno, "drop the partial blob %s", digest);
    return NULL;
}

struct err *store_blob_adopt(struct store *s, const char *digest, int dirfd, const char *name) {
    TRY(check_digest(digest));
    if (store_blob_has(s, digest)) {
        if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
            return err_sys(errno, "remove %s", name);
        return NULL;
    }
    autofd int fd = -1;
    TRY_CTX(fd_open_at(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd), "store blob %s", digest);
    return publish(s, digest, fd, dirfd, name);
}
