/* diff_int: what diff.c and diff_images.c share: layers looked at without a mount, and a list of changes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/str.h"

struct err;
struct id_map;
struct store;

/* A directory as the layers show it. */
struct shown {
    int *layers; /* those whose directory shows through here, topmost first: indexes into diff.layers */
    size_t n;
    size_t first;    /* number of changes before what lies in it */
    bool below;      /* it was there before */
    bool same;       /* and has the same owner and mode */
    struct strv old; /* names that were in it and have not been met, sorted; empty unless they are asked for */
};
void diff_shown_done(struct shown *s);

struct diff {
    int *layers; /* directories of the layers, topmost first */
    size_t n_layers;
    const struct id_map *map; /* the container's, or NULL: owners are those of the layers */
    bool whole;               /* the tree is a whole root file system, not an upper directory */
    bool settle;              /* the tree is to become a layer */
    int64_t latest;           /* and has no later times than this one (s) */
    struct strv unchanged;    /* its directories that are no change, those that lie in others first */
    struct shown *at;
    size_t depth, cap;
    struct str path; /* of the directory being walked: "/" or "/a/b/" */
    char **changes;  /* "C /etc" with the letter first and no blank */
    size_t n_changes, cap_changes;
};
/* Opens layers, bottom first, behind those that there are, topmost first. */
struct err *diff_open_layers(const struct store *s, const struct strv *chain_ids, struct diff *d)
    __attribute__((warn_unused_result));
void diff_done(struct diff *d);

/* Opens a path of a layer; -1 and errno. */
int diff_open_lower(int layer, const char *path, int flags);
/* The topmost entry of a path in the layers that show through in its directory. *ret_layer: its number, or in->n. */
struct err *diff_find_lower(const struct diff *d, const struct shown *in, const char *path, struct stat *ret,
                            size_t *ret_layer) __attribute__((warn_unused_result));
/* Which layers show through in a directory whose topmost layer is in->layers[from]. */
struct err *diff_show_through(const struct diff *d, const struct shown *in, size_t from, const char *path,
                              struct shown *ret) __attribute__((warn_unused_result));
/* The names in a directory, sorted, appended. */
struct err *diff_list_lower(const struct diff *d, const struct shown *s, const char *path, struct strv *ret)
    __attribute__((warn_unused_result));

bool diff_same_meta(const struct stat *a, const struct stat *b);
bool diff_same_file(const struct stat *a, const struct stat *b);
/* Whether two open files have the same attributes, those of union mounts apart. */
bool diff_same_xattrs(int fd, int other);

/* Adds a change. */
void diff_note(struct diff *d, char kind, const char *path);
/* Adds a name to d->path, and takes it away again. */
const char *diff_path_of(struct diff *d, const char *name);
void diff_path_back(struct diff *d, size_t len);
/* Writes the changes as storage/files.h says. */
struct err *diff_write(struct diff *d, int out_fd) __attribute__((warn_unused_result));
