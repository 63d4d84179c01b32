/*
 * diff: what a container has changed. With an overlay its upper directory says it, and only what stands there is looked
 * up in the layers below; with the copy driver the whole root directory is compared with them. The rules are docker's:
 * a file is changed when mode, owner, device, size, time or attributes differ, a directory when mode, owner or
 * attributes do or something in it is changed, and what lay below a removed directory is not listed.
 *
 * The layers are looked at by paths beneath their directories that lead through no link. Which of them show through is
 * worked out once a directory: from the top, until one hides the rest.
 *
 * An upper directory may become a layer itself (store_container_take_upper()). Then the walk also makes it what the tar
 * of its changes unpacks to: what is no change goes, a directory that hides another one has whiteouts instead, and
 * times are whole seconds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "base/sys/sys.h"
#include "base/walk.h"
#include "storage/diff_int.h"
#include "storage/files.h"
#include "storage/store_int.h"

/* ---- what was there before ---- */

/* Opens a path of a layer; -1 and errno. */
int diff_open_lower(int layer, const char *path, int flags) {
    const struct open_how how = {.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return sys_openat2(layer, *path ? path : ".", &how);
}

static struct err *lower_failed(const char *path) {
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG
               ? NULL
               : err_sys(errno, "look up %s in a layer", path);
}

/* As the container has seen it: see shift.c. */
static void set_owner(const struct id_map *m, struct stat *st) {
    uint32_t uid = idmap_foreign(m->uid, m->n_uid), gid = idmap_foreign(m->gid, m->n_gid);
    (void)idmap_above(m->uid, m->n_uid, st->st_uid, &uid);
    (void)idmap_above(m->gid, m->n_gid, st->st_gid, &gid);
    st->st_uid = uid;
    st->st_gid = gid;
}

/* The topmost entry of a path in the layers that show through in its directory. *ret_layer: its number, or n. */
struct err *diff_find_lower(const struct diff *d, const struct shown *in, const char *path, struct stat *ret,
                            size_t *ret_layer) {
    for (size_t i = 0; i < in->n; i++) {
        autofd int fd = diff_open_lower(d->layers[in->layers[i]], path, O_PATH);
        if (fd < 0) {
            TRY(lower_failed(path));
            continue;
        }
        if (fstat(fd, ret) < 0)
            return err_sys(errno, "stat %s", path);
        if (d->map)
            set_owner(d->map, ret);
        *ret_layer = store_hides(fd, ret) ? in->n : i;
        return NULL;
    }
    *ret_layer = in->n;
    return NULL;
}

/* Which layers show through in a directory whose topmost layer is in->layers[from]. */
struct err *diff_show_through(const struct diff *d, const struct shown *in, size_t from, const char *path,
                              struct shown *ret) {
    ret->layers = mem_array(in->n + 1, sizeof *ret->layers);
    for (size_t i = from; i < in->n; i++) {
        struct stat st;
        autofd int fd = diff_open_lower(d->layers[in->layers[i]], path, O_PATH);
        if (fd < 0) {
            TRY(lower_failed(path));
            continue;
        }
        if (fstat(fd, &st) < 0)
            return err_sys(errno, "stat %s", path);
        if (!S_ISDIR(st.st_mode))
            return NULL;
        ret->layers[ret->n++] = in->layers[i];
        autofd int dir = diff_open_lower(d->layers[in->layers[i]], path, O_RDONLY | O_DIRECTORY);
        if (dir < 0)
            return err_sys(errno, "open %s", path);
        if (store_is_opaque(dir))
            return NULL;
    }
    return NULL;
}

struct listing {
    struct strmap names; /* name → "" or, for a whiteout, "w"; the topmost layer's word counts */
    int dir;
};

static struct err *list_name(void *ctx, const char *name, unsigned char d_type) {
    struct listing *l = ctx;
    struct stat st;
    bool gone = (d_type == DT_CHR || d_type == DT_REG || d_type == DT_UNKNOWN) &&
                fstatat(l->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && store_whiteout_of(l->dir, name, &st);
    strmap_set(&l->names, name, gone ? "w" : "");
    return NULL;
}

/* The names that were in a directory: bottom layer first, so that a higher one has the last word. */
struct err *diff_list_lower(const struct diff *d, const struct shown *s, const char *path, struct strv *ret) {
    struct listing l = {.dir = -1};
    struct err *e = NULL;
    for (size_t i = s->n; !e && i-- > 0;) {
        autofd int dir = diff_open_lower(d->layers[s->layers[i]], path, O_RDONLY | O_DIRECTORY);
        if (dir < 0)
            continue;
        l.dir = dir;
        e = io_each_entry(dir, list_name, &l);
    }
    for (size_t i = 0; i < l.names.n; i++)
        if (!*l.names.e[i].value)
            strv_push(ret, l.names.e[i].key);
    strmap_done(&l.names);
    strv_sort(ret);
    return e;
}

/* ---- changes ---- */

void diff_note(struct diff *d, char kind, const char *path) {
    if (d->n_changes == d->cap_changes) {
        d->cap_changes = d->cap_changes ? 2 * d->cap_changes : 64;
        d->changes = mem_resize(d->changes, d->cap_changes, sizeof *d->changes);
    }
    d->changes[d->n_changes++] = mem_printf("%c%s", kind, path);
}

const char *diff_path_of(struct diff *d, const char *name) {
    str_append(&d->path, name);
    return str_c(&d->path);
}

void diff_path_back(struct diff *d, size_t len) {
    d->path.len = len;
    d->path.ptr[len] = '\0';
}

/*
 * Where docker has a layer of its own below the container's: what a start needs to be there. An empty one of these that
 * no layer of the image has was made by a start, not by the container.
 */
static bool made_by_start(const char *path, const struct stat *st) {
    static const char *const places[] = {
        "/.dockerenv", "/dev",          "/dev/console",   "/dev/mqueue",       "/dev/pts",
        "/dev/shm",    "/etc/hostname", "/etc/hosts",     "/etc/resolv.conf",  "/etc/mtab",
        "/proc",       "/sys",          "/sys/fs/cgroup", "/run/.containerenv"};
    if (!S_ISDIR(st->st_mode) && st->st_size)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (strcmp(places[i], path) == 0)
            return true;
    return false;
}

bool diff_same_meta(const struct stat *a, const struct stat *b) {
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_rdev == b->st_rdev;
}

bool diff_same_file(const struct stat *a, const struct stat *b) {
    return diff_same_meta(a, b) && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

enum { XATTR_MAX = 65536 };

/* Number of a file's attributes that are not of a union mount; -1: `other` (unless -1) has not all of them alike. */
static int compare_xattrs(int fd, int other) {
    ssize_t n = flistxattr(fd, NULL, 0);
    int count = 0;
    if (n <= 0) /* nearly always */
        return 0;
    autofree char *list = mem_alloc(XATTR_MAX);
    autofree char *a = mem_alloc(XATTR_MAX);
    autofree char *b = mem_alloc(XATTR_MAX);
    n = flistxattr(fd, list, XATTR_MAX);
    for (const char *name = list; name < list + n; name += strlen(name) + 1) {
        if (store_xattr_internal(name))
            continue;
        count++;
        if (other < 0)
            continue;
        ssize_t na = fgetxattr(fd, name, a, XATTR_MAX), nb = fgetxattr(other, name, b, XATTR_MAX);
        if (na != nb || (na > 0 && memcmp(a, b, (size_t)na) != 0))
            return -1;
    }
    return count;
}

bool diff_same_xattrs(int fd, int other) {
    int n = compare_xattrs(fd, other);
    return n >= 0 && n == compare_xattrs(other, -1);
}

/* What stat does not tell of two files or directories: their attributes. `old` is a path of the layer. */
static bool same_xattrs(int at, const char *name, int layer, const char *old, mode_t mode) {
    if (!S_ISREG(mode) && !S_ISDIR(mode))
        return true;
    autofd int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    autofd int was = diff_open_lower(layer, old, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return fd < 0 || was < 0 || diff_same_xattrs(fd, was);
}

static void forget_old(struct shown *s, const char *name) {
    size_t at;
    if (strv_find_sorted(&s->old, name, &at))
        strv_remove(&s->old, at);
}

static struct err *one_file(struct diff *d, int at, const char *name, const char *path, const struct stat *st) {
    struct shown *in = &d->at[d->depth - 1];
    struct stat old;
    size_t layer = 0;
    if (store_is_whiteout(st)) {
        TRY(diff_find_lower(d, in, path + 1, &old, &layer));
        if (layer < in->n)
            diff_note(d, 'D', path);
        return NULL;
    }
    forget_old(in, name);
    TRY(diff_find_lower(d, in, path + 1, &old, &layer));
    if (layer == in->n && !made_by_start(path, st))
        diff_note(d, 'A', path);
    else if (layer < in->n &&
             (!diff_same_file(st, &old) || (d->settle && st->st_nlink > 1) /* its other name may be new */ ||
              !same_xattrs(at, name, d->layers[in->layers[layer]], path + 1, st->st_mode)))
        diff_note(d, 'C', path);
    return NULL;
}

/* ---- an upper directory that becomes a layer ---- */

static struct timespec settled_time(const struct diff *d, const struct stat *st) {
    return (struct timespec){.tv_sec = st->st_mtim.tv_sec > d->latest ? d->latest : st->st_mtim.tv_sec};
}

/* A socket is nothing without its server; no tar holds it. */
static struct err *settle_file(const struct diff *d, int at, const char *name, const struct stat *st, bool changed) {
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, settled_time(d, st)};
    if (!d->settle)
        return NULL;
    if (!changed || S_ISSOCK(st->st_mode))
        return unlinkat(at, name, 0) < 0 ? err_sys(errno, "remove %s", name) : NULL;
    bool stays = !st->st_mtim.tv_nsec && st->st_mtim.tv_sec == times[1].tv_sec;
    if (!stays && utimensat(at, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "set the time of %s", name);
    return NULL;
}

/* It has hidden all that lies below: now what is gone has a whiteout each, as the tar says it. */
static struct err *settle_opaque(const struct diff *d, int dir, const struct shown *s) {
    if (!d->settle)
        return NULL;
    for (size_t i = 0; i < s->old.n; i++)
        if (mknodat(dir, s->old.v[i], S_IFCHR, 0) < 0)
            return err_sys(errno, "make a whiteout");
    if (fremovexattr(dir, "user.overlay.opaque") < 0 && errno != ENODATA && errno != ENOTSUP)
        return err_sys(errno, "open a directory to what lies below");
    return NULL;
}

static struct err *settle_dir(struct diff *d, int dir, const struct shown *s, const struct stat *st, bool changed) {
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, settled_time(d, st)};
    if (!d->settle || d->depth == 1)
        return NULL;
    TRY(settle_opaque(d, dir, s));
    if (!changed)
        strv_push(&d->unchanged, str_c(&d->path) + 1);
    return futimens(dir, times) < 0 ? err_sys(errno, "set the time of a directory") : NULL;
}

/* After the walk, which goes up from them. The directory above looks as if it had not been touched. */
static struct err *remove_unchanged(const struct diff *d, int top) {
    for (size_t i = 0; i < d->unchanged.n; i++) {
        const char *path = d->unchanged.v[i];
        autofree char *above = mem_dupn(path, (size_t)(path_base(path) - path));
        autofd int dir = diff_open_lower(top, above, O_RDONLY | O_DIRECTORY);
        struct stat st;
        if (dir < 0 || fstat(dir, &st) < 0 || unlinkat(dir, path_base(path), AT_REMOVEDIR) < 0)
            return err_sys(errno, "remove %s", path);
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
        if (futimens(dir, times) < 0)
            return err_sys(errno, "set the time of a directory");
    }
    return NULL;
}

/* ---- the walk ---- */

static struct err *visit_file(void *ctx, int at, const char *name, const struct stat *st) {
    struct diff *d = ctx;
    struct stat hidden = {.st_mode = S_IFCHR};
    const char *gone = d->whole ? NULL : store_whiteout_of(at, name, st);
    size_t len = d->path.len;
    if (!d->whole && str_eq(name, STORE_WH_OPAQUE))
        return NULL;
    const char *path = diff_path_of(d, gone ? gone : name);
    size_t before = d->n_changes;
    struct err *e = one_file(d, at, name, path, gone ? &hidden : st);
    diff_path_back(d, len);
    return e ? e : settle_file(d, at, name, st, d->n_changes > before);
}

static void push_level(struct diff *d, struct shown s) {
    if (d->depth == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 16;
        d->at = mem_resize(d->at, d->cap, sizeof *d->at);
    }
    d->at[d->depth++] = s;
}

static struct err *enter_root(struct diff *d) {
    struct shown s = {.layers = mem_array(d->n_layers + 1, sizeof *s.layers), .below = true, .same = true};
    for (size_t i = 0; i < d->n_layers; i++)
        s.layers[s.n++] = (int)i;
    if (d->whole)
        TRY(diff_list_lower(d, &s, "", &s.old));
    push_level(d, s);
    str_append(&d->path, "/");
    return NULL;
}

/* With the directory's own path in d->path. */
static struct err *look_below(struct diff *d, int dir, const struct stat *st, struct shown *ret) {
    const struct shown *in = &d->at[d->depth - 1];
    const char *path = str_c(&d->path) + 1;
    struct stat old;
    size_t layer = 0;
    TRY(diff_find_lower(d, in, path, &old, &layer));
    ret->below = layer < in->n;
    ret->same = ret->below && diff_same_meta(st, &old) &&
                same_xattrs(dir, ".", d->layers[in->layers[layer]], path, st->st_mode);
    if (ret->below && S_ISDIR(old.st_mode))
        TRY(diff_show_through(d, in, layer, path, ret));
    if (d->whole || store_is_opaque(dir)) /* what is not there any more has left no whiteout */
        TRY(diff_list_lower(d, ret, path, &ret->old));
    return NULL;
}

static struct err *enter_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct diff *d = ctx;
    struct shown s = {.n = 0};
    if (!d->depth)
        return enter_root(d);
    forget_old(&d->at[d->depth - 1], name);
    const char *path = diff_path_of(d, name);
    struct err *e = look_below(d, dir, st, &s);
    s.first = d->n_changes;
    bool hidden = !s.below && made_by_start(path, st);
    if (!e && !s.below && !hidden)
        diff_note(d, 'A', path);
    if (hidden)
        s.below = s.same = true;
    push_level(d, s);
    str_append_c(&d->path, '/');
    return e;
}

static struct err *leave_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct diff *d = ctx;
    struct shown *s = &d->at[d->depth - 1];
    struct err *e = NULL;
    size_t len = d->path.len;
    for (size_t i = 0; i < s->old.n; i++) {
        diff_note(d, 'D', diff_path_of(d, s->old.v[i]));
        diff_path_back(d, len);
    }
    if (d->depth > 1) {
        bool changed = s->below && (!s->same || d->n_changes > s->first);
        diff_path_back(d, len - 1);
        if (changed)
            diff_note(d, 'C', str_c(&d->path));
        e = settle_dir(d, dir, s, st, changed || !s->below);
        diff_path_back(d, len - 1 - strlen(name));
    }
    diff_shown_done(s);
    d->depth--;
    return e;
}

/* A directory comes before what lies in it, and siblings in the order of their names. */
static int by_path(const void *a, const void *b) {
    const unsigned char *x = (const unsigned char *)*(char *const *)a + 1;
    const unsigned char *y = (const unsigned char *)*(char *const *)b + 1;
    while (*x && *x == *y) {
        x++;
        y++;
    }
    int p = *x == '/' ? 1 : *x ? *x + 1 : 0, q = *y == '/' ? 1 : *y ? *y + 1 : 0;
    return p - q;
}

struct err *diff_write(struct diff *d, int out_fd) {
    autostr struct str text = STR_INIT;
    if (d->n_changes)
        qsort(d->changes, d->n_changes, sizeof *d->changes, by_path);
    for (size_t i = 0; i < d->n_changes; i++) {
        str_append_n(&text, d->changes[i], strlen(d->changes[i]) + 1);
        if (text.len < (1 << 20) && i + 1 < d->n_changes)
            continue;
        TRY(io_write_all(out_fd, text.ptr, text.len));
        str_clear(&text);
    }
    return NULL;
}

struct err *diff_open_layers(const struct store *s, const struct strv *chain_ids, struct diff *d) {
    int layers;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    d->layers = mem_resize(d->layers, d->n_layers + chain_ids->n + 1, sizeof *d->layers);
    for (size_t i = chain_ids->n; i-- > 0;) {
        autofree char *diff = mem_printf("%s/diff", digest_hex(chain_ids->v[i]));
        int fd = openat(layers, diff, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return err_sys(errno, "open layer %s", chain_ids->v[i]);
        d->layers[d->n_layers++] = fd;
    }
    return NULL;
}

void diff_shown_done(struct shown *s) {
    free(s->layers);
    strv_done(&s->old);
}

void diff_done(struct diff *d) {
    while (d->depth)
        diff_shown_done(&d->at[--d->depth]);
    free(d->at);
    for (size_t i = 0; i < d->n_layers; i++)
        fd_close(d->layers[i]);
    free(d->layers);
    for (size_t i = 0; i < d->n_changes; i++)
        free(d->changes[i]);
    free(d->changes);
    str_done(&d->path);
    strv_done(&d->unchanged);
}

struct err *store_container_changes_open(const struct store *s, const char *id, int *ret_fd) {
    autofd int dir = -1;
    TRY(store_container_open(s, id, &dir));
    return fd_open_at(dir, store_changes_dir(dir), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, ret_fd);
}

/* As a layer's root is after unpacking; the mark is that of the overlay, which is no more. */
static struct err *move_upper(int container, int upper, int tmp_fd) {
    if (fremovexattr(upper, "user.overlay.uuid") < 0 && errno != ENODATA && errno != ENOTSUP)
        return err_sys(errno, "remove a mark of overlay");
    if (fchown(upper, 0, 0) < 0 || fchmod(upper, 0755) < 0 || renameat(container, "upper", tmp_fd, "diff") < 0)
        return err_sys(errno, "move the upper directory");
    return NULL;
}

struct err *store_container_take_upper(const struct store *s, const struct store_take *t) {
    autofd int dir = -1;
    autofd int upper = -1;
    struct diff d = {.settle = true, .latest = t->latest};
    const struct walk_ops ops = {.file = visit_file, .enter = enter_dir, .leave = leave_dir, .ctx = &d};
    TRY(store_container_open(s, t->id, &dir));
    TRY(fd_open_dir(dir, "upper", &upper));
    struct err *e = diff_open_layers(s, t->chain_ids, &d);
    if (!e)
        e = walk_tree(dir, "upper", &ops);
    if (!e)
        e = remove_unchanged(&d, upper);
    if (!e)
        e = diff_write(&d, t->out_fd);
    diff_done(&d);
    if (!e)
        e = move_upper(dir, upper, t->tmp_fd);
    return e ? err_wrap(e, "changes of container %.12s", t->id) : NULL;
}

struct err *store_container_changes(const struct store *s, const char *id, const struct strv *chain_ids,
                                    const struct id_map *map, int out_fd) {
    autofd int dir = -1;
    struct diff d = {.map = map};
    const struct walk_ops ops = {.file = visit_file, .enter = enter_dir, .leave = leave_dir, .ctx = &d};
    TRY(store_container_open(s, id, &dir));
    const char *tree = store_changes_dir(dir);
    d.whole = !str_eq(tree, "upper");
    struct err *e = diff_open_layers(s, chain_ids, &d);
    if (!e)
        e = walk_tree(dir, tree, &ops);
    if (!e)
        e = diff_write(&d, out_fd);
    diff_done(&d);
    return e ? err_wrap(e, "changes of container %.12s", id) : NULL;
}
