/* builds: see builds.h. */
#include "storage/builds.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/store_int.h"

struct err *store_build_put(struct store *s, const char *key, const struct json *record) {
    int dir;
    TRY(store_dir(s, STORE_BUILDS, &dir));
    return json_write_file(dir, digest_hex(key), record, 0600, 0);
}

struct err *store_build_get(struct store *s, const char *key, struct json **ret) {
    int dir;
    autojson j = NULL;
    TRY(store_dir(s, STORE_BUILDS, &dir));
    autoerr e = json_read_file(dir, digest_hex(key), &j);
    if (e && err_kind(e) != ERR_NOT_FOUND)
        log_debug("build cache: %s cannot be read", key);
    if (!e && utimensat(dir, digest_hex(key), NULL, 0) < 0)
        log_debug("build cache: %s keeps its old time", key); /* a store that is read-only */
    *ret = take_ptr(&j);
    return NULL;
}

struct err *store_builds_passing(struct store *s, int *ret_fd) {
    int dir;
    TRY(store_dir(s, STORE_BUILDS, &dir));
    return fd_open_at(dir, "passing", O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0600, ret_fd);
}

struct each {
    int dir;
    struct err *(*fn)(void *ctx, const struct store_build *b);
    void *ctx;
};

static struct err *each_entry(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct each *w = ctx;
    autojson j = NULL;
    struct stat st;
    if (!path_is_hex64(name) || fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return NULL;
    autoerr unread = json_read_file(w->dir, name, &j);
    if (unread)
        return NULL;
    autofree char *key = mem_printf("sha256:%s", name);
    const struct store_build b = {key, j, st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec};
    return w->fn(w->ctx, &b);
}

struct err *store_builds_each(const struct store *s, struct err *(*fn)(void *ctx, const struct store_build *b),
                              void *ctx) {
    struct each w = {.fn = fn, .ctx = ctx};
    struct err *e = store_dir(s, STORE_BUILDS, &w.dir);
    if (e && (err_errno(e) == EROFS || err_errno(e) == EACCES)) { /* a store that cannot be written has none yet */
        err_free(e);
        return NULL;
    }
    TRY(e);
    return io_each_entry(w.dir, each_entry, &w);
}

struct err *store_build_remove(struct store *s, const char *key) {
    int dir;
    TRY(store_dir(s, STORE_BUILDS, &dir));
    if (unlinkat(dir, digest_hex(key), 0) < 0 && errno != ENOENT)
        return err_sys(errno, "remove %s from the build cache", key);
    return NULL;
}

/* ---- cache mounts ---- */

enum { MOUNT_ID_MAX = 4096 };

/* Its lock file is held by each build that has it, was written last when the mount was made, and says its id. */
static struct err *open_mount_lock(int dir, const char *name, int *ret_fd) {
    autofree char *lock = mem_printf("%s.lock", name);
    return fd_open_at(dir, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_NOATIME, 0600, ret_fd);
}

struct mounts {
    int dir;
    struct err *(*fn)(void *ctx, const struct store_build_mount *m);
    void *ctx;
};

/* "<hex>", or "<hex>.<n>" of a private one. */
static bool is_mount(const char *name) {
    autofree char *hex = mem_dupn(name, strcspn(name, "."));
    const char *rest = name + strlen(hex);
    return path_is_hex64(hex) && (!*rest || (rest[1] && rest[1 + strspn(rest + 1, "0123456789")] == 0));
}

static struct err *each_mount(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct mounts *w = ctx;
    struct store_usage usage = {.bytes = 0};
    struct stat dir, lock;
    autostr struct str id = STR_INIT;
    autofd int fd = -1;
    bool got = false;
    if (!is_mount(name) || fstatat(w->dir, name, &dir, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(dir.st_mode))
        return NULL;
    TRY(open_mount_lock(w->dir, name, &fd));
    TRY(io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got));
    TRY(store_measure(w->dir, name, &usage));
    TRY(io_read_all(fd, MOUNT_ID_MAX, "the id of a cache mount", &id));
    if (fstat(fd, &lock) < 0)
        return err_sys(errno, "stat a lock");
    const struct store_build_mount m = {.name = name,
                                        .id = str_c(&id),
                                        .bytes = usage.bytes,
                                        .created = lock.st_mtim.tv_sec * NSEC_PER_SEC + lock.st_mtim.tv_nsec,
                                        .used = lock.st_atim.tv_sec * NSEC_PER_SEC + lock.st_atim.tv_nsec,
                                        .in_use = !got};
    return w->fn(w->ctx, &m);
}

struct err *store_build_mounts_each(const struct store *s,
                                    struct err *(*fn)(void *ctx, const struct store_build_mount *m), void *ctx) {
    struct mounts w = {.fn = fn, .ctx = ctx};
    int builds;
    TRY(store_dir(s, STORE_BUILDS, &builds));
    autofd int dir = openat(builds, "mounts", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "open the cache mounts");
    w.dir = dir;
    return io_each_entry(dir, each_mount, &w);
}

struct err *store_build_mounts_remove(struct store *s, const struct strv *names) {
    autofd int dir = -1;
    int builds;
    TRY(store_dir(s, STORE_BUILDS, &builds));
    TRY(fd_open_dir(builds, "mounts", &dir));
    for (size_t i = 0; i < names->n; i++) {
        autofd int lock = -1;
        bool got = false;
        TRY(open_mount_lock(dir, names->v[i], &lock));
        TRY(io_try_lock(lock, IO_LOCK_EXCLUSIVE, &got));
        if (got)
            TRY(store_trash(s, dir, names->v[i]));
    }
    return NULL;
}

/* ---- marks ---- */

struct marks {
    struct strv *layers, *blobs;
};

static struct err *mark_one(void *ctx, const struct store_build *b) {
    struct marks *m = ctx;
    const struct json *layer = json_get(b->record, "Layer");
    const char *chain = json_text(layer, "ChainId"), *blob = json_text(layer, "Blob");
    if (digest_ok(chain))
        strv_push(m->layers, digest_hex(chain));
    if (digest_ok(blob))
        strv_push(m->blobs, digest_hex(blob));
    return NULL;
}

struct err *store_builds_mark(const struct store *s, struct strv *layers, struct strv *blobs) {
    struct marks m = {layers, blobs};
    return store_builds_each(s, mark_one, &m);
}
