/*
 * idmaps: which ids a new container has. Most have the user's, and nothing is looked up for them. For --userns auto ids
 * are allocated: those that no other container has got that way, under a lock that is held until they are recorded.
 */
#pragma once

#include "engine/engine_int.h"
#include "spec/userns.h"

struct idmaps {
    struct spec_userns mode;
    struct id_map map;
    bool mapped;                 /* `map` is its own */
    char user[32];               /* who runs there where nobody says it; "": the image's word */
    struct host_account account; /* whose ids these are; not set: nobody's */
    int lock_fd;                 /* of the allocation, until the container is recorded; -1 */
};
#define IDMAPS_INIT                                                                                                    \
    (struct idmaps) { .lock_fd = -1 }
/* Gives the lock back, frees the members. */
void idmaps_done(struct idmaps *m);
/* By the options and, for auto, the users that the image (its layers, bottom first) knows. */
struct err *idmaps_resolve(struct engine *e, const struct container_options *o, const struct json *image_config,
                           const struct strv *layers, struct idmaps *ret) __attribute__((warn_unused_result));
