/* userns_fixture: for tests that need to be root of a user namespace, as far as this machine has them. */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

static inline bool put_text(const char *path, const char *text) {
    autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Enters a new one with one id, and the namespaces of `flags`. */
static inline bool become_root(int flags) {
    autofree char *uid = mem_printf("0 %u 1", geteuid()), *gid = mem_printf("0 %u 1", getegid());
    return unshare(CLONE_NEWUSER | flags) == 0 && put_text("/proc/self/setgroups", "deny") &&
           put_text("/proc/self/uid_map", uid) && put_text("/proc/self/gid_map", gid);
}
