/*
 * volumes_owner: podman's U: the source of a mount, with all that is in it, is given to the container's user before the
 * container's first start. See volumes_int.h.
 *
 * It is done by the container's first process as root of the user namespace that the store's files are seen with, so
 * what can be given away is what belongs to the user or to the user's subordinate ids; a file of anybody else's ends
 * the start. The source is opened as the mount will open it; below it nothing is reached but by the descriptor of a
 * directory and the name of an entry, and no link is followed: other containers may be at work in it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/idmap.h"
#include "base/path.h"
#include "base/walk.h"
#include "engine/engine_int.h"
#include "engine/volumes_int.h"

enum { ID_UNKNOWN = 65534 }; /* what the kernel shows for an id that is not in the map: nothing is learnt from it */

struct owner {
    uid_t uid;
    gid_t gid;
};

static bool is_owner(const struct owner *o, const struct stat *st) {
    return st->st_uid == o->uid && st->st_gid == o->gid && o->uid != ID_UNKNOWN && o->gid != ID_UNKNOWN;
}

/* With an empty name: the file that `at` has open. */
static struct err *give(const struct owner *o, int at, const char *name, const struct stat *st, const char *what) {
    if (is_owner(o, st) || fchownat(at, name, o->uid, o->gid, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) == 0)
        return NULL;
    if (errno == ENOENT) /* removed just now */
        return NULL;
    struct err *e = err_sys(errno, "give %s to user %u:%u", what, (unsigned)o->uid, (unsigned)o->gid);
    return err_errno(e) != EPERM ? e
                                 : err_hint(e, "only what belongs to you or to your subordinate ids can be given to a "
                                               "container's user; leave out U and see who has it: ls -ln");
}

static struct err *give_file(void *ctx, int at, const char *name, const struct stat *st) {
    return give(ctx, at, name, st, name);
}

static struct err *give_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    return give(ctx, dir, "", st, name);
}

/* ---- what is never given away ---- */

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether `path` is the directory, or lies in it. */
static bool holds(const struct stat *dir, const char *path) {
    struct stat above = {.st_ino = 0}, st;
    autofd int fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    while (fd >= 0 && fstat(fd, &st) == 0 && !same_file(&st, &above)) {
        if (same_file(&st, dir))
            return true;
        above = st;
        fd_replace(&fd, openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    return false;
}

static struct err *check_source(const struct host *h, const char *source, const struct stat *st) {
    if (!holds(st, h->home) && !holds(st, h->data_root))
        return NULL;
    return err_hint(
        err_new(ERR_DENIED, "%s is not given to a container's user: your home or coracle's store is in it", source),
        "U is for a directory that the container is to have for itself");
}

/* ---- all ---- */

struct err *volumes_open_source(const struct json *one, int *ret_fd) {
    const char *source = json_text(one, "Source"), *subpath = json_str_value(json_get(one, "Subpath"));
    autofd int top = -1;
    TRY(fd_open_at(AT_FDCWD, source, O_PATH, 0, &top));
    if (subpath) {
        int sub = path_find_in_root(top, subpath, O_PATH);
        if (sub < 0)
            return err_sys(errno, "cannot access path %s in %s", subpath, source);
        fd_replace(&top, sub);
    }
    *ret_fd = take_fd(&top);
    return NULL;
}

static struct err *give_source(const struct host *h, const struct json *one, struct owner *o) {
    const char *source = json_text(one, "Source");
    const struct walk_ops ops = {.file = give_file, .enter = give_dir, .ctx = o};
    struct stat st;
    autofd int fd = -1;
    TRY(volumes_open_source(one, &fd));
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", source);
    if (!S_ISDIR(st.st_mode))
        return give(o, fd, "", &st, source);
    TRY(check_source(h, source, &st));
    return walk_tree(fd, ".", &ops);
}

/* The container's user in ids of the namespace above, where it has a map of its own. */
static struct err *find_owner(const struct json *config, const struct id_map *map, int root, struct owner *ret) {
    const char *user = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_USER));
    struct runtime_user u;
    uint32_t uid, gid;
    TRY(runtime_user_resolve(root, user, NULL, &u));
    uid = u.uid;
    gid = u.gid;
    if (map && (!idmap_above(map->uid, map->n_uid, u.uid, &uid) || !idmap_above(map->gid, map->n_gid, u.gid, &gid)))
        return err_new(ERR_USAGE, "user %u:%u is not among the container's ids", (unsigned)u.uid, (unsigned)u.gid);
    *ret = (struct owner){.uid = uid, .gid = gid};
    return NULL;
}

struct err *volumes_give(const struct engine *e, const struct json *config, const struct id_map *map, int root) {
    autojson list = NULL;
    struct owner owner;
    const char *text = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_CHOWN));
    if (!text)
        return NULL;
    TRY(json_parse(text, strlen(text), SPEC_ANN_CHOWN, 0, &list));
    TRY(find_owner(config, map, root, &owner));
    JSON_EACH(one, list)
    TRY_CTX(give_source(e->host, one, &owner), "U of %s", json_text(one, "Source"));
    return NULL;
}
