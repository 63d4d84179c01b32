/*
 * plan: how a container's root is put together at this start. Nothing of it is recorded, except by the copy driver's
 * own directory: a container that has one (containers/<id>/rootfs) made its changes there, so it keeps using it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "storage/store_int.h"

#define COPY_DIR "rootfs"

/* ---- the container's own directories ---- */

/* What make_upper() in container.c could not do outside the user namespace: the owner of "/" is the top layer's. */
static struct err *adopt_root(const struct store *s, int dir, const char *top) {
    struct stat want, have;
    int layers;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    autofree char *diff = mem_printf("%s/diff", digest_hex(top));
    if (fstatat(layers, diff, &want, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "stat layer %s", top);
    if (fstatat(dir, "upper", &have, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "stat the upper directory");
    bool owner = want.st_uid != have.st_uid || want.st_gid != have.st_gid;
    if (owner && fchownat(dir, "upper", want.st_uid, want.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        log_debug("the owner of / stays that of the container");
    if ((owner || want.st_mode != have.st_mode) && fchmodat(dir, "upper", want.st_mode & 07777, 0) < 0)
        return err_sys(errno, "set the mode of the upper directory");
    return NULL;
}

/*
 * A mount makes work/work: where it is missing the container has never run. Where it is there, the mount may have ended
 * without an unmount, and a "volatile" one then left a mark (work/work/incompat/volatile) that forbids the next.
 * Outside the user namespace what lies there may not be removable, but it can be moved out of the way.
 */
static struct err *prepare_upper(struct store *s, int dir, const char *top) {
    if (!store_exists(dir, "work/work"))
        return top ? adopt_root(s, dir, top) : NULL;
    autoerr e = io_remove_tree(dir, "work/work");
    if (!e)
        return NULL;
    TRY(store_trash(s, dir, "work"));
    if (mkdirat(dir, "work", 0700) < 0)
        return err_sys(errno, "make the work directory");
    return NULL;
}

struct err *store_layers_check(const struct store *s, const struct strv *chain_ids) {
    for (size_t i = 0; i < chain_ids->n; i++)
        if (!store_layer_has(s, chain_ids->v[i]))
            return err_hint(err_new(ERR_CORRUPT, "layer %s is missing in the store", chain_ids->v[i]),
                            "Pull the image again.");
    return NULL;
}

/* ---- the copy driver ---- */

static struct err *apply(int dirfd, const char *path, const char *data_or_null, int to) {
    autofd int from = -1, data = -1;
    TRY(fd_open_at(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &from));
    if (data_or_null)
        TRY(fd_open_dir(AT_FDCWD, data_or_null, &data));
    return store_copy_layer(from, data, to);
}

struct err *store_copy_layers(const struct store *s, const struct strv *chain_ids, int to) {
    int layers;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    for (size_t i = 0; i < chain_ids->n; i++) {
        autofree char *diff = mem_printf("%s/diff", digest_hex(chain_ids->v[i]));
        autofree char *data = store_layer_data(s, chain_ids->v[i]);
        TRY_CTX(apply(layers, diff, data, to), "copy layer %s", chain_ids->v[i]);
    }
    return NULL;
}

/* What lies below the upper directory, in one tree. */
static struct err *merge_lowers(const struct store *s, const struct rootfs_plan *plan, const struct strv *chain_ids,
                                int to) {
    autofd int base = -1;
    if (!plan->lowers.n)
        return store_copy_layers(s, chain_ids, to);
    TRY(fd_open_dir(AT_FDCWD, plan->base_dir, &base));
    return apply(base, plan->lowers.v[0], NULL, to);
}

/* Fills tmp/<name>/rootfs from the layers and, for a container that ran with an overlay before, its upper directory. */
static struct err *merge(const struct store *s, int tmp, int dir, const struct rootfs_plan *plan,
                         const struct strv *chain_ids) {
    autofd int to = -1;
    if (mkdirat(tmp, COPY_DIR, 0755) < 0)
        return err_sys(errno, "make the directory " COPY_DIR);
    TRY(fd_open_dir(tmp, COPY_DIR, &to));
    TRY(merge_lowers(s, plan, chain_ids, to));
    TRY_CTX(apply(dir, "upper", NULL, to), "copy the upper directory");
    if (renameat(tmp, COPY_DIR, dir, COPY_DIR) < 0)
        return err_sys(errno, "move the copy into place");
    return NULL;
}

static struct err *make_copy(struct store *s, int dir, const struct rootfs_plan *plan, const struct strv *chain_ids) {
    autofree char *name = NULL;
    autofd int tmp = -1;
    if (store_exists(dir, COPY_DIR))
        return NULL;
    TRY(store_tmp_new(s, &name, &tmp));
    struct err *e = merge(s, tmp, dir, plan, chain_ids);
    err_free(store_tmp_remove(s, name)); /* else it is debris */
    return e;
}

/* ---- the plan ---- */

/* A store on an overlay has no devices 0:0, and fuse-overlayfs does not know what layers have there instead. */
static struct err *make_whiteout(struct store *s) {
    autofree char *name = NULL;
    autofd int tmp = -1;
    TRY(store_tmp_new(s, &name, &tmp));
    struct err *e = mknodat(tmp, "whiteout", S_IFCHR, 0) < 0 ? err_sys(errno, "make a whiteout in the store") : NULL;
    return err_first(e, store_tmp_remove(s, name));
}

/* Something else may stand in the device's place, where it was to be hidden. */
static struct err *find_fuse(struct store *s, char **ret) {
    autofd int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(errno, "open /dev/fuse");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(10, 229)) /* Documentation/admin-guide/devices.txt */
        return err_new(ERR_UNSUPPORTED, "/dev/fuse is another device");
    TRY(make_whiteout(s));
    return host_find_program(s->host, "fuse-overlayfs", "fuse-overlayfs", ret);
}

/* Resolves AUTO, and finds the program for FUSE_OVERLAY. */
struct err *store_driver_choose(struct store *s, enum store_driver driver, enum rootfs_driver *ret,
                                char **ret_program) {
    switch (driver) {
    case STORE_DRIVER_OVERLAY:
        *ret = ROOTFS_OVERLAY;
        return NULL;
    case STORE_DRIVER_COPY:
        *ret = ROOTFS_COPY;
        return NULL;
    case STORE_DRIVER_FUSE_OVERLAY:
        TRY_CTX(find_fuse(s, ret_program), "use the fuse-overlayfs driver");
        *ret = ROOTFS_FUSE_OVERLAY;
        return NULL;
    case STORE_DRIVER_AUTO:
        break;
    }
    *ret = ROOTFS_OVERLAY;
    if (store_overlay_works(s))
        return NULL;
    autoerr e = find_fuse(s, ret_program);
    *ret = e ? ROOTFS_COPY : ROOTFS_FUSE_OVERLAY;
    return NULL;
}

const char *store_driver_name(struct store *s, enum store_driver driver) {
    enum rootfs_driver chosen = ROOTFS_COPY;
    autofree char *program = NULL;
    autoerr e = store_driver_choose(s, driver, &chosen, &program);
    if (chosen == ROOTFS_OVERLAY)
        return "overlay2";
    return chosen == ROOTFS_FUSE_OVERLAY || e ? "fuse-overlayfs" : "vfs"; /* only that one can fail */
}

static void use_directory(struct rootfs_plan *plan, enum rootfs_driver driver, const char *name) {
    plan->driver = driver;
    strv_push(&plan->lowers, name);
}

struct err *store_plan_shifted(struct store *s, const struct strv *chain_ids, const struct id_map *map,
                               struct rootfs_plan *plan) {
    char map_name[65];
    const char *top = digest_hex(chain_ids->v[chain_ids->n - 1]);
    bool full = plan->driver != ROOTFS_OVERLAY || !store_overlay_shifts(s);
    TRY(idmap_name(map, map_name));
    TRY(store_shift_image(s, chain_ids, map, full));
    plan->base_dir = mem_printf("%s/%s/%s", s->root, store_dir_name(STORE_IDMAPS), map_name);
    strv_pushf(&plan->lowers, "%s%s/diff", top, full ? ".full" : "");
    if (!full)
        strv_pushf(&plan->data, "%s/data", top);
    for (size_t i = chain_ids->n; !full && i-- > 0;) { /* of those that refer to others' files */
        autofree char *data = store_layer_data(s, chain_ids->v[i]);
        if (data)
            strv_push(&plan->data, data);
    }
    return NULL;
}

/* What lies below the upper directory: the layers as they are, or one tree of the container's own owners. */
static struct err *plan_lowers(struct store *s, const struct store_rootfs *r, struct rootfs_plan *plan) {
    if (r->map)
        return store_plan_shifted(s, r->chain_ids, r->map, plan);
    plan->base_dir = mem_printf("%s/%s", s->root, store_dir_name(STORE_LAYERS));
    store_plan_layers(s, r->chain_ids, plan);
    return NULL;
}

static struct err *plan_copy(struct store *s, int dir, const struct store_rootfs *r, struct rootfs_plan *plan) {
    if (r->map && !store_exists(dir, COPY_DIR))
        TRY(plan_lowers(s, r, plan));
    TRY_CTX(make_copy(s, dir, plan, r->chain_ids), "make the root directory by copying");
    strv_done(&plan->lowers);
    free(plan->base_dir);
    plan->base_dir = mem_printf("%s/containers/%s", store_containers_root(s), r->container_id);
    use_directory(plan, ROOTFS_COPY, COPY_DIR);
    return NULL;
}

/* By root it was said already: that is who tries again. */
static void say_copied(struct store *s, const char *cause, const char *whose) {
    if (geteuid() != 0 && store_says_first(s, cause))
        log_warn("each container %sgets a copy of its image's files: they cannot be mounted here", whose);
}

/* The driver of a container: what it has got once stays. */
static struct err *choose_for(struct store *s, int dir, const struct store_rootfs *r, struct rootfs_plan *plan) {
    plan->driver = ROOTFS_COPY;
    if (store_has_copy(dir))
        return NULL;
    TRY(store_driver_choose(s, r->driver, &plan->driver, &plan->fuse_program));
    if (plan->driver == ROOTFS_COPY) {
        if (r->driver != STORE_DRIVER_COPY)
            say_copied(s, "copies", "");
    } else if (!r->map && !store_layers_mountable(s, r->chain_ids, plan->driver)) {
        plan->driver = ROOTFS_COPY;
        say_copied(s, "shared-copies", "of an image that others share ");
    }
    return NULL;
}

static struct err *fill_plan(struct store *s, int dir, const struct store_rootfs *r, struct rootfs_plan *plan) {
    if (!r->chain_ids->n) { /* FROM scratch: no layer, nothing to overlay */
        plan->base_dir = mem_printf("%s/containers/%s", store_containers_root(s), r->container_id);
        use_directory(plan, ROOTFS_DIR, "upper");
        return NULL;
    }
    TRY(store_layers_check(s, r->chain_ids));
    bool fresh = !store_exists(dir, "work/work");
    TRY(prepare_upper(s, dir, r->map ? NULL : r->chain_ids->v[r->chain_ids->n - 1]));
    TRY(choose_for(s, dir, r, plan));
    if (plan->driver == ROOTFS_COPY)
        return plan_copy(s, dir, r, plan);
    TRY(plan_lowers(s, r, plan));
    plan->adopt = r->map && fresh; /* the mount does it, which can give it any owner */
    plan->upper = mem_printf("%s/containers/%s/upper", store_containers_root(s), r->container_id);
    plan->work = mem_printf("%s/containers/%s/work", store_containers_root(s), r->container_id);
    return NULL;
}

struct err *store_rootfs_plan(struct store *s, const struct store_rootfs *r, struct rootfs_plan *ret) {
    struct rootfs_plan plan = {.driver = ROOTFS_OVERLAY};
    autofd int dir = -1;
    TRY(store_container_open(s, r->container_id, &dir));
    struct err *e = fill_plan(s, dir, r, &plan);
    if (e) {
        rootfs_plan_done(&plan);
        return err_wrap(e, "container %.12s", r->container_id);
    }
    *ret = plan;
    return NULL;
}

/* "/" looks as it does below. */
static struct err *over_plan(struct store *s, int dir, const char *lower, enum store_driver driver,
                             struct rootfs_plan *plan) {
    struct stat st;
    bool fresh = !store_exists(dir, "work/work");
    if (stat(lower, &st) < 0)
        return err_sys(errno, "%s", lower);
    TRY(store_driver_choose(s, driver, &plan->driver, &plan->fuse_program));
    if (plan->driver == ROOTFS_COPY)
        return err_new(ERR_UNSUPPORTED, "%s:O needs overlays, which this machine does not have", lower);
    TRY(prepare_upper(s, dir, NULL));
    if (fresh && fchmodat(dir, "upper", st.st_mode & 07777, 0) < 0)
        return err_sys(errno, "set the mode of the upper directory");
    return NULL;
}

struct err *store_rootfs_over(struct store *s, const char *container_id, const char *lower, enum store_driver driver,
                              struct rootfs_plan *ret) {
    struct rootfs_plan plan = {.base_dir = mem_dup(lower)};
    autofd int dir = -1;
    struct err *e = store_container_open(s, container_id, &dir);
    if (!e)
        e = over_plan(s, dir, lower, driver, &plan);
    if (e) {
        rootfs_plan_done(&plan);
        return err_wrap(e, "container %.12s", container_id);
    }
    strv_push(&plan.lowers, ".");
    plan.upper = mem_printf("%s/containers/%s/upper", store_containers_root(s), container_id);
    plan.work = mem_printf("%s/containers/%s/work", store_containers_root(s), container_id);
    *ret = plan;
    return NULL;
}

bool store_has_copy(int container_dir) { return store_exists(container_dir, COPY_DIR); }

const char *store_changes_dir(int container_dir) { return store_has_copy(container_dir) ? COPY_DIR : "upper"; }

struct err *store_container_size(const struct store *s, const char *id, int64_t *ret) {
    autofd int dir = -1;
    struct store_usage usage;
    TRY(store_container_open(s, id, &dir));
    TRY_CTX(store_measure(dir, store_changes_dir(dir), &usage), "container %.12s", id);
    *ret = usage.bytes;
    return NULL;
}
