/* io_lock: locks on whole files, and on directories. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"

static int lock_call(int fd, int cmd, short type, struct flock *ret) {
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET};
    int rc;
    do
        rc = fcntl(fd, cmd, &fl);
    while (rc < 0 && errno == EINTR);
    if (ret)
        *ret = fl;
    return rc;
}

static short lock_type(enum io_lock how) { return how == IO_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK; }

struct err *io_lock(int fd, enum io_lock how) {
    if (lock_call(fd, F_OFD_SETLKW, lock_type(how), NULL) < 0)
        return err_sys(errno, "wait for a lock");
    return NULL;
}

struct err *io_lock_dir(int dirfd, enum io_lock how) {
    while (flock(dirfd, how == IO_LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) < 0)
        if (errno != EINTR)
            return err_sys(errno, "wait for a lock");
    return NULL;
}

struct err *io_try_lock(int fd, enum io_lock how, bool *ret_got) {
    if (lock_call(fd, F_OFD_SETLK, lock_type(how), NULL) == 0)
        *ret_got = true;
    else if (errno == EAGAIN || errno == EACCES)
        *ret_got = false;
    else
        return err_sys(errno, "take a lock");
    return NULL;
}

struct err *io_lock_held(int fd, bool *ret_held) {
    /* A shared lock conflicts with exclusive ones only. */
    struct flock fl;
    if (lock_call(fd, F_OFD_GETLK, F_RDLCK, &fl) < 0)
        return err_sys(errno, "look at a lock");
    *ret_held = fl.l_type != F_UNLCK;
    return NULL;
}

struct err *io_unlock(int fd) {
    if (lock_call(fd, F_OFD_SETLK, F_UNLCK, NULL) < 0)
        return err_sys(errno, "give back a lock");
    return NULL;
}
