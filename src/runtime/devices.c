/*
 * devices: what a program expects in /dev. A user namespace may not make device nodes, so the host's are bound on
 * empty files; all by descriptor of a /dev that was resolved inside the root (an image's /dev may be a link to
 * anywhere).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
    const char *name;
    unsigned major, minor;
} nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const struct link {
    const char *name, *target;
} links[] = {{"fd", "/proc/self/fd"},
             {"stdin", "/proc/self/fd/0"},
             {"stdout", "/proc/self/fd/1"},
             {"stderr", "/proc/self/fd/2"},
             {"ptmx", "pts/ptmx"}};

/* A file in dir for a mount to go on: made, or what the image has unless that is a link. */
static struct err *place(int dir, const char *name, int *ret_fd) {
    int fd = openat(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDONLY | O_CLOEXEC, 0666);
    struct stat st;
    if (fd < 0 && errno == EEXIST) {
        TRY(fd_open_at(dir, name, O_PATH | O_NOFOLLOW, 0, &fd));
        if (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode)) {
            fd_close(fd);
            return err_new(ERR_CONFLICT, "/dev/%s of the image is a link or a directory", name);
        }
    }
    if (fd < 0)
        return err_sys(errno, "make /dev/%s", name);
    *ret_fd = fd;
    return NULL;
}

/* Binds what `from` refers to; it must be the device with these numbers (0:0: any). */
static struct err *bind_node(int from, unsigned long long dev, int dest, const char *name) {
    const struct mount_opts plain = {.attrs = 0};
    autofd int tree = -1;
    struct stat st;
    if (fstat(from, &st) < 0)
        return err_sys(errno, "stat %s", name);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_new(ERR_USAGE, "%s is not a device", name);
    if (dev && st.st_rdev != dev)
        return err_new(ERR_CONFLICT, "%s of this machine is device %u:%u, not %u:%u", name, major(st.st_rdev),
                       minor(st.st_rdev), major(dev), minor(dev));
    TRY(mount_fs_clone(from, "", &plain, &tree));
    return mount_fs_attach(tree, dest, name);
}

static struct err *default_node(struct init *in, int dev, const struct node *n) {
    char path[32];
    autofd int from = -1;
    autofd int dest = -1;
    (void)snprintf(path, sizeof path, "/dev/%s", n->name);
    TRY(place(dev, n->name, &dest));
    if (n->major == 1 && n->minor == 3)
        return bind_node(in->null, makedev(1, 3), dest, path);
    TRY(fd_open_at(AT_FDCWD, path, O_PATH | O_NOFOLLOW, 0, &from));
    return bind_node(from, makedev(n->major, n->minor), dest, path);
}

/* linux.devices: nodes of the host, under the same path. */
static struct err *extra_node(struct init *in, const struct json *j) {
    const char *path, *type;
    int64_t major_no, minor_no;
    autofd int from = -1;
    autofd int dest = -1;
    TRY(json_get_str(j, "path", &path));
    TRY(json_get_str_opt(j, "type", "c", &type));
    TRY(json_get_i64_opt(j, "major", 0, &major_no));
    TRY(json_get_i64_opt(j, "minor", 0, &minor_no));
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        if (str_starts(path, "/dev/") && str_eq(path + 5, nodes[i].name))
            return NULL;
    if (*type == 'p')
        return err_hint(err_new(ERR_UNSUPPORTED, "%s: a FIFO as a device", path), "make it with a bind mount");
    TRY_CTX(fd_open_at(AT_FDCWD, path, O_PATH, 0, &from), "device %s of this machine", path);
    TRY(mount_dest(in->root, path, false, &dest));
    return bind_node(from, makedev((unsigned)major_no, (unsigned)minor_no), dest, path);
}

struct err *devices_make(struct init *in) {
    autofd int dev = -1;
    if (in->dev_bound)
        return NULL;
    TRY(mount_dest(in->root, "/dev", true, &dev));
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
    autofd int dev = -1;
    autofd int dest = -1;
    if (!l->terminal)
        return NULL;
    TRY(tty_open(in->devpts, l->rows, l->cols, &l->master, &l->slave));
    if (in->dev_bound || in->devpts < 0)
        return NULL;
    TRY(mount_dest(in->root, "/dev", true, &dev));
    TRY(place(dev, "console", &dest));
    return bind_node(l->slave, 0, dest, "/dev/console");
}
