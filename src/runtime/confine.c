/* confine: sysctls, masked and read-only paths. All are done before pivot_root, by descriptors of the new root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

static struct err *sysctl_set(int proc, const char *key, const char *value) {
    autofree char *path = path_join("sys", key);
    const struct open_how how = {.flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    struct statfs sf;
    for (char *p = path; *p; p++)
        if (*p == '.')
            *p = '/';
    autofd int fd = sys_openat2(proc, path, &how);
    if (fd < 0)
        return err_hint(err_sys(errno, "sysctl %s", key), "only sysctls of the container's own namespaces can be set");
    if (fstatfs(fd, &sf) < 0 || sf.f_type != PROC_SUPER_MAGIC)
        return err_new(ERR_DENIED, "sysctl %s: not a file of /proc", key);
    if (write(fd, value, strlen(value)) < 0)
        return err_sys(errno, "set sysctl %s to %s", key, value);
    return NULL;
}

struct err *sysctls_apply(struct init *in) {
    const struct json *sysctls = json_get(in->linux_, "sysctl");
    if (json_count(sysctls) && in->proc < 0)
        return err_new(ERR_USAGE, "sysctls need /proc to be mounted");
    JSON_EACH(it, sysctls) {
        const char *value = json_str_value(it);
        if (!value)
            return err_new(ERR_USAGE, "sysctl %s: expected a string", json_key(it));
        TRY(sysctl_set(in->proc, json_key(it), value));
    }
    return NULL;
}

/* Opens what is to be covered; -1 where there is nothing of the name, which needs no cover. */
static struct err *find_place(const struct init *in, const char *path, int *ret_fd) {
    const char *rest = path;
    int root = mount_start(in, &rest);
    int fd = path_find_in_root(root, rest, O_PATH);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
        return err_sys(errno, "open %s", path);
    *ret_fd = fd;
    return NULL;
}

/* The first masked directory gets an empty read-only tmpfs; the others share it. */
static struct err *empty_dir(const char *label, int *tmpfs, int *ret_fd) {
    struct mount_opts o = {.attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    if (*tmpfs >= 0)
        return mount_fs_clone(*tmpfs, "", &(struct mount_opts){.attrs = 0}, ret_fd);
    strv_push(&o.data, "size=0k");
    mount_label_option(label, "tmpfs", &o.data);
    struct err *e = mount_fs_new("tmpfs", "tmpfs", &o, tmpfs);
    mount_opts_done(&o);
    TRY(e);
    return fd_dup(*tmpfs, ret_fd);
}

static struct err *mask(struct init *in, const char *path, int *tmpfs) {
    autofd int at = -1;
    autofd int cover = -1;
    struct stat st;
    TRY(find_place(in, path, &at));
    if (at < 0)
        return NULL;
    if (fstat(at, &st) < 0)
        return err_sys(errno, "stat %s", path);
    if (S_ISDIR(st.st_mode))
        TRY(empty_dir(in->label, tmpfs, &cover));
    else
        TRY(mount_fs_clone(in->null, "", &(struct mount_opts){.attrs = 0}, &cover));
    return mount_fs_attach(cover, at, path);
}

struct err *masks_apply(struct init *in) {
    autofd int tmpfs = -1;
    JSON_EACH(it, json_get(in->linux_, "maskedPaths"))
    if (json_str_value(it))
        TRY_CTX(mask(in, json_str_value(it), &tmpfs), "mask %s", json_str_value(it));
    return NULL;
}

static struct err *readonly(struct init *in, const char *path) {
    const struct mount_opts ro = {.recursive = true, .attrs = MOUNT_ATTR_RDONLY};
    autofd int at = -1;
    autofd int copy = -1;
    TRY(find_place(in, path, &at));
    if (at < 0)
        return NULL;
    TRY(mount_fs_clone(at, "", &ro, &copy));
    return mount_fs_attach(copy, at, path);
}

struct err *readonly_apply(struct init *in) {
    JSON_EACH(it, json_get(in->linux_, "readonlyPaths"))
    if (json_str_value(it))
        TRY_CTX(readonly(in, json_str_value(it)), "make %s read-only", json_str_value(it));
    bool root_ro = in->c->rootfs->read_only || json_bool_value(json_path(in->c->config, "root.readonly"), false);
    if (root_ro && sys_mount_setattr(in->root, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0) < 0)
        return err_sys(errno, "make the root file system read-only");
    return NULL;
}
