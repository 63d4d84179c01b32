/* walk: see walk.h. */
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

struct level {
    char *name;
    struct strv dirs; /* still to be entered, last first */
    struct stat st;
};

struct walk {
    const struct walk_ops *ops;
    int cur; /* the directory of the last level */
    struct level *levels;
    size_t n, cap;
    struct stat st; /* of the entry being visited */
};

static struct err *visit(void *ctx, const char *name, unsigned char d_type) {
    struct walk *w = ctx;
    (void)d_type; /* the stat is needed anyway */
    if (fstatat(w->cur, name, &w->st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "stat %s", name);
    if (S_ISDIR(w->st.st_mode))
        strv_push(&w->levels[w->n - 1].dirs, name);
    else if (w->ops->file)
        return w->ops->file(w->ops->ctx, w->cur, name, &w->st);
    return NULL;
}

/* Enters a directory that lies in `parent`. One that is gone by now, or something else, is passed over. */
static struct err *go_down(struct walk *w, int parent, const char *name) {
    autofd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return w->n && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
                   ? NULL
                   : err_sys(errno, "open the directory %s", name);
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 16;
        w->levels = mem_resize(w->levels, w->cap, sizeof *w->levels);
    }
    struct level *level = &w->levels[w->n++];
    *level = (struct level){.name = mem_dup(name)};
    if (fstat(fd, &level->st) < 0)
        return err_sys(errno, "stat %s", name);
    fd_replace(&w->cur, take_fd(&fd));
    if (w->ops->enter)
        TRY(w->ops->enter(w->ops->ctx, w->cur, name, &level->st));
    return io_each_entry(w->cur, visit, w);
}

static void drop_level(struct walk *w) {
    struct level *level = &w->levels[--w->n];
    free(level->name);
    strv_done(&level->dirs);
}

static struct err *go_up(struct walk *w) {
    struct level *level = &w->levels[w->n - 1];
    if (w->ops->leave)
        TRY(w->ops->leave(w->ops->ctx, w->cur, level->name, &level->st));
    if (w->n > 1) {
        const struct stat *want = &w->levels[w->n - 2].st;
        struct stat st;
        autofd int fd = -1;
        TRY(fd_open_dir(w->cur, "..", &fd));
        if (fstat(fd, &st) < 0)
            return err_sys(errno, "stat the directory above %s", level->name);
        if (st.st_dev != want->st_dev || st.st_ino != want->st_ino)
            return err_new(ERR_CONFLICT, "the directory %s was moved while it was being read", level->name);
        fd_replace(&w->cur, take_fd(&fd));
    }
    drop_level(w);
    return NULL;
}

static struct err *walk_levels(struct walk *w) {
    while (w->n) {
        struct strv *dirs = &w->levels[w->n - 1].dirs;
        if (!dirs->n) {
            TRY(go_up(w));
            continue;
        }
        autofree char *name = take_ptr(&dirs->v[dirs->n - 1]);
        dirs->n--;
        TRY(go_down(w, w->cur, name));
    }
    return NULL;
}

struct err *walk_tree(int dirfd, const char *name, const struct walk_ops *ops) {
    struct walk w = {.ops = ops, .cur = -1};
    struct err *e = go_down(&w, dirfd, name);
    if (!e)
        e = walk_levels(&w);
    while (w.n)
        drop_level(&w);
    free(w.levels);
    fd_close(w.cur);
    return e;
}

/* ---- hard links ---- */

static struct walk_inode *slot_of(const struct walk_inodes *set, dev_t dev, ino_t ino) {
    size_t i = (size_t)((ino ^ (dev << 7)) * UINT64_C(0x9e3779b97f4a7c15) >> 20);
    while (set->slot[i & (set->cap - 1)].path) {
        struct walk_inode *at = &set->slot[i & (set->cap - 1)];
        if (at->dev == dev && at->ino == ino)
            return at;
        i++;
    }
    return &set->slot[i & (set->cap - 1)];
}

static void grow(struct walk_inodes *set) {
    struct walk_inodes bigger = {.cap = set->cap ? set->cap * 2 : 64, .n = set->n};
    bigger.slot = mem_array(bigger.cap, sizeof *bigger.slot);
    for (size_t i = 0; i < set->cap; i++)
        if (set->slot[i].path)
            *slot_of(&bigger, set->slot[i].dev, set->slot[i].ino) = set->slot[i];
    free(set->slot);
    *set = bigger;
}

const char *walk_inodes_put(struct walk_inodes *set, const struct stat *st, const char *path) {
    if (set->n * 2 >= set->cap)
        grow(set);
    struct walk_inode *at = slot_of(set, st->st_dev, st->st_ino);
    if (at->path)
        return at->path;
    *at = (struct walk_inode){.dev = st->st_dev, .ino = st->st_ino, .path = mem_dup(path)};
    set->n++;
    return NULL;
}

void walk_inodes_done(struct walk_inodes *set) {
    for (size_t i = 0; i < set->cap; i++)
        free(set->slot[i].path);
    free(set->slot);
    *set = (struct walk_inodes){0};
}
