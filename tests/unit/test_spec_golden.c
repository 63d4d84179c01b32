/*
 * Whole specs against files in tests/unit/golden. After a wanted change: UPDATE_GOLDEN=1
 * build/gcc/unit/test_spec_golden, and read the difference.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "spec_fixture.h"

#define GOLDEN_DIR "tests/unit/golden"

static char *render(const struct spec *s) {
    autojson all = json_object();
    autostr struct str text = STR_INIT;
    json_set(all, "config", json_copy(s->config));
    json_set(all, "options", json_copy(s->options));
    json_set(all, "summary", json_copy(s->summary));
    json_set_strv(all, "warnings", &s->warnings);
    json_render(all, JSON_PRETTY, &text);
    str_append_c(&text, '\n');
    return str_take(&text);
}

/* The first line that differs, for a readable failure. */
static void show_difference(const char *name, const char *got, const char *want) {
    unsigned line = 1;
    size_t start = 0, i = 0;
    for (; got[i] && got[i] == want[i]; i++)
        if (got[i] == '\n') {
            line++;
            start = i + 1;
        }
    fprintf(stderr, "%s:%u\n   got: %.*s\n  want: %.*s\n", name, line, (int)strcspn(got + start, "\n"), got + start,
            (int)strcspn(want + start, "\n"), want + start);
}

static void check_golden(const struct fixture *f, const char *name) {
    struct spec *s = NULL;
    CHECK_OK(fixture_build(f, &s));
    if (!s)
        return;
    autofree char *got = render(s);
    autofree char *file = mem_printf("%s.json", name);
    autofd int dir = -1;
    spec_free(s);
    CHECK_OK(fd_open_dir(AT_FDCWD, GOLDEN_DIR, &dir));
    if (getenv("UPDATE_GOLDEN"))
        CHECK_OK(io_write_file(dir, file, got, strlen(got), 0644, 0));
    autostr struct str want = STR_INIT;
    CHECK_OK(io_read_file(dir, file, 1 << 20, &want));
    bool same = strcmp(got, str_c(&want)) == 0;
    CHECK(same);
    if (!same)
        show_difference(file, got, str_c(&want));
}

/* run app:1 */
static void test_plain(void) {
    autofixture f = fixture_new();
    mem_set(&f.o.image, "app:1");
    check_golden(&f, "plain");
}

/* The flags of an ordinary day. */
static void test_daily(void) {
    autofixture f = fixture_new();
    mem_set(&f.o.image, "app:1");
    f.o.tty = f.o.interactive = f.o.attach_stdin = f.o.rm = f.o.init = true;
    mem_set(&f.o.hostname, "box");
    mem_set(&f.o.user, "1000:1000");
    mem_set(&f.o.workdir, "/work");
    mem_set(&f.o.stop_signal, "TERM");
    f.o.stop_timeout = 3;
    strv_split(&f.o.command, "sh -c echo", ' ');
    strv_push(&f.o.command, "two words");
    strv_push(&f.o.env, "A=1");
    strv_push(&f.o.env, "EDITOR");
    strv_push(&f.o.env, "LANG");
    strv_push(&f.o.env_files, "A=0\nB=file\nEDITOR\nNOWHERE\n");
    strv_push(&f.o.labels, "z=own");
    strv_push(&f.o.labels, "a");
    strv_push(&f.o.volumes, "./data:/work/data/deep:ro");
    strv_push(&f.o.volumes, "/srv:/work");
    strv_push(&f.o.mounts, "type=bind,src=../x,dst=/etc/resolv.conf,readonly,bind-propagation=rslave");
    strv_push(&f.o.mounts, "type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=700");
    strv_push(&f.o.tmpfs, "/run:rw,exec,size=64m");
    strv_push(&f.o.add_host, "db:192.0.2.7");
    strv_push(&f.o.dns, "192.0.2.53");
    strv_push(&f.o.ulimit, "nofile=1024:2048");
    strv_push(&f.o.group_add, "video");
    strv_push(&f.o.log_opt, "max-size=1m");
    check_golden(&f, "daily");
}

/* Everything closed. */
static void test_strict(void) {
    autofixture f = fixture_new();
    mem_set(&f.o.image, "app:1");
    f.o.read_only = true;
    strv_push(&f.o.networks, "none");
    mem_set(&f.o.ipc, "none");
    mem_set(&f.o.entrypoint, "/init");
    f.o.entrypoint_set = true;
    strv_push(&f.o.cap_drop, "ALL");
    strv_push(&f.o.cap_add, "net_bind_service");
    strv_push(&f.o.security_opt, "no-new-privileges");
    strv_push(&f.o.security_opt, "mask=/proc/version");
    strv_push(&f.o.sysctl, "net.core.somaxconn=1024");
    strv_push(&f.o.sysctl, "kernel.shmmax=1");
    strv_push(&f.o.publish, "127.0.0.1:8080-8081:80-81");
    strv_push(&f.o.publish, "53:53/udp");
    strv_push(&f.o.expose, "9000");
    strv_push(&f.o.annotations, "who=me");
    check_golden(&f, "strict");
}

/* Everything open. */
static void test_open(void) {
    autofixture f = fixture_new();
    mem_set(&f.o.image, "app:1");
    f.o.privileged = f.o.publish_all = true;
    char **const modes[] = {&f.o.pid, &f.o.ipc, &f.o.uts, &f.o.cgroupns, &f.o.userns};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        mem_set(modes[i], "host");
    strv_push(&f.o.networks, "host");
    strv_push(&f.o.device, "/dev/snd:/dev/snd:r");
    f.o.oom_score_adj = 500;
    check_golden(&f, "open");
}

/* No image, other containers' namespaces, an unknown cgroup version. */
static void test_shared(void) {
    autofixture f = fixture_new();
    f.image = NULL;
    f.host.cgroup = CGROUP_NONE;
    strv_push(&f.o.networks, "container:web");
    mem_set(&f.o.pid, "container:web");
    mem_set(&f.o.ipc, "container:web");
    mem_set(&f.o.domainname, "example.org");
    f.o.no_healthcheck = true;
    strv_push(&f.o.command, "true");
    check_golden(&f, "shared");
}

UNIT_MAIN({"plain", test_plain}, {"daily", test_daily}, {"strict", test_strict}, {"open", test_open},
          {"shared", test_shared})
