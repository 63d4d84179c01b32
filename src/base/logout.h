/*
 * logout: whether systemd ends what a user leaves running when he logs out. Two things of it do:
 *
 *   logind          ends all processes of a login session's scope with that session, where logind.conf(5) has it so
 *                   (KillUserProcesses=, KillOnlyUsers=, KillExcludeUsers=), lingering or not
 *   user@UID        the user's own manager, below which desktops start programs, ends with all that is there after the
 *                   last logout, unless the user lingers (loginctl enable-linger)
 *
 * A process that has forked away from its terminal is still in the same cgroup, so it is that which counts; of a
 * container it is its monitor's, which may have been given another one than the shell it was started from
 * (runtime/scope.c).
 */
#pragma once

#include <sys/types.h>

enum logout_end {
    LOGOUT_LEAVES,  /* nothing happens to it, or there is no systemd */
    LOGOUT_SESSION, /* logind ends the session's processes */
    LOGOUT_MANAGER  /* the user's manager ends without lingering */
};

/* What a logout does to the processes of the cgroup of `pid`; 0, and one that nothing can be told of, is the caller.
 * `root`: "", or a directory in place of "/" (tests). Costs one system call where there is no systemd, about twenty
 * where there is. */
enum logout_end logout_end(const char *root, const char *user, uid_t uid, pid_t pid);
/* What the user is to do about it, for a message: a command line. NULL for LOGOUT_LEAVES. */
const char *logout_way_out(enum logout_end end);
