/*
 * store: everything that lasts. Plain files below one root, one directory or file an object, no database.
 *
 *     version                               "1\n"; a newer one is refused, an older one migrated
 *     blobs/sha256/<hex>                    bytes as pulled, immutable, 0444
 *     blobs/partial/<hex>                   an interrupted download, locked (OFD) by whoever writes it
 *     layers/<hex>/{diff,info.json}         an unpacked layer by chain_id; owners are shifted by the user's id map;
 *                                           "shares" is beside them where files are other layers', too: dedup.h
 *     images/<hex>.json                     an image by id (the digest of its config)
 *     refs/<reference, '/' as '+'>          a name or name@digest → image id
 *     names/<name>                          symlink to a container id; its creation reserves the name atomically
 *     containers/<hex>/…                    config.json (OCI spec), options.json (docker's view of what was asked),
 *                                           container.json (what ps needs), state.json, lock, upper, work, log
 *     idmaps/<map>/<hex>/{diff,data}        an image (by its top layer) with the owners of another map: shift.c
 *     manifests/<reference>.json            a list that `manifest create` began, '/' as '+'
 *     volumes/<name>/…, builds/<hex>        what outlives containers: volumes.h; the cache of builds: builds.h
 *     tmp/<random>/                         work in progress, locked (flock) by its maker; unlocked ones are debris
 *     lock, sweeper                         shared by who adds references, exclusive for the sweep; who waits for it
 *
 * Invariants: an object is whole or absent (made in tmp, renamed into place, fsynced first where it must last). Readers
 * lock nothing. What is referenced (ref → image → layers, blobs; container → image, layers) is never swept. Nothing is
 * ever trusted because a file says a process is alive: a container runs while its `lock` is held.
 * A crash leaves at most debris in tmp/, a partial blob, or unreferenced layers and blobs; store_collect() takes them.
 *
 * Unpacking and removing files of subordinate ids is done inside the user namespace ("userns" below). Knows only base.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;
struct host;
struct id_map;
struct json;
struct store;

/* Opens the store, making it when it is missing. A newer version is unsupported; a read-only one opens for reading. */
struct err *store_open(const struct host *host, struct store **ret) __attribute__((warn_unused_result));
void store_free(struct store *s);
/* Descriptor of one of its directories ("blobs/sha256", "" for the root), borrowed; -1 when it cannot be opened. */
int store_dirfd(const struct store *s, const char *which);
/* Absolute path of the root, borrowed. */
const char *store_root(const struct store *s);
/* Where this handle's containers are: <what this returns>/containers/<id>, borrowed. */
const char *store_containers_root(const struct store *s);
/* From now on the containers of this handle are in a work directory tmp/<*ret_tmp> of their own, for those that are
 * part of a piece of work, as the steps of a build are: nobody else sees them, and they are debris when the last
 * process that has *ret_hold open is gone, however it ended. The caller holds the store: the sweep does not know their
 * layers. */
struct err *store_containers_apart(struct store *s, char **ret_tmp, int *ret_hold) __attribute__((warn_unused_result));
/* That descriptor, borrowed, or -1: they are where all are. */
int store_apart_hold(const struct store *s);
/* Holds the store lock shared while references are being added; ends with close(*ret_fd). */
struct err *store_hold(struct store *s, int *ret_fd) __attribute__((warn_unused_result));

/* ---- tmp ---- */

/* A new locked work directory tmp/<name>; remove with store_tmp_remove() or let it become debris by closing ret_fd. */
struct err *store_tmp_new(struct store *s, char **ret_name, int *ret_fd) __attribute__((warn_unused_result));
/* Removes it with all in it. userns where it may hold files of subordinate ids. */
struct err *store_tmp_remove(struct store *s, const char *name) __attribute__((warn_unused_result));
/* Moves dirfd/name into tmp as unlocked debris: gone from view at once, deleted by the next store_collect(). */
struct err *store_trash(struct store *s, int dirfd, const char *name) __attribute__((warn_unused_result));
bool store_has_debris(const struct store *s); /* cheap */
/* Deletes debris in tmp. userns. Never blocks on others' work. */
struct err *store_collect(struct store *s) __attribute__((warn_unused_result));

/* ---- blobs ---- */

/* Whether the blob is there whole ("sha256:<hex>"). */
bool store_blob_has(const struct store *s, const char *digest);
/* Opens for reading; ret_size may be NULL. */
struct err *store_blob_open(const struct store *s, const char *digest, int *ret_fd, int64_t *ret_size)
    __attribute__((warn_unused_result));
/* Reads a small blob (config, manifest). */
struct err *store_blob_read(const struct store *s, const char *digest, size_t max, struct str *out)
    __attribute__((warn_unused_result));
/* Verifies and stores bytes whose digest is known. */
struct err *store_blob_put(struct store *s, const char *digest, const void *data, size_t n)
    __attribute__((warn_unused_result));
/* Opens (makes) the partial file of a blob for appending, waits for its lock, and tells how much is there already.
 * When the blob has arrived meanwhile *ret_fd is -1. Close the descriptor to keep the partial for a later resume. */
struct err *store_partial_open(struct store *s, const char *digest, int *ret_fd, int64_t *ret_have)
    __attribute__((warn_unused_result));
/* Makes a complete, verified partial visible: fsync, chmod 0444, rename. The caller vouches for the digest. */
struct err *store_partial_commit(struct store *s, const char *digest, int fd) __attribute__((warn_unused_result));
/* Drops a partial (its bytes proved wrong). */
struct err *store_partial_drop(struct store *s, const char *digest) __attribute__((warn_unused_result));
/* Moves dirfd/name, already verified as `digest`, into the blobs (fsync, rename). Fine when the blob is there. */
struct err *store_blob_adopt(struct store *s, const char *digest, int dirfd, const char *name)
    __attribute__((warn_unused_result));

/* ---- layers ---- */

/* chain_id of layer n from chain_id n-1 (NULL for the first) and diff_id, as the OCI image specification defines it. */
struct err *store_chain_id(const char *parent_or_null, const char *diff_id, char ret[72])
    __attribute__((warn_unused_result));
bool store_layer_has(const struct store *s, const char *chain_id);

struct store_unpack {
    const char *chain_id, *parent; /* where it goes; NULL: unknown until diff_id is, on top of `parent` (or NULL) */
    const char *blob_digest;       /* expected, or NULL: only computed */
    int64_t blob_size;             /* expected, or -1 */
    const char *diff_id;           /* expected, or NULL: only computed */
    int input_fd;                  /* the compressed blob: a file or a pipe; borrowed */
    int bell_fd;   /* input_fd is a file that still grows until this pipe's writer is gone; -1: it is whole */
    int copy_fd;   /* raw input is written here too (a partial blob), or -1 */
    int userns_fd; /* the user namespace whose map the owners are shifted by */
    uint32_t ids;  /* number of ids in the map; an owner beyond it is refused with a hint */
    bool refer;    /* to files that others share, where overlay can do that (shared.h) */
    bool known;    /* the input has just been digested, to blob_digest: that is not done again; diff_id still is */
};
struct store_unpacked {
    char blob_digest[72], diff_id[72], chain_id[72];
    int64_t blob_size, diff_size; /* compressed and uncompressed bytes */
    int64_t entries, skipped_devices;
};
struct store_unpack_job; /* a running coracle-unpack */
/* Starts coracle-unpack on a new tmp directory; several jobs may run side by side. */
struct err *store_unpack_start(struct store *s, const struct store_unpack *u, struct store_unpack_job **ret)
    __attribute__((warn_unused_result));
/* A layer that was made in tmp/<name>: "diff", and its tar, "blob", with the digest and size that *r has; the chain_id
 * is put there. As store_unpack_finish() then. */
struct err *store_layer_adopt(struct store *s, const char *name, int tmp_fd, const char *parent,
                              struct store_unpacked *r) __attribute__((warn_unused_result));
/* Readable when store_unpack_finish() will not block. Borrowed. */
int store_unpack_fd(const struct store_unpack_job *job);
/* Waits for the result, verifies digests and sizes, syncs and renames the layer into place (an equal layer that arrived
 * meanwhile is fine). On failure removes what was unpacked. Frees the job either way. */
struct err *store_unpack_finish(struct store *s, struct store_unpack_job *take_job, struct store_unpacked *ret)
    __attribute__((warn_unused_result));
/* Kills it and turns its directory into debris. */
void store_unpack_cancel(struct store *s, struct store_unpack_job *take_job);

/* ---- images and references ---- */

struct store_layer_ref {
    char *blob, *media_type, *diff_id, *chain_id;
    int64_t size;      /* compressed */
    int64_t diff_size; /* bytes on disk when unpacked, as recorded at unpack */
};
struct store_image {
    char *id;                       /* hex, without "sha256:" */
    char *manifest, *manifest_type; /* digest, or NULL for one made here; media type */
    char *config;                   /* digest of the config blob */
    int64_t created, size;          /* from the config; sum of diff_size */
    char *os, *arch, *variant;
    char *index; /* digest of the index that its name stands for (store_target), or NULL; not in the record */
    struct store_layer_ref *layers; /* bottom first */
    size_t n_layers;
    struct strv extra; /* digests of further blobs to keep, such as the index that the manifest was chosen from */
};
/* Frees an image and its members; NULL is fine. */
void store_image_free(struct store_image *img);

/* Has the blobs that `from` names, and `img` does not, kept as img->extra. */
void store_image_keep(const struct store *s, const struct store_image *from, struct store_image *img);
/* Records an image whose blobs and layers are all in the store; durable. Existing: replaced. */
struct err *store_image_put(struct store *s, const struct store_image *img) __attribute__((warn_unused_result));
/* The same with its names, at one moment: whoever looks sees the image with all names that are new, or nothing. Names
 * that were another image's follow. What an image of the same config has under another manifest stays beside it, for
 * the names that it has there. *ret_changed: something was not there. */
struct err *store_image_put_named(struct store *s, const struct store_image *img, const struct strv *names,
                                  bool *ret_changed) __attribute__((warn_unused_result));
/* Loads an image by full id. */
struct err *store_image_get(const struct store *s, const char *id, struct store_image **ret)
    __attribute__((warn_unused_result));
/* The full id for a unique prefix of at least 1 hex digit (not_found, conflict when ambiguous); all ids, unsorted. */
struct err *store_image_by_prefix(const struct store *s, const char *prefix, char ret[65])
    __attribute__((warn_unused_result));
struct err *store_image_ids(const struct store *s, struct strv *out) __attribute__((warn_unused_result));
/* Forgets an image: its record and every ref to it. The rest goes with the next store_sweep(). */
struct err *store_image_remove(struct store *s, const char *id) __attribute__((warn_unused_result));

/* What a name stands for: an image (id), as one of its manifests has it (NULL: the record's), which may be one of an
 * index (NULL: of none), whose blobs are among the image's extra. */
struct store_target {
    const char *image, *manifest, *index;
};
/* Points a canonical reference (domain/path:tag or domain/path@digest) at it; durable, atomic. */
struct err *store_ref_set_to(struct store *s, const char *ref, const struct store_target *to)
    __attribute__((warn_unused_result));
/* The same for several; sets *ret_changed when one of them was not there or another image's. */
struct err *store_refs_set(struct store *s, const struct strv *names, const struct store_target *to, bool *ret_changed)
    __attribute__((warn_unused_result));
struct store_ref { /* a target as it is read: "" for NULL */
    char image[65], manifest[72], index[72];
};
/* What a reference stands for; not_found. */
struct err *store_ref_get(const struct store *s, const char *ref, struct store_ref *ret)
    __attribute__((warn_unused_result));
/* The same for who has looked it up before, or has no name (NULL): all "" where it does not stand for that image. */
struct store_ref store_ref_of(const struct store *s, const char *ref, const char *id);
struct err *store_ref_remove(struct store *s, const char *ref) __attribute__((warn_unused_result));
/* When it was last set, ns since the epoch; 0 where it is not. */
int64_t store_ref_time(const struct store *s, const char *ref);
/* Every reference of a recorded image → its id, sorted by reference. Damaged ones are skipped with a log line. */
struct err *store_refs(const struct store *s, struct strmap *out) __attribute__((warn_unused_result));
/* Deletes what nothing refers to. *ret_skipped: the store is in use, or, with `wait`, one waits already. userns. */
struct err *store_sweep(struct store *s, bool wait, bool *ret_skipped, int64_t *ret_bytes)
    __attribute__((warn_unused_result));

/* ---- containers ---- */

struct store_container_new {
    const char *id, *name;
    const struct json *config;  /* → config.json */
    const struct json *options; /* → options.json */
    const struct json *summary; /* → container.json: "Id", "Name", "Image" (hex), "Layers" (chain ids, bottom first) */
    const struct json *state;   /* → state.json; NULL: none before the first start */
    const struct json *network; /* → network.json, or NULL */
    bool durable;               /* false for run: see store_container_sync() */
};
/* Makes the container's directory (with upper and work) and reserves its name; conflict names the name's owner. For who
 * is going to start it: its directory, and its lock, taken before anybody can see it. Else ret_dirfd is NULL. */
struct err *store_container_create(struct store *s, const struct store_container_new *c, int *ret_dirfd, int *ret_lock)
    __attribute__((warn_unused_result));
/* Makes a container durable that was created without: for `run`, after the start, so that no fsync is before exec. */
struct err *store_container_sync(struct store *s, const char *id) __attribute__((warn_unused_result));
/* Full id for a name, full id, or unique id prefix. not_found: "No such container: x". */
struct err *store_container_find(const struct store *s, const char *name_or_id, char ret[65])
    __attribute__((warn_unused_result));
struct err *store_container_ids(const struct store *s, struct strv *out) __attribute__((warn_unused_result));
/* dirfd of containers/<id>. */
struct err *store_container_open(const struct store *s, const char *id, int *ret) __attribute__((warn_unused_result));
/* Reads one of its JSON files ("state.json"); or appends its text, if it is there: for who reads a thousand. */
struct err *store_container_read(const struct store *s, const char *id, const char *file, struct json **ret)
    __attribute__((warn_unused_result));
struct err *store_container_text(const struct store *s, const char *id, const char *file, struct str *out,
                                 bool *ret_there) __attribute__((warn_unused_result));
/* Takes the container's lock, waiting when `wait`; in_use when another process has it. The monitor inherits it. */
struct err *store_container_lock(const struct store *s, const char *id, bool wait, int *ret_fd)
    __attribute__((warn_unused_result));
/* Whether some process holds it: the container has a live monitor. */
struct err *store_container_running(const struct store *s, const char *id, bool *ret)
    __attribute__((warn_unused_result));
/* For who reads records of containers/<id> to write them back changed; a rename does, too. Till *ret_fd is closed. */
struct err *store_container_lock_records(int dirfd, int *ret_fd) __attribute__((warn_unused_result));
/* Renames (names/ entries and container.json); conflict when taken. */
struct err *store_container_rename(struct store *s, const char *id, const char *to) __attribute__((warn_unused_result));
/* Releases the name and moves the directory to the trash: gone from view in two renames. */
struct err *store_container_remove(struct store *s, const char *id) __attribute__((warn_unused_result));
/* Bytes in the container's upper directory, for ps --size. userns when files are unreadable otherwise. */
struct err *store_container_size(const struct store *s, const char *id, int64_t *ret)
    __attribute__((warn_unused_result));
