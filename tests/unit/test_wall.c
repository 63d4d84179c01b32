/* The second wall: what a process behind it cannot do any more, and what it still can. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "base/wall.h"

struct place {
    char dir[64];
    int open; /* a file of it, opened for writing before */
};

static bool refused(int result) { return result < 0 && (errno == EACCES || errno == EXDEV || errno == EPERM); }

/* Bits of what has gone wrong, as an exit code. */
enum { WRITTEN = 1, MADE = 2, REMOVED = 4, EXECUTED = 8, BOUND = 16, SIGNALLED = 32, HELD = 64 };

static bool nothing_made(void) {
    return refused(open("new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) && refused(mkdir("d", 0700)) &&
           refused(symlink("/", "l")) && refused(mkfifo("p", 0600)) && refused(link("file", "h"));
}

static bool not_written(int abi) {
    return refused(open("file", O_WRONLY | O_CLOEXEC)) && (abi < 3 || refused(truncate("file", 0)));
}

static bool not_bound(int abi) {
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    autofd int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return abi < 4 || refused(bind(sock, (const struct sockaddr *)&any, sizeof any));
}

/* What is allowed still: to read, and to write to what was open. */
static bool still_works(const struct place *p) {
    autofd int readable = open("file", O_RDONLY | O_CLOEXEC);
    return readable >= 0 && write(p->open, "x", 1) == 1 && ftruncate(p->open, 0) == 0;
}

static int attack(const struct place *p) {
    char program[] = "/bin/true", *argv[] = {program, NULL};
    int abi = sys_landlock_abi();
    if (chdir(p->dir) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !wall_read_only())
        return HELD;
    int bad = not_written(abi) ? 0 : WRITTEN;
    bad |= nothing_made() ? 0 : MADE;
    bad |= refused(unlink("file")) && refused(rename("file", "other")) ? 0 : REMOVED;
    bad |= not_bound(abi) ? 0 : BOUND;
    bad |= abi < 6 || refused(kill(getppid(), 0)) ? 0 : SIGNALLED;
    bad |= still_works(p) ? 0 : HELD;
    bad |= refused(execv(program, argv)) ? 0 : EXECUTED;
    return bad;
}

static void test_read_only(void) {
    struct place p = {.dir = "/tmp/test-wall.XXXXXX", .open = -1};
    int status = 0;
    if (sys_landlock_abi() < 1)
        return;
    CHECK(mkdtemp(p.dir) != NULL);
    autofree char *file = mem_printf("%s/file", p.dir);
    p.open = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    pid_t child = fork();
    if (child == 0)
        _exit(attack(&p));
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    fd_close(p.open);
    CHECK_INT(unlink(file), 0);
    CHECK_INT(rmdir(p.dir), 0);
}

UNIT_MAIN({"read_only", test_read_only})
