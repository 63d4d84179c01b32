/*
 * sandbox: what a process that parses hostile bytes gives up first. In this order, each step while it is still allowed:
 *
 *     sandbox_confine()   its own mount namespace whose root is the one directory it writes to; no capability but the
 *                         few that files of many owners need (none at all for archives); no_new_privs, no core dumps,
 *                         a limit on memory
 *     (threads start, as a filter would have to let them)
 *     sandbox_filter()    a seccomp allow-list on all threads: files and memory. No exec, no socket, no ptrace, no
 *                         mount, no new process, no executable memory. Everything else answers EPERM.
 *
 * Where the kernel lacks something the rest still holds: without mount namespaces there is chroot, and without seccomp
 * the process gets network and IPC namespaces of its own, which the filter makes unnecessary otherwise (they cost more
 * than everything else here).
 */
#pragma once

#include <stdbool.h>

struct err;

enum sandbox_kind {
    SANDBOX_LAYER,   /* root of a user namespace that somebody else made: keeps what chown, mknod and setcap need */
    SANDBOX_ARCHIVE, /* the plain user: makes a user namespace of its own to be able to leave the file system behind */
    SANDBOX_STREAM,  /* the plain user, descriptors only: no directory at all */
    SANDBOX_FILES,   /* cp and export: root of a user namespace keeps what files of many owners need, and moves to the
                        container's root directory, mounts below it included; the plain user stays where the files are */
    SANDBOX_PLACE    /* the plain user, who takes what a container gives: as ARCHIVE, but with the mounts below */
};

/* Makes dirfd (taken and closed; ignored for SANDBOX_STREAM; -1 with SANDBOX_FILES: none) the root directory and opens
 * it again in *ret_root. */
struct err *sandbox_confine(enum sandbox_kind kind, int take_dirfd, int *ret_root) __attribute__((warn_unused_result));
/* Installs the allow-list on every thread. A kernel without seccomp is no error. */
struct err *sandbox_filter(void) __attribute__((warn_unused_result));
