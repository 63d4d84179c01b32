/*
 * sandbox: what is left to the process that reads what containers send. It keeps the host's network namespace, for the
 * connections that it makes are the user's own, and gives up all else: files (an empty, read-only root in a mount
 * namespace of its own, and no call that opens anything), capabilities, new privileges, other processes, and any kind
 * of socket but TCP, UDP and ping. Pipes it makes for bytes on their way (pipe.c). What it may use beyond that it is
 * handed by the warden, one descriptor at a time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/allow_list.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "net/helper/helper_int.h"

/* clang-format off */
static const int calls[] = {
    SYS_read, SYS_write, SYS_recvfrom, SYS_sendto, SYS_epoll_ctl, SYS_epoll_pwait, SYS_recvmsg, SYS_sendmsg,
    SYS_splice, SYS_pipe2, SYS_recvmmsg, SYS_sendmmsg, SYS_accept4, SYS_connect, SYS_close, SYS_getsockopt,
    SYS_setsockopt, SYS_shutdown, SYS_bind, SYS_listen, SYS_getsockname, SYS_getpeername, SYS_readv, SYS_writev,
    SYS_fcntl, SYS_ppoll, SYS_clock_gettime, SYS_gettimeofday, SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise,
    SYS_futex, SYS_getrandom, SYS_getpid, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_rt_sigaction,
    SYS_restart_syscall, SYS_fstat, SYS_exit, SYS_exit_group, SYS_epoll_create1,
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

static const struct sock_filter checks[] = {
    /* socket: TCP, UDP and ping over IPv4 and IPv6 */
    ALLOW_IF(SYS_socket, 0, 15),
    ALLOW_LOAD_ARG(0),
    ALLOW_IF(AF_INET, 1, 0),
    ALLOW_IF(AF_INET6, 0, 10),
    ALLOW_LOAD_ARG(1),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
    ALLOW_IF(SOCK_STREAM, 1, 0),
    ALLOW_IF(SOCK_DGRAM, 0, 6),
    ALLOW_LOAD_ARG(2),
    ALLOW_IF(0, 5, 0),
    ALLOW_IF(IPPROTO_TCP, 4, 0),
    ALLOW_IF(IPPROTO_UDP, 3, 0),
    ALLOW_IF(IPPROTO_ICMP, 2, 0),
    ALLOW_IF(IPPROTO_ICMPV6, 1, 0),
    ALLOW_NO,
    ALLOW_YES,
    /* ioctl: how much there is to read */
    ALLOW_IF(SYS_ioctl, 0, 4),
    ALLOW_LOAD_ARG(1),
    ALLOW_IF(FIONREAD, 0, 1),
    ALLOW_YES,
    ALLOW_NO,
};

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
    static const struct allow_list list = {calls, ARRAY_LEN(calls), checks, ARRAY_LEN(checks)};
    return allow_list_install(&list);
}
