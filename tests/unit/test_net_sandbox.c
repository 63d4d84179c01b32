/* The sandbox of the helper's loop: what must still work in it, and what must not, asked from inside. */
#include "net/helper/sandbox.c"

#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/host.h"
#include "unit.h"

enum { NO_NAMESPACES = 99, NOT_ENTERED = 100 };

/* The exit status of fn, called in a child that is in the sandbox. */
static int inside(int (*fn)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
            _exit(NO_NAMESPACES);
        autoerr e = sandbox_enter();
        _exit(e ? NOT_ENTERED : fn());
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool denied(long result) { return result == -1 && errno == EPERM; }

static int try_its_work(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    int table = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN};
    char *big = malloc((size_t)8 << 20);
    if (tcp < 0 || udp < 0 || table < 0 || !big)
        return 1;
    if (socket(AF_INET6, SOCK_STREAM, 0) < 0 && errno == EPERM)
        return 2;
    if (socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) < 0 && errno == EPERM)
        return 3; /* EACCES is the host's own ping_group_range */
    if (bind(tcp, (const struct sockaddr *)&to, sizeof to) != 0 || listen(tcp, 1) != 0)
        return 4;
    return epoll_ctl(table, EPOLL_CTL_ADD, tcp, &ev) == 0 && epoll_wait(table, &ev, 1, 0) == 0 ? 0 : 5;
}

static int try_sockets(void) {
    static const int refused[][3] = {
        {AF_UNIX, SOCK_STREAM, 0},
        {AF_PACKET, SOCK_RAW, 0},
        {AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
        {AF_INET, SOCK_RAW, IPPROTO_ICMP},
        {AF_INET6, SOCK_RAW, 0},
        {AF_INET, SOCK_STREAM, IPPROTO_SCTP},
        {AF_INET, SOCK_STREAM, IPPROTO_MPTCP},
        {AF_VSOCK, SOCK_STREAM, 0},
        {AF_INET, SOCK_SEQPACKET, 0},
    };
    int pair[2];
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (!denied(socket(refused[i][0], refused[i][1], refused[i][2])))
            return (int)i + 1;
    return denied(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) ? 0 : 50;
}

static int try_files(void) {
    return denied(open("/etc/passwd", O_RDONLY | O_CLOEXEC)) && denied(openat(AT_FDCWD, "/", O_RDONLY | O_CLOEXEC)) &&
                   denied(access("/", F_OK)) && denied(unlink("/x")) && denied(chdir("/")) && denied(chroot("/"))
               ? 0
               : 1;
}

static int try_programs(void) {
    char *const argv[] = {NULL};
    return denied(execve("/bin/true", argv, argv)) && denied(fork()) && denied(kill(getppid(), 0)) &&
                   denied(syscall(SYS_ptrace, 0, 0, 0, 0)) &&
                   denied(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0))
               ? 0
               : 1;
}

static int try_namespaces(void) {
    return denied(unshare(CLONE_NEWUSER)) && denied(setns(0, 0)) && denied(mount(NULL, "/", NULL, MS_REMOUNT, NULL)) &&
                   denied(syscall(SYS_bpf, 0, NULL, 0)) && denied(syscall(SYS_io_uring_setup, 1, NULL))
               ? 0
               : 1;
}

static int try_memory(void) {
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED || errno != EPERM)
        return 1;
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && denied(mprotect(p, 4096, PROT_READ | PROT_EXEC)) ? 0 : 2;
}

static int try_ioctl(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), waiting = -1;
    return ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0 && denied(ioctl(fd, 0x8913 /* SIOCGIFFLAGS */, NULL)) &&
                   denied(ioctl(0, TIOCSTI, "x"))
               ? 0
               : 1;
}

static void test_all(void) {
    static const struct {
        const char *what;
        int (*fn)(void);
    } tries[] = {{"its work", try_its_work}, {"sockets", try_sockets},       {"files", try_files},
                 {"programs", try_programs}, {"namespaces", try_namespaces}, {"memory", try_memory},
                 {"ioctl", try_ioctl}};
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        int code = inside(tries[i].fn);
        if (code == NO_NAMESPACES)
            continue;
        if (code)
            fprintf(stderr, "%s: %d\n", tries[i].what, code);
        CHECK_INT(code, 0);
    }
}

UNIT_MAIN({"all", test_all})
