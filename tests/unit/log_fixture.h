/* log_fixture: a directory for a container's log, and what is read back from it. For the tests of log drivers. */
#pragma once

#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/io.h"
#include "monitor/monitor.h"

static char scratch_path[64];

static int scratch(void) {
    char path[] = "/tmp/test-log-XXXXXX";
    int fd = -1;
    if (!mkdtemp(path))
        abort();
    snprintf(scratch_path, sizeof scratch_path, "%s", path);
    CHECK_OK(fd_open_dir(AT_FDCWD, path, &fd));
    return fd;
}

static void scratch_remove(int fd) {
    CHECK_OK(io_remove_tree(AT_FDCWD, scratch_path));
    close(fd);
}

/* Prints a log into strings; `err` may be NULL. */
static void print(int dir, struct monitor_log_read r, struct str *out, struct str *err) {
    int fo = memfd_create("out", MFD_CLOEXEC), fe = memfd_create("err", MFD_CLOEXEC);
    r.out = fo;
    r.err = fe;
    if (!r.lock_fd)
        r.lock_fd = -1;
    r.interrupt_fd = -1;
    CHECK_OK(monitor_log_print(dir, &r));
    lseek(fo, 0, SEEK_SET);
    lseek(fe, 0, SEEK_SET);
    CHECK_OK(io_read_all(fo, 1 << 30, "out", out));
    if (err)
        CHECK_OK(io_read_all(fe, 1 << 30, "err", err));
    close(fo);
    close(fe);
}

/*
 * After a writer met a full disk: its child `pid` wrote `total` lines, and all but the first and the last two may be
 * lost. What was lost is told in its place, to the line.
 */
static inline void check_lost_are_told(int dir, pid_t pid, bool local, int total) {
    struct str out = STR_INIT, err = STR_INIT, end = STR_INIT;
    int code = 0, lost = 0, kept = 0;
    CHECK(waitpid(pid, &code, 0) == pid && code == 0);
    print(dir, (struct monitor_log_read){.tail = -1, .local = local}, &out, &err);
    str_appendf(&end, "line %d\nline %d\n", total - 2, total - 1);
    CHECK(str_starts(str_c(&out), "line 0\nline 1\n") && str_ends(str_c(&out), str_c(&end)));
    for (size_t i = 0; i < out.len; i++)
        kept += out.ptr[i] == '\n';
    CHECK_INT(sscanf(str_c(&err), "coracle: %d lines of output were lost", &lost), 1);
    CHECK_INT(lost + kept, total);
    str_done(&out);
    str_done(&err);
    str_done(&end);
}
