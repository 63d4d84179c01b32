/*
 * logpack: rotated files are compressed by a process of its own, so that neither the container nor the monitor waits
 * for it. One works at a time: it holds a lock on the directory and takes every rotated file it finds, the oldest
 * first. Who comes meanwhile leaves its file to it: the worker looks once more after it has let go of the lock, so
 * that a file which came too late for its last look is not forgotten.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/gzip.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "monitor/lognames_int.h"
#include "monitor/logwriter_int.h"

enum { NICE = 10 };

/* The oldest file that is not compressed yet; 0: none. */
static struct err *find_plain(int dirfd, int64_t *ret) {
    struct logrange r;
    struct stat st;
    char name[LOG_NAME_SIZE];
    TRY(logrange_find(dirfd, &r));
    *ret = 0;
    for (int64_t i = r.oldest; i <= r.newest && !*ret; i++) {
        logname(i, false, name);
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            *ret = i;
    }
    return NULL;
}

/* The two names change as lognames_int.h promises. Where the first has gone meanwhile, so has the file: rotation. */
static struct err *pack(int dirfd, int64_t number) {
    char plain[LOG_NAME_SIZE], packed[LOG_NAME_SIZE];
    autofd int from = -1, to = -1;
    logname(number, false, plain);
    logname(number, true, packed);
    TRY(fd_open_at(dirfd, plain, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &from));
    TRY(fd_open_at(dirfd, LOG_NAME_PACKED, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &to));
    struct err *e = gzip_file(from, to);
    if (!e && renameat(dirfd, LOG_NAME_PACKED, dirfd, packed) < 0)
        e = err_sys(errno, "rename a compressed log");
    if (e)
        unlinkat(dirfd, LOG_NAME_PACKED, 0);
    else if (unlinkat(dirfd, plain, 0) < 0)
        unlinkat(dirfd, packed, 0);
    return e;
}

/* What cannot be compressed (no space, no library) stays as it is, and so does what came after it. */
static struct err *pack_all(int dirfd) {
    for (;;) {
        autofd int lock = -1;
        int64_t number;
        TRY(find_plain(dirfd, &number));
        if (!number)
            return NULL;
        TRY(fd_open_dir(dirfd, ".", &lock)); /* a description of its own, which the lock belongs to */
        if (flock(lock, LOCK_EX | LOCK_NB) < 0)
            return NULL;
        while (number) {
            struct err *e = pack(dirfd, number);
            if (e && err_kind(e) != ERR_NOT_FOUND)
                return e;
            err_free(e);
            TRY(find_plain(dirfd, &number));
        }
    }
}

/* Two forks, so that the worker is nobody's zombie; by the time the first has ended, the second holds nothing that
 * others wait for, above all not the container's lock. */
void logpack_begin(int dirfd) {
    pid_t child = fork();
    if (child == 0) {
        fd_close_all_but(&dirfd, 1);
        if (fork() != 0)
            _exit(0);
        sys_signals_reset(); /* a worker may be ended, at any time: half its work has no name that counts */
        proc_title("coracle-log");
        setpriority(PRIO_PROCESS, 0, NICE);
        autoerr e = pack_all(dirfd);
        _exit(e != NULL);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}
