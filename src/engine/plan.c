/* plan: how a container's root is put together, by the configured driver: for its start, and for who copies its files.
 */
#include "engine/engine_int.h"

static enum store_driver driver_of(const struct config *config) {
    const char *d = config->storage_driver;
    if (str_eq(d, "overlay"))
        return STORE_DRIVER_OVERLAY;
    if (str_eq(d, "fuse-overlayfs"))
        return STORE_DRIVER_FUSE_OVERLAY;
    return str_eq(d, "copy") ? STORE_DRIVER_COPY : STORE_DRIVER_AUTO;
}

struct plan_call {
    struct store *store;
    const char *id;
    const struct strv *layers;
    enum store_driver driver;
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
    struct err *e = store_rootfs_plan(p->store, p->id, p->layers, p->driver, &unused);
    rootfs_plan_done(&unused);
    return e;
}

static struct err *image_plan(struct engine *e, const struct engine_container *c, struct rootfs_plan *ret) {
    autostrv struct strv layers = {.n = 0};
    TRY(json_get_strv_opt(c->summary, "Layers", &layers));
    struct plan_call call = {e->store, c->id, &layers, driver_of(e->config)};
    struct err *bad = store_rootfs_plan(e->store, c->id, &layers, call.driver, ret);
    if (!bad || err_kind(bad) != ERR_DENIED)
        return bad;
    /* The copy driver makes files of subordinate ids: once inside the namespace, then the plan finds them made. */
    err_free(bad);
    int fd = -1;
    TRY(engine_userns(e, &fd, NULL));
    TRY(runtime_userns_call(fd, plan_call, &call));
    return store_rootfs_plan(e->store, c->id, &layers, call.driver, ret);
}

struct err *engine_rootfs_plan(struct engine *e, const struct engine_container *c, const struct json *config,
                               struct rootfs_plan *ret) {
    const char *dir = json_str_value(json_get(c->summary, "Rootfs"));
    struct rootfs_plan plan = {.base_dir = NULL};
    TRY(dir ? directory_plan(e, c, dir, &plan) : image_plan(e, c, &plan));
    plan.read_only = json_bool_value(json_path(config, "root.readonly"), false);
    *ret = plan;
    return NULL;
}
