/* rootfs_plan: see rootfs_plan.h. */
#include "base/rootfs_plan.h"

#include "base/mem.h"

const struct rootfs_tree *rootfs_plan_tree(const struct rootfs_plan *p, const char *destination) {
    for (size_t i = 0; i < p->n_trees; i++)
        if (str_eq(p->trees[i].destination, destination))
            return &p->trees[i];
    return NULL;
}

void rootfs_plan_done(struct rootfs_plan *p) {
    free(p->base_dir);
    strv_done(&p->lowers);
    strv_done(&p->data);
    free(p->upper);
    free(p->work);
    free(p->context);
    free(p->fuse_program);
    free(p->fuse_dir);
    for (size_t i = 0; i < p->n_trees; i++) {
        free(p->trees[i].destination);
        rootfs_plan_done(&p->trees[i].plan);
    }
    free(p->trees);
    *p = (struct rootfs_plan){0};
}
