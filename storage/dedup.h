/*
 * dedup: files that layers of different images have in common lie on the disk once.
 *
 * Nothing does this by itself: a pull unpacks what it gets. It is done for who asks, over all layers or over some, and
 * costs one look at every file of the store's layers, and reading those of which two could be the same.
 *
 * Where the file system has reflinks, files of equal content share their blocks (FIDEDUPERANGE): the kernel compares
 * them itself, each stays a file of its own, and neither containers nor other commands notice anything.
 *
 * Elsewhere files become names of one inode. So that nobody can tell, they must be equal in owner, mode, time to the
 * nanosecond and attributes, too; and no image may get two names of one file that it did not have: tar and cp would
 * take them for links. A layer's chain id says what lies below it, for ever, so this can be told: two layers are in
 * one image if, and only if, one of them lies below the other. What can be seen is the number of links. Besides:
 *
 *   - Only a file with a single link gives way: one more link is in an image's own hard links, or in what other maps of
 *     ids (idmaps/) or other users (shared.h) refer to, and its blocks would not come free.
 *   - Files below 4 KiB stay: so do the ones whose readers want them to have one link (cron's tables).
 *   - A layer that a container has mounted stays as it is: what happens to an overlay whose layers are changed is not
 *     defined. Starts of its other containers wait for the milliseconds of a batch.
 *
 * Each file is exchanged by one rename of a link that was made in tmp/, and its directory gets its time back: whoever
 * looks, after whatever crash, finds a file with the right content, owner, mode and time. A layer that has inodes with
 * others in common has a file "shares" beside its diff/, so that only these are measured (store_dedup_size()).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;
struct strv;

enum { STORE_DEDUP_MIN = 4096 }; /* bytes of a file that is worth it */

struct store_dedup {
    const struct strv *only; /* chain ids: files of these layers give way to those of others; NULL: of all */
    bool dry_run;            /* only say what there is to save */
    bool wait;               /* for who has the store for himself, or is at the same; else in_use */
};
struct store_deduped {
    int64_t layers;       /* looked at */
    int64_t files, bytes; /* that were, or would be, exchanged, and what they took on the disk */
    int64_t in_use;       /* layers left as they are, as containers have them mounted */
    bool reflinks;        /* blocks are shared, not inodes */
};
/* Does it. in_use where others work on the store and `wait` is not set; what was done until then stays done. userns. */
struct err *store_dedup(struct store *s, const struct store_dedup *how, struct store_deduped *ret)
    __attribute__((warn_unused_result));

/* How much less the layers' files take than their sizes say, as they have inodes in common. userns where directories
 * are unreadable otherwise. */
struct err *store_dedup_size(const struct store *s, int64_t *ret_bytes) __attribute__((warn_unused_result));
