/* The user and group resolution of the runtime: docker's rules, and that nonsense never becomes root. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/str.h"
#include "runtime/runtime.h"
#include "runtime/user_int.h"
#include "unit.h"

static const char passwd_text[] = "root:x:0:0:root:/root:/bin/bash\n"
                                  "broken\n"
                                  "nouid:x::7::/x:/bin/sh\n"
                                  "neg:x:-1:0::/x:/bin/sh\n"
                                  "big:x:4294967296:0::/x:/bin/sh\n"
                                  "hex:x:0x10:0::/x:/bin/sh\n"
                                  "plus:x:+5:0::/x:/bin/sh\n"
                                  "space:x: 5:0::/x:/bin/sh\n"
                                  ":x:3:3::/empty:/bin/sh\n"
                                  "web:x:33:34:Web,,,:/var/www:/usr/sbin/nologin\n"
                                  "1234:x:77:78::/digits:/bin/sh\n"
                                  "nohome:x:50:51\n"
                                  "rel:x:52:53::var/x:/bin/sh\n"
                                  "last:x:60:61::/last:/bin/sh";
static const char group_text[] = "root:x:0:\n"
                                 "daemon:x:1:root,web\n"
                                 "www:x:34:web\n"
                                 "video:x:44:webby,web2, web\n"
                                 "audio:x:29:other,web\n"
                                 "bad:x:99999999999:web\n"
                                 "short:x\n"
                                 "555:x:556:\n"
                                 "nolist:x:88";

static struct err *lookup(const char *text, const struct strv *extra, struct runtime_user *ret) {
    const struct user_files f = {passwd_text, sizeof passwd_text - 1, group_text, sizeof group_text - 1};
    return user_lookup(text, extra, &f, ret);
}

static void expect(const char *text, uid_t uid, gid_t gid, const char *home, size_t n_groups) {
    struct runtime_user u = {0};
    CHECK_OK(lookup(text, NULL, &u));
    if (u.uid != uid || u.gid != gid || strcmp(u.home, home) != 0 || u.n_groups != n_groups)
        fprintf(stderr, "in '%s': %u %u %s %zu\n", text, u.uid, u.gid, u.home, u.n_groups);
    CHECK_INT(u.uid, uid);
    CHECK_INT(u.gid, gid);
    CHECK_STR(u.home, home);
    CHECK_INT(u.n_groups, n_groups);
    CHECK_INT(u.groups[0], gid);
}

static bool known(const char *text, const char *line) { return user_entry_known(text, strlen(text), line); }

static void test_entries(void) {
    CHECK(known(passwd_text, "web:*:1:1:::"));
    CHECK(known(passwd_text, "other:*:33:1:::"));
    CHECK(!known(passwd_text, "other:*:1:1:::"));
    CHECK(!known(passwd_text, "we:*:1:1:::")); /* a name is a whole one */
    CHECK(known(passwd_text, "nouid:*:1:1:::") && !known("", "other:x:1:"));
    CHECK(known(group_text, "mine:x:44:") && !known(group_text, "mine:x:45:"));
    CHECK(known("", "no line") && known("", "other:x:-1:"));
}

/* What a file of a container is after a line was added to it. */
static void added(int root, const char *before, const char *line, const char *after) {
    autostr struct str got = STR_INIT;
    autofd int fd = -1;
    CHECK_OK(fd_open_at(root, "etc/passwd", O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd));
    CHECK_OK(io_write_all(fd, before, strlen(before)));
    CHECK_OK(user_entry_add(root, "/etc/passwd", line));
    CHECK_OK(io_read_file(root, "etc/passwd", 1 << 20, &got));
    CHECK_STR(str_c(&got), after);
}

static void test_add(void) {
    char dir[] = "/tmp/accounts.XXXXXX";
    autofd int root = -1;
    CHECK(mkdtemp(dir));
    CHECK_OK(fd_open_dir(AT_FDCWD, dir, &root));
    CHECK_OK(user_entry_add(root, "/etc/passwd", "me:*:7:7::/:/bin/sh")); /* there is none, and it stays so */
    CHECK(faccessat(root, "etc/passwd", F_OK, 0) < 0);
    CHECK(mkdirat(root, "etc", 0755) == 0);
    added(root, "", "me:*:7:7::/:/bin/sh", "me:*:7:7::/:/bin/sh\n");
    added(root, "root:x:0:0::/:", "me:*:7:7::/:/bin/sh", "root:x:0:0::/:\nme:*:7:7::/:/bin/sh\n");
    added(root, "x:x:7:0::/:\n", "me:*:7:7::/:/bin/sh", "x:x:7:0::/:\n");
    added(root, "x:x:8:0::/:\n", NULL, "x:x:8:0::/:\n");
    CHECK(unlinkat(root, "etc/passwd", 0) == 0 && mkfifoat(root, "etc/passwd", 0644) == 0);
    CHECK_ERR(user_entry_add(root, "/etc/passwd", "me:*:7:7::/:/bin/sh"), ERR_CORRUPT);
    CHECK(unlinkat(root, "etc/passwd", 0) == 0 && unlinkat(root, "etc", AT_REMOVEDIR) == 0 && rmdir(dir) == 0);
}

static void test_good(void) {
    expect("", 0, 0, "/root", 2);
    expect("root", 0, 0, "/root", 2);
    expect("0", 0, 0, "/root", 2);
    expect("web", 33, 34, "/var/www", 3);
    expect("33", 33, 34, "/var/www", 3);
    expect("web:", 33, 34, "/var/www", 3);
    expect("web:audio", 33, 29, "/var/www", 1);
    expect("web:4000", 33, 4000, "/var/www", 1);
    expect("4000", 4000, 0, "/", 1);
    expect("4000:4001", 4000, 4001, "/", 1);
    expect("4000:nolist", 4000, 88, "/", 1);
    expect(":audio", 0, 29, "/root", 1);
    expect("1234", 1234, 0, "/", 1);
    expect("77", 77, 78, "/digits", 1);
    expect("0:555", 0, 555, "/root", 1);
    expect("nohome", 50, 51, "/", 1);
    expect("rel", 52, 53, "/", 1);
    expect("last", 60, 61, "/last", 1);
    expect("2147483647:2147483647", 2147483647, 2147483647, "/", 1);
}

static void test_bad(void) {
    static const char *const bad[] = {"nobody",
                                      "nouid",
                                      "neg",
                                      "big",
                                      "hex",
                                      "plus",
                                      "space",
                                      "broken",
                                      "-1",
                                      "-0",
                                      "+0",
                                      " ",
                                      " 0",
                                      "0 ",
                                      "root ",
                                      "2147483648",
                                      "4294967295",
                                      "4294967296",
                                      "0:2147483648",
                                      "0:4294967296",
                                      "0:-1",
                                      "0: 0",
                                      "root:nogroup",
                                      "root:bad",
                                      "root:short",
                                      "a:b:c",
                                      "root:root:x",
                                      "::",
                                      "0x0",
                                      "root\n",
                                      "18446744073709551616",
                                      "99999999999999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct runtime_user u = {.uid = 12345};
        struct err *e = lookup(bad[i], NULL, &u);
        if (!e)
            fprintf(stderr, "accepted '%s'\n", bad[i]);
        CHECK(e && err_kind(e) == ERR_USAGE);
        CHECK_INT(u.uid, 12345);
        err_free(e);
    }
    struct runtime_user u;
    struct err *e = lookup("nobody", NULL, &u);
    struct str s = STR_INIT;
    err_format(e, &s);
    CHECK_STR(str_c(&s), "unable to find user nobody: no matching entries in passwd file");
    str_done(&s);
    err_free(e);
}

static void test_extra_groups(void) {
    struct strv extra = {0};
    struct runtime_user u;
    strv_push(&extra, "audio");
    strv_push(&extra, "4000");
    strv_push(&extra, "29");
    CHECK_OK(lookup("4000:5", &extra, &u));
    CHECK_INT(u.n_groups, 3);
    CHECK_INT(u.groups[0], 5);
    CHECK_INT(u.groups[1], 29);
    CHECK_INT(u.groups[2], 4000);
    strv_push(&extra, "nosuch");
    CHECK_ERR(lookup("0", &extra, &u), ERR_USAGE);
    strv_done(&extra);
    struct strv many = {0};
    for (int i = 0; i < 300; i++)
        strv_pushf(&many, "%d", 1000 + i);
    CHECK_ERR(lookup("0", &many, &u), ERR_UNSUPPORTED);
    strv_done(&many);
}

static void test_embedded_nul(void) {
    static const char text[] = "evil\0:x:0:0::/:/bin/sh\nok:x:5:6::/o\0k:/bin/sh\nok:x:7:8::/:/bin/sh\n";
    const struct user_files f = {text, sizeof text - 1, "", 0};
    struct runtime_user u = {0};
    CHECK_ERR(user_lookup("evil", NULL, &f, &u), ERR_USAGE);
    CHECK_OK(user_lookup("ok", NULL, &f, &u));
    CHECK_INT(u.uid, 7);
}

static void put(const char *dir, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    fd_close(fd);
}

static void test_files(void) {
    char dir[] = "/tmp/coracle-test-user.XXXXXX";
    char path[256];
    CHECK(mkdtemp(dir));
    int root = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    struct runtime_user u;
    CHECK_OK(runtime_user_resolve(root, NULL, NULL, &u));
    CHECK_STR(u.home, "/");
    CHECK_ERR(runtime_user_resolve(root, "web", NULL, &u), ERR_USAGE);
    snprintf(path, sizeof path, "%s/etc", dir);
    CHECK_INT(mkdir(path, 0755), 0);
    put(dir, "etc/real", "web:x:33:33::/www:/bin/sh\n");
    snprintf(path, sizeof path, "%s/etc/passwd", dir);
    CHECK_INT(symlink("/etc/real", path), 0); /* absolute: inside the root, not the host's */
    CHECK_OK(runtime_user_resolve(root, "web", NULL, &u));
    CHECK_INT(u.uid, 33);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(mkfifo(path, 0644), 0);
    CHECK_ERR(runtime_user_resolve(root, "web", NULL, &u), ERR_CORRUPT);
    CHECK_INT(unlink(path), 0);
    put(dir, "etc/passwd", "");
    CHECK_INT(truncate(path, 2 << 20), 0);
    CHECK_ERR(runtime_user_resolve(root, "web", NULL, &u), ERR_CORRUPT);
    CHECK_INT(unlink(path), 0);
    snprintf(path, sizeof path, "%s/etc/real", dir);
    CHECK_INT(unlink(path), 0);
    snprintf(path, sizeof path, "%s/etc", dir);
    CHECK_INT(rmdir(path), 0);
    CHECK_INT(rmdir(dir), 0);
    fd_close(root);
}

UNIT_MAIN({"good", test_good}, {"bad", test_bad}, {"extra groups", test_extra_groups},
          {"embedded nul", test_embedded_nul}, {"files", test_files}, {"entries", test_entries}, {"add", test_add})
