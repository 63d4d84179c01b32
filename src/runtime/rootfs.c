/*
 * rootfs: the container's root mount, from the plan that storage made.
 *
 * It is put on top of "/" of our own mount namespace. Paths still resolve below it (the process's root is the mount
 * underneath), so that the sources of bind mounts stay reachable whatever the root is made of; pivot_root works from
 * its descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { FSCONFIG_VALUE_MAX = 255, MOUNT_DATA_MAX = 4095 };

/* `path` seen from base_dir where it lies below it: shorter, and option strings have limits. Borrowed. */
static const char *from_base(const struct rootfs_plan *p, const char *path) {
    size_t n = strlen(p->base_dir);
    return strncmp(path, p->base_dir, n) == 0 && path[n] == '/' && path[n + 1] ? path + n + 1 : path;
}

static bool fits_fsconfig(const struct rootfs_plan *p) {
    for (size_t i = 0; i < p->lowers.n; i++)
        if (strlen(p->lowers.v[i]) > FSCONFIG_VALUE_MAX)
            return false;
    for (size_t i = 0; i < p->data.n; i++)
        if (strlen(p->data.v[i]) > FSCONFIG_VALUE_MAX)
            return false;
    return !p->upper || (strlen(from_base(p, p->upper)) <= FSCONFIG_VALUE_MAX &&
                         strlen(from_base(p, p->work)) <= FSCONFIG_VALUE_MAX);
}

/*
 * Paths are relative to the working directory, which is base_dir. Two overlays with one upper layer would each take it
 * for its own, and the kernel lets them unless it is asked for an index. It refuses then (EBUSY) whoever has it,
 * wherever that is mounted, or open still; and where nobody has it goes on without the index, which is not for user
 * namespaces.
 */
static int overlay_options(int fs, const struct rootfs_plan *p, bool volatile_upper) {
    for (size_t i = 0; i < p->lowers.n; i++)
        if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", p->lowers.v[i], 0) < 0)
            return -1;
    for (size_t i = 0; i < p->data.n; i++)
        if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "datadir+", p->data.v[i], 0) < 0)
            return -1;
    if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0 ||
        sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0)
        return -1;
    if (p->context && sys_fsconfig(fs, FSCONFIG_SET_STRING, "context", p->context, 0) < 0)
        return -1;
    if (!p->upper)
        return 0;
    if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", from_base(p, p->upper), 0) < 0 ||
        sys_fsconfig(fs, FSCONFIG_SET_STRING, "workdir", from_base(p, p->work), 0) < 0)
        return -1;
    if (p->exclusive && sys_fsconfig(fs, FSCONFIG_SET_STRING, "index", "on", 0) < 0)
        return -1;
    return volatile_upper ? sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) : 0;
}

/* Since Linux 6.8 each lower layer is a parameter of its own; -1 where that fails. */
static int overlay_new(const struct rootfs_plan *p, bool volatile_upper) {
    autofd int fs = sys_fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0 || overlay_options(fs, p, volatile_upper) < 0 ||
        sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return sys_fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

static void append_escaped(struct str *s, const char *path) {
    for (; *path; path++) {
        if (*path == ':' || *path == ',' || *path == '\\')
            str_append_c(s, '\\');
        str_append_c(s, *path);
    }
}

/* A copy of the mount that only its descriptor holds; a container in a user namespace of its own gets no other. */
static int detach(const char *dir) {
    int fd = sys_open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), reason = errno;
    (void)umount2(dir, MNT_DETACH);
    errno = reason;
    return fd;
}

/* mount(2) with one option string, on base_dir, for it has to be somewhere. */
static int overlay_classic(const struct rootfs_plan *p, bool volatile_upper) {
    autostr struct str data = STR_INIT_MAX(MOUNT_DATA_MAX);
    str_append(&data, "userxattr,");
    if (p->context) /* has commas; nothing that would end the quotes */
        str_appendf(&data, "context=\"%s\",", p->context);
    str_append(&data, "lowerdir=");
    for (size_t i = 0; i < p->lowers.n; i++) {
        if (i)
            str_append_c(&data, ':');
        append_escaped(&data, p->lowers.v[i]);
    }
    for (size_t i = 0; i < p->data.n; i++) {
        str_append(&data, "::");
        append_escaped(&data, p->data.v[i]);
    }
    if (p->upper) {
        str_append(&data, ",upperdir=");
        append_escaped(&data, from_base(p, p->upper));
        str_append(&data, ",workdir=");
        append_escaped(&data, from_base(p, p->work));
        str_append(&data, p->exclusive ? ",index=on" : "");
        str_append(&data, volatile_upper ? ",volatile" : "");
    }
    if (!str_ok(&data)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mount("overlay", ".", "overlay", 0, data.ptr) < 0 ? -1 : detach(p->base_dir);
}

static int overlay_any(const struct rootfs_plan *p, bool volatile_upper) {
    int fd = fits_fsconfig(p) ? overlay_new(p, volatile_upper) : -1;
    return fd >= 0 ? fd : overlay_classic(p, volatile_upper);
}

/*
 * Without `volatile` every copy-up and unmount would sync the disk. It leaves a mark behind that forbids the next
 * mount; what the layer holds is still right unless the machine crashed in between, and then no worse than any unsynced
 * file.
 */
static void clear_mark(const struct rootfs_plan *p) {
    static const char mark[] = "work/incompat/volatile";
    autofree char *dir = path_join(p->work, mark);
    autofree char *dirty = path_join(dir, "dirty");
    if (unlink(dirty) == 0)
        (void)rmdir(dir);
}

/* "/" looks as it does below. */
struct err *rootfs_adopt(const struct rootfs_plan *p) {
    struct stat st;
    if (chdir(p->base_dir) < 0)
        return err_sys(errno, "enter %s", p->base_dir);
    if (stat(p->lowers.v[0], &st) < 0)
        return err_sys(errno, "look at %s", p->lowers.v[0]);
    if (lchown(p->upper, st.st_uid, st.st_gid) < 0 && errno != EINVAL) /* an owner that is nobody here stays out */
        return err_sys(errno, "set the owner of %s", p->upper);
    return chmod(p->upper, st.st_mode & 07777) < 0 ? err_sys(errno, "set the mode of %s", p->upper) : NULL;
}

struct err *rootfs_in_use(void) {
    return err_hint(err_new(ERR_IN_USE, "the container's files are mounted by 'coracle mount'"),
                    "in the shell of 'coracle unshare' that has them: 'coracle umount', or leave it");
}

static struct err *overlay_mount(const struct rootfs_plan *p, int *ret_fd) {
    if (p->adopt && p->upper)
        TRY(rootfs_adopt(p));
    if (p->upper)
        clear_mark(p);
    int fd = overlay_any(p, true);
    if (fd < 0 && p->upper && errno == EINVAL)
        fd = overlay_any(p, false);
    if (fd < 0 && errno == EBUSY)
        return rootfs_in_use();
    if (fd < 0)
        return err_hint(err_sys(errno, "mount overlay of %zu layers in %s", p->lowers.n, p->base_dir),
                        "set \"storage-driver\" to \"fuse-overlayfs\" or \"copy\" in config.json if this kernel "
                        "cannot mount overlays in a user namespace");
    *ret_fd = fd;
    return NULL;
}

static struct err *overlay_root(const struct rootfs_plan *p, int *ret_fd) {
    if (chdir(p->base_dir) < 0)
        return err_sys(errno, "enter %s", p->base_dir);
    if (!p->upper && p->lowers.n == 1 && !p->data.n) /* an overlay wants two layers */
        return mount_fs_clone(AT_FDCWD, p->lowers.v[0], &(struct mount_opts){.attrs = MOUNT_ATTR_RDONLY}, ret_fd);
    return overlay_mount(p, ret_fd);
}

struct err *rootfs_open(const struct rootfs_plan *p, int *ret_fd) {
    const struct mount_opts bind = {.recursive = true, .propagation = MS_PRIVATE};
    switch (p->driver) {
    case ROOTFS_OVERLAY:
        return overlay_root(p, ret_fd);
    case ROOTFS_FUSE_OVERLAY:
        return mount_fs_clone(AT_FDCWD, p->fuse_dir ? p->fuse_dir : p->base_dir,
                              &(struct mount_opts){.propagation = MS_PRIVATE}, ret_fd);
    case ROOTFS_COPY:
    case ROOTFS_DIR:
        break;
    }
    if (p->lowers.n != 1)
        return err_new(ERR_CORRUPT, "a root file system of one directory was planned with %zu", p->lowers.n);
    autofree char *dir = path_join(p->base_dir ? p->base_dir : "/", p->lowers.v[0]);
    return mount_fs_clone(AT_FDCWD, dir, &bind, ret_fd);
}

/* Over the host's root, where no directory is needed for it; but hooks of the container look for its root where its
 * config says that it is. */
static struct err *place_of_root(const struct init *in, char **ret) {
    const char *path = json_str_value(json_path(in->c->config, "root.path"));
    if (!in->c->bundle || !path || !hooks_any(in->c->config, "createContainer")) {
        *ret = mem_dup("/");
        return NULL;
    }
    *ret = path_join(in->c->bundle, path);
    return mkdir(*ret, 0700) < 0 && errno != EEXIST ? err_sys(errno, "make %s", *ret) : NULL;
}

struct err *rootfs_attach(struct init *in) {
    autofree char *place = NULL;
    if (in->root < 0)
        TRY(rootfs_open(in->c->rootfs, &in->root));
    TRY(place_of_root(in, &place));
    if (sys_move_mount(in->root, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(errno, "mount the root file system");
    return NULL;
}
