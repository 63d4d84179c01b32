/*
 * labels_put: relabelling, see labels_int.h.
 *
 * It is done by the container's first process as root of the user namespace that the store's files are seen with: a
 * label can be changed by who has the file. The source is opened as the mount will open it; below it nothing is reached
 * but by the descriptor of a directory and the name of an entry, and no link is followed, as other containers may be at
 * work in it. There is no setxattrat(2) in the kernels of this decade: the entry is named through /proc/self/fd, which
 * is the host's here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/path.h"
#include "base/walk.h"
#include "engine/engine_int.h"
#include "engine/labels_int.h"
#include "engine/volumes_int.h"
#include "spec/selinux.h"

static const char attribute[] = "security.selinux";
enum { LABEL_SIZE = 4096 };

/* The kernel's text ends with a NUL, the one that we write does not have to. */
static bool has_label(const char *path, const char *label) {
    char text[LABEL_SIZE];
    ssize_t n = lgetxattr(path, attribute, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return strcmp(text, label) == 0;
}

/* "." is the directory itself. */
static struct err *put_at(const char *label, int dir, const char *name, const char *what) {
    char path[sizeof "/proc/self/fd/" + 12 + NAME_MAX];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
    if (has_label(path, label) || lsetxattr(path, attribute, label, strlen(label) + 1, 0) == 0)
        return NULL;
    if (errno == ENOENT || errno == ENOTSUP) /* removed just now; a file system without labels */
        return NULL;
    struct err *e = err_sys(errno, "set the label of %s to %s", what, label);
    if (err_errno(e) == EINVAL)
        return err_hint(e, "the SELinux policy of this machine does not know that label");
    return err_errno(e) != EPERM
               ? e
               : err_hint(e,
                          "only what belongs to you or to your subordinate ids can be relabelled; leave out z and Z");
}

/* A file that is open itself; O_PATH is enough. */
static struct err *put_fd(const char *label, int fd, const char *what) {
    char self[32];
    if (setxattr(path_of_fd(fd, self), attribute, label, strlen(label) + 1, 0) == 0 || errno == ENOTSUP)
        return NULL;
    return err_sys(errno, "set the label of %s to %s", what, label);
}

static struct err *put_file(void *ctx, int at, const char *name, const struct stat *st) {
    (void)st;
    return put_at(ctx, at, name, name);
}

/* After what is in it: who finds a directory relabelled knows that all of it is. */
static struct err *put_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    (void)st;
    return put_at(ctx, dir, ".", name);
}

static struct err *put_tree(char *label, int dir, bool lazy) {
    const struct walk_ops ops = {.file = put_file, .leave = put_dir, .ctx = label};
    autofree char *path = mem_printf("/proc/self/fd/%d/.", dir);
    return lazy && has_label(path, label) ? NULL : walk_tree(dir, ".", &ops);
}

/* By where it is and not by what it is called. */
static struct err *check_source(const struct host *h, int fd, const char *source) {
    char self[32], path[PATH_MAX];
    ssize_t n = readlink(path_of_fd(fd, self), path, sizeof path - 1);
    if (n < 0)
        return err_sys(errno, "look at %s", source);
    path[n] = '\0';
    if (!volumes_is_precious(h, fd))
        return NULL;
    return err_hint(err_new(ERR_DENIED, "SELinux relabeling of %s is not allowed", path),
                    "z and Z are for a directory that containers are to have for themselves; --security-opt "
                    "label=disable runs one without a label, which may read what you may");
}

static struct err *put_source(const struct host *h, const struct json *one) {
    const char *source = json_text(one, "Source");
    autofree char *label = mem_dup(json_text(one, "Label"));
    struct stat st;
    autofd int fd = -1;
    TRY(volumes_open_source(one, &fd));
    TRY(check_source(h, fd, source));
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "stat %s", source);
    return S_ISDIR(st.st_mode) ? put_tree(label, fd, json_bool_value(json_get(one, "Lazy"), false))
                               : put_fd(label, fd, source);
}

/* ---- what file systems are made of ---- */

static struct err *put_path(const char *base, const char *name, const char *label) {
    autofree char *path = path_join(base, name);
    autofree char *copy = mem_dup(label);
    autofd int fd = -1;
    TRY(fd_open_dir(AT_FDCWD, path, &fd));
    return put_tree(copy, fd, true);
}

/* Images of a store that others share are theirs to label; without, what their policy lets a container read, it reads.
 */
static struct err *put_layers(const struct host *h, const struct strv *layers, const char *base, const char *label) {
    for (size_t i = 0; i < layers->n; i++) {
        autofree char *path = path_join(base, layers->v[i]);
        struct err *e = path_is_below(path, h->data_root) ? put_path("/", path, label) : NULL;
        if (e && err_errno(e) != EPERM && err_errno(e) != EACCES && err_errno(e) != EROFS)
            return e;
        err_free(e);
    }
    return NULL;
}

/* A directory of the user's that is mounted as it is, or below an overlay, keeps its labels. Of FUSE the kernel knows
 * those of the mount only. */
static struct err *put_plan(const struct host *h, const struct rootfs_plan *p, const char *layers) {
    static const char *const made_of[] = {"layers", "idmaps"};
    if (p->driver == ROOTFS_COPY || p->driver == ROOTFS_DIR)
        return p->context ? put_path(p->base_dir, p->lowers.v[0], p->context) : NULL;
    for (size_t i = 0; p->driver == ROOTFS_OVERLAY && i < ARRAY_LEN(made_of); i++) {
        autofree char *dir = path_join(h->data_root, made_of[i]);
        if (!path_is_below(p->base_dir, dir))
            continue;
        TRY(put_layers(h, &p->lowers, p->base_dir, layers));
        TRY(put_layers(h, &p->data, p->base_dir, layers));
    }
    return NULL;
}

static struct err *put_plans(const struct host *h, const struct rootfs_plan *p, const char *layers) {
    TRY_CTX(put_plan(h, p, layers), "label the container's files");
    for (size_t i = 0; i < p->n_trees; i++)
        TRY_CTX(put_plan(h, &p->trees[i].plan, layers), "label what is mounted on %s", p->trees[i].destination);
    return NULL;
}

struct err *labels_put(const struct engine *e, const struct json *config, const struct rootfs_plan *p) {
    autojson list = NULL;
    const char *text = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_RELABEL));
    if (!text)
        return NULL;
    TRY(json_parse(text, strlen(text), SPEC_ANN_RELABEL, 0, &list));
    JSON_EACH(one, list) {
        const char *layers = json_str_value(json_get(one, "Layers"));
        if (layers)
            TRY(put_plans(e->host, p, layers));
        else
            TRY_CTX(put_source(e->host, one), "relabel %s", json_text(one, "Source"));
    }
    return NULL;
}
