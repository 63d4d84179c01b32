/*
 * tmp: work in progress and debris.
 *
 * The maker of tmp/<name> holds flock(LOCK_EX) on the directory, on a description that only it and its children have:
 * the lock ends with the last of them. Everybody else only ever takes LOCK_SH, without waiting; who gets it knows that
 * the maker is dead, and two who look at the same time do not mistake each other for the maker. Debris is renamed to
 * trash-<random> before it is deleted, so that its name is free at once.
 *
 * Between mkdir and flock a collector may take a new directory for debris. It renames it while it holds LOCK_SH, so the
 * maker's LOCK_EX comes after the rename; the maker then finds its name gone and begins again. Deleting trash takes
 * LOCK_EX without waiting, only to share the labour between collectors.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/store_int.h"

enum { TMP_TRIES = 100, TMP_RANDOM = 32, PARTIAL_DAYS = 7 };

#define TRASH_PREFIX "trash-"

static int lock_wait(int fd) {
    int rc;
    do
        rc = flock(fd, LOCK_EX);
    while (rc < 0 && errno == EINTR);
    return rc;
}

struct err *store_tmp_make(const struct store *s, const char *name, mode_t mode, int *ret_fd) {
    int tmp;
    TRY(store_dir(s, STORE_TMP, &tmp));
    for (int i = 0; i < TMP_TRIES; i++) {
        if (mkdirat(tmp, name, mode) < 0)
            return err_sys(errno, "make %s/tmp/%s", s->root, name);
        autofd int fd = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            return err_sys(errno, "open %s/tmp/%s", s->root, name);
        if (fd >= 0 && lock_wait(fd) < 0)
            return err_sys(errno, "lock %s/tmp/%s", s->root, name);
        if (fd >= 0 && store_same_file(tmp, name, fd)) {
            *ret_fd = take_fd(&fd);
            return NULL;
        }
    }
    return err_new(ERR_CONFLICT, "cannot keep a work directory in %s/tmp", s->root);
}

struct err *store_tmp_new(struct store *s, char **ret_name, int *ret_fd) {
    char id[ID_LEN + 1];
    id_random(id);
    id[TMP_RANDOM] = '\0';
    TRY(store_tmp_make(s, id, 0700, ret_fd));
    *ret_name = mem_dup(id);
    return NULL;
}

struct err *store_tmp_remove(struct store *s, const char *name) {
    int tmp;
    if (!path_is_component(name))
        return err_new(ERR_USAGE, "%s is no name of a work directory", name);
    TRY(store_dir(s, STORE_TMP, &tmp));
    TRY_CTX(io_remove_tree(tmp, name), "remove %s/tmp/%s", s->root, name);
    return NULL;
}

enum { TRASH_NAME = sizeof TRASH_PREFIX + TMP_RANDOM };

/* Gives dirfd/name a trash name; ENOENT in errno when somebody else did. */
static int make_trash(int dirfd, const char *name, int tmp, char trash[TRASH_NAME]) {
    char id[ID_LEN + 1];
    id_random(id);
    snprintf(trash, TRASH_NAME, TRASH_PREFIX "%.*s", TMP_RANDOM, id);
    return renameat(dirfd, name, tmp, trash);
}

struct err *store_trash(struct store *s, int dirfd, const char *name) {
    int tmp;
    char trash[TRASH_NAME];
    TRY(store_dir(s, STORE_TMP, &tmp));
    int failed = make_trash(dirfd, name, tmp, trash);
    if (failed < 0 && (errno == ENOSPC || errno == EDQUOT)) { /* for one more name; what is there already can go */
        err_free(store_collect(s));
        failed = make_trash(dirfd, name, tmp, trash);
    }
    if (failed < 0)
        return err_sys(errno, "move %.12s to the trash", name);
    return NULL;
}

/* Opens an entry of tmp, whatever it is, for a lock; -1 and errno. */
static int open_entry(int tmp, const char *name) {
    return openat(tmp, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* True when the maker of tmp/<name> still lives. What cannot be opened has no maker: makers make 0700 directories. */
static bool entry_alive(int tmp, const char *name) {
    autofd int fd = open_entry(tmp, name);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool store_tmp_alive(const struct store *s, const char *name) {
    int tmp;
    autoerr e = store_dir(s, STORE_TMP, &tmp);
    return !e && entry_alive(tmp, name);
}

struct tmp_scan {
    int tmp;
    struct strv trash;
    bool debris;
    struct err *first; /* one piece that resists does not keep the others */
};

static void keep_first(struct err **first, struct err *take_e) {
    if (*first)
        err_free(take_e);
    else
        *first = take_e;
}

static struct err *look_for_debris(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct tmp_scan *scan = ctx;
    if (!scan->debris)
        scan->debris = str_starts(name, TRASH_PREFIX) || !entry_alive(scan->tmp, name);
    return NULL;
}

bool store_has_debris(const struct store *s) {
    struct tmp_scan scan = {.tmp = -1};
    autoerr e = store_dir(s, STORE_TMP, &scan.tmp);
    if (e)
        return false;
    autoerr e2 = io_each_entry(scan.tmp, look_for_debris, &scan);
    return !e2 && scan.debris;
}

/* Lists the trash, and what dead makers left, which becomes trash by this. */
static struct err *list_trash(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct tmp_scan *scan = ctx;
    char trash[TRASH_NAME];
    if (str_starts(name, TRASH_PREFIX)) {
        strv_push(&scan->trash, name);
        return NULL;
    }
    autofd int fd = open_entry(scan->tmp, name); /* held until after the rename: see above */
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0)
        return NULL;
    if (make_trash(scan->tmp, name, scan->tmp, trash) == 0)
        strv_push(&scan->trash, trash);
    else if (errno != ENOENT)
        keep_first(&scan->first, err_sys(errno, "collect tmp/%s", name));
    return NULL;
}

/* Deletes one piece of trash unless another collector is at it. */
static struct err *delete_trash(int tmp, const char *name) {
    autofd int fd = open_entry(tmp, name);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        return NULL;
    if (fd < 0 && errno == ENOENT)
        return NULL;
    TRY_CTX(io_remove_tree(tmp, name), "delete debris");
    return NULL;
}

/* Drops a partial download that nobody has touched for a week and nobody holds. */
static struct err *collect_partial(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    int dir = *(const int *)ctx;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        st.st_mtime > clock_now() / NSEC_PER_SEC - (int64_t)PARTIAL_DAYS * 24 * 3600)
        return NULL;
    bool got = false;
    if (!(st.st_mode & S_IWUSR) && fchmodat(dir, name, 0600, 0) < 0) /* its writer was about to rename it */
        return NULL;
    autofd int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    TRY(io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got));
    if (got && store_same_file(dir, name, fd))
        unlinkat(dir, name, 0);
    return NULL;
}

struct err *store_collect(struct store *s) {
    struct tmp_scan scan = {.tmp = -1};
    int partial;
    if (!store_exists(s->dirs[STORE_ROOT], "version")) /* erased meanwhile: nothing of it is to be made again */
        return NULL;
    TRY(store_dir(s, STORE_TMP, &scan.tmp));
    TRY(store_dir(s, STORE_PARTIAL, &partial));
    keep_first(&scan.first, io_each_entry(scan.tmp, list_trash, &scan));
    for (size_t i = 0; i < scan.trash.n; i++)
        keep_first(&scan.first, delete_trash(scan.tmp, scan.trash.v[i]));
    strv_done(&scan.trash);
    keep_first(&scan.first, io_each_entry(partial, collect_partial, &partial));
    return scan.first;
}
