/*
 * runtime_fixture: a busybox root made on the spot, and runs in it, as an unprivileged user with subordinate ids. Run
 * by root the test becomes the user named in CORACLE_TEST_USER (default crtest) and skips where there is none.
 */
#pragma once

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

#include "base/clock.h"
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

static inline void shell(const char *text) {
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
    const struct runtime_cgroup *cgroup; /* or NULL */
    struct shared *sh;
};

static inline struct json *config_new(void) {
    struct json *j = NULL;
    CHECK_OK(json_parse(config_text, sizeof config_text - 1, "test", 0, &j));
    return j;
}

static inline void set_script(struct json *config, const char *script) {
    struct json *args = json_array();
    json_push_str(args, "/bin/sh");
    json_push_str(args, "-c");
    json_push_str(args, script);
    json_set(json_get(config, "process"), "args", args);
}

static inline void read_out(int fd, char *to, size_t size) {
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(fd, to + len, size - 1 - len)) > 0)
        len += (size_t)n;
    to[len] = '\0';
}

static inline struct err *run_inside(void *ctx) {
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
                               .cgroup = r->cgroup};
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

static inline struct shared *shared_new(void) {
    struct shared *sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sh->code = -1;
    return sh;
}

static inline struct rootfs_plan dir_plan(void) {
    static struct rootfs_plan p;
    if (!p.base_dir) {
        p = (struct rootfs_plan){.driver = ROOTFS_DIR, .base_dir = top};
        strv_push(&p.lowers, "rootfs");
    }
    return p;
}

static inline struct rootfs_plan overlay_plan(const char *upper) {
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
static inline const char *run_config(struct json *config, struct rootfs_plan plan, bool terminal, int *ret_code) {
    static struct shared *sh;
    if (!sh)
        sh = shared_new();
    memset(sh, 0, sizeof *sh);
    struct run r = {.config = config, .plan = plan, .terminal = terminal, .sh = sh};
    CHECK_OK(runtime_userns_call(userns, run_inside, &r));
    *ret_code = sh->code;
    return sh->out;
}

static inline const char *run_script(const char *script, int *ret_code) {
    autojson config = config_new();
    set_script(config, script);
    struct rootfs_plan plan = overlay_plan("upper");
    return run_config(config, plan, false, ret_code);
}

static inline void expect(const char *script, const char *want, const char *file, int line) {
    int code;
    const char *out = run_script(script, &code);
    if (strcmp(out, want) != 0 || code != 0) {
        fprintf(stderr, "%s:%d: %s: code %d\n   got: %s\n  want: %s\n", file, line, script, code, out, want);
        unit_failures++;
    }
}
#define EXPECT(script, want) expect(script, want, __FILE__, __LINE__)

/* ---- set-up ---- */

static inline void become_user(void) {
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

static inline void put(const char *name, const char *text, mode_t mode) {
    autofree char *path = mem_printf("%s/%s", top, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    CHECK_OK(io_write_all(fd, text, strlen(text)));
    fd_close(fd);
}

static inline void test_setup(void) {
    const char *scratch = getenv("CORACLE_TEST_DIR");
    become_user();
    umask(022); /* the container's users are others */
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

static inline struct err *remove_inside(void *ctx) { return io_remove_tree(AT_FDCWD, ctx); }

static inline void test_done(void) {
    CHECK_OK(runtime_userns_call(userns, remove_inside, top));
    host_free(host);
    fd_close(userns);
}

static inline int run_tests(const char *file, const struct unit_test *tests, size_t n, void (*then)(void)) {
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        int before = unit_failures;
        tests[i].fn();
        if (unit_failures != before) {
            fprintf(stderr, "FAIL %s\n", tests[i].name);
            bad++;
        }
    }
    if (then)
        then();
    test_done();
    printf("%s: %zu passed, %d failed\n", file, n - (size_t)bad, bad);
    return bad != 0;
}
