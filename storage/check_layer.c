/*
 * check_layer: is a layer what its blob unpacks to? The blob is unpacked beside it, by what unpacked it the first time,
 * so that every rule of unpacking holds for both; and then the fresh tree is at hand to replace one that differs.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "storage/check.h"
#include "storage/compare.h"
#include "storage/store_int.h"
#include "storage/unpack_int.h"

struct fresh {
    struct store *s;
    const struct store_layer_ref *l;
    char *tmp; /* the layer anew, in tmp/; owned */
    int hold;
    struct err *(*inside)(void *ctx, struct err *(*fn)(void *arg), void *arg);
    void *ctx;
};

static struct err *unpack_anew(struct store *s, const struct store_inside *in, const struct store_layer_ref *l,
                               struct fresh *f) {
    autofd int blob = -1;
    int userns;
    uint32_t ids;
    struct store_unpack_job *job;
    *f = (struct fresh){.s = s, .l = l, .hold = -1, .inside = in->call, .ctx = in->ctx};
    TRY(store_blob_open(s, l->blob, &blob, NULL));
    TRY(in->userns(in->ctx, &userns, &ids));
    autofree char *data = store_layer_data(s, l->chain_id);
    const struct store_unpack u = {.refer = data != NULL,
                                   .chain_id = l->chain_id,
                                   .blob_digest = l->blob,
                                   .blob_size = -1,
                                   .diff_id = l->diff_id,
                                   .input_fd = blob,
                                   .bell_fd = -1,
                                   .copy_fd = -1,
                                   .userns_fd = userns,
                                   .ids = ids};
    TRY(store_unpack_start(s, &u, &job));
    return unpack_keep(job, &f->tmp, &f->hold);
}

/* ---- in the user namespace ---- */

static struct err *compare_inside(void *arg) {
    const struct fresh *f = arg;
    autofree char *is = mem_printf("%s/diff", digest_hex(f->l->chain_id));
    autofree char *good = mem_printf("%s/diff", f->tmp);
    return store_compare(f->s->dirs[STORE_LAYERS], is, f->s->dirs[STORE_TMP], good);
}

static struct err *remove_inside(void *arg) {
    const struct fresh *f = arg;
    return store_tmp_remove(f->s, f->tmp);
}

/* ---- outside ---- */

static void drop(struct fresh *f) {
    if (f->tmp)
        err_free(f->inside(f->ctx, remove_inside, f)); /* what stays is debris */
    fd_close(f->hold);
    free(f->tmp);
}

/* A layer that was removed while it was read differs, too; but that is no finding. */
static struct err *compare(struct fresh *f) {
    int layers, tmp;
    autofd int dir = -1;
    const char *hex = digest_hex(f->l->chain_id);
    TRY(store_dir(f->s, STORE_LAYERS, &layers));
    TRY(store_dir(f->s, STORE_TMP, &tmp));
    TRY(fd_open_dir(layers, hex, &dir));
    struct err *e = f->inside(f->ctx, compare_inside, f);
    if (!e || store_same_file(layers, hex, dir))
        return e;
    err_free(e);
    return err_new(ERR_NOT_FOUND, "layer %s was removed meanwhile", f->l->chain_id);
}

struct err *store_layer_verify(struct store *s, const struct store_inside *in, const struct store_layer_ref *l) {
    struct fresh f;
    struct err *e = unpack_anew(s, in, l, &f);
    if (!e)
        e = compare(&f);
    drop(&f);
    return e;
}

/* What was there comes to tmp/ instead, as debris. */
static struct err *replace(struct fresh *f) {
    int layers, tmp;
    const char *hex = digest_hex(f->l->chain_id);
    TRY(store_dir(f->s, STORE_LAYERS, &layers));
    TRY(store_dir(f->s, STORE_TMP, &tmp));
    if (syncfs(f->hold) < 0)
        return err_sys(errno, "write the layer to disk");
    unsigned how = store_exists(layers, hex) ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (sys_renameat2(tmp, f->tmp, layers, hex, how) < 0)
        return err_sys(errno, "move the layer into the store");
    if (how == RENAME_NOREPLACE) {
        free(f->tmp);
        f->tmp = NULL;
    }
    return io_sync(layers);
}

struct err *store_layer_rebuild(struct store *s, const struct store_inside *in, const struct store_layer_ref *l) {
    struct fresh f;
    struct err *e = unpack_anew(s, in, l, &f);
    if (!e)
        e = replace(&f);
    drop(&f);
    return e ? err_wrap(e, "unpack layer %s again", l->blob) : NULL;
}
