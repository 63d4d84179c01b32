/* shared: see shared_int.h. */
#include "storage/unpack/shared_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/sys/sys.h"
#include "storage/unpack/node_int.h"
#include "storage/unpack/tree_int.h"

/* There is one directory in data/. */
static struct err *take_place(void *ctx, const char *name, unsigned char d_type) {
    struct shared *s = ctx;
    (void)d_type;
    if (strlen(name) >= sizeof s->place || !*name || name[strspn(name, "0123456789")])
        return err_new(ERR_CORRUPT, "a shared layer with data in %s", name);
    (void)snprintf(s->place, sizeof s->place, "%s", name);
    return NULL;
}

struct err *shared_open(int layer, struct shared *ret) {
    struct shared s = {.diff = -1, .data = -1};
    autofd int data = -1;
    struct err *e = fd_open_dir(layer, "diff", &s.diff);
    if (!e)
        e = fd_open_dir(layer, "data", &data);
    if (!e)
        e = io_each_entry(data, take_place, &s);
    if (!e)
        e = fd_open_dir(data, s.place, &s.data);
    if (e) {
        shared_done(&s);
        return e;
    }
    *ret = s;
    return NULL;
}

void shared_done(struct shared *s) {
    fd_replace(&s->diff, -1);
    fd_replace(&s->data, -1);
}

/* Of the same layer, of the same name, size and time, it is the same file: no other entry of the layer has replaced it.
 */
static bool is_it(const struct stat *st, const struct node *n) {
    return S_ISREG(st->st_mode) && st->st_size == n->size && st->st_mtim.tv_sec == n->times[1].tv_sec &&
           st->st_mtim.tv_nsec == n->times[1].tv_nsec;
}

/* Who may not read it here could not read it in a container either: overlay reads with our rights. */
static bool find(const struct shared *s, const char *path, const struct node *n, char ret_ino[32]) {
    char clean[TREE_PATH_MAX];
    size_t len, base;
    struct stat st, linked;
    const struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    autoerr odd = tree_clean(path, clean, &len, &base);
    autofd int fd = odd ? -1 : sys_openat2(s->diff, clean, &how);
    if (fd < 0 || fstat(fd, &st) < 0 || !is_it(&st, n))
        return false;
    (void)snprintf(ret_ino, 32, "%llx", (unsigned long long)st.st_ino);
    return fstatat(s->data, ret_ino, &linked, AT_SYMLINK_NOFOLLOW) == 0 && linked.st_ino == st.st_ino;
}

bool shared_refer(const struct shared *s, const char *path, const struct node *n, int fd) {
    char ino[32], redirect[64];
    if (n->size == 0 || !find(s, path, n, ino))
        return false;
    int len = snprintf(redirect, sizeof redirect, "/%s/%s", s->place, ino);
    if (fsetxattr(fd, "user.overlay.redirect", redirect, (size_t)len, 0) == 0 &&
        fsetxattr(fd, "user.overlay.metacopy", "", 0, 0) == 0 && ftruncate(fd, n->size) == 0)
        return true;
    (void)fremovexattr(fd, "user.overlay.metacopy");
    (void)fremovexattr(fd, "user.overlay.redirect");
    return false;
}
