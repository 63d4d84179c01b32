/*
 * exec_source: trees that files are taken from: the context, a stage, an image, a directory that was named. COPY, ADD
 * and RUN --mount=type=bind find them in the same way, and know what is in them by the same digest. Of layers, which
 * never change, a digest is computed once and noted in the build cache, so that a build that changes nothing does not
 * put them together to look.
 */
#include "build/exec_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "build/ignore_int.h"
#include "build/pack_int.h"
#include "spec/spec.h"
#include "storage/builds.h"

void source_done(struct source *s) {
    engine_work_free(s->work);
    state_done(&s->image);
    ignore_free(s->own_ignore);
    if (s->x)
        context_done(s->x->store, &s->files);
}

/* ---- where ---- */

const char *source_named(const struct exec *x, const char *name) { return plan_context(x->o->contexts, name); }

bool source_is_image(const char *value, char **ret_reference) {
    static const char image[] = "docker-image://", layout[] = "oci-layout://";
    if (str_starts(value, image))
        *ret_reference = mem_dup(value + strlen(image));
    else if (str_starts(value, layout))
        *ret_reference = mem_printf("oci:%s", value + strlen(layout));
    else
        return false;
    return true;
}

/* A --build-context. */
static struct err *named(struct source *s, const char *name, const char *value) {
    autofree char *reference = NULL;
    if (source_is_image(value, &reference)) {
        s->layers = &s->image;
        return exec_image(s->x, reference, s->x->platform, &s->image);
    }
    TRY_CTX(context_open(s->x->o, s->x->store, value, &s->files), "build context %s", name);
    if (s->files.is_dockerfile)
        return err_new(ERR_USAGE, "build context %s: %s is no archive", name, value);
    TRY_CTX(ignore_read(s->files.dir, ".dockerignore", &s->own_ignore), "build context %s", name);
    s->root = s->files.dir;
    s->lasting = !s->files.remote;
    s->ignore = s->own_ignore;
    s->uid = s->gid = 0;
    return NULL;
}

static struct err *find(struct source *s, const char *from) {
    struct exec *x = s->x;
    if (!from) {
        s->root = x->context;
        s->lasting = !x->context_files.remote;
        s->ignore = x->ignore;
        s->uid = s->gid = 0;
        return NULL;
    }
    if (strchr(from, '$'))
        return err_hint(err_new(ERR_USAGE, "variable expansion is not supported for --from"),
                        "define a new stage with FROM using ARG from global scope as a workaround");
    const char *value = source_named(x, from);
    if (value)
        return named(s, from, value);
    size_t stage = plan_find(&x->plan, from, x->at);
    if (stage != PLAN_NONE && !x->state[stage].config) /* nobody can know it before the image is there */
        return err_new(ERR_UNSUPPORTED, "an image's ONBUILD cannot copy from stage %s, which is not needed otherwise",
                       from);
    if (stage != PLAN_NONE) {
        s->layers = &x->state[stage];
        return NULL;
    }
    s->layers = &s->image;
    return exec_image(x, from, x->platform, &s->image);
}

struct err *source_find(struct exec *x, const char *from, struct source *ret) {
    struct source s = SOURCE_INIT;
    s.x = x;
    *ret = s;
    return find(ret, from);
}

struct err *source_open(struct source *s) {
    if (s->root >= 0)
        return NULL;
    if (!s->layers)
        return err_new(ERR_USAGE, "there is no build context to copy from: the Dockerfile came from standard input");
    TRY(exec_root(s->x, s->layers, &s->work));
    return engine_work_root(s->work, &s->root);
}

/* ---- what ---- */

void source_pack(const struct source *s, const char *path, struct pack *ret) {
    *ret = (struct pack){.root = s->root,
                         .literal = true,
                         .ignore = s->ignore,
                         .dest_root = -1,
                         .dest = "/",
                         .dest_is_dir = true,
                         .uid = s->uid,
                         .gid = s->gid};
    strv_push(&ret->sources, path ? path : "/");
}

/* Which of the stat caches: of this directory, for what is taken of it in this way. */
static struct err *find_note(const struct source *s, const char *recipe, int *ret_dir, char ret[DIGEST_LEN + 1]) {
    struct stat st;
    int root = store_dirfd(s->x->store, "");
    if (fstat(s->root, &st) < 0)
        return err_sys(errno, "stat the build context");
    autofree char *whole = mem_printf("%ju %ju\n%s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, recipe);
    TRY(io_mkdirs(root, STORE_BUILD_STATS, 0700));
    TRY(fd_open_dir(root, STORE_BUILD_STATS, ret_dir));
    return digest_of(whole, strlen(whole), ret);
}

static struct err *compute(const struct source *s, const struct pack *what, const char *recipe,
                           char ret[DIGEST_LEN + 1]) {
    int pair[2];
    char note[DIGEST_LEN + 1] = "";
    autofd int notes = -1;
    struct pack p = *what;
    p.root = s->root;
    p.dest_root = -1;
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    p.out = out;
    if (s->lasting && p.sources.n && s->root >= 0)
        TRY(find_note(s, recipe, &notes, note));
    p.notes = notes;
    p.note = *note ? digest_hex(note) : NULL;
    TRY(digest_new(&p.digest));
    struct err *e = engine_build_call(s->x->o->engine, pack_write, &p);
    digest_free(p.digest);
    TRY(e);
    if (read(in, ret, DIGEST_LEN) != DIGEST_LEN)
        return err_new(ERR_SYSTEM, "the digest of the sources did not come");
    ret[DIGEST_LEN] = 0;
    return NULL;
}

struct err *source_digest(struct source *s, const struct pack *p, const char *recipe, char ret[DIGEST_LEN + 1]) {
    char key[DIGEST_LEN + 1];
    bool known = false;
    if (s->layers) {
        const char *top = state_top(s->layers);
        autofree char *whole = mem_printf("content 1\n%s\n%s", top ? top : "nothing", recipe);
        TRY(digest_of(whole, strlen(whole), key));
        TRY(cache_note_get(s->x, key, ret, &known));
    }
    if (known)
        return NULL;
    if (p->sources.n)
        TRY(source_open(s));
    TRY(compute(s, p, recipe, ret));
    return s->layers ? cache_note_put(s->x, key, ret) : NULL;
}

/* ---- taking it ---- */

struct err *source_place(struct exec *x, struct engine_work *w, int root, const struct pack *what) {
    int pair[2];
    struct pack p = *what;
    if (!p.sources.n && !p.n_texts)
        return NULL;
    TRY(fd_pipe(0, pair));
    autofd int in = pair[0];
    autofd int out = pair[1];
    p.dest_root = root;
    p.out = out;
    TRY(engine_work_place(w, root, in));
    fd_replace(&in, -1);
    struct err *unread = engine_build_call(x->o->engine, pack_write, &p);
    fd_replace(&out, -1);
    struct err *unwritten = engine_work_placed(w);
    if (unread && (!unwritten || err_errno(unread) != EPIPE)) {
        err_free(unwritten);
        return unread;
    }
    err_free(unread);
    return unwritten;
}

struct err *source_snapshot(struct source *s, const struct pack *what, const char *content,
                            struct store_layer_ref *ret) {
    struct exec *x = s->x;
    static const struct state nothing = {.n = 0};
    autofree char *recipe = mem_printf("snapshot 1\n%s", content);
    exec_add_latest(x, &recipe);
    char key[DIGEST_LEN + 1];
    bool hit = false;
    struct pack p = *what;
    autowork w = NULL;
    int root;
    TRY(digest_of(recipe, strlen(recipe), key));
    TRY(cache_layer_get(x, key, &nothing, ret, &hit));
    if (hit)
        return NULL;
    TRY(source_open(s));
    p.root = s->root;
    TRY(exec_root(x, &nothing, &w));
    TRY(engine_work_root(w, &root));
    TRY(source_place(x, w, root, &p));
    TRY(exec_layer(x, w, NULL, ret));
    return cache_layer_put(x, key, "files of a bind mount", ret);
}
