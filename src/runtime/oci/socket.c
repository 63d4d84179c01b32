/* socket: start.sock, and the console socket of the caller. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "runtime/oci/oci_int.h"

/* Through the descriptor the name is short, however deep the directory is. */
static struct sockaddr_un start_address(int dir) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/" OCI_START_SOCKET, dir);
    return a;
}

static struct err *start_socket(int *ret_fd) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(errno, "make a socket");
    *ret_fd = fd;
    return NULL;
}

struct err *start_listen(int dir, int *ret_fd) {
    const struct sockaddr_un a = start_address(dir);
    autofd int fd = -1;
    TRY(start_socket(&fd));
    if (bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 8) < 0)
        return err_sys(errno, "listen on %s", OCI_START_SOCKET);
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *start_connect(int dir, int *ret_fd) {
    const struct sockaddr_un a = start_address(dir);
    autofd int fd = -1;
    TRY(start_socket(&fd));
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
        return err_sys(errno, "reach the container's first process");
    *ret_fd = take_fd(&fd);
    return NULL;
}

struct err *console_send(const char *path, int master) {
    static const char name[] = "/dev/ptmx"; /* what receivers show; any text will do */
    autofd int sock = -1;
    TRY_CTX(fd_unix_connect(AT_FDCWD, path, &sock), "console socket");
    TRY_CTX(fd_unix_send(sock, name, sizeof name - 1, master), "console socket %s", path);
    return NULL;
}

/* ---- a container in the foreground ---- */

static void passed_on(sigset_t *set) {
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGCHLD};
    (void)sigemptyset(set);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        (void)sigaddset(set, signals[i]);
}

void foreground_block(void) {
    sigset_t set;
    passed_on(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

struct err *foreground_wait(pid_t pid, int pidfd, int *ret_code) {
    sigset_t set;
    bool ended = false;
    passed_on(&set);
    for (;;) {
        TRY(proc_wait_end(pidfd, 0, &ended));
        if (ended)
            return proc_reap(pid, ret_code);
        int signo = sigwaitinfo(&set, NULL);
        if (signo > 0 && signo != SIGCHLD) {
            autoerr gone = proc_signal(pidfd, signo);
            (void)gone;
        }
    }
}
