/*
 * sandbox: what is left to the process that reads what containers send. It keeps the host's network namespace, for the
 * connections that it makes are the user's own, and gives up all else: files (an empty, read-only root in a mount
 * namespace of its own, and no call that opens anything), capabilities, new privileges, other processes, and any kind
 * of socket but TCP, UDP and ping. What it may use beyond that it is handed by the warden, one descriptor at a time.
 *
 * A refused call fails with EPERM instead of killing: libslirp and glib ask for things that they can do without.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "net/helper/helper_int.h"

/* AddressSanitizer asks for more calls than we do, and LeakSanitizer would start a process and trace us. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }
#endif

#if defined(__x86_64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define AUDIT_ARCH_NATIVE AUDIT_ARCH_PPC64LE
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_WORD 0
#else
#define LOW_WORD 4
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]) + LOW_WORD)
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), yes, no)
#define IF_ANY(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (unsigned)(bits), yes, no)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

#ifdef AUDIT_ARCH_NATIVE
/* Allowed whatever the arguments, the frequent ones first. */
/* clang-format off */
static const int allowed[] = {
    SYS_read, SYS_write, SYS_recvfrom, SYS_sendto, SYS_epoll_ctl, SYS_epoll_pwait, SYS_recvmsg, SYS_sendmsg,
    SYS_recvmmsg, SYS_sendmmsg, SYS_accept4, SYS_connect, SYS_close, SYS_getsockopt, SYS_setsockopt, SYS_shutdown,
    SYS_bind, SYS_listen, SYS_getsockname, SYS_getpeername, SYS_readv, SYS_writev, SYS_fcntl, SYS_ppoll,
    SYS_clock_gettime, SYS_gettimeofday, SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_futex, SYS_getrandom,
    SYS_getpid, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_restart_syscall, SYS_fstat, SYS_exit,
    SYS_exit_group, SYS_epoll_create1,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SANITIZED
    SYS_sigaltstack, SYS_gettid, SYS_sched_yield,
#endif
};
/* clang-format on */

static const struct sock_filter with_arguments[] = {
    /* socket: TCP, UDP and ping over IPv4 and IPv6 */
    IF(SYS_socket, 0, 15),
    LOAD_ARG(0),
    IF(AF_INET, 1, 0),
    IF(AF_INET6, 0, 10),
    LOAD_ARG(1),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
    IF(SOCK_STREAM, 1, 0),
    IF(SOCK_DGRAM, 0, 6),
    LOAD_ARG(2),
    IF(0, 5, 0),
    IF(IPPROTO_TCP, 4, 0),
    IF(IPPROTO_UDP, 3, 0),
    IF(IPPROTO_ICMP, 2, 0),
    IF(IPPROTO_ICMPV6, 1, 0),
    DENY,
    ALLOW,
    /* ioctl: how much there is to read */
    IF(SYS_ioctl, 0, 4),
    LOAD_ARG(1),
    IF(FIONREAD, 0, 1),
    ALLOW,
    DENY,
    /* memory, but no code */
    IF(SYS_mmap, 1, 0),
    IF(SYS_mprotect, 0, 3),
    LOAD_ARG(2),
    IF_ANY(PROT_EXEC, 1, 0),
    ALLOW,
    DENY,
};

static struct err *allow_list(void) {
    if (prctl(PR_GET_SECCOMP) < 0)
        return NULL; /* this kernel has none */
    const struct sock_filter begin[] = {LOAD(arch), IF(AUDIT_ARCH_NATIVE, 1, 0), KILL, LOAD(nr)};
    struct sock_filter prog[ARRAY_LEN(begin) + ARRAY_LEN(allowed) + ARRAY_LEN(with_arguments) + 1];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(begin); i++)
        prog[n++] = begin[i];
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        /* over the rest of the list and the checks below, to the ALLOW that ends the program */
        size_t ahead = ARRAY_LEN(allowed) - i - 1 + ARRAY_LEN(with_arguments);
        prog[n++] = (struct sock_filter)IF(allowed[i], (uint8_t)ahead, 0);
    }
    _Static_assert(ARRAY_LEN(allowed) + ARRAY_LEN(with_arguments) < 256, "a jump reaches 255 instructions");
    for (size_t i = 0; i < ARRAY_LEN(with_arguments); i++)
        prog[n++] = with_arguments[i];
    prog[n++] = (struct sock_filter)ALLOW;
    const struct sock_fprog fprog = {.len = (unsigned short)n, .filter = prog};
    if (sys_seccomp_filter(&fprog, 0) != 0)
        return err_sys(errno, "install the seccomp filter");
    return NULL;
}
#else
static struct err *allow_list(void) { return NULL; }
#endif

/* The root becomes an empty directory that nobody can write to, and nothing else is mounted. */
static struct err *empty_root(void) {
    static const char *const options = "size=4k,nr_inodes=1,mode=555";
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
        return err_sys(errno, "make a mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return err_sys(errno, "make mounts private");
    if (mount("coracle-net", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options) != 0)
        return err_sys(errno, "mount an empty directory");
    if (chdir("/proc") != 0 || sys_pivot_root(".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return err_sys(errno, "enter the empty directory");
    return NULL;
}

/* Two descriptors a connection: as many as there may be. */
static void raise_descriptor_limit(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

struct err *sandbox_enter(void) {
    static const struct rlimit none = {0, 0};
    raise_descriptor_limit();
    setrlimit(RLIMIT_CORE, &none);
    TRY(empty_root());
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return err_sys(errno, "close the process to others");
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return err_sys(errno, "drop capability %d from the bounding set", cap);
    if (sys_capset(0, 0, 0) != 0)
        return err_sys(errno, "drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_sys(errno, "set no_new_privs");
    return allow_list();
}
