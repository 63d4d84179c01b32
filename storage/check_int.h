/* check_int: what the parts of the check share: check.c (images and what they are made of), check_made.c (what users
 * made: containers, their names, volumes, secrets) and check_rest.c (the root, the build cache, other maps of ids). */
#pragma once

#include "base/str.h"
#include "storage/check.h"
#include "storage/store_int.h"

struct check {
    struct store *s;
    const struct store_inside *in;
    bool quick;
    struct store_findings *out;
    struct strv blobs, layers;    /* hex of what is referenced; sorted before these are looked at */
    struct store_layer_ref *deep; /* layers to be compared with their blobs: blob, diff_id, chain_id, size; owned */
    size_t n_deep;
    int dir; /* the directory being read */
};

/* Adds an error as a finding. */
void check_add_err(struct check *c, enum store_remedy remedy, const char *kind, const char *name,
                   const struct err *why);

/* Calls fn for what is in a directory of the store; one that is not there, and cannot be made, has nothing. */
struct err *check_each(struct check *c, enum store_dir which,
                       struct err *(*fn)(void *ctx, const char *name, unsigned char d_type))
    __attribute__((warn_unused_result));

struct err *check_containers(struct check *c) __attribute__((warn_unused_result));
struct err *check_volumes(struct check *c) __attribute__((warn_unused_result));
struct err *check_secrets(struct check *c) __attribute__((warn_unused_result));
struct err *check_root(struct check *c) __attribute__((warn_unused_result));
struct err *check_builds(struct check *c) __attribute__((warn_unused_result));
struct err *check_idmaps(struct check *c) __attribute__((warn_unused_result));
