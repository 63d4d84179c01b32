/* coracle-unpack's second pair of hands: every file arrives whole and dated, and a failure is told. */
#include "storage/unpack/ring.c"
#include "storage/unpack/writer.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum { FILES = 1000 };

static size_t size_of(size_t i) { return i % 7 == 0 ? 0 : i * 37 % (WRITER_FILE_MAX + 1); }

static int scratch(char dir[32]) {
    memcpy(dir, "/tmp/coracle-writer-XXXXXX", sizeof "/tmp/coracle-writer-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void name_of(size_t i, char ret[16]) { snprintf(ret, 16, "%zu", i); }

static void hand_over(struct writer *w, int dir, size_t i) {
    char name[16];
    void *room;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)i, .tv_nsec = 5}};
    name_of(i, name);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK_OK(writer_room(w, size_of(i), &room)); /* asked for and not used: given again */
    CHECK_OK(writer_room(w, size_of(i), &room));
    memset(room, (int)(i % 250 + 1), size_of(i));
    writer_hand_over(w, fd, times);
}

static void check_file(int dir, size_t i) {
    static unsigned char data[WRITER_FILE_MAX + 1];
    char name[16];
    struct stat st;
    name_of(i, name);
    autofd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    CHECK(fstat(fd, &st) == 0 && st.st_mtim.tv_sec == (time_t)i && st.st_mtim.tv_nsec == 5);
    CHECK_INT(read(fd, data, sizeof data), (long long)size_of(i));
    for (size_t k = 0; k < size_of(i); k++)
        if (data[k] != i % 250 + 1) {
            CHECK(false); /* the data are not those of the file */
            return;
        }
}

static void test_files(void) {
    struct writer *w = NULL;
    char dir[32], name[16];
    autofd int fd = scratch(dir);
    CHECK_OK(writer_new(&w));
    for (size_t i = 0; i < FILES; i++)
        hand_over(w, fd, i);
    CHECK_OK(writer_finish(w));
    CHECK(fcntl(fd + 1, F_GETFD) < 0); /* all closed */
    for (size_t i = 0; i < FILES; i++) {
        check_file(fd, i);
        name_of(i, name);
        CHECK(unlinkat(fd, name, 0) == 0);
    }
    CHECK(rmdir(dir) == 0);
    CHECK_OK(writer_new(&w));
    CHECK_OK(writer_finish(w)); /* nothing at all */
}

/* A file that cannot be written: told by one of the next calls, or at the end. */
static void test_failure(void) {
    for (size_t n = 1; n < 400; n += 133) {
        struct writer *w = NULL;
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
        struct err *e = NULL;
        void *room;
        CHECK_OK(writer_new(&w));
        for (size_t i = 0; i < n && !e; i++) {
            e = writer_room(w, 10, &room);
            if (!e)
                writer_hand_over(w, open("/dev/full", O_WRONLY | O_CLOEXEC), times);
        }
        struct err *last = writer_finish(w);
        CHECK(!e != !last);
        CHECK_INT(err_kind(e ? e : last), ERR_NO_SPACE);
        err_free(e);
        err_free(last);
    }
}

UNIT_MAIN({"files", test_files}, {"failure", test_failure})
