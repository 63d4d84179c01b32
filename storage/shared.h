/*
 * shared: one cache of images for all users of a machine.
 *
 * A store is closed to everybody but its owner: what lies in its layers may be setuid, and would run as the owner
 * (CVE-2021-41091). So images are not shared by opening a store but by putting what everybody may read into a directory
 * beside it, which its owner keeps up to date (store_share()) and others name in their configuration
 * (additional-image-stores):
 *
 *     version, blobs/, images/, refs/      as in a store, readable by all
 *     layers/<hex>/diff/                   the layer's files that everybody may read and that are not setuid
 *     layers/<hex>/data/<n>/<inode>        the same files, for overlay's data-only layers; n: the layer's place
 *
 * Where directory and store are on one file system all files are hard links: sharing copies nothing. No mode is
 * changed.
 *
 * A reader's own store gets of such a layer what must be its own, because owners are those of its own ids: an inode for
 * each file. It is unpacked from the blob; a file that is in diff/ is not written but refers to data/ (where overlay
 * can do that), any other, such as /etc/shadow, is written in full. Images stay where they are: readers look them up
 * here after their own, and can neither remove nor change them. What is shared is trusted as its owner is; a directory
 * that others can write to is refused.
 *
 * An image that is taken away (store_unshare()) is missed by readers' containers of it: they cannot start again.
 */
#pragma once

#include <stdbool.h>

#include "storage/store.h"

/* Looks images up in a shared directory, too, after its own and those added before. Errors say what is wrong with it.
 */
struct err *store_shared_add(struct store *s, const char *dir) __attribute__((warn_unused_result));
/* The shared directory that an image is in; borrowed; NULL for one of its own, or nobody's. */
const char *store_image_shared(const struct store *s, const char *id);
/* Appends the ids of images that are only in shared directories. */
struct err *store_shared_image_ids(const struct store *s, struct strv *out) __attribute__((warn_unused_result));

/*
 * Overlay takes data from data-only layers for one layer only, the lowest. So of layers that refer to others' files one
 * is made that is all of them, layers/<hex of the topmost>/flat, again without data. Does that for an image's layers
 * (chain ids, bottom first) where it is missing. userns.
 */
struct err *store_layers_flatten(struct store *s, const struct strv *chain_ids) __attribute__((warn_unused_result));

/* Puts an image with its references into a directory, which is made; what is there already is left. userns. */
struct err *store_share(struct store *s, const char *dir, const struct store_image *img, const struct strv *refs)
    __attribute__((warn_unused_result));
/* Takes all images out but those of `ids`, with the layers and blobs that only they have. */
struct err *store_unshare(const struct host *host, const char *dir, const struct strv *ids)
    __attribute__((warn_unused_result));
