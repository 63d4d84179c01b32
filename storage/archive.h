/*
 * archive: tar archives of images, what `docker save` and the OCI layout write. They are read and written by
 * coracle-unpack: no byte of a stranger's archive is parsed in this process. Part of store.h, in a header of its own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

struct store_member {
    char *name, *link; /* as in the archive, cleaned; target of a symlink or hardlink, or NULL */
    char digest[72];   /* of a regular file */
    int64_t size;
};
struct store_archive {
    char *tmp; /* tmp/<name>: regular members lie there under their digest's hex */
    int tmp_fd;
    struct store_member *m;
    size_t n;
};
/* The regular members of a tar (compressed or not) into a tmp directory, by their digests; at most 100,000. Of a
 * directory: the files in it and in its blobs/sha256. */
struct err *store_archive_read(struct store *s, int fd, struct store_archive **ret) __attribute__((warn_unused_result));
/* The member of that name, links followed within the archive; NULL when absent. Borrowed. */
const struct store_member *store_archive_find(const struct store_archive *a, const char *name);
/* Frees and removes the tmp directory. */
void store_archive_free(struct store *s, struct store_archive *a);

struct store_tar_file {
    const char *name;
    const char *blob; /* digest of a blob to send, or NULL */
    const void *data; /* else these bytes */
    size_t len;
};
/* Writes a tar with these files (mode 0644, mtime 0, parent directories first) to out_fd. */
struct err *store_archive_write(struct store *s, int out_fd, const struct store_tar_file *files, size_t n)
    __attribute__((warn_unused_result));
