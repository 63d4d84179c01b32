/*
 * path_int: the fallback of path_open_in_root(), callable by itself so that tests can hold the two against each other.
 */
#pragma once

#include <sys/types.h>

/* Resolves and opens by single steps, without openat2. Returns the descriptor, or -1 and errno. */
int path_walk_open(int rootfd, const char *path, int flags, mode_t mode);

/* By openat2. Returns the descriptor, or -1 and errno. */
int path_kernel_open(int rootfd, const char *path, int flags, mode_t mode);
