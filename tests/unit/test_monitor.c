/*
 * The monitor beside containers of a fake runtime: plain processes, in a pid namespace where one can be had. Everything
 * else is real: sockets, log, state, clients that die, starters that vanish.
 */
#include "monitor_fixture.h"

/* ---- tests ---- */

static void test_run(void) {
    struct run r = {.cmd = "echo hello; echo oops >&2; exit 3"};
    AUTO(out);
    AUTO(err);
    AUTO(log);
    CHECK_OK(start(&r));
    struct monitor_io_result res = attach(r.conn, -1, &out, &err);
    CHECK(res.ended && !res.detached && !res.out_error);
    CHECK_INT(res.code, 3);
    CHECK_STR(str_c(&out), "hello\n");
    CHECK_STR(str_c(&err), "oops\n");
    logs(&r, &log);
    CHECK(strstr(str_c(&log), "hello\n") && strstr(str_c(&log), "oops\n"));
    finish(&r, 3);
}

/* Not a byte lost or doubled at the end, two hundred times. */
static void test_quick(void) {
    for (int i = 0; i < 200; i++) {
        char cmd[64];
        AUTO(out);
        AUTO(log);
        AUTO(want);
        snprintf(cmd, sizeof cmd, "seq 1 %d; printf end", i * 37);
        for (int k = 1; k <= i * 37; k++)
            str_appendf(&want, "%d\n", k);
        str_append(&want, "end");
        struct run r = {.cmd = cmd};
        CHECK_OK(start(&r));
        attach(r.conn, -1, &out, NULL);
        logs(&r, &log);
        CHECK(str_eq(str_c(&out), str_c(&want)) && str_eq(str_c(&log), str_c(&want)));
        finish(&r, 0);
    }
}

static void test_input(void) {
    enum { SIZE = 10 << 20 };
    struct run r = {.cmd = "cat", .in = true};
    int p[2];
    char *data = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)("0123456789abcde\n"[(i * 7 + i / 4096) % 16]);
    CHECK(pipe2(p, O_CLOEXEC) == 0);
    pid_t feeder = fork();
    if (feeder == 0) {
        autoerr e = io_write_all(p[1], data, SIZE);
        _exit(e != NULL);
    }
    close(p[1]);
    AUTO(out);
    AUTO(log);
    CHECK_OK(start(&r));
    struct monitor_io_result res = attach(r.conn, p[0], &out, NULL);
    CHECK(res.ended && res.code == 0);
    CHECK(out.len == SIZE && memcmp(out.ptr, data, SIZE) == 0);
    logs(&r, &log);
    CHECK(log.len == SIZE && memcmp(log.ptr, data, SIZE) == 0);
    close(p[0]);
    waitpid(feeder, NULL, 0);
    finish(&r, 0);
    free(data);
}

/* Input that nobody reads does not stop output, signals or the end. */
static void test_input_unread(void) {
    struct run r = {.cmd = "echo up; sleep 0.3; echo down", .in = true};
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    AUTO(out);
    CHECK_OK(start(&r));
    struct monitor_io_result res = attach(r.conn, zero, &out, NULL);
    CHECK(res.ended && res.code == 0);
    CHECK_STR(str_c(&out), "up\ndown\n");
    close(zero);
    finish(&r, 0);
}

static void test_null_input(void) {
    struct run r = {.cmd = "cat; echo end"};
    AUTO(out);
    CHECK_OK(start(&r));
    attach(r.conn, -1, &out, NULL);
    CHECK_STR(str_c(&out), "end\n");
    finish(&r, 0);
}

static void test_tty(void) {
    struct run r = {.cmd = "stty size; read x; echo got-$x; read y; stty size; exit 7", .tty = true, .in = true};
    CHECK_OK(start(&r));
    send_frame(r.conn, FRAME_RESIZE, "\0\x1e\0\x64", 4);
    send_frame(r.conn, FRAME_STDIN, "abc\r", 4);
    CHECK(expect(r.conn, "got-abc\r\n"));
    send_frame(r.conn, FRAME_RESIZE, "\0\x1f\0\x65", 4);
    send_frame(r.conn, FRAME_STDIN, "\r", 1);
    CHECK(expect(r.conn, "31 101\r\n"));
    AUTO(log);
    AUTO(out);
    struct monitor_io_result res = attach(r.conn, -1, &out, NULL);
    CHECK_INT(res.code, 7);
    logs(&r, &log);
    CHECK(strstr(str_c(&log), "got-abc\r\n") != NULL);
    finish(&r, 7);
}

/* Much output through a terminal, ending at once. */
static void test_tty_end(void) {
    for (int i = 0; i < 20; i++) {
        struct run r = {.cmd = "seq 1 5000", .tty = true};
        AUTO(out);
        AUTO(want);
        for (int k = 1; k <= 5000; k++)
            str_appendf(&want, "%d\r\n", k);
        CHECK_OK(start(&r));
        attach(r.conn, -1, &out, NULL);
        CHECK(str_eq(str_c(&out), str_c(&want)));
        finish(&r, 0);
    }
}

static void test_failed_start(void) {
    struct run r = {.cmd = "true", .fail_create = true};
    struct monitor_state s;
    int status;
    CHECK_ERR(start(&r), ERR_SYSTEM);
    CHECK(waitpid(r.monitor, &status, 0) == r.monitor && status == 0);
    CHECK_OK(monitor_state_read(r.dir, &s));
    CHECK_STR(s.status, "created");
    CHECK_INT(s.exit_code, 128);
    CHECK(strstr(s.error, "made to fail") != NULL);
    close(r.conn);
    close(r.dir);
    close(r.lock);
}

static void test_stop(void) {
    int code = -1;
    bool at_once = false;
    struct run r = {.cmd = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done"};
    CHECK_OK(start(&r));
    CHECK(expect(r.conn, "up\n"));
    CHECK_OK(monitor_stop(&host, r.id, SIGTERM, 100, &code, &at_once));
    CHECK_INT(code, 5);
    CHECK(!at_once);
    finish(&r, 5);

    struct run hard = {.cmd = "trap '' TERM; echo up; while :; do sleep 0.02; done", .host_pid = true};
    CHECK_OK(start(&hard));
    CHECK(expect(hard.conn, "up\n"));
    int64_t t = now_ms();
    CHECK_OK(monitor_stop(&host, hard.id, SIGTERM, 1, &code, &at_once));
    CHECK(now_ms() - t >= 950 && now_ms() - t < PATIENCE_MS);
    CHECK_INT(code, 137);
    CHECK(!at_once);
    finish(&hard, 137);

    if (!have_pid_namespaces())
        return;
    struct run deaf = {.cmd = "echo up; exec sleep 3600"}; /* a shell that forks blocks signals for a moment */
    CHECK_OK(start(&deaf));
    CHECK(expect(deaf.conn, "up\n"));
    t = now_ms();
    CHECK_OK(monitor_stop(&host, deaf.id, SIGTERM, 600, &code, &at_once));
    CHECK(now_ms() - t < PATIENCE_MS);
    CHECK_INT(code, 137);
    CHECK(at_once);
    finish(&deaf, 137);
}

static void await_asleep(pid_t pid) {
    autofree char *path = mem_printf("/proc/%d/stat", (int)pid);
    for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end; usleep(LOOK_US)) {
        AUTO(text);
        CHECK_OK(io_read_file(AT_FDCWD, path, 1024, &text));
        const char *name_end = strrchr(str_c(&text), ')');
        if (name_end && str_starts(name_end, ") S"))
            return;
    }
    CHECK(false);
}

static void test_kill_and_wait(void) {
    struct run r = {.cmd = "trap 'exit 9' USR1; echo up; while :; do sleep 0.02; done"};
    int code = -1, status = 0;
    CHECK_OK(start(&r));
    CHECK(expect(r.conn, "up\n"));
    pid_t waiter = fork();
    if (waiter == 0) {
        autoerr e = monitor_wait(&host, r.id, &code);
        _exit(e ? 99 : code);
    }
    int conn = -1;
    bool tty = true;
    CHECK_OK(monitor_attach(&host, r.id, false, true, true, &tty, &conn));
    CHECK(!tty);
    await_asleep(waiter); /* it has asked */
    CHECK_OK(monitor_kill(&host, r.id, SIGUSR1));
    CHECK(waitpid(waiter, &status, 0) == waiter);
    CHECK_INT(WEXITSTATUS(status), 9);
    finish(&r, 9);
    close(conn);
    CHECK_ERR(monitor_kill(&host, r.id, SIGUSR1), ERR_NOT_FOUND);

    struct run k = {.cmd = "exec sleep 3600", .detached = true};
    CHECK_OK(start(&k));
    CHECK_OK(monitor_kill(&host, k.id, SIGKILL));
    bool held = true;
    CHECK_OK(io_lock_held(k.lock, &held));
    CHECK(!held); /* it waited for that */
    finish(&k, 137);

    struct run t = {.cmd = "exec sleep 3600", .detached = true};
    CHECK_OK(start(&t));
    kill(t.monitor, SIGTERM);
    finish(&t, have_pid_namespaces() ? 137 : 143);
}

static void test_dead_monitor(void) {
    struct run r = {.cmd = "echo up; exec sleep 3600", .host_pid = true};
    CHECK_OK(start(&r));
    CHECK(expect(r.conn, "up\n"));
    struct monitor_state s;
    CHECK_OK(monitor_state_read(r.dir, &s));
    kill(r.monitor, SIGKILL);
    const struct monitor_io io = {.in = -1, .out = -1, .err = -1};
    struct monitor_io_result res;
    CHECK_ERR(monitor_io_attach(r.conn, &io, &res), ERR_SYSTEM);
    waitpid(r.monitor, NULL, 0);
    kill(s.pid, SIGKILL);
    int code;
    CHECK_ERR(monitor_wait(&host, r.id, &code), ERR_NOT_FOUND);
    close(r.conn);
    close(r.dir);
    close(r.lock);
}

/* ---- exec's pump ---- */

static struct err *reap(void *ctx, int *ret_code) { return proc_reap(*(const pid_t *)ctx, ret_code); }

static int run_child(const char *cmd, int in, struct str *out) {
    int p[3][2], fo = memfd_create("out", MFD_CLOEXEC);
    for (int i = 0; i < 3; i++)
        CHECK(pipe2(p[i], O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[0][0], 0);
        dup2(p[1][1], 1);
        dup2(p[2][1], 2);
        execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
        _exit(127);
    }
    close(p[0][0]);
    close(p[1][1]);
    close(p[2][1]);
    int pidfd = sys_pidfd_open(pid);
    const struct monitor_child child = {
        .pidfd = pidfd, .master = -1, .pipes = {p[0][1], p[1][0], p[2][0]}, .reap = reap, .ctx = &pid};
    const struct monitor_io io = {.in = in, .out = fo, .err = fo};
    struct monitor_io_result res = {.code = -1};
    CHECK_OK(monitor_io_child(&child, &io, &res));
    CHECK(res.ended);
    close(pidfd);
    lseek(fo, 0, SEEK_SET);
    CHECK_OK(io_read_all(fo, 1 << 30, "out", out));
    close(fo);
    return res.code;
}

static void test_child(void) {
    AUTO(a);
    AUTO(b);
    AUTO(c);
    CHECK_INT(run_child("echo out; echo err >&2; exit 6", -1, &a), 6);
    CHECK(strstr(str_c(&a), "out\n") && strstr(str_c(&a), "err\n"));
    int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    CHECK(fstat(in, &st) == 0);
    CHECK_INT(run_child("cat", in, &b), 0);
    CHECK_INT(b.len, st.st_size);
    close(in);
    int64_t t = now_ms();
    CHECK_INT(run_child("(sleep 100; echo late) & seq 1 30000; kill -9 $$", -1, &c), 137);
    CHECK(now_ms() - t < 90000);
    CHECK(str_ends(str_c(&c), "\n30000\n"));
}

/* ---- detach keys ---- */

static void check_keys(const char *text, const char *want, size_t n) {
    unsigned char keys[16];
    size_t got = 99;
    CHECK_OK(monitor_detach_keys_parse(text, keys, &got));
    CHECK(got == n && memcmp(keys, want, n) == 0);
}

static void check_filter(const char *keys, const char *typed, const char *passed, bool found) {
    for (size_t piece = 1; piece < 8; piece++) {
        struct detach d = {.n = 0};
        CHECK_OK(monitor_detach_keys_parse(keys, d.keys, &d.n));
        AUTO(out);
        bool hit = false;
        for (size_t at = 0; at < strlen(typed) && !hit; at += piece) {
            unsigned char to[64];
            size_t n, left = strlen(typed) - at;
            hit = detach_filter(&d, (const unsigned char *)typed + at, left < piece ? left : piece, to, &n);
            str_append_n(&out, to, n);
        }
        CHECK_STR(str_c(&out), passed);
        CHECK(hit == found);
    }
}

static void test_detach_keys(void) {
    unsigned char keys[16];
    size_t n;
    check_keys(NULL, "\x10\x11", 2);
    check_keys("", "", 0);
    check_keys("a,ctrl-a,ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", "a\x01\x00\x1b\x1c\x1d\x1e\x1f", 8);
    CHECK_ERR(monitor_detach_keys_parse("ctrl-A", keys, &n), ERR_USAGE);
    CHECK_ERR(monitor_detach_keys_parse("ab", keys, &n), ERR_USAGE);
    CHECK_ERR(monitor_detach_keys_parse("a,", keys, &n), ERR_USAGE);
    CHECK_ERR(monitor_detach_keys_parse("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", keys, &n), ERR_USAGE);
    check_filter(NULL, "abc\x10\x11xyz", "abc", true);
    check_filter(NULL, "\x10\x10\x11", "\x10", true);
    check_filter(NULL, "\x10x\x11\x10", "\x10x\x11", false);
    check_filter("a,b,a,c", "xababac", "xab", true);
    check_filter("a,a,b", "aaaab", "aa", true);
    check_filter("a", "xya", "xy", true);
    check_filter("", "\x10\x11", "\x10\x11", false);
}

static void test_state(void) {
    make_base();
    int dir = -1;
    struct monitor_state s = {.status = "exited",
                              .pid_start = UINT64_MAX,
                              .started = INT64_MAX - 1,
                              .exit_code = 137,
                              .oom_killed = true,
                              .boot_id = "b",
                              .error = "quote \" and \n"},
                         t;
    CHECK_OK(fd_open_dir(AT_FDCWD, base_dir, &dir));
    CHECK_OK(monitor_state_read(dir, &t));
    CHECK_STR(t.status, "created");
    CHECK_OK(monitor_state_write(dir, &s));
    CHECK_OK(monitor_state_read(dir, &t));
    CHECK(memcmp(&s, &t, sizeof s) == 0);
    close(dir);
}

/* The fast way to read our own text takes no number that is not one of JSON's. */
static void test_state_numbers(void) {
    static const struct {
        const char *pid, *status;
    } cases[] = {{"7", "exited"},    {"0", "exited"},   {"-7", "exited"}, {"007", "running"}, {"00", "running"},
                 {"-00", "running"}, {"+7", "running"}, {"-", "running"}, {"", "running"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        autostr struct str text = STR_INIT;
        struct monitor_state s;
        str_appendf(
            &text,
            "{\"status\":\"exited\",\"pid\":%s,\"pid_start\":1,\"monitor_pid\":1,\"boot_id\":\"b\",\"started\":1,"
            "\"finished\":1,\"exit_code\":0,\"oom_killed\":false,\"restart_count\":0,\"stopped_by_user\":false,"
            "\"health\":\"\",\"error\":\"\"}",
            cases[i].pid);
        CHECK_OK(monitor_state_parse(&text, &s));
        CHECK_STR(s.status, cases[i].status);
    }
}

UNIT_MAIN({"detach_keys", test_detach_keys}, {"state", test_state}, {"state_numbers", test_state_numbers},
          {"run", test_run}, {"quick", test_quick}, {"input", test_input}, {"input_unread", test_input_unread},
          {"null_input", test_null_input}, {"tty", test_tty}, {"tty_end", test_tty_end},
          {"failed_start", test_failed_start}, {"stop", test_stop}, {"kill_and_wait", test_kill_and_wait},
          {"dead_monitor", test_dead_monitor}, {"child", test_child}, {"clean", clean})
