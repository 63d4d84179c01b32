/*
 * rootfs: from layers to a plan of a container's root. Part of the store's interface (store.h): nothing is mounted
 * here, and nothing of a plan is recorded.
 */
#pragma once

#include "base/rootfs_plan.h"

struct err;
struct id_map;
struct store;
struct strv;

enum store_driver { STORE_DRIVER_AUTO, STORE_DRIVER_OVERLAY, STORE_DRIVER_FUSE_OVERLAY, STORE_DRIVER_COPY };
/* docker's name for how roots are put together here: "overlay2", "fuse-overlayfs" or, where files are copied, "vfs".
 * Static. */
const char *store_driver_name(struct store *s, enum store_driver driver) __attribute__((returns_nonnull, nonnull));
/* Whether the container of that directory has a copy: it stays with it, whatever the driver is. */
bool store_has_copy(int container_dir);
/* An overlay of the container's own over any directory, which is not changed. unsupported where the driver is copy. */
struct err *store_rootfs_over(struct store *s, const char *container_id, const char *lower, enum store_driver driver,
                              struct rootfs_plan *ret) __attribute__((warn_unused_result));
struct store_rootfs {
    const char *container_id;
    const struct strv *chain_ids; /* bottom first; none: upper is the root */
    enum store_driver driver;
    const struct id_map
        *map; /* of the container's own, in ids of the user namespace that layers are unpacked in; or NULL */
};
/* How to put the container's root together from an image's layers. AUTO: overlay where a probe, kept in the run
 * directory, says that it works, else fuse-overlayfs, else copy. COPY makes the merged directory where it is missing
 * (userns); one that is there, with the changes, is used. With a map the image's files are made with its owners, where
 * they are not there yet (userns; denied outside of it): storage/shift.c. */
struct err *store_rootfs_plan(struct store *s, const struct store_rootfs *r, struct rootfs_plan *ret)
    __attribute__((warn_unused_result));
/* What images with the owners of other maps of ids (idmaps/) take on disk beside the layers, and what of it no
 * container needs. userns when directories are unreadable otherwise. */
struct err *store_shifted_size(const struct store *s, int64_t *ret_bytes, int64_t *ret_unused)
    __attribute__((warn_unused_result));
