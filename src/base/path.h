/*
 * path: names and paths that somebody hostile may have chosen.
 *
 * Inside a rootfs, a volume or a layer nothing is ever opened by a plain path: symlinks there belong to the image.
 * path_open_in_root() resolves with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), and where the kernel has no
 * openat2 with a walk of its own (one O_PATH | O_NOFOLLOW step per component, at most 40 links) that gives the same
 * answers.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct err;

/* Opens `path` as if `rootfd` were /; O_CLOEXEC is added. With O_CREAT the last component must not be a link out of
 * nowhere. */
struct err *path_open_in_root(int rootfd, const char *path, int flags, mode_t mode, int *ret_fd)
    __attribute__((warn_unused_result));

/* The same without O_CREAT, for whom a missing file is no error: a descriptor, or -1 and errno. */
int path_find_in_root(int rootfd, const char *path, int flags);

/*
 * mkdir -p below rootfd with the same resolution (links inside the root are followed inside it), returning an O_PATH
 * descriptor of the last directory. New directories get `mode` and the given owner (-1: unchanged).
 */
struct err *path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, uid_t uid, gid_t gid, int *ret_fd)
    __attribute__((warn_unused_result));

/* True for a file name that is safe as one component: not empty, ".", "..", no '/', no NUL, at most 255 bytes. */
bool path_is_component(const char *name);

/* True for 64 lower-case hex digits. */
bool path_is_hex64(const char *s);

/* Lexically cleans an absolute or relative path (".", "..", "//"), never above the start; owned. As Go's path.Clean,
 * but leading ".." of a relative path are dropped too ("../a" gives "a"). */
char *path_clean(const char *path) __attribute__((returns_nonnull, warn_unused_result));

/* Joins with one '/'; an absolute `b` replaces `a`; owned. */
char *path_join(const char *a, const char *b) __attribute__((returns_nonnull, warn_unused_result));

/* Whether a clean path is `dir` or lies below it; lexically. */
bool path_is_below(const char *path, const char *dir) __attribute__((pure));

/* The part after the last '/', borrowed. */
const char *path_base(const char *path);

/* "/proc/self/fd/N" into buf (at least 32 bytes); returns buf. */
char *path_of_fd(int fd, char *buf);
