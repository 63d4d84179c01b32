/*
 * compare: see compare.h. Each tree becomes a list of facts about its entries, sorted by path; the two are then merged.
 * Contents are compared by digest, so that no tree is read while the other waits, whatever its depth.
 */
#include "storage/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/walk.h"

enum { NAMES_SIZE = 65536, VALUE_SIZE = 65536 }; /* the most that the kernel gives */

struct entry {
    char *path; /* owned; "" is the root */
    struct stat st;
    char *link;                   /* of a symlink its target, of a hard link the name that the walk met first; owned */
    const char *group;            /* of a file with several names the first of them in path order; borrowed */
    char content[DIGEST_LEN + 1]; /* of a regular file */
    char attributes[DIGEST_LEN + 1];
};

struct listing {
    struct str path; /* of the directory that the walk is in */
    struct entry *v;
    size_t n, cap;
    struct walk_inodes inodes;
};

static void listing_done(struct listing *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].path);
        free(l->v[i].link);
    }
    free(l->v);
    str_done(&l->path);
    walk_inodes_done(&l->inodes);
}

/* ---- facts ---- */

/* What overlay notes where it has copied a file up says nothing of the file: a layer that was an upper directory has
 * it. */
static bool attribute_counts(const char *name) {
    if (str_eq(name, "user.overlay.origin") || str_eq(name, "user.overlay.impure"))
        return false;
    return str_starts(name, "user.") || str_eq(name, "security.capability") || str_eq(name, "system.posix_acl_access");
}

static struct err *add_attribute(int fd, const char *name, char *value, struct str *out) {
    ssize_t n = fgetxattr(fd, name, value, VALUE_SIZE);
    if (n < 0)
        return err_sys(errno, "read the attribute %s", name);
    str_appendf(out, "%s=%zd:", name, n);
    str_append_n(out, value, (size_t)n);
    return NULL;
}

/* One digest over names and values, in the order of the names. */
struct err *store_digest_attributes(int fd, char ret[DIGEST_LEN + 1]) {
    autofree char *list = mem_resize(NULL, NAMES_SIZE, 1);
    autofree char *value = mem_resize(NULL, VALUE_SIZE, 1);
    autostr struct str all = STR_INIT;
    autostrv struct strv names = {.n = 0};
    ssize_t n = flistxattr(fd, list, NAMES_SIZE);
    if (n < 0 && errno != EOPNOTSUPP)
        return err_sys(errno, "list attributes");
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        if (attribute_counts(list + at))
            strv_push(&names, list + at);
    if (!names.n)
        return NULL;
    strv_sort(&names);
    for (size_t i = 0; i < names.n; i++)
        TRY(add_attribute(fd, names.v[i], value, &all));
    return digest_of(str_c(&all), all.len, ret);
}

static struct err *read_link(int at, const char *name, char **ret) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(at, name, target, sizeof target);
    if (n < 0)
        return err_sys(errno, "read the link %s", name);
    *ret = mem_dupn(target, (size_t)n);
    return NULL;
}

static struct entry *add_entry(struct listing *l, const char *name, const struct stat *st) {
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 256;
        l->v = mem_resize(l->v, l->cap, sizeof *l->v);
    }
    struct entry *e = &l->v[l->n++];
    *e = (struct entry){.path = mem_printf("%s%s%s", str_c(&l->path), l->path.len ? "/" : "", name), .st = *st};
    return e;
}

static struct err *add_file(void *ctx, int at, const char *name, const struct stat *st) {
    struct listing *l = ctx;
    struct entry *e = add_entry(l, name, st);
    const char *first = st->st_nlink > 1 ? walk_inodes_put(&l->inodes, st, e->path) : NULL;
    if (first || S_ISLNK(st->st_mode))
        return first ? (e->link = mem_dup(first), NULL) : read_link(at, name, &e->link);
    if (!S_ISREG(st->st_mode))
        return NULL;
    autofd int fd = -1;
    TRY(fd_open_at(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &fd));
    TRY_CTX(digest_of_fd(fd, e->content, NULL), "%s", e->path);
    TRY_CTX(store_digest_attributes(fd, e->attributes), "%s", e->path);
    return NULL;
}

static struct err *enter_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    struct listing *l = ctx;
    struct entry *e = add_entry(l, l->n ? name : "", st);
    str_clear(&l->path);
    str_append(&l->path, e->path);
    TRY_CTX(store_digest_attributes(dir, e->attributes), "%s", e->path);
    return NULL;
}

static struct err *leave_dir(void *ctx, int dir, const char *name, const struct stat *st) {
    (void)dir;
    (void)name;
    (void)st;
    struct listing *l = ctx;
    char *slash = l->path.len ? strrchr(l->path.ptr, '/') : NULL;
    l->path.len = slash ? (size_t)(slash - l->path.ptr) : 0;
    if (l->path.ptr)
        l->path.ptr[l->path.len] = '\0';
    return NULL;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static struct err *list_tree(int dirfd, const char *name, struct listing *l) {
    const struct walk_ops ops = {.file = add_file, .enter = enter_dir, .leave = leave_dir, .ctx = l};
    TRY(walk_tree(dirfd, name, &ops));
    qsort(l->v, l->n, sizeof *l->v, compare_paths);
    return NULL;
}

/* ---- two of them ---- */

static const char *type_word(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a file";
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a pipe";
    default:
        return "a device";
    }
}

/*
 * Which names are one file is told by the first of them in path order: the order of a walk is the directory's. A file
 * of one name here may have others elsewhere (shift.c), which is none of the tree's business.
 */
static void settle_links(struct listing *l) {
    for (size_t i = 0; i < l->n; i++) {
        struct entry *e = &l->v[i], *met;
        if (S_ISLNK(e->st.st_mode) || S_ISDIR(e->st.st_mode) || !e->link)
            continue;
        const struct entry key = {.path = e->link};
        met = bsearch(&key, l->v, l->n, sizeof *l->v, compare_paths);
        if (!met) /* its name went away during the walk */
            continue;
        if (!met->group)
            met->group = strcmp(met->path, e->path) < 0 ? met->path : e->path;
        e->group = met->group;
        memmove(e->content, met->content, sizeof e->content);
        memmove(e->attributes, met->attributes, sizeof e->attributes);
    }
}

/* How an entry differs from what it ought to be, appended; nothing when it does not. */
static void differ(const struct entry *is, const struct entry *good, struct str *out) {
    const struct stat *a = &is->st, *b = &good->st;
    bool dir = S_ISDIR(b->st_mode);
    if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT))
        str_appendf(out, "is %s instead of %s", type_word(a->st_mode), type_word(b->st_mode));
    else if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
        str_appendf(out, "belongs to %u:%u instead of %u:%u", (unsigned)a->st_uid, (unsigned)a->st_gid,
                    (unsigned)b->st_uid, (unsigned)b->st_gid);
    else if (a->st_mode != b->st_mode)
        str_appendf(out, "has the mode %04o instead of %04o", a->st_mode & 07777, b->st_mode & 07777);
    else if (a->st_rdev != b->st_rdev)
        str_appendf(out, "is device %u:%u instead of %u:%u", major(a->st_rdev), minor(a->st_rdev), major(b->st_rdev),
                    minor(b->st_rdev));
    else if (!dir && a->st_size != b->st_size)
        str_appendf(out, "has %lld bytes instead of %lld", (long long)a->st_size, (long long)b->st_size);
    else if (S_ISLNK(b->st_mode) ? !str_eq(is->link, good->link) : !str_eq(is->group, good->group))
        str_append(out, "is another link");
    else if (strcmp(is->content, good->content) != 0)
        str_append(out, "has other content");
    else if (strcmp(is->attributes, good->attributes) != 0)
        str_append(out, "has other extended attributes");
    else if (S_ISREG(b->st_mode) &&
             (a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec))
        str_append(out, "has another time");
}

static struct err *merge(const struct listing *is, const struct listing *good) {
    size_t differences = 0;
    autostr struct str first = STR_INIT;
    for (size_t i = 0, k = 0; i < is->n || k < good->n;) {
        int order = i == is->n ? 1 : k == good->n ? -1 : strcmp(is->v[i].path, good->v[k].path);
        autostr struct str how = STR_INIT;
        const char *path = order <= 0 ? is->v[i].path : good->v[k].path;
        if (order == 0)
            differ(&is->v[i++], &good->v[k++], &how);
        else if (order < 0)
            str_append(&how, (i++, "is not in the layer's blob"));
        else
            str_append(&how, (k++, "is missing"));
        if (how.len && !differences++)
            str_appendf(&first, "/%s %s", path, str_c(&how));
    }
    if (!differences)
        return NULL;
    if (differences > 1)
        str_appendf(&first, ", and %zu more", differences - 1);
    return err_new(ERR_CORRUPT, "%s", str_c(&first));
}

struct err *store_compare(int dirfd, const char *name, int good_dirfd, const char *good_name) {
    struct listing is = {.n = 0}, good = {.n = 0};
    struct err *e = list_tree(dirfd, name, &is);
    if (!e)
        e = list_tree(good_dirfd, good_name, &good);
    if (!e) {
        settle_links(&is);
        settle_links(&good);
        e = merge(&is, &good);
    }
    listing_done(&is);
    listing_done(&good);
    return e;
}
