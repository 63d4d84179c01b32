/* Paths: lexical helpers, and both ways of opening below a root held against each other over a tricky tree. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/path_int.h"
#include "deny.h"

static void test_lexical(void) {
    static const struct {
        const char *in, *out;
    } clean[] = {{"", "."},
                 {".", "."},
                 {"/", "/"},
                 {"//a//b/", "/a/b"},
                 {"/a/./b/../c", "/a/c"},
                 {"/../..", "/"},
                 {"a/..", "."},
                 {"../a", "a"},
                 {"a/../../b", "b"},
                 {"./a", "a"},
                 {"/a/b/../../..", "/"},
                 {"a/b/..", "a"},
                 {"/..a/...", "/..a/..."},
                 {"/ab/../cd/..", "/"}};
    for (size_t i = 0; i < ARRAY_LEN(clean); i++) {
        autofree char *got = path_clean(clean[i].in);
        CHECK_STR(got, clean[i].out);
    }
    static const struct {
        const char *a, *b, *out;
    } join[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"},
                {"", "b", "b"},    {"a", "", "a"},     {"/", "b", "/b"}};
    for (size_t i = 0; i < ARRAY_LEN(join); i++) {
        autofree char *got = path_join(join[i].a, join[i].b);
        CHECK_STR(got, join[i].out);
    }
    CHECK_STR(path_base("/a/b"), "b");
    CHECK_STR(path_base("b"), "b");
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    long_name[255] = '\0';
    CHECK(path_is_component(long_name));
    long_name[255] = 'x';
    long_name[256] = '\0';
    CHECK(!path_is_component(long_name));
    CHECK(path_is_component("...") && path_is_component(".a") && !path_is_component("") && !path_is_component(".") &&
          !path_is_component("..") && !path_is_component("a/b"));
    char hex[66];
    memset(hex, 'a', sizeof hex);
    hex[64] = '\0';
    CHECK(path_is_hex64(hex));
    hex[63] = 'A';
    CHECK(!path_is_hex64(hex));
    hex[63] = '\0';
    CHECK(!path_is_hex64(hex));
    hex[63] = hex[64] = 'a';
    hex[65] = '\0';
    CHECK(!path_is_hex64(hex));
}

/* root/ lies in a directory beside a secret that no path may reach. */
struct tree {
    char dir[64];
    int top, root;
};

static void make_file(int dir, const char *name, const char *text) {
    CHECK_OK(io_write_file(dir, name, text, strlen(text), 0644, 0));
}

static void tree_make(struct tree *t) {
    static const char *const links[][2] = {
        {"/etc/passwd", "abs"},
        {"../../../../secret", "up"},
        {"loop", "loop"},
        {"loop_b", "loop_a"},
        {"loop_a", "loop_b"},
        {"d", "to_d"},
        {"/d", "to_d_abs"},
        {"nowhere", "dangling"},
        {"/no/where", "dangling_abs"},
        {"/../../secret", "abs_up"},
        {"to_d/f", "chain"},
        {".", "self"},
        {"..", "parent"},
        {"d/", "slash"},
        {"f/", "file_slash"},
        {"../d/deep/../../f", "d/back"},
        {"/proc/self/root", "magic"},
        {"d/sub/up2", "far"},
        {"../..", "d/sub/up2"},
        {"newfile", "will_be"},
        {"/d/newfile2", "will_be_abs"},
        {"../outside", "d/sub/outside"},
        {"", ""},
    };
    snprintf(t->dir, sizeof t->dir, "/tmp/coracle-test-path-XXXXXX");
    CHECK(mkdtemp(t->dir) != NULL);
    CHECK_OK(fd_open_dir(AT_FDCWD, t->dir, &t->top));
    make_file(t->top, "secret", "secret");
    CHECK_OK(io_mkdirs(t->top, "root/d/deep", 0755));
    CHECK_OK(io_mkdirs(t->top, "root/d/sub", 0755));
    CHECK_OK(io_mkdirs(t->top, "root/etc", 0755));
    CHECK_OK(io_mkdirs(t->top, "root/closed", 0755));
    CHECK_OK(fd_open_dir(t->top, "root", &t->root));
    make_file(t->root, "f", "root f");
    make_file(t->root, "d/f", "d f");
    make_file(t->root, "secret", "inner secret");
    make_file(t->root, "etc/passwd", "inner passwd");
    make_file(t->root, "closed/f", "closed");
    for (size_t i = 0; links[i][0][0]; i++)
        CHECK_INT(symlinkat(links[i][0], t->root, links[i][1]), 0);
    CHECK_INT(fchmodat(t->root, "closed", 0000, 0), 0); /* root gets in all the same */
    /* 40 links in a row are allowed, 41 are not */
    CHECK_INT(symlinkat("f", t->root, "l1"), 0);
    for (int i = 2; i <= 41; i++) {
        autofree char *from = mem_printf("l%d", i), *to = mem_printf("l%d", i - 1);
        CHECK_INT(symlinkat(to, t->root, from), 0);
    }
}

static void tree_done(struct tree *t) {
    fd_close(t->root);
    fd_close(t->top);
    CHECK_OK(io_remove_tree(AT_FDCWD, t->dir));
}

/* What a descriptor leads to, as far as two ways of opening can be compared. */
static void describe(int fd, int errnum, char *out, size_t n) {
    struct stat st;
    if (fd < 0)
        snprintf(out, n, "%s", strerrorname_np(errnum));
    else if (fstat(fd, &st) == 0)
        snprintf(out, n, "inode %lu type %o flags %o", (unsigned long)st.st_ino, (unsigned)(st.st_mode & S_IFMT),
                 (unsigned)(fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH | O_NONBLOCK)));
}

static void compare(int root, const char *path, int flags) {
    char by_kernel[96] = "", by_walk[96] = "";
    autofd int a = path_kernel_open(root, path, flags, 0600);
    describe(a, errno, by_kernel, sizeof by_kernel);
    autofd int b = path_walk_open(root, path, flags, 0600);
    describe(b, errno, by_walk, sizeof by_walk);
    if (strcmp(by_kernel, by_walk) != 0)
        fprintf(stderr, "path \"%s\" flags %o: kernel %s, walk %s\n", path, (unsigned)flags, by_kernel, by_walk);
    CHECK_STR(by_walk, by_kernel);
}

static const char *const tricky[] = {
    "",
    "/",
    ".",
    "..",
    "//",
    "/..",
    "../..",
    "f",
    "/f",
    "f/",
    "f/.",
    "f/..",
    "f/x",
    "./f",
    "d",
    "d/",
    "d/.",
    "d/..",
    "d/../f",
    "d/../../../f",
    "../f",
    "../../secret",
    "/../secret",
    "secret",
    "nope",
    "nope/",
    "nope/x",
    "nope/..",
    "abs",
    "abs/",
    "up",
    "loop",
    "loop/x",
    "loop_a",
    "to_d",
    "to_d/",
    "to_d/f",
    "to_d/../f",
    "to_d_abs",
    "to_d_abs/f",
    "dangling",
    "dangling/",
    "dangling/x",
    "dangling_abs",
    "abs_up",
    "chain",
    "self",
    "self/self/self/f",
    "parent",
    "parent/f",
    "parent/parent/secret",
    "slash",
    "slash/f",
    "file_slash",
    "file_slash/",
    "d/back",
    "magic",
    "far",
    "far/f",
    "d/sub/up2/f",
    "d/sub/up2/../f",
    "d/sub/outside",
    "l39",
    "l40",
    "l41",
    "l40/",
    "l20/x",
    "etc/passwd",
    "//d//deep//..//f",
    "d/deep/../sub/./up2/f",
    "./",
    "./.",
    "closed",
    "closed/",
    "closed/.",
    "closed/..",
    "closed/f",
    "closed/../f",
    "closed/./f",
    "closed/../..",
};

static void test_same_answers(void) {
    static const int flags[] = {O_RDONLY,
                                O_PATH,
                                O_PATH | O_NOFOLLOW,
                                O_RDONLY | O_NOFOLLOW,
                                O_RDONLY | O_DIRECTORY,
                                O_PATH | O_DIRECTORY,
                                O_PATH | O_DIRECTORY | O_NOFOLLOW,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                                O_WRONLY,
                                O_RDWR | O_NONBLOCK};
    struct tree t;
    tree_make(&t);
    for (size_t i = 0; i < ARRAY_LEN(tricky); i++)
        for (size_t k = 0; k < ARRAY_LEN(flags); k++)
            compare(t.root, tricky[i], flags[k]);
    char name[NAME_MAX + 3];
    memset(name, 'n', sizeof name);
    name[NAME_MAX + 1] = '\0';
    compare(t.root, name, O_RDONLY);
    tree_done(&t);
}

/* Creating, each way in a tree of its own. */
static void test_same_creations(void) {
    static const int flags[] = {O_CREAT | O_WRONLY, O_CREAT | O_EXCL | O_WRONLY, O_CREAT | O_WRONLY | O_NOFOLLOW,
                                O_CREAT | O_RDWR | O_TRUNC};
    static const char *const paths[] = {"new",
                                        "d/new",
                                        "new/",
                                        "f",
                                        "d",
                                        "d/",
                                        ".",
                                        "..",
                                        "/",
                                        "dangling",
                                        "dangling_abs",
                                        "will_be",
                                        "will_be_abs",
                                        "d/sub/outside",
                                        "up",
                                        "abs",
                                        "loop",
                                        "nope/new",
                                        "f/new",
                                        "to_d/new",
                                        "../../new",
                                        "slash",
                                        "slash/new",
                                        "l41",
                                        "dangling/",
                                        "d/."};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
            struct tree a, b;
            char by_kernel[PATH_MAX + 64] = "", by_walk[PATH_MAX + 64] = "", link[40];
            tree_make(&a);
            tree_make(&b);
            int fa = path_kernel_open(a.root, paths[i], flags[k], 0640);
            if (fa < 0)
                snprintf(by_kernel, sizeof by_kernel, "%s", strerrorname_np(errno));
            else if (readlink(path_of_fd(fa, link), by_kernel, sizeof by_kernel - 1) < 0)
                CHECK(false);
            int fb = path_walk_open(b.root, paths[i], flags[k], 0640);
            if (fb < 0)
                snprintf(by_walk, sizeof by_walk, "%s", strerrorname_np(errno));
            else if (readlink(path_of_fd(fb, link), by_walk, sizeof by_walk - 1) < 0)
                CHECK(false);
            const char *tail_a = fa < 0 ? by_kernel : by_kernel + strlen(a.dir);
            const char *tail_b = fb < 0 ? by_walk : by_walk + strlen(b.dir);
            if (strcmp(tail_a, tail_b) != 0)
                fprintf(stderr, "create \"%s\" flags %o\n", paths[i], (unsigned)flags[k]);
            CHECK_STR(tail_b, tail_a);
            fd_close(fa);
            fd_close(fb);
            tree_done(&a);
            tree_done(&b);
        }
}

/* Magic links, with / as the root so that procfs is in reach. */
static void test_magic(void) {
    autofd int root = -1;
    CHECK_OK(fd_open_dir(AT_FDCWD, "/", &root));
    static const char *const paths[] = {"/proc/self/root/etc", "/proc/self/exe",    "/proc/self/fd/0",
                                        "/proc/self/cwd",      "/proc/self/ns/mnt", "/proc/self/status",
                                        "/proc/mounts",        "/proc/self/cwd/x"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char by_kernel[96] = "", by_walk[96] = "";
        autofd int a = path_kernel_open(root, paths[i], O_RDONLY, 0);
        describe(a, errno, by_kernel, sizeof by_kernel);
        autofd int b = path_walk_open(root, paths[i], O_RDONLY, 0);
        describe(b, errno, by_walk, sizeof by_walk);
        CHECK_STR(by_walk, by_kernel);
    }
}

static void test_stays_inside(void) {
    struct tree t;
    tree_make(&t);
    static const char *const paths[] = {"up", "abs_up", "../secret", "parent/parent/../secret", "d/sub/up2/../secret"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        autofd int fd = -1;
        autostr struct str text = STR_INIT;
        CHECK_OK(path_open_in_root(t.root, paths[i], O_RDONLY, 0, &fd));
        CHECK_OK(io_read_all(fd, 100, "x", &text));
        CHECK_STR(str_c(&text), "inner secret");
    }
    tree_done(&t);
}

static void check_mkdirs(struct tree *t, const char *path, const char *lands_at) {
    autofd int fd = -1;
    struct stat a, b;
    CHECK_OK(path_mkdirs_in_root(t->root, path, 0751, (uid_t)-1, (gid_t)-1, &fd));
    CHECK(fstat(fd, &a) == 0 && fstatat(t->root, lands_at, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino);
    CHECK(S_ISDIR(a.st_mode));
}

static void test_mkdirs(void) {
    struct tree t;
    tree_make(&t);
    mode_t old = umask(0077);
    check_mkdirs(&t, "", ".");
    check_mkdirs(&t, "/", ".");
    check_mkdirs(&t, "n1/n2/n3", "n1/n2/n3");
    check_mkdirs(&t, "/n1/../n4//n5/", "n4/n5");
    check_mkdirs(&t, "to_d/x/y", "d/x/y");
    check_mkdirs(&t, "to_d_abs/x2", "d/x2");
    check_mkdirs(&t, "dangling/z", "nowhere/z");
    check_mkdirs(&t, "dangling_abs/z", "no/where/z");
    check_mkdirs(&t, "d/sub/outside/z", "d/outside/z");
    check_mkdirs(&t, "../../../n6", "n6");
    umask(old);
    struct stat st;
    CHECK(fstatat(t.root, "n1/n2", &st, 0) == 0 && (st.st_mode & 07777) == 0751);
    CHECK(faccessat(t.top, "n6", F_OK, 0) < 0);
    int fd = -1;
    CHECK_ERR(path_mkdirs_in_root(t.root, "f/x", 0755, (uid_t)-1, (gid_t)-1, &fd), ERR_SYSTEM);
    CHECK_ERR(path_mkdirs_in_root(t.root, "f", 0755, (uid_t)-1, (gid_t)-1, &fd), ERR_SYSTEM);
    CHECK_ERR(path_mkdirs_in_root(t.root, "loop/x", 0755, (uid_t)-1, (gid_t)-1, &fd), ERR_SYSTEM);
    CHECK_INT(fd, -1);
    tree_done(&t);
}

/* The public calls without openat2, missing or forbidden. */
static void test_denied(void) {
    static const unsigned answers[] = {ENOSYS, EPERM};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        with_denied(SYS_openat2, answers[i], test_stays_inside);
        with_denied(SYS_openat2, answers[i], test_mkdirs);
    }
}

static void test_below(void) {
    CHECK(path_is_below("/a/b", "/a") && path_is_below("/a", "/a") && path_is_below("/a", "/") &&
          path_is_below("/", "/"));
    CHECK(!path_is_below("/ab", "/a") && !path_is_below("/a", "/a/b") && !path_is_below("/", "/a"));
}

UNIT_MAIN({"lexical", test_lexical}, {"below", test_below}, {"same_answers", test_same_answers},
          {"same_creations", test_same_creations}, {"magic", test_magic}, {"stays_inside", test_stays_inside},
          {"mkdirs", test_mkdirs}, {"denied", test_denied})
