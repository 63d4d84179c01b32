/* store: opening, version, directories, and the lock against the sweep. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/store_int.h"

static const char *const dir_names[STORE_DIR_COUNT] = {
    [STORE_ROOT] = "",           [STORE_BLOBS] = "blobs/sha256",    [STORE_PARTIAL] = "blobs/partial",
    [STORE_LAYERS] = "layers",   [STORE_IMAGES] = "images",         [STORE_REFS] = "refs",
    [STORE_NAMES] = "names",     [STORE_CONTAINERS] = "containers", [STORE_TMP] = "tmp",
    [STORE_VOLUMES] = "volumes", [STORE_NETWORKS] = "networks",     [STORE_SECRETS] = "secrets",
    [STORE_IDMAPS] = "idmaps",   [STORE_BUILDS] = "builds",         [STORE_MANIFESTS] = "manifests",
};

const char *store_dir_name(enum store_dir which) { return dir_names[which]; }

bool store_exists(int dirfd, const char *name) { return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

bool store_same_file(int dirfd, const char *name, int fd) { return fd_is_at(fd, dirfd, name, AT_SYMLINK_NOFOLLOW); }

struct err *store_dir(const struct store *s, enum store_dir which, int *ret_fd) {
    int *slot = &s->dirs[which];
    if (*slot < 0) {
        int fd = openat(s->dirs[STORE_ROOT], dir_names[which], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && !s->foreign) { /* made by an older version that knew less of them, or lost */
            TRY_CTX(io_mkdirs(s->dirs[STORE_ROOT], dir_names[which], 0700), "open the store %s", s->root);
            fd = openat(s->dirs[STORE_ROOT], dir_names[which], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (fd < 0)
            return err_sys(errno, "open %s/%s", s->root, dir_names[which]);
        *slot = fd;
    }
    *ret_fd = *slot;
    return NULL;
}

int store_dirfd(const struct store *s, const char *which) {
    for (int i = 0; i < STORE_DIR_COUNT; i++) {
        int fd = -1;
        if (strcmp(which, dir_names[i]) != 0)
            continue;
        autoerr e = store_dir(s, (enum store_dir)i, &fd);
        if (!e)
            return fd;
        break;
    }
    return -1;
}

const char *store_root(const struct store *s) { return s->root; }

const char *store_containers_root(const struct store *s) { return s->apart ? s->apart : s->root; }

int store_apart_hold(const struct store *s) { return s->apart_fd; }

struct err *store_containers_apart(struct store *s, char **ret_tmp, int *ret_hold) {
    static const enum store_dir own[] = {STORE_CONTAINERS, STORE_NAMES};
    autofree char *name = NULL;
    autofd int dir = -1;
    TRY(store_tmp_new(s, &name, &dir));
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        int fd = -1;
        TRY(io_mkdirs(dir, dir_names[own[i]], 0700));
        TRY(fd_open_dir(dir, dir_names[own[i]], &fd));
        fd_replace(&s->dirs[own[i]], fd);
    }
    free(s->apart);
    s->apart = mem_printf("%s/tmp/%s", s->root, name);
    s->apart_fd = dir;
    *ret_tmp = take_ptr(&name);
    *ret_hold = take_fd(&dir);
    return NULL;
}

const struct host *store_host(const struct store *s) { return s->host; }

/*
 * Only an empty directory becomes a store, so that `--root ~` does not turn a home directory into one. blobs/ is made
 * first: where it is, another process is making the store right now, or was killed while it did.
 */
static struct err *not_empty(void *ctx, const char *name, unsigned char d_type) {
    (void)name;
    (void)d_type;
    *(bool *)ctx = true;
    return NULL;
}

static struct err *check_fresh(int rootfd, const char *root) {
    bool used = false;
    TRY_CTX(io_each_entry(rootfd, not_empty, &used), "read %s", root);
    if (used && !store_exists(rootfd, "blobs"))
        return err_hint(err_new(ERR_CONFLICT, "%s is neither empty nor a coracle store", root),
                        "Name an empty or a new directory with --root.");
    return NULL;
}

static struct err *make_store(const struct store *s) {
    int rootfd = s->dirs[STORE_ROOT];
    TRY(check_fresh(rootfd, s->root));
    for (int i = STORE_ROOT + 1; i < STORE_DIR_COUNT; i++)
        TRY_CTX(io_mkdirs(rootfd, dir_names[i], 0700), "make the store %s", s->root);
    autofree char *version = mem_printf("%d\n", STORE_VERSION);
    TRY_CTX(io_write_file(rootfd, "version", version, strlen(version), 0600, IO_DURABLE), "make the store %s", s->root);
    return NULL;
}

/* Reads `version`; *ret is 0 when there is none yet. */
static struct err *read_version(const struct store *s, int64_t *ret) {
    int fd = openat(s->dirs[STORE_ROOT], "version", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *ret = 0;
        return NULL;
    }
    if (fd < 0)
        return err_sys(errno, "open %s/version", s->root);
    char text[32];
    ssize_t n = read(fd, text, sizeof text - 1);
    fd_close(fd);
    if (n < 0)
        return err_sys(errno, "read %s/version", s->root);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!str_to_i64(text, 1, INT32_MAX, ret))
        return err_new(ERR_CORRUPT, "%s/version does not hold a version number", s->root);
    return NULL;
}

struct err *store_version_check(const struct store *s) {
    int64_t version = 0;
    TRY(read_version(s, &version));
    if (!version && !s->foreign) {
        TRY(make_store(s));
        TRY(read_version(s, &version));
    }
    if (version > STORE_VERSION)
        return err_hint(err_new(ERR_UNSUPPORTED, "the store %s has version %lld; this coracle knows version %d",
                                s->root, (long long)version, STORE_VERSION),
                        "Use the newer coracle that made it, or another directory with --root.");
    return NULL;
}

/*
 * Other users must not get at what lies in the layers: setuid files there run as the owner of the store
 * (CVE-2021-41091). So the root is ours (as the current user namespace shows it) and 0700. The mode is changed only
 * after the version has shown that this is a store: any other directory is refused untouched.
 */
static struct err *check_root(const struct store *s) {
    struct stat st;
    if (fstat(s->dirs[STORE_ROOT], &st) < 0)
        return err_sys(errno, "stat %s", s->root);
    if (st.st_uid != geteuid())
        return err_hint(err_new(ERR_DENIED, "the store %s belongs to user %u", s->root, (unsigned)st.st_uid),
                        "Run coracle as that user, or use another directory with --root.");
    TRY(store_version_check(s));
    if ((st.st_mode & 077) && fchmod(s->dirs[STORE_ROOT], 0700) < 0 && errno != EROFS)
        return err_sys(errno, "close %s to other users", s->root);
    return NULL;
}

static struct err *open_root(const char *root, int *ret_fd) {
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        struct err *e = io_mkdirs(AT_FDCWD, root, 0700);
        if (e)
            return err_hint(err_wrap(e, "make the store %s", root), "name another place with --root or CORACLE_ROOT");
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return err_sys(errno, "open the store %s", root);
    *ret_fd = fd;
    return NULL;
}

struct store *store_new(const struct host *host, const char *root) {
    struct store *s = mem_alloc(sizeof *s);
    s->host = host;
    s->root = mem_dup(root);
    s->apart_fd = -1;
    s->dirs = mem_array(STORE_DIR_COUNT, sizeof *s->dirs);
    for (int i = 0; i < STORE_DIR_COUNT; i++)
        s->dirs[i] = -1;
    return s;
}

struct err *store_open(const struct host *host, struct store **ret) {
    struct store *s = store_new(host, host->data_root);
    struct err *e = open_root(s->root, &s->dirs[STORE_ROOT]);
    if (!e)
        e = check_root(s);
    if (e) {
        store_free(s);
        return e;
    }
    *ret = s;
    return NULL;
}

void store_free(struct store *s) {
    if (!s)
        return;
    for (int i = 0; i < STORE_DIR_COUNT; i++)
        fd_close(s->dirs[i]);
    free(s->dirs);
    for (size_t i = 0; i < s->n_shared; i++)
        store_free(s->shared[i]);
    free(s->shared);
    free(s->apart);
    free(s->root);
    free(s);
}

struct err *store_hold(struct store *s, int *ret_fd) {
    autofd int fd = -1;
    struct err *e = fd_open_at(s->dirs[STORE_ROOT], "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd);
    if (e && err_errno(e) == EROFS) { /* reading, too, wants what it reads to stay */
        err_free(e);
        e = fd_open_at(s->dirs[STORE_ROOT], "lock", O_RDONLY | O_NOFOLLOW, 0, &fd);
    }
    if (e)
        return err_wrap(e, "lock the store %s", s->root);
    TRY_CTX(io_lock(fd, IO_LOCK_SHARED), "lock the store %s", s->root);
    *ret_fd = take_fd(&fd);
    return NULL;
}
