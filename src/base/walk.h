/*
 * walk: trees that containers and images made. They may be deeper than RLIMIT_NOFILE or the stack allow, and a running
 * container may move things about meanwhile: so the walk holds one descriptor, goes down by one component and up by
 * "..", and believes ".." only when it leads to the directory that it came down from (as io_remove_tree does). No link
 * is ever followed.
 */
#pragma once

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct err;

/*
 * A walk of a tree in pre- and post-order with one open descriptor, whatever the depth. `at` is the directory that the
 * entry lies in, `st` not followed. A NULL callback is skipped. The first error ends the walk.
 */
struct walk_ops {
    struct err *(*file)(void *ctx, int at, const char *name, const struct stat *st); /* everything but directories */
    struct err *(*enter)(void *ctx, int dir, const char *name,
                         const struct stat *st); /* `dir` is the directory itself */
    struct err *(*leave)(void *ctx, int dir, const char *name, const struct stat *st);
    void *ctx;
};
/* Walks dirfd/name, itself included. */
struct err *walk_tree(int dirfd, const char *name, const struct walk_ops *ops) __attribute__((warn_unused_result));

/* A set of files by device and inode: which of a tree's hard links was met before. */
struct walk_inodes {
    struct walk_inode {
        dev_t dev;
        ino_t ino;
        char *path; /* owned; NULL: empty slot */
    } * slot;
    size_t n, cap;
};
/* The path that was given with this file before, borrowed; else NULL, and `path` is copied for the next time. */
const char *walk_inodes_put(struct walk_inodes *set, const struct stat *st, const char *path);
void walk_inodes_done(struct walk_inodes *set);
