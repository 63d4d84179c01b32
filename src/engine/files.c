/* files: a container's files made reachable; diff and export. See files.h. */
#include "engine/files_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys/sys.h"
#include "engine/events.h"
#include "engine/shared.h"
#include "runtime/root.h"

#define LIST_MAX ((size_t)1 << 30)

void files_done(struct files *f) {
    engine_container_done(&f->c);
    json_free(f->config);
    rootfs_plan_done(&f->plan);
    fd_close(f->lock_fd);
    fd_close(f->pidfd);
    fd_close(f->shared_fd);
    fd_close(f->userns_fd);
    fd_close(f->holder_fd);
}

void files_answer_done(struct files_answer *a) {
    json_free(a->facts);
    for (size_t i = 0; i < a->n_fds; i++)
        fd_close(a->fds[i]);
}

/* By its first process, whose user namespace may be older than the one that a new container would get. */
static struct err *reach_running(struct files *f) {
    char path[32];
    TRY(proc_open(f->c.state.pid, f->c.state.pid_start, &f->pidfd));
    (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)f->c.state.pid);
    TRY(runtime_userns_shared_by(f->c.state.pid, &f->shared_fd));
    return fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &f->userns_fd);
}

static struct err *reach_stopped(struct files *f) {
    int userns;
    TRY(engine_userns(f->engine, &userns, NULL));
    TRY(fd_dup(userns, &f->shared_fd));
    TRY(f->mapped ? runtime_userns_nest(userns, &f->id_map, &f->userns_fd) : fd_dup(userns, &f->userns_fd));
    return engine_rootfs_plan(f->engine, &f->c, f->config, &f->plan);
}

/* One that ends just now is reached when its monitor has said so. Others who wait for that, too, wake each other: it is
 * the time that counts, and not how often we have looked. */
static struct err *reach_settled(struct files *f) {
    enum { ENDING_S = 10 };
    int64_t end = clock_boot() + ENDING_S * NSEC_PER_SEC;
    for (;;) {
        TRY(engine_container_settle(f->engine, &f->c, &f->lock_fd));
        if (f->lock_fd >= 0)
            return reach_stopped(f);
        struct err *e = reach_running(f);
        if (!e || !engine_process_ended(f->pidfd, e) || clock_boot() > end)
            return e && err_kind(e) == ERR_NOT_FOUND ? err_with_kind(e, ERR_CONFLICT) : e;
        err_free(e);
        fd_replace(&f->pidfd, -1);
        fd_replace(&f->shared_fd, -1);
        TRY(engine_container_await_change(&f->c));
    }
}

static struct err *reach(struct files *f) {
    int userns;
    TRY(engine_container_record(f->engine, &f->c, "config.json", &f->config));
    TRY_CTX(idmap_from_json(json_get(f->config, "linux"), &f->id_map, &f->mapped), "config.json");
    TRY(engine_userns(f->engine, &userns, &f->ids));
    if (f->mapped)
        f->ids = idmap_end(f->id_map.uid, f->id_map.n_uid);
    return reach_settled(f);
}

struct err *files_open(struct engine *e, const char *name, struct files *ret) {
    struct files f = FILES_INIT;
    f.engine = e;
    struct err *bad = engine_container_load(e, name, &f.c);
    if (!bad)
        bad = reach(&f);
    if (bad) {
        files_done(&f);
        return bad;
    }
    *ret = f;
    return NULL;
}

struct err *files_still(const struct files *f, struct err *take_e) {
    autofd int dir = -1;
    autoerr gone = store_container_open(f->engine->store, f->c.id, &dir);
    bool removed = gone && err_kind(gone) == ERR_NOT_FOUND;
    int code = take_e ? err_errno(take_e) : 0;
    bool ruins = code == ENOENT || code == EEXIST || code == ESTALE || code == EIO;
    bool restarted = ruins && f->pidfd >= 0 && engine_process_ended(f->pidfd, take_e);
    if (!removed && !restarted)
        return take_e;
    err_free(take_e);
    return err_new(ERR_CONFLICT, "container %s has been %s", engine_container_name(&f->c),
                   removed ? "removed" : "stopped or restarted while its files were copied");
}

/* ---- calls inside ---- */

static struct err *call_root(void *ctx, int root, int mounts) {
    struct files_call *call = ctx;
    call->mounts = mounts;
    return call->fn(call, root);
}

struct err *files_answer(const struct files_call *call, const struct json *facts, const int *fds, size_t n) {
    int all[MSG_FDS];
    if (n + 1 > MSG_FDS)
        return err_new(ERR_USAGE, "too many descriptors for an answer");
    memcpy(all, fds, n * sizeof *fds);
    all[n] = call->mounts;
    return msg_send(call->chan, facts, all, n + 1);
}

static struct err *call_inside(struct files *f, struct files_call *call, struct files_answer *ret) {
    int pair[2];
    autofree char *record = mem_printf("%s/containers/%s", store_containers_root(f->engine->store), f->c.id);
    const struct runtime_root root = {.shared_fd = f->shared_fd,
                                      .userns_fd = f->mapped ? f->userns_fd : -1,
                                      .target_pidfd = f->pidfd,
                                      .holder_pidfd = f->holder_fd,
                                      .holder_dir = f->c.dirfd,
                                      .holder_path = record,
                                      .holder_name = ENGINE_MOUNT_DIR,
                                      .rootfs = &f->plan,
                                      .config = f->config,
                                      .bare = call->bare,
                                      .strict = call->strict};
    struct files_answer a = {.n_fds = MSG_FDS};
    TRY(fd_socketpair(SOCK_STREAM, pair));
    automsg ours = msg_chan_new(pair[0]);
    automsg theirs = msg_chan_new(pair[1]);
    call->chan = theirs;
    TRY(runtime_root_call(&root, call_root, call));
    TRY(msg_recv(ours, &a.facts, a.fds, &a.n_fds));
    *ret = a;
    return a.n_fds >= call->wanted ? NULL : err_new(ERR_SYSTEM, "the container's directories were not sent");
}

/* What is mounted by `coracle mount` the kernel does not mount a second time: then it is done by way of that. */
struct err *files_inside(struct files *f, struct files_call *call, struct files_answer *ret) {
    struct err *e = call_inside(f, call, ret);
    if (!e || err_kind(e) != ERR_IN_USE || f->lock_fd < 0 || f->holder_fd >= 0)
        return e;
    autoerr nobody = files_find_holder(f);
    if (nobody)
        return e;
    err_free(e);
    return call_inside(f, call, ret);
}

/* ---- changes ---- */

struct changes {
    const struct store *store;
    const char *id;
    const struct strv *layers;
    const struct id_map *map;
    int list;
    struct msg_chan *chan;
};

static struct err *changes_call(void *ctx) {
    const struct changes *c = ctx;
    autofd int dir = -1;
    autojson facts = json_object();
    TRY(store_container_changes(c->store, c->id, c->layers, c->map, c->list));
    TRY(store_container_changes_open(c->store, c->id, &dir));
    return msg_send(c->chan, facts, &dir, 1);
}

struct err *files_comparable(const struct files *f) {
    const char *rootfs = json_str_value(json_get(f->c.summary, "Rootfs"));
    if (!rootfs)
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED,
                            "container %s was made from a directory, %s: there is no image to compare with",
                            engine_container_name(&f->c), rootfs),
                    "'coracle export' and 'coracle import' make an image of all its files");
}

struct err *files_changes(struct files *f, int *ret_list, int *ret_dir) {
    int pair[2], fds[1];
    size_t n = 1;
    autostrv struct strv layers = {.n = 0};
    TRY(files_comparable(f));
    autofd int list = sys_memfd("changes", MFD_CLOEXEC);
    if (list < 0)
        return err_sys(errno, "make a memory file");
    TRY(json_get_strv_opt(f->c.summary, "Layers", &layers));
    TRY(fd_socketpair(SOCK_STREAM, pair));
    automsg ours = msg_chan_new(pair[0]);
    automsg theirs = msg_chan_new(pair[1]);
    autojson facts = NULL;
    struct changes c = {f->engine->store, f->c.id, &layers, f->mapped ? &f->id_map : NULL, list, theirs};
    TRY(runtime_userns_call(f->shared_fd, changes_call, &c));
    TRY(msg_recv(ours, &facts, fds, &n));
    autofd int dir = n ? fds[0] : -1;
    if (lseek(list, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    if (ret_dir)
        *ret_dir = take_fd(&dir);
    *ret_list = take_fd(&list);
    return NULL;
}

static struct err *each_change(int list, struct err *(*fn)(void *ctx, char kind, const char *path), void *ctx) {
    autostr struct str text = STR_INIT_MAX(LIST_MAX);
    TRY(io_read_all(list, LIST_MAX, "the list of changes", &text));
    for (size_t at = 0; at < text.len; at += strlen(text.ptr + at) + 1)
        TRY(fn(ctx, text.ptr[at], text.ptr + at + 1));
    return NULL;
}

struct err *engine_container_diff(struct engine *e, const char *name,
                                  struct err *(*fn)(void *ctx, char kind, const char *path), void *ctx) {
    autofiles f = FILES_INIT;
    autofd int list = -1;
    TRY(files_open(e, name, &f));
    TRY(files_still(&f, files_changes(&f, &list, NULL)));
    return each_change(list, fn, ctx);
}

/* ---- changes from image to image ---- */

struct images {
    const struct store *store;
    struct strv is, was;
    int list;
};

static struct err *images_call(void *ctx) {
    const struct images *i = ctx;
    return store_image_changes(i->store, &i->is, &i->was, i->list);
}

/* The layers of an image, all but the topmost `skip`. */
static struct err *layers_of(struct engine *e, const char *name, size_t skip, struct strv *out) {
    char id[65] = "";
    struct store_image *img = NULL;
    TRY(engine_image_find(e, name, id, NULL));
    TRY(store_image_get(e->store, id, &img));
    struct err *bad = engine_layers_make(e, img);
    for (size_t i = 0; !bad && i + skip < img->n_layers; i++)
        strv_push(out, img->layers[i].chain_id);
    store_image_free(img);
    return bad;
}

static struct err *image_changes(struct engine *e, struct images *i) {
    int userns = -1;
    TRY(engine_userns(e, &userns, NULL));
    TRY(runtime_userns_call(userns, images_call, i));
    return lseek(i->list, 0, SEEK_SET) < 0 ? err_sys(errno, "rewind a memory file") : NULL;
}

struct err *engine_image_diff(struct engine *e, const char *name, const char *other,
                              struct err *(*fn)(void *ctx, char kind, const char *path), void *ctx) {
    struct store *s;
    autofd int hold = -1;
    TRY(engine_store(e, &s));
    TRY(store_hold(s, &hold));
    autofd int list = sys_memfd("changes", MFD_CLOEXEC);
    if (list < 0)
        return err_sys(errno, "make a memory file");
    struct images i = {.store = s, .list = list};
    struct err *bad = layers_of(e, name, 0, &i.is);
    if (!bad)
        bad = layers_of(e, other ? other : name, !other, &i.was);
    if (!bad)
        bad = image_changes(e, &i);
    strv_done(&i.is);
    strv_done(&i.was);
    return bad ? bad : each_change(list, fn, ctx);
}

/* ---- export ---- */

static struct err *export_call(const struct files_call *call, int root) {
    autojson facts = json_object();
    return files_answer(call, facts, &root, 1);
}

static struct err *export(struct files *f, int fd) {
    struct files_call call = {.fn = export_call, .wanted = 2, .bare = true};
    autoanswer a = {.n_fds = 0};
    struct store_files_job *job = NULL;
    TRY(files_inside(f, &call, &a));
    const struct store_gather g = {.out_fd = fd,
                                   .dir_fd = a.fds[0],
                                   .name = ".",
                                   .as = "",
                                   .changes_fd = -1,
                                   .root_fd = a.fds[0],
                                   .userns_fd = f->userns_fd};
    TRY(store_gather_start(f->engine->store, &g, &job));
    return store_files_finish(job, NULL);
}

struct err *engine_container_export(struct engine *e, const char *name, int fd) {
    autofiles f = FILES_INIT;
    TRY(files_open(e, name, &f));
    TRY(files_still(&f, export(&f, fd)));
    events_tell_container(e->host, f.c.summary, "export", NULL);
    return NULL;
}
