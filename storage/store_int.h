/*
 * store_int: what the files of storage/ share. Not for other modules.
 *
 * A store is a descriptor of its root and, opened when first used, one descriptor for each directory below it: a
 * command that only starts a container pays for what it touches. Everything is reached by descriptor and relative name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/str.h"
#include "storage/rootfs.h"
#include "storage/store.h"

#define STORE_VERSION 1

enum store_dir {
    STORE_ROOT,
    STORE_BLOBS,
    STORE_PARTIAL,
    STORE_LAYERS,
    STORE_IMAGES,
    STORE_REFS,
    STORE_NAMES,
    STORE_CONTAINERS,
    STORE_TMP,
    STORE_VOLUMES,
    STORE_NETWORKS,
    STORE_SECRETS,
    STORE_IDMAPS,
    STORE_BUILDS,
    STORE_MANIFESTS,
    STORE_DIR_COUNT
};

struct id_map;

struct store {
    const struct host *host; /* borrowed; outlives the store */
    char *root;              /* absolute path */
    char *apart;             /* store_containers_apart(): containers/ and names/ are in this directory, or NULL */
    int apart_fd;            /* what holds it, or -1; borrowed */
    struct store **shared;   /* where to look for images after its own: shared.h */
    size_t n_shared;
    bool foreign; /* one of those: nothing of it is made or changed */
    int *dirs;    /* STORE_DIR_COUNT descriptors, -1 until opened; apart, so that const readers may open them */
};

/* An unopened store: no descriptors yet. */
struct store *store_new(const struct host *host, const char *root) __attribute__((returns_nonnull));
/* unsupported for a version that this program does not know. The store has one. */
struct err *store_version_check(const struct store *s) __attribute__((warn_unused_result));
/* layers/<hex> of a shared directory that has the layer: a descriptor, and its path, owned; or -1. */
int store_shared_layer(const struct store *s, const char *chain_id, char **ret_path);
/* Where the data of a layer's files is, owned: the data-only layer of a shared directory; NULL: in the layer itself. */
char *store_layer_data(const struct store *s, const char *chain_id);
/* Whether a driver can mount these layers: those that refer to others' files only overlay with data-only layers can. */
bool store_layers_mountable(struct store *s, const struct strv *chain_ids, enum rootfs_driver driver);
/* Adds them to a plan whose base_dir is layers/. */
void store_plan_layers(const struct store *s, const struct strv *chain_ids, struct rootfs_plan *plan);
/* Writes an image's record, and a reference, into those directories. */
struct err *store_image_write(int images, const struct store_image *img, mode_t mode)
    __attribute__((warn_unused_result));
struct err *store_image_put_beside(struct store *s, const struct store_image *img) __attribute__((warn_unused_result));
struct err *store_ref_write(int refs, const char *ref, const struct store_target *to, mode_t mode)
    __attribute__((warn_unused_result));
/* The host facts that the store was opened with, borrowed. */
const struct host *store_host(const struct store *s);

/* A directory's descriptor, borrowed; opened (and, where it is missing, made) when first asked for. */
struct err *store_dir(const struct store *s, enum store_dir which, int *ret_fd) __attribute__((warn_unused_result));

/* The path of a directory relative to the root ("blobs/sha256"). */
const char *store_dir_name(enum store_dir which);

/* True when dirfd/name is there (of whatever type; links are not followed). */
bool store_exists(int dirfd, const char *name);

/* True when dirfd/name is the very file that fd has open. */
bool store_same_file(int dirfd, const char *name, int fd);

/* ---- tmp.c ---- */

/* store_tmp_new() with a given name and mode: tmp/<name>, open and locked by us. conflict when it is there and in use.
 */
struct err *store_tmp_make(const struct store *s, const char *name, mode_t mode, int *ret_fd)
    __attribute__((warn_unused_result));

/* Whether tmp/<name> is there and its maker alive. */
bool store_tmp_alive(const struct store *s, const char *name);

/* ---- ref.c ---- */

/* The name of a reference's file in refs/, owned; usage where it is no reference. */
struct err *store_ref_file(const char *ref, char **ret) __attribute__((warn_unused_result));
/* What the file of that name in refs/ refers to; corrupt when it is not what its name says. */
struct err *store_ref_read(const struct store *s, const char *file, struct store_ref *ret)
    __attribute__((warn_unused_result));
/* As store_refs(), with the references that do not count (yet): their image is not recorded. */
struct err *store_refs_written(const struct store *s, struct strmap *out) __attribute__((warn_unused_result));
/* Drops those; the store lock is held exclusively, so whoever wrote them is dead. */
struct err *store_refs_heal(struct store *s) __attribute__((warn_unused_result));

/* ---- container.c, names.c ---- */

/* Keeps a container that does not run from starting, as long as *ret_fd is open; in_use when it runs. To others it
 * looks like one that does not. */
struct err *store_container_hold(const struct store *s, const char *id, int *ret_fd)
    __attribute__((warn_unused_result));

/* Reserves names/<name> for a container whose tmp/<id> is held by the caller. conflict, in docker's words, when it is
 * taken. */
struct err *store_name_reserve(const struct store *s, const char *name, const char *id)
    __attribute__((warn_unused_result));
/* Removes names/<name> if it points at `id`. */
struct err *store_name_release(const struct store *s, const char *name, const char *id)
    __attribute__((warn_unused_result));
/* Moves a container from its name to another: link, container.json, unlink, under the lock of names/. */
struct err *store_name_change(const struct store *s, const char *id, const char *new_name)
    __attribute__((warn_unused_result));
/* Where names/<name> points, and whether it leads to a container that calls itself so, or that is being made. False
 * when it is no link to an id. */
bool store_name_read(const struct store *s, const char *name, char ret[65], bool *ret_stale);
/* Id of a name whose container exists. */
bool store_name_get(const struct store *s, const char *name, char ret[65]);
/* Drops names that lead nowhere. */
struct err *store_names_heal(const struct store *s) __attribute__((warn_unused_result));

/* ---- measure.c ---- */

struct store_usage {
    int64_t bytes;  /* sum of the sizes of everything but directories; a file with several links counts once */
    int64_t blocks; /* bytes allocated on disk, directories included */
};
/* Measures the tree dirfd/name without following links. userns where it has unreadable directories. */
struct err *store_measure(int dirfd, const char *name, struct store_usage *ret) __attribute__((warn_unused_result));

/* The same of layers/<hex>; of a file that other layers have, too (dedup.h), its part. */
struct err *store_measure_layer(int layers, const char *hex, struct store_usage *ret)
    __attribute__((warn_unused_result));
/* Whether it has, or had, such files. */
bool store_layer_shares(int layers, const char *hex);

/* ---- blob.c ---- */

/* The two halves of adopting a blob, for who syncs more than that in between, and the directory of blobs afterwards:
 * gives dirfd/name a blob's mode; shows it among the blobs. */
struct err *store_blob_seal(int dirfd, const char *name) __attribute__((warn_unused_result));
struct err *store_blob_show(const struct store *s, const char *digest, int dirfd, const char *name)
    __attribute__((warn_unused_result));

/* ---- dedup_share.c ---- */

/* Notes of a layer, before it is so, that other layers have inodes of its files, too. `layers`: the directory. */
struct err *store_layer_mark_shared(int layers, const char *hex) __attribute__((warn_unused_result));

/* ---- unpack_client.c ---- */

/* Makes a layer that is in tmp/<name>/diff last, then visible under its chain id. `blob`: what is in tmp/<name>/blob is
 * its blob, and the same is done with it, with the same sync. */
struct err *store_layer_commit(struct store *s, const char *name, int tmp_fd, const struct store_unpacked *r, bool blob)
    __attribute__((warn_unused_result));

/* ---- sweep.c ---- */

/* The store lock, exclusively: nobody adds references. *ret_fd is -1 when the store is in use, with `wait` only when
 * somebody waits for it already. */
struct err *store_lock_alone(const struct store *s, bool wait, int *ret_fd) __attribute__((warn_unused_result));

/* ---- copy.c ---- */

#define STORE_WH_OPAQUE ".wh..wh..opq"
#define STORE_WH_XATTR "user.overlay.whiteout"
/* Whether an entry of a layer is overlay's mark for a name that is gone: the device 0:0. */
bool store_is_whiteout(const struct stat *st) __attribute__((pure));
/* The same of an open entry (O_PATH will do), in overlay's other form, too: an empty file with an attribute. */
bool store_hides(int fd, const struct stat *st);
/* The name that an entry at/name of a layer hides, in whatever form, borrowed, or NULL. */
const char *store_whiteout_of(int at, const char *name, const struct stat *st) __attribute__((nonnull));
/* Whether an attribute is one by which union mounts talk to themselves: it has no place in a merged tree. */
bool store_xattr_internal(const char *name) __attribute__((pure));
/* Whether a layer's open directory hides what lies below it in other layers. */
bool store_is_opaque(int dir);

/* ---- plan.c ---- */

/* Which of the drivers AUTO is on this machine, and the program of ROOTFS_FUSE_OVERLAY. */
struct err *store_driver_choose(struct store *s, enum store_driver driver, enum rootfs_driver *ret, char **ret_program)
    __attribute__((warn_unused_result));
/* corrupt, with the way out, when a layer is missing. */
struct err *store_layers_check(const struct store *s, const struct strv *chain_ids) __attribute__((warn_unused_result));
/* The lower directories of a plan whose driver is chosen: an image's files with the owners of a map, made where they
 * are missing (store_shift_image()). */
struct err *store_plan_shifted(struct store *s, const struct strv *chain_ids, const struct id_map *map,
                               struct rootfs_plan *plan) __attribute__((warn_unused_result));
/* Applies layers, bottom first, to an empty directory. userns. */
struct err *store_copy_layers(const struct store *s, const struct strv *chain_ids, int to)
    __attribute__((warn_unused_result));

/* Which directory of a container's holds its changes: "upper" or, for one of the copy driver, "rootfs". Static. */
const char *store_changes_dir(int container_dir);

/* ---- copy.c: layers ---- */

/*
 * Applies a layer (overlay's or fuse-overlayfs's on-disk form: whiteouts, opaque directories) to the tree that `to` has
 * open: data by reflink or copy, hard links, owners, modes, xattrs and times kept. `data`: where the data is of files
 * that refer to others' (store_layer_data()), or -1; STORE_DATA_REFER: what is made refers, too. userns.
 */
#define STORE_DATA_REFER (-2)
struct err *store_copy_layer(int from, int data, int to) __attribute__((warn_unused_result));
/* The same with a tree that is no layer: nothing in it is a mark. What `to` has besides stays. */
struct err *store_copy_tree(int from, int to) __attribute__((warn_unused_result));
/* The same with links to the tree's files, where there can be links. */
struct err *store_copy_linked(int from, int to) __attribute__((warn_unused_result));

/* ---- copy.c, shift.c: other owners ---- */

struct store_shift {
    const struct id_map *map;
    int data;                      /* the directory of links to the files' data; -1: data is copied */
    size_t depth;                  /* its name below the data-only layer */
    uint32_t stray_uid, stray_gid; /* whose files are that the container has no id for */
};
/* As store_copy_layer(), with the owners that the map gives. userns. */
struct err *store_copy_shifted(int from, int data, int to, const struct store_shift *shift)
    __attribute__((warn_unused_result));
/*
 * Makes an image's files with other owners where they are not there yet; denied to who is not root of the user
 * namespace. `full`: with a copy of the data, for who has no overlay that takes it from elsewhere.
 */
struct err *store_shift_image(struct store *s, const struct strv *chain_ids, const struct id_map *map, bool full)
    __attribute__((warn_unused_result));

/* ---- builds.c ---- */

/* Appends the hex of the layers and blobs that the build cache refers to. A damaged record refers to nothing. */
struct err *store_builds_mark(const struct store *s, struct strv *layers, struct strv *blobs)
    __attribute__((warn_unused_result));

/* ---- probe.c ---- */

/* Whether that overlay takes the data of files from data-only layers. */
bool store_overlay_shifts(struct store *s);

/* Whether the kernel mounts overlay with userxattr for this user on the store's file system; cached by boot. */
bool store_overlay_works(struct store *s);

/* Whether this is the first call of this boot with that word: what would be said at each start is said then. */
bool store_says_first(struct store *s, const char *what);
