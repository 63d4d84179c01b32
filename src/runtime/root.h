/*
 * root: the files of a container, for commands that copy them. A child enters the container's namespaces, or makes a
 * mount namespace with the root of one that does not run, and hands its caller what it needs of it.
 */
#pragma once

#include <stdbool.h>

struct err;
struct json;
struct rootfs_plan;

struct runtime_root {
    int shared_fd;    /* the user namespace that all containers are in */
    int userns_fd;    /* the container's own below that, or -1 */
    int target_pidfd; /* a process of the running container, or -1: its root is put together */
    int holder_pidfd; /* a process in whose mount namespace the root of one that does not run is mounted, or -1 … */
    int holder_dir;   /* … in this directory, whose path there is … */
    const char *holder_path, *holder_name; /* … this, by this name */
    const struct rootfs_plan *rootfs;
    const struct json *config; /* its bind mounts are put there, too */
    bool bare;                 /* the root file system alone, without what is mounted in it */
    bool strict;               /* a bind mount that fails is an error, and not left out */
};
/*
 * Calls fn in a child that has entered the container's user namespace and a mount namespace in which `root` is the
 * container's root directory: its own, or one made for the call, which lives as long as a descriptor of it, such as
 * `mounts`. Nothing is executed or loaded there, and nothing of `root` may be reached but by RESOLVE_IN_ROOT.
 */
struct err *runtime_root_call(const struct runtime_root *r, struct err *(*fn)(void *ctx, int root, int mounts),
                              void *ctx) __attribute__((warn_unused_result));
