/*
 * dedup: the part of engine.h that has files which several layers have in common lie on the disk once: storage/dedup.h.
 */
#pragma once

#include <stdbool.h>

struct engine;
struct err;
struct json;
struct strv;

/* Over all layers: {"Layers":n,"Files":n,"Bytes":n,"InUse":n,"Method":"reflink" or "hardlink"}. `dry_run`: what there
 * would be to save. in_use when others wait for the store already. */
struct err *engine_dedup(struct engine *e, bool dry_run, struct json **ret) __attribute__((warn_unused_result));
/* What has just been brought into the store, by ids of images, where the configuration says so; best effort, as
 * engine_dedup() does later what cannot be done now. */
void engine_dedup_images(struct engine *e, const struct strv *ids);
