/* coracle-unpack's pure parts and its walk: names, extended attribute policy, and the ring between its threads. */
#include "storage/unpack/ring.c"
#include "storage/unpack/tree.c"

#include "unit.h"
#include "userns_fixture.h"

static const char *clean(const char *path) {
    static char out[TREE_PATH_MAX];
    size_t len, base;
    CHECK_OK(tree_clean(path, out, &len, &base));
    CHECK_INT(len, strlen(out));
    CHECK_STR(out + base, path_base(out));
    return out;
}

static void test_names(void) {
    CHECK_STR(clean("a"), "a");
    CHECK_STR(clean("./a/"), "a");
    CHECK_STR(clean("///a//./b"), "a/b");
    CHECK_STR(clean("."), "");
    CHECK_STR(clean("/"), "");
    CHECK_STR(clean("..."), "...");
    CHECK_STR(clean("a/..b/.c"), "a/..b/.c");
    char out[TREE_PATH_MAX];
    size_t len, base;
    CHECK_ERR(tree_clean("..", out, &len, &base), ERR_CORRUPT);
    CHECK_ERR(tree_clean("a/../b", out, &len, &base), ERR_CORRUPT);
    CHECK_ERR(tree_clean("a/..", out, &len, &base), ERR_CORRUPT);
}

static void test_name_limits(void) {
    char out[TREE_PATH_MAX], path[3 * TREE_PATH_MAX];
    size_t len, base;
    memset(path, 'n', 256);
    path[255] = '\0';
    CHECK_OK(tree_clean(path, out, &len, &base));
    path[255] = 'n';
    path[256] = '\0';
    CHECK_ERR(tree_clean(path, out, &len, &base), ERR_CORRUPT);
    for (size_t i = 0; i < 2 * TREE_DEPTH_MAX + 2; i += 2)
        memcpy(path + i, "d/", 3);
    CHECK_ERR(tree_clean(path, out, &len, &base), ERR_CORRUPT);
    path[2 * TREE_DEPTH_MAX] = '\0';
    CHECK_OK(tree_clean(path, out, &len, &base));
    for (size_t i = 0; i < 2 * TREE_PATH_MAX; i += 128) {
        memset(path + i, 'n', 127);
        memcpy(path + i + 127, "/", 2);
    }
    CHECK_ERR(tree_clean(path, out, &len, &base), ERR_CORRUPT);
    path[TREE_PATH_MAX - 1] = '\0';
    CHECK_OK(tree_clean(path, out, &len, &base));
}

/*
 * Leaves and comes back: times of directories are what they were set to, whatever was made in them and in which order.
 */
static void test_times(void) {
    char dir[] = "/tmp/coracle-tree-XXXXXX";
    const char *name;
    if (geteuid() != 0 && !become_root(0))
        return;
    CHECK(mkdtemp(dir) != NULL);
    autofd int root = open(dir, OPEN_DIR);
    struct tree *t = tree_new(root);
    CHECK_OK(tree_root_changed(t));
    const struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000, .tv_nsec = 5}};
    for (int i = 0; i < 3; i++) {
        bool existed;
        CHECK_OK(tree_enter(t, "a/b", &name));
        CHECK_OK(tree_mkdir(t, name, 0755, &existed));
        CHECK_INT(existed, i > 0);
        CHECK_INT(utimensat(tree_fd(t), name, old, AT_SYMLINK_NOFOLLOW), 0);
        CHECK_OK(tree_enter(t, "a/b/c/d/e", &name));
        CHECK_STR(name, "e");
        CHECK_OK(tree_mkdir(t, name, 0755, &existed));
        CHECK_OK(tree_enter(t, "z/y", &name));
        CHECK_OK(tree_enter(t, "a/b/x/y", &name));
    }
    CHECK_OK(tree_finish(t));
    struct stat st;
    CHECK_INT(fstatat(root, "a/b", &st, 0), 0);
    CHECK_INT(st.st_mtim.tv_sec, 1000);
    CHECK_INT(st.st_mtim.tv_nsec, 5);
    CHECK_INT(fstatat(root, "a/b/c/d/e", &st, 0), 0);
    CHECK_INT(fstatat(root, "a/b/x", &st, 0), 0);
    tree_free(t);
    CHECK_OK(io_remove_tree(AT_FDCWD, dir));
}

static void *produce(void *arg) {
    struct ring *r = arg;
    for (unsigned i = 0; i < 1000; i++) {
        char *slot = ring_reserve(r);
        if (!slot)
            break;
        memcpy(slot, &i, sizeof i);
        ring_commit(r, sizeof i);
    }
    ring_end(r, err_new(ERR_CORRUPT, "the end"));
    return NULL;
}

static void test_ring(void) {
    for (unsigned stop = 0; stop < 2; stop++) {
        pthread_t thread;
        struct ring *r = ring_new(3, 16);
        CHECK_INT(pthread_create(&thread, NULL, produce, r), 0);
        const void *p;
        size_t n;
        for (unsigned i = 0; i < (stop ? 10 : 1000); i++) {
            CHECK_OK(ring_next(r, &p, &n));
            CHECK_INT(n, sizeof i);
            CHECK(memcmp(p, &i, sizeof i) == 0);
        }
        if (stop)
            ring_abandon(r);
        else
            CHECK_ERR(ring_next(r, &p, &n), ERR_CORRUPT);
        pthread_join(thread, NULL);
        ring_free(r);
    }
}

UNIT_MAIN({"names", test_names}, {"name limits", test_name_limits}, {"times", test_times}, {"ring", test_ring})
