/*
 * io: whole reads and writes, files that appear whole or not at all, trees, and locks that die with their holder.
 *
 * Durability is a parameter, not an accident: IO_DURABLE fsyncs the file and its directory before returning, so
 * that what a user would miss after a power cut is there; the hot path (the state of a running container) passes 0.
 * Locks are open-file-description locks: they belong to the descriptor, are inherited over fork, and end with the
 * last copy of it, so no lock outlives its holder and none is ever a file with a pid in it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct str;

enum { IO_DURABLE = 1 };

/* Writes all bytes, over EINTR and short writes. */
struct err *io_write_all(int fd, const void *data, size_t n) __attribute__((warn_unused_result));

/* Reads to EOF and appends; more than `max` bytes is an error of kind corrupt that names `what`. */
struct err *io_read_all(int fd, size_t max, const char *what, struct str *out) __attribute__((warn_unused_result));

/* Reads a regular file (never a FIFO or device, symlinks not followed in the last component) of at most `max` bytes;
 * appends to out. */
struct err *io_read_file(int dirfd, const char *name, size_t max, struct str *out) __attribute__((warn_unused_result));

/*
 * The same for a small file of our own, where nobody else could have put anything else: what it is is not looked at,
 * and less than was asked for is its end, so that it costs an open, a read and a close. One that is missing is no error
 * where `ret_there` is given, which tells.
 */
struct err *io_read_record(int dirfd, const char *name, size_t max, struct str *out, bool *ret_there)
    __attribute__((warn_unused_result));

/* Replaces dirfd/name by temporary file and rename. flags: IO_DURABLE. Leaves nothing behind on failure. */
struct err *io_write_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode, int flags)
    __attribute__((warn_unused_result));

/* Creates a symlink or file name exclusively: conflict if it is there. The content lands before the name does. */
struct err *io_create_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode, int flags)
    __attribute__((warn_unused_result));

/*
 * Makes a file hold these bytes in place, for whoever has it open or mounted: nobody sees it empty, and one that holds
 * them already is left alone. When no room is left it has the beginning of the new, and behind that what it had.
 */
struct err *io_rewrite_file(int dirfd, const char *name, const void *data, size_t n, mode_t mode)
    __attribute__((warn_unused_result));

/* fsync of a descriptor (file or directory). */
struct err *io_sync(int fd) __attribute__((warn_unused_result));

/* Copies up to `n` bytes (UINT64_MAX: to EOF) by copy_file_range, splice or read and write. ret_n may be NULL. */
struct err *io_copy(int from, int to, uint64_t n, uint64_t *ret_n) __attribute__((warn_unused_result));

/* mkdir -p below dirfd with the given mode (less the umask) for what is made; existing directories are fine. */
struct err *io_mkdirs(int dirfd, const char *path, mode_t mode) __attribute__((warn_unused_result));

/*
 * Removes dirfd/name and all below it without following symlinks or crossing into mounts; directories that are
 * not readable are made so first. A missing name is success. Goes on after a failure and reports the first one.
 */
struct err *io_remove_tree(int dirfd, const char *name) __attribute__((warn_unused_result));

enum io_lock { IO_LOCK_SHARED, IO_LOCK_EXCLUSIVE };

/* Takes an OFD lock on an open file, waiting for it. */
struct err *io_lock(int fd, enum io_lock how) __attribute__((warn_unused_result));

/* The same of a directory, which cannot be opened for writing: by flock(2), till the description is closed. */
struct err *io_lock_dir(int dirfd, enum io_lock how) __attribute__((warn_unused_result));

/* Tries to; *ret_got tells whether it was free. */
struct err *io_try_lock(int fd, enum io_lock how, bool *ret_got) __attribute__((warn_unused_result));

/* Whether somebody else holds an exclusive lock on the file (F_OFD_GETLK), without taking it. */
struct err *io_lock_held(int fd, bool *ret_held) __attribute__((warn_unused_result));

/* Gives the lock back (closing the last descriptor does it too). */
struct err *io_unlock(int fd) __attribute__((warn_unused_result));

/*
 * Calls fn for each entry of a directory but . and .., in readdir order; stops at the first error. `name` is borrowed.
 * A directory that was removed while it is open has none.
 */
struct err *io_each_entry(int dirfd, struct err *(*fn)(void *ctx, const char *name, unsigned char d_type), void *ctx)
    __attribute__((warn_unused_result));
