/*
 * extract: a layer's tar, as a stream of bytes, to files below a directory. libarchive reads the format (tar alone);
 * the files are made here, because archive_write_disk looks up every path anew and cannot do whiteouts.
 *
 * What a layer may hold and what becomes of it:
 *     file, directory, symlink, FIFO   made with owner, mode, time (ns) and sparse holes; a later entry replaces an
 * earlier hard link                        to an earlier entry; corrupt when there is none .wh.<name> character device
 * 0:0, overlay's whiteout; hides only what lower layers have .wh..wh..opq                     user.overlay.opaque=y on
 * its directory .wh..wh.*                        aufs's own book-keeping: skipped device, socket skipped and counted:
 * an unprivileged user cannot make them user.*, security.capability      kept, but for names by which a layer would
 * steer the union mount (xattr_keep) Names are relative whatever they look like, ".." is refused, and nothing outside
 * the directory is ever touched; the sandbox (sandbox_int.h) sees to it a second time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct writer;

#define EXTRACT_ENTRIES_MAX 10000000

/* Where the tar's bytes come from; *ret_n is 0 at the end. */
struct extract_feed {
    struct err *(*next)(void *ctx, const void **ret, size_t *ret_n);
    void *ctx;
    const struct shared *shared; /* whose files need not be written (shared_int.h), or NULL */
};
/* What cp makes of an archive, where a layer's rules do not hold. */
struct extract_place {
    bool own;     /* owners are set; else files belong to who makes them */
    bool as_root; /* to 0:0, whatever the archive says */
    bool follow;  /* a parent may be a link: it leads where it leads from our own root directory */
};
struct extract_result {
    int64_t entries;
    int64_t skipped_devices;
    int64_t skipped_xattrs; /* kept by policy but refused by the file system */
};

/* What locale conversion may load later is loaded now: call before the root directory changes. */
void extract_prepare(void);
/* Extracts below rootfd (borrowed, owned by root of the user namespace); owners must be below `ids`. Reads the feed to
 * its end. Small files are made complete by `writer` (borrowed) or, where that is NULL, here. */
struct err *extract_layer(int rootfd, uint32_t ids, const struct extract_feed *feed, struct writer *writer,
                          struct extract_result *ret) __attribute__((warn_unused_result));
/* The same as docker's cp does it: into a directory that may have anything in it. Directories merge, files replace
 * files, and neither replaces the other; names that look like whiteouts are names. `rootfd` keeps its attributes.
 * Unsupported: it is no archive. */
struct err *extract_place(int rootfd, uint32_t ids, const struct extract_place *how, const struct extract_feed *feed,
                          struct extract_result *ret) __attribute__((warn_unused_result));
