/*
 * root: see root.h. The child is a copy of the command that never executes anything: what a container has in its
 * libraries stays there (CVE-2019-14271).
 */
#include "runtime/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

struct call {
    const struct runtime_root *r;
    struct err *(*fn)(void *ctx, int root, int mounts);
    void *ctx;
};

/* Where "/" is the root of the mount namespace, wherever a process in it may have chrooted to. */
static struct err *join_running(const struct runtime_root *r, int *ret_root) {
    autofd int root = -1;
    if (setns(r->target_pidfd, CLONE_NEWNS) < 0)
        return errno == ESRCH ? err_new(ERR_CONFLICT, "the container is not running")
                              : err_sys(errno, "join the container's mounts");
    TRY(fd_open_dir(AT_FDCWD, "/", &root));
    if (r->bare)
        return mount_fs_clone(root, "", &(struct mount_opts){.propagation = MS_PRIVATE}, ret_root);
    *ret_root = take_fd(&root);
    return NULL;
}

/*
 * Where the container has a user namespace of its own the mounts were made above it, where the store is in reach; what
 * is handed on is a copy that belongs to it. The working directory moves along into that, a descriptor does not.
 */
static struct err *enter_own(const struct runtime_root *r, int root, int *ret_root) {
    if (r->userns_fd < 0)
        return fd_open_dir(root, ".", ret_root);
    if (fchdir(root) < 0)
        return err_sys(errno, "enter the container's root directory");
    TRY(runtime_userns_enter(r->userns_fd));
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(errno, "make a mount namespace");
    return fd_open_dir(AT_FDCWD, ".", ret_root);
}

static struct err *make_mounts(void) {
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(errno, "make a mount namespace");
    return NULL;
}

/* The mount that somebody else has, in a copy of his namespace. He may be anybody, so what counts is not his word but
 * the directory that it is in: who can have that somewhere else can have the container's files as well. */
static struct err *take_mounted(const struct runtime_root *r, int *ret_root) {
    struct statx st;
    autofd int dir = -1;
    if (setns(r->holder_pidfd, CLONE_NEWNS) < 0)
        return errno == ESRCH ? rootfs_in_use() : err_sys(errno, "join the mounts of the process that has them");
    TRY(make_mounts());
    TRY(fd_open_dir(AT_FDCWD, r->holder_path, &dir));
    if (!fd_same_file(dir, r->holder_dir))
        return err_new(ERR_DENIED, "%s is another directory to the process that has it mounted", r->holder_path);
    autofd int root = sys_open_tree(dir, r->holder_name, AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (root < 0)
        return err_sys(errno, "take over the mount on %s/%s", r->holder_path, r->holder_name);
    if (statx(dir, r->holder_name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) < 0 ||
        !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return rootfs_in_use(); /* unmounted, but not out of use yet */
    *ret_root = take_fd(&root);
    return NULL;
}

/* fuse-overlayfs is in the namespace that it was started in, and would be there as long as its mount is: for ever. So
 * the mount moves on to another one, and is the last. */
static struct err *open_fuse(const struct rootfs_plan *p, int *ret_root) {
    TRY(fuse_mount(p, -1));
    struct err *e = rootfs_open(p, ret_root);
    middle_unmount(p);
    return e ? e : make_mounts();
}

static struct err *open_stopped(const struct runtime_root *r, struct init *in) {
    if (r->holder_pidfd >= 0)
        return take_mounted(r, &in->root);
    TRY(make_mounts());
    return r->rootfs->driver == ROOTFS_FUSE_OVERLAY ? open_fuse(r->rootfs, &in->root) : NULL;
}

static struct err *make_stopped(const struct runtime_root *r, int *ret_root) {
    const struct runtime_create c = {.config = r->config, .rootfs = r->rootfs};
    struct init in = {.c = &c, .root = -1, .proc = -1, .dev = -1, .devpts = -1, .null = -1};
    TRY(open_stopped(r, &in));
    TRY(rootfs_attach(&in));
    if (!r->bare)
        TRY(mounts_apply_binds(&in, r->strict));
    if (r->rootfs->read_only && sys_mount_setattr(in.root, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0) < 0)
        return err_sys(errno, "make the root file system read-only");
    return enter_own(r, in.root, ret_root);
}

static struct err *inside(void *ctx) {
    const struct call *c = ctx;
    autofd int ours = -1; /* by which our namespaces can be seen whatever /proc the container has */
    autofd int mounts = -1;
    autofd int root = -1;
    TRY(fd_open_at(AT_FDCWD, "/proc/self/ns", O_PATH | O_DIRECTORY, 0, &ours));
    TRY(c->r->target_pidfd >= 0 ? join_running(c->r, &root) : make_stopped(c->r, &root));
    TRY(fd_open_at(ours, "mnt", O_RDONLY, 0, &mounts));
    return c->fn(c->ctx, root, mounts);
}

struct err *runtime_root_call(const struct runtime_root *r, struct err *(*fn)(void *ctx, int root, int mounts),
                              void *ctx) {
    struct call c = {r, fn, ctx};
    bool own = r->userns_fd >= 0 && r->target_pidfd >= 0;
    return runtime_userns_call(own ? r->userns_fd : r->shared_fd, inside, &c);
}
