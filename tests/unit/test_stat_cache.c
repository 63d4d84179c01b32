/* What files of a context were: remembered, forgotten when anything of them has changed, never believed when young. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "build/stat_cache_int.h"

#define NOW (1000 * NSEC_PER_SEC)
#define FILES (2 * STAT_CACHE_MIN)

static char path[64];

/* A new directory for each test. */
static int directory(void) {
    int dir;
    snprintf(path, sizeof path, "/tmp/test_stat_cache.XXXXXX");
    CHECK(mkdtemp(path) != NULL);
    CHECK_OK(fd_open_dir(AT_FDCWD, path, &dir));
    return dir;
}

static void directory_done(void) { CHECK_OK(io_remove_tree(AT_FDCWD, path)); }

static struct stat file(unsigned i, int64_t seconds) {
    return (struct stat){.st_dev = 1 + i % 2,
                         .st_ino = 7 * i % FILES + 1000 * (i % 2),
                         .st_size = i,
                         .st_mtim = {.tv_sec = seconds, .tv_nsec = 1},
                         .st_ctim = {.tv_sec = seconds, .tv_nsec = 2}};
}

static void digest(unsigned i, char ret[DIGEST_LEN + 1]) { CHECK_OK(digest_of(&i, sizeof i, ret)); }

/* How many of the files it knows, each by its own digest. */
static unsigned known(int dir, void (*change)(struct stat *st)) {
    struct stat_cache *c = stat_cache_open(dir, "cache", NOW);
    unsigned n = 0;
    for (unsigned i = 0; i < FILES; i++) {
        struct stat st = file(i, 10);
        char got[DIGEST_LEN + 1], want[DIGEST_LEN + 1];
        if (change)
            change(&st);
        digest(i, want);
        if (stat_cache_get(c, &st, got)) {
            CHECK_STR(got, want);
            n++;
        }
    }
    stat_cache_free(c);
    return n;
}

static void write_all(int dir, unsigned files, int64_t seconds) {
    struct stat_cache *c = stat_cache_open(dir, "cache", NOW);
    for (unsigned i = 0; i < files; i++) {
        const struct stat st = file(i, seconds);
        char d[DIGEST_LEN + 1];
        digest(i, d);
        stat_cache_put(c, &st, d);
    }
    stat_cache_save(c);
    stat_cache_free(c);
}

static void other_size(struct stat *st) { st->st_size++; }
static void other_time(struct stat *st) { st->st_mtim.tv_nsec++; }
static void other_inode_time(struct stat *st) { st->st_ctim.tv_nsec++; }
static void other_device(struct stat *st) { st->st_dev += 2; }
static void other_inode(struct stat *st) { st->st_ino += 5000; }

static void test_changes(void) {
    autofd int dir = directory();
    CHECK_INT(known(dir, NULL), 0);
    write_all(dir, FILES, 10);
    CHECK_INT(known(dir, NULL), FILES);
    CHECK_INT(known(dir, other_size), 0);
    CHECK_INT(known(dir, other_time), 0);
    CHECK_INT(known(dir, other_inode_time), 0);
    CHECK_INT(known(dir, other_device), 0);
    CHECK_INT(known(dir, other_inode), 0);
    directory_done();
}

/* Those that changed in the last two seconds before they were read, and those of the future. */
static void test_young(void) {
    static const int64_t seconds[] = {999, 1000, 2000};
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        autofd int dir = directory();
        write_all(dir, FILES, seconds[i]);
        CHECK(faccessat(dir, "cache", F_OK, 0) < 0);
        directory_done();
    }
}

static void test_few(void) {
    autofd int dir = directory();
    write_all(dir, STAT_CACHE_MIN - 1, 10);
    CHECK(faccessat(dir, "cache", F_OK, 0) < 0);
    directory_done();
}

/* Every byte of it counts, and every length. */
static void test_damage(void) {
    autofd int dir = directory();
    autostr struct str text = STR_INIT;
    write_all(dir, FILES, 10);
    CHECK_OK(io_read_file(dir, "cache", 1 << 20, &text));
    for (size_t at = 0; at < text.len; at += 37) {
        text.ptr[at] ^= 1;
        CHECK_OK(io_write_file(dir, "cache", text.ptr, text.len, 0600, 0));
        CHECK_INT(known(dir, NULL), 0);
        text.ptr[at] ^= 1;
    }
    for (size_t len = 0; len < text.len; len += 101) {
        CHECK_OK(io_write_file(dir, "cache", text.ptr, len, 0600, 0));
        CHECK_INT(known(dir, NULL), 0);
    }
    directory_done();
}

UNIT_MAIN({"changes", test_changes}, {"young", test_young}, {"few", test_few}, {"damage", test_damage})
