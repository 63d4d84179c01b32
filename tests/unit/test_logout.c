/* What a logout does to processes, by the files of a made-up machine. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/logout.h"
#include "base/mem.h"
#include "base/path.h"

#define SESSION "0::/user.slice/user-1000.slice/session-3.scope\n"
#define MANAGER "0::/user.slice/user-1000.slice/user@1000.service/app.slice/terminal.scope\n"

static char root[64];

static void write_at(const char *path, const char *text) {
    autofree char *full = mem_printf("%s%s", root, path);
    autofree char *dir = mem_dupn(full, strlen(full) - strlen(path_base(path)) - 1);
    CHECK_OK(io_mkdirs(AT_FDCWD, dir, 0755));
    CHECK_OK(io_write_file(AT_FDCWD, full, text, strlen(text), 0644, 0));
}

static void set_up(const char *cgroup) {
    snprintf(root, sizeof root, "/tmp/coracle-test-logout-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    write_at("/run/systemd/system/there", "");
    write_at("/proc/self/cgroup", cgroup);
}

static void tear_down(void) { CHECK_OK(io_remove_tree(AT_FDCWD, root)); }

static void check_end(enum logout_end want) { CHECK_INT(logout_end(root, "ann", 1000, 0), want); }

static void test_session(void) {
    set_up(SESSION);
    check_end(LOGOUT_LEAVES); /* as distributions have it */
    write_at("/usr/lib/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n");
    check_end(LOGOUT_SESSION);
    write_at("/var/lib/systemd/linger/ann", ""); /* keeps the manager, not the session */
    check_end(LOGOUT_SESSION);
    write_at("/etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n[Other]\nKillUserProcesses=yes\n");
    check_end(LOGOUT_LEAVES);
    write_at("/usr/lib/systemd/logind.conf.d/20-kill.conf", "[Login]\n KillUserProcesses = TRUE \r\n");
    check_end(LOGOUT_SESSION);
    write_at("/etc/systemd/logind.conf.d/10-earlier.conf", "[Login]\nKillUserProcesses=no\n");
    check_end(LOGOUT_SESSION);
    write_at("/run/systemd/logind.conf.d/20-kill.conf", "[Login]\n; hides the other of that name\n");
    check_end(LOGOUT_LEAVES);
    write_at("/etc/systemd/logind.conf.d/30-later.conf", "[Login]\nKillUserProcesses=1");
    check_end(LOGOUT_SESSION);
    write_at("/etc/systemd/logind.conf.d/ignored", "[Login]\nKillUserProcesses=no\n");
    check_end(LOGOUT_SESSION);
    tear_down();
}

static void test_names(void) {
    set_up("12:pids:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n0::/\n");
    write_at("/etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=bob  ann\n");
    check_end(LOGOUT_LEAVES);
    CHECK_INT(logout_end(root, "an", 1000, 0), LOGOUT_SESSION);
    CHECK_INT(logout_end(root, "root", 1000, 0), LOGOUT_LEAVES);
    CHECK_INT(logout_end(root, "an", 100, 0), LOGOUT_LEAVES); /* in the session of another */
    write_at("/etc/systemd/logind.conf.d/a.conf", "[Login]\nKillExcludeUsers=\nKillOnlyUsers=bob\n");
    check_end(LOGOUT_LEAVES);
    CHECK_INT(logout_end(root, "bob", 1000, 0), LOGOUT_SESSION);
    write_at("/etc/systemd/logind.conf.d/b.conf", "[Login]\nKillOnlyUsers=ann\nKillUserProcesses=no\n");
    check_end(LOGOUT_SESSION);
    tear_down();
}

static void test_manager(void) {
    set_up(MANAGER);
    check_end(LOGOUT_MANAGER);
    write_at("/var/lib/systemd/linger/ann", "");
    check_end(LOGOUT_LEAVES);
    write_at("/etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n"); /* sessions only */
    check_end(LOGOUT_LEAVES);
    tear_down();
}

/* A monitor that systemd has moved, and one that tells nothing of itself (hidepid). */
static void test_other(void) {
    set_up(SESSION);
    write_at("/proc/77/cgroup", MANAGER);
    CHECK_INT(logout_end(root, "ann", 1000, 77), LOGOUT_MANAGER);
    CHECK_INT(logout_end(root, "ann", 1000, 78), LOGOUT_LEAVES);
    tear_down();
    set_up(MANAGER);
    write_at("/proc/77/cgroup", SESSION);
    CHECK_INT(logout_end(root, "ann", 1000, 77), LOGOUT_LEAVES);
    CHECK_INT(logout_end(root, "ann", 1000, 78), LOGOUT_MANAGER);
    tear_down();
}

static void test_elsewhere(void) {
    set_up("0::/system.slice/cron.service\n");
    write_at("/etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n");
    check_end(LOGOUT_LEAVES);
    tear_down();
    set_up(MANAGER);
    autofree char *booted = mem_printf("%s/run/systemd", root);
    CHECK_OK(io_remove_tree(AT_FDCWD, booted));
    check_end(LOGOUT_LEAVES); /* no systemd */
    tear_down();
}

static void test_ways(void) {
    CHECK(!logout_way_out(LOGOUT_LEAVES));
    CHECK(strstr(logout_way_out(LOGOUT_SESSION), "systemd-run --user --scope"));
    CHECK_STR(logout_way_out(LOGOUT_MANAGER), "loginctl enable-linger");
}

UNIT_MAIN({"session", test_session}, {"names", test_names}, {"manager", test_manager}, {"other", test_other},
          {"elsewhere", test_elsewhere}, {"ways", test_ways})
