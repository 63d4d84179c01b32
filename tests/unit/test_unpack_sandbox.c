/* The sandbox of coracle-unpack: what must still work in it, and what must not, asked from inside. */
#include "storage/unpack/sandbox.c"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "unit.h"

static char dir[] = "/tmp/coracle-sandbox-XXXXXX";

/*
 * Enters the sandbox in a child of its own and returns the exit status of fn there; 100 when it could not be entered.
 */
static int inside(enum sandbox_kind kind, int (*fn)(int root)) {
    pid_t pid = fork();
    if (pid == 0) {
        int root = -1;
        if (kind == SANDBOX_LAYER && geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
            _exit(99); /* this machine has no user namespaces */
        struct err *e = sandbox_confine(kind, open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), &root);
        if (!e)
            e = sandbox_filter();
        _exit(e ? 100 : fn(root));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool denied(long result) { return result == -1 && (errno == EPERM || errno == EACCES); }

static int try_files(int root) {
    autofd int fd = openat(root, "new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && unlinkat(root, "new", 0) == 0 ? 0 : 1;
}

static int try_exec(int root) {
    char *const argv[] = {NULL};
    (void)root;
    return denied(execve("/bin/true", argv, argv)) ? 0 : 1;
}

static int try_socket(int root) {
    (void)root;
    return denied(socket(AF_INET, SOCK_STREAM, 0)) && denied(socket(AF_UNIX, SOCK_STREAM, 0)) &&
                   denied(connect(0, NULL, 0))
               ? 0
               : 1;
}

static int try_process(int root) {
    (void)root;
    return denied(fork()) && denied(syscall(SYS_ptrace, 0, 0, 0, 0)) && denied(unshare(CLONE_NEWUSER)) ? 0 : 1;
}

static int try_signal(int root) {
    (void)root;
    return denied(kill(getppid(), 0)) && denied(syscall(SYS_tgkill, getppid(), getppid(), 0)) ? 0 : 1;
}

static int try_mount(int root) {
    (void)root;
    return denied(mount(NULL, "/", NULL, MS_REMOUNT, NULL)) && denied(chroot("/")) &&
                   denied(sys_open_tree(root, ".", 0))
               ? 0
               : 1;
}

static int try_code(int root) {
    (void)root;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED && errno == EPERM && q != MAP_FAILED && denied(mprotect(q, 4096, PROT_READ | PROT_EXEC)) ? 0
                                                                                                                    : 1;
}

static int try_outside(int root) {
    return openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOENT &&
                   openat(root, "../etc/passwd", O_RDONLY | O_CLOEXEC) < 0 &&
                   openat(root, "../../tmp", O_RDONLY | O_CLOEXEC) < 0
               ? 0
               : 1;
}

static void check(enum sandbox_kind kind, int (*fn)(int root), const char *what) {
    int code = inside(kind, fn);
    if (code == 99)
        return;
    if (code != 0)
        fprintf(stderr, "%s in sandbox %d: %d\n", what, (int)kind, code);
    CHECK_INT(code, 0);
}

static void test_all(void) {
    static const struct {
        const char *what;
        int (*fn)(int root);
    } tries[] = {{"files", try_files},   {"exec", try_exec},   {"socket", try_socket}, {"process", try_process},
                 {"signal", try_signal}, {"mount", try_mount}, {"code", try_code},     {"outside", try_outside}};
    CHECK(mkdtemp(dir) != NULL);
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        check(SANDBOX_LAYER, tries[i].fn, tries[i].what);
        check(SANDBOX_ARCHIVE, tries[i].fn, tries[i].what);
        if (tries[i].fn != try_files && tries[i].fn != try_outside) /* it has no directory */
            check(SANDBOX_STREAM, tries[i].fn, tries[i].what);
    }
    CHECK_OK(io_remove_tree(AT_FDCWD, dir));
}

UNIT_MAIN({"all", test_all})
