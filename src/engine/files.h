/*
 * files: the files of containers, from outside: what they changed, copies in and out, their root as a tar, and their
 * changes as a new image.
 *
 * A container that runs may do anything to its files meanwhile, and is trusted with nothing: whoever reads or writes
 * them has entered its user namespace and resolves every path within its root directory, volumes and bind mounts
 * included (openat2, RESOLVE_IN_ROOT), then works by descriptors and single names. The files of one that does not run
 * are put together for the time of the command, under its lock; it cannot start before the command ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct err;
struct strv;

/* docker diff: calls fn with 'A', 'C' or 'D' and an absolute path for each change, directories before what lies in
 * them. */
struct err *engine_container_diff(struct engine *e, const char *name,
                                  struct err *(*fn)(void *ctx, char kind, const char *path), void *ctx)
    __attribute__((warn_unused_result));

/* podman's image diff: the same for an image against another one (`other`), or without one against all of its layers
 * but the topmost. */
struct err *engine_image_diff(struct engine *e, const char *name, const char *other,
                              struct err *(*fn)(void *ctx, char kind, const char *path), void *ctx)
    __attribute__((warn_unused_result));

/* docker export: the root file system, without volumes and other mounts, as a tar (PAX, numeric owners of the
 * container's ids, extended attributes) written to fd. */
struct err *engine_container_export(struct engine *e, const char *name, int fd) __attribute__((warn_unused_result));

struct engine_copy_end {
    const char *container; /* NULL: the user's own file system, or a tar */
    const char *path;      /* as it was given: a "/" or "/." at its end means something */
    bool tar;              /* no path: `fd` is a tar's descriptor */
    int fd;
};
struct engine_copy {
    struct engine_copy_end from, to; /* one of them, at least, is a container */
    const char *cwd;                 /* what relative paths of the user's start from */
    bool archive;                    /* owners are kept (by number); else they are the container's root, or the user */
    bool follow_link;                /* a source that is a link is what it leads to */
    void (*progress)(void *ctx, int64_t bytes); /* called now and then while much is copied; NULL: nobody asks */
    void *progress_ctx;
};
/* docker cp, from one container to another, too. *ret_bytes: size of the tar that went over. */
struct err *engine_copy(struct engine *e, const struct engine_copy *c, int64_t *ret_bytes)
    __attribute__((warn_unused_result));

struct engine_commit {
    const char *container;
    const char *reference, *author, *message; /* each may be NULL */
    const struct strv *changes;               /* Dockerfile instructions, as of image_import */
    bool pause;                               /* stop a running container's processes while its files are read */
};
/* docker commit: an image of the container's layers and its changes; its hex id. Costs what the changes cost. */
struct err *engine_container_commit(struct engine *e, const struct engine_commit *c, char ret_id[65])
    __attribute__((warn_unused_result));

/*
 * podman's unshare: this process becomes `argv` (NULL-terminated, not empty) as root of the user namespace that
 * containers live in, with a mount namespace of its own: what belongs to their ids can be looked at, changed and
 * removed there. Returns only with an error.
 */
struct err *engine_unshare(struct engine *e, char *const *argv) __attribute__((warn_unused_result));

/*
 * podman's mount, in the namespaces of `unshare` only (denied elsewhere): the container's root file system, without
 * what is mounted in it, at *ret_path (owned), where it is as long as this mount namespace, or till it is unmounted.
 * One that is there already stays. A container that runs is seen as it is; while one that does not run is mounted it
 * ought not to be started: two mounts would write to the same files.
 */
struct err *engine_container_mount(struct engine *e, const char *name, char **ret_path)
    __attribute__((warn_unused_result));
/* conflict when it is not mounted in this mount namespace; `force`: also where it is in use. */
struct err *engine_container_unmount(struct engine *e, const char *name, bool force)
    __attribute__((warn_unused_result));
/* Where the container with that full id is mounted here, owned; NULL: it is not. */
char *engine_container_mountpoint(struct engine *e, const char *id) __attribute__((warn_unused_result));
/*
 * podman's init: all that a start does before there is a process, to see whether it can be done: the root file system
 * and the mounts are put together once, limits are looked at. The container stays as it was; conflict when it runs.
 */
struct err *engine_container_init(struct engine *e, const char *name) __attribute__((warn_unused_result));
