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

static struct err *plan_call(void *ctx) {
    struct plan_call *p = ctx;
    struct rootfs_plan unused = {.base_dir = NULL};
    struct err *e = store_rootfs_plan(p->store, p->id, p->layers, p->driver, &unused);
    rootfs_plan_done(&unused);
    return e;
}

struct err *engine_rootfs_plan(struct engine *e, const struct engine_container *c, const struct json *config,
                               struct rootfs_plan *ret) {
    autostrv struct strv layers = {.n = 0};
    struct rootfs_plan plan = {.base_dir = NULL};
    TRY(json_get_strv_opt(c->summary, "Layers", &layers));
    struct plan_call call = {e->store, c->id, &layers, driver_of(e->config)};
    struct err *bad = store_rootfs_plan(e->store, c->id, &layers, call.driver, &plan);
    if (bad && err_kind(bad) == ERR_DENIED) {
        /* The copy driver makes files of subordinate ids: once inside the namespace, then the plan finds them made. */
        err_free(bad);
        int fd = -1;
        TRY(engine_userns(e, &fd, NULL));
        TRY(runtime_userns_call(fd, plan_call, &call));
        bad = store_rootfs_plan(e->store, c->id, &layers, call.driver, &plan);
    }
    TRY(bad);
    plan.read_only = json_bool_value(json_path(config, "root.readonly"), false);
    *ret = plan;
    return NULL;
}
