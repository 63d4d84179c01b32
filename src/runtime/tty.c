/*
 * tty: the terminal of a process inside a container. The pty comes from the container's own devpts, so that ttyname
 * and /dev/pts in there agree; the peer is opened by ioctl from the master, never by a path that the container could
 * bend.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

/* /dev/pts must be a devpts and its ptmx the file of that very mount: a container may have put anything there. */
static struct err *open_ptmx(int dir, int *ret_fd) {
    const struct open_how how = {.flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    autofd int own = -1;
    struct statfs sf;
    struct stat st;
    if (dir < 0) {
        TRY(fd_open_at(AT_FDCWD, "/dev/pts", O_PATH | O_DIRECTORY, 0, &own));
        dir = own;
    }
    if (fstatfs(dir, &sf) < 0)
        return err_sys(errno, "look at /dev/pts");
    if (sf.f_type != DEVPTS_SUPER_MAGIC)
        return err_new(ERR_UNSUPPORTED, "the container has no devpts at /dev/pts, so it cannot have a terminal");
    autofd int fd = sys_openat2(dir, "ptmx", &how);
    if (fd < 0)
        return err_sys(errno, "open /dev/pts/ptmx");
    if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
        return err_new(ERR_DENIED, "/dev/pts/ptmx of the container is not the pty multiplexer");
    *ret_fd = take_fd(&fd);
    return NULL;
}

/* Without a devpts in the config (dir -1 before pivot) the verified /dev/pts of the host serves. */
struct err *tty_open(int dir, unsigned short rows, unsigned short cols, int *ret_master, int *ret_slave) {
    const struct winsize ws = {.ws_row = rows, .ws_col = cols};
    autofd int master = -1;
    TRY(open_ptmx(dir, &master));
    if (unlockpt(master) < 0)
        return err_sys(errno, "unlock a pty");
    autofd int slave = sys_tty_open_peer(master, O_RDWR | O_NOCTTY);
    if (slave < 0)
        return err_sys(errno, "open a pty");
    if ((rows || cols) && sys_tty_set_size(master, &ws) < 0)
        return err_sys(errno, "set the size of a pty");
    *ret_master = take_fd(&master);
    *ret_slave = take_fd(&slave);
    return NULL;
}

struct err *tty_attach(const struct launch *l) {
    int from[3] = {l->stdio[0], l->stdio[1], l->stdio[2]};
    if (l->terminal) {
        if (sys_tty_set_controlling(l->slave) < 0)
            return err_sys(errno, "take the terminal");
        from[0] = from[1] = from[2] = l->slave;
    }
    for (int i = 0; i < 3; i++) /* nothing of 0, 1, 2 may be overwritten before it has been copied */
        if (from[i] >= 0 && from[i] <= 2 && from[i] != i)
            TRY(fd_dup(from[i], &from[i]));
    for (int i = 0; i < 3; i++) {
        if (from[i] < 0)
            TRY(fd_open_at(AT_FDCWD, "/dev/null", O_RDWR | O_NOFOLLOW, 0, &from[i]));
        if (from[i] == i)
            TRY(fd_inherit(i));
        else if (dup2(from[i], i) < 0)
            return err_sys(errno, "set up standard input and output");
    }
    return NULL;
}
