/*
 * files: what a container has changed, and trees as tars and back: what diff, cp, export and commit are made of. The
 * tars are written and read by coracle-unpack, which works inside the container's root directory where there is one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct id_map;
struct store;
struct strv;

/*
 * What a container has changed since it was made from its layers (chain ids, bottom first), as docker's diff has it: a
 * letter (A, C, D), an absolute path and a NUL for each, directories before what lies in them, siblings by name. The
 * image is not walked, but with the copy driver. `map` of its own ids, or NULL. Written to out_fd. userns.
 */
struct err *store_container_changes(const struct store *s, const char *id, const struct strv *chain_ids,
                                    const struct id_map *map, int out_fd) __attribute__((warn_unused_result));
/*
 * The same for a container of overlay that has ended and is of no use any more: its upper directory becomes "diff" in
 * the directory tmp_fd, and is what a layer unpacked from the tar of the changes would be. userns.
 */
struct store_take {
    const char *id;               /* of the container */
    const struct strv *chain_ids; /* of the layers it was made from, bottom first */
    int out_fd, tmp_fd;           /* borrowed */
    int64_t latest;               /* times of files that are later become this one (s); INT64_MAX: none do */
};
struct err *store_container_take_upper(const struct store *s, const struct store_take *t)
    __attribute__((warn_unused_result));
/* The directory that the changes are in. */
struct err *store_container_changes_open(const struct store *s, const char *id, int *ret_fd)
    __attribute__((warn_unused_result));

/* The same of images: how that of the layers `chain_ids` (bottom first) differs from that of `old_chain_ids`. What both
 * have in common is not looked at. userns. */
struct err *store_image_changes(const struct store *s, const struct strv *chain_ids, const struct strv *old_chain_ids,
                                int out_fd) __attribute__((warn_unused_result));

struct store_gather {
    int out_fd, dir_fd; /* borrowed, as all here */
    const char *name;   /* what to take of the directory; "." is itself */
    const char *as;     /* its name in the archive; "" for a directory: only what lies in it, at the top */
    int changes_fd;     /* instead of the names: a list by store_container_changes() to take; -1 */
    int root_fd;        /* of the container whose files these are, or -1: the user's own */
    int userns_fd;      /* its user namespace, or -1 */
    bool as_root;       /* everything belongs to 0:0 */
    void (*progress)(void *ctx, int64_t bytes); /* called now and then by store_files_finish(); NULL: nobody asks */
    void *progress_ctx;
    bool digest; /* wanted by store_gather_finish() */
    bool sparse; /* holes stay holes, for a reader who knows GNU's sparse files */
    bool clamp;  /* times that are later than `latest` (s) become it */
    int64_t latest;
};
struct store_place {
    int in_fd, dir_fd; /* a tar, compressed or not; where its entries go */
    int mounts_fd;     /* the mount namespace of the container that dir_fd is in, or -1 */
    int userns_fd;     /* its user namespace, or -1 */
    uint32_t ids;      /* number of ids there */
    bool own, as_root; /* owners are set, all of them to 0:0 */
};
struct store_files_job; /* a running coracle-unpack */
/* A tree, or a list of changes, as a tar (PAX) written to out_fd. */
struct err *store_gather_start(const struct store *s, const struct store_gather *g, struct store_files_job **ret)
    __attribute__((warn_unused_result));
/* store_files_finish() for one whose digest was wanted. */
struct err *store_gather_finish(struct store_files_job *take_job, int64_t *ret_bytes, char ret_digest[72])
    __attribute__((warn_unused_result));
/* A tar's entries below a directory, by docker cp's rules: see storage/unpack/extract_int.h. */
struct err *store_place_start(const struct store *s, const struct store_place *p, struct store_files_job **ret)
    __attribute__((warn_unused_result));
/* Waits for the end and frees the job. *ret_bytes (may be NULL): size of the tar that was written. */
struct err *store_files_finish(struct store_files_job *take_job, int64_t *ret_bytes)
    __attribute__((warn_unused_result));
