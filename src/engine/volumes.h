/*
 * volumes: the part of engine.h that is about `coracle volume`. What a volume is stands in storage/volumes.h; who uses
 * it is read from the containers' records, so there are no counters that could be wrong. Errors are in docker's words:
 * not_found, in_use, usage (names and options).
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct engine;
struct err;
struct json;

struct engine_volume_new {
    const char *name, *driver;   /* NULL: a random name (an anonymous volume); local */
    struct strv labels, options; /* as typed: key=value; borrowed */
};
/* Makes a volume; one that is there already is fine. *ret_name is owned. */
struct err *engine_volume_create(struct engine *e, const struct engine_volume_new *n, char **ret_name)
    __attribute__((warn_unused_result));
/*
 * docker's volume objects, by name, with "CreatedNs" and "Anonymous", and "Users": the ids of the containers, running
 * or not, that have it. With `sizes` docker's UsageData {"Size","RefCount"}, too.
 */
struct err *engine_volume_list(struct engine *e, bool sizes, struct json **ret) __attribute__((warn_unused_result));
/* One, as docker's inspect shows it. */
struct err *engine_volume_inspect(struct engine *e, const char *name, struct json **ret)
    __attribute__((warn_unused_result));
/* in_use while any container has it, running or not. */
struct err *engine_volume_remove(struct engine *e, const char *name) __attribute__((warn_unused_result));
/* Its content as a tar written to fd, or a tar's entries put into it; owners are the containers' ids. */
struct err *engine_volume_export(struct engine *e, const char *name, int fd) __attribute__((warn_unused_result));
struct err *engine_volume_import(struct engine *e, const char *name, int fd) __attribute__((warn_unused_result));
/* Names, for completion. */
void engine_complete_volumes(struct engine *e, struct strv *out);
