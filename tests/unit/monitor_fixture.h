/* monitor_fixture: a runtime that only forks, so that a monitor has plain processes for containers; a place, a start,
 * clients. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
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

/* ---- a runtime that only forks ---- */

struct err *runtime_userns_get(const struct host *h, int *ret_fd, uint32_t *ret_ids) {
    (void)h, (void)ret_ids;
    return fd_open_at(AT_FDCWD, "/dev/null", O_RDONLY, 0, ret_fd);
}
struct err *runtime_userns_enter(int fd) {
    return (void)fd, NULL;
}
struct err *runtime_userns_publish(const struct host *h, int run_fd, pid_t init, bool nested) {
    return (void)h, (void)run_fd, (void)init, (void)nested, NULL;
}
struct err *runtime_cgroup_make(const struct host *h, const char *id, const char *parent, struct runtime_cgroup *ret) {
    (void)h, (void)id, (void)parent;
    *ret = (struct runtime_cgroup)RUNTIME_CGROUP_NONE;
    return NULL;
}
void runtime_cgroup_done(struct runtime_cgroup *g) { (void)g; }
struct err *runtime_userns_offer(int run_fd, int *ret_listen) {
    return (void)run_fd, fd_open_at(AT_FDCWD, "/dev/null", O_RDONLY, 0, ret_listen);
}
void runtime_userns_hand_over(int fd) { (void)fd; }
void runtime_userns_withdraw(int run_fd, int fd) {
    (void)run_fd;
    fd_close(fd);
}
void runtime_cgroup_remove(const struct strv *paths) { (void)paths; }
uint64_t runtime_cgroup_oom_kills(const struct runtime_cgroup *g) { return (void)g, 0; }
void runtime_cgroup_claim(const struct host *h, const char *id, const struct json *config) {
    (void)h, (void)id, (void)config;
}
char *runtime_cgroup_parent(const struct json *config) { return (void)config, NULL; }
struct err *runtime_limits_plan(const struct json *config, const struct runtime_cgroup *g,
                                struct runtime_emulation *ret, struct strv *warnings) {
    (void)config, (void)g, (void)warnings;
    *ret = (struct runtime_emulation){.memory = 0};
    return NULL;
}
struct err *runtime_resources_apply(const struct json *resources, const struct runtime_cgroup *g) {
    return (void)resources, (void)g, NULL;
}
struct err *runtime_affinity(pid_t init, const char *cpus) {
    return (void)init, (void)cpus, NULL;
}
struct err *runtime_survey_memory(pid_t init, struct runtime_survey *s, int64_t limit, int64_t *ret_bytes) {
    (void)init, (void)s, (void)limit;
    *ret_bytes = 0;
    return NULL;
}
void runtime_survey_done(struct runtime_survey *s) { (void)s; }
struct err *runtime_freeze(const struct runtime_cgroup *g, pid_t init, struct runtime_stopped *s) {
    return (void)g, (void)s, kill(init, SIGSTOP), NULL;
}
struct err *runtime_thaw(const struct runtime_cgroup *g, pid_t init, struct runtime_stopped *s) {
    return (void)g, (void)s, kill(init, SIGCONT), NULL;
}
struct err *runtime_poststart(const struct json *config, const char *id, const char *bundle, pid_t pid) {
    return (void)config, (void)id, (void)bundle, (void)pid, NULL;
}
struct err *runtime_poststop(const struct json *config, const char *id, const char *bundle) {
    return (void)config, (void)id, (void)bundle, NULL;
}

static inline void fake_init(const struct runtime_create *c, int gate, int slave) {
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
    return ret->pid < 0 ? err_sys(errno, "clone") : c->meanwhile(c->ctx, ret->pid);
}
struct err *runtime_start(struct runtime_proc *p) {
    if (write(p->sync_fd, "x", 1) != 1)
        return err_sys(errno, "start");
    fd_replace(&p->sync_fd, -1);
    return NULL;
}
/* A health check: its test as a plain process. */
struct err *runtime_exec(const struct runtime_exec *x, struct runtime_proc *ret) {
    autostrv struct strv args = {.n = 0};
    struct clone_args clone = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&ret->pidfd, .exit_signal = SIGCHLD};
    TRY(json_get_strv_opt(x->process, "args", &args));
    ret->pid = sys_clone3(&clone);
    if (ret->pid == 0) {
        setsid();
        for (int i = 0; i < 3; i++)
            dup2(x->stdio[i], i);
        execv(args.v[0], args.v);
        _exit(127);
    }
    return ret->pid < 0 ? err_sys(errno, "clone") : NULL;
}
void runtime_proc_done(struct runtime_proc *p) { kill(p->pid, SIGKILL); }

static inline int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How long what only the outside can see may take on a machine that does other things, and how often it is looked at.
 */
enum { PATIENCE_MS = 60000, LOOK_US = 10000 };

/* ---- a place and a start ---- */

static char base_dir[64];
static struct host host;

static inline void make_base(void) {
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
    int send_buffer; /* of the monitor's end of the first client's connection; 0: as the machine has it */
    int64_t max_size;
    pid_t monitor;
    int dir, sync, conn, lock;
};

static inline void ended(void *ctx, const struct monitor_exit *x) {
    const struct run *r = ctx;
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", x->code);
    autoerr e = io_write_file(r->dir, "ended", text, (size_t)n, 0600, 0);
    (void)e;
}

static inline void monitor_of(struct run *r, int lock, int sync, int client) {
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
                        .log.driver = "json-file",
                        .stdio = {-1, -1, -1},
                        .dir_fd = r->dir,
                        .lock_fd = lock,
                        .sync_fd = sync,
                        .first_client = client,
                        .first_client_stdin = r->in,
                        .userns_fd = -1,
                        .ended = ended,
                        .ctx = r};
    autofree char *size = mem_printf("%lld", (long long)r->max_size);
    if (r->max_size)
        strmap_set(&m.log.opts, "max-size", size);
    strmap_set(&m.log.opts, "max-file", "3");
    monitor_main(&m);
}

static inline struct err *start(struct run *r) {
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
    if (r->send_buffer)
        setsockopt(client[1], SOL_SOCKET, SO_SNDBUF, &r->send_buffer, sizeof r->send_buffer);
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
static inline void finish(struct run *r, int want_code) {
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

static inline void logs(const struct run *r, struct str *out) {
    int fd = memfd_create("log", MFD_CLOEXEC);
    const struct monitor_log_read p = {.tail = -1, .out = fd, .err = fd, .lock_fd = -1, .interrupt_fd = -1};
    CHECK_OK(monitor_log_print(r->dir, &p));
    lseek(fd, 0, SEEK_SET);
    CHECK_OK(io_read_all(fd, 1 << 30, "log", out));
    close(fd);
}

/* Attaches with files; returns the result. */
static inline struct monitor_io_result attach(int conn, int in, struct str *out, struct str *err) {
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

static inline void send_frame(int fd, enum monitor_frame type, const void *data, size_t n) {
    uint8_t head[FRAME_HEAD];
    frame_head(head, type, n);
    CHECK(send(fd, head, sizeof head, MSG_NOSIGNAL) == (ssize_t)sizeof head);
    CHECK(send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n);
}

static inline bool receive(int fd, void *to, size_t n) {
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

/* Takes frames until their text was seen (or the end), and not one more: the next may be the exit code, which is for
 * who attaches. */
static inline bool expect(int fd, const char *text) {
    static char seen[1 << 16];
    uint8_t head[FRAME_HEAD];
    size_t n = 0;
    while (receive(fd, head, sizeof head)) {
        size_t more = (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
        if (more > sizeof seen - n || !receive(fd, seen + n, more))
            break;
        n += more;
        if (memmem(seen, n, text, strlen(text)))
            return true;
    }
    fprintf(stderr, "expected %s, got %.*s\n", text, (int)n, seen);
    return false;
}

static inline bool have_pid_namespaces(void) {
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&args);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return pid > 0;
}

static inline void clean(void) { CHECK_OK(io_remove_tree(AT_FDCWD, base_dir)); }
