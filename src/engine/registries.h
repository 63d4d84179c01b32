/*
 * registries: the part of engine.h that speaks to registries beside pulling: push, login, logout, search.
 */
#pragma once

#include "image/image.h"

struct engine;
struct err;
struct json;
struct strv;

struct engine_push {
    const char *reference;             /* name[:tag] */
    const char *platform;              /* that the image must be for, or NULL */
    const char *compression;           /* "gzip" or "zstd" for layers that are not compressed yet; NULL: gzip */
    struct image_progress_fn progress; /* its line without an id: "The push refers to repository […]" */
    const int *interrupted_fd;         /* readable: stop; NULL: none */
};
/* Pushes one image under one tag ("latest" where the reference has none), which *ret_tag tells (owned). The image gets
 * the name that the registry has given it (name@digest). */
struct err *engine_image_push(struct engine *e, const struct engine_push *p, struct image_pushed *ret, char **ret_tag)
    __attribute__((warn_unused_result));
/* Every tagged reference of a repository (canonical, sorted), for push --all-tags. usage for a name with a tag,
 * not_found for one without any. */
struct err *engine_push_tags(struct engine *e, const char *name, struct strv *out) __attribute__((warn_unused_result));
