/*
 * mount_ids: mounts that show other ids than their file system has ("uidMappings", "gidMappings" of a mount, or the
 * option idmap).
 *
 * To the kernel such a map is a user namespace; it takes one only from who is privileged over that, over the user
 * namespace that the file system was mounted in, and for a mount that nobody has seen yet. So without root it is for
 * what the container mounts itself, a tmpfs; the host's own file systems stay as they are, which is refused and not
 * passed over. The namespaces are made while the host's /proc is there to write their maps: before the first process.
 *
 * "hostID" is an id as the runtime's caller sees it: where the config has a user namespace with ids, these translate it
 * to what the namespace's root, whose mount it is, calls it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/idmap.h"
#include "base/json.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

/* In terms of the container's ids: `m` is written in those that are outside of `own`. */
static struct err *translate(const struct id_ranges *m, const struct id_ranges *own, struct id_ranges *ret) {
    *ret = (struct id_ranges){.n = 0};
    for (size_t i = 0; i < m->n; i++) {
        struct id_range left = m->r[i];
        for (size_t k = 0; left.count && k < own->n; k++) {
            const struct id_range *o = &own->r[k];
            if (left.outside < o->outside || left.outside - o->outside >= o->count)
                continue;
            uint32_t at = left.outside - o->outside;
            uint32_t count = left.count < o->count - at ? left.count : o->count - at;
            if (ret->n == ID_RANGES_MAX)
                return err_new(ERR_USAGE, "more than %d ranges of ids", ID_RANGES_MAX);
            ret->r[ret->n++] = (struct id_range){left.inside, o->inside + at, count};
            left = (struct id_range){left.inside + count, left.outside + count, left.count - count};
            k = (size_t)-1; /* what is left may be in any of them */
        }
        if (left.count)
            return err_new(ERR_USAGE, "hostID %u is none of the container's ids", left.outside);
    }
    return NULL;
}

static struct id_ranges half(const struct id_range *r, size_t n) {
    struct id_ranges h = {.n = n};
    memcpy(h.r, r, n * sizeof *r);
    return h;
}

static struct err *read_map(const struct json *mount, const struct json *linux_, struct id_map *ret) {
    struct id_map m = {.n_uid = 0}, own = {.n_uid = 0};
    bool given, has_own;
    TRY(idmap_from_json(mount, &m, &given));
    TRY(idmap_from_json(linux_, &own, &has_own));
    if (!given && (m.n_uid || m.n_gid))
        return err_new(ERR_USAGE, "uidMappings and gidMappings go together");
    if (!given && !has_own)
        return err_new(ERR_USAGE, "neither the mount nor the container has uidMappings and gidMappings");
    if (!given)
        m = own;
    if (has_own) {
        struct id_ranges uid = half(m.uid, m.n_uid), gid = half(m.gid, m.n_gid), out;
        const struct id_ranges own_uid = half(own.uid, own.n_uid), own_gid = half(own.gid, own.n_gid);
        TRY_CTX(translate(&uid, &own_uid, &out), "uidMappings");
        memcpy(m.uid, out.r, sizeof m.uid);
        m.n_uid = out.n;
        TRY_CTX(translate(&gid, &own_gid, &out), "gidMappings");
        memcpy(m.gid, out.r, sizeof m.gid);
        m.n_gid = out.n;
    }
    *ret = m;
    return NULL;
}

static bool asks(const struct json *mount) {
    JSON_EACH(it, json_get(mount, "options"))
    if (str_eq(json_str_value(it), "idmap") || str_eq(json_str_value(it), "ridmap"))
        return true;
    return json_count(json_get(mount, "uidMappings")) || json_count(json_get(mount, "gidMappings"));
}

static struct err *add(const struct json *mount, const struct json *linux_, struct mount_ids *ret) {
    struct id_map m;
    if (ret->n == MOUNT_IDS_MAX)
        return err_new(ERR_USAGE, "more than %d mounts with ids of their own", MOUNT_IDS_MAX);
    TRY(read_map(mount, linux_, &m));
    TRY(userns_nest(&m, &ret->v[ret->n].userns));
    ret->v[ret->n++].mount = mount;
    return NULL;
}

struct err *mount_ids_plan(const struct json *config, bool joins, struct mount_ids *ret) {
    JSON_EACH(it, json_get(config, "mounts")) {
        if (!asks(it))
            continue;
        if (joins)
            return err_hint(err_new(ERR_UNSUPPORTED,
                                    "the mount on %s has ids of its own, and the container is in a user namespace "
                                    "that it joins",
                                    json_text(it, "destination")),
                            "give the container a user namespace with these ids");
        TRY_CTX(add(it, json_get(config, "linux"), ret), "ids of the mount on %s", json_text(it, "destination"));
    }
    return NULL;
}

void mount_ids_done(struct mount_ids *m) {
    for (; m->n; m->n--)
        fd_close(m->v[m->n - 1].userns);
}

int mount_ids_of(const struct mount_ids *m, const struct json *mount) {
    for (size_t i = 0; m && i < m->n; i++)
        if (m->v[i].mount == mount)
            return m->v[i].userns;
    return -1;
}

struct err *mount_ids_give(int mount, int userns, bool recursive) {
    if (sys_mount_idmap(mount, recursive ? (unsigned)AT_RECURSIVE : 0, userns) == 0)
        return NULL;
    if (errno != EPERM && errno != EINVAL)
        return err_sys(errno, "give the mount ids of its own");
    struct err *e = errno == EPERM
                        ? err_new(ERR_UNSUPPORTED, "the mount cannot have ids of its own: its file system was "
                                                   "not mounted by the container, and only root may map "
                                                   "those of others")
                        : err_new(ERR_UNSUPPORTED, "the mount cannot have ids of its own: its file system "
                                                   "has no mapped mounts on this kernel");
    return err_hint(e, "give the container a user namespace with these ids");
}
