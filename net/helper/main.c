/*
 * main: coracle-net is started by the first monitor that needs it (net/net.h), in the host's network
 * namespace, with the listening socket as descriptor 3 and the user namespace to enter as descriptor 4.
 *
 * It leaves its parent, whose wait ends as soon as the helper is on its own, and becomes two processes: the loop,
 * forked before any other namespace is entered, and the warden.
 */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/helper/helper_int.h"

enum { LISTENER_FD = 3, USERNS_FD = 4, EXIT_MISUSE = 2 };

static bool is_listener(int fd) {
    int yes = 0;
    socklen_t len = sizeof yes;
    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) && yes;
}

/* The child goes on; the parent's exit tells who started us that nothing more can fail in the starting. */
static struct err *leave_parent(void) {
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "fork");
    if (pid > 0)
        _exit(0);
    if (setsid() < 0 || chdir("/") < 0)
        return err_sys(errno, "leave the session");
    /* Descriptor 2 was for what failed until here. Nobody reads it from now on, and it may be a file in memory. */
    if (dup2(STDIN_FILENO, STDERR_FILENO) < 0)
        return err_sys(errno, "close standard error");
    return NULL;
}

/* No core with containers' bytes in it, no debugger of the same user; as many descriptors as connections need. */
static void set_limits(void) {
    struct rlimit files;
    prctl(PR_SET_DUMPABLE, 0); /* again: changed ids set it back */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

/* Executed outside, where no container's CAP_SYS_PTRACE reaches; without the descriptor we are inside already. */
static struct err *enter_userns(void) {
    struct stat st;
    if (fstat(USERNS_FD, &st) < 0)
        return NULL;
    if (setns(USERNS_FD, CLONE_NEWUSER) < 0 && errno != EINVAL)
        return err_sys(errno, "enter the user namespace");
    fd_close(USERNS_FD);
    (void)setgroups(0, NULL); /* a map made without newgidmap forbids it; what is left has no name inside */
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "become root of the user namespace");
    return NULL;
}

static struct err *run(const char *run_root) {
    int pair[2];
    prctl(PR_SET_DUMPABLE, 0);
    TRY(enter_userns());
    TRY(leave_parent());
    set_limits();
    TRY(fd_socketpair(SOCK_STREAM, pair));
    pid_t warden = getpid(), pid = fork();
    if (pid < 0)
        return err_sys(errno, "fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != warden)
            _exit(1);
        fd_close(LISTENER_FD);
        fd_close(pair[1]);
        proc_title("coracle-net loop");
        loop_main(pair[0]);
    }
    fd_close(pair[0]);
    warden_main(LISTENER_FD, pair[1], pid, run_root);
}

/* What follows `name`, or NULL. */
static const char *option(char **argv, const char *name) {
    while (*argv && !str_eq(*argv, name))
        argv++;
    return *argv ? argv[1] : NULL;
}

int main(int argc, char **argv) {
    fd_guard_stdio();
    if (!is_listener(LISTENER_FD)) {
        (void)fprintf(stderr,
                      "coracle-net gives containers their networks. It is started by coracle, which passes it a "
                      "socket; there is nothing to run by hand.\n");
        return EXIT_MISUSE;
    }
    proc_title_init(argc, argv);
    autoerr e = run(option(argv, "--run-root"));
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    (void)fprintf(stderr, "coracle-net: %s\n", str_c(&text));
    return 1;
}
