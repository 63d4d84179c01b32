/* The runtime from an OCI config to the end of a process: roots, mounts, devices, users, errors, hooks, joined
 * namespaces. */
#include "runtime_fixture.h"

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
    autocgroup g = RUNTIME_CGROUP_NONE;
    CHECK_OK(runtime_cgroup_make(host, id, NULL, &g));
    if (g.v2 < 0) {
        printf("no delegated cgroup here: skipped\n");
        return;
    }
    CHECK(str_ends(g.paths.v[0], "/coracle-0123456789ab"));
    autojson config = config_new();
    struct run r = {.config = config, .plan = overlay_plan("upper"), .sh = shared_new(), .cgroup = &g};
    set_script(config, "grep ^0: /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs");
    CHECK_OK(runtime_userns_call(userns, run_inside, &r));
    CHECK_STR(r.sh->out, "0::/\n/sys/fs/cgroup/cgroup.procs\n");
    CHECK_INT(runtime_cgroup_oom_kills(&g), 0);
    runtime_cgroup_remove(&g.paths);
    CHECK(access(g.paths.v[0], F_OK) < 0);
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

int main(void) {
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
        {"hooks", test_hooks},
        {"fuse-overlayfs", test_fuse},
        {"init program", test_init_program},
        {"cgroup", test_cgroup},
    };
    return run_tests(__FILE__, tests, sizeof tests / sizeof *tests, NULL);
}
