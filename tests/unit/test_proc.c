/* Processes: identity, spawning with a closed world, signal names. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "deny.h"
#include "userns_fixture.h"

static void test_identity(void) {
    uint64_t start = 0;
    CHECK_OK(proc_start_time(getpid(), &start));
    CHECK(start > 0);
    autofd int fd = -1, other = -1;
    CHECK_OK(proc_open(getpid(), start, &fd));
    CHECK_ERR(proc_open(getpid(), start + 1, &other), ERR_NOT_FOUND);
    CHECK_ERR(proc_open(0, start, &other), ERR_NOT_FOUND);
    CHECK_ERR(proc_open(-1, start, &other), ERR_NOT_FOUND);
    CHECK_ERR(proc_open(INT32_MAX, start, &other), ERR_NOT_FOUND);
    CHECK_ERR(proc_start_time(INT32_MAX, &start), ERR_NOT_FOUND);
    CHECK_INT(other, -1);
    CHECK_OK(proc_signal(fd, SIGCONT));
}

static void test_end(void) {
    int p[2];
    CHECK_OK(fd_pipe(0, p));
    pid_t pid = fork();
    if (pid == 0) {
        close(p[1]);
        char c;
        ssize_t n = read(p[0], &c, 1);
        _exit(n == 0 ? 7 : 1);
    }
    autofd int fd = sys_pidfd_open(pid);
    bool ended = true;
    int64_t before = clock_boot();
    CHECK_OK(proc_wait_end(fd, 20 * NSEC_PER_MSEC, &ended));
    CHECK(!ended && clock_boot() - before >= 20 * NSEC_PER_MSEC);
    CHECK_OK(proc_wait_end(fd, 0, &ended));
    CHECK(!ended);
    close(p[1]);
    CHECK_OK(proc_wait_end(fd, -1, &ended));
    CHECK(ended);
    int code = -1;
    CHECK_OK(proc_reap(pid, &code));
    CHECK_INT(code, 7);
    CHECK_ERR(proc_signal(fd, SIGTERM), ERR_NOT_FOUND);
    CHECK_ERR(proc_reap(pid, &code), ERR_SYSTEM);
    close(p[0]);
}

/* Runs sh -c script with the options in p (argv and path are set here); its output. */
static char *shell(struct proc_spawn *p, const char *script, int *ret_code) {
    int out[2];
    autostr struct str text = STR_INIT;
    autofree char *copy = mem_dup(script);
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, copy, NULL};
    CHECK_OK(fd_pipe(0, out));
    p->path = "/bin/sh";
    p->argv = argv;
    p->stdio[1] = out[1];
    pid_t pid = -1;
    autofd int pidfd = -1;
    CHECK_OK(proc_spawn(p, &pid, &pidfd));
    fd_close(out[1]);
    CHECK_OK(io_read_all(out[0], 65536, "output", &text));
    fd_close(out[0]);
    CHECK_OK(proc_reap(pid, ret_code));
    return str_take(&text);
}

static void test_spawn(void) {
    int code = -1, leaked = dup(1); /* without close-on-exec */
    struct proc_spawn p = {.stdio = {-1, -1, -1}};
    autofree char *fds = shell(&p, "echo /proc/self/fd/*; exit 3", &code);
    /* the glob of the shell sees its own directory descriptor (3) at most */
    CHECK(strstr(fds, "/fd/2") && !strstr(fds, "/fd/4") && !strstr(fds, "/fd/5"));
    CHECK_INT(code, 3);
    autofree char *env = shell(&p, "env | grep -v -e '^PWD=' -e '^_=' -e '^SHLVL=' -e '^OLDPWD='", &code);
    CHECK_STR(env, "");
    char *envp[] = {(char[]){"A=1"}, NULL};
    p.envp = envp;
    autofree char *with = shell(&p, "echo $A; readlink /proc/self/fd/0", &code);
    CHECK_STR(with, "1\n/dev/null\n");
    autofree char *killed = shell(&p, "kill -9 $$", &code);
    CHECK_STR(killed, "");
    CHECK_INT(code, 128 + SIGKILL);
    close(leaked);
}

/* Sources and targets that overlap crosswise. */
static void test_spawn_fds(void) {
    int a = sys_memfd("a", 0), b = sys_memfd("b", 0), code = -1;
    CHECK(write(a, "A", 1) == 1 && write(b, "B", 1) == 1);
    CHECK(lseek(a, 0, SEEK_SET) == 0 && lseek(b, 0, SEEK_SET) == 0);
    autofd int five = -1, six = -1;
    CHECK_INT(dup3(a, 25, O_CLOEXEC), 25);
    CHECK_INT(dup3(b, 26, O_CLOEXEC), 26);
    five = 25;
    six = 26;
    struct proc_spawn p = {.stdio = {-1, -1, -1}, .fds = {{25, 6}, {26, 5}, {26, 70}, {25, 3}}, .n_fds = 4};
    autofree char *out = shell(&p, "for i in 3 5 6 70; do readlink /proc/self/fd/$i; done", &code);
    CHECK_STR(out, "/memfd:a (deleted)\n/memfd:b (deleted)\n/memfd:a (deleted)\n/memfd:b (deleted)\n");
    /* swap: 25 to 26 and 26 to 25 */
    struct proc_spawn q = {.stdio = {-1, -1, -1}, .fds = {{25, 26}, {26, 25}}, .n_fds = 2};
    autofree char *swapped = shell(&q, "readlink /proc/self/fd/25 /proc/self/fd/26", &code);
    CHECK_STR(swapped, "/memfd:b (deleted)\n/memfd:a (deleted)\n");
    close(a);
    close(b);
}

static void test_spawn_many_fds(void) {
    int code = -1;
    struct proc_spawn p = {.stdio = {-1, -1, -1}, .n_fds = 8};
    autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 8; i++) {
        p.fds[i].from = null;
        p.fds[i].to = 3 + i;
    }
    autofree char *out = shell(&p, "for i in 3 4 5 6 7 8 9 10; do readlink /proc/self/fd/$i; done | sort -u", &code);
    CHECK_STR(out, "/dev/null\n");
}

static void on_signal(int signo) { (void)signo; }

static void test_spawn_signals(void) {
    struct sigaction ign = {.sa_handler = SIG_IGN}, handled = {.sa_handler = on_signal}, old_pipe, old_usr;
    sigset_t mask, old_mask;
    sigaction(SIGPIPE, &ign, &old_pipe);
    sigaction(SIGUSR1, &handled, &old_usr);
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &old_mask);
    struct proc_spawn p = {.stdio = {-1, -1, -1}};
    int code = -1;
    autofree char *out = shell(&p, "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u", &code);
    CHECK_STR(out, "0000000000000000\n");
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGTERM) && !sigismember(&now, SIGINT));
    sigprocmask(SIG_SETMASK, &old_mask, NULL);
    sigaction(SIGPIPE, &old_pipe, NULL);
    sigaction(SIGUSR1, &old_usr, NULL);
}

static void test_spawn_failures(void) {
    char *argv[] = {(char[]){"x"}, NULL};
    struct proc_spawn p = {.path = "/nonexistent/program", .argv = argv, .stdio = {-1, -1, -1}};
    pid_t pid = -1;
    int pidfd = -1;
    CHECK_ERR(proc_spawn(&p, &pid, &pidfd), ERR_NOT_FOUND);
    p.path = "/etc/passwd";
    CHECK_ERR(proc_spawn(&p, &pid, &pidfd), ERR_DENIED);
    p.path = "/bin/true";
    p.fds[0].from = 9999;
    p.fds[0].to = 5;
    p.n_fds = 1;
    CHECK_ERR(proc_spawn(&p, &pid, &pidfd), ERR_SYSTEM);
    CHECK_INT(pid, -1);
    CHECK_INT(pidfd, -1);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* nothing is left to reap */
}

/* The grandchild reports its pid and must be gone once its parent is killed. */
static void test_die_with_parent(void) {
    int p[2];
    CHECK_OK(fd_pipe(0, p));
    pid_t parent = fork();
    if (parent == 0) {
        char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
        struct proc_spawn s = {.path = "/bin/sleep", .argv = argv, .stdio = {-1, -1, -1}, .die_with_parent = true};
        pid_t pid;
        int pidfd;
        autoerr e = proc_spawn(&s, &pid, &pidfd);
        if (e || write(p[1], &pid, sizeof pid) != (ssize_t)sizeof pid)
            _exit(1);
        pause();
    }
    pid_t grandchild = 0;
    CHECK_INT(read(p[0], &grandchild, sizeof grandchild), sizeof grandchild);
    autofd int pidfd = sys_pidfd_open(grandchild);
    kill(parent, SIGKILL);
    bool ended = false;
    CHECK_OK(proc_wait_end(pidfd, 60 * NSEC_PER_SEC, &ended));
    CHECK(ended);
    waitpid(parent, NULL, 0);
    close(p[0]);
    close(p[1]);
}

static void test_signal_names(void) {
    static const struct {
        const char *text;
        int signo;
    } good[] = {{"TERM", SIGTERM}, {"SIGTERM", SIGTERM}, {"sigterm", SIGTERM}, {"15", 15},       {"KILL", 9},
                {"RTMIN", 34},     {"SIGRTMIN+3", 37},   {"rtmin+0", 34},      {"RTMIN+20", 54}, {"RTMAX", 64},
                {"RTMAX-1", 63},   {"RTMAX-30", 34},     {"64", 64},           {"1", 1},         {"IOT", SIGABRT},
                {"POLL", SIGIO},   {"CLD", SIGCHLD},     {"WINCH", SIGWINCH},  {"STKFLT", 16}};
    static const char *const bad[] = {"",       "0",        "65",       "-1",      "SIG",     "SIGSIGTERM",
                                      "TERMX",  "RTMIN+31", "RTMAX-31", "RTMIN-1", "RTMAX+1", "SIG15",
                                      "RTMIN+", "RTMIN+-1", " TERM",    "15 ",     "32a"};
    int n = -1;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CHECK_OK(proc_signal_parse(good[i].text, &n));
        CHECK_INT(n, good[i].signo);
    }
    n = -1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(proc_signal_parse(bad[i], &n), ERR_USAGE);
    CHECK_INT(n, -1);
    for (int i = 1; i <= 64; i++) {
        const char *name = proc_signal_name(i);
        CHECK((i == 32 || i == 33) == !*name); /* glibc keeps those two */
        if (*name) {
            CHECK_OK(proc_signal_parse(name, &n));
            CHECK_INT(n, i);
        }
    }
    CHECK_STR(proc_signal_name(SIGTERM), "SIGTERM");
    CHECK_STR(proc_signal_name(37), "SIGRTMIN+3");
    CHECK_STR(proc_signal_name(0), "");
    CHECK_STR(proc_signal_name(65), "");
    CHECK_STR(proc_signal_name(-5), "");
}

/* As first process of a pid namespace: 0 when a child that is not dumpable is known nevertheless, 2 without hidepid. */
static int meet_hidden(const char *hidepid) {
    uint64_t start = 1;
    autofd int fd = -1;
    int p[2];
    char c;
    if (mount("proc", "/proc", "proc", 0, hidepid) < 0)
        return 2;
    CHECK_OK(fd_pipe(0, p));
    pid_t pid = fork();
    if (pid == 0) {
        c = (char)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        (void)!write(p[1], &c, 1);
        (void)pause();
    }
    CHECK_INT(read(p[0], &c, 1), 1);
    if (access("/proc/2/stat", F_OK) == 0)
        return 2; /* who has the group 0 is shown all */
    CHECK_OK(proc_start_time(pid, &start));
    CHECK_INT(start, PROC_START_HIDDEN);
    CHECK_OK(proc_open(pid, 12345, &fd));
    CHECK_OK(proc_signal(fd, SIGKILL));
    (void)kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_ERR(proc_start_time(pid, &start), ERR_NOT_FOUND);
    /* one that is shown is not taken for another one, unless that was hidden when it was recorded */
    CHECK_OK(proc_start_time(getpid(), &start));
    fd_replace(&fd, -1);
    CHECK_ERR(proc_open(getpid(), start + 1, &fd), ERR_NOT_FOUND);
    CHECK_OK(proc_open(getpid(), PROC_START_HIDDEN, &fd));
    return unit_failures ? 1 : 0;
}

static void hidden_by(const char *hidepid) {
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (!become_root(CLONE_NEWPID | CLONE_NEWNS))
            _exit(2);
        pid_t first = fork();
        if (first == 0)
            _exit(meet_hidden(hidepid));
        (void)waitpid(first, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2));
}

static void test_hidden(void) {
    hidden_by("hidepid=1");
    hidden_by("hidepid=2");
}

static void test_denied(void) {
    with_denied(SYS_clone3, ENOSYS, test_spawn);
    with_denied(SYS_clone3, ENOSYS, test_spawn_failures);
}

UNIT_MAIN({"identity", test_identity}, {"end", test_end}, {"spawn", test_spawn}, {"spawn_fds", test_spawn_fds},
          {"spawn_many_fds", test_spawn_many_fds}, {"spawn_signals", test_spawn_signals},
          {"spawn_failures", test_spawn_failures}, {"die_with_parent", test_die_with_parent},
          {"signal_names", test_signal_names}, {"hidden", test_hidden}, {"denied", test_denied})
