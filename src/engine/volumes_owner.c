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

/* ---- all ---- */

static struct err *check_source(const struct host *h, int fd, const char *source) {
    if (!volumes_is_precious(h, fd))
        return NULL;
    return err_hint(
        err_new(ERR_DENIED,
                "%s is not given to a container's user: your home, coracle's store or a part of the system is in it",
                source),
        "U is for a directory that the container is to have for itself");
}

static struct err *give_source(const struct host *h, const struct json *one, struct owner *o) {
    const char *source = json_text(one, "Source");
    const struct walk_ops ops = {.file = give_file, .enter = give_dir, .ctx = o};
    struct stat st;
    autofd int fd = -1;
    TRY(volumes_open_source(one, &fd));
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", source);
    TRY(check_source(h, fd, source));
    if (!S_ISDIR(st.st_mode))
        return give(o, fd, "", &st, source);
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
