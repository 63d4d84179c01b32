/*
 * tree: where in the layer the extractor stands. Every file is made relative to the descriptor of its parent directory,
 * which stays open, with all above it, while entries keep coming for it: archives are written depth first, so most
 * entries cost no look-up at all.
 *
 * Parents are opened one component at a time without following links. A component that is a symlink of this same layer
 * is followed inside the layer's root, as docker and containerd do; missing ones are made (0755, root).
 *
 * Invariant: a directory that is not on the stack has its final modification time on disk. A level remembers the time
 * that its directory had when it was opened and puts it back when the level is left, if anything was made there; so
 * no list of directories is kept, whatever their number.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;
struct tree;

#define TREE_PATH_MAX 4096  /* bytes of a path, the final NUL included */
#define TREE_DEPTH_MAX 1024 /* components of a path */
#define TREE_OPEN_MAX 128   /* levels that stay open; deeper ones keep the innermost only */

/* `rootfd` is borrowed. */
struct tree *tree_new(int rootfd) __attribute__((returns_nonnull, warn_unused_result));
void tree_free(struct tree *t);
/*
 * The tree is no layer, but somebody's own, who works in it meanwhile: what is made starts with whatever owner and mode
 * its directory gives (`own`: it then gets those of root), a parent that is a link is followed from our own root
 * directory or refused, and the top keeps the time of its last change.
 */
void tree_set_shared(struct tree *t, bool follow, bool own);

/*
 * Splits an entry's name: cleans it, makes it relative, and stands in its parent directory. *ret_name is the last
 * component, borrowed until the next call, "" for the root itself. corrupt for "..", too long or too deep names.
 */
struct err *tree_enter(struct tree *t, const char *path, const char **ret_name) __attribute__((warn_unused_result));
/* The directory that tree_enter() stands in, borrowed. */
int tree_fd(const struct tree *t);
/* What is made there does not start with owner 0:0 and the asked mode (setgid or foreign-group parent). */
bool tree_inherits(const struct tree *t);
/* Something is about to be made or removed in the current directory. */
void tree_touch(struct tree *t);
/* An entry for the root directory changed its owner, mode and time: takes note of them. */
struct err *tree_root_changed(struct tree *t) __attribute__((warn_unused_result));
/* For one that could not be made in the current directory because of EEXIST, and is to be tried again: removes what is
 * there, with everything below it. In a shared tree others come and go: that is borne, but not for ever (*tries, 0 at
 * first). */
struct err *tree_make_room(struct tree *t, const char *name, int *tries) __attribute__((warn_unused_result));
/* After an error about what has just been made: whether others have removed it already, which is no failure of ours. */
bool tree_lost(const struct tree *t);
/* Makes a directory in the current one; where a whiteout stood, hides what lies below it in other layers. */
struct err *tree_mkdir(struct tree *t, const char *name, unsigned mode, bool *ret_existed)
    __attribute__((warn_unused_result));
/* Call after each entry: forgets what a followed symlink may have made stale. */
struct err *tree_settle(struct tree *t) __attribute__((warn_unused_result));
/* Leaves all directories. */
struct err *tree_finish(struct tree *t) __attribute__((warn_unused_result));

/*
 * Opens the parent of a hard link's target (following links inside the root) for linkat. *ret_fd is -1 when it is the
 * current directory. *ret_name as in tree_enter().
 */
struct err *tree_lookup(struct tree *t, const char *path, int *ret_fd, const char **ret_name)
    __attribute__((warn_unused_result));

/* Cleans a name into `out` (TREE_PATH_MAX bytes) and finds its last component; corrupt as in tree_enter(). */
struct err *tree_clean(const char *path, char *out, size_t *ret_len, size_t *ret_base)
    __attribute__((warn_unused_result));

#define TREE_WH_XATTR "user.overlay.whiteout"
/* True when dirfd/name is a whiteout: the character device 0:0, or an empty file with that attribute. */
bool tree_is_whiteout(int dirfd, const char *name);
/* Marks an open directory opaque for overlay with userxattr. */
struct err *tree_set_opaque(int fd) __attribute__((warn_unused_result));
