/*
 * The monitor beside containers of a fake runtime: plain processes, in a pid namespace where one can be had. Everything
 * else is real: sockets, log, state, clients that die, starters that vanish.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "monitor/frames_int.h"
#include "monitor/monitor.h"
#include "monitor/terminal_int.h"
#include "runtime/runtime.h"

/* ---- a runtime that only forks -------------------------------------------------------------------------------------
 */

struct err *runtime_userns_get(const struct host *h, int *ret_fd, uint32_t *ret_ids) {
    (void)h, (void)ret_ids;
    return fd_open_at(AT_FDCWD, "/dev/null", O_RDONLY, 0, ret_fd);
}
struct err *runtime_userns_enter(int fd) {
    return (void)fd, NULL;
}
struct err *runtime_userns_publish(const struct host *h, int run_fd, pid_t init) {
    return (void)h, (void)run_fd, (void)init, NULL;
}
struct err *runtime_cgroup_make(const struct host *h, const char *id, int *ret_fd, char **ret_path) {
    (void)h, (void)id;
    *ret_fd = -1;
    *ret_path = NULL;
    return NULL;
}
void runtime_cgroup_remove(const char *path) { (void)path; }
uint64_t runtime_cgroup_oom_kills(int fd) { return (void)fd, 0; }
struct err *runtime_poststop(const struct json *config, const char *id, const char *bundle) {
    return (void)config, (void)id, (void)bundle, NULL;
}

static void fake_init(const struct runtime_create *c, int gate, int slave) {
    char go;
    if (read(gate, &go, 1) != 1)
        _exit(1);
    if (slave >= 0) {
        setsid();
        sys_tty_set_controlling(slave);
    }
    for (int i = 0; i < 3; i++)
        dup2(slave >= 0 ? slave : c->stdio[i], i);
    const char *cmd = json_str_value(json_get(c->config, "cmd"));
    execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
    _exit(127);
}

struct err *runtime_create(const struct runtime_create *c, struct runtime_proc *ret) {
    int gate[2], slave = -1;
    if (json_bool_value(json_get(c->config, "fail_create"), false))
        return err_new(ERR_SYSTEM, "mount proc: made to fail");
    TRY(fd_pipe(0, gate));
    if (c->terminal) {
        ret->console = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (ret->console < 0 || unlockpt(ret->console) < 0)
            return err_sys(errno, "pty");
        slave = sys_tty_open_peer(ret->console, O_RDWR | O_NOCTTY);
    }
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWPID,
                              .pidfd = (uint64_t)(uintptr_t)&ret->pidfd,
                              .exit_signal = SIGCHLD};
    if (json_bool_value(json_get(c->config, "host_pid"), false))
        args.flags = CLONE_PIDFD;
    ret->pid = sys_clone3(&args);
    if (ret->pid < 0) {
        args.flags = CLONE_PIDFD;
        ret->pid = sys_clone3(&args);
    }
    if (ret->pid == 0) {
        close(gate[1]);
        fake_init(c, gate[0], slave);
    }
    close(gate[0]);
    fd_close(slave);
    ret->sync_fd = gate[1];
    return ret->pid < 0 ? err_sys(errno, "clone") : NULL;
}
struct err *runtime_start(struct runtime_proc *p) {
    if (write(p->sync_fd, "x", 1) != 1)
        return err_sys(errno, "start");
    fd_replace(&p->sync_fd, -1);
    return NULL;
}
void runtime_proc_done(struct runtime_proc *p) { kill(p->pid, SIGKILL); }

/* ---- a place and a start -------------------------------------------------------------------------------------------
 */

static char base_dir[64];
static struct host host;

static void make_base(void) {
    if (*base_dir)
        return;
    snprintf(base_dir, sizeof base_dir, "/tmp/test-monitor-XXXXXX");
    if (!mkdtemp(base_dir))
        abort();
    host = (struct host){.run_root = mem_printf("%s/run", base_dir), .boot_id = mem_dup("boot")};
}

struct run {
    char id[32];
    const char *cmd;
    bool tty, in, host_pid, fail_create, detached; /* detached: no first client */
    bool once_off;
    int64_t max_size;
    pid_t monitor;
    int dir, sync, conn, lock;
};

static void ended(void *ctx, const struct monitor_exit *x) {
    const struct run *r = ctx;
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", x->code);
    autoerr e = io_write_file(r->dir, "ended", text, (size_t)n, 0600, 0);
    (void)e;
}

static void monitor_of(struct run *r, int lock, int sync, int client) {
    struct json *config = json_object();
    json_set_str(config, "cmd", r->cmd);
    json_set_bool(config, "host_pid", r->host_pid);
    json_set_bool(config, "fail_create", r->fail_create);
    struct monitor m = {.id = r->id,
                        .name = "test",
                        .host = &host,
                        .config = config,
                        .terminal = r->tty,
                        .open_stdin = r->in,
                        .stdin_once = r->in && !r->once_off,
                        .rows = 24,
                        .cols = 80,
                        .log_driver = "json-file",
                        .log_max_size = r->max_size ? r->max_size : -1,
                        .log_max_file = 3,
                        .dir_fd = r->dir,
                        .lock_fd = lock,
                        .sync_fd = sync,
                        .first_client = client,
                        .first_client_stdin = r->in,
                        .userns_fd = -1,
                        .ended = ended,
                        .ctx = r};
    monitor_main(&m);
}

static struct err *start(struct run *r) {
    static int number;
    char path[128];
    make_base();
    snprintf(r->id, sizeof r->id, "c%d", number++);
    snprintf(path, sizeof path, "%s/%s", base_dir, r->id);
    mkdir(path, 0700);
    TRY(fd_open_dir(AT_FDCWD, path, &r->dir));
    TRY(fd_open_at(r->dir, "lock", O_RDWR | O_CREAT, 0600, &r->lock));
    int sync[2], client[2] = {-1, -1}, lock;
    bool got;
    TRY(fd_open_at(r->dir, "lock", O_RDWR, 0, &lock));
    TRY(io_try_lock(lock, IO_LOCK_EXCLUSIVE, &got));
    TRY(fd_socketpair(SOCK_STREAM, sync));
    if (!r->detached)
        TRY(fd_socketpair(SOCK_STREAM, client));
    fflush(NULL);
    r->monitor = fork();
    if (r->monitor == 0)
        monitor_of(r, lock, sync[1], client[1]);
    close(lock);
    close(sync[1]);
    fd_close(client[1]);
    r->conn = client[0];
    automsg c = msg_chan_new(sync[0]);
    autojson j = NULL;
    TRY(msg_recv(c, &j, NULL, NULL));
    if (!j)
        return err_new(ERR_SYSTEM, "no answer");
    return msg_err_of(j);
}

/* Waits for the monitor's end and looks at what it left. */
static void finish(struct run *r, int want_code) {
    struct monitor_state s = {0};
    struct stat st;
    bool held = true;
    int status;
    char path[128];
    CHECK(waitpid(r->monitor, &status, 0) == r->monitor && status == 0);
    CHECK_OK(monitor_state_read(r->dir, &s));
    CHECK_STR(s.status, "exited");
    CHECK_INT(s.exit_code, want_code);
    CHECK(s.pid == 0 && s.monitor_pid == 0 && s.finished >= s.started && s.started > 0);
    CHECK_OK(io_lock_held(r->lock, &held));
    CHECK(!held);
    CHECK(fstatat(r->dir, "ended", &st, 0) == 0);
    snprintf(path, sizeof path, "%s/%s", host.run_root, r->id);
    CHECK(stat(path, &st) < 0);
    fd_close(r->conn);
    close(r->lock);
    close(r->dir);
}

static void logs(const struct run *r, struct str *out) {
    int fd = memfd_create("log", MFD_CLOEXEC);
    const struct monitor_log_read p = {.tail = -1, .out = fd, .err = fd, .lock_fd = -1, .interrupt_fd = -1};
    CHECK_OK(monitor_log_print(r->dir, &p));
    lseek(fd, 0, SEEK_SET);
    CHECK_OK(io_read_all(fd, 1 << 30, "log", out));
    close(fd);
}

/* Attaches with files; returns the result. */
static struct monitor_io_result attach(int conn, int in, struct str *out, struct str *err) {
    int fo = memfd_create("out", MFD_CLOEXEC), fe = memfd_create("err", MFD_CLOEXEC);
    const struct monitor_io io = {.in = in, .out = fo, .err = fe};
    struct monitor_io_result res = {.ended = false};
    CHECK_OK(monitor_io_attach(conn, &io, &res));
    lseek(fo, 0, SEEK_SET);
    lseek(fe, 0, SEEK_SET);
    CHECK_OK(io_read_all(fo, 1 << 30, "out", out));
    if (err)
        CHECK_OK(io_read_all(fe, 1 << 30, "err", err));
    close(fo);
    close(fe);
    return res;
}

#define AUTO(name) autostr struct str name = STR_INIT

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

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

static void send_frame(int fd, enum monitor_frame type, const void *data, size_t n) {
    uint8_t head[FRAME_HEAD];
    frame_head(head, type, n);
    CHECK(send(fd, head, sizeof head, MSG_NOSIGNAL) == (ssize_t)sizeof head);
    CHECK(send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Reads until the text was seen (or the end). */
static bool expect(int fd, const char *text) {
    static char seen[1 << 16];
    size_t n = 0;
    while (n < sizeof seen - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 5000) <= 0)
            break;
        ssize_t k = recv(fd, seen + n, sizeof seen - 1 - n, 0);
        if (k <= 0)
            break;
        n += (size_t)k;
        if (memmem(seen, n, text, strlen(text)))
            return true;
    }
    fprintf(stderr, "expected %s, got %.*s\n", text, (int)n, seen);
    return false;
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

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool have_pid_namespaces(void) {
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&args);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return pid > 0;
}

static void test_stop(void) {
    int code = -1;
    bool at_once = false;
    struct run r = {.cmd = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done"};
    CHECK_OK(start(&r));
    CHECK(expect(r.conn, "up\n"));
    CHECK_OK(monitor_stop(&host, r.id, SIGTERM, 10, &code, &at_once));
    CHECK_INT(code, 5);
    CHECK(!at_once);
    finish(&r, 5);

    struct run hard = {.cmd = "trap '' TERM; echo up; while :; do sleep 0.02; done", .host_pid = true};
    CHECK_OK(start(&hard));
    CHECK(expect(hard.conn, "up\n"));
    int64_t t = now_ms();
    CHECK_OK(monitor_stop(&host, hard.id, SIGTERM, 1, &code, &at_once));
    CHECK(now_ms() - t >= 950 && now_ms() - t < 3000);
    CHECK_INT(code, 137);
    CHECK(!at_once);
    finish(&hard, 137);

    if (!have_pid_namespaces())
        return;
    struct run deaf = {.cmd = "echo up; while :; do sleep 1; done"};
    CHECK_OK(start(&deaf));
    CHECK(expect(deaf.conn, "up\n"));
    t = now_ms();
    CHECK_OK(monitor_stop(&host, deaf.id, SIGTERM, 10, &code, &at_once));
    CHECK(now_ms() - t < 1000);
    CHECK_INT(code, 137);
    CHECK(at_once);
    finish(&deaf, 137);
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
    usleep(100000); /* the waiter's connection */
    CHECK_OK(monitor_kill(&host, r.id, SIGUSR1));
    CHECK(waitpid(waiter, &status, 0) == waiter);
    CHECK_INT(WEXITSTATUS(status), 9);
    finish(&r, 9);
    close(conn);
    CHECK_ERR(monitor_kill(&host, r.id, SIGUSR1), ERR_NOT_FOUND);

    struct run k = {.cmd = "sleep 100", .detached = true};
    CHECK_OK(start(&k));
    CHECK_OK(monitor_kill(&host, k.id, SIGKILL));
    bool held = true;
    CHECK_OK(io_lock_held(k.lock, &held));
    CHECK(!held); /* it waited for that */
    finish(&k, 137);

    struct run t = {.cmd = "sleep 100", .detached = true};
    CHECK_OK(start(&t));
    kill(t.monitor, SIGTERM);
    finish(&t, have_pid_namespaces() ? 137 : 143);
}

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

/* A client that reads nothing stops the container, costs little, and sets it free with its death. */
static void test_backpressure(void) {
    struct run quiet = {.cmd = "sleep 100", .detached = true};
    CHECK_OK(start(&quiet));
    struct run gate = {.cmd = "read x; head -c 30000000 /dev/zero | tr '\\0' '\\n'", .in = true, .once_off = true};
    CHECK_OK(start(&gate));
    send_frame(gate.conn, FRAME_STDIN, "\n", 1);
    usleep(500000);
    struct monitor_state s;
    CHECK_OK(monitor_state_read(gate.dir, &s));
    CHECK_STR(s.status, "running");
    size_t idle = anonymous_kb(quiet.monitor), full = anonymous_kb(gate.monitor);
    CHECK(full < idle + 1500);
    struct stat st;
    CHECK(fstatat(gate.dir, "log", &st, 0) == 0 && st.st_size < 300000000);
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

/* After much output an idle monitor is small again. */
static void test_memory(void) {
    struct run r = {.cmd = "seq 1 1000000; read x", .in = true, .once_off = true},
               quiet = {.cmd = "sleep 100", .detached = true};
    CHECK_OK(start(&quiet));
    CHECK_OK(start(&r));
    CHECK(expect(r.conn, "100\n"));
    static char sink[1 << 20];
    struct pollfd p = {.fd = r.conn, .events = POLLIN};
    while (poll(&p, 1, 300) > 0 && recv(r.conn, sink, sizeof sink, 0) > 0)
        ;
    usleep(200000);
    size_t after = anonymous_kb(r.monitor), before = anonymous_kb(quiet.monitor);
    CHECK(after <= before + 40);
    if (getenv("UNIT_VERBOSE"))
        printf("anonymous: idle %zu KB, after output %zu KB\n", before, after);
    CHECK_OK(monitor_kill(&host, quiet.id, SIGKILL));
    finish(&quiet, 137);
    send_frame(r.conn, FRAME_STDIN, "\n", 1);
    finish(&r, 0);
}

/* A pager: reads nothing until everything is over. The container's lock does not wait for it. */
static void test_late_reader(void) {
    struct run r = {.cmd = "seq 1 60000"};
    int status;
    bool held = true;
    AUTO(out);
    AUTO(want);
    CHECK_OK(start(&r));
    /* 340 KB: the socket is full, some is in the monitor, some in the pipe; nothing is read until the container has
     * ended. */
    CHECK(waitpid(r.monitor, &status, 0) == r.monitor);
    CHECK_OK(io_lock_held(r.lock, &held));
    CHECK(!held);
    struct monitor_io_result res = attach(r.conn, -1, &out, NULL);
    for (int k = 1; k <= 60000; k++)
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

static void test_dead_monitor(void) {
    struct run r = {.cmd = "echo up; sleep 100", .host_pid = true};
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

/* ---- exec's pump ---------------------------------------------------------------------------------------------------
 */

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
    const int ours[3] = {p[0][1], p[1][0], p[2][0]};
    const struct monitor_io io = {.in = in, .out = fo, .err = fo};
    struct monitor_io_result res = {.code = -1};
    CHECK_OK(monitor_io_child(pid, pidfd, -1, ours, &io, &res));
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
    CHECK_INT(run_child("(sleep 3; echo late) & seq 1 30000; kill -9 $$", -1, &c), 137);
    CHECK(now_ms() - t < 2500);
    CHECK(str_ends(str_c(&c), "\n30000\n"));
}

/* ---- detach keys ---------------------------------------------------------------------------------------------------
 */

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
    CHECK_OK(monitor_state_write(dir, &s));
    CHECK_OK(monitor_state_read(dir, &t));
    CHECK(memcmp(&s, &t, sizeof s) == 0);
    close(dir);
}

static void clean(void) { CHECK_OK(io_remove_tree(AT_FDCWD, base_dir)); }

UNIT_MAIN({"detach_keys", test_detach_keys}, {"state", test_state}, {"run", test_run}, {"quick", test_quick},
          {"input", test_input}, {"input_unread", test_input_unread}, {"null_input", test_null_input},
          {"tty", test_tty}, {"tty_end", test_tty_end}, {"failed_start", test_failed_start}, {"stop", test_stop},
          {"kill_and_wait", test_kill_and_wait}, {"backpressure", test_backpressure}, {"memory", test_memory},
          {"late_reader", test_late_reader}, {"several_clients", test_several_clients},
          {"dying_clients", test_dying_clients}, {"hostile_clients", test_hostile_clients},
          {"dead_monitor", test_dead_monitor}, {"child", test_child}, {"clean", clean})
