/*
 * node: makes one entry of a layer, with its attributes, in the directory that the tree stands in. Files are born 0:0
 * with the asked mode (the umask is 0 and we are root), so most of them cost open, write, utimensat and close.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct archive;
struct archive_entry;
struct err;
struct tree;
struct writer;

struct node {
    struct tree *tree;
    struct writer *writer;       /* takes over small files, or NULL */
    struct archive *archive;     /* the data of a regular file comes from here */
    struct archive_entry *entry; /* its extended attributes */
    const struct shared *shared; /* files that need not be written (shared_int.h), or NULL */
    const char *path;            /* as in the archive */
    const char *name;            /* last component; "" for the root */
    bool own;                    /* owner and group are to be set */
    uint32_t uid, gid;
    unsigned mode;            /* 07777 */
    struct timespec times[2]; /* for utimensat */
    int64_t size;
    int64_t *skipped_xattrs;
};

/* A regular file with its data. corrupt when the data are not what the header says. */
struct err *node_file(const struct node *n) __attribute__((warn_unused_result));
/* A directory; an existing one gets the new attributes and keeps its children. */
struct err *node_dir(const struct node *n) __attribute__((warn_unused_result));
struct err *node_symlink(const struct node *n, const char *target) __attribute__((warn_unused_result));
struct err *node_fifo(const struct node *n) __attribute__((warn_unused_result));
/* A hard link to `target`, which must be there (not_found). */
struct err *node_link(const struct node *n, const char *target) __attribute__((warn_unused_result));
/* ".wh.<hidden>". Hides only what lower layers have: what this layer has under that name stays. */
struct err *node_whiteout(struct tree *t, const char *hidden) __attribute__((warn_unused_result));

/* ---- xattr.c ---- */

/*
 * Whether an extended attribute of a layer is kept: user.* and security.capability and POSIX ACLs are; whatever steers
 * overlayfs, fuse-overlayfs or another engine (owners and modes from an attribute, redirects to other paths) is not.
 */
int xattr_keep(const char *name) __attribute__((pure));
/* Sets the entry's attributes on fd. Those that the file system has no room for or no idea of are counted. */
struct err *xattr_apply(int fd, struct archive_entry *e, int64_t *skipped) __attribute__((warn_unused_result));
