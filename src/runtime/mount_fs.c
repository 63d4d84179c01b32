/* mount_fs: detached mounts by the new mount interface, and the places they go to. Nothing here follows a link out of
 * the root. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

/* What the kernel wrote about a failed fsconfig or fsmount ("e overlay: …"), if anything. */
static struct err *fs_error(int fs, const char *type) {
    int saved = errno;
    char text[256];
    ssize_t n = read(fs, text, sizeof text - 1);
    if (n <= 2)
        return err_sys(saved, "mount %s", type);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_sys(saved, "mount %s (%s)", type, text + 2);
}

static int fs_option(int fs, const char *option) {
    const char *eq = strchr(option, '=');
    if (!eq)
        return sys_fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
    autofree char *key = mem_dupn(option, (size_t)(eq - option));
    return sys_fsconfig(fs, FSCONFIG_SET_STRING, key, eq + 1, 0);
}

struct err *mount_fs_new(const char *type, const char *source, const struct mount_opts *o, int *ret_fd) {
    autofd int fs = sys_fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return err_sys(errno, "mount %s", type);
    if (source && sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return fs_error(fs, type);
    for (size_t i = 0; i < o->data.n; i++)
        if (fs_option(fs, o->data.v[i]) < 0)
            return err_wrap(fs_error(fs, type), "option %s", o->data.v[i]);
    if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return fs_error(fs, type);
    int mount = sys_fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)o->attrs);
    if (mount < 0)
        return fs_error(fs, type);
    *ret_fd = mount;
    return NULL;
}

/* Attributes are only ever added to a copy: what the mount it comes from forbids stays forbidden. */
struct err *mount_fs_attrs(int mount, const struct mount_opts *o) {
    uint64_t atime = o->attrs & MOUNT_ATTR__ATIME;
    if (!o->attrs && !o->propagation)
        return NULL;
    uint64_t clear = atime ? MOUNT_ATTR__ATIME : 0;
    if (sys_mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, o->attrs, clear, o->propagation) == 0)
        return NULL;
    if (errno == EPERM && atime && /* the time mode is locked by the mount it comes from */
        sys_mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, o->attrs & ~atime, 0, o->propagation) == 0)
        return NULL;
    return err_sys(errno, "set mount attributes");
}

struct err *mount_fs_clone(int dirfd, const char *path, const struct mount_opts *o, int *ret_fd) {
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : (unsigned)AT_EMPTY_PATH) |
                     (o->nofollow ? (unsigned)AT_SYMLINK_NOFOLLOW : 0);
    autofd int mount = sys_open_tree(dirfd, path, flags | (o->recursive ? (unsigned)AT_RECURSIVE : 0));
    if (mount < 0 && errno == EINVAL && !o->recursive)
        mount = sys_open_tree(dirfd, path, flags | AT_RECURSIVE);
    if (mount < 0)
        return err_sys(errno, "bind %s", *path ? path : "a descriptor");
    TRY(mount_fs_attrs(mount, o));
    *ret_fd = take_fd(&mount);
    return NULL;
}

struct err *mount_fs_attach(int mount, int dest, const char *name) {
    if (sys_move_mount(mount, "", dest, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return err_sys(errno, "mount on %s", name);
    return NULL;
}

struct err *mount_fs_attach_at(int mount, int dir, const char *name) {
    if (sys_move_mount(mount, "", dir, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(errno, "mount on %s", name);
    return NULL;
}

int mount_start(const struct init *in, const char **path) {
    const char *p = *path;
    if (in->dev >= 0 && str_starts(p, "/dev/") && path_is_component(p + strlen("/dev/"))) {
        *path += strlen("/dev/");
        return in->dev;
    }
    if (in->proc >= 0 && str_starts(p, "/proc/") && p[strlen("/proc/")] && !strstr(p, "..")) {
        *path += strlen("/proc/");
        return in->proc;
    }
    return in->root;
}

static struct err *make_parent(int root, const char *path, int *ret_fd) {
    int fd = path_find_in_root(root, path, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT)
        return path_mkdirs_in_root(root, path, 0755, (uid_t)-1, (gid_t)-1, ret_fd);
    if (fd < 0)
        return err_sys(errno, "open %s", path);
    *ret_fd = fd;
    return NULL;
}

/* Makes the last component in its (existing or made) parent directory. */
static struct err *make_dest(int root, const char *path, bool directory, int *ret_fd) {
    autofree char *clean = path_clean(path);
    char *slash = strrchr(clean, '/');
    const char *name = slash ? slash + 1 : clean;
    autofd int parent = -1;
    int dir = root;
    if (!path_is_component(name))
        return err_new(ERR_USAGE, "not a place for a mount: %s", path);
    if (slash && slash != clean) {
        *slash = '\0';
        TRY(make_parent(root, clean, &parent));
        dir = parent;
    }
    if (!directory)
        return fd_open_at(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDONLY, 0644, ret_fd);
    if (mkdirat(dir, name, 0755) < 0) /* EEXIST: a link to nothing, which is then made */
        return errno == EEXIST ? path_mkdirs_in_root(root, path, 0755, (uid_t)-1, (gid_t)-1, ret_fd)
                               : err_sys(errno, "make directory %s", path);
    return fd_open_at(dir, name, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0, ret_fd);
}

static struct err *wrong_kind(const char *path, bool directory) {
    return err_hint(err_new(ERR_CONFLICT, "%s is %s in the image, but a %s is to be mounted there", path,
                            directory ? "not a directory" : "a directory", directory ? "directory" : "file"),
                    "check that the source and the target are of the same kind");
}

struct err *mount_dest(const struct init *in, const char *path, bool directory, int *ret_fd) {
    const char *rest = path;
    int root = mount_start(in, &rest);
    autofd int fd = path_find_in_root(root, rest, O_PATH);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return make_dest(root, rest, directory, ret_fd);
    if (fd < 0)
        return err_sys(errno, "open %s", path);
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", path);
    if (S_ISDIR(st.st_mode) != directory)
        return wrong_kind(path, directory);
    *ret_fd = take_fd(&fd);
    return NULL;
}
