/*
 * Processes in a running container, containers in its namespaces, and what is left when all have gone: no process,
 * descriptor or mount. "bench" as argument times 200 runs.
 */
#include "runtime_fixture.h"

/* ---- exec into a running container ---- */

struct background {
    pid_t monitor, init;
    int pidfd, stop;
};

/* The first process is `sleep`, and is it when runtime_start() returns: a shell would become it in its own time. The
 * test's child plays the monitor until its pipe is closed. */
static struct err *hold(void *ctx) {
    int *fds = ctx;
    char byte;
    autojson config = config_new();
    struct runtime_proc proc;
    struct json *args = json_array();
    json_push_str(args, "sleep");
    json_push_str(args, "1000");
    json_set(json_get(config, "process"), "args", args);
    const struct rootfs_plan plan = overlay_plan("upper-exec");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct runtime_create c = {.config = config, .rootfs = &plan, .id = "test", .stdio = {null, null, null}};
    autofd int run = -1;
    TRY(runtime_create(&c, &proc));
    TRY(runtime_start(&proc));
    TRY(fd_open_dir(AT_FDCWD, host->run_root, &run));
    TRY(runtime_userns_publish(host, run, proc.pid, false));
    TRY(io_write_all(fds[1], &proc.pid, sizeof proc.pid));
    (void)!read(fds[2], &byte, 1);
    runtime_proc_done(&proc);
    return NULL;
}

static struct background background_start(void) {
    int fds[4];
    CHECK_OK(fd_pipe(0, fds));
    CHECK_OK(fd_pipe(0, fds + 2));
    struct background b = {.monitor = fork(), .init = -1, .stop = fds[3]};
    if (b.monitor == 0) {
        fd_close(fds[3]);
        fd_close(fds[0]);
        struct err *e = runtime_userns_enter(userns);
        if (!e)
            e = hold(fds);
        CHECK_OK(e);
        _exit(0);
    }
    fd_close(fds[1]);
    fd_close(fds[2]);
    CHECK(read(fds[0], &b.init, sizeof b.init) == (ssize_t)sizeof b.init);
    fd_close(fds[0]);
    b.pidfd = sys_pidfd_open(b.init);
    return b;
}

static void background_stop(struct background *b) {
    fd_close(b->stop);
    (void)waitpid(b->monitor, NULL, 0);
}

static struct err *exec_run(const struct background *b, const char *script, const char *user, bool terminal, char *out,
                            int *ret_code) {
    autojson config = config_new();
    autojson process = json_object();
    struct json *args = json_array();
    struct runtime_proc proc;
    int p[2];
    json_push_str(args, "sh");
    json_push_str(args, "-c");
    json_push_str(args, script);
    json_set(process, "args", args);
    json_set(process, "env", json_copy(json_path(config, "process.env")));
    json_set_str(process, "cwd", "/tmp");
    json_set_str(process, "user_text", user);
    TRY(fd_pipe(0, p));
    autofd int from = p[0];
    autofd int to = p[1];
    const struct runtime_exec x = {.target = b->init,
                                   .target_pidfd = b->pidfd,
                                   .config = config,
                                   .process = process,
                                   .stdio = {to, to, to},
                                   .terminal = terminal,
                                   .rows = 11,
                                   .cols = 22};
    TRY(runtime_exec(&x, &proc));
    fd_replace(&to, -1);
    read_out(terminal ? proc.console : from, out, 8192);
    struct err *e = proc_reap(proc.pid, ret_code);
    proc.pid = -1;
    runtime_proc_done(&proc);
    return e;
}

static void test_exec(void) {
    static char out[8192];
    int code = -1;
    struct background b = background_start();
    CHECK_OK(
        exec_run(&b, "hostname; pwd; id -u; echo $A; ls /proc/self/fd | tr '\\n' ' '; exit 3", "", false, out, &code));
    CHECK_STR(out, "boat\n/tmp\n0\n1\n0 1 2 3 ");
    CHECK_INT(code, 3);
    CHECK_OK(exec_run(&b, "id -u; grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status", "app", false, out, &code));
    CHECK_STR(out, "1000\nCapEff:\t0000000000000000\nCapBnd:\t00000000000000a1\nSeccomp:\t2\n");
    CHECK_OK(exec_run(&b, "stty size; tty", "", true, out, &code));
    CHECK_STR(out, "11 22\r\n/dev/pts/0\r\n");
    CHECK_OK(exec_run(&b, "cat /proc/1/cmdline | tr '\\0' ' '; kill -0 1 && echo sees", "", false, out, &code));
    CHECK_STR(out, "sleep 1000 sees\n");
    int fd = -1;
    uint32_t ids = 0;
    CHECK_OK(runtime_userns_get(host, &fd, &ids)); /* finds the holder */
    CHECK_INT(ids, 65537);
    struct stat a, c;
    CHECK(fstat(fd, &a) == 0 && fstat(userns, &c) == 0 && a.st_ino == c.st_ino);
    fd_close(fd);
    background_stop(&b);
    CHECK_ERR(exec_run(&b, "true", "", false, out, &code), ERR_CONFLICT);
}

/* A container ends with its monitor, however that ends. */
static void test_orphan(void) {
    struct background b = background_start();
    bool ended = false;
    CHECK(kill(b.monitor, SIGKILL) == 0);
    CHECK_OK(proc_wait_end(b.pidfd, 60 * NSEC_PER_SEC, &ended));
    CHECK(ended);
    background_stop(&b);
    fd_close(b.pidfd);
}

static struct err *count_fd(void *ctx, const char *name, unsigned char d_type) {
    int *n = ctx;
    (void)name;
    (void)d_type;
    ++*n;
    return NULL;
}

static int open_fds(void) {
    int n = 0;
    autofd int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(io_each_entry(dir, count_fd, &n));
    return n;
}

/* Neither a run nor a failed one leaves a descriptor or a child behind. */
static struct err *leaks_inside(void *ctx) {
    struct run *r = ctx;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), code, before = 0;
    for (int i = 0; i < 6; i++) {
        struct runtime_proc proc;
        struct runtime_create c = {.config = r->config,
                                   .rootfs = &r->plan,
                                   .id = "test",
                                   .bundle = top,
                                   .stdio = {null, null, null},
                                   .terminal = i % 2};
        TRY(runtime_create(&c, &proc));
        if (i >= 4) {
            runtime_proc_done(&proc); /* created, never started */
        } else {
            TRY(runtime_start(&proc));
            TRY(proc_reap(proc.pid, &code));
            proc.pid = -1;
            runtime_proc_done(&proc);
        }
        c.bundle = NULL;
        autojson bad = json_copy(r->config);
        json_set_str(json_get(bad, "process"), "cwd", "relative");
        c.config = bad;
        CHECK_ERR(runtime_create(&c, &proc), ERR_USAGE);
        if (!before)
            before = open_fds();
    }
    CHECK_INT(open_fds(), before);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    return unit_failures ? err_new(ERR_SYSTEM, "leaks") : NULL;
}

static void test_leaks(void) {
    autojson config = config_new();
    struct run r = {.config = config, .plan = overlay_plan("upper"), .sh = shared_new()};
    CHECK_OK(runtime_userns_call(userns, leaks_inside, &r));
}

/* Nor does an exec, whether its program runs, is not there, or its terminal was made in vain. */
static void test_exec_leaks(void) {
    static char out[8192];
    int code = -1, before = 0;
    struct background b = background_start();
    for (int i = 0; i < 4; i++) {
        CHECK_OK(exec_run(&b, "exit 5", "", i % 2, out, &code));
        CHECK_INT(code, 5);
        CHECK_ERR(exec_run(&b, "true", "nobody-of-that-name", i % 2, out, &code), ERR_USAGE);
        if (!before)
            before = open_fds();
    }
    CHECK_INT(open_fds(), before);
    background_stop(&b);
    fd_close(b.pidfd);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* Commands that start at the same time, with nothing running, end up in one user namespace. */
static void test_one_userns(void) {
    ino_t *inodes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int go[2], stay[2], up[2];
    char byte = 0;
    autofree char *file = mem_printf("%s/userns", top);
    (void)unlink(file);
    CHECK_OK(fd_pipe(0, go));
    CHECK_OK(fd_pipe(0, stay));
    CHECK_OK(fd_pipe(0, up));
    for (int i = 0; i < 6; i++) {
        if (fork() == 0) {
            struct stat st = {.st_ino = 0};
            int fd = -1;
            fd_close(go[1]);
            fd_close(stay[1]);
            (void)!read(go[0], &byte, 1);
            CHECK_OK(runtime_userns_get(host, &fd, NULL));
            CHECK(fstat(fd, &st) == 0);
            inodes[i] = st.st_ino;
            (void)!write(up[1], &byte, 1);
            (void)!read(stay[0], &byte, 1);
            _exit(0);
        }
    }
    fd_close(go[1]);
    for (int i = 0; i < 6; i++)
        CHECK(read(up[0], &byte, 1) == 1);
    fd_close(stay[1]);
    while (wait(NULL) > 0)
        ;
    for (int i = 1; i < 6; i++)
        CHECK(inodes[i] == inodes[0] && inodes[0] != 0);
    for (int i = 0; i < 2; i++)
        fd_close(up[i]);
    fd_close(go[0]);
    fd_close(stay[0]);
}

/* A container in the pid or network namespace of another one. */
static void test_join(void) {
    struct background b = background_start();
    const struct {
        const char *link, *script, *want;
        unsigned flag;
    } cases[] = {
        {"pid", "cat /proc/1/cmdline | tr '\\0' ' '; [ $$ = 1 ] || echo second", "sleep 1000 second\n", CLONE_NEWPID},
        {"uts", "hostname", "boat\n", CLONE_NEWUTS},
        {"net", "ip link show lo | grep -c UP", "1\n", CLONE_NEWNET}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autojson config = config_new();
        autofree char *link = mem_printf("/proc/%d/ns/%s", (int)b.init, cases[i].link);
        struct run r = {
            .config = config, .plan = overlay_plan("upper-join"), .sh = shared_new(), .join_flag = cases[i].flag};
        r.join_fd = open(link, O_RDONLY | O_CLOEXEC);
        CHECK(r.join_fd >= 0);
        json_remove(json_get(config, "linux"), "sysctl");
        set_script(config, cases[i].script);
        CHECK_OK(runtime_userns_call(userns, run_inside, &r));
        CHECK_STR(r.sh->out, cases[i].want);
        CHECK_INT(r.sh->code, 0);
        fd_close(r.join_fd);
    }
    background_stop(&b);
}

/* ---- timing ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct err *bench_inside(void *ctx) {
    struct run *r = ctx;
    double whole[200], made[200];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), code;
    for (int i = 0; i < 200; i++) {
        struct runtime_proc proc;
        autofree char *upper = mem_printf("upper-%d", i); /* as run --rm has it: a new upper layer each time */
        const struct rootfs_plan plan = overlay_plan(upper);
        const struct runtime_create c = {
            .config = r->config, .rootfs = &plan, .id = "test", .bundle = top, .stdio = {null, null, null}};
        double t = now_ms();
        TRY(runtime_create(&c, &proc));
        TRY(runtime_start(&proc));
        made[i] = now_ms() - t;
        TRY(proc_reap(proc.pid, &code));
        whole[i] = now_ms() - t;
        proc.pid = -1;
        runtime_proc_done(&proc);
    }
    qsort(whole, 200, sizeof *whole, by_value);
    qsort(made, 200, sizeof *made, by_value);
    printf("create+start: min %.2f median %.2f ms; to exit: min %.2f median %.2f ms\n", made[0], made[100], whole[0],
           whole[100]);
    fflush(stdout);
    return NULL;
}

static void bench(void) {
    static char out[8192];
    double t[200];
    int code;
    autojson config = config_new();
    struct run r = {.config = config, .plan = overlay_plan("upper"), .sh = shared_new()};
    CHECK_OK(runtime_userns_call(userns, bench_inside, &r));
    struct background b = background_start();
    for (int i = 0; i < 200; i++) {
        double s = now_ms();
        CHECK_OK(exec_run(&b, "true", "", false, out, &code));
        t[i] = now_ms() - s;
    }
    qsort(t, 200, sizeof *t, by_value);
    printf("exec: min %.2f median %.2f ms\n", t[0], t[100]);
    background_stop(&b);
}

int main(int argc, char **argv) {
    const struct unit_test tests[] = {
        {"set-up", test_setup},
        {"exec", test_exec},
        {"join", test_join},
        {"one user namespace", test_one_userns},
        {"orphan", test_orphan},
        {"leaks", test_leaks},
        {"exec leaks", test_exec_leaks},
    };
    bool timing = argc > 1 && strcmp(argv[1], "bench") == 0;
    return run_tests(__FILE__, tests, timing ? 1 : sizeof tests / sizeof *tests, timing ? bench : NULL);
}
