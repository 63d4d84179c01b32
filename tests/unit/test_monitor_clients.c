/*
 * Clients of a monitor that are slow, many, dying or hostile: none costs memory, loses output of another, or holds up
 * the container.
 */
#include "monitor_fixture.h"

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

static size_t anonymous_kb(pid_t pid) {
    char path[64], line[256];
    size_t kb = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Anonymous: %zu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

static int64_t log_size(const struct run *r) {
    struct stat st;
    return fstatat(r->dir, "log", &st, 0) == 0 ? st.st_size : 0;
}

/* Until the log has begun and has not grown for half a second. */
static int64_t settled_log(const struct run *r) {
    int64_t size = 0, before = -1;
    for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end && (!size || size != before); size = log_size(r)) {
        before = size;
        usleep(500000);
    }
    return size;
}

/* A client that reads nothing stops the container, costs little, and sets it free with its death. The lines are long:
 * the log of thirty million empty ones is 2 GB. */
static void test_backpressure(void) {
    struct run quiet = {.cmd = "exec sleep 3600", .detached = true};
    CHECK_OK(start(&quiet));
    struct run gate = {.cmd = "read x; head -c 30000000 /dev/zero | tr '\\0' x", .in = true, .once_off = true};
    CHECK_OK(start(&gate));
    send_frame(gate.conn, FRAME_STDIN, "\n", 1);
    CHECK(settled_log(&gate) < 15000000);
    struct monitor_state s;
    CHECK_OK(monitor_state_read(gate.dir, &s));
    CHECK_STR(s.status, "running");
    size_t idle = anonymous_kb(quiet.monitor), full = anonymous_kb(gate.monitor);
    CHECK(full < idle + 1500);
    close(gate.conn); /* dies */
    gate.conn = -1;
    int status;
    CHECK(waitpid(gate.monitor, &status, 0) == gate.monitor);
    AUTO(log);
    logs(&gate, &log);
    CHECK_INT(log.len, 30000000);
    close(gate.dir);
    close(gate.lock);
    CHECK_OK(monitor_kill(&host, quiet.id, SIGKILL));
    finish(&quiet, 137);
}

/* Takes what comes until it ends with the text; however slow the machine is. */
static void drain(int fd, const char *end) {
    static char sink[1 << 20];
    size_t want = strlen(end), n = 0;
    while (n < want || memcmp(sink + n - want, end, want) != 0) {
        size_t kept = n < want ? n : want;
        memmove(sink, sink + n - kept, kept);
        ssize_t more = recv(fd, sink + kept, sizeof sink - kept, 0);
        CHECK(more > 0);
        if (more <= 0)
            return;
        n = kept + (size_t)more;
    }
}

/* After much output an idle monitor is small again. */
static void test_memory(void) {
    struct run r = {.cmd = "seq 1 1000000; read x", .in = true, .once_off = true},
               quiet = {.cmd = "exec sleep 3600", .detached = true};
    CHECK_OK(start(&quiet));
    CHECK_OK(start(&r));
    CHECK(expect(r.conn, "100\n"));
    drain(r.conn, "\n1000000\n");
    size_t after = SIZE_MAX, before = 0;
    const size_t more = SANITIZED ? 440 : 40; /* shadow memory and freed blocks in quarantine come on top */
    /* it gives memory back when it has been idle for a while */
    for (int64_t end = now_ms() + PATIENCE_MS; after > before + more && now_ms() < end; usleep(LOOK_US)) {
        after = anonymous_kb(r.monitor);
        before = anonymous_kb(quiet.monitor);
    }
    CHECK(after <= before + more);
    if (getenv("UNIT_VERBOSE"))
        printf("anonymous: idle %zu KB, after output %zu KB\n", before, after);
    CHECK_OK(monitor_kill(&host, quiet.id, SIGKILL));
    finish(&quiet, 137);
    send_frame(r.conn, FRAME_STDIN, "\n", 1);
    finish(&r, 0);
}

/* A pager: reads nothing until everything is over. The container's lock does not wait for it. */
static void test_late_reader(void) {
    enum { FIRST = 64 << 10, LAST = 6000 }; /* a whole pipe, and lines that fit into another one */
    char cmd[256], gate[80], full[80];
    struct run r = {.cmd = cmd, .send_buffer = 1};
    int status;
    bool held = true;
    AUTO(out);
    AUTO(want);
    make_base();
    snprintf(gate, sizeof gate, "%s/gate", base_dir);
    snprintf(full, sizeof full, "%s/full", base_dir);
    snprintf(cmd, sizeof cmd, "read x <%s; head -c %d /dev/zero | tr '\\0' '\\n'; : >%s; seq 1 %d", gate, FIRST, full,
             LAST);
    CHECK(mkfifo(gate, 0600) == 0);
    CHECK_OK(start(&r));
    /* the monitor meets a full pipe: who reads pieces as they come does not take more of them when the socket is full,
     * and leaves a container that is slower than itself to wait for room in its pipe */
    kill(r.monitor, SIGSTOP);
    int to_gate = open(gate, O_WRONLY | O_CLOEXEC);
    CHECK(write(to_gate, "\n", 1) == 1);
    close(to_gate);
    for (int64_t end = now_ms() + PATIENCE_MS; access(full, F_OK) < 0 && now_ms() < end;)
        usleep(LOOK_US);
    CHECK(access(full, F_OK) == 0);
    kill(r.monitor, SIGCONT);
    /* The socket is full, 60 KB are in the monitor, 28 in the pipe; nothing is read until the container has ended. */
    CHECK(waitpid(r.monitor, &status, 0) == r.monitor);
    CHECK_OK(io_lock_held(r.lock, &held));
    CHECK(!held);
    struct monitor_io_result res = attach(r.conn, -1, &out, NULL);
    for (int k = 0; k < FIRST; k++)
        str_append_c(&want, '\n');
    for (int k = 1; k <= LAST; k++)
        str_appendf(&want, "%d\n", k);
    CHECK(res.ended && str_eq(str_c(&out), str_c(&want)));
    close(r.conn);
    close(r.dir);
    close(r.lock);
}

static void test_several_clients(void) {
    struct run r = {.cmd = "read x; seq 1 20000; exit 4", .in = true, .once_off = true};
    AUTO(a);
    AUTO(b);
    AUTO(want);
    int conn = -1;
    bool tty;
    for (int k = 1; k <= 20000; k++)
        str_appendf(&want, "%d\n", k);
    CHECK_OK(start(&r));
    CHECK_OK(monitor_attach(&host, r.id, false, true, true, &tty, &conn));
    send_frame(r.conn, FRAME_STDIN, "\n", 1);
    int p[2];
    CHECK(pipe(p) == 0);
    pid_t other = fork();
    if (other == 0) {
        const struct monitor_io io = {.in = -1, .out = p[1], .err = -1};
        struct monitor_io_result res = {.code = 0};
        autoerr e = monitor_io_attach(conn, &io, &res);
        _exit(e ? 99 : res.code);
    }
    close(p[1]);
    close(conn);
    pid_t reader = fork();
    if (reader == 0) {
        autoerr e = io_read_all(p[0], 1 << 30, "pipe", &b);
        _exit(e || !str_eq(str_c(&b), str_c(&want)));
    }
    close(p[0]);
    struct monitor_io_result res = attach(r.conn, -1, &a, NULL);
    int status;
    CHECK_INT(res.code, 4);
    CHECK(str_eq(str_c(&a), str_c(&want)));
    CHECK(waitpid(other, &status, 0) == other && WEXITSTATUS(status) == 4);
    CHECK(waitpid(reader, &status, 0) == reader && status == 0);
    finish(&r, 4);
}

/* Clients that are killed at any moment: the container does not notice. */
static void test_dying_clients(void) {
    struct run r = {.cmd = "for i in $(seq 1 3000); do echo line-$i; done; read x; exit 0",
                    .in = true,
                    .once_off = true,
                    .detached = true};
    CHECK_OK(start(&r));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int conn = -1, code;
            bool tty;
            autoerr e =
                i % 3 ? monitor_attach(&host, r.id, false, true, true, &tty, &conn) : monitor_wait(&host, r.id, &code);
            struct monitor_io_result res;
            const struct monitor_io io = {.in = i % 5 ? -1 : zero, .out = null, .err = null};
            autoerr f = e || conn < 0 ? NULL : monitor_io_attach(conn, &io, &res);
            _exit(f != NULL);
        }
        usleep((useconds_t)(i * 97 % 5000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(null);
    close(zero);
    int conn = -1;
    bool tty;
    CHECK_OK(monitor_attach(&host, r.id, true, true, true, &tty, &conn));
    send_frame(conn, FRAME_STDIN, "\n", 1);
    finish(&r, 0);
    close(conn);
    AUTO(log);
    int fd = -1;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", base_dir, r.id);
    CHECK_OK(fd_open_dir(AT_FDCWD, path, &fd));
    r.dir = fd;
    logs(&r, &log);
    CHECK(str_ends(str_c(&log), "line-3000\n"));
    close(fd);
}

static int connect_raw(const struct run *r) {
    int fd = -1;
    CHECK_OK(monitor_connect(&host, r->id, &fd));
    return fd;
}

static void check_refused(const struct run *r, const char *text) {
    char buf[512];
    int fd = connect_raw(r);
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    ssize_t n = recv(fd, buf, sizeof buf - 1, 0);
    buf[n > 0 ? n : 0] = '\0';
    CHECK(n == 0 || (n < 0 && errno == ECONNRESET) || strstr(buf, "error"));
    close(fd);
}

static void test_hostile_clients(void) {
    struct run r = {.cmd = "read x", .in = true, .once_off = true, .detached = true};
    static char big[5000];
    CHECK_OK(start(&r));
    check_refused(&r, "nonsense\n");
    check_refused(&r, "{\"op\":\"fly\"}\n");
    check_refused(&r, "{\"op\":\"kill\"}\n");
    check_refused(&r, "{\"op\":\"kill\",\"signal\":1000}\n");
    check_refused(&r, "{\"op\":\"stop\",\"signal\":\"x\",\"timeout\":1}\n");
    memset(big, '[', sizeof big - 1);
    check_refused(&r, big);
    static const uint8_t frames[][9] = {{9, 0, 0, 0, 0, 0, 0, 0},      {0, 1, 0, 0, 0, 0, 0, 0},
                                        {1, 0, 0, 0, 0, 0, 0, 1, 'x'}, {3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
                                        {5, 0, 0, 0, 0, 0, 0, 4},      {4, 0, 0, 0, 0, 0, 0, 1, 200}};
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        char buf[256];
        int fd = -1;
        bool tty;
        CHECK_OK(monitor_attach(&host, r.id, true, true, true, &tty, &fd));
        CHECK(send(fd, frames[i], 9, MSG_NOSIGNAL) == 9);
        shutdown(fd, SHUT_WR);
        CHECK(recv(fd, buf, sizeof buf, 0) <= 0);
        close(fd);
    }
    int many[300];
    for (int i = 0; i < 300; i++)
        many[i] = connect_raw(&r);
    usleep(50000);
    for (int i = 0; i < 300; i++)
        close(many[i]);
    CHECK_OK(monitor_kill(&host, r.id, SIGKILL));
    finish(&r, 137);
}

UNIT_MAIN({"backpressure", test_backpressure}, {"memory", test_memory}, {"late_reader", test_late_reader},
          {"several_clients", test_several_clients}, {"dying_clients", test_dying_clients},
          {"hostile_clients", test_hostile_clients}, {"clean", clean})
