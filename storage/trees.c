/* trees: see trees.h. */
#include "storage/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "storage/store_int.h"

#define TREES "trees"

struct err *store_trees_clear(struct store *s, const char *container_id) {
    autofd int dir = -1;
    TRY(store_container_open(s, container_id, &dir));
    return store_exists(dir, TREES) ? store_trash(s, dir, TREES) : NULL;
}

/* Makes containers/<id>/trees/<n> with the directories that a plan may need; *ret_path is absolute. */
static struct err *make_dirs(struct store *s, const struct store_tree *t, char **ret_path, int *ret_fd) {
    static const char *const parts[] = {"upper", "work", "merged"};
    autofd int container = -1, dir = -1;
    autofree char *name = mem_printf(TREES "/%zu", t->number);
    TRY(store_container_open(s, t->container_id, &container));
    TRY(io_mkdirs(container, name, 0700));
    TRY(fd_open_dir(container, name, &dir));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (mkdirat(dir, parts[i], 0755) < 0 && errno != EEXIST)
            return err_sys(errno, "make the directory %s", parts[i]);
    *ret_path = mem_printf("%s/containers/%s/%s", store_containers_root(s), t->container_id, name);
    *ret_fd = take_fd(&dir);
    return NULL;
}

static struct err *plan_layers(struct store *s, const struct store_tree *t, struct rootfs_plan *plan) {
    TRY(store_layers_check(s, t->layers));
    if (t->map && t->layers->n)
        return store_plan_shifted(s, t->layers, t->map, plan);
    plan->base_dir = mem_printf("%s/%s", store_root(s), store_dir_name(STORE_LAYERS));
    store_plan_layers(s, t->layers, plan);
    return NULL;
}

static struct err *plan_directory(const struct store_tree *t, struct rootfs_plan *plan) {
    struct stat st;
    if (stat(t->directory, &st) < 0)
        return err_sys(errno, "%s", t->directory);
    if (!S_ISDIR(st.st_mode))
        return err_new(ERR_USAGE, "%s is not a directory: only those can have an overlay", t->directory);
    plan->base_dir = mem_dup(t->directory);
    strv_push(&plan->lowers, ".");
    return NULL;
}

/* The whole tree as it is, in trees/<n>/merged; "copied" says that it is all there. */
static struct err *copy_tree(struct store *s, const struct store_tree *t, int dir, const struct rootfs_plan *plan) {
    autofd int to = -1, from = -1;
    autofree char *one = path_join(plan->base_dir, plan->lowers.n ? plan->lowers.v[0] : ".");
    bool merged = !t->layers || (t->map && t->layers->n); /* is one directory already */
    if (store_exists(dir, "copied"))
        return NULL;
    TRY(fd_open_dir(dir, "merged", &to));
    if (merged)
        TRY(fd_open_dir(AT_FDCWD, one, &from));
    TRY(merged ? store_copy_tree(from, to) : store_copy_layers(s, t->layers, to));
    return mkdirat(dir, "copied", 0700) < 0 ? err_sys(errno, "mark the copy as whole") : NULL;
}

static struct err *plan_copy(struct store *s, const struct store_tree *t, const char *path, int dir,
                             struct rootfs_plan *plan) {
    if (t->upper)
        return err_hint(
            err_new(ERR_UNSUPPORTED, "upperdir=%s needs overlays, which this machine does not have", t->upper),
            "without upperdir and workdir the container gets a copy of the directory");
    TRY_CTX(copy_tree(s, t, dir, plan), "copy what is to be mounted");
    free(plan->base_dir);
    plan->base_dir = mem_dup(path);
    strv_done(&plan->lowers);
    strv_done(&plan->data);
    plan->data = (struct strv){.n = 0};
    strv_push(&plan->lowers, "merged");
    return NULL;
}

static struct err *plan_tree(struct store *s, const struct store_tree *t, struct rootfs_plan *plan) {
    autofree char *path = NULL;
    autofd int dir = -1;
    TRY(make_dirs(s, t, &path, &dir));
    TRY(store_driver_choose(s, t->driver, &plan->driver, &plan->fuse_program));
    TRY(t->layers ? plan_layers(s, t, plan) : plan_directory(t, plan));
    if (t->layers && !t->map && !store_layers_mountable(s, t->layers, plan->driver))
        plan->driver = ROOTFS_COPY;
    plan->read_only = !t->writable;
    if (plan->driver == ROOTFS_COPY)
        return plan_copy(s, t, path, dir, plan);
    plan->fuse_dir = mem_printf("%s/merged", path);
    if (!t->writable)
        return NULL;
    plan->adopt = !t->upper;
    plan->upper = t->upper ? mem_dup(t->upper) : mem_printf("%s/upper", path);
    plan->work = t->work ? mem_dup(t->work) : mem_printf("%s/work", path);
    return NULL;
}

struct err *store_tree_plan(struct store *s, const struct store_tree *t, struct rootfs_plan *ret) {
    struct rootfs_plan plan = {.driver = ROOTFS_OVERLAY};
    struct err *e = plan_tree(s, t, &plan);
    if (e) {
        rootfs_plan_done(&plan);
        return e;
    }
    *ret = plan;
    return NULL;
}
