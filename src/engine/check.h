/*
 * check: the part of engine.h that is about `coracle system check` and `system reset`. What a sound store is stands in
 * storage/check.h; here networks and the records of images join, and what is broken is made again: blobs and images
 * from the registry that still has them (by digest), layers and records from the blobs. What can neither be made nor
 * brought again is moved to quarantine/ below the store's root; nothing that a user made is deleted.
 */
#pragma once

#include <stdbool.h>

struct engine;
struct err;
struct json;

struct engine_check {
    bool quick;  /* neither bytes of blobs nor files of layers */
    bool repair; /* put right what was found */
};
/*
 * {"Root", "Findings":[{"Kind","Name","Problem","Repaired","Failed"}], "Leftovers":n, "Checked":{"images":n, …},
 * "Sound":true}. After a repair "Sound" is what a second look says. The last two of a finding are "" without a repair.
 */
struct err *engine_check(struct engine *e, const struct engine_check *c, struct json **ret)
    __attribute__((warn_unused_result));

/* Removes everything: containers, running or not, and then the store with all that is in it. */
struct err *engine_reset(struct engine *e) __attribute__((warn_unused_result));
