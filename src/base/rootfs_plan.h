/*
 * rootfs_plan: how a container's root file system is to be put together. Plain data: storage makes it, runtime
 * carries it out, and neither knows the other. Nothing of it is recorded; a new one is made at every start, so a
 * change of driver costs nothing.
 */
#pragma once

#include "base/str.h"

enum rootfs_driver {
    ROOTFS_OVERLAY,      /* kernel overlay, userxattr */
    ROOTFS_FUSE_OVERLAY, /* fuse-overlayfs, started by the runtime inside the container's mount namespace */
    ROOTFS_COPY,         /* a directory made by reflink or copy; bind-mounted */
    ROOTFS_DIR           /* a given directory, bind-mounted as it is */
};

struct rootfs_plan {
    enum rootfs_driver driver;
    char *base_dir;            /* absolute; `lowers` are relative to it */
    struct strv lowers;        /* topmost first; ROOTFS_COPY, ROOTFS_DIR: the one directory */
    struct strv data;          /* overlay's data-only layers below those, without names of their own; mostly none */
    char *upper, *work;        /* absolute; NULL: read-only overlay of the lowers */
    char *context;             /* the SELinux label that all of its files get, overlays by the mount; or NULL */
    char *fuse_program;        /* absolute path for ROOTFS_FUSE_OVERLAY */
    char *fuse_dir;            /* where that mounts it; NULL: on base_dir */
    bool read_only;            /* --read-only */
    bool exclusive;            /* upper may be in use: then it is not mounted a second time, but an error (in_use) */
    bool adopt;                /* upper is new: it gets owner and mode of the topmost lower */
    struct rootfs_tree *trees; /* what else is put together, for mounts of type overlay */
    size_t n_trees;
};
struct rootfs_tree {
    char *destination; /* of the mount */
    struct rootfs_plan plan;
};

/* The tree for a mount's destination, or NULL. */
const struct rootfs_tree *rootfs_plan_tree(const struct rootfs_plan *p, const char *destination);
/* Frees the members. */
void rootfs_plan_done(struct rootfs_plan *p);
