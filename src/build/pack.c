/* pack: see pack_int.h. */
#include "build/pack_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/walk.h"
#include "build/chmod_int.h"
#include "build/glob_int.h"
#include "build/ignore_int.h"
#include "build/stat_cache_int.h"
#include "build/tar_int.h"

#define DEPTH_MAX 512

struct packing {
    const struct pack *p;
    struct tar tar;
    struct walk_inodes links;
    struct strv made; /* directories of the destination that have their entries */
    bool above;       /* what is made is above what is copied: --chmod is not about it */
    int depth;
    size_t pivot;            /* components of the source's path that --parents leaves away */
    struct stat_cache *seen; /* or NULL */
    size_t base; /* bytes of a path before what --exclude is about: the part below the source that was named */
};

/* ---- entries ---- */

static struct stat shown(const struct packing *k, const struct stat *st) {
    struct stat s = *st;
    const struct pack *p = k->p;
    if (p->uid >= 0)
        s.st_uid = (uid_t)p->uid;
    if (p->gid >= 0)
        s.st_gid = (gid_t)p->gid;
    if (p->mode && !k->above && !S_ISLNK(s.st_mode))
        s.st_mode = chmod_apply(p->mode, s.st_mode);
    if (p->digest)
        s.st_mtim = (struct timespec){.tv_sec = 0};
    return s;
}

/* Names in the archive have no '/' at their start. */
static struct err *entry(struct packing *k, const char *to, const struct stat *st, const char *link) {
    struct stat s = shown(k, st);
    return tar_header(&k->tar, to + strspn(to, "/"), &s, link);
}

/* A directory that is in the destination already keeps what it is. */
static bool is_there(const struct packing *k, const char *to) {
    if (strv_has(&k->made, to) || !to[strspn(to, "/")])
        return true;
    if (k->p->dest_root < 0)
        return false;
    autofd int fd = path_find_in_root(k->p->dest_root, to, O_PATH | O_DIRECTORY);
    return fd >= 0;
}

static struct err *directory(struct packing *k, const char *to, const struct stat *st) {
    if (is_there(k, to))
        return NULL;
    strv_push(&k->made, to);
    return entry(k, to, st, NULL);
}

/* What is missing above `to`, as mkdir -p makes it. */
static struct err *parents_of(struct packing *k, const char *to) {
    const struct stat st = {.st_mode = S_IFDIR | 0755};
    struct err *e = NULL;
    k->above = true;
    for (const char *slash = strchr(to + 1, '/'); !e && slash; slash = strchr(slash + 1, '/')) {
        autofree char *dir = mem_dupn(to, (size_t)(slash - to));
        e = directory(k, dir, &st);
    }
    k->above = false;
    return e;
}

/* Into a digest goes a content's own digest, which may be known. */
static struct err *file_content(struct packing *k, int fd, const struct stat *st) {
    char digest[DIGEST_LEN + 1];
    long long size = 0;
    if (!k->p->digest)
        return tar_content(&k->tar, fd, st->st_size);
    if (k->seen && stat_cache_get(k->seen, st, digest))
        return tar_bytes(&k->tar, digest, DIGEST_LEN);
    TRY(digest_of_fd(fd, digest, &size));
    if (size != st->st_size)
        return err_new(ERR_CORRUPT, "the file changed while it was read");
    if (k->seen)
        stat_cache_put(k->seen, st, digest);
    return tar_bytes(&k->tar, digest, DIGEST_LEN);
}

/* One that is known is not opened. */
static struct err *content(struct packing *k, int at, const char *name, const struct stat *st) {
    char digest[DIGEST_LEN + 1];
    autofd int fd = -1;
    if (k->seen && stat_cache_get(k->seen, st, digest))
        return tar_bytes(&k->tar, digest, DIGEST_LEN);
    TRY(fd_open_at(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd));
    return file_content(k, fd, st);
}

static struct err *regular(struct packing *k, int at, const char *name, const char *to, const struct stat *st) {
    const char *first = st->st_nlink > 1 ? walk_inodes_put(&k->links, st, to) : NULL;
    if (first)
        return entry(k, to, st, first + strspn(first, "/"));
    TRY(entry(k, to, st, NULL));
    TRY_CTX(content(k, at, name, st), "%s", name);
    return NULL;
}

static struct err *link_entry(struct packing *k, int at, const char *name, const char *to, const struct stat *st) {
    char target[4096];
    ssize_t n = readlinkat(at, name, target, sizeof target - 1);
    if (n < 0)
        return err_sys(errno, "read link %s", name);
    target[n] = 0;
    return entry(k, to, st, target);
}

/* ---- trees ---- */

/* The names in a directory, sorted. */
static struct err *names_of(int dir, struct strv *out) {
    autofd int copy = -1;
    TRY(fd_open_at(dir, ".", O_RDONLY | O_DIRECTORY, 0, &copy));
    DIR *d = fdopendir(copy);
    if (!d)
        return err_sys(errno, "read a directory");
    (void)take_fd(&copy);
    for (struct dirent *ent; (ent = readdir(d));)
        if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
            strv_push(out, ent->d_name);
    closedir(d);
    strv_sort(out);
    return NULL;
}

static struct err *tree(struct packing *k, int dir, const char *path, const char *to);

/* One name of a source tree: `path` is where it is in the context. */
static struct err *node(struct packing *k, int at, const char *name, const char *path, const char *to) {
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "lstat /%s", path);
    const char *below = path + k->base;
    bool out = ignore_path(k->p->ignore, path) || ignore_path(k->p->exclude, below);
    if (S_ISDIR(st.st_mode)) {
        autofd int dir = -1;
        if (out && !ignore_may_keep_below(k->p->ignore, path) && !ignore_may_keep_below(k->p->exclude, below))
            return NULL;
        TRY(fd_open_at(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir));
        if (!out)
            TRY(directory(k, to, &st));
        return tree(k, dir, path, to);
    }
    if (out)
        return NULL;
    TRY(parents_of(k, to));
    if (S_ISREG(st.st_mode))
        return regular(k, at, name, to, &st);
    if (S_ISLNK(st.st_mode))
        return link_entry(k, at, name, to, &st);
    return S_ISFIFO(st.st_mode) ? entry(k, to, &st, NULL) : NULL; /* sockets and devices are no files */
}

static struct err *tree(struct packing *k, int dir, const char *path, const char *to) {
    autostrv struct strv names = {.n = 0};
    if (++k->depth > DEPTH_MAX)
        return err_new(ERR_UNSUPPORTED, "/%s: more than %d directories deep", path, DEPTH_MAX);
    TRY(names_of(dir, &names));
    for (size_t i = 0; i < names.n; i++) {
        autofree char *below = *path ? mem_printf("%s/%s", path, names.v[i]) : mem_dup(names.v[i]);
        autofree char *there = mem_printf("%s/%s", str_eq(to, "/") ? "" : to, names.v[i]);
        TRY(node(k, dir, names.v[i], below, there));
    }
    k->depth--;
    return NULL;
}

/* ---- sources ---- */

static struct err *not_found(const char *path) {
    return err_hint(err_new(ERR_NOT_FOUND, "failed to compute cache key: \"/%s\": not found", path),
                    "sources are relative to the build context; .dockerignore may leave it out");
}

/* What --parents keeps of a source's path. */
static const char *kept(const struct packing *k, const char *path) {
    for (size_t i = 0; i < k->pivot && *path; i++) {
        path += strcspn(path, "/");
        path += *path == '/';
    }
    return path;
}

/* Components in front of "/./". */
static size_t pivot_of(const char *typed) {
    const char *dot = strstr(typed, "/./");
    size_t n = 0;
    if (!dot)
        return 0;
    autofree char *head = mem_dupn(typed, (size_t)(dot - typed));
    autofree char *clean = path_clean(head);
    const char *p = clean + strspn(clean, "/");
    if (!*p || str_eq(p, "."))
        return 0;
    for (n = 1; (p = strchr(p, '/')); p++)
        n++;
    return n;
}

/* Where a source that is no directory goes. */
static char *file_dest(const struct packing *k, const char *path) {
    const struct pack *p = k->p;
    bool into = p->dest_is_dir || (p->dest_root >= 0 && is_there(k, p->dest));
    const char *name = p->parents ? kept(k, path) : path_base(path);
    if (!into && !p->parents)
        return mem_dup(p->dest);
    return mem_printf("%s/%s", str_eq(p->dest, "/") ? "" : p->dest, name);
}

/* A directory that was named: what lies in it. */
static struct err *source_dir(struct packing *k, const char *path, const struct stat *st) {
    const struct pack *p = k->p;
    autofd int dir = -1;
    const char *top = str_eq(p->dest, "/") ? "" : p->dest;
    const char *as = kept(k, path);
    autofree char *to = p->parents && *as ? mem_printf("%s/%s", top, as) : mem_dup(p->dest);
    if (*path && ignore_path(p->ignore, path) && !ignore_may_keep_below(p->ignore, path))
        return not_found(path);
    TRY(path_open_in_root(p->root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0, &dir));
    TRY(parents_of(k, to));
    TRY(directory(k, to, st));
    k->base = *path ? strlen(path) + 1 : 0;
    return tree(k, dir, path, to);
}

/* A file that was named. */
static struct err *source_file(struct packing *k, const char *path, const struct stat *st) {
    const struct pack *p = k->p;
    autofd int fd = -1;
    if (ignore_path(p->ignore, path))
        return not_found(path);
    if (ignore_path(p->exclude, path_base(path)))
        return NULL;
    autofree char *to = file_dest(k, path);
    TRY(parents_of(k, to));
    if (!S_ISREG(st->st_mode))
        return err_new(ERR_UNSUPPORTED, "/%s is neither a file nor a directory", path);
    TRY(path_open_in_root(p->root, path, O_RDONLY | O_NONBLOCK, 0, &fd));
    TRY(entry(k, to, st, NULL));
    TRY_CTX(file_content(k, fd, st), "/%s", path);
    return NULL;
}

/* A link that was named is what it leads to. */
static struct err *source(struct packing *k, const char *path) {
    struct stat st;
    autofd int fd = path_find_in_root(k->p->root, *path ? path : ".", O_PATH);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ? not_found(path) : err_sys(errno, "/%s", path);
    return S_ISDIR(st.st_mode) ? source_dir(k, path, &st) : source_file(k, path, &st);
}

/* "src/a*.c" component by component; `done` is what has been found so far. */
static struct err *expand_source(struct packing *k, const char *done, const char *rest, struct strv *out) {
    autostrv struct strv names = {.n = 0};
    autoglob g = {.n = 0};
    rest += strspn(rest, "/");
    if (!*rest) {
        strv_push(out, done);
        return NULL;
    }
    size_t n = strcspn(rest, "/");
    autofree char *part = mem_dupn(rest, n);
    if (!glob_is_pattern(part)) {
        autofree char *next = *done ? mem_printf("%s/%s", done, part) : mem_dup(part);
        autofd int there = path_find_in_root(k->p->root, next, O_PATH);
        return there < 0 ? NULL : expand_source(k, next, rest + n, out);
    }
    autofd int dir = path_find_in_root(k->p->root, *done ? done : ".", O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        return NULL;
    TRY(glob_compile(part, GLOB_PATHS, &g));
    TRY(names_of(dir, &names));
    for (size_t i = 0; i < names.n; i++) {
        autofree char *next = *done ? mem_printf("%s/%s", done, names.v[i]) : mem_dup(names.v[i]);
        if (glob_matches(&g, names.v[i]) && !ignore_path(k->p->ignore, next))
            TRY(expand_source(k, next, rest + n, out));
    }
    return NULL;
}

static struct err *named(struct packing *k, const char *typed) {
    autofree char *clean = path_clean(typed);
    const char *path = clean + strspn(clean, "/");
    autostrv struct strv found = {.n = 0};
    if (str_eq(path, "."))
        path = "";
    k->pivot = k->p->parents ? pivot_of(typed) : 0;
    if (k->p->literal || !glob_is_pattern(path))
        return source(k, path);
    TRY(expand_source(k, "", path, &found));
    for (size_t i = 0; i < found.n; i++)
        TRY(source(k, found.v[i]));
    return NULL;
}

static struct err *text(struct packing *k, const struct pack_text *t) {
    const struct stat st = {.st_mode = S_IFREG | 0644, .st_size = (off_t)strlen(t->data)};
    autofree char *to = file_dest(k, t->name);
    TRY(parents_of(k, to));
    TRY(entry(k, to, &st, NULL));
    TRY(tar_bytes(&k->tar, t->data, strlen(t->data)));
    return tar_pad(&k->tar, st.st_size);
}

static struct err *all(struct packing *k) {
    for (size_t i = 0; i < k->p->sources.n; i++)
        TRY(named(k, k->p->sources.v[i]));
    for (size_t i = 0; i < k->p->n_texts; i++)
        TRY(text(k, &k->p->texts[i]));
    return tar_end(&k->tar);
}

struct err *pack_write(void *ctx) {
    const struct pack *p = ctx;
    struct packing *k = mem_alloc(sizeof *k);
    k->p = p;
    k->tar.fd = p->out;
    k->tar.digest = p->digest;
    if (p->digest && p->note)
        k->seen = stat_cache_open(p->notes, p->note, clock_now());
    struct err *e = all(k);
    if (!e && k->seen)
        stat_cache_save(k->seen);
    stat_cache_free(k->seen);
    if (!e && p->digest) {
        char digest[DIGEST_LEN + 1];
        digest_final(p->digest, digest);
        e = io_write_all(p->out, digest, DIGEST_LEN);
    }
    walk_inodes_done(&k->links);
    strv_done(&k->made);
    free(k);
    return e;
}
