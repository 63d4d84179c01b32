/*
 * trees: what a container has mounted besides its root and volumes and that is put together at each start, as the root
 * is: an image, or an overlay over a directory that is not to be changed (podman's :O). Nothing of it lasts: what a
 * container writes into one lies in containers/<id>/trees/<n>, begins empty at each start and goes with the container;
 * only directories of the user's own (upperdir=, workdir=) stay.
 *
 * Which layers a tree has stands in container.json ("Trees"), so the sweep keeps them as long as the container is
 * there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "storage/rootfs.h"
#include "storage/store.h"

struct store_tree {
    const char *container_id;
    size_t number;             /* among the container's */
    const struct strv *layers; /* chain ids of an image, bottom first; or NULL */
    const char *directory;     /* else this one; absolute */
    const char *upper, *work;  /* the user's own; absolute; or NULL */
    bool writable;
    enum store_driver driver;
    const struct id_map *map; /* the container's own ids, which an image's files are to belong to; or NULL */
};

/* Empties what earlier starts of the container have left. userns where files of subordinate ids are in the way. */
struct err *store_trees_clear(struct store *s, const char *container_id) __attribute__((warn_unused_result));
/* How to put a tree together. The copy driver makes the copy (userns); an image's files are made with the map's owners
 * where they are not there yet (userns; denied outside of it). Done with rootfs_plan_done(). */
struct err *store_tree_plan(struct store *s, const struct store_tree *t, struct rootfs_plan *ret)
    __attribute__((warn_unused_result));
