/* dedup_int: what dedup.c, which finds equal files, and dedup_share.c, which has them share their data, have in common.
 */
#pragma once

#include <stddef.h>

#include "base/id.h"
#include "storage/dedup.h"
#include "storage/store_int.h"

struct dedup_layer {
    char hex[ID_LEN + 1];
    size_t parent; /* index of the layer below it, or DEDUP_NONE */
    bool known;    /* an image has it, so what is below it is known */
    bool used;     /* a running container has it, or a mount for a user */
    bool fixed;    /* its files stay as they are */
    bool marked;   /* it says that it has inodes in common with others */
};
#define DEDUP_NONE ((size_t)-1)

/* A regular file of a layer. With reflinks all that need not be equal is 0. */
struct dedup_file {
    char *path; /* in layers/, owned */
    int64_t size, blocks, mtime;
    uint32_t mtime_ns, uid, gid, mode;
    ino_t ino;
    nlink_t nlink;
    size_t layer;
};

/* `file` is to get the data of `source`; indexes. */
struct dedup_link {
    size_t file, source;
};

struct dedup {
    struct store *s;
    const struct store_dedup *how;
    struct store_deduped *out;
    int dir; /* layers/, borrowed */
    struct dedup_layer *layers;
    size_t n_layers;
    struct dedup_file *files;
    size_t n_files, files_cap;
    struct dedup_link *links;
    size_t n_links, links_cap;
};

/* Opens a path below layers/ that no link is part of; -1 and errno. */
int dedup_open(const struct dedup *d, const char *path, int flags);
/* Notes which layers are used, as far as can be told without a lock. */
struct err *dedup_note_used(struct dedup *d) __attribute__((warn_unused_result));
/* Exchanges the files of d->links, or has them share blocks. The store lock must not be held. */
struct err *dedup_share(struct dedup *d) __attribute__((warn_unused_result));
