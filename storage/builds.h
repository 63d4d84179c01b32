/*
 * builds: the cache of builds: what a step made, under the digest of everything that it was made from. A record keeps
 * its layer and that layer's blob from the sweep; it is replaced as a whole, and one that cannot be read is not there.
 *
 *     builds/<hex of the key>   {"Layer": {"Blob","Type","DiffId","ChainId","Size","DiffSize"}, "Step": the
 *                               instruction, "Created": ns, "Link": its layer does not depend on what it lies
 *                               on}; its modification time is when it was used last. Or {"Digest"}: a note of
 *                               what the files of layers are, which takes long to find out
 *     builds/mounts/            the directories of RUN --mount=type=cache
 *     builds/stats/             what the files of contexts were (src/build/stat_cache_int.h)
 *     builds/passing            the images that are not to stay (src/engine/passing.c)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct json;
struct store;
struct strv;

#define STORE_BUILD_STATS "builds/stats"

/* Opens builds/passing for reading and appending; made where it is missing. */
struct err *store_builds_passing(struct store *s, int *ret_fd) __attribute__((warn_unused_result));

/* Stores a record under a digest ("sha256:…"). */
struct err *store_build_put(struct store *s, const char *key, const struct json *record)
    __attribute__((warn_unused_result));
/* Reads one, and notes that it was used; *ret is NULL where there is none. */
struct err *store_build_get(struct store *s, const char *key, struct json **ret) __attribute__((warn_unused_result));
/* One record of the cache. */
struct store_build {
    const char *key; /* digest */
    const struct json *record;
    int64_t used; /* ns */
};
/* Calls fn for each record, in no order; damaged ones are skipped. */
struct err *store_builds_each(const struct store *s, struct err *(*fn)(void *ctx, const struct store_build *b),
                              void *ctx) __attribute__((warn_unused_result));
/* A directory builds/mounts/<name> of RUN --mount=type=cache. */
struct store_build_mount {
    const char *name, *id; /* id: what the Dockerfile calls it; "" of one that an older version made */
    int64_t bytes, created, used;
    bool in_use; /* a build has it */
};
/* Calls fn for each. userns, for the sizes. */
struct err *store_build_mounts_each(const struct store *s,
                                    struct err *(*fn)(void *ctx, const struct store_build_mount *m), void *ctx)
    __attribute__((warn_unused_result));
/* Moves those that no build has to the trash, by their names. userns. */
struct err *store_build_mounts_remove(struct store *s, const struct strv *names) __attribute__((warn_unused_result));
/* Forgets one; its layer goes with the next sweep, unless an image has it. */
struct err *store_build_remove(struct store *s, const char *key) __attribute__((warn_unused_result));

/*
 * A layer's files, which do not depend on what they lie on, as a layer on top of `parent`, too (COPY --link after a
 * change of what is below): the same inodes, so no data is copied, and both are marked as dedup.h says. One image may
 * have both, one above the other, and shows only the upper one's names. store_layer_links() fills tmp/<name> and needs
 * the userns; store_layer_rebase() puts that in place; *ret is its chain id.
 */
struct err *store_layer_links(const struct store *s, const char *chain_id, int tmp_fd)
    __attribute__((warn_unused_result));
struct err *store_layer_rebase(struct store *s, const char *name, int tmp_fd, const char *chain_id, const char *parent,
                               char ret[72]) __attribute__((warn_unused_result));
