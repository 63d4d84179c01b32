/*
 * export_int: what becomes of a target stage: an image of its configuration and layers, or, where there are several
 * platforms or something is attested, an index of such images (image/bundle.h).
 */
#pragma once

#include "image/bundle.h"

struct build_options;
struct build_result;
struct exec;

/* --annotation, by what it is of; each NULL where there is none. */
struct export_annotations {
    struct json *manifest, *index, *descriptor;
};
/* Reads them. usage and unsupported: see there. `index`: one is made. */
struct err *export_annotations_parse(const struct strv *typed, bool index, struct export_annotations *ret)
    __attribute__((warn_unused_result));
void export_annotations_done(struct export_annotations *a);

/* Whether the result is an index. */
bool export_wants_index(const struct exec *x);
/* The target stage as an image with its names. */
struct err *export_image(struct exec *x, const struct strv *names, struct build_result *ret)
    __attribute__((warn_unused_result));

struct export_index {
    struct image_bundle bundle;
    struct strv platforms; /* of its images */
};
/* The target stage, and what is attested of it, as one of an index. */
struct err *export_member(struct exec *x, struct export_index *index, const struct strv *names)
    __attribute__((warn_unused_result));
/* The index, with its names. */
struct err *export_all(struct exec *x, struct export_index *index, const struct strv *names, struct build_result *ret)
    __attribute__((warn_unused_result));
void export_index_done(struct export_index *index);

/* ---- squash.c ---- */

/* Whether --squash goes with the rest. */
struct err *squash_check(const struct exec *x) __attribute__((warn_unused_result));
/* Puts the layers that the target stage has beside those of its base image into one, and says so in the history. */
struct err *squash(struct exec *x) __attribute__((warn_unused_result));
