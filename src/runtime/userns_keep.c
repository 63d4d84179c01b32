/*
 * userns_keep: a namespace stays for a moment after its last use. The kernel drops a user namespace with the last
 * process or descriptor that refers to it, and `for i in …; do coracle run --rm …` would make, with two setuid
 * programs, and lose one each time round. So the command that made one leaves a process behind that only holds a
 * descriptor of it, until no container has started for KEEP_MS. It is no pause process: nothing needs it, killing it
 * costs the next command two milliseconds, and it ends by itself.
 *
 * It stays outside of the namespace, with the rights of the user's other processes, so that no container can trace it;
 * whoever looks for a holder opens its descriptor through /proc (record form "pid starttime descriptor ids").
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "runtime/runtime_int.h"

enum { KEEP_MS = 2000, NS_PER_MS = 1000000 };

/* Milliseconds until the namespace will have been unused for KEEP_MS: every start writes the record anew. */
static int time_left(int run_fd) {
    struct stat st;
    if (fstatat(run_fd, userns_record, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    int64_t used = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / NS_PER_MS;
    int64_t since = clock_now() / NS_PER_MS - used;
    return since >= 0 && since < KEEP_MS ? (int)(KEEP_MS - since) : 0; /* a clock that was set back ends it too */
}

static _Noreturn void keep(int run_fd, int ns_fd, uint32_t ids) {
    const int kept[] = {run_fd, ns_fd};
    fd_null_stdio();
    fd_close_all_but(kept, ARRAY_LEN(kept));
    (void)setsid(); /* out of the terminal's reach */
    proc_title("coracle-keep");
    autoerr e = chdir("/") < 0 ? NULL : userns_write_record(run_fd, userns_kept, getpid(), ns_fd, ids);
    for (int left = 1; !e && left > 0;) {
        left = time_left(run_fd);
        (void)poll(NULL, 0, left);
    }
    _exit(0);
}

void userns_keep(int run_fd, int ns_fd, uint32_t ids) {
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) /* nobody's child: who made the namespace may live long, and would have a zombie to reap */
            keep(run_fd, ns_fd, ids);
        _exit(0);
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}
