/*
 * mounts: the "mounts" of the config, in their order. Destinations belong to the image: they are resolved inside the
 * root and mounted on by descriptor. Where the kernel does not let a user namespace mount an instance of its own (the
 * namespace behind it is the host's), a copy of the host's mount takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"

struct one {
    const char *dest, *type, *source;
    struct mount_opts o;
    int ids; /* the user namespace with its ids (mount_ids.c), or -1 */
};

/*
 * Inside /proc only files of information may be covered: a mount on anything else could turn what is written there
 * later (labels, sysctls) into something harmless (CVE-2019-16884). What counts is where the path has led to.
 */
static struct err *check_dest(int dest, const char *path) {
    static const char *const fine[] = {"cpuinfo",
                                       "diskstats",
                                       "loadavg",
                                       "meminfo",
                                       "net/dev",
                                       "slabinfo",
                                       "stat",
                                       "swaps",
                                       "uptime",
                                       "sys/kernel/ns_last_pid",
                                       "sys/crypto/fips_enabled"};
    struct statfs sf;
    if (fstatfs(dest, &sf) < 0)
        return err_sys(errno, "look at %s", path);
    if (sf.f_type != PROC_SUPER_MAGIC)
        return NULL;
    autofree char *clean = path_clean(path);
    for (size_t i = 0; str_starts(clean, "/proc/") && i < ARRAY_LEN(fine); i++)
        if (strcmp(clean + strlen("/proc/"), fine[i]) == 0)
            return NULL;
    return err_new(ERR_DENIED, "%s cannot be mounted on because it is inside /proc", path);
}

/* proc and sysfs only ever go on a real directory: a link there would put a look-alike in the way of later writes. */
static struct err *real_dir(int root, const char *path, int *ret_fd) {
    autofd int made = -1;
    autoerr e = path_open_in_root(root, path, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0, ret_fd);
    if (!e)
        return NULL;
    if (err_errno(e) == ENOENT) {
        TRY(path_mkdirs_in_root(root, path, 0755, (uid_t)-1, (gid_t)-1, &made));
        return path_open_in_root(root, path, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0, ret_fd);
    }
    return err_wrap(take_ptr(&e), "%s in the image is not a plain directory", path);
}

static struct err *give_ids(const struct one *m, int mount) {
    return m->ids < 0 ? NULL : mount_ids_give(mount, m->ids, m->o.ids_below);
}

static struct err *attach_new(struct init *in, const struct one *m, int mount) {
    autofd int dest = -1;
    TRY(give_ids(m, mount));
    bool strict = strcmp(m->type, "proc") == 0 || strcmp(m->type, "sysfs") == 0;
    TRY(strict ? real_dir(in->root, m->dest, &dest) : mount_dest(in, m->dest, true, &dest));
    TRY(check_dest(dest, m->dest));
    return mount_fs_attach(mount, dest, m->dest);
}

/* A recursive copy of the host's own mount. */
static struct err *host_copy(struct init *in, const struct one *m, const char *host_path, int *ret_fd) {
    struct mount_opts o = {.recursive = true, .attrs = m->o.attrs, .propagation = MS_PRIVATE};
    autofd int mount = -1;
    TRY(mount_fs_clone(AT_FDCWD, host_path, &o, &mount));
    TRY(attach_new(in, m, mount));
    *ret_fd = take_fd(&mount);
    return NULL;
}

static struct err *mount_instance(struct init *in, const struct one *m, const char *host_path, int *ret_fd) {
    autofd int mount = -1;
    autoerr e = mount_fs_new(m->type, m->source ? m->source : m->type, &m->o, &mount);
    if (!e) {
        TRY(attach_new(in, m, mount));
        *ret_fd = take_fd(&mount);
        return NULL;
    }
    if (!host_path || (err_kind(e) != ERR_DENIED && err_kind(e) != ERR_IN_USE) || access(host_path, F_OK) < 0)
        return take_ptr(&e);
    return host_copy(in, m, host_path, ret_fd);
}

static struct err *mount_proc(struct init *in, struct one *m) { return mount_instance(in, m, "/proc", &in->proc); }

static struct err *mount_sysfs(struct init *in, struct one *m) {
    autofd int fd = -1;
    return mount_instance(in, m, "/sys", &fd);
}

static struct err *mount_mqueue(struct init *in, struct one *m) {
    autofd int fd = -1;
    return mount_instance(in, m, "/dev/mqueue", &fd);
}

/* The tty group (gid 5) may not be mapped: then ptys belong to their user alone. */
static struct err *mount_devpts(struct init *in, struct one *m) {
    autoerr e = mount_instance(in, m, NULL, &in->devpts);
    if (!e)
        return NULL;
    for (size_t i = 0; i < m->o.data.n; i++)
        if (str_starts(m->o.data.v[i], "gid=")) {
            strv_remove(&m->o.data, i);
            return mount_instance(in, m, NULL, &in->devpts);
        }
    return take_ptr(&e);
}

/* An own cgroup2 instance shows the container's cgroup as its root; elsewhere a read-only copy of the host's tree, or
 * nothing. */
static struct err *mount_cgroup(struct init *in, struct one *m) {
    autofd int fd = -1;
    m->type = "cgroup2";
    m->source = "cgroup";
    strv_done(&m->o.data);
    if (in->made & CLONE_NEWCGROUP) {
        autoerr e = mount_instance(in, m, NULL, &fd);
        if (!e)
            return NULL;
    }
    m->o.attrs |= MOUNT_ATTR_RDONLY;
    err_free(host_copy(in, m, "/sys/fs/cgroup", &fd));
    return NULL;
}

/* What follows `key` ("subpath=") in one of the options, or NULL. */
static const char *option_value(const struct one *m, const char *key) {
    for (size_t i = 0; i < m->o.data.n; i++)
        if (str_starts(m->o.data.v[i], key))
            return m->o.data.v[i] + strlen(key);
    return NULL;
}

/* "subpath=a/b": only that of a volume, whose links belong to containers and lead nowhere else. */
static struct err *clone_source(const struct one *m, const char *source, int *ret_tree) {
    const char *subpath = option_value(m, "subpath=");
    if (!subpath)
        return mount_fs_clone(AT_FDCWD, source, &m->o, ret_tree);
    autofd int top = -1;
    TRY(fd_open_at(AT_FDCWD, source, O_PATH | O_DIRECTORY, 0, &top));
    autofd int sub = path_find_in_root(top, subpath, O_PATH);
    if (sub < 0)
        return err_sys(errno, "cannot access path %s in %s", subpath, source);
    return mount_fs_clone(sub, "", &m->o, ret_tree);
}

static struct err *open_source(const struct init *in, struct one *m, int *ret_tree) {
    if (!m->source)
        return err_new(ERR_USAGE, "bind mount on %s without a source", m->dest);
    autofree char *source = path_join(in->c->bundle ? in->c->bundle : "/", m->source);
    if (!m->o.propagation && in->slave)
        m->o.propagation = MS_PRIVATE;
    struct err *e = clone_source(m, source, ret_tree);
    if (!e || err_errno(e) != ENOENT || m->o.data.n)
        return e;
    err_free(e);
    return err_new(ERR_NOT_FOUND, "bind source path does not exist: %s", source);
}

static struct err *mount_bind(struct init *in, struct one *m) {
    autofd int tree = -1;
    autofd int dest = -1;
    struct stat st;
    TRY(in->nested ? nested_source(in->nested, &tree) : open_source(in, m, &tree));
    if (fstat(tree, &st) < 0)
        return err_sys(errno, "stat %s", m->source);
    TRY(give_ids(m, tree));
    TRY(mount_dest(in, m->dest, S_ISDIR(st.st_mode), &dest));
    TRY(check_dest(dest, m->dest));
    return mount_fs_attach(tree, dest, m->dest);
}

/* A directory or file of a tree. Only what is mounted somewhere can be copied, so that is done where nobody looks. */
static struct err *tree_part(const struct rootfs_plan *p, const struct one *m, const char *subpath, int *tree) {
    autofd int part = -1;
    if (sys_move_mount(*tree, "", AT_FDCWD, p->base_dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(errno, "mount on %s", p->base_dir);
    autofd int sub = path_find_in_root(*tree, subpath, O_PATH);
    struct err *e = sub < 0 ? err_sys(errno, "cannot access path %s in what is mounted on %s", subpath, m->dest)
                            : mount_fs_clone(sub, "", &m->o, &part);
    if (umount2(p->base_dir, MNT_DETACH) < 0 && !e)
        e = err_sys(errno, "unmount %s", p->base_dir);
    if (!e)
        fd_replace(tree, take_fd(&part));
    return e;
}

/* An overlay that the engine has planned (rootfs_plan.h). */
static struct err *open_tree_plan(const struct one *m, const struct rootfs_plan *p, int *ret_tree) {
    const char *subpath = option_value(m, "subpath=");
    autofd int tree = -1;
    TRY(rootfs_open(p, &tree));
    TRY(subpath ? tree_part(p, m, subpath, &tree) : mount_fs_attrs(tree, &m->o));
    *ret_tree = take_fd(&tree);
    return NULL;
}

static struct err *mount_tree(struct init *in, const struct one *m, const struct rootfs_plan *p) {
    autofd int tree = -1;
    autofd int dest = -1;
    struct stat st;
    TRY(in->nested ? nested_source(in->nested, &tree) : open_tree_plan(m, p, &tree));
    if (fstat(tree, &st) < 0)
        return err_sys(errno, "look at what is to be mounted");
    TRY(give_ids(m, tree));
    TRY(mount_dest(in, m->dest, S_ISDIR(st.st_mode), &dest));
    TRY(check_dest(dest, m->dest));
    return mount_fs_attach(tree, dest, m->dest);
}

/* U: the tmpfs belongs to the container's user, by the image's own passwd. */
static struct err *tmpfs_owner(const struct init *in, struct one *m) {
    struct runtime_user u;
    for (size_t i = 0; i < m->o.data.n; i++) {
        if (strcmp(m->o.data.v[i], SPEC_OPTION_CHOWN) != 0)
            continue;
        TRY(runtime_user_resolve(in->root, config_annotation(in->c->config, SPEC_ANN_USER), NULL, &u));
        strv_remove(&m->o.data, i);
        strv_pushf(&m->o.data, "uid=%u", (unsigned)u.uid);
        strv_pushf(&m->o.data, "gid=%u", (unsigned)u.gid);
        return NULL;
    }
    return NULL;
}

static struct err *mount_other(struct init *in, struct one *m) {
    autofd int fd = -1;
    if (strcmp(m->type, "tmpfs") == 0)
        TRY(tmpfs_owner(in, m));
    TRY(mount_instance(in, m, NULL, &fd));
    if (strcmp(m->dest, "/dev") == 0)
        in->dev = take_fd(&fd);
    return NULL;
}

static const struct rootfs_tree *tree_of(const struct init *in, const struct one *m) {
    return strcmp(m->type, "overlay") == 0 ? rootfs_plan_tree(in->c->rootfs, m->dest) : NULL;
}

static bool is_bind(const struct one *m) { return m->o.bind || strcmp(m->type, "bind") == 0; }

static struct err *mount_one(struct init *in, struct one *m) {
    static const struct {
        const char *type;
        struct err *(*fn)(struct init *, struct one *);
    } kinds[] = {
        {"proc", mount_proc},     {"sysfs", mount_sysfs},   {"devpts", mount_devpts},
        {"mqueue", mount_mqueue}, {"cgroup", mount_cgroup}, {"cgroup2", mount_cgroup},
    };
    if (strcmp(m->dest, "/dev") == 0)
        fd_replace(&in->dev, -1);
    if (is_bind(m)) {
        in->dev_bound |= strcmp(m->dest, "/dev") == 0;
        return mount_bind(in, m);
    }
    const struct rootfs_tree *tree = tree_of(in, m);
    if (tree)
        return mount_tree(in, m, &tree->plan);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].type, m->type) == 0)
            return m->ids < 0 ? kinds[i].fn(in, m)
                              : err_new(ERR_UNSUPPORTED, "a mount of type %s cannot have ids of its own", m->type);
    return mount_other(in, m);
}

static struct err *read_mount(const struct init *in, const struct json *j, struct one *m) {
    TRY(json_get_str(j, "destination", &m->dest));
    TRY(json_get_str_opt(j, "type", "bind", &m->type));
    TRY(json_get_str_opt(j, "source", NULL, &m->source));
    if (strcmp(m->dest, "/") == 0)
        return err_new(ERR_USAGE, "a mount cannot replace / of the container");
    m->ids = mount_ids_of(in->ids, j);
    mount_opts_parse(json_get(j, "options"), &m->o);
    if (!m->o.bind)
        mount_label_option(in->label, m->type, &m->o.data);
    return NULL;
}

struct err *mounts_clone_source(struct init *in, const struct json *mount, int *ret_tree) {
    struct one m = {.dest = NULL};
    TRY(read_mount(in, mount, &m));
    const struct rootfs_tree *tree = tree_of(in, &m);
    struct err *e = is_bind(&m) ? open_source(in, &m, ret_tree) : NULL;
    if (!e && tree)
        e = open_tree_plan(&m, &tree->plan, ret_tree);
    mount_opts_done(&m.o);
    return e;
}

static struct err *read_and_mount(struct init *in, const struct json *j) {
    struct one m = {.dest = NULL};
    TRY(read_mount(in, j, &m));
    struct err *e = mount_one(in, &m);
    mount_opts_done(&m.o);
    return e ? err_wrap(e, "mount %s on %s", m.source ? m.source : m.type, m.dest) : NULL;
}

struct err *mounts_apply_binds(struct init *in, bool strict) {
    JSON_EACH(it, json_get(in->c->config, "mounts")) {
        const char *type = json_text(it, "type");
        if (*type && !str_eq(type, "bind"))
            continue;
        autoerr e = read_and_mount(in, it);
        if (e && strict)
            return take_ptr(&e);
        if (e)
            log_debug("a mount of a container that does not run was left out");
    }
    return NULL;
}

struct err *mounts_apply(struct init *in) {
    JSON_EACH(it, json_get(in->c->config, "mounts"))
    TRY(read_and_mount(in, it));
    return NULL;
}
