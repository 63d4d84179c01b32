/*
 * seccomp_default: what a container may ask of the kernel unless told otherwise. The facts are those of docker's
 * default profile, so that what runs there runs here; seccomp_gen.c turns them into numbers at build time.
 *
 * What no rule names is refused with EPERM; what no table of system calls knows answers ENOSYS, so that a libc that
 * probes for something newer takes its fallback. A rule holds where all of `caps` are in the bounding set and none of
 * `not_caps` is. `values` are alternatives for argument 0, each compared over the full width.
 *
 * Families of sockets: AF_ALG (38, CVE-2026-31431) and AF_VSOCK (40, reaches other machines past every network
 * namespace) are left out, and so are those that current kernels have dropped (12, 19, 20, 23, 25, 34, 37). The old
 * multiplexer socketcall(2) of 32 bit x86 keeps its arguments behind a pointer where no filter sees them; it stays
 * allowed, as in docker, because 32 bit glibc and Go programs have no other way to a socket.
 */
#pragma once

#include <linux/capability.h>
#include <linux/sched.h>
#include <stdint.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define NAMESPACE_FLAGS                                                                                                \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

enum default_op { ANY, ONE_OF, BELOW, NONE_OF_BITS };
enum default_family { ALL_FAMILIES, ONLY_AMD64, ONLY_ARM64 };

struct default_rule {
    const char *names;
    enum default_op op; /* how argument 0 must be */
    const char *values; /* ONE_OF, BELOW: decimal */
    uint64_t bits;      /* NONE_OF_BITS */
    uint64_t caps, not_caps;
    int error; /* 0: allow; else answer this errno */
    enum default_family family;
};

static const struct default_rule default_rules[] = {
    {.names =
         "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 "
         "clock_adjtime "
         "clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
         "clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create "
         "epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 "
         "execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir "
         "fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork "
         "fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex "
         "futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 "
         "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid "
         "getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit "
         "get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 "
         "getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy "
         "io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill "
         "landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat "
         "listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise "
         "map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 "
         "mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 "
         "mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall "
         "munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open "
         "pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv "
         "preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead "
         "readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr "
         "removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending "
         "rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
         "rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max "
         "sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
         "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget "
         "semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 "
         "setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 "
         "setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt "
         "set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown "
         "sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs "
         "statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create "
         "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
         "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 "
         "ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice "
         "wait4 waitid waitpid write writev"},
    /* Safe since Linux 4.8, which filters a traced call after its tracer has changed it. */
    {.names = "process_vm_readv process_vm_writev ptrace"},
    {.names = "socket", .op = BELOW, .values = "12"},
    {.names = "socket",
     .op = ONE_OF,
     .values = "13 14 15 16 17 18 21 22 24 26 27 28 29 30 31 32 33 35 36 39 41 42 43 44 45"},
    /* PER_LINUX, PER_LINUX32, each with UNAME26, and the query. */
    {.names = "personality", .op = ONE_OF, .values = "0 8 131072 131080 4294967295"},
    {.names = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
     .family = ONLY_ARM64},
    {.names = "arch_prctl modify_ldt", .family = ONLY_AMD64},
    /* New namespaces are new kernel surface. clone3 keeps its flags behind a pointer: ENOSYS makes libcs use clone. */
    {.names = "clone", .op = NONE_OF_BITS, .bits = NAMESPACE_FLAGS, .not_caps = CAP(SYS_ADMIN)},
    {.names = "clone3", .error = 38, .not_caps = CAP(SYS_ADMIN)},
    {.names = "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
              "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
              "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
     .caps = CAP(SYS_ADMIN)},
    {.names = "open_by_handle_at", .caps = CAP(DAC_READ_SEARCH)},
    {.names = "reboot", .caps = CAP(SYS_BOOT)},
    {.names = "chroot", .caps = CAP(SYS_CHROOT)},
    {.names = "delete_module init_module finit_module", .caps = CAP(SYS_MODULE)},
    {.names = "acct", .caps = CAP(SYS_PACCT)},
    {.names = "kcmp pidfd_getfd process_madvise", .caps = CAP(SYS_PTRACE)},
    {.names = "iopl ioperm", .caps = CAP(SYS_RAWIO)},
    {.names = "settimeofday stime clock_settime clock_settime64", .caps = CAP(SYS_TIME)},
    {.names = "vhangup", .caps = CAP(SYS_TTY_CONFIG)},
    {.names = "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", .caps = CAP(SYS_NICE)},
    {.names = "syslog", .caps = CAP(SYSLOG)},
    {.names = "bpf", .caps = CAP(BPF)},
    {.names = "perf_event_open", .caps = CAP(PERFMON)},
};

/*
 * System calls newer than the build machine's libseccomp may know. Since 403 a new call has one number on every
 * architecture.
 */
struct newer_call {
    const char *name;
    uint32_t number;
};
static const struct newer_call newer_calls[] = {
    {"cachestat", 451},         {"fchmodat2", 452},         {"map_shadow_stack", 453}, {"futex_wake", 454},
    {"futex_wait", 455},        {"futex_requeue", 456},     {"statmount", 457},        {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},        {"listxattrat", 465},      {"removexattrat", 466},
    {"open_tree_attr", 467},    {"file_getattr", 468},      {"file_setattr", 469},
};
