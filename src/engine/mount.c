/*
 * mount: a container's root file system where a user can look at it, as podman's mount does: in the mount namespace of
 * `coracle unshare`, at containers/<id>/mount. It is there for who is in that namespace, and goes with it. What is
 * mounted is what the container has, or would have: its overlay, cloned from a running one's namespace, else put
 * together for it; without volumes, which have mount points of their own. See files.h.
 *
 * The directory stays when that is unmounted: to remove it would take it away from others' namespaces. While it is
 * there the container's files may be mounted somewhere, whoever has that mount and for how long, so a start asks the
 * kernel for them alone, and removes it when it has got them (start.c).
 */
#include "engine/files_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys/sys.h"

static char *mount_path(struct engine *e, const char *id) {
    return mem_printf("%s/containers/%s/" ENGINE_MOUNT_DIR, store_containers_root(e->store), id);
}

static bool is_mounted(const char *path) {
    struct statx st;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) == 0 &&
           st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static struct err *check_inside(const char *what) {
    if (runtime_userns_inside())
        return NULL;
    return err_hint(err_new(ERR_DENIED, "cannot %s here: a container's files are those of its user namespace", what),
                    "run 'coracle unshare', and mount in its shell; or copy files by 'coracle cp'");
}

/* In the child: what a running container has is a mount by itself already, which older kernels do not clone again. */
static struct err *send_clone(const struct files_call *call, int root) {
    autojson facts = json_object();
    autofd int clone = sys_open_tree(root, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    const int fd = clone >= 0 ? clone : root;
    return files_answer(call, facts, &fd, 1);
}

static struct err *mount_at(struct files *f, const char *path) {
    struct files_call call = {.fn = send_clone, .wanted = 1, .bare = true};
    autoanswer got = {.n_fds = 0};
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_sys(errno, "make the directory %s", path);
    TRY(files_inside(f, &call, &got));
    if (sys_move_mount(got.fds[0], "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(errno, "mount on %s", path);
    return NULL;
}

struct err *engine_container_mount(struct engine *e, const char *name, char **ret_path) {
    autofiles f = FILES_INIT;
    TRY(check_inside("mount"));
    TRY(files_open(e, name, &f));
    autofree char *path = mount_path(e, f.c.id);
    if (!is_mounted(path))
        TRY(mount_at(&f, path));
    *ret_path = take_ptr(&path);
    return NULL;
}

struct err *engine_container_unmount(struct engine *e, const char *name, bool force) {
    autocontainer c = ENGINE_CONTAINER_INIT;
    TRY(check_inside("unmount"));
    TRY(engine_container_load(e, name, &c));
    autofree char *path = mount_path(e, c.id);
    if (!is_mounted(path))
        return err_new(ERR_CONFLICT, "container %s is not mounted here", name);
    if (umount2(path, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0)
        return err_hint(err_sys(errno, "unmount %s", path), "--force takes it from where it is in use");
    return NULL;
}

char *engine_container_mountpoint(struct engine *e, const char *id) {
    struct store *s;
    autoerr none = engine_store(e, &s);
    autofree char *path = none ? NULL : mount_path(e, id);
    return path && is_mounted(path) ? take_ptr(&path) : NULL;
}

/* ---- for others ---- */

struct search {
    const char *path; /* the mount point */
    uid_t uid;
    pid_t found;
    int pidfd;
};

static struct err *look_at(void *ctx, const char *name, unsigned char d_type) {
    struct search *s = ctx;
    struct stat st;
    int64_t pid;
    (void)d_type;
    if (s->found || !str_to_i64(name, 1, INT32_MAX, &pid))
        return NULL;
    autofree char *dir = mem_printf("/proc/%s", name);
    autofree char *there = mem_printf("%s/root%s", dir, s->path);
    if (stat(dir, &st) < 0 || st.st_uid != s->uid)
        return NULL;
    autofd int pidfd = sys_pidfd_open((pid_t)pid);
    if (pidfd < 0 || !is_mounted(there) || sys_pidfd_send_signal(pidfd, 0) < 0)
        return NULL;
    s->found = (pid_t)pid;
    s->pidfd = take_fd(&pidfd);
    return NULL;
}

struct err *files_find_holder(struct files *f) {
    autofree char *path = mount_path(f->engine, f->c.id);
    struct search s = {.path = path, .uid = f->engine->host->uid, .pidfd = -1};
    autofd int proc = -1, shared = -1, own = -1;
    TRY(fd_open_dir(AT_FDCWD, "/proc", &proc));
    TRY(io_each_entry(proc, look_at, &s));
    if (!s.found)
        return err_new(ERR_NOT_FOUND, "nobody has the container's files mounted");
    fd_replace(&f->holder_fd, s.pidfd);
    TRY(runtime_userns_shared_by(s.found, &shared));
    TRY(f->mapped ? runtime_userns_nest(shared, &f->id_map, &own) : fd_dup(shared, &own));
    fd_replace(&f->shared_fd, take_fd(&shared));
    fd_replace(&f->userns_fd, take_fd(&own));
    return NULL;
}

/* ---- init ---- */

static struct err *nothing_more(const struct files_call *call, int root) {
    autojson facts = json_object();
    return files_answer(call, facts, &root, 1);
}

/* hosts, resolv.conf … are written by the start, which knows the addresses. */
static void drop_own_files(struct files *f) {
    autofree char *own = mem_printf("%s/containers/%s/", store_containers_root(f->engine->store), f->c.id);
    struct json *kept = json_array();
    JSON_EACH(m, json_get(f->config, "mounts"))
    if (!str_starts(json_text(m, "source"), own))
        json_push(kept, json_copy(m));
    json_set(f->config, "mounts", kept);
}

struct err *engine_container_init(struct engine *e, const char *name) {
    autofiles f = FILES_INIT;
    autoanswer got = {.n_fds = 0};
    autostrv struct strv warnings = {.n = 0};
    struct files_call call = {.fn = nothing_more, .wanted = 1, .strict = true};
    TRY(files_open(e, name, &f));
    if (f.lock_fd < 0)
        return err_new(ERR_CONFLICT, "container %s is running: there is nothing to initialize", name);
    TRY(runtime_limits_probe(e->host, f.c.id, f.config, &warnings));
    drop_own_files(&f);
    return files_inside(&f, &call, &got);
}
