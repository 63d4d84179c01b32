/* Layers with other owners: inodes without data that say where it is, and everything else as it was. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/idmap.h"
#include "storage/store_int.h"
#include "store_fixture.h"
#include "unit.h"

struct shift_test {
    struct fixture f;
    int from, to, data;
    struct id_map map;
    struct store_shift shift;
};

static int make_dir(struct store *s, const char *name) {
    int fd = -1;
    CHECK_OK(io_mkdirs(store_dirfd(s, ""), name, 0755));
    CHECK_OK(fd_open_dir(store_dirfd(s, ""), name, &fd));
    return fd;
}

static void fill(int dir) {
    struct stat st;
    CHECK_OK(io_write_file(dir, "program", "0123456789", 10, 0755, 0));
    CHECK_OK(io_write_file(dir, "empty", "", 0, 0640, 0));
    CHECK(mkdirat(dir, "d", 0755) == 0 && linkat(dir, "program", dir, "d/again", 0) == 0);
    CHECK(fchmodat(dir, "program", 04755, 0) == 0 && fchmodat(dir, "d", 01777, 0) == 0);
    CHECK(symlinkat("../program", dir, "d/link") == 0 && mkfifoat(dir, "fifo", 0600) == 0);
    CHECK(mknodat(dir, "gone", S_IFCHR, makedev(0, 0)) == 0);
    CHECK(mkdirat(dir, "opaque", 0700) == 0);
    autofd int d = -1;
    CHECK_OK(fd_open_dir(dir, "opaque", &d));
    CHECK(fsetxattr(d, "user.overlay.opaque", "y", 1, 0) == 0);
    const struct timespec times[2] = {{1000, 1}, {2000, 2}};
    CHECK(utimensat(dir, "program", times, 0) == 0 && fstatat(dir, "program", &st, 0) == 0 && st.st_nlink == 2);
}

/* As who we are the owner must stay; a test as root sees more (test_owners). */
static void open_test(struct shift_test *t, bool refer) {
    fixture_open(&t->f);
    t->from = make_dir(t->f.s, "from");
    t->to = make_dir(t->f.s, "to");
    CHECK_OK(io_write_file(t->to, "gone", "x", 1, 0644, 0)); /* of the layer below */
    CHECK(mkdirat(t->to, "opaque", 0755) == 0 && mkdirat(t->to, "opaque/below", 0755) == 0);
    t->data = refer ? make_dir(t->f.s, "links") : -1;
    fill(t->from);
    t->map =
        (struct id_map){.uid = {{geteuid(), geteuid(), 1}}, .gid = {{getegid(), getegid(), 1}}, .n_uid = 1, .n_gid = 1};
    t->shift = (struct store_shift){
        .map = &t->map, .data = t->data, .depth = 3, .stray_uid = geteuid(), .stray_gid = getegid()};
    CHECK_OK(store_copy_shifted(t->from, -1, t->to, &t->shift));
}

static void close_test(struct shift_test *t) {
    fd_close(t->from);
    fd_close(t->to);
    fd_close(t->data);
    fixture_close(&t->f);
}

static void check_rest(int to) {
    struct stat st, again;
    char text[32] = "";
    CHECK(fstatat(to, "program", &st, 0) == 0 && st.st_size == 10 && (st.st_mode & 07777) == 04755);
    CHECK(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 2 && st.st_nlink == 2);
    CHECK(fstatat(to, "d/again", &again, 0) == 0 && again.st_ino == st.st_ino);
    CHECK(fstatat(to, "empty", &st, 0) == 0 && st.st_size == 0 && (st.st_mode & 07777) == 0640);
    CHECK(readlinkat(to, "d/link", text, sizeof text) == 10 && strncmp(text, "../program", 10) == 0);
    CHECK(fstatat(to, "fifo", &st, 0) == 0 && S_ISFIFO(st.st_mode));
    CHECK(!store_exists(to, "gone") && !store_exists(to, "opaque/below"));
    autofd int d = -1;
    CHECK_OK(fd_open_dir(to, "opaque", &d));
    CHECK(!store_is_opaque(d)); /* there is nothing below any more */
    CHECK(fstatat(to, "d", &st, 0) == 0 && (st.st_mode & 07777) == 01777);
}

static void test_refer(void) {
    struct shift_test t;
    struct stat st, real;
    char redirect[64] = "", want[64];
    open_test(&t, true);
    check_rest(t.to);
    autofd int fd = -1;
    CHECK_OK(fd_open_at(t.to, "program", O_RDONLY, 0, &fd));
    CHECK(fstat(fd, &st) == 0 && st.st_blocks == 0); /* nothing but an inode */
    CHECK_INT(fgetxattr(fd, "user.overlay.metacopy", redirect, sizeof redirect), 0);
    ssize_t n = fgetxattr(fd, "user.overlay.redirect", redirect, sizeof redirect - 1);
    CHECK(n > 0);
    CHECK(fstatat(t.from, "program", &real, 0) == 0);
    (void)snprintf(want, sizeof want, "/3/%llx", (unsigned long long)real.st_ino);
    CHECK_STR(redirect, want);
    CHECK(fstatat(t.data, want + 3, &st, 0) == 0 && st.st_ino == real.st_ino); /* a link, no copy */
    autofd int empty = -1;
    CHECK_OK(fd_open_at(t.to, "empty", O_RDONLY, 0, &empty));
    CHECK(fgetxattr(empty, "user.overlay.metacopy", NULL, 0) < 0); /* needs no data */
    close_test(&t);
}

static void test_copy(void) {
    struct shift_test t;
    autostr struct str text = STR_INIT;
    open_test(&t, false);
    check_rest(t.to);
    CHECK_OK(io_read_file(t.to, "program", 100, &text));
    CHECK_STR(str_c(&text), "0123456789");
    autofd int fd = -1;
    CHECK_OK(fd_open_at(t.to, "program", O_RDONLY, 0, &fd));
    CHECK(fgetxattr(fd, "user.overlay.metacopy", NULL, 0) < 0);
    close_test(&t);
}

/* As root: every owner by the map, and those that it does not have to the stray ids. */
static void test_owners(void) {
    struct shift_test t;
    struct stat st;
    if (geteuid() != 0)
        return;
    open_test(&t, true);
    CHECK(fchownat(t.from, "empty", 5, 6, 0) == 0 && fchownat(t.from, "d/link", 99, 99, AT_SYMLINK_NOFOLLOW) == 0);
    t.map = (struct id_map){.uid = {{0, 100, 10}}, .gid = {{0, 200, 10}}, .n_uid = 1, .n_gid = 1};
    t.shift.stray_uid = 7;
    t.shift.stray_gid = 8;
    fd_replace(&t.to, make_dir(t.f.s, "to2"));
    fd_replace(&t.data, make_dir(t.f.s, "links2"));
    t.shift.data = t.data;
    CHECK_OK(store_copy_shifted(t.from, -1, t.to, &t.shift));
    CHECK(fstatat(t.to, "program", &st, 0) == 0 && st.st_uid == 100 && st.st_gid == 200 && (st.st_mode & 04000));
    CHECK(fstatat(t.to, "empty", &st, 0) == 0 && st.st_uid == 105 && st.st_gid == 206);
    CHECK(fstatat(t.to, "d/link", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == 7 && st.st_gid == 8);
    close_test(&t);
}

UNIT_MAIN({"refer", test_refer}, {"copy", test_copy}, {"owners", test_owners})
