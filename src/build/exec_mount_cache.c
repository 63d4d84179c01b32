/*
 * exec_mount_cache: RUN --mount=type=cache. A cache is a directory of the store, held by a lock as its sharing says.
 * One that is new begins empty, with what its `from` has, or with what another machine had (caches_int.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "build/exec_run_int.h"
#include "build/pack_int.h"

struct cache_dir {
    struct run *r;
    const struct mount *m;
    int dir;    /* builds/mounts */
    char *name; /* of the directory in it */
};

/* What makes caches differ: the id, what they begin with, and whose they are. */
static struct err *mount_name(const struct mount *m, char ret[DIGEST_LEN + 1]) {
    autostr struct str id = STR_INIT;
    str_append(&id, m->field[M_ID]);
    if (m->field[M_FROM])
        str_appendf(&id, "\nfrom %s", m->content);
    if (m->uid > 0 || m->gid > 0 || (m->mode >= 0 && m->mode != 0755))
        str_appendf(&id, "\nowner %lld:%lld %llo", (long long)(m->uid < 0 ? 0 : m->uid),
                    (long long)(m->gid < 0 ? 0 : m->gid), (unsigned long long)(m->mode < 0 ? 0755 : m->mode));
    return digest_of(str_c(&id), id.len, ret);
}

static struct err *fill_cache(const struct cache_dir *c, int dir) {
    autosource s = SOURCE_INIT;
    struct pack p;
    static const struct state nothing = {.n = 0};
    autowork w = NULL;
    int unused;
    TRY(source_find(c->r->x, c->m->field[M_FROM], &s));
    TRY(source_open(&s));
    source_pack(&s, c->m->field[M_SOURCE], &p);
    struct err *e = exec_root(c->r->x, &nothing, &w);
    if (!e)
        e = engine_work_root(w, &unused);
    if (!e)
        e = source_place(c->r->x, w, dir, &p);
    strv_done(&p.sources);
    return e;
}

/* What another machine had in it (--cache-from). */
static struct err *bring_cache(const struct cache_dir *c, int dir, bool *ret_brought) {
    struct exec *x = c->r->x;
    struct store_layer_ref tar;
    autofd int fd = -1;
    autofree char *name = mem_dupn(c->name, strcspn(c->name, ".")); /* a private one begins like the first */
    TRY(caches_mount(x, name, &tar, ret_brought));
    if (!*ret_brought)
        return NULL;
    struct err *e = store_blob_open(x->store, tar.blob, &fd, NULL);
    image_layer_done(&tar);
    TRY(e);
    progress_line(&x->progress, "cache mount %s: from the imported cache", c->m->field[M_ID]);
    return engine_build_unpack(x->o->engine, dir, fd);
}

static struct err *open_lock(int dir, const char *mount, int *ret_fd) {
    autofree char *name = mem_printf("%s.lock", mount);
    return fd_open_at(dir, name, O_RDWR | O_CREAT, 0600, ret_fd);
}

static struct err *lock_file(const struct cache_dir *c, int *ret_fd) { return open_lock(c->dir, c->name, ret_fd); }

/* For who lists them. */
static struct err *note_id(const struct cache_dir *c) {
    autofd int fd = -1;
    const char *id = c->m->field[M_ID];
    TRY(lock_file(c, &fd));
    if (ftruncate(fd, 0) < 0)
        return err_sys(errno, "note the id of a cache mount");
    return io_write_all(fd, id, strnlen(id, 4096));
}

static struct err *make_new(const struct cache_dir *c) {
    autofree char *new = mem_printf("%s.new", c->name);
    autofd int dir = -1;
    bool brought = false;
    if (faccessat(c->dir, c->name, F_OK, 0) == 0)
        return NULL;
    if (faccessat(c->dir, new, F_OK, 0) == 0) /* of a build that was killed; its files may be anybody's */
        TRY(store_trash(c->r->x->store, c->dir, new));
    TRY(io_mkdirs(c->dir, new, 0755));
    TRY(fd_open_dir(c->dir, new, &dir));
    TRY(bring_cache(c, dir, &brought));
    if (c->m->field[M_FROM] && !brought)
        TRY(fill_cache(c, dir));
    const struct owner o = {c->dir, new, c->m->uid, c->m->gid, c->m->mode < 0 ? 0755 : c->m->mode};
    TRY(mounts_own(c->r, &o));
    TRY(note_id(c));
    return renameat(c->dir, new, c->dir, c->name) < 0 ? err_sys(errno, "name a cache mount") : NULL;
}

/* A new one is made beside its place, by one build at a time, and is there at once with what it begins with. */
static struct err *new_cache(const struct cache_dir *c) {
    TRY_CTX(io_lock_dir(c->dir, IO_LOCK_EXCLUSIVE), "lock the cache mounts");
    struct err *e = make_new(c);
    flock(c->dir, LOCK_UN);
    return e;
}

/* The first directory of the id that no other build has for itself. */
static struct err *lock_private(struct cache_dir *c, int *ret_fd) {
    autofree char *base = mem_dup(c->name);
    for (unsigned i = 0;; i++) {
        autofd int fd = -1;
        bool got = false;
        free(c->name);
        c->name = i ? mem_printf("%s.%u", base, i) : mem_dup(base);
        TRY(lock_file(c, &fd));
        TRY(io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got));
        if (!got)
            continue;
        *ret_fd = take_fd(&fd);
        return NULL;
    }
}

/* Who shares one waits for nobody who shares it, too. */
static struct err *lock_shared(const struct cache_dir *c, int *ret_fd) {
    for (;;) {
        autofd int fd = -1;
        TRY(new_cache(c));
        TRY(lock_file(c, &fd));
        TRY(io_lock(fd, IO_LOCK_SHARED));
        if (faccessat(c->dir, c->name, F_OK, 0) < 0) /* pruned meanwhile */
            continue;
        *ret_fd = take_fd(&fd);
        return NULL;
    }
}

static struct err *lock_cache(struct cache_dir *c, int *ret_fd) {
    const char *sharing = c->m->field[M_SHARING];
    if (str_eq(sharing, "private")) {
        TRY(lock_private(c, ret_fd));
        return new_cache(c);
    }
    if (!str_eq(sharing, "locked"))
        return lock_shared(c, ret_fd);
    autofd int fd = -1;
    TRY(lock_file(c, &fd));
    TRY(io_lock(fd, IO_LOCK_EXCLUSIVE));
    TRY(new_cache(c));
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *mounts_cache(struct run *r, const struct mount *m) {
    char digest[DIGEST_LEN + 1];
    autofd int dir = -1;
    autofd int lock = -1;
    TRY(mount_name(m, digest));
    TRY(io_mkdirs(store_dirfd(r->x->store, ""), "builds/mounts", 0755));
    TRY(fd_open_dir(store_dirfd(r->x->store, ""), "builds/mounts", &dir));
    struct cache_dir c = {r, m, dir, mem_dup(digest_hex(digest))};
    struct err *e = lock_cache(&c, &lock);
    autofree char *source = mem_printf("%s/builds/mounts/%s", store_root(r->x->store), c.name);
    free(c.name);
    TRY(e);
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    if (futimens(lock, now) < 0)
        log_debug("cache mount %s keeps its old time", m->field[M_ID]);
    r->locks = mem_resize(r->locks, r->n_locks + 1, sizeof *r->locks);
    r->locks[r->n_locks++] = take_fd(&lock);
    const struct made made = {
        .type = "bind", .source = source, .target = m->field[M_TARGET], .read_only = m->read_only, .more = MADE_SHARED};
    mounts_add(r, &made);
    return NULL;
}

/* ---- for other machines ---- */

struct err *mount_note(struct run *r, const struct mount *m) {
    char digest[DIGEST_LEN + 1];
    struct state *s = exec_state(r->x);
    TRY(mount_name(m, digest));
    if (!s->mounts)
        s->mounts = json_object();
    json_set_str(s->mounts, digest_hex(digest), m->field[M_ID]);
    return NULL;
}

struct err *mount_pack(struct exec *x, const char *name, struct store_layer_ref *ret, bool *ret_there) {
    autofd int dir = openat(store_dirfd(x->store, "builds"), "mounts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofd int lock = -1;
    struct store_unpacked u;
    *ret_there = dir >= 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*ret_there)
        return NULL;
    autofd int mount = -1;
    TRY(open_lock(dir, name, &lock));
    TRY(io_lock(lock, IO_LOCK_SHARED));
    TRY(fd_open_at(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &mount));
    TRY(engine_build_pack(x->o->engine, mount, &u));
    *ret = image_layer_plain(&u);
    mem_set(&ret->chain_id, NULL);
    return NULL;
}
