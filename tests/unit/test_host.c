/* Host facts from a made-up environment, subordinate ids, configuration, and rtnetlink. */
#include "unit.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "userns_fixture.h"

static char dir_path[64];

static void set_up(void) {
    snprintf(dir_path, sizeof dir_path, "/tmp/coracle-test-host-XXXXXX");
    CHECK(mkdtemp(dir_path) != NULL);
    clearenv();
    setenv("HOME", "/home/somebody", 1);
    setenv("USER", "somebody", 1);
    setenv("XDG_RUNTIME_DIR", dir_path, 1);
}

static void tear_down(void) { CHECK_OK(io_remove_tree(AT_FDCWD, dir_path)); }

static void check_field(const char *root, size_t offset, const char *want) {
    struct host *h = NULL;
    CHECK_OK(host_probe(root, &h));
    if (h)
        CHECK_STR(*(char **)((char *)h + offset), want);
    host_free(h);
}

static void test_places(void) {
    set_up();
    autofree char *run = mem_printf("%s/coracle", dir_path);
    check_field(NULL, offsetof(struct host, data_root), "/home/somebody/.local/share/coracle");
    check_field(NULL, offsetof(struct host, config_dir), "/home/somebody/.config/coracle");
    check_field(NULL, offsetof(struct host, docker_config_dir), "/home/somebody/.docker");
    check_field(NULL, offsetof(struct host, run_root), run);
    check_field(NULL, offsetof(struct host, user), "somebody");
    setenv("XDG_DATA_HOME", "relative", 1); /* does not count */
    check_field(NULL, offsetof(struct host, data_root), "/home/somebody/.local/share/coracle");
    setenv("XDG_DATA_HOME", "/data", 1);
    check_field(NULL, offsetof(struct host, data_root), "/data/coracle");
    setenv("CORACLE_ROOT", "/r", 1);
    check_field(NULL, offsetof(struct host, data_root), "/r");
    check_field("/given", offsetof(struct host, data_root), "/given");
    setenv("XDG_CONFIG_HOME", "/c", 1);
    check_field(NULL, offsetof(struct host, config_dir), "/c/coracle");
    setenv("DOCKER_CONFIG", "/dc", 1);
    check_field(NULL, offsetof(struct host, docker_config_dir), "/dc");
    unsetenv("USER");
    setenv("LOGNAME", "other", 1);
    check_field(NULL, offsetof(struct host, user), "other");
    autofree char *cwd = getcwd(NULL, 0), *relative = mem_printf("%s/rel", cwd);
    check_field("rel", offsetof(struct host, data_root), relative);
    tear_down();
}

/* The fallback has one name for all processes of a user: with a /tmp of its own, where that can be had, this does not
 * meet those of the tests beside it. */
static bool have_own_tmp(void) {
    return become_root(CLONE_NEWNS) && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0;
}

static void check_fallback(bool alone) {
    autofree char *fallback = mem_printf("/tmp/coracle-%u", (unsigned)getuid());
    struct host *h = NULL;
    CHECK_INT(chmod(dir_path, 0770), 0); /* others may write: not used */
    CHECK_OK(host_probe(NULL, &h));
    if (h)
        CHECK_STR(h->run_root, fallback);
    host_free(take_ptr(&h));
    struct stat st;
    CHECK(lstat(fallback, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0700);
    unsetenv("XDG_RUNTIME_DIR");
    check_field(NULL, offsetof(struct host, run_root), fallback);
    if (alone) {
        CHECK_INT(chmod(fallback, 0755), 0);
        CHECK_ERR(host_probe(NULL, &h), ERR_DENIED);
        CHECK_INT(rmdir(fallback), 0);
        CHECK_INT(symlink(dir_path, fallback), 0);
        CHECK_ERR(host_probe(NULL, &h), ERR_DENIED);
        CHECK_INT(unlink(fallback), 0);
    }
}

static void test_run_root(void) {
    fflush(NULL);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        bool alone = have_own_tmp();
        unit_failures = 0;
        set_up();
        check_fallback(alone);
        tear_down();
        _exit(unit_failures != 0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

static void test_facts(void) {
    set_up();
    struct host *h = NULL;
    const int64_t bound = 2 * NSEC_PER_MSEC;
    int64_t best = INT64_MAX;
    for (int i = 0; i < 20 || (best >= bound && i < 2000); i++) { /* on a busy machine most are interrupted */
        host_free(h);
        int64_t before = clock_boot();
        CHECK_OK(host_probe(NULL, &h));
        int64_t took = clock_boot() - before;
        best = took < best ? took : best;
    }
    CHECK(best < bound);
    CHECK_INT(h->uid, getuid());
    CHECK(h->kernel[0] && h->hostname[0] && h->arch[0]);
    CHECK_INT(strlen(h->boot_id), 36);
    CHECK_STR(host_env(h, "HOME"), "/home/somebody");
    CHECK(host_env(h, "HOM") == NULL && host_env(h, "NOTHING") == NULL);
    CHECK(strstr(h->libexec_dir, "libexec/coracle") || strstr(h->libexec_dir, "build") ||
          str_ends(h->libexec_dir, "/unit"));
    char *path = NULL;
    CHECK_OK(host_find_program(h, "sh", NULL, &path));
    CHECK(path && path[0] == '/');
    free(take_ptr(&path));
    autoerr e = host_find_program(h, "no-such-program", "some-package", &path);
    CHECK(e && err_kind(e) == ERR_NOT_FOUND && strstr(err_hint_text(e), "some-package"));
    host_free(h);
    tear_down();
}

static void test_id_map(void) {
    struct host h = {.uid = 2000, .gid = 2000, .user = (char[]){"crtest"}};
    struct id_map m = {0};
    struct err *e = host_id_map(&h, &m);
    if (!e) { /* the machine has that user */
        CHECK_INT(m.uid[0].outside, 2000);
        CHECK_INT(m.uid[0].inside, 0);
        CHECK_INT(m.uid[0].count, 1);
        CHECK(m.n_uid >= 2 && m.n_gid >= 2);
        CHECK_INT(m.uid[1].inside, 1);
        CHECK(m.uid[1].count >= 1);
    }
    err_free(e);
    struct host nobody = {.uid = 4000000, .gid = 4000000, .user = (char[]){"no-such-user-here"}};
    e = host_id_map(&nobody, &m);
    CHECK(e && err_kind(e) == ERR_NOT_FOUND && strstr(err_hint_text(e), "usermod --add-subuids"));
    err_free(e);
}

static struct err *load_text(const char *text, struct config **ret) {
    autofree char *path = mem_printf("%s/config.json", dir_path);
    TRY(io_write_file(AT_FDCWD, path, text, strlen(text), 0600, 0));
    return config_load(dir_path, ret);
}

static void test_config(void) {
    set_up();
    struct config *c = NULL;
    CHECK_OK(config_load(dir_path, &c));
    CHECK_STR(c->log_driver, "json-file");
    CHECK_INT(c->max_concurrent_downloads, 3);
    config_free(take_ptr(&c));
    CHECK_OK(load_text("{\"registry-mirrors\":[\"https://m\"],\"dns\":[\"1.1.1.1\"],\"log-opts\":{\"max-size\":\"1m\"},"
                       "\"default-shm-size\":\"128M\",\"init\":true,\"storage-driver\":\"overlay2\","
                       "\"default-ulimits\":{\"nofile\":{\"Name\":\"nofile\",\"Soft\":1024,\"Hard\":2048}}}",
                       &c));
    CHECK_STR(c->registry_mirrors.v[0], "https://m");
    CHECK_STR(strmap_get(&c->log_opts, "max-size"), "1m");
    CHECK_INT(c->shm_size, 128 << 20);
    CHECK(c->init && !c->no_new_privileges);
    CHECK_STR(c->storage_driver, "overlay");
    CHECK_STR(c->default_ulimits.v[0], "nofile=1024:2048");
    config_free(take_ptr(&c));
    CHECK_OK(load_text("{\"default-shm-size\":67108864}", &c));
    CHECK_INT(c->shm_size, 64 << 20);
    config_free(take_ptr(&c));
    CHECK_ERR(load_text("{\"Init\":true}", &c), ERR_USAGE);
    CHECK_ERR(load_text("{\"init\":1}", &c), ERR_CORRUPT);
    CHECK_ERR(load_text("[]", &c), ERR_CORRUPT);
    CHECK_ERR(load_text("{\"default-shm-size\":\"1x\"}", &c), ERR_USAGE);
    CHECK_ERR(load_text("{\"storage-driver\":\"btrfs\"}", &c), ERR_USAGE);
    CHECK_ERR(load_text("{\"max-concurrent-downloads\":0}", &c), ERR_USAGE);
    CHECK(c == NULL);
    autoerr e = load_text("{\"nonsense\":1}", &c);
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    CHECK(strstr(str_c(&text), "config.json") && strstr(str_c(&text), "nonsense"));
    tear_down();
}

static void test_link_up(void) {
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
            _exit(0); /* not allowed here */
        struct ifreq ifr = {.ifr_name = "lo"};
        int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0 || ifr.ifr_flags & IFF_UP)
            _exit(2);
        if (sys_link_up("lo") < 0)
            _exit(3);
        if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0 || !(ifr.ifr_flags & IFF_UP))
            _exit(4);
        _exit(sys_link_up("nope0") == 0 || sys_link_up("a-name-that-is-too-long") == 0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

UNIT_MAIN({"places", test_places}, {"run_root", test_run_root}, {"facts", test_facts}, {"id_map", test_id_map},
          {"config", test_config}, {"link_up", test_link_up})
