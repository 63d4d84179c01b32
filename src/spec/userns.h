/*
 * userns: which ids a container has, by --userns, --uidmap and --gidmap. Part of the spec's interface (spec.h). What
 * can be said of that by words and numbers alone is said here; ids that depend on other containers, and on what an
 * image needs, are found by the engine (engine/idmaps.h). The result, a map, goes into spec_build() as part of its
 * input.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/idmap.h"
#include "spec/spec.h"

struct err;
struct host;

enum spec_userns_kind {
    SPEC_USERNS_SHARED,  /* the user's: that in which all containers are */
    SPEC_USERNS_KEEP_ID, /* the user is himself inside */
    SPEC_USERNS_NOMAP,   /* the user has no id inside */
    SPEC_USERNS_AUTO,    /* ids that no other such container has */
    SPEC_USERNS_CONTAINER,
    SPEC_USERNS_MAPS /* --uidmap, --gidmap */
};
struct spec_userns {
    enum spec_userns_kind kind;
    int64_t uid, gid; /* -1: unset */
    int64_t size;     /* 0: unset */
    const char *of;   /* SPEC_USERNS_CONTAINER: whose; borrowed from the options */
};
struct spec_userns_of {
    const struct container_options *options;
    const struct host *host;
    const struct id_map *own; /* host_id_map() */
};
/* What --userns, --uidmap and --gidmap ask for. */
struct err *spec_parse_userns(const struct container_options *o, struct spec_userns *ret)
    __attribute__((warn_unused_result));
/*
 * Whether the files that a container makes shall be the caller's, as in "--user $(id -u):$(id -g) -v "$PWD":/w": it
 * runs as the caller's own number, and sees files of the host's. Where ids are the same inside and outside, as with
 * docker's daemon, that needs nothing more; here it needs keep-id. False where the options say anything of ids
 * themselves.
 */
bool spec_userns_own_files(const struct container_options *o, const struct host *h);
/* The map of those kinds that need to know nothing but the user's own ids: keep-id, nomap, --uidmap. */
struct err *spec_userns_map(const struct spec_userns *u, const struct spec_userns_of *of, struct id_map *ret)
    __attribute__((warn_unused_result));
