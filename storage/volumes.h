/*
 * volumes: directories that outlive containers.
 *
 *     volumes/<name>/_data         what containers see; of a volume of type bind a symlink to the user's directory
 *     volumes/<name>/volume.json   {"Name","Created","Anonymous","Labels","Options"}
 *     volumes/<name>/filling       only while, or after a crash since, a new volume gets the image's files
 *
 * A volume is made in tmp/ and renamed into place, whole and durable, and removed by a rename into the trash. Whether
 * one is in use stands in the containers' records; so who is about to record a container that uses volumes holds the
 * lock of volumes/ shared, and who removes one, after a look at the records, holds it exclusively. The lock is a flock
 * on a description of the holder's own and ends with it; nothing else is waited for under it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct store;

struct store_volume {
    char *name;
    int64_t created; /* ns */
    bool anonymous;  /* made for a container that gave it no name */
    struct strmap labels, options;
};
/* Frees the members. */
void store_volume_done(struct store_volume *v);
#define autovolume __attribute__((cleanup(store_volume_done))) struct store_volume

/* Takes the lock, waiting for it; ends with close(*ret_fd). */
struct err *store_volumes_lock(const struct store *s, bool exclusive, int *ret_fd) __attribute__((warn_unused_result));

/*
 * Makes a volume; the lock is held, shared is enough. One of that name that is there already is fine: *ret_made tells.
 * `device`: the absolute path of the directory that it is another name of, or NULL. Usage error for a bad name.
 */
struct err *store_volume_create(struct store *s, const struct store_volume *v, const char *device, bool *ret_made)
    __attribute__((warn_unused_result));
/* Writes its record into its open directory; durable. */
struct err *store_volume_write(int dir, const struct store_volume *v) __attribute__((warn_unused_result));
/* not_found: "no such volume". */
struct err *store_volume_get(const struct store *s, const char *name, struct store_volume *ret)
    __attribute__((warn_unused_result));
/* All names, sorted. */
struct err *store_volume_names(const struct store *s, struct strv *out) __attribute__((warn_unused_result));
/* Moves it to the trash; the lock is held exclusively. not_found. */
struct err *store_volume_remove(struct store *s, const char *name) __attribute__((warn_unused_result));
/* Opens its _data. */
struct err *store_volume_open(const struct store *s, const char *name, int *ret_fd) __attribute__((warn_unused_result));
/* Bytes in it, hard links counted once. userns where it has unreadable directories. 0 of a volume of type bind. */
struct err *store_volume_size(const struct store *s, const char *name, int64_t *ret)
    __attribute__((warn_unused_result));

/*
 * The directory of a volume, and the path that containers bind: "<root>/volumes/<name>/_data"; owned. `root` is the
 * store's.
 */
char *store_volume_path(const char *root, const char *name) __attribute__((returns_nonnull, warn_unused_result));

/*
 * An empty volume gets what the image has at the place where it is going to be mounted: files with owners, modes and
 * attributes, and the owner and mode of the directory itself. `image_root` is the container's root with nothing mounted
 * in it; the look-up cannot leave it, and no link in it is followed afterwards. Several may try at once; a copy that a
 * crash cut short is taken up again. Of `store_root` only the path is used: this is called in the container's first
 * process. userns.
 */
struct err *store_volume_fill(const char *store_root, const char *name, int image_root, const char *target)
    __attribute__((warn_unused_result));
