/* build: see build.h. */
#include "engine/build.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys/sys.h"
#include "engine/files_int.h"
#include "image/build.h"
#include "image/bundle.h"
#include "image/cache.h"
#include "storage/builds.h"

/* What ends a tar. */
enum { TAR_END = 1024 };

struct engine_work {
    struct engine *engine;
    struct engine_created created;
    char id[65];
    bool made;
    struct files files;
    struct files_answer answer; /* keeps the root's mount namespace */
    bool opened;
    int64_t latest; /* of the times of a layer's files */
    struct store_files_job *job;
};

struct err *engine_build_hold(struct engine *e, struct store **ret, int *ret_hold) {
    struct store *s;
    TRY(engine_store(e, &s));
    if (ret_hold)
        TRY(store_hold(s, ret_hold));
    *ret = s;
    return NULL;
}

struct err *engine_works_begin(struct engine *e, struct engine_works *ret) {
    struct engine_works w = ENGINE_WORKS_INIT;
    struct err *bad = engine_build_hold(e, &w.store, &w.hold);
    if (!bad)
        bad = store_containers_apart(w.store, &w.tmp, &w.apart);
    if (bad) {
        fd_close(w.hold);
        return bad;
    }
    *ret = w;
    return NULL;
}

/* Those whose makers were killed: their monitors end at once, and the lock is free. */
static void clear_works(struct engine *e) {
    autostrv struct strv ids = {.n = 0};
    err_free(store_container_ids(e->store, &ids));
    for (size_t i = 0; i < ids.n; i++) {
        autofd int lock = -1;
        autoerr gone = store_container_lock(e->store, ids.v[i], true, &lock);
        if (!gone)
            engine_run_dir_remove(e, ids.v[i]);
    }
}

void engine_works_end(struct engine *e, struct engine_works *w) {
    if (!w->tmp)
        return;
    clear_works(e);
    err_free(store_tmp_remove(e->store, w->tmp)); /* files of subordinate ids are debris that is collected below */
    fd_replace(&w->apart, -1);
    fd_replace(&w->hold, -1);
    free(take_ptr(&w->tmp));
    store_free(take_ptr(&e->store));
    struct store *s;
    autoerr bad = engine_store(e, &s);
    if (!bad)
        engine_collect(e, false);
}

void engine_build_sweep(struct engine *e) { engine_collect(e, true); }

struct err *engine_build_call(struct engine *e, struct err *(*fn)(void *ctx), void *ctx) {
    int userns;
    TRY(engine_userns(e, &userns, NULL));
    return runtime_userns_call(userns, fn, ctx);
}

struct err *engine_work_new(struct engine *e, const struct engine_base *base, const struct container_options *options,
                            struct engine_work **ret) {
    autowork w = mem_alloc(sizeof *w);
    autostrv struct strv warnings = {.n = 0};
    *w = (struct engine_work){.engine = e, .created = ENGINE_CREATED_INIT, .files = FILES_INIT};
    const struct engine_create c = {.options = options, .base = base, .to_start = true};
    TRY(engine_container_create(e, &c, &w->created, &warnings));
    memcpy(w->id, w->created.id, sizeof w->id);
    w->made = true;
    for (size_t i = 0; i < warnings.n; i++)
        log_warn("%s", warnings.v[i]);
    *ret = take_ptr(&w);
    return NULL;
}

struct err *engine_work_run(struct engine_work *w, const struct monitor_io *io, int *ret_code) {
    struct engine_start s = {.attach = true, .io = *io};
    struct monitor_io_result r = {.detached = false};
    if (io->tty)
        engine_tty_size(io->in, &s.rows, &s.cols);
    TRY(engine_container_start_created(w->engine, &w->created, &s, &r));
    return r.ended ? (*ret_code = r.code, NULL) : engine_container_wait(w->engine, w->id, ret_code);
}

static struct err *open_files(struct engine_work *w) {
    if (w->opened)
        return NULL;
    engine_created_done(&w->created); /* its lock */
    TRY(files_open(w->engine, w->id, &w->files));
    w->opened = true;
    return NULL;
}

static struct err *answer_root(const struct files_call *call, int root) {
    autojson facts = json_object();
    return files_answer(call, facts, &root, 1);
}

struct err *engine_work_root(struct engine_work *w, int *ret_root) {
    struct files_call call = {.fn = answer_root, .wanted = 2, .bare = true};
    TRY(open_files(w));
    if (!w->answer.n_fds)
        TRY(files_inside(&w->files, &call, &w->answer));
    *ret_root = w->answer.fds[0];
    return NULL;
}

struct err *engine_work_place(struct engine_work *w, int dir, int in_fd) {
    const struct store_place p = {.in_fd = in_fd,
                                  .dir_fd = dir,
                                  .mounts_fd = w->answer.fds[1],
                                  .userns_fd = w->files.userns_fd,
                                  .ids = w->files.ids,
                                  .own = true};
    return store_place_start(w->engine->store, &p, &w->job);
}

struct err *engine_work_placed(struct engine_work *w) {
    return store_files_finish(take_ptr(&w->job), NULL);
}

/* ---- layers ---- */

/* Its upper directory, as it is, can be a layer. */
static bool has_upper(const struct files *f) {
    enum rootfs_driver driver = f->plan.driver;
    return !f->mapped && !f->plan.data.n && (driver == ROOTFS_OVERLAY || driver == ROOTFS_DIR);
}

struct taking {
    const struct engine_work *w;
    struct strv layers;
    int list, tmp;
};

static struct err *take_upper(void *ctx) {
    const struct taking *t = ctx;
    const struct store_take take = {
        .id = t->w->id, .chain_ids = &t->layers, .out_fd = t->list, .tmp_fd = t->tmp, .latest = t->w->latest};
    return store_container_take_upper(t->w->engine->store, &take);
}

/* A tree, or a list of it, as tmp/blob, digested while it is written. */
static struct err *write_blob(struct store *s, const struct store_gather *what, int tmp, struct store_unpacked *ret) {
    struct store_gather g = *what;
    autofd int out = -1;
    struct store_files_job *job = NULL;
    TRY(fd_open_at(tmp, "blob", O_RDWR | O_CREAT | O_EXCL, 0600, &out));
    g.out_fd = out;
    g.root_fd = g.dir_fd;
    g.digest = g.sparse = true;
    TRY(store_gather_start(s, &g, &job));
    TRY(store_gather_finish(job, &ret->blob_size, ret->blob_digest));
    memcpy(ret->diff_id, ret->blob_digest, sizeof ret->diff_id);
    ret->diff_size = ret->blob_size;
    return NULL;
}

/* The one time that the layer's files are read: for its tar, which is the blob, and the digest. */
static struct err *write_layer(const struct engine_work *w, int list, int tmp, struct store_unpacked *ret) {
    autofd int dir = -1;
    TRY(fd_open_dir(tmp, "diff", &dir));
    const struct store_gather g = {.dir_fd = dir, .changes_fd = list, .userns_fd = w->files.userns_fd};
    return write_blob(w->engine->store, &g, tmp, ret);
}

static struct err *adopt(struct taking *t, const char *name, const char *parent, struct store_unpacked *ret) {
    const struct engine_work *w = t->w;
    autofd int list = sys_memfd("changes", MFD_CLOEXEC);
    if (list < 0)
        return err_sys(errno, "make a memory file");
    t->list = list;
    TRY(json_get_strv_opt(w->files.c.summary, "Layers", &t->layers));
    TRY(runtime_userns_call(w->files.shared_fd, take_upper, t));
    if (lseek(list, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    TRY(write_layer(w, list, t->tmp, ret));
    return store_layer_adopt(w->engine->store, name, t->tmp, parent, ret);
}

/* The upper directory becomes the layer: nothing is copied but into the tar. */
static struct err *layer_of_upper(struct engine_work *w, const char *parent, struct store_layer_ref *ret) {
    autofree char *name = NULL;
    autofd int tmp = -1;
    struct store_unpacked u = {.blob_size = -1};
    TRY(store_tmp_new(w->engine->store, &name, &tmp));
    struct taking t = {.w = w, .tmp = tmp};
    struct err *e = adopt(&t, name, parent, &u);
    strv_done(&t.layers);
    TRY(e);
    *ret = image_layer_plain(&u);
    return NULL;
}

/* The files of a directory that a list of changes names, copied into a layer. */
static struct err *layer_of_list(struct engine_work *w, int list, int dir, const char *parent,
                                 struct store_layer_ref *ret) {
    int pair[2];
    struct store_files_job *job = NULL;
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    const struct store_gather g = {.out_fd = out,
                                   .dir_fd = dir,
                                   .changes_fd = list,
                                   .root_fd = dir,
                                   .userns_fd = w->files.userns_fd,
                                   .sparse = true,
                                   .clamp = w->latest != INT64_MAX,
                                   .latest = w->latest};
    TRY(store_gather_start(w->engine->store, &g, &job));
    fd_replace(&out, -1);
    const struct image_layer l = {
        .store = w->engine->store, .parent = parent, .fd = in, .userns = engine_userns_cb, .userns_ctx = w->engine};
    struct err *e = image_layer_read(&l, ret);
    fd_replace(&in, -1);
    struct err *unread = store_files_finish(job, NULL);
    if (!e && unread)
        image_layer_done(ret);
    bool gave_up = e && err_errno(unread) == EPIPE; /* the reader, and he knows why */
    return gave_up ? err_first(e, unread) : err_first(unread, e);
}

/* Where there is no upper directory of overlay's, what has changed is copied. */
static struct err *layer_of_changes(struct engine_work *w, const char *parent, struct store_layer_ref *ret) {
    int found[2] = {-1, -1};
    TRY(files_changes(&w->files, &found[0], &found[1]));
    autofd int list = found[0];
    autofd int dir = found[1];
    return layer_of_list(w, list, dir, parent, ret);
}

struct err *engine_work_layer(struct engine_work *w, const char *parent, int64_t latest, struct store_layer_ref *ret) {
    TRY(open_files(w));
    w->latest = latest;
    files_answer_done(&w->answer); /* the mounts go, and with them whatever the kernel still holds back */
    w->answer = (struct files_answer){.n_fds = 0};
    return has_upper(&w->files) ? layer_of_upper(w, parent, ret) : layer_of_changes(w, parent, ret);
}

struct err *engine_work_on(struct engine *e, const struct strv *layers, struct engine_work **ret) {
    struct container_options o = {.image = (char[]){"build"}, .cwd = (char[]){"/"}, .stop_timeout = -1};
    autojson config = json_object();
    json_set(config, "config", json_object());
    strv_push(&o.command, "true");
    strv_push(&o.networks, "none");
    const struct engine_base base = {.image_config = config, .layers = layers};
    struct err *bad = engine_work_new(e, &base, &o, ret);
    strv_done(&o.command);
    strv_done(&o.networks);
    return bad;
}

struct linking {
    struct store *store;
    const char *chain_id;
    int tmp;
};

static struct err *link_files(void *ctx) {
    const struct linking *l = ctx;
    return store_layer_links(l->store, l->chain_id, l->tmp);
}

struct err *engine_build_rebase(struct engine *e, const char *chain_id, const char *parent, char ret_chain_id[72]) {
    autofree char *name = NULL;
    autofd int tmp = -1; /* what is in it when this fails is debris */
    TRY(store_tmp_new(e->store, &name, &tmp));
    struct linking l = {e->store, chain_id, tmp};
    TRY_CTX(engine_build_call(e, link_files, &l), "layer %s", chain_id);
    return store_layer_rebase(e->store, name, tmp, chain_id, parent, ret_chain_id);
}

/* Nobody else knows it, and its command has ended. Its monitor, which dies with us, is let clear up first. */
static void remove_work(const struct engine_work *w) {
    autofd int lock = -1;
    err_free(store_container_lock(w->engine->store, w->id, true, &lock));
    err_free(store_container_remove(w->engine->store, w->id));
}

void engine_work_free(struct engine_work *w) {
    if (!w)
        return;
    if (w->job)
        err_free(engine_work_placed(w));
    engine_created_done(&w->created);
    files_answer_done(&w->answer);
    files_done(&w->files);
    if (w->made)
        remove_work(w);
    free(w);
}

/* ---- sums of layers ---- */

struct summing {
    const struct store *store;
    const struct strv *layers, *below;
    int list;
};

static struct err *list_sum(void *ctx) {
    const struct summing *s = ctx;
    return store_image_changes(s->store, s->layers, s->below, s->list);
}

struct err *engine_layers_sum(struct engine *e, const struct strv *layers, const struct strv *below, int64_t latest,
                              struct store_layer_ref *ret) {
    autowork w = NULL;
    autofd int list = sys_memfd("changes", MFD_CLOEXEC);
    int root;
    if (list < 0)
        return err_sys(errno, "make a memory file");
    struct summing s = {.store = e->store, .layers = layers, .below = below, .list = list};
    TRY(engine_build_call(e, list_sum, &s));
    if (lseek(list, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    TRY(engine_work_on(e, layers, &w));
    w->latest = latest;
    TRY(engine_work_root(w, &root));
    return layer_of_list(w, list, root, below->n ? below->v[below->n - 1] : NULL, ret);
}

/* ---- images ---- */

static void tell_names(struct engine *e, const char *id, const struct strv *names) {
    for (size_t i = 0; i < names->n; i++) {
        autofree char *familiar = engine_reference_familiar(names->v[i]);
        engine_image_tell(e, id, "tag", NULL, familiar);
    }
}

struct err *engine_build_index(struct engine *e, struct image_bundle *b, const struct strv *names,
                               const struct json *annotations, struct image_bundled *ret) {
    TRY(image_bundle_record(b, e->host, names, annotations, ret));
    tell_names(e, ret->id, names);
    return NULL;
}

struct err *engine_build_image(struct engine *e, const struct image_parts *p, char ret_id[65]) {
    TRY(image_compose(e->store, p, ret_id));
    tell_names(e, ret_id, p->names);
    return NULL;
}

/* ---- directories of the store's ---- */

struct err *engine_build_pack(struct engine *e, int dir, struct store_unpacked *ret) {
    struct store_gather g = {.dir_fd = dir, .name = ".", .as = "", .changes_fd = -1};
    autofree char *name = NULL;
    autofd int tmp = -1;
    TRY(engine_userns(e, &g.userns_fd, NULL));
    TRY(store_tmp_new(e->store, &name, &tmp));
    *ret = (struct store_unpacked){.blob_size = -1};
    struct err *bad = write_blob(e->store, &g, tmp, ret);
    if (!bad)
        bad = store_blob_adopt(e->store, ret->blob_digest, tmp, "blob");
    return err_first(bad, store_tmp_remove(e->store, name));
}

struct err *engine_build_unpack(struct engine *e, int dir, int tar_fd) {
    struct store_place p = {.in_fd = tar_fd, .dir_fd = dir, .mounts_fd = -1, .own = true};
    struct store_files_job *job;
    TRY(engine_userns(e, &p.userns_fd, &p.ids));
    TRY(store_place_start(e->store, &p, &job));
    return store_files_finish(job, NULL);
}

struct err *engine_cache_place(struct engine *e, struct image_cache_place *p) {
    TRY(engine_store(e, &p->store));
    p->host = e->host;
    p->config = e->config;
    p->userns = engine_userns_cb;
    p->userns_ctx = e;
    return NULL;
}

/* ---- an image's files ---- */

/* `as`: the directory's name in the tar; "": what lies in it is at the top. */
static struct err *gather_root(struct engine_work *w, const char *as, int out_fd, struct store_files_job **ret) {
    int root;
    TRY(engine_work_root(w, &root));
    const struct store_gather g = {.out_fd = out_fd,
                                   .dir_fd = root,
                                   .name = ".",
                                   .as = as,
                                   .changes_fd = -1,
                                   .root_fd = root,
                                   .userns_fd = w->files.userns_fd};
    return store_gather_start(w->engine->store, &g, ret);
}

/* One process writes the tar, another one takes it apart. */
static struct err *copy_root(struct engine_work *w, int dir_fd) {
    int pair[2];
    struct store_files_job *from = NULL, *to = NULL;
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    TRY(gather_root(w, "", out, &from));
    fd_replace(&out, -1);
    const struct store_place p = {.in_fd = in, .dir_fd = dir_fd, .mounts_fd = -1, .userns_fd = -1, .ids = UINT32_MAX};
    struct err *e = store_place_start(w->engine->store, &p, &to);
    fd_replace(&in, -1);
    if (!e)
        e = store_files_finish(to, NULL);
    return err_first(e, store_files_finish(from, NULL));
}

/* A tar without its end: two blocks of zeros (POSIX ustar), that are put behind the last part. */
static struct err *copy_part(int file, int out_fd) {
    off_t size = lseek(file, 0, SEEK_END);
    if (size < TAR_END || lseek(file, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a tar");
    return io_copy(file, out_fd, (uint64_t)(size - TAR_END), NULL);
}

/* By way of a file that nobody else sees. */
static struct err *write_part(struct engine_work *w, const char *as, int out_fd) {
    autofd int file = -1;
    struct store_files_job *job = NULL;
    TRY(fd_open_at(store_dirfd(w->engine->store, "tmp"), ".", O_TMPFILE | O_RDWR, 0600, &file));
    TRY(gather_root(w, as, file, &job));
    TRY(store_files_finish(job, NULL));
    return copy_part(file, out_fd);
}

/* Where an image's files go. */
struct files_place {
    const char *as; /* of a part of a tar; NULL: it is all of it */
    int out_fd, dir_fd;
};

static struct err *image_files(struct engine_work *w, const struct files_place *to) {
    struct store_files_job *job = NULL;
    if (to->as)
        return write_part(w, to->as, to->out_fd);
    if (to->out_fd < 0)
        return copy_root(w, to->dir_fd);
    TRY(gather_root(w, "", to->out_fd, &job));
    return store_files_finish(job, NULL);
}

static struct err *write_files(struct engine *e, const char *id, const struct files_place *to) {
    struct engine_works works = ENGINE_WORKS_INIT;
    struct store_image *img = NULL;
    autostrv struct strv layers = {.n = 0};
    struct engine_work *w = NULL;
    TRY(engine_works_begin(e, &works));
    struct err *bad = store_image_get(works.store, id, &img);
    for (size_t i = 0; !bad && i < img->n_layers; i++)
        strv_push(&layers, img->layers[i].chain_id);
    store_image_free(img);
    if (!bad)
        bad = engine_work_on(e, &layers, &w);
    if (!bad)
        bad = image_files(w, to);
    engine_work_free(w);
    engine_works_end(e, &works);
    return bad;
}

struct err *engine_image_files(struct engine *e, const char *id, int out_fd, int dir_fd) {
    const struct files_place to = {.out_fd = out_fd, .dir_fd = dir_fd};
    return write_files(e, id, &to);
}

struct err *engine_images_tar(struct engine *e, const struct engine_part *parts, size_t n, int out_fd) {
    static const char end[TAR_END];
    for (size_t i = 0; i < n; i++) {
        const struct files_place to = {.as = parts[i].directory, .out_fd = out_fd, .dir_fd = -1};
        TRY_CTX(write_files(e, parts[i].id, &to), "%s", parts[i].directory);
    }
    return io_write_all(out_fd, end, sizeof end);
}
