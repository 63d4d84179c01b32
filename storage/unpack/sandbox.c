/* sandbox: see sandbox_int.h. */
#include "storage/unpack/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/allow_list.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys/sys.h"

#define MEMORY_MAX ((rlim_t)1 << 30) /* address space; xz and zstd windows are the large part of it */

/* clang-format off */
static const int calls[] = {
    SYS_openat, SYS_pwrite64, SYS_write, SYS_close, SYS_utimensat, SYS_futex, SYS_read, SYS_pread64, SYS_mkdirat,
    SYS_fchown, SYS_fchmod, SYS_fchownat, SYS_symlinkat, SYS_linkat, SYS_mknodat, SYS_unlinkat, SYS_renameat2,
    SYS_fchmodat, SYS_ftruncate, SYS_fsetxattr, SYS_fgetxattr, SYS_flistxattr, SYS_fremovexattr, SYS_lseek, SYS_openat2,
    SYS_getdents64, SYS_readlinkat, SYS_fsync, SYS_writev, SYS_copy_file_range, SYS_fcntl, SYS_dup, SYS_sendmsg,
    SYS_recvmsg, SYS_ppoll, SYS_statx, SYS_fstat, SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_rt_sigreturn,
    SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_set_robust_list, SYS_getrandom, SYS_clock_gettime, SYS_restart_syscall,
    SYS_sched_yield, SYS_getpid, SYS_gettid, SYS_exit, SYS_exit_group, SYS_sched_getaffinity,
#ifdef SANITIZED
    SYS_sigaltstack,
#endif
#ifdef SYS_newfstatat
    SYS_newfstatat,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
};
/* clang-format on */

struct err *sandbox_filter(void) {
    static const struct allow_list list = {.calls = calls, .n_calls = ARRAY_LEN(calls)};
    return allow_list_install(&list);
}

/* A mount of the working directory alone becomes the root; the old root is gone. False where that cannot be done. */
static bool enter_by_pivot(void) {
    autofd int tree = sys_open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return tree >= 0 && sys_move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) == 0 && fchdir(tree) == 0 &&
           sys_pivot_root(".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

/* True when dirfd has become the root directory. */
static bool enter_root(enum sandbox_kind kind, int dirfd) {
    int spaces = CLONE_NEWNS;
    if (kind == SANDBOX_ARCHIVE)
        spaces |= CLONE_NEWUSER;
    if (prctl(PR_GET_SECCOMP) < 0)
        spaces |= CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    /* The working directory moves into the new mount namespace, a descriptor does not. */
    if (fchdir(dirfd) == 0 && unshare(spaces) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        enter_by_pivot())
        return true;
    return fchdir(dirfd) == 0 && chroot(".") == 0;
}

static void limit(__rlimit_resource_t what, rlim_t most) {
    struct rlimit r;
    if (getrlimit(what, &r) == 0 && (r.rlim_max == RLIM_INFINITY || r.rlim_max > most)) {
        r.rlim_cur = r.rlim_max = most;
        setrlimit(what, &r);
    }
}

static struct err *drop_privileges(enum sandbox_kind kind) {
    static const int kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP};
    const bool files = kind == SANDBOX_LAYER || kind == SANDBOX_FILES;
    uint64_t caps = 0, have, permitted, inheritable;
    if (sys_capget(&have, &permitted, &inheritable) != 0)
        return err_sys(errno, "read capabilities");
    for (size_t i = 0; files && i < ARRAY_LEN(kept); i++)
        caps |= UINT64_C(1) << kept[i];
    caps &= permitted;
    if (sys_capset(caps, caps, 0) != 0)
        return err_sys(errno, "drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_sys(errno, "set no_new_privs");
    limit(RLIMIT_CORE, 0);
#if !defined(SANITIZED)
    limit(RLIMIT_AS, MEMORY_MAX);
#endif
    return NULL;
}

struct err *sandbox_confine(enum sandbox_kind kind, int take_dirfd, int *ret_root) {
    autofd int root = take_dirfd;
    if (kind == SANDBOX_FILES) {
        if (root >= 0 && (fchdir(root) < 0 || chroot(".") < 0))
            return err_sys(errno, "enter the container's root directory");
    } else if (kind == SANDBOX_PLACE) { /* best effort: names are checked, and no link is followed */
        if (unshare(CLONE_NEWUSER) == 0 && fchdir(root) == 0)
            (void)!chroot(".");
    } else if (kind != SANDBOX_STREAM && enter_root(kind, root)) {
        /* The old descriptor belongs to the old mount, from where ".." leads out: open it anew. */
        fd_replace(&root, openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (root < 0)
            return err_sys(errno, "open the new root directory");
    } else if (kind == SANDBOX_LAYER) {
        return err_sys(errno, "enter the layer directory");
    } /* A user who may not make user namespaces still reads archives: member names are never used as paths. */
    TRY(drop_privileges(kind));
    *ret_root = take_fd(&root);
    return NULL;
}
