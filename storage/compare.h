/*
 * compare: two trees, entry by entry. Pure reading; no link is followed, and nothing but regular files is opened.
 */
#pragma once

struct err;

/*
 * Whether the tree at dirfd/name is what dirfd2/name2 is: names, types, owners, modes, link targets, which names are
 * one file, device numbers, sizes, contents and attributes (user.*, capabilities, ACLs), and times of files to the
 * nanosecond. Corrupt, naming the first difference by path and how many there are. userns.
 */
struct err *store_compare(int dirfd, const char *name, int good_dirfd, const char *good_name)
    __attribute__((warn_unused_result));
/* One digest over those attributes of an open file, "" where it has none. */
struct err *store_digest_attributes(int fd, char ret[72]) __attribute__((warn_unused_result));
