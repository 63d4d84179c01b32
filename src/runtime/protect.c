/*
 * protect: a binary that the user owns could be written to by root of a container, who is that user, if it ever got
 * hold of /proc/PID/exe of a process that runs it there (CVE-2019-5736: an image whose entry point is /proc/self/exe).
 * So such a binary is copied into a sealed memory file once and executed from there; one that belongs to the system is
 * left alone. The helpers are found through CORACLE_EXE, as /proc/self/exe then leads nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool is_sealed(int exe) {
    int seals = fcntl(exe, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_WRITE);
}

/* The copy, sealed. */
static struct err *make_copy(int exe, int *ret_fd) {
    autofd int copy = sys_memfd("coracle", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL) /* before Linux 6.3 */
        copy = sys_memfd("coracle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return err_sys(errno, "make a memory file");
    TRY(io_copy(exe, copy, UINT64_MAX, NULL));
    if (fcntl(copy, F_ADD_SEALS, SEALS) < 0)
        return err_sys(errno, "seal a memory file");
    *ret_fd = take_fd(&copy);
    return NULL;
}

struct err *runtime_protect_self(char *const *argv) {
    char path[PATH_MAX];
    struct stat st;
    autofd int copy = -1;
    if (stat("/proc/self/exe", &st) < 0)
        return err_hint(err_sys(errno, "look at /proc/self/exe"), "mount procfs on /proc");
    if (st.st_uid != getuid() && access("/proc/self/exe", W_OK) < 0)
        return NULL;
    autofd int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (exe < 0)
        return err_sys(errno, "open /proc/self/exe");
    if (is_sealed(exe))
        return NULL;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        return err_sys(errno, "read /proc/self/exe");
    path[n] = '\0';
    TRY_CTX(make_copy(exe, &copy), "protect %s from containers", path);
    if (setenv("CORACLE_EXE", path, 1) < 0)
        return err_sys(errno, "set CORACLE_EXE");
    (void)execveat(copy, "", argv, environ, AT_EMPTY_PATH);
    return err_sys(errno, "execute a protected copy of %s", path);
}
