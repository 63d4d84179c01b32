/*
 * The runtime on a busybox root made on the spot, as an unprivileged user with subordinate ids. Run by root it becomes
 * the user named in CORACLE_TEST_USER (default crtest) and skips where there is none. "bench" as argument times 200
 * runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "runtime/runtime.h"
#include "spec/spec.h"
#include "unit.h"

static char *top; /* scratch directory */
static struct host *host;
static int userns = -1;

static const char config_text[] =
    "{\"ociVersion\":\"1.0.2\",\"hostname\":\"boat\",\"process\":{\"cwd\":\"/\",\"args\":[\"true\"],"
    "\"env\":[\"PATH=/bin:/usr/bin\",\"A=1\"],\"user\":{\"uid\":0,\"gid\":0},\"capabilities\":{"
    "\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\",\"CAP_SETUID\"],\"effective\":[\"CAP_CHOWN\",\"CAP_KILL\",\"CAP_SETUID\"]"
    ","
    "\"permitted\":[\"CAP_CHOWN\",\"CAP_KILL\",\"CAP_SETUID\"]},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":100,\"hard\":200}]},"
    "\"annotations\":{\"org.coracle.user\":\"\",\"org.coracle.seccomp\":\"default\"},"
    "\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
    "{\"destination\":\"/"
    "dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\",\"mode=755\","
    "\"size=65536k\"]},"
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\","
    "\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
    "{\"destination\":\"/"
    "sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
    "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"ro\",\"nosuid\","
    "\"noexec\",\"nodev\"]},"
    "{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\","
    "\"nodev\"]},"
    "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
    "\"mode=1777\",\"size=67108864\"]}],"
    "\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"network\"},{\"type\":\"uts\"},{\"type\":\"pid\"},"
    "{\"type\":\"ipc\"},{\"type\":\"cgroup\"}],"
    "\"sysctl\":{\"net.ipv4.ip_unprivileged_port_start\":\"0\"},"
    "\"maskedPaths\":[\"/proc/asound\",\"/proc/acpi\",\"/proc/interrupts\",\"/proc/kcore\",\"/proc/keys\","
    "\"/proc/latency_stats\",\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\",\"/proc/scsi\","
    "\"/sys/firmware\",\"/sys/devices/virtual/powercap\"],"
    "\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}}";

/* ---- one run ---- */

static void shell(const char *text) {
    pid_t pid = fork();
    if (pid == 0) {
        (void)!chdir(top);
        execl("/bin/sh", "sh", "-ec", text, NULL);
        _exit(127);
    }
    int status = 1;
    (void)waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

struct shared {
    int code;
    char out[8192];
};
struct run {
    struct json *config;
    struct rootfs_plan plan;
    bool terminal;
    const char *init; /* coracle-init */
    int join_fd;      /* a namespace to join with join_flag */
    unsigned join_flag;
    int cgroup; /* 0: none */
    struct shared *sh;
};

static struct json *config_new(void) {
    struct json *j = NULL;
    CHECK_OK(json_parse(config_text, sizeof config_text - 1, "test", 0, &j));
    return j;
}

static void set_script(struct json *config, const char *script) {
    struct json *args = json_array();
    json_push_str(args, "/bin/sh");
    json_push_str(args, "-c");
    json_push_str(args, script);
    json_set(json_get(config, "process"), "args", args);
}

static void read_out(int fd, char *to, size_t size) {
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(fd, to + len, size - 1 - len)) > 0)
        len += (size_t)n;
    to[len] = '\0';
}

static struct err *run_inside(void *ctx) {
    struct run *r = ctx;
    int p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    TRY(fd_pipe(0, p));
    struct runtime_proc proc;
    struct runtime_create c = {.config = r->config,
                               .rootfs = &r->plan,
                               .id = "test",
                               .bundle = top,
                               .stdio = {null, p[1], p[1]},
                               .terminal = r->terminal,
                               .rows = 33,
                               .cols = 99,
                               .init_program = r->init,
                               .cgroup_fd = -1};
    if (r->cgroup)
        c.cgroup_fd = r->cgroup;
    if (r->join_flag) {
        c.n_join = 1;
        c.join[0].fd = r->join_fd;
        c.join[0].clone_flag = r->join_flag;
    }
    TRY(runtime_create(&c, &proc));
    TRY(runtime_start(&proc));
    fd_close(p[1]);
    if (proc.console >= 0)
        read_out(proc.console, r->sh->out, sizeof r->sh->out);
    else
        read_out(p[0], r->sh->out, sizeof r->sh->out);
    struct err *e = proc_reap(proc.pid, &r->sh->code);
    proc.pid = -1;
    runtime_proc_done(&proc);
    return e;
}

static struct shared *shared_new(void) {
    struct shared *sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sh->code = -1;
    return sh;
}

static struct rootfs_plan dir_plan(void) {
    static struct rootfs_plan p;
    if (!p.base_dir) {
        p = (struct rootfs_plan){.driver = ROOTFS_DIR, .base_dir = top};
        strv_push(&p.lowers, "rootfs");
    }
    return p;
}

static struct rootfs_plan overlay_plan(const char *upper) {
    struct rootfs_plan p = {.driver = ROOTFS_OVERLAY, .base_dir = top};
    strv_push(&p.lowers, "empty");
    strv_push(&p.lowers, "rootfs");
    if (upper) {
        p.upper = mem_printf("%s/%s", top, upper);
        p.work = mem_printf("%s/%s.work", top, upper);
        (void)mkdir(p.upper, 0755);
        (void)mkdir(p.work, 0755);
    }
    static struct rootfs_plan all[512]; /* reachable until the end, so that nobody has to free them */
    static size_t n_all;
    all[n_all++ % ARRAY_LEN(all)] = p;
    return p;
}

/* Runs a script in a container with this config; the output is borrowed until the next call. */
static const char *run_config(struct json *config, struct rootfs_plan plan, bool terminal, int *ret_code) {
    static struct shared *sh;
    if (!sh)
        sh = shared_new();
    memset(sh, 0, sizeof *sh);
    struct run r = {.config = config, .plan = plan, .terminal = terminal, .sh = sh};
    CHECK_OK(runtime_userns_call(userns, run_inside, &r));
    *ret_code = sh->code;
    return sh->out;
}

static const char *run_script(const char *script, int *ret_code) {
    autojson config = config_new();
    set_script(config, script);
    struct rootfs_plan plan = overlay_plan("upper");
    return run_config(config, plan, false, ret_code);
}

static void expect(const char *script, const char *want, const char *file, int line) {
    int code;
    const char *out = run_script(script, &code);
    if (strcmp(out, want) != 0 || code != 0) {
        fprintf(stderr, "%s:%d: %s: code %d\n   got: %s\n  want: %s\n", file, line, script, code, out, want);
        unit_failures++;
    }
}
#define EXPECT(script, want) expect(script, want, __FILE__, __LINE__)

/* ---- tests ---- */

static void test_basics(void) {
    int code;
    EXPECT("hostname", "boat\n");
    EXPECT("id", "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n");
    EXPECT("echo $$ $A $HOME $PATH", "1 1 /root /bin:/usr/bin\n");
    EXPECT("pwd; ls -di / | grep -c /", "/\n1\n");
    EXPECT("ulimit -n; ulimit -Hn; umask", "100\n200\n0022\n");
    EXPECT("exit 0", "");
    run_script("exit 7", &code);
    CHECK_INT(code, 7);
    run_script("kill -9 $$; sleep 1", &code); /* PID 1 does not hear itself */
    run_script("echo x > /new && cat /new", &code);
    CHECK_INT(code, 0);
}

static void test_dir(void) {
    int code;
    autojson config = config_new();
    set_script(
        config,
        "cat /etc/passwd | head -1; echo hi > /made; cat /made; awk '{print $5}' /proc/self/mountinfo | grep -cx /");
    CHECK_STR(run_config(config, dir_plan(), false, &code), "root:x:0:0:root:/root:/bin/sh\nhi\n1\n");
    CHECK_INT(code, 0);
    json_set(config, "root", json_object());
    json_set_bool(json_get(config, "root"), "readonly", true);
    set_script(config, "echo hi > /made2; touch /dev/shm/x && echo ok");
    CHECK_STR(run_config(config, dir_plan(), false, &code),
              "/bin/sh: can't create /made2: Read-only file system\nok\n");
}

static void test_mounts(void) {
    EXPECT("awk '{print $5}' /proc/self/mountinfo | sort | head -3", "/\n/dev\n/dev/full\n");
    EXPECT("awk '$5 ~ /^.(proc|sys|dev|dev.pts|dev.shm|dev.mqueue|sys.fs.cgroup)$/ {print $5, $6}' "
           "/proc/self/mountinfo | sort",
           "/dev rw,nosuid\n/dev/mqueue rw,nosuid,nodev,noexec,relatime\n/dev/pts rw,nosuid,noexec,relatime\n"
           "/dev/shm rw,nosuid,nodev,noexec,relatime\n/proc rw,nosuid,nodev,noexec,relatime\n"
           "/sys ro,nosuid,nodev,noexec,relatime\n/sys/fs/cgroup ro,nosuid,nodev,noexec,relatime\n");
}

static void test_confined(void) {
    int code;
    EXPECT("cat /proc/keys /proc/timer_list | wc -c", "0\n");
    EXPECT("ls /sys/firmware | wc -l; touch /sys/firmware/x 2>/dev/null || echo no", "0\nno\n");
    EXPECT("(echo 1 > /proc/sysrq-trigger) 2>/dev/null || echo no", "no\n");
    EXPECT("(echo boat2 > /proc/sys/kernel/hostname) 2>/dev/null || echo no", "no\n");
    EXPECT("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0\n");
    EXPECT("grep -E 'Cap|NoNew|Seccomp:' /proc/self/status",
           "CapInh:\t0000000000000000\nCapPrm:\t00000000000000a1\nCapEff:\t00000000000000a1\n"
           "CapBnd:\t00000000000000a1\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
    EXPECT("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
    EXPECT("mount -t tmpfs x /mnt 2>/dev/null || echo no; unshare -U true 2>/dev/null || echo no", "no\nno\n");
    run_script("cat /proc/1/environ | tr '\\0' '\\n' | grep -c XDG", &code);
    CHECK_INT(code, 1);
}

static void test_devices(void) {
    EXPECT("echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c",
           " 00 00 00 00\n8\n");
    EXPECT("cd /dev; for f in null zero full random urandom tty; do [ -c $f ] && echo $f; done",
           "null\nzero\nfull\nrandom\nurandom\ntty\n");
    EXPECT("echo hi > /dev/stdout", "hi\n");
    EXPECT("for f in fd stdin ptmx; do readlink /dev/$f; done", "/proc/self/fd\n/proc/self/fd/0\npts/ptmx\n");
    EXPECT("ip link show lo | grep -c UP", "1\n");
    EXPECT("ls /dev | sort | tr '\\n' ' '",
           "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
}

static void test_user(void) {
    int code;
    autojson config = config_new();
    json_set_str(json_get(config, "annotations"), SPEC_ANN_USER, "app");
    json_set_str(json_get(config, "process"), "cwd", "/work/deep");
    set_script(config, "id; echo $HOME; pwd; echo out > /dev/stdout; grep -E 'CapPrm|CapEff' /proc/self/status");
    CHECK_STR(run_config(config, overlay_plan("upper-user"), false, &code),
              "uid=1000(app) gid=1000(app) groups=1000(app)\n/home/app\n/work/deep\nout\n"
              "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
    json_set_str(json_get(config, "annotations"), SPEC_ANN_USER, "nobody-here");
    struct run r = {.config = config, .plan = overlay_plan("upper-user"), .sh = shared_new()};
    struct err *e = runtime_userns_call(userns, run_inside, &r);
    CHECK(e != NULL);
    err_free(e);
}

static void check_exec_error(const char *arg, enum err_kind kind, const char *want) {
    autojson config = config_new();
    autostr struct str text = STR_INIT;
    struct json *args = json_array();
    json_push_str(args, arg);
    json_set(json_get(config, "process"), "args", args);
    struct run r = {.config = config, .plan = overlay_plan("upper"), .sh = shared_new()};
    autoerr e = runtime_userns_call(userns, run_inside, &r);
    CHECK(e && err_kind(e) == kind);
    if (e)
        err_format(e, &text);
    CHECK_STR(str_c(&text), want);
}

static void test_exec_errors(void) {
    check_exec_error("foo", ERR_EXEC_NOT_FOUND, "exec: \"foo\": executable file not found in $PATH");
    check_exec_error("/foo", ERR_EXEC_NOT_FOUND, "exec: \"/foo\": stat /foo: no such file or directory");
    check_exec_error("/etc", ERR_EXEC_DENIED, "exec: \"/etc\": is a directory");
    check_exec_error("/etc/passwd", ERR_EXEC_DENIED, "exec: \"/etc/passwd\": permission denied");
    check_exec_error("/bad", ERR_EXEC_DENIED, "exec /bad: exec format error");
    check_exec_error("/lost", ERR_EXEC_NOT_FOUND, "exec /lost: no such file or directory");
}

static void test_terminal(void) {
    int code;
    autojson config = config_new();
    set_script(config, "stty size; tty; ls -l /dev/console | cut -c1-3; readlink /proc/self/fd/0");
    CHECK_STR(run_config(config, overlay_plan("upper"), true, &code), "33 99\r\n/dev/pts/0\r\ncrw\r\n/dev/pts/0\r\n");
    CHECK_INT(code, 0);
}

static struct json *add_mount(struct json *config, const char *source, const char *dest, const char *option) {
    struct json *m = json_object(), *options = json_array();
    json_set_str(m, "type", "bind");
    json_set_str(m, "source", source);
    json_set_str(m, "destination", dest);
    json_push_str(options, "rbind");
    if (option)
        json_push_str(options, option);
    json_set(m, "options", options);
    json_push(json_get(config, "mounts"), m);
    return m;
}

static void test_binds(void) {
    int code;
    autojson config = config_new();
    autofree char *dir = mem_printf("%s/data", top);
    autofree char *file = mem_printf("%s/data/file", top);
    add_mount(config, dir, "/srv/a/b", "ro");
    add_mount(config, file, "/etc/given", NULL);
    add_mount(config, dir, "/evil/x", NULL); /* /evil is a link to a directory of the host */
    set_script(config, "cat /srv/a/b/file /etc/given; (echo x > /srv/a/b/y) 2>&1; echo more >> /etc/given; ls /evil/x");
    CHECK_STR(run_config(config, overlay_plan("upper-bind"), false, &code),
              "data\ndata\n/bin/sh: can't create /srv/a/b/y: Read-only file system\nfile\n");
    autofree char *escaped = mem_printf("%s/outside/x", top);
    CHECK(access(escaped, F_OK) < 0);
    autojson hidden = json_copy(config);
    add_mount(hidden, dir, "/proc/self/attr", NULL);
    struct run h = {.config = hidden, .plan = overlay_plan("upper-bind"), .sh = shared_new()};
    CHECK_ERR(runtime_userns_call(userns, run_inside, &h), ERR_DENIED);
    add_mount(config, "/nonexistent/dir", "/x", NULL);
    struct run r = {.config = config, .plan = overlay_plan("upper-bind"), .sh = shared_new()};
    CHECK_ERR(runtime_userns_call(userns, run_inside, &r), ERR_NOT_FOUND);
}

/* An image whose /dev, /proc or /etc lead out of it. */
static void test_hostile(void) {
    int code;
    autofree char *out = mem_printf("%s/outside", top);
    autofree char *dev = mem_printf("%s/links/dev", top);
    autofree char *proc = mem_printf("%s/links/proc", top);
    struct rootfs_plan plan = overlay_plan("upper-links");
    mem_set(&plan.lowers.v[0], "links");
    CHECK(symlink(out, dev) == 0);
    autojson config = config_new();
    set_script(config, "echo hi > /dev/null; echo hi");
    CHECK_STR(run_config(config, plan, false, &code), "hi\n");
    autofree char *null = mem_printf("%s/outside/null", top);
    CHECK(access(null, F_OK) < 0);
    CHECK(symlink("/tmp", proc) == 0);
    struct run r = {.config = config, .plan = overlay_plan("upper-links2"), .sh = shared_new()};
    mem_set(&r.plan.lowers.v[0], "links");
    struct err *e = runtime_userns_call(userns, run_inside, &r);
    CHECK(e != NULL);
    err_free(e);
    autojson magic = config_new();
    json_set_str(json_get(magic, "process"), "cwd", "/proc/self/fd/7");
    set_script(magic, "pwd");
    struct run m = {.config = magic, .plan = overlay_plan("upper"), .sh = shared_new()};
    e = runtime_userns_call(userns, run_inside, &m);
    CHECK(e != NULL);
    err_free(e);
}

/* ---- exec into a running container ---- */

struct background {
    pid_t monitor, init;
    int pidfd, stop;
};

/* The first process is `sleep`; the test's child plays the monitor until its pipe is closed. */
static struct err *hold(void *ctx) {
    int *fds = ctx;
    char byte;
    autojson config = config_new();
    struct runtime_proc proc;
    set_script(config, "exec sleep 1000");
    const struct rootfs_plan plan = overlay_plan("upper-exec");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct runtime_create c = {
        .config = config, .rootfs = &plan, .id = "test", .stdio = {null, null, null}, .cgroup_fd = -1};
    autofd int run = -1;
    TRY(runtime_create(&c, &proc));
    TRY(runtime_start(&proc));
    TRY(fd_open_dir(AT_FDCWD, host->run_root, &run));
    TRY(runtime_userns_publish(host, run, proc.pid));
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
    CHECK_OK(proc_wait_end(b.pidfd, 5000000000, &ended));
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
                                   .terminal = i % 2,
                                   .cgroup_fd = -1};
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

static struct json *hook(const char *path, const char *script) {
    struct json *h = json_object(), *args = json_array(), *list = json_array();
    json_set_str(h, "path", path);
    json_push_str(args, "sh");
    json_push_str(args, "-c");
    json_push_str(args, script);
    json_set(h, "args", args);
    json_push(list, h);
    return list;
}

static void test_hooks(void) {
    int code;
    autojson config = config_new();
    struct json *hooks = json_object();
    autofree char *create = mem_printf("/bin/cat > %s/h1", top);
    autofree char *inside = mem_printf("/bin/cat > %s/h2", top);
    autofree char *stop = mem_printf("/bin/cat > %s/h3", top);
    json_set(hooks, "createRuntime", hook("/bin/sh", create));
    json_set(hooks, "createContainer", hook("/bin/sh", inside));
    json_set(hooks, "startContainer", hook("/bin/sh", "/bin/cat > /tmp/h4"));
    json_set(hooks, "poststop", hook("/bin/sh", stop));
    json_set(config, "hooks", hooks);
    set_script(config, "grep -c '\"status\":\"created\"' /tmp/h4");
    CHECK_STR(run_config(config, overlay_plan("upper-hooks"), false, &code), "1\n");
    CHECK_OK(runtime_poststop(config, "test", top));
    shell("grep -q '\"status\":\"creating\"' h1; grep -q '\"status\":\"creating\"' h2\n"
          "grep -q '\"status\":\"stopped\"' h3");
    json_set(hooks, "createRuntime", hook("/bin/sh", "exit 3"));
    struct run r = {.config = config, .plan = overlay_plan("upper-hooks"), .sh = shared_new()};
    CHECK_ERR(runtime_userns_call(userns, run_inside, &r), ERR_SYSTEM);
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

static void test_fuse(void) {
    autojson config = config_new();
    struct run r = {.config = config, .plan = overlay_plan("upper-fuse"), .sh = shared_new()};
    if (access("/usr/bin/fuse-overlayfs", X_OK) < 0 || access("/dev/fuse", R_OK | W_OK) < 0) {
        printf("no fuse-overlayfs here: skipped\n");
        return;
    }
    r.plan.driver = ROOTFS_FUSE_OVERLAY;
    static char program[] = "/usr/bin/fuse-overlayfs";
    r.plan.fuse_program = program;
    set_script(config,
               "echo x > /new; cat /new /etc/passwd | head -2; awk '$5 == \"/\" {print $9}' /proc/self/mountinfo");
    CHECK_OK(runtime_userns_call(userns, run_inside, &r));
    CHECK_STR(r.sh->out, "x\nroot:x:0:0:root:/root:/bin/sh\nfuse-overlayfs\n");
}

/* Only where a cgroup was delegated to the user. */
static void test_cgroup(void) {
    static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    autofree char *path = NULL;
    int fd = -1;
    CHECK_OK(runtime_cgroup_make(host, id, &fd, &path));
    if (fd < 0) {
        printf("no delegated cgroup here: skipped\n");
        return;
    }
    CHECK(str_ends(path, "/coracle-0123456789ab"));
    autojson config = config_new();
    struct run r = {.config = config, .plan = overlay_plan("upper"), .sh = shared_new(), .cgroup = fd};
    set_script(config, "grep ^0: /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs");
    CHECK_OK(runtime_userns_call(userns, run_inside, &r));
    CHECK_STR(r.sh->out, "0::/\n/sys/fs/cgroup/cgroup.procs\n");
    CHECK_INT(runtime_cgroup_oom_kills(fd), 0);
    runtime_cgroup_remove(path);
    CHECK(access(path, F_OK) < 0);
    fd_close(fd);
}

static void test_init_program(void) {
    autojson config = config_new();
    struct run r = {.config = config, .plan = overlay_plan("upper-init"), .sh = shared_new()};
    char exe[4096] = "";
    (void)!readlink("/proc/self/exe", exe, sizeof exe - 1);
    autofree char *program = mem_printf("%.*s/../coracle-init", (int)(path_base(exe) - exe), exe);
    r.init = program;
    if (access(program, X_OK) < 0)
        return;
    json_set_str(json_get(config, "annotations"), SPEC_ANN_INIT, "true");
    set_script(config,
               "cat /proc/1/cmdline | tr '\\0' ' '; echo; (echo x > /proc/1/exe) 2>/dev/null || echo no; exit 5");
    CHECK_OK(runtime_userns_call(userns, run_inside, &r));
    CHECK(str_starts(r.sh->out, "/sbin/docker-init -- /bin/sh -c "));
    CHECK(str_ends(r.sh->out, "\nno\n"));
    CHECK_INT(r.sh->code, 5);
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
        const struct runtime_create c = {.config = r->config,
                                         .rootfs = &plan,
                                         .id = "test",
                                         .bundle = top,
                                         .stdio = {null, null, null},
                                         .cgroup_fd = -1};
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

/* ---- set-up
 * ---------------------------------------------------------------------------------------------------------------------
 */

static void become_user(void) {
    const char *name = getenv("CORACLE_TEST_USER");
    const struct passwd *pw = getpwnam(name ? name : "crtest");
    if (geteuid() != 0)
        return;
    if (!pw || setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0) {
        printf("%s: skipped, no unprivileged user\n", __FILE__);
        exit(0);
    }
    setenv("HOME", pw->pw_dir, 1);
    unsetenv("XDG_RUNTIME_DIR");
    (void)prctl(PR_SET_DUMPABLE, 1);
}

static void put(const char *name, const char *text, mode_t mode) {
    autofree char *path = mem_printf("%s/%s", top, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    CHECK_OK(io_write_all(fd, text, strlen(text)));
    fd_close(fd);
}

static void test_setup(void) {
    const char *scratch = getenv("CORACLE_TEST_DIR");
    become_user();
    char *dir = mem_printf("%s/coracle-rt-XXXXXX", scratch ? scratch : "/tmp");
    top = mkdtemp(dir);
    CHECK(top != NULL);
    shell("mkdir -p empty data outside links home rootfs/bin rootfs/etc rootfs/root rootfs/tmp rootfs/mnt "
          "rootfs/home/app\n"
          "cp /bin/busybox rootfs/bin/busybox; chmod 1777 rootfs/tmp\n"
          "for a in $(rootfs/bin/busybox --list); do ln -s busybox rootfs/bin/$a 2>/dev/null || true; done\n"
          "ln -s \"$PWD/outside\" rootfs/evil; echo data > data/file\n");
    put("rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n", 0644);
    put("rootfs/etc/group", "root:x:0:root\nwheel:x:10:root\napp:x:1000:\n", 0644);
    put("rootfs/bad", "this is no program", 0755);
    put("rootfs/lost", "#!/no/such/interpreter\n", 0755);
    CHECK_OK(host_probe(NULL, &host));
    mem_set(&host->run_root, dir);
    CHECK_OK(runtime_userns_get(host, &userns, NULL));
}

static struct err *remove_inside(void *ctx) { return io_remove_tree(AT_FDCWD, ctx); }

static void test_done(void) {
    CHECK_OK(runtime_userns_call(userns, remove_inside, top));
    host_free(host);
    fd_close(userns);
}

int main(int argc, char **argv) {
    const struct unit_test tests[] = {
        {"set-up", test_setup},
        {"basics", test_basics},
        {"directory root", test_dir},
        {"mounts", test_mounts},
        {"confined", test_confined},
        {"devices", test_devices},
        {"user", test_user},
        {"exec errors", test_exec_errors},
        {"terminal", test_terminal},
        {"binds", test_binds},
        {"hostile images", test_hostile},
        {"exec", test_exec},
        {"hooks", test_hooks},
        {"join", test_join},
        {"fuse-overlayfs", test_fuse},
        {"init program", test_init_program},
        {"cgroup", test_cgroup},
        {"one user namespace", test_one_userns},
        {"orphan", test_orphan},
        {"leaks", test_leaks},
    };
    int bad = 0;
    size_t n = sizeof tests / sizeof *tests;
    bool timing = argc > 1 && strcmp(argv[1], "bench") == 0;
    for (size_t i = 0; i < (timing ? 1 : n); i++) {
        int before = unit_failures;
        tests[i].fn();
        if (unit_failures != before) {
            fprintf(stderr, "FAIL %s\n", tests[i].name);
            bad++;
        }
    }
    if (timing)
        bench();
    test_done();
    printf("%s: %zu passed, %d failed\n", __FILE__, n - (size_t)bad, bad);
    return bad != 0;
}
