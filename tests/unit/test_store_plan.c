/* Rootfs plans, the overlay probe, and what the copy driver makes of layers. */
#include <errno.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/rootfs_plan.h"
#include "storage/store_int.h"
#include "store_fixture.h"

/* ---- helpers ---- */

static void put_file(int dir, const char *path, const char *text, mode_t mode) {
    CHECK_OK(io_write_file(dir, path, text, strlen(text), mode, 0));
}

static char *text_of(int dir, const char *path) {
    struct str text = STR_INIT;
    autoerr e = io_read_file(dir, path, 1000, &text);
    if (e)
        str_append(&text, "(none)");
    return str_take(&text);
}

#define CHECK_TEXT(dir, path, want)                                                                                    \
    do {                                                                                                               \
        autofree char *got_ = text_of(dir, path);                                                                      \
        CHECK_STR(got_, want);                                                                                         \
    } while (0)

static bool has(int dir, const char *path) { return faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

/* A container over n layers; chain ids bottom first, diff directories in ret_dirs. */
struct stack {
    struct fixture f;
    char id[65];
    struct strv chain;
    int dirs[3];
};

static void stack_open(struct stack *st, int n, mode_t top_mode) {
    char diff[72], chain[72];
    fixture_open(&st->f);
    st->chain = (struct strv){0};
    for (int i = 0; i < n; i++) {
        autofree char *text = mem_printf("layer %d", i);
        st->dirs[i] = put_layer(st->f.s, i ? st->chain.v[i - 1] : NULL, text, diff, chain);
        strv_push(&st->chain, chain);
    }
    if (n)
        CHECK(fchmod(st->dirs[n - 1], top_mode) == 0);
    CHECK_OK(make_container(st->f.s, "box", NULL, n ? chain : NULL, st->id));
}

static void stack_close(struct stack *st) {
    for (size_t i = 0; i < st->chain.n; i++)
        fd_close(st->dirs[i]);
    strv_done(&st->chain);
    fixture_close(&st->f);
}

static char *stack_path(const struct stack *st, const char *what) {
    return mem_printf("%s/containers/%s%s", store_root(st->f.s), st->id, what);
}

/* ---- plans ---- */

static struct err *plan_of(struct stack *st, enum store_driver driver, struct rootfs_plan *ret) {
    return store_rootfs_plan(
        st->f.s, &(struct store_rootfs){.container_id = st->id, .chain_ids = &st->chain, .driver = driver}, ret);
}

static void test_overlay(void) {
    struct stack st;
    struct rootfs_plan plan = {0};
    struct stat sb;
    int dir = -1;
    stack_open(&st, 3, 01777);
    CHECK_OK(store_container_open(st.f.s, st.id, &dir));
    CHECK(fstatat(dir, "upper", &sb, 0) == 0 && (sb.st_mode & 07777) == 01777);
    if (geteuid() == 0)
        CHECK(fchown(st.dirs[2], 7, 8) == 0);
    CHECK_OK(plan_of(&st, STORE_DRIVER_OVERLAY, &plan));
    CHECK_INT(plan.driver, ROOTFS_OVERLAY);
    CHECK_INT((long long)plan.lowers.n, 3);
    autofree char *top = mem_printf("%s/diff", digest_hex(st.chain.v[2])), *upper = stack_path(&st, "/upper"),
                  *layers = mem_printf("%s/layers", store_root(st.f.s));
    CHECK_STR(plan.lowers.v[0], top);
    CHECK_STR(plan.base_dir, layers);
    CHECK_STR(plan.upper, upper);
    CHECK(fstatat(dir, "upper", &sb, 0) == 0 && (sb.st_mode & 07777) == 01777);
    CHECK(geteuid() != 0 || (sb.st_uid == 7 && sb.st_gid == 8));
    rootfs_plan_done(&plan);
    /* A volatile mount that was killed; and "/" changed its mode in it. */
    CHECK_OK(io_mkdirs(dir, "work/work/incompat/volatile", 0700));
    CHECK(fchmodat(dir, "work/work", 0, 0) == 0 && fchmodat(dir, "upper", 0711, 0) == 0);
    CHECK_OK(plan_of(&st, STORE_DRIVER_OVERLAY, &plan));
    CHECK(has(dir, "work") && !has(dir, "work/work"));
    CHECK(fstatat(dir, "upper", &sb, 0) == 0 && (sb.st_mode & 07777) == 0711);
    rootfs_plan_done(&plan);
    /* A missing layer. */
    autofree char *path = mem_printf("%s", digest_hex(st.chain.v[1]));
    CHECK_OK(io_remove_tree(store_dirfd(st.f.s, "layers"), path));
    CHECK_ERR(plan_of(&st, STORE_DRIVER_OVERLAY, &plan), ERR_CORRUPT);
    fd_close(dir);
    stack_close(&st);
}

static void test_no_layers(void) {
    struct stack st;
    struct rootfs_plan plan = {0};
    stack_open(&st, 0, 0);
    CHECK_OK(plan_of(&st, STORE_DRIVER_AUTO, &plan));
    CHECK_INT(plan.driver, ROOTFS_DIR);
    CHECK_STR(plan.lowers.v[0], "upper");
    autofree char *base = stack_path(&st, "");
    CHECK_STR(plan.base_dir, base);
    rootfs_plan_done(&plan);
    stack_close(&st);
}

/* Answers are remembered for this boot and this file system, and for no other boot. */
static void test_probe(void) {
    struct fixture f;
    struct stat st;
    fixture_open(&f);
    bool works = store_overlay_works(f.s);
    printf("  overlay with userxattr %s here\n", works ? "works" : "does not work");
    CHECK(!store_has_debris(f.s));
    CHECK(fstat(store_dirfd(f.s, ""), &st) == 0);
    autofree char *path = mem_printf("%s/overlay-%x.%x", f.host.run_root, major(st.st_dev), minor(st.st_dev));
    if (has(AT_FDCWD, path)) {
        autofree char *other = mem_printf("%s %s\n", f.host.boot_id, works ? "no" : "yes");
        put_file(AT_FDCWD, path, other, 0600);
        CHECK(store_overlay_works(f.s) == !works);
        f.host.boot_id[0] = '9';
        CHECK(store_overlay_works(f.s) == works);
    }
    fixture_close(&f);
}

/* ---- the copy driver ---- */

/* Whiteouts are made as the unpacker makes them; where the kernel forbids that, in fuse-overlayfs's form. */
static void put_whiteout(int dir, const char *path, const char *parent, const char *name) {
    if (mknodat(dir, path, S_IFCHR | 0600, makedev(0, 0)) == 0)
        return;
    autofree char *wh = mem_printf("%s.wh.%s", parent, name);
    put_file(dir, wh, "", 0600);
}

static void fill_lower(int d) {
    const struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000, .tv_nsec = 7}};
    CHECK_OK(io_mkdirs(d, "etc/deep", 0755));
    CHECK_OK(io_mkdirs(d, "hidden", 0755));
    CHECK_OK(io_mkdirs(d, "turns-file", 0755));
    put_file(d, "etc/passwd", "root", 0640);
    put_file(d, "etc/deep/gone", "x", 0600);
    put_file(d, "etc/wh", "x", 0600);
    put_file(d, "hidden/below", "x", 0600);
    put_file(d, "turns-file/x", "x", 0600);
    put_file(d, "turns-dir", "x", 0600);
    put_file(d, "su", "su", 0600);
    CHECK(symlinkat("passwd", d, "etc/symlink") == 0);
    if (geteuid() == 0)
        CHECK(fchownat(d, "su", 33, 44, 0) == 0 && fchownat(d, "etc/symlink", 5, 6, AT_SYMLINK_NOFOLLOW) == 0);
    CHECK(fchmodat(d, "su", 04755, 0) == 0);
    CHECK(linkat(d, "su", d, "etc/su-link", 0) == 0);
    CHECK(symlinkat("/tmp", d, "evil") == 0);
    CHECK(mkfifoat(d, "pipe", 0644) == 0);
    CHECK(utimensat(d, "su", times, 0) == 0);
    autofd int fd = openat(d, "su", O_RDONLY | O_CLOEXEC);
    CHECK(fsetxattr(fd, "user.mine", "v", 1, 0) == 0 || errno == ENOTSUP);
}

static void fill_middle(int d) {
    CHECK_OK(io_mkdirs(d, "etc/deep", 0700));
    CHECK_OK(io_mkdirs(d, "hidden", 0755));
    CHECK_OK(io_mkdirs(d, "turns-dir", 0755));
    CHECK_OK(io_mkdirs(d, "evil", 0755));
    put_whiteout(d, "etc/deep/gone", "etc/deep/", "gone");
    put_file(d, "etc/.wh.wh", "", 0600); /* fuse-overlayfs's form */
    put_file(d, "hidden/new", "new", 0600);
    autofd int hidden = openat(d, "hidden", O_RDONLY | O_CLOEXEC);
    if (fsetxattr(hidden, "user.overlay.opaque", "y", 1, 0) < 0)
        put_file(d, "hidden/.wh..wh..opq", "", 0600);
    put_file(d, "turns-file", "file", 0600);
    put_file(d, "turns-dir/x", "x", 0600);
    put_file(d, "evil/trap", "caught", 0600);
}

/* A tree that is deeper than descriptors and PATH_MAX allow. */
static void fill_deep(int d) {
    autofd int cur = -1;
    CHECK_OK(fd_dup(d, &cur));
    for (int i = 0; i < 3000 && cur >= 0; i++) {
        CHECK(mkdirat(cur, "deeper", 0755) == 0);
        fd_replace(&cur, openat(cur, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    put_file(cur, "bottom", "b", 0600);
}

/* Modes, owners, times, kinds and links of the copy. */
static void check_copied_metadata(int d) {
    struct stat a, b;
    CHECK(fstatat(d, "su", &a, 0) == 0 && fstatat(d, "etc/su-link", &b, 0) == 0);
    CHECK(a.st_ino == b.st_ino && a.st_nlink == 2);
    CHECK_INT(a.st_mode & 07777, 04755);
    CHECK(geteuid() != 0 || (a.st_uid == 33 && a.st_gid == 44));
    CHECK(fstatat(d, "etc/symlink", &b, AT_SYMLINK_NOFOLLOW) == 0 &&
          (geteuid() != 0 || (b.st_uid == 5 && b.st_gid == 6)));
    CHECK(a.st_mtim.tv_sec == 2000 && a.st_mtim.tv_nsec == 7);
    CHECK(fstatat(d, "pipe", &a, 0) == 0 && S_ISFIFO(a.st_mode));
    CHECK(fstatat(d, "etc/passwd", &a, 0) == 0 && (a.st_mode & 07777) == 0640);
    CHECK(fstatat(d, "etc/deep", &a, 0) == 0 && (a.st_mode & 07777) == 0700);
    CHECK(fstatat(d, ".", &a, 0) == 0 && (a.st_mode & 07777) == 0751);
    CHECK(fstatat(d, "deeper/deeper", &a, 0) == 0);
}

static void check_copy(int d) {
    char v;
    CHECK_TEXT(d, "etc/passwd", "root");
    CHECK_TEXT(d, "hidden/new", "new");
    CHECK_TEXT(d, "turns-file", "file");
    CHECK_TEXT(d, "turns-dir/x", "x");
    CHECK_TEXT(d, "evil/trap", "caught");
    CHECK(!has(d, "etc/deep/gone") && !has(d, "etc/wh") && !has(d, "etc/.wh.wh") && !has(d, "hidden/below"));
    CHECK(!has(AT_FDCWD, "/tmp/trap"));
    check_copied_metadata(d);
    autofd int fd = openat(d, "su", O_RDONLY | O_CLOEXEC), hidden = openat(d, "hidden", O_RDONLY | O_CLOEXEC);
    CHECK(fgetxattr(fd, "user.mine", &v, 1) == 1 || errno == ENOTSUP);
    CHECK(fgetxattr(hidden, "user.overlay.opaque", &v, 1) < 0);
}

static void test_copy(void) {
    struct stack st;
    struct rootfs_plan plan = {0};
    int64_t size = 0, deep = 0;
    stack_open(&st, 3, 0751);
    fill_lower(st.dirs[0]);
    fill_middle(st.dirs[1]);
    fill_deep(st.dirs[2]);
    int dir = -1, copy = -1;
    CHECK_OK(store_container_open(st.f.s, st.id, &dir));
    put_file(dir, "upper/mine", "mine", 0600); /* it ran with an overlay before */
    CHECK_OK(plan_of(&st, STORE_DRIVER_COPY, &plan));
    CHECK_INT(plan.driver, ROOTFS_COPY);
    CHECK_STR(plan.lowers.v[0], "rootfs");
    CHECK(!plan.upper && !plan.work);
    rootfs_plan_done(&plan);
    CHECK_OK(fd_open_dir(dir, "rootfs", &copy));
    check_copy(copy);
    CHECK_TEXT(copy, "mine", "mine");
    CHECK_OK(store_container_size(st.f.s, st.id, &size));
    put_file(copy, "kept", "12345", 0600);
    CHECK_OK(store_container_size(st.f.s, st.id, &deep));
    CHECK_INT(deep - size, 5);
    /* Its changes are there, so it stays with this driver. */
    CHECK_OK(plan_of(&st, STORE_DRIVER_OVERLAY, &plan));
    CHECK_INT(plan.driver, ROOTFS_COPY);
    rootfs_plan_done(&plan);
    CHECK_TEXT(copy, "kept", "12345");
    CHECK(!store_has_debris(st.f.s));
    fd_close(copy);
    fd_close(dir);
    stack_close(&st);
}

UNIT_MAIN({"overlay", test_overlay}, {"no layers", test_no_layers}, {"probe", test_probe}, {"copy", test_copy})
