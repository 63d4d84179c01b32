/* sandbox: see sandbox_int.h. */
#include "storage/unpack/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys/sys.h"

#if defined(__x86_64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_PPC64LE
#endif

/* AddressSanitizer reserves terabytes and asks for more calls than we do. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

#ifdef SANITIZED
/* LeakSanitizer would start a process and trace us. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }
#endif

#define MEMORY_MAX ((rlim_t)1 << 30) /* address space; xz and zstd windows are the large part of it */

/* What the sandbox lets through, the frequent ones first. Calls that take a PROT are below. */
/* clang-format off */
static const int allowed[] = {
    SYS_openat, SYS_pwrite64, SYS_write, SYS_close, SYS_utimensat, SYS_futex, SYS_read, SYS_pread64, SYS_mkdirat,
    SYS_fchown, SYS_fchmod, SYS_fchownat, SYS_symlinkat, SYS_linkat, SYS_mknodat, SYS_unlinkat, SYS_renameat2,
    SYS_fchmodat, SYS_ftruncate, SYS_fsetxattr, SYS_fgetxattr, SYS_fremovexattr, SYS_lseek, SYS_openat2,
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

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(what) BPF_STMT(BPF_RET | BPF_K, what)
#define IF(op, value, yes, no) BPF_JUMP(BPF_JMP | (op) | BPF_K, (unsigned)(value), yes, no)
#define DENY RET(SECCOMP_RET_ERRNO | EPERM)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PROT_WORD offsetof(struct seccomp_data, args[2])
#else
#define PROT_WORD (offsetof(struct seccomp_data, args[2]) + 4)
#endif

struct err *sandbox_filter(void) {
#ifdef AUDIT_ARCH_NATIVE
    if (prctl(PR_GET_SECCOMP) < 0)
        return NULL; /* this kernel has none; see enter_root() */
    static const struct sock_filter head[] = {LOAD(arch), IF(BPF_JEQ, AUDIT_ARCH_NATIVE, 1, 0),
                                              RET(SECCOMP_RET_KILL_PROCESS), LOAD(nr)};
    static const struct sock_filter tail[] = {
        IF(BPF_JEQ, SYS_mmap, 2, 0),
        IF(BPF_JEQ, SYS_mprotect, 1, 0),
        DENY,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROT_WORD),
        IF(BPF_JSET, PROT_EXEC, 0, 1),
        DENY,
        RET(SECCOMP_RET_ALLOW),
    };
    struct sock_filter prog[ARRAY_LEN(head) + 2 * ARRAY_LEN(allowed) + ARRAY_LEN(tail)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        prog[n++] = head[i];
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        prog[n++] = (struct sock_filter)IF(BPF_JEQ, allowed[i], 0, 1);
        prog[n++] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < ARRAY_LEN(tail); i++)
        prog[n++] = tail[i];
    const struct sock_fprog fprog = {.len = (unsigned short)n, .filter = prog};
    int code = sys_seccomp_filter(&fprog, SECCOMP_FILTER_FLAG_TSYNC);
    if (code != 0)
        return err_sys(code < 0 ? errno : EBUSY, "install the seccomp filter");
#endif
    return NULL;
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
    uint64_t caps = 0, have, permitted, inheritable;
    if (sys_capget(&have, &permitted, &inheritable) != 0)
        return err_sys(errno, "read capabilities");
    for (size_t i = 0; kind == SANDBOX_LAYER && i < ARRAY_LEN(kept); i++)
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
    if (kind != SANDBOX_STREAM && enter_root(kind, root)) {
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
