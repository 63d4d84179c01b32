/*
 * files_copy: cp. One process reads the source as a tar, one makes files of it, each in its own world (the user's, or a
 * container's), with a pipe between them; where docker's "-" stands for one end, only the other is there.
 */
#include "engine/files_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/events.h"

#define PIPE_SIZE (1 << 20)

/* One end of a copy, with its directory open. */
struct end {
    const struct engine_copy_end *given;
    struct files *files; /* of its container, or NULL */
    struct files_side side;
    struct files_answer answer; /* what the call inside gave: keeps its descriptors */
    int dir, root, mounts;      /* borrowed from the answer, or, of the user's own files, `own_dir` and -1 */
    int own_dir;
    char *name, *as;
    bool is_dir;
};

struct copying {
    struct engine *engine;
    const struct engine_copy *c;
    struct files containers[2];
    struct end from, to;
};

static void end_done(struct end *n) {
    files_path_done(&n->side.path);
    files_answer_done(&n->answer);
    fd_close(n->own_dir);
    free(n->name);
    free(n->as);
}

/* ---- finding the ends ---- */

struct finding {
    const struct copying *copying;
    struct end *end;
};

static struct err *find_source(const struct files_call *call, int root) {
    const struct finding *f = call->ctx;
    struct files_side side = f->end->side;
    struct files_source found;
    side.root = root;
    TRY(files_source_find(&side, f->copying->c->follow_link, &found));
    autojson facts = json_object();
    json_set_str(facts, "name", found.name);
    json_set_str(facts, "as", found.as);
    json_set_bool(facts, "directory", found.is_dir);
    const int fds[] = {found.dir, root};
    return files_answer(call, facts, fds, ARRAY_LEN(fds));
}

static struct err *find_dest(const struct files_call *call, int root) {
    const struct finding *f = call->ctx;
    struct files_side side = f->end->side;
    struct files_dest found;
    side.root = root;
    TRY(files_dest_find(&side, f->copying->from.is_dir, f->copying->from.given->tar, &found));
    autojson facts = json_object();
    if (found.as)
        json_set_str(facts, "as", found.as);
    const int fds[] = {found.dir, root};
    return files_answer(call, facts, fds, ARRAY_LEN(fds));
}

static struct err *find_inside(const struct copying *c, struct end *n,
                               struct err *(*fn)(const struct files_call *call, int root)) {
    const struct finding f = {c, n};
    struct files_call call = {.fn = fn, .wanted = 3, .ctx = &f};
    TRY(files_inside(n->files, &call, &n->answer));
    n->dir = n->answer.fds[0];
    n->root = n->answer.fds[1];
    n->mounts = n->answer.fds[2];
    n->name = mem_dup(json_str_value(json_get(n->answer.facts, "name")));
    n->as = mem_dup(json_str_value(json_get(n->answer.facts, "as")));
    n->is_dir = json_bool_value(json_get(n->answer.facts, "directory"), false);
    return NULL;
}

static struct err *open_own_root(struct end *n, int *ret_fd) {
    TRY(fd_open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, ret_fd));
    n->side.root = *ret_fd;
    return NULL;
}

static struct err *find_own_source(const struct copying *c, struct end *n) {
    autofd int root = -1;
    struct files_source found;
    TRY(open_own_root(n, &root));
    TRY(files_source_find(&n->side, c->c->follow_link, &found));
    n->dir = n->own_dir = found.dir;
    n->name = found.name;
    n->as = found.as;
    n->is_dir = found.is_dir;
    return NULL;
}

static struct err *find_own_dest(const struct copying *c, struct end *n) {
    autofd int root = -1;
    struct files_dest found;
    TRY(open_own_root(n, &root));
    TRY(files_dest_find(&n->side, c->from.is_dir, false, &found));
    n->dir = n->own_dir = found.dir;
    n->as = found.as;
    return NULL;
}

static struct err *find_ends(struct copying *c) {
    if (!c->from.given->tar)
        TRY(c->from.files ? find_inside(c, &c->from, find_source) : find_own_source(c, &c->from));
    if (!c->to.given->tar)
        TRY(c->to.files ? find_inside(c, &c->to, find_dest) : find_own_dest(c, &c->to));
    return NULL;
}

/* ---- the two processes ---- */

static struct err *start_reading(const struct copying *c, int out_fd, struct store_files_job **ret) {
    const struct end *n = &c->from;
    const struct store_gather g = {.out_fd = out_fd,
                                   .dir_fd = n->dir,
                                   .name = n->name,
                                   .as = c->to.as ? c->to.as : n->as,
                                   .changes_fd = -1,
                                   .root_fd = n->root,
                                   .userns_fd = n->files ? n->files->userns_fd : -1,
                                   .as_root = c->to.files && !c->c->archive,
                                   .progress = c->c->progress,
                                   .progress_ctx = c->c->progress_ctx,
                                   .sparse = !c->to.given->tar};
    return store_gather_start(c->engine->store, &g, ret);
}

/* The user's own files belong to the user; only root could give them to others. */
static struct err *start_writing(const struct copying *c, int in_fd, struct store_files_job **ret) {
    const struct end *n = &c->to;
    const struct store_place p = {.in_fd = in_fd,
                                  .dir_fd = n->dir,
                                  .mounts_fd = n->mounts,
                                  .userns_fd = n->files ? n->files->userns_fd : -1,
                                  .ids = n->files ? n->files->ids : UINT32_MAX,
                                  .own = n->files != NULL};
    return store_place_start(c->engine->store, &p, ret);
}

/* docker's words for a place that cannot be written. */
static struct err *explain(const struct copying *c, struct err *take_e) {
    if (!c->to.files || err_errno(take_e) != EROFS)
        return take_e;
    bool root = json_bool_value(json_path(c->to.files->config, "root.readonly"), false);
    err_free(take_e);
    return err_new(ERR_DENIED, root ? "container rootfs is marked read-only" : "mounted volume is marked read-only");
}

static struct err *copy_through(const struct copying *c, int64_t *ret_bytes) {
    int pair[2];
    struct store_files_job *reader = NULL, *writer = NULL;
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    (void)fcntl(out, F_SETPIPE_SZ, PIPE_SIZE); /* less is slower */
    TRY(start_writing(c, in, &writer));
    struct err *unread = start_reading(c, out, &reader);
    fd_replace(&in, -1);
    fd_replace(&out, -1);
    if (reader) /* the one that tells how far it is: it ends first, as the other one reads what it writes */
        unread = store_files_finish(reader, ret_bytes);
    struct err *unwritten = store_files_finish(writer, NULL);
    if (unread && (!unwritten || err_errno(unread) != EPIPE)) { /* what was read of it came to an early end */
        err_free(unwritten);
        return unread;
    }
    err_free(unread);
    return unwritten ? explain(c, unwritten) : NULL;
}

static struct err *copy_ends(const struct copying *c, int64_t *ret_bytes) {
    struct store_files_job *job = NULL;
    if (!c->from.given->tar && !c->to.given->tar)
        return copy_through(c, ret_bytes);
    if (c->to.given->tar) {
        TRY(start_reading(c, c->to.given->fd, &job));
        return store_files_finish(job, ret_bytes);
    }
    TRY(start_writing(c, c->from.given->fd, &job));
    struct err *e = store_files_finish(job, NULL);
    return e ? explain(c, e) : NULL;
}

/* ---- the containers ---- */

static void end_init(const struct copying *c, struct end *n, const struct engine_copy_end *given) {
    *n = (struct end){.given = given,
                      .side = {.root = -1, .container = given->container, .text = given->path},
                      .dir = -1,
                      .root = -1,
                      .mounts = -1,
                      .own_dir = -1};
    if (!given->tar)
        files_path_parse(given->path, given->container ? "/" : c->c->cwd, &n->side.path);
}

/* Both, in the order of their ids, as each may wait for the other's lock; one that is both ends is opened once. */
static struct err *open_two(struct copying *c) {
    char id[2][65] = {"", ""};
    const char *names[] = {c->from.given->container, c->to.given->container};
    struct store *s;
    TRY(engine_store(c->engine, &s));
    for (int i = 0; i < 2; i++)
        TRY(store_container_find(s, names[i], id[i]));
    int order = strcmp(id[0], id[1]), first = order > 0;
    TRY(files_open(c->engine, names[first], &c->containers[first]));
    if (order)
        TRY(files_open(c->engine, names[!first], &c->containers[!first]));
    c->from.files = &c->containers[0];
    c->to.files = &c->containers[order ? 1 : 0];
    return NULL;
}

static struct err *open_containers(struct copying *c) {
    if (c->from.given->container && c->to.given->container)
        return open_two(c);
    struct end *n = c->from.given->container ? &c->from : &c->to;
    if (!n->given->container)
        return err_new(ERR_USAGE, "must specify at least one container source");
    TRY(files_open(c->engine, n->given->container, &c->containers[0]));
    n->files = &c->containers[0];
    return NULL;
}

/* docker's words for the two directions. */
static void tell(const struct copying *c) {
    const struct host *h = c->engine->host;
    if (c->from.files)
        events_tell_container(h, c->from.files->c.summary, "archive-path", NULL);
    if (c->to.files)
        events_tell_container(h, c->to.files->c.summary, "extract-to-dir", NULL);
}

struct err *engine_copy(struct engine *e, const struct engine_copy *c, int64_t *ret_bytes) {
    struct copying copying = {.engine = e, .c = c, .containers = {FILES_INIT, FILES_INIT}};
    int64_t bytes = 0;
    end_init(&copying, &copying.from, &c->from);
    end_init(&copying, &copying.to, &c->to);
    struct err *bad = open_containers(&copying);
    if (!bad)
        bad = find_ends(&copying);
    if (!bad)
        bad = copy_ends(&copying, &bytes);
    for (int i = 0; i < 2; i++)
        if (copying.containers[i].engine)
            bad = files_still(&copying.containers[i], bad);
    if (!bad)
        tell(&copying);
    end_done(&copying.from);
    end_done(&copying.to);
    files_done(&copying.containers[0]);
    files_done(&copying.containers[1]);
    if (!bad && ret_bytes)
        *ret_bytes = bytes;
    return bad;
}
