/* rootfs_plan: see rootfs_plan.h. */
#include "base/rootfs_plan.h"

#include "base/mem.h"

void rootfs_plan_done(struct rootfs_plan *p) {
    free(p->base_dir);
    strv_done(&p->lowers);
    free(p->upper);
    free(p->work);
    free(p->fuse_program);
    *p = (struct rootfs_plan){0};
}
