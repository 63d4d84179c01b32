/*
 * shared: files of a layer that others share (storage/shared.h) are not written again: what is made is a file of the
 * right size without data, with overlay's two attributes that say where in a data-only layer the data is.
 */
#pragma once

#include <stdbool.h>

struct err;
struct node;

struct shared {
    int diff;       /* the files by their paths */
    int data;       /* the same by their inode numbers */
    char place[24]; /* what that directory is called in the data-only layer */
};
/* Opens a layer's directory of a shared store (borrowed). */
struct err *shared_open(int layer, struct shared *ret) __attribute__((warn_unused_result));
void shared_done(struct shared *s);
/* Makes the empty file that fd has open refer to the shared one at that path; false: it has to be written. */
bool shared_refer(const struct shared *s, const char *path, const struct node *n, int fd);
