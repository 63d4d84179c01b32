/* files_commit: an image from a container. Its changes stream as a tar from one process into the two that make a layer
 * and a blob of them. */
#include "engine/files_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/events.h"
#include "engine/limits.h"

#define PIPE_SIZE (1 << 20)

struct committing {
    const struct engine_commit *c;
    struct files files;
    int list, dir;
    struct msg_chan *hold; /* the container is paused as long as it is open; or NULL */
    struct store_files_job *job;
};

static struct err *open_changes(void *ctx, int *ret_fd) {
    struct committing *m = ctx;
    int pair[2];
    TRY(files_changes(&m->files, &m->list, &m->dir));
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    (void)fcntl(out, F_SETPIPE_SZ, PIPE_SIZE); /* less is slower */
    const struct store_gather g = {.out_fd = out,
                                   .dir_fd = m->dir,
                                   .changes_fd = m->list,
                                   .root_fd = m->dir,
                                   .userns_fd = m->files.userns_fd,
                                   .sparse = true};
    TRY(store_gather_start(m->files.engine->store, &g, &m->job));
    *ret_fd = take_fd(&in);
    return NULL;
}

static struct err *close_changes(void *ctx) {
    struct committing *m = ctx;
    return files_still(&m->files, store_files_finish(take_ptr(&m->job), NULL));
}

static struct err *pause_while(struct committing *m) {
    const struct files *f = &m->files;
    if (!m->c->pause || f->pidfd < 0)
        return NULL;
    struct err *e = monitor_hold(f->engine->host, f->c.id, &m->hold);
    if (e && (err_kind(e) == ERR_CONFLICT || err_kind(e) == ERR_NOT_FOUND)) { /* it has ended meanwhile */
        err_free(e);
        return NULL;
    }
    return e ? err_hint(e, "commit with --pause=false") : NULL;
}

static void go_on(struct committing *m) {
    if (!m->hold)
        return;
    autoerr e = monitor_release(take_ptr(&m->hold));
    if (!e)
        return;
    autostr struct str why = STR_INIT;
    err_format(e, &why);
    log_warn("%s", str_c(&why));
}

/* The commit has failed before it saw the end of the changes: why they could not be read says more, if that was it. */
static struct err *end_early(struct committing *m, struct err *take_e) {
    struct err *unread = store_files_finish(take_ptr(&m->job), NULL);
    bool first = unread && err_errno(unread) != EPIPE;
    err_free(first ? take_e : unread);
    return first ? unread : take_e;
}

static struct err *commit(struct committing *m, const struct image_ref *ref, char ret_id[65]) {
    const struct engine_commit *c = m->c;
    const struct files *f = &m->files;
    autojson options = NULL;
    TRY(files_comparable(f));
    TRY(engine_container_record(f->engine, &f->c, "options.json", &options));
    const struct image_commit i = {.store = f->engine->store,
                                   .base_id = json_text(f->c.summary, "Image"),
                                   .container_id = f->c.id,
                                   .container_config = json_get(options, "Config"),
                                   .ref = ref,
                                   .author = c->author,
                                   .message = c->message,
                                   .changes = c->changes,
                                   .open = open_changes,
                                   .close = close_changes,
                                   .open_ctx = m,
                                   .userns = engine_userns_cb,
                                   .userns_ctx = f->engine};
    TRY(pause_while(m));
    struct err *e = image_commit(&i, ret_id);
    if (m->job)
        e = files_still(&m->files, end_early(m, e));
    go_on(m);
    return e;
}

static void tell(const struct files *f, const char *id, const char *reference, const char *message) {
    const char *const attributes[] = {"comment",  message ? message : "",     "imageID", id,
                                      "imageRef", reference ? reference : "", NULL};
    events_tell_container(f->engine->host, f->c.summary, "commit", attributes);
}

struct err *engine_container_commit(struct engine *e, const struct engine_commit *c, char ret_id[65]) {
    struct committing m = {.c = c, .files = FILES_INIT, .list = -1, .dir = -1};
    struct image_ref ref = {.domain = NULL};
    char id[65];
    if (c->reference)
        TRY(engine_ref_parse(e, c->reference, &ref));
    struct err *bad = files_open(e, c->container, &m.files);
    if (!bad)
        bad = commit(&m, c->reference ? &ref : NULL, id);
    if (!bad) {
        autofree char *digest = mem_printf("sha256:%s", id);
        tell(&m.files, digest, c->reference, c->message);
        memcpy(ret_id, id, sizeof id);
    }
    image_ref_done(&ref);
    files_done(&m.files);
    fd_close(m.list);
    fd_close(m.dir);
    engine_collect(e, false);
    return bad;
}
