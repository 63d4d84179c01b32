/*
 * names: names/<name> is a symlink to a container id. symlink(2) fails when the name is there, so making it reserves
 * the name, without a lock.
 *
 * What holds, at every instant and after a kill at any: for each container in containers/, names/<its Name> points at
 * it. create  makes and locks tmp/<id>, makes the link, then renames tmp/<id> to containers/<id>; rename  makes the new
 * link, rewrites container.json, then removes the old link; remove  moves containers/<id> to the trash, then removes
 * the link. A kill in between can thus leave a link too many, never one too few. A link names/N → X is *stale* when X
 * neither exists in containers/ with the name N nor is being made (tmp/X with a living maker). X goes from tmp to
 * containers and to the trash, never back, so looking at containers, tmp, and containers again misses nobody.
 *
 * A stale link is replaced by whoever wants the name. Two may want it at once, and the slower must not unlink what
 * the faster has just made: so links are *removed* only under the exclusive flock of names/, after another look, and a
 * rename, which lets json and links disagree for a moment, holds it throughout. Making a link where there is none needs
 * no lock: whoever has seen a link under the lock finds it unchanged until it unlinks it itself, for nobody else may.
 * The lock is on a description of its own, since one shared over fork would exclude nobody. Its holders wait for no
 * other lock (that a maker lives is asked, not waited for), so there is no deadlock.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/store_int.h"

enum { NAME_TRIES = 100, NAME_FILE_MAX = 255 };

static struct err *check_name(const char *name) {
    if (!id_name_ok(name) || strlen(name) > NAME_FILE_MAX)
        return err_hint(err_new(ERR_USAGE, "invalid container name: %s", name),
                        "A name has 2 to %d of the characters [a-zA-Z0-9_.-] and begins with a letter or digit.",
                        NAME_FILE_MAX);
    return NULL;
}

/* Where names/<name> points; false when it is not there or no link to an id. */
static bool read_link(int names, const char *name, char ret[ID_LEN + 1]) {
    char target[ID_LEN + 2];
    ssize_t n = readlinkat(names, name, target, sizeof target);
    if (n != ID_LEN)
        return false;
    target[n] = '\0';
    if (!path_is_hex64(target))
        return false;
    memcpy(ret, target, ID_LEN + 1);
    return true;
}

static bool container_exists(const struct store *s, const char *id) {
    int containers;
    autoerr e = store_dir(s, STORE_CONTAINERS, &containers);
    return !e && store_exists(containers, id);
}

bool store_name_get(const struct store *s, const char *name, char ret[65]) {
    int names;
    char id[ID_LEN + 1];
    if (!id_name_ok(name) || strlen(name) > NAME_FILE_MAX)
        return false;
    autoerr e = store_dir(s, STORE_NAMES, &names);
    if (e || !read_link(names, name, id) || !container_exists(s, id))
        return false;
    memcpy(ret, id, sizeof id);
    return true;
}

/* Whether a container calls itself `name`. When its record cannot be read the benefit of the doubt is its. */
static bool calls_itself(const struct store *s, const char *id, const char *name) {
    autojson j = NULL;
    autoerr e = store_container_read(s, id, "container.json", &j);
    const char *own = json_str_value(json_get(j, "Name"));
    return e || !own || str_eq(own[0] == '/' ? own + 1 : own, name);
}

/* What is to be unlinked for it is asked about under the lock of names/: see above. */
static bool is_stale(const struct store *s, const char *name, const char *id) {
    if (container_exists(s, id))
        return !calls_itself(s, id, name);
    return !store_tmp_alive(s, id) && !container_exists(s, id);
}

bool store_name_read(const struct store *s, const char *name, char ret[65], bool *ret_stale) {
    int names;
    autoerr e = store_dir(s, STORE_NAMES, &names);
    if (e || !read_link(names, name, ret))
        return false;
    *ret_stale = is_stale(s, name, ret);
    return true;
}

static struct err *lock_names(const struct store *s, int *ret_fd) {
    int names;
    TRY(store_dir(s, STORE_NAMES, &names));
    autofd int fd = -1;
    TRY(fd_open_dir(names, ".", &fd));
    TRY_CTX(io_lock_dir(fd, IO_LOCK_EXCLUSIVE), "lock %s/names", s->root);
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *taken(const char *name, const char *id) {
    return err_new(ERR_CONFLICT,
                   "Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or "
                   "rename) that container to be able to reuse that name.",
                   name, id);
}

/*
 * With the lock held: makes names/<name> free when it leads nowhere, else a conflict. A name that is not there is left
 * alone: that one somebody may be making right now, without the lock.
 */
static struct err *clear_stale(const struct store *s, int names, const char *name, const char *id) {
    char owner[ID_LEN + 1];
    if (!store_exists(names, name))
        return NULL;
    if (read_link(names, name, owner)) { /* else not of our making */
        if (str_eq(owner, id))
            return NULL;
        if (!is_stale(s, name, owner))
            return taken(name, owner);
    }
    if (unlinkat(names, name, 0) < 0 && errno != ENOENT)
        return err_sys(errno, "free the stale name %s", name);
    return NULL;
}

/* Links a name, replacing a stale link. `locked`: the caller has the lock of names/. */
static struct err *link_name(const struct store *s, const char *name, const char *id, bool locked) {
    int names;
    TRY(check_name(name));
    TRY(store_dir(s, STORE_NAMES, &names));
    for (int i = 0; i < NAME_TRIES; i++) {
        if (symlinkat(id, names, name) == 0)
            return NULL;
        if (errno != EEXIST)
            return err_sys(errno, "reserve the name %s", name);
        char owner[ID_LEN + 1];
        if (read_link(names, name, owner) && str_eq(owner, id))
            return NULL;
        autofd int lock = -1;
        if (!locked)
            TRY(lock_names(s, &lock));
        TRY(clear_stale(s, names, name, id));
    }
    return err_new(ERR_CONFLICT, "the name %s is being fought over", name);
}

struct err *store_name_reserve(const struct store *s, const char *name, const char *id) {
    return link_name(s, name, id, false);
}

static void unlink_if_own(int names, const char *name, const char *id) {
    char owner[ID_LEN + 1];
    if (read_link(names, name, owner) && str_eq(owner, id))
        unlinkat(names, name, 0); /* a link too many does no harm */
}

struct err *store_name_release(const struct store *s, const char *name, const char *id) {
    int names;
    autofd int lock = -1;
    TRY(store_dir(s, STORE_NAMES, &names));
    TRY(lock_names(s, &lock));
    unlink_if_own(names, name, id);
    return NULL;
}

struct err *store_name_change(const struct store *s, const char *id, const char *new_name) {
    int names, containers;
    autofd int lock = -1, dir = -1, records = -1;
    autojson j = NULL;
    TRY(check_name(new_name));
    TRY(store_dir(s, STORE_NAMES, &names));
    TRY(store_dir(s, STORE_CONTAINERS, &containers));
    TRY(store_container_open(s, id, &dir));
    TRY_CTX(store_container_lock_records(dir, &records), "rename container %s", id); /* first: it may take a while */
    TRY(lock_names(s, &lock));
    TRY_CTX(json_read_file(dir, "container.json", &j), "rename container %s", id);
    const char *name = json_str_value(json_get(j, "Name"));
    bool slash = name && name[0] == '/';
    autofree char *old = mem_dup(slash ? name + 1 : name);
    if (str_eq(old, new_name))
        return err_new(ERR_CONFLICT, "Renaming a container with the same name as its current name");
    TRY(link_name(s, new_name, id, true));
    TRY_CTX(io_sync(names), "rename container %s", id);
    autofree char *stored = mem_printf("%s%s", slash ? "/" : "", new_name);
    json_set_str(j, "Name", stored);
    struct err *e = json_write_file(dir, "container.json", j, 0600, IO_DURABLE);
    const char *drop = e ? new_name : old;
    if (drop)
        unlink_if_own(names, drop, id);
    return e ? err_wrap(e, "rename container %s", id) : NULL;
}

struct heal {
    const struct store *s;
    int names;
};

static struct err *heal_name(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    const struct heal *h = ctx;
    char id[ID_LEN + 1];
    if (read_link(h->names, name, id) && is_stale(h->s, name, id))
        unlinkat(h->names, name, 0);
    return NULL;
}

struct err *store_names_heal(const struct store *s) {
    struct heal h = {.s = s};
    autofd int lock = -1;
    TRY(store_dir(s, STORE_NAMES, &h.names));
    TRY(lock_names(s, &lock));
    return io_each_entry(h.names, heal_name, &h);
}
