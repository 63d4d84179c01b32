/* plan: how a container's root is put together, by the configured driver: for its start, and for who copies its files.
 */
#include "engine/engine_int.h"
#include "engine/labels_int.h"
#include "storage/rootfs.h"
#include "storage/trees.h"

#include <fcntl.h>
#include <unistd.h>

static enum store_driver driver_of(const struct config *config) {
    const char *d = config->storage_driver;
    if (str_eq(d, "overlay"))
        return STORE_DRIVER_OVERLAY;
    if (str_eq(d, "fuse-overlayfs"))
        return STORE_DRIVER_FUSE_OVERLAY;
    return str_eq(d, "copy") ? STORE_DRIVER_COPY : STORE_DRIVER_AUTO;
}

const char *engine_driver_name(struct engine *e) {
    if (!e->driver_name)
        e->driver_name = store_driver_name(e->store, driver_of(e->config));
    return e->driver_name;
}

struct plan_call {
    struct store *store;
    struct store_rootfs wanted;
};

/* --rootfs: a directory of the user's, or an overlay that has it below. */
static struct err *directory_plan(struct engine *e, const struct engine_container *c, const char *dir,
                                  struct rootfs_plan *ret) {
    if (json_bool_value(json_get(c->summary, "RootfsOverlay"), false))
        return store_rootfs_over(e->store, c->id, dir, driver_of(e->config), ret);
    *ret = (struct rootfs_plan){.driver = ROOTFS_DIR, .base_dir = mem_dup(dir)};
    strv_push(&ret->lowers, ".");
    return NULL;
}

static struct err *plan_call(void *ctx) {
    struct plan_call *p = ctx;
    struct rootfs_plan unused = {.base_dir = NULL};
    struct err *e = store_rootfs_plan(p->store, &p->wanted, &unused);
    rootfs_plan_done(&unused);
    return e;
}

static struct err *image_plan(struct engine *e, const struct engine_container *c, const struct id_map *map,
                              struct rootfs_plan *ret) {
    autostrv struct strv layers = {.n = 0};
    TRY(json_get_strv_opt(c->summary, "Layers", &layers));
    struct plan_call call = {e->store,
                             {.container_id = c->id, .chain_ids = &layers, .driver = driver_of(e->config), .map = map}};
    struct err *bad = store_rootfs_plan(e->store, &call.wanted, ret);
    if (!bad || err_kind(bad) != ERR_DENIED)
        return bad;
    /* The copy driver makes files of subordinate ids, and so do layers with owners of the container's own: once, inside
     * the namespace, then the plan finds them made. */
    err_free(bad);
    int fd = -1;
    TRY(engine_userns(e, &fd, NULL));
    TRY(runtime_userns_call(fd, plan_call, &call));
    return store_rootfs_plan(e->store, &call.wanted, ret);
}

struct err *engine_id_map(const struct json *config, struct id_map *ret, const struct id_map **ret_map) {
    bool mapped;
    TRY_CTX(idmap_from_json(json_get(config, "linux"), ret, &mapped), "config.json");
    *ret_map = mapped ? ret : NULL;
    return NULL;
}

struct err *engine_rootfs_plan(struct engine *e, const struct engine_container *c, const struct json *config,
                               struct rootfs_plan *ret) {
    const char *dir = json_str_value(json_get(c->summary, "Rootfs"));
    struct rootfs_plan plan = {.base_dir = NULL};
    struct id_map ids;
    const struct id_map *map;
    TRY(engine_id_map(config, &ids, &map));
    TRY(dir ? directory_plan(e, c, dir, &plan) : image_plan(e, c, map, &plan));
    plan.read_only = json_bool_value(json_path(config, "root.readonly"), false);
    plan.exclusive = faccessat(c->dirfd, ENGINE_MOUNT_DIR, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    *ret = plan;
    return NULL;
}

/* ---- trees ---- */

struct tree_call {
    struct engine *engine;
    const struct engine_container *c;
    const struct id_map *map; /* of its own ids, or NULL */
    struct rootfs_plan *plan;
};

static struct err *one_tree(const struct tree_call *call, const struct json *t, size_t number,
                            struct rootfs_plan *ret) {
    autostrv struct strv layers = {.n = 0};
    const struct store_tree tree = {.container_id = call->c->id,
                                    .number = number,
                                    .layers = json_get(t, "Layers") ? &layers : NULL,
                                    .directory = json_str_value(json_get(t, "Directory")),
                                    .upper = json_str_value(json_get(t, "Upper")),
                                    .work = json_str_value(json_get(t, "Work")),
                                    .writable = json_bool_value(json_get(t, "Writable"), false),
                                    .driver = driver_of(call->engine->config),
                                    .map = call->map};
    TRY(json_get_strv_opt(t, "Layers", &layers));
    return store_tree_plan(call->engine->store, &tree, ret);
}

static struct err *plan_trees(void *ctx) {
    const struct tree_call *call = ctx;
    const struct json *list = json_get(call->c->summary, "Trees");
    call->plan->trees = call->plan->trees ? call->plan->trees : mem_array(json_count(list), sizeof *call->plan->trees);
    call->plan->n_trees = 0;
    JSON_EACH(t, list) {
        struct rootfs_tree *tree = &call->plan->trees[call->plan->n_trees];
        TRY_CTX(one_tree(call, t, call->plan->n_trees, &tree->plan), "mount on %s", json_text(t, "Destination"));
        tree->destination = mem_dup(json_text(t, "Destination"));
        call->plan->n_trees++;
    }
    return NULL;
}

static struct err *add_trees(struct engine *e, const struct engine_container *c, const struct json *config,
                             struct rootfs_plan *ret) {
    struct id_map ids;
    struct tree_call call = {e, c, NULL, ret};
    TRY(engine_id_map(config, &ids, &call.map));
    TRY(store_trees_clear(e->store, c->id));
    struct err *bad = plan_trees(&call);
    if (!bad || err_kind(bad) != ERR_DENIED)
        return bad;
    err_free(bad); /* as above */
    int fd = -1;
    struct rootfs_plan unused = {.base_dir = NULL};
    struct tree_call inside = {e, c, call.map, &unused};
    TRY(engine_userns(e, &fd, NULL));
    TRY(runtime_userns_call(fd, plan_trees, &inside));
    return plan_trees(&call);
}

struct err *engine_start_plan(struct engine *e, const struct engine_container *c, const struct json *config,
                              struct rootfs_plan *ret) {
    TRY(engine_rootfs_plan(e, c, config, ret));
    if (json_get(c->summary, "Trees"))
        TRY(add_trees(e, c, config, ret));
    return labels_plan(e, c, config, ret);
}
