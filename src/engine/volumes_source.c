/*
 * volumes_source: the source of a mount that is changed itself, by U, z or Z: opened as the mount will open it, and
 * what none of them may change. See volumes_int.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "engine/engine_int.h"
#include "engine/volumes_int.h"
#include "spec/selinux.h"

struct err *volumes_open_source(const struct json *one, int *ret_fd) {
    const char *source = json_text(one, "Source"), *subpath = json_str_value(json_get(one, "Subpath"));
    autofd int top = -1;
    TRY(fd_open_at(AT_FDCWD, source, O_PATH, 0, &top));
    if (subpath) {
        int sub = path_find_in_root(top, subpath, O_PATH);
        if (sub < 0)
            return err_sys(errno, "cannot access path %s in %s", subpath, source);
        fd_replace(&top, sub);
    }
    *ret_fd = take_fd(&top);
    return NULL;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether `path` is the directory, or lies in it. */
static bool holds(const struct stat *dir, const char *path) {
    struct stat above = {.st_ino = 0}, st;
    autofd int fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    while (fd >= 0 && fstat(fd, &st) == 0 && !same_file(&st, &above)) {
        if (same_file(&st, dir))
            return true;
        above = st;
        fd_replace(&fd, openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    return false;
}

/* The system's are known by their names, the user's by what they are: there may be another way to them. */
bool volumes_is_precious(const struct host *h, int fd) {
    const char *const own[] = {h->home, h->data_root, h->run_root};
    char self[32], path[PATH_MAX];
    struct stat st;
    ssize_t n = readlink(path_of_fd(fd, self), path, sizeof path - 1);
    if (n < 0 || fstat(fd, &st) < 0)
        return true;
    path[n] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (holds(&st, own[i]))
            return true;
    return selinux_is_precious(path, h->home);
}
