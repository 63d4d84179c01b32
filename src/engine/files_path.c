/*
 * files_path: what the two paths of cp mean. The rules are docker's:
 *
 *     a source         "dir" and "dir/" are the directory under its own name, "dir/." is what lies in it; a link is the
 *                      link itself, but with -L, a "/" or a "/." behind it
 *     a destination    that is a directory takes the source under its name; a file is replaced by a file; what does not
 *                      exist gets the source's content under the new name, in a directory that must exist; a "/" at its
 *                      end says that it is a directory, which only a directory can become
 *
 * Both are looked up in a root directory that they cannot leave: the container's, or, for the user's own, "/".
 */
#include "engine/files_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

enum { LINKS_MAX = 10 }; /* docker's, too */

void files_path_parse(const char *text, const char *cwd, struct files_path *ret) {
    autofree char *full = text[0] == '/' ? mem_dup(text) : mem_printf("%s/%s", cwd, text);
    size_t n = strlen(text);
    bool slash = n && text[n - 1] == '/';
    while (n && text[n - 1] == '/')
        n--;
    *ret = (struct files_path){.clean = path_clean(full), .slash = slash};
    ret->dot = n && text[n - 1] == '.' && (n == 1 || text[n - 2] == '/');
}

void files_path_done(struct files_path *p) {
    free(p->clean);
    p->clean = NULL;
}

/* The directory part of a clean absolute path, owned: "/" for "/a". */
static char *parent_of(const char *clean) {
    size_t n = (size_t)(path_base(clean) - clean);
    return mem_dupn(clean, n > 1 ? n - 1 : 1);
}

static struct err *not_there(const struct files_side *s, int errnum, const char *path) {
    if (!s->container)
        return err_sys(errnum, "lstat %s", path);
    if (errnum == ENOENT)
        return err_new(ERR_NOT_FOUND, "could not find the file %s in container %s", s->text, s->container);
    return err_sys(errnum, "%s in container %s", s->text, s->container);
}

/* A directory to work in; one that may only be passed through is enough. -1 and errno. */
static int open_dir(int root, const char *path) {
    int fd = path_find_in_root(root, path, O_RDONLY | O_DIRECTORY);
    return fd < 0 && errno == EACCES ? path_find_in_root(root, path, O_PATH | O_DIRECTORY) : fd;
}

/* The path that the link at dir/name, whose own path is `path`, leads to; owned. */
static struct err *link_target(int dir, const char *name, const char *path, char **ret) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
    if (n < 0)
        return err_sys(errno, "read the link %s", path);
    target[n] = '\0';
    autofree char *parent = parent_of(path);
    autofree char *full = target[0] == '/' ? mem_dup(target) : mem_printf("%s/%s", parent, target);
    *ret = path_clean(full);
    return NULL;
}

/* ---- the source ---- */

/* The directory itself, where its name does not count or "/" asks what it leads to. */
static struct err *source_directory(const struct files_side *s, struct files_source *ret) {
    bool whole = s->path.dot || !strcmp(s->path.clean, "/");
    int fd = path_find_in_root(s->root, s->path.clean, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return not_there(s, errno, s->path.clean);
    *ret = (struct files_source){
        .dir = fd, .name = mem_dup("."), .as = mem_dup(whole ? "." : path_base(s->path.clean)), .is_dir = true};
    return NULL;
}

/* By its own name in its directory; `path` is clean and not the root. *ret_link: it is a link. */
static struct err *source_named(const struct files_side *s, const char *path, struct files_source *ret,
                                bool *ret_link) {
    struct stat st;
    autofree char *parent = parent_of(path);
    autofd int dir = path_find_in_root(s->root, parent, O_PATH | O_DIRECTORY);
    if (dir < 0 || fstatat(dir, path_base(path), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return not_there(s, errno, path);
    *ret_link = S_ISLNK(st.st_mode);
    *ret = (struct files_source){.dir = take_fd(&dir),
                                 .name = mem_dup(path_base(path)),
                                 .as = mem_dup(path_base(s->path.clean)),
                                 .is_dir = S_ISDIR(st.st_mode)};
    return NULL;
}

struct err *files_source_find(const struct files_side *s, bool follow_link, struct files_source *ret) {
    if (s->path.dot || s->path.slash || !strcmp(s->path.clean, "/"))
        return source_directory(s, ret);
    autofree char *path = mem_dup(s->path.clean);
    for (int links = 0;; links++) {
        struct files_source found;
        bool is_link = false;
        TRY(source_named(s, path, &found, &is_link));
        if (!is_link || !follow_link) {
            *ret = found;
            return NULL;
        }
        char *next = NULL;
        struct err *e =
            links < LINKS_MAX ? link_target(found.dir, found.name, path, &next) : err_sys(ELOOP, "follow %s", s->text);
        fd_close(found.dir);
        free(found.name);
        free(found.as);
        TRY(e);
        free(path);
        path = next;
        if (!strcmp(path, "/")) {
            const struct files_side top = {s->root, s->container, s->text, {.clean = path}};
            return source_directory(&top, ret);
        }
    }
}

/* ---- the destination ---- */

static struct err *wrong_kind(const struct files_side *s, const struct stat *st) {
    const char *what = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? "got a device" : "got an irregular file";
    if (!s->container)
        return err_new(ERR_USAGE, "invalid output path: \"%s\" must be a directory or a regular file: %s",
                       s->path.clean, what);
    return err_new(ERR_USAGE, "destination \"%s:%s\" must be a directory or a regular file: %s", s->container, s->text,
                   what);
}

/* The last component is to be made, or replaced, in its directory. */
static struct err *into_parent(const struct files_side *s, const char *path, struct files_dest *ret) {
    autofree char *parent = parent_of(path);
    int fd = open_dir(s->root, parent);
    if (fd < 0 && errno == ENOTDIR)
        return err_new(ERR_CONFLICT, s->container ? "extraction point is not a directory" : "not a directory");
    if (fd < 0 && errno == ENOENT)
        return s->container ? err_new(ERR_NOT_FOUND, "could not find the file %s in container %s", parent, s->container)
                            : err_new(ERR_NOT_FOUND, "invalid output path: directory \"%s\" does not exist", parent);
    if (fd < 0)
        return err_sys(errno, "open %s", parent);
    *ret = (struct files_dest){.dir = fd, .as = mem_dup(path_base(path))};
    return NULL;
}

/* Follows a link at the end whose target is missing: what it leads to is what is made. */
static struct err *missing_path(const struct files_side *s, char **ret) {
    autofree char *path = mem_dup(s->path.clean);
    for (int links = 0; links < LINKS_MAX; links++) {
        struct stat st;
        autofree char *parent = parent_of(path);
        autofd int dir = path_find_in_root(s->root, parent, O_PATH | O_DIRECTORY);
        if (dir < 0 || fstatat(dir, path_base(path), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode)) {
            *ret = take_ptr(&path);
            return NULL;
        }
        char *next = NULL;
        TRY(link_target(dir, path_base(path), path, &next));
        free(path);
        path = next;
    }
    return err_sys(ELOOP, "follow %s", s->text);
}

/* What is no directory can only be replaced by a file, and what only a directory may be is not made from one. */
static struct err *check_other(const struct files_side *s, const struct stat *st_or_null, bool source_is_dir,
                               bool tar) {
    bool asserts_dir = s->path.dot || s->path.slash;
    if (tar)
        return err_new(ERR_USAGE, "destination \"%s:%s\" must be a directory", s->container, s->text);
    if (st_or_null && !S_ISREG(st_or_null->st_mode))
        return wrong_kind(s, st_or_null);
    if (st_or_null && !asserts_dir && source_is_dir)
        return err_new(ERR_CONFLICT, "cannot copy directory");
    if (asserts_dir && !source_is_dir)
        return err_new(ERR_NOT_FOUND, "no such directory");
    return NULL;
}

struct err *files_dest_find(const struct files_side *s, bool source_is_dir, bool tar, struct files_dest *ret) {
    struct stat st = {.st_mode = 0};
    autofd int fd = path_find_in_root(s->root, s->path.clean, O_PATH);
    bool there = fd >= 0 && fstat(fd, &st) == 0;
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
        return err_sys(errno, "open %s", s->text);
    if (there && S_ISDIR(st.st_mode)) {
        int dir = open_dir(fd, ".");
        if (dir < 0)
            return err_sys(errno, "open %s", s->text);
        *ret = (struct files_dest){.dir = dir};
        return NULL;
    }
    TRY(check_other(s, there ? &st : NULL, source_is_dir, tar));
    autofree char *path = NULL;
    TRY(missing_path(s, &path));
    return into_parent(s, path, ret);
}
