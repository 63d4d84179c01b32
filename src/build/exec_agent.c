/*
 * exec_agent: RUN --mount=type=ssh. An agent answers only the user that it belongs to, and its socket has the mode that
 * it has: so the command gets a socket of the build's, and a process of the user's passes on what comes there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build/exec_run_int.h"

/* Passes on what is there; false when the end has come. */
static bool pass(int from, int to) {
    char data[16384];
    ssize_t n = read(from, data, sizeof data);
    if (n < 0)
        return errno == EINTR;
    for (ssize_t at = 0; at < n;) {
        ssize_t m = write(to, data + at, (size_t)(n - at));
        if (m < 0 && errno != EINTR)
            return false;
        at += m > 0 ? m : 0;
    }
    return n > 0;
}

/* Until both have said all: who has said his last word may still listen. */
static void talk(int client, int agent) {
    struct pollfd p[2] = {{.fd = client, .events = POLLIN}, {.fd = agent, .events = POLLIN}};
    const int other[2] = {agent, client};
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        for (int i = 0; i < 2; i++) {
            if (p[i].fd < 0 || !p[i].revents || pass(p[i].fd, other[i]))
                continue;
            shutdown(other[i], SHUT_WR);
            p[i].fd = -1;
        }
    }
}

/* Who listens ends with the build, and who talks with who listens. */
static void end_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
}

static void converse(int client, const char *path) {
    autofd int agent = -1;
    end_with_parent();
    autoerr e = fd_unix_connect(AT_FDCWD, path, &agent);
    if (!e)
        talk(client, agent);
}

static void serve(int listener, const char *path) {
    end_with_parent();
    signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
    for (;;) {
        autofd int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && errno != EINTR && errno != ECONNABORTED)
            return;
        pid_t pid = client < 0 ? -1 : fork();
        if (pid == 0) {
            converse(client, path);
            _exit(0);
        }
    }
}

struct err *agent_start(int dir, const char *name, const char *agent, struct agent *ret) {
    autofd int listener = -1;
    TRY(fd_unix_listen(dir, name, &listener));
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "fork");
    if (pid == 0) {
        const int keep[] = {listener, 2};
        fd_close_all_but(keep, ARRAY_LEN(keep));
        setpgid(0, 0); /* what the user types to stop the command ends it, and then this */
        serve(listener, agent);
        _exit(0);
    }
    ret->pid = pid;
    return NULL;
}

void agent_stop(struct agent *a) {
    int status;
    kill(a->pid, SIGKILL);
    while (waitpid(a->pid, &status, 0) < 0 && errno == EINTR)
        ;
}
