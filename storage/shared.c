/* shared: reading. See shared.h. */
#include "storage/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/mem.h"
#include "storage/store_int.h"

static struct err *check_dir(const struct store *x) {
    struct stat st;
    if (fstat(x->dirs[STORE_ROOT], &st) < 0)
        return err_sys(errno, "stat %s", x->root);
    if (st.st_mode & 022 && !(st.st_mode & S_ISVTX))
        return err_hint(err_new(ERR_DENIED, "others than its owner can write to it"), "chmod go-w %s", x->root);
    if (!store_exists(x->dirs[STORE_ROOT], "version"))
        return err_hint(err_new(ERR_NOT_FOUND, "it holds no shared images"),
                        "who has the images makes it: coracle system share %s", x->root);
    return store_version_check(x);
}

struct err *store_shared_add(struct store *s, const char *dir) {
    struct store *x = store_new(s->host, dir);
    x->foreign = true;
    struct err *e = fd_open_dir(AT_FDCWD, dir, &x->dirs[STORE_ROOT]);
    if (!e)
        e = check_dir(x);
    if (e) {
        store_free(x);
        return err_wrap(e, "additional image store %s", dir);
    }
    s->shared = mem_resize(s->shared, s->n_shared + 1, sizeof(struct store *));
    s->shared[s->n_shared++] = x;
    return NULL;
}

static bool has_image(const struct store *s, const char *id) {
    int images;
    autofree char *name = mem_printf("%s.json", id);
    autoerr e = store_dir(s, STORE_IMAGES, &images);
    return !e && store_exists(images, name);
}

const char *store_image_shared(const struct store *s, const char *id) {
    if (!s->n_shared || has_image(s, id))
        return NULL;
    for (size_t i = 0; i < s->n_shared; i++)
        if (has_image(s->shared[i], id))
            return s->shared[i]->root;
    return NULL;
}

struct err *store_shared_image_ids(const struct store *s, struct strv *out) {
    for (size_t i = 0; i < s->n_shared; i++) {
        autostrv struct strv ids = {.n = 0};
        TRY(store_image_ids(s->shared[i], &ids));
        for (size_t k = 0; k < ids.n; k++)
            if (!has_image(s, ids.v[k]) && !strv_has(out, ids.v[k]))
                strv_push(out, ids.v[k]);
    }
    return NULL;
}

char *store_layer_data(const struct store *s, const char *chain_id) {
    int layers;
    char target[PATH_MAX];
    autofree char *link = mem_printf("%s/data", digest_hex(chain_id));
    autoerr e = store_dir(s, STORE_LAYERS, &layers);
    ssize_t n = e ? -1 : readlinkat(layers, link, target, sizeof target);
    return n > 0 && (size_t)n < sizeof target ? mem_dupn(target, (size_t)n) : NULL;
}

/* How many layers, from the bottom, overlay has to take as one. */
static size_t count_referring(const struct store *s, const struct strv *chain_ids) {
    for (size_t i = chain_ids->n; i-- > 0;) {
        autofree char *data = store_layer_data(s, chain_ids->v[i]);
        if (data)
            return i + 1;
    }
    return 0;
}

/* "<hex>/flat" of the topmost of them; one alone is flat as it is. */
static char *flat_path(const struct strv *chain_ids, size_t n) {
    return mem_printf("%s/%s", digest_hex(chain_ids->v[n - 1]), n > 1 ? "flat" : "diff");
}

bool store_layers_mountable(struct store *s, const struct strv *chain_ids, enum rootfs_driver driver) {
    int layers;
    size_t n = count_referring(s, chain_ids);
    autofree char *flat = n ? flat_path(chain_ids, n) : NULL;
    autoerr e = store_dir(s, STORE_LAYERS, &layers);
    return !n || (!e && driver == ROOTFS_OVERLAY && store_overlay_shifts(s) && store_exists(layers, flat));
}

void store_plan_layers(const struct store *s, const struct strv *chain_ids, struct rootfs_plan *plan) {
    size_t n = count_referring(s, chain_ids);
    for (size_t i = chain_ids->n; i-- > n;)
        strv_pushf(&plan->lowers, "%s/diff", digest_hex(chain_ids->v[i]));
    if (n)
        strv_push_take(&plan->lowers, flat_path(chain_ids, n));
    for (size_t i = n; i-- > 0;) {
        autofree char *data = store_layer_data(s, chain_ids->v[i]);
        if (data)
            strv_push(&plan->data, data);
    }
}

static struct err *flatten(const struct store *s, const struct strv *chain_ids, size_t n, int tmp) {
    int layers;
    autofd int to = -1;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    if (mkdirat(tmp, "flat", 0755) < 0)
        return err_sys(errno, "make the directory flat");
    TRY(fd_open_dir(tmp, "flat", &to));
    for (size_t i = 0; i < n; i++) {
        autofd int from = -1;
        autofree char *diff = mem_printf("%s/diff", digest_hex(chain_ids->v[i]));
        TRY(fd_open_at(layers, diff, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &from));
        TRY_CTX(store_copy_layer(from, STORE_DATA_REFER, to), "layer %s", chain_ids->v[i]);
    }
    autofree char *flat = flat_path(chain_ids, n);
    if (renameat(tmp, "flat", layers, flat) < 0 && errno != EEXIST &&
        errno != ENOTEMPTY) /* who was quicker made the same */
        return err_sys(errno, "move the layers into place");
    return NULL;
}

struct err *store_layers_flatten(struct store *s, const struct strv *chain_ids) {
    autofree char *name = NULL;
    autofd int tmp = -1;
    size_t n = count_referring(s, chain_ids);
    if (n < 2 || store_layers_mountable(s, chain_ids, ROOTFS_OVERLAY))
        return NULL;
    TRY(store_tmp_new(s, &name, &tmp));
    struct err *e = flatten(s, chain_ids, n, tmp);
    err_free(store_tmp_remove(s, name)); /* else it is debris */
    return e;
}

int store_shared_layer(const struct store *s, const char *chain_id, char **ret_path) {
    for (size_t i = 0; i < s->n_shared; i++) {
        int layers;
        autoerr e = store_dir(s->shared[i], STORE_LAYERS, &layers);
        int fd = e ? -1 : openat(layers, digest_hex(chain_id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        *ret_path = mem_printf("%s/%s/%s", s->shared[i]->root, store_dir_name(STORE_LAYERS), digest_hex(chain_id));
        return fd;
    }
    return -1;
}
