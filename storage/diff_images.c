/*
 * diff_images: how an image differs from another one. Both are stacks of layers, and what they share is at the bottom:
 * a directory in which the same layers show through is not looked into, so that the work is that of what differs.
 * Nothing is mounted.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "storage/diff_int.h"
#include "storage/files.h"
#include "storage/store_int.h"

/* A directory in both: as it is, and as it was. */
struct both {
    struct shown is, was;
};

static void both_done(struct both *b) {
    diff_shown_done(&b->is);
    diff_shown_done(&b->was);
}
#define autoboth __attribute__((cleanup(both_done))) struct both

/* A layer of one that the other has, too, has one number. */
static struct err *open_both(const struct store *s, const struct strv *is, const struct strv *was, struct diff *d,
                             struct both *root) {
    size_t same = 0;
    while (same < is->n && same < was->n && str_eq(is->v[same], was->v[same]))
        same++;
    TRY(diff_open_layers(s, is, d));
    TRY(diff_open_layers(s, was, d));
    root->is.layers = mem_array(is->n + 1, sizeof *root->is.layers);
    root->was.layers = mem_array(was->n + 1, sizeof *root->was.layers);
    for (size_t i = 0; i < is->n; i++)
        root->is.layers[root->is.n++] = (int)i;
    for (size_t i = 0; i < was->n; i++)
        root->was.layers[root->was.n++] = (int)(i < was->n - same ? is->n + i : i - (was->n - same) + is->n - same);
    return NULL;
}

static bool same_layers(const struct both *b) {
    return b->is.n == b->was.n &&
           (!b->is.n || memcmp(b->is.layers, b->was.layers, b->is.n * sizeof *b->is.layers) == 0);
}

struct entry {
    struct stat st;
    size_t at; /* number of its layer in the directory's, or their number: it is not there */
    int layer;
};

static struct err *find(const struct diff *d, const struct shown *in, const char *path, struct entry *ret) {
    TRY(diff_find_lower(d, in, path, &ret->st, &ret->at));
    ret->layer = ret->at < in->n ? d->layers[in->layers[ret->at]] : -1;
    return NULL;
}

static bool same_entry(const struct entry *is, const struct entry *was, const char *path) {
    if (is->layer == was->layer)
        return true;
    bool dir = S_ISDIR(is->st.st_mode);
    if (!(dir ? diff_same_meta : diff_same_file)(&is->st, &was->st))
        return false;
    if (!dir && !S_ISREG(is->st.st_mode))
        return true;
    autofd int a = diff_open_lower(is->layer, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    autofd int b = diff_open_lower(was->layer, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return a < 0 || b < 0 || diff_same_xattrs(a, b);
}

static struct err *compare_dir(struct diff *d, const struct both *b);

/* With the entry's path in d->path. */
static struct err *compare_entry(struct diff *d, const struct both *in) {
    const char *path = str_c(&d->path) + 1;
    struct entry is, was;
    size_t before = d->n_changes, len = d->path.len;
    TRY(find(d, &in->is, path, &is));
    TRY(find(d, &in->was, path, &was));
    if (is.layer < 0) {
        diff_note(d, 'D', str_c(&d->path));
        return NULL;
    }
    if (was.layer < 0)
        diff_note(d, 'A', str_c(&d->path));
    if (S_ISDIR(is.st.st_mode)) {
        autoboth b = {.is = {.n = 0}};
        TRY(diff_show_through(d, &in->is, is.at, path, &b.is));
        if (was.layer >= 0 && S_ISDIR(was.st.st_mode))
            TRY(diff_show_through(d, &in->was, was.at, path, &b.was));
        str_append_c(&d->path, '/');
        TRY(compare_dir(d, &b));
        diff_path_back(d, len);
    }
    path = str_c(&d->path) + 1;
    if (was.layer >= 0 && (d->n_changes > before || !same_entry(&is, &was, path)))
        diff_note(d, 'C', str_c(&d->path));
    return NULL;
}

static struct err *compare_dir(struct diff *d, const struct both *b) {
    autostrv struct strv names = {.n = 0};
    autostrv struct strv old = {.n = 0};
    size_t len = d->path.len;
    if (same_layers(b))
        return NULL;
    autofree char *path = mem_dupn(str_c(&d->path) + 1, len > 1 ? len - 2 : 0);
    TRY(diff_list_lower(d, &b->is, path, &names));
    TRY(diff_list_lower(d, &b->was, path, &old));
    for (size_t i = 0, k = 0; i < names.n || k < old.n;) {
        int order = i == names.n ? 1 : k == old.n ? -1 : strcmp(names.v[i], old.v[k]);
        diff_path_of(d, order <= 0 ? names.v[i] : old.v[k]);
        TRY(compare_entry(d, b));
        diff_path_back(d, len);
        i += order <= 0;
        k += order >= 0;
    }
    return NULL;
}

struct err *store_image_changes(const struct store *s, const struct strv *chain_ids, const struct strv *old_chain_ids,
                                int out_fd) {
    struct diff d = {.path = STR_INIT};
    autoboth root = {.is = {.n = 0}};
    str_append(&d.path, "/");
    struct err *e = open_both(s, chain_ids, old_chain_ids, &d, &root);
    if (!e)
        e = compare_dir(&d, &root);
    if (!e)
        e = diff_write(&d, out_fd);
    diff_done(&d);
    return e;
}
