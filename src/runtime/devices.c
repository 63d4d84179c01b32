/*
 * devices: what a program expects in /dev. A user namespace may not make device nodes, so the host's are bound on
 * empty files; all by descriptor of a /dev that was resolved inside the root (an image's /dev may be a link to
 * anywhere).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "runtime/runtime_int.h"

static const struct node {
    const char *path;
    unsigned major, minor;
} nodes[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
             {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};

static const struct link {
    const char *name, *target;
} links[] = {{"fd", "/proc/self/fd"},
             {"stdin", "/proc/self/fd/0"},
             {"stdout", "/proc/self/fd/1"},
             {"stderr", "/proc/self/fd/2"},
             {"ptmx", "pts/ptmx"}};

/* A file in dir for a mount to go on: made, or what the image has unless that is a link. */
static struct err *place(int dir, const char *name) {
    struct stat st;
    if (mknodat(dir, name, S_IFREG | 0666, 0) == 0)
        return NULL;
    if (errno != EEXIST)
        return err_sys(errno, "make /dev/%s", name);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
        return err_new(ERR_CONFLICT, "/dev/%s of the image is a link or a directory", name);
    return NULL;
}

/* A copy of what is at dirfd/path of the host must be the device with these numbers (0: any). */
static struct err *check_node(int tree, unsigned long long dev, const char *name) {
    struct stat st;
    if (fstat(tree, &st) < 0)
        return err_sys(errno, "stat %s", name);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_new(ERR_USAGE, "%s is not a device", name);
    if (dev && st.st_rdev != dev)
        return err_new(ERR_CONFLICT, "%s of this machine is device %u:%u, not %u:%u", name, major(st.st_rdev),
                       minor(st.st_rdev), major(dev), minor(dev));
    return NULL;
}

static struct err *default_node(struct init *in, int dev, const struct node *n) {
    const struct mount_opts plain = {.nofollow = true};
    const char *name = path_base(n->path);
    bool null = n->major == 1 && n->minor == 3;
    autofd int tree = -1;
    TRY(null ? mount_fs_clone(in->null, "", &plain, &tree) : mount_fs_clone(AT_FDCWD, n->path, &plain, &tree));
    TRY(check_node(tree, makedev(n->major, n->minor), n->path));
    TRY(place(dev, name));
    return mount_fs_attach_at(tree, dev, name);
}

/* linux.devices: nodes of the host, under the same path. */
static struct err *extra_node(struct init *in, const struct json *j) {
    const char *path, *type;
    int64_t major_no, minor_no;
    const struct mount_opts plain = {.attrs = 0};
    autofd int tree = -1;
    autofd int dest = -1;
    TRY(json_get_str(j, "path", &path));
    TRY(json_get_str_opt(j, "type", "c", &type));
    TRY(json_get_i64_opt(j, "major", 0, &major_no));
    TRY(json_get_i64_opt(j, "minor", 0, &minor_no));
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        if (str_eq(path, nodes[i].path))
            return NULL;
    if (*type == 'p')
        return err_hint(err_new(ERR_UNSUPPORTED, "%s: a FIFO as a device", path), "make it with a bind mount");
    TRY_CTX(mount_fs_clone(AT_FDCWD, path, &plain, &tree), "device %s of this machine", path);
    TRY(check_node(tree, makedev((unsigned)major_no, (unsigned)minor_no), path));
    TRY(mount_dest(in, path, false, &dest));
    return mount_fs_attach(tree, dest, path);
}

struct err *devices_make(struct init *in) {
    autofd int found = -1;
    int dev = in->dev;
    if (in->dev_bound)
        return NULL;
    if (dev < 0) {
        TRY(mount_dest(in, "/dev", true, &found));
        dev = found;
    }
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        TRY(default_node(in, dev, &nodes[i]));
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
            return err_sys(errno, "make /dev/%s", links[i].name);
    JSON_EACH(it, json_get(in->linux_, "devices"))
    TRY(extra_node(in, it));
    return NULL;
}

/* The pty of the container itself, opened through the devpts that was just mounted, is also its /dev/console. */
struct err *console_make(struct init *in) {
    struct launch *l = &in->l;
    const struct mount_opts plain = {.attrs = 0};
    autofd int dev = -1;
    autofd int tree = -1;
    if (!l->terminal)
        return NULL;
    TRY(tty_open(in->devpts, l->rows, l->cols, &l->master, &l->slave));
    if (in->dev_bound || in->devpts < 0)
        return NULL;
    TRY(mount_fs_clone(l->slave, "", &plain, &tree));
    TRY(check_node(tree, 0, "/dev/console"));
    TRY(mount_dest(in, "/dev", true, &dev));
    TRY(place(dev, "console"));
    return mount_fs_attach_at(tree, dev, "console");
}
