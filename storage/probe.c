/*
 * probe: does overlay work here? /proc/filesystems does not tell (the module may load itself, the file system may be
 * unfit as an upper one), so a child mounts one in a user namespace of its own, and does in it what needs whiteouts and
 * user xattrs. 2 ms, once a boot: the answer is kept in the run directory, with the boot id in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "storage/store_int.h"

enum { PROBE_WORKS, PROBE_FAILS, PROBE_UNKNOWN };

static bool write_proc(const char *path, const char *text) {
    autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* In the child. Maps only the user itself, which needs no privileges and no helpers. */
static bool enter_userns(uid_t uid, gid_t gid) {
    char map[32];
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return false;
    write_proc("/proc/self/setgroups", "deny"); /* absent in old kernels */
    snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
    if (!write_proc("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
    return write_proc("/proc/self/gid_map", map);
}

/*
 * In the child. Relative paths: the store's own may hold characters that mount options cannot. The directory is entered
 * before unshare, which moves it to the new mount namespace; a descriptor stays in the old one, where overlay refuses
 * it.
 */
static int try_overlay(int dir) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (fchdir(dir) < 0 || !enter_userns(uid, gid))
        return PROBE_UNKNOWN;
    if (mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr") < 0)
        return PROBE_FAILS;
    if (unlink("merged/file") < 0 || rmdir("merged/dir") < 0 || mkdir("merged/dir", 0755) < 0)
        return PROBE_FAILS; /* whiteouts, and opaque directories by user xattr */
    return PROBE_WORKS;
}

static int refer_to_data(int dir, const char *file) {
    autofd int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && fsetxattr(fd, "user.overlay.metacopy", "", 0, 0) == 0 &&
                   fsetxattr(fd, "user.overlay.redirect", "/d", 2, 0) == 0
               ? 0
               : -1;
}

/* The same, for a file whose data is in a data-only layer. */
static int try_shift(int dir) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char byte = 0;
    if (refer_to_data(dir, "lower/ref") < 0)
        return PROBE_FAILS;
    if (fchdir(dir) < 0 || !enter_userns(uid, gid))
        return PROBE_UNKNOWN;
    if (mount("overlay", "merged", "overlay", 0, "lowerdir=lower::data,upperdir=upper,workdir=work,userxattr") < 0)
        return PROBE_FAILS;
    autofd int fd = open("merged/ref", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'd' ? PROBE_WORKS : PROBE_FAILS;
}

static struct err *make_layers(int dir) {
    static const char *const dirs[] = {"lower", "lower/dir", "data", "upper", "work", "merged"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (mkdirat(dir, dirs[i], 0755) < 0)
            return err_sys(errno, "make the directory %s", dirs[i]);
    TRY(io_write_file(dir, "data/d", "d", 1, 0644, 0));
    TRY(io_write_file(dir, "lower/ref", "x", 1, 0644, 0));
    return io_write_file(dir, "lower/file", "x", 1, 0644, 0);
}

static struct err *probe(struct store *s, int (*try)(int dir), int *ret) {
    autofree char *name = NULL;
    autofd int dir = -1;
    TRY(store_tmp_new(s, &name, &dir));
    struct err *e = make_layers(dir);
    pid_t pid = e ? -1 : fork();
    if (pid == 0)
        _exit(try(dir));
    if (!e && pid < 0)
        e = err_sys(errno, "fork");
    if (!e)
        e = proc_reap(pid, ret);
    err_free(store_tmp_remove(s, name)); /* else it is debris */
    return e;
}

/* "<run_root>/<what>-<device>", owned. */
static char *cache_path(const struct store *s, const char *what) {
    struct stat st = {0};
    if (fstat(s->dirs[STORE_ROOT], &st) < 0)
        st.st_dev = 0;
    return mem_printf("%s/%s-%x.%x", s->host->run_root, what, major(st.st_dev), minor(st.st_dev));
}

static void remember(const struct store *s, const char *path, const char *answer) {
    autofree char *text = mem_printf("%s %s\n", s->host->boot_id, answer);
    struct err *e = io_mkdirs(AT_FDCWD, s->host->run_root, 0700);
    if (!e)
        e = io_write_file(AT_FDCWD, path, text, strlen(text), 0600, 0);
    if (e)
        log_debug("cannot remember in %s what works", path);
    err_free(e);
}

/* Whether that was remembered in this boot. */
static bool remembers(const struct store *s, const char *text, const char *answer) {
    autofree char *line = mem_printf("%s %s\n", s->host->boot_id, answer);
    return str_eq(text, line);
}

static bool works(struct store *s, const char *what, int (*try)(int dir)) {
    autofree char *path = cache_path(s, what);
    autostr struct str cached = STR_INIT;
    err_free(io_read_file(AT_FDCWD, path, 256, &cached));
    if (remembers(s, str_c(&cached), "yes"))
        return true;
    if (remembers(s, str_c(&cached), "no"))
        return false;
    int result = PROBE_UNKNOWN;
    autoerr e = probe(s, try, &result);
    if (e || (result != PROBE_WORKS && result != PROBE_FAILS)) {
        log_debug("whether %s works could not be tried out; assuming so", what);
        return true;
    }
    log_debug("%s with userxattr %s on %s", what, result == PROBE_WORKS ? "works" : "does not work", s->root);
    remember(s, path, result == PROBE_WORKS ? "yes" : "no");
    return result == PROBE_WORKS;
}

bool store_says_first(struct store *s, const char *what) {
    autofree char *path = cache_path(s, what);
    autostr struct str cached = STR_INIT;
    err_free(io_read_file(AT_FDCWD, path, 256, &cached));
    if (remembers(s, str_c(&cached), "said"))
        return false;
    remember(s, path, "said");
    return true;
}

bool store_overlay_works(struct store *s) { return works(s, "overlay", try_overlay); }

bool store_overlay_shifts(struct store *s) { return works(s, "overlay-data", try_shift); }
