/* Files, trees, locks, unix sockets by name. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "deny.h"

static char dir_path[64];
static int dir = -1;

static void set_up(void) {
    snprintf(dir_path, sizeof dir_path, "/tmp/coracle-test-io-XXXXXX");
    CHECK(mkdtemp(dir_path) != NULL);
    CHECK_OK(fd_open_dir(AT_FDCWD, dir_path, &dir));
}

static void tear_down(void) {
    fd_replace(&dir, -1);
    CHECK_OK(io_remove_tree(AT_FDCWD, dir_path));
    CHECK(access(dir_path, F_OK) < 0);
}

static struct err *count_entry(void *ctx, const char *name, unsigned char type) {
    (void)name;
    (void)type;
    ++*(int *)ctx;
    return NULL;
}

static int entries(int d) {
    int n = 0;
    CHECK_OK(io_each_entry(d, count_entry, &n));
    return n;
}

static void check_content(const char *name, const char *want) {
    autostr struct str s = STR_INIT;
    CHECK_OK(io_read_file(dir, name, 1000, &s));
    CHECK_STR(str_c(&s), want);
}

static void test_files(void) {
    set_up();
    mode_t old = umask(0077);
    CHECK_OK(io_write_file(dir, "a", "one", 3, 0644, 0));
    CHECK_OK(io_write_file(dir, "a", "two!", 4, 0640, IO_DURABLE));
    umask(old);
    check_content("a", "two!");
    struct stat st;
    CHECK(fstatat(dir, "a", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
    CHECK_ERR(io_create_file(dir, "a", "x", 1, 0600, 0), ERR_CONFLICT);
    check_content("a", "two!");
    CHECK_OK(io_create_file(dir, "b", "new", 3, 0600, IO_DURABLE));
    check_content("b", "new");
    CHECK_OK(io_write_file(dir, "empty", NULL, 0, 0600, 0));
    check_content("empty", "");
    CHECK_INT(entries(dir), 3);
    CHECK_ERR(io_write_file(dir, "no/such/dir", "x", 1, 0600, 0), ERR_NOT_FOUND);
    CHECK_INT(mkdirat(dir, "sub", 0700), 0);
    CHECK_ERR(io_write_file(dir, "sub", "x", 1, 0600, 0), ERR_SYSTEM); /* a directory is there */
    CHECK_OK(io_write_file(dir, "sub/f", "x", 1, 0600, IO_DURABLE));
    check_content("sub/f", "x");
    CHECK_INT(entries(dir), 4); /* no temporary file is left */
    tear_down();
}

static void test_read(void) {
    set_up();
    autostr struct str s = STR_INIT;
    CHECK_OK(io_write_file(dir, "a", "0123456789", 10, 0600, 0));
    CHECK_OK(io_read_file(dir, "a", 10, &s));
    CHECK_INT(s.len, 10);
    CHECK_ERR(io_read_file(dir, "a", 9, &s), ERR_CORRUPT);
    CHECK_INT(s.len, 10);
    CHECK_ERR(io_read_file(dir, "none", 9, &s), ERR_NOT_FOUND);
    CHECK_INT(symlinkat("a", dir, "link"), 0);
    CHECK_ERR(io_read_file(dir, "link", 100, &s), ERR_SYSTEM);
    CHECK_INT(mkfifoat(dir, "fifo", 0600), 0);
    CHECK_ERR(io_read_file(dir, "fifo", 100, &s), ERR_CORRUPT);
    CHECK_ERR(io_read_file(dir, ".", 100, &s), ERR_CORRUPT);
    CHECK_ERR(io_read_file(AT_FDCWD, "/dev/zero", 100, &s), ERR_CORRUPT);
    str_clear(&s);
    CHECK_OK(io_read_file(AT_FDCWD, "/proc/self/status", 65536, &s));
    CHECK(s.len > 100);
    int p[2];
    CHECK_OK(fd_pipe(0, p));
    CHECK_OK(fd_set_nonblock(p[1], true));
    autofree char *big = mem_alloc(200000);
    memset(big, 'x', 200000);
    pid_t pid = fork();
    if (pid == 0) {
        autoerr e = io_write_all(p[1], big, 200000); /* over EAGAIN of a full pipe */
        _exit(e != NULL);
    }
    fd_close(p[1]);
    str_clear(&s);
    CHECK_OK(io_read_all(p[0], 200000, "pipe", &s));
    CHECK_INT(s.len, 200000);
    fd_close(p[0]);
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    tear_down();
}

static void test_copy(void) {
    set_up();
    CHECK_OK(io_write_file(dir, "a", "0123456789", 10, 0600, 0));
    autofd int from = -1, to = -1, proc = -1;
    uint64_t n = 0;
    CHECK_OK(fd_open_at(dir, "a", O_RDONLY, 0, &from));
    CHECK_OK(fd_open_at(dir, "b", O_RDWR | O_CREAT, 0600, &to));
    CHECK_OK(io_copy(from, to, 4, &n));
    CHECK_INT(n, 4);
    CHECK_OK(io_copy(from, to, UINT64_MAX, &n));
    CHECK_INT(n, 6);
    check_content("b", "0123456789");
    CHECK_OK(fd_open_at(AT_FDCWD, "/proc/version", O_RDONLY, 0, &proc));
    CHECK_OK(io_copy(proc, to, UINT64_MAX, &n));
    CHECK(n > 10);
    int p[2];
    CHECK_OK(fd_pipe(0, p));
    CHECK_INT(lseek(from, 0, SEEK_SET), 0);
    CHECK_OK(io_copy(from, p[1], UINT64_MAX, &n));
    CHECK_INT(n, 10);
    CHECK_OK(io_copy(p[0], to, 10, &n));
    CHECK_INT(n, 10);
    fd_close(p[0]);
    fd_close(p[1]);
    tear_down();
}

static void test_mkdirs(void) {
    set_up();
    CHECK_OK(io_mkdirs(dir, "x/y/z", 0700));
    CHECK_OK(io_mkdirs(dir, "x/y/z", 0700));
    CHECK_OK(io_mkdirs(dir, "x//w/", 0700));
    CHECK_OK(io_write_file(dir, "f", "", 0, 0600, 0));
    CHECK_ERR(io_mkdirs(dir, "f", 0700), ERR_SYSTEM);
    CHECK_ERR(io_mkdirs(dir, "f/x", 0700), ERR_SYSTEM);
    autofree char *absolute = mem_printf("%s/p/q", dir_path);
    CHECK_OK(io_mkdirs(AT_FDCWD, absolute, 0700));
    CHECK_INT(faccessat(dir, "p/q", F_OK, 0), 0);
    CHECK_OK(io_mkdirs(AT_FDCWD, "/", 0700));
    tear_down();
}

/* Another process may remove a directory while it is read. */
static void test_removed_has_no_entries(void) {
    set_up();
    autofd int gone = -1;
    CHECK_OK(io_mkdirs(dir, "gone", 0700));
    CHECK_OK(fd_open_dir(dir, "gone", &gone));
    CHECK_INT(unlinkat(dir, "gone", AT_REMOVEDIR), 0);
    CHECK_INT(entries(gone), 0);
    tear_down();
}

static void test_remove(void) {
    set_up();
    CHECK_OK(io_remove_tree(dir, "nothing"));
    CHECK_OK(io_mkdirs(dir, "t/a/b", 0700));
    CHECK_OK(io_mkdirs(dir, "t/c", 0700));
    CHECK_OK(io_mkdirs(dir, "keep", 0700));
    CHECK_OK(io_write_file(dir, "keep/f", "k", 1, 0600, 0));
    CHECK_INT(symlinkat("../keep", dir, "t/link"), 0);
    CHECK_INT(symlinkat("/", dir, "t/a/b/root"), 0);
    CHECK_INT(mkfifoat(dir, "t/fifo", 0600), 0);
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "t/c/%d", i);
        CHECK(i % 2 ? mkdirat(dir, name, 0700) == 0 : symlinkat("x", dir, name) == 0);
    }
    CHECK_INT(fchmodat(dir, "t/a/b", 0000, 0), 0);
    CHECK_INT(fchmodat(dir, "t/a", 0400, 0), 0);
    CHECK_INT(fchmodat(dir, "t/c", 0500, 0), 0);
    CHECK_OK(io_remove_tree(dir, "t"));
    CHECK(faccessat(dir, "t", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
    check_content("keep/f", "k");
    CHECK_INT(symlinkat("keep", dir, "l"), 0);
    CHECK_OK(io_remove_tree(dir, "l"));
    check_content("keep/f", "k");
    CHECK_OK(io_mkdirs(dir, "u/v", 0700));
    CHECK_OK(io_remove_tree(dir, "u/v"));
    CHECK_INT(faccessat(dir, "u", F_OK, 0), 0);
    tear_down();
}

/* Deeper than PATH_MAX, the descriptor limit and any stack of paths. */
static void test_remove_deep(void) {
    set_up();
    autofd int at = -1;
    CHECK_OK(fd_dup(dir, &at));
    CHECK(fd_same_file(dir, at) && !fd_same_file(dir, -1) && !fd_same_file(-1, -1));
    CHECK(fd_is_at(at, dir, ".", 0) && !fd_is_at(at, dir, "..", 0) && !fd_is_at(at, dir, "nothing", 0));
    CHECK(!fd_is_at(-1, dir, ".", 0));
    for (int i = 0; i < 6000; i++) {
        CHECK_INT(mkdirat(at, "a-rather-long-directory-name", 0700), 0);
        CHECK_INT(mkdirat(at, "side", 0700), 0);
        int next = -1;
        CHECK_OK(fd_open_dir(at, "a-rather-long-directory-name", &next));
        fd_replace(&at, next);
    }
    struct rlimit old, low = {.rlim_cur = 32, .rlim_max = 0};
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
    low.rlim_max = old.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
    CHECK_OK(io_remove_tree(dir, "a-rather-long-directory-name"));
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_INT(entries(dir), 1);
    tear_down();
}

/* Several processes at the same tree: all succeed. */
static void test_remove_together(void) {
    set_up();
    for (int i = 0; i < 40; i++)
        for (int k = 0; k < 40; k++) {
            char name[32];
            snprintf(name, sizeof name, "t/%d/%d/x", i, k);
            CHECK_OK(io_mkdirs(dir, name, 0700));
        }
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        if ((pids[i] = fork()) == 0) {
            CHECK_OK(io_remove_tree(dir, "t"));
            _exit(unit_failures != 0);
        }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        CHECK_INT(waitpid(pids[i], &status, 0), pids[i]);
        CHECK_INT(status, 0);
    }
    CHECK_INT(entries(dir), 0);
    tear_down();
}

static void test_remove_mount(void) {
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return; /* needs the right to mount */
    set_up();
    CHECK_OK(io_mkdirs(dir, "t/a/mnt", 0700));
    CHECK_OK(io_write_file(dir, "t/x", "x", 1, 0600, 0));
    CHECK_OK(io_mkdirs(dir, "keep", 0700));
    CHECK_OK(io_write_file(dir, "keep/f", "k", 1, 0600, 0));
    autofree char *from = mem_printf("%s/keep", dir_path), *to = mem_printf("%s/t/a/mnt", dir_path);
    CHECK_INT(mount(from, to, NULL, MS_BIND, NULL), 0); /* the same file system: st_dev does not tell */
    CHECK_ERR(io_remove_tree(dir, "t"), ERR_IN_USE);
    check_content("keep/f", "k");
    CHECK(faccessat(dir, "t/x", F_OK, 0) < 0); /* the rest went */
    CHECK_INT(umount2(to, 0), 0);
    tear_down();
}

static void test_locks(void) {
    set_up();
    autofd int a = -1, b = -1;
    bool got = false, held = true;
    CHECK_OK(fd_open_at(dir, "lock", O_RDWR | O_CREAT, 0600, &a));
    CHECK_OK(fd_open_at(dir, "lock", O_RDWR, 0600, &b));
    CHECK_OK(io_lock_held(b, &held));
    CHECK(!held);
    CHECK_OK(io_lock(a, IO_LOCK_EXCLUSIVE));
    CHECK_OK(io_lock_held(b, &held));
    CHECK(held);
    CHECK_OK(io_try_lock(b, IO_LOCK_SHARED, &got));
    CHECK(!got);
    CHECK_OK(io_lock(a, IO_LOCK_SHARED)); /* downgrade */
    CHECK_OK(io_try_lock(b, IO_LOCK_SHARED, &got));
    CHECK(got);
    CHECK_OK(io_lock_held(b, &held));
    CHECK(!held);
    CHECK_OK(io_unlock(b));
    CHECK_OK(io_lock(a, IO_LOCK_EXCLUSIVE));
    fd_replace(&a, -1);
    CHECK_OK(io_try_lock(b, IO_LOCK_EXCLUSIVE, &got));
    CHECK(got);
    tear_down();
}

static void test_sockets(void) {
    set_up();
    autofree char *deep = mem_printf("%0100d/%0100d", 1, 2);
    autofd int d = -1, old = -1, listener = -1, client = -1, server = -1;
    CHECK_OK(io_mkdirs(dir, deep, 0700));
    CHECK_OK(fd_open_dir(dir, deep, &d));
    CHECK_ERR(fd_unix_connect(d, "sock", &client), ERR_NOT_FOUND);
    CHECK_OK(fd_unix_listen(d, "sock", &old));
    CHECK_OK(fd_unix_listen(d, "sock", &listener)); /* replaces the first */
    struct stat st;
    CHECK(fstatat(d, "sock", &st, 0) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0600);
    CHECK_INT(entries(d), 1);
    CHECK_OK(fd_unix_connect(d, "sock", &client));
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(server >= 0);
    fd_replace(&client, -1);
    fd_replace(&listener, -1);
    CHECK_ERR(fd_unix_connect(d, "sock", &client), ERR_NOT_FOUND); /* nobody listens any more */
    CHECK_INT(client, -1);
    tear_down();
}

static void test_close_all(void) {
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 10; i < 40; i++)
            dup2(1, i);
        const int keep[] = {30, 12, -1, 30, 3};
        fd_close_all_but(keep, ARRAY_LEN(keep));
        for (int i = 10; i < 50; i++)
            if ((fcntl(i, F_GETFD) >= 0) != (i == 12 || i == 30))
                _exit(1);
        _exit(fcntl(1, F_GETFD) < 0);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

static void test_guard_stdio(void) {
    pid_t pid = fork();
    if (pid == 0) {
        close(0);
        close(2);
        fd_guard_stdio();
        _exit(fcntl(0, F_GETFD) != 0 || fcntl(2, F_GETFD) != 0);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

static void test_denied(void) {
    with_denied(SYS_close_range, ENOSYS, test_close_all);
    with_denied(SYS_renameat2, ENOSYS, test_files);
    with_denied(SYS_copy_file_range, ENOSYS, test_copy);
}

static void check_holds(const char *name, const char *want) {
    autostr struct str s = STR_INIT;
    CHECK_OK(io_read_file(dir, name, 100, &s));
    CHECK_STR(str_c(&s), want);
}

static void test_rewrite(void) {
    static const struct timespec long_ago[] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct stat before, after;
    set_up();
    CHECK_OK(io_rewrite_file(dir, "f", "the first text", 14, 0644));
    CHECK_INT(utimensat(dir, "f", long_ago, 0), 0);
    CHECK_INT(fstatat(dir, "f", &before, 0), 0);
    CHECK_INT(before.st_mode & 07777, 0644);
    CHECK_OK(io_rewrite_file(dir, "f", "the first text", 14, 0644));
    CHECK_INT(fstatat(dir, "f", &after, 0), 0);
    CHECK_INT(after.st_mtim.tv_sec, 1); /* left alone */
    CHECK_OK(io_rewrite_file(dir, "f", "a longer second text", 20, 0644));
    check_holds("f", "a longer second text");
    CHECK_OK(io_rewrite_file(dir, "f", "short", 5, 0644));
    check_holds("f", "short");
    CHECK_OK(io_rewrite_file(dir, "f", "", 0, 0644));
    check_holds("f", "");
    CHECK_INT(fstatat(dir, "f", &after, 0), 0);
    CHECK(after.st_ino == before.st_ino);
    tear_down();
}

/* What had no room is not there, and what was there is. */
static void test_rewrite_without_room(void) {
    set_up();
    CHECK_OK(io_rewrite_file(dir, "f", "nameserver 1\n", 13, 0644));
    struct rlimit old, none = {.rlim_cur = 0};
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &none), 0);
    CHECK_ERR(io_rewrite_file(dir, "f", "nameserver 2\n", 13, 0644), ERR_SYSTEM);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &old), 0);
    check_holds("f", "nameserver 1\n");
    tear_down();
}

/* Nobody who reads it meanwhile finds it empty. */
static void test_rewrite_under_readers(void) {
    enum { REWRITES = 200 };
    static const char *const texts[] = {"nameserver 1\n", "nameserver 1\nsearch x\n"};
    set_up();
    CHECK_OK(io_rewrite_file(dir, "f", texts[0], strlen(texts[0]), 0644));
    pid_t writer = fork();
    for (int i = 0; writer == 0 && i < REWRITES; i++)
        if (io_rewrite_file(dir, "f", texts[i % 2], strlen(texts[i % 2]), 0644))
            _exit(1);
    if (writer == 0)
        _exit(0);
    int status = -1, empty = 0;
    autofd int fd = openat(dir, "f", O_RDONLY | O_CLOEXEC);
    while (waitpid(writer, &status, WNOHANG) == 0) {
        char c;
        empty += pread(fd, &c, 1, 0) != 1;
    }
    CHECK_INT(status, 0);
    CHECK_INT(empty, 0);
    tear_down();
}

UNIT_MAIN({"files", test_files}, {"rewrite", test_rewrite}, {"rewrite without room", test_rewrite_without_room},
          {"rewrite under readers", test_rewrite_under_readers}, {"read", test_read}, {"copy", test_copy},
          {"mkdirs", test_mkdirs}, {"removed_has_no_entries", test_removed_has_no_entries}, {"remove", test_remove},
          {"remove_deep", test_remove_deep}, {"remove_together", test_remove_together},
          {"remove_mount", test_remove_mount}, {"locks", test_locks}, {"sockets", test_sockets},
          {"close_all", test_close_all}, {"guard_stdio", test_guard_stdio}, {"denied", test_denied})
