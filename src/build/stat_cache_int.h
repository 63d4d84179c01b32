/*
 * stat_cache_int: what the files of a context were when they were last read, so that a build of a context in which
 * little has changed reads little: a file whose device, inode, size, time of change and time of its inode's change are
 * those that were noted is not opened. The latter of these times nobody can set.
 *
 * A file that changed while it was read, or in the same tick of the clock as it was read in, may look unchanged
 * afterwards. So, as in git's index, what was young then is not noted: it is read once more, when it is older. What is
 * on disk is one file with a digest of itself, replaced as a whole; one that is damaged or torn is none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/id.h"

struct err;

enum { STAT_CACHE_MIN = 64 }; /* files; for less of them the cache's own file costs as much as it saves */

struct stat_cache;
/* What is in dir/name; nothing where that is missing or damaged. `now` (ns since the epoch): before any file is read.
 */
struct stat_cache *stat_cache_open(int dir, const char *name, int64_t now)
    __attribute__((returns_nonnull, warn_unused_result));
/* The digest of a file that is still what it was; noted again. */
bool stat_cache_get(struct stat_cache *c, const struct stat *st, char ret[DIGEST_LEN + 1]);
/* Notes the digest of a file that was read after this fstat(). */
void stat_cache_put(struct stat_cache *c, const struct stat *st, const char *digest);
/* Writes what was noted this time, where that is anything new. Only a matter of speed: failures are not told. */
void stat_cache_save(const struct stat_cache *c);
void stat_cache_free(struct stat_cache *c);
