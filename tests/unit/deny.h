/*
 * deny: makes system calls fail for the rest of the process, so that fallbacks are exercised on a kernel that has
 * everything. For use in a forked child.
 */
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys/sys.h"
#include "unit.h"

/* System call `nr` answers `errnum` from now on. False where filters may not be installed. */
static bool deny(unsigned nr, unsigned errnum) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog prog = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && sys_seccomp_filter(&prog, 0) == 0;
}

/* Runs fn() in a child in which system call `nr` answers `errnum`; its failures are ours. */
static void with_denied(unsigned nr, unsigned errnum, void (*fn)(void)) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        unit_failures = 0;
        if (deny(nr, errnum))
            fn();
        _exit(unit_failures != 0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}
