/*
 * exec_copy: COPY, ADD and WORKDIR. No process of the image runs: sources become a tar (pack_int.h), which is put into
 * the root of a container that is not started. A source tree is the context, another stage, an image or a directory
 * that was named; of the latter three but the directory a root is put together in the same way.
 */
#include "build/exec_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "build/chmod_int.h"
#include "build/ignore_int.h"
#include "build/pack_int.h"
#include "build/remote_int.h"
#include "spec/spec.h"

struct copy {
    struct exec *x;
    const struct df_instruction *in;
    struct pack pack;
    struct ignore *exclude;
    struct strv archives;   /* ADD: sources that are unpacked */
    struct remote *remotes; /* and that are fetched */
    size_t n_remotes;
    struct pack_text *texts;
    struct strv owned; /* texts of heredocs */
    struct strv shown; /* the sources, as they are in the history */
    char *typed_dest, *dest, *chown, *chmod;
    struct chmod mode;
    bool link; /* into an empty root: what lies below is neither read nor followed */
    struct source source;
    struct str recipe;
};

static void copy_done(struct copy *c) {
    strv_done(&c->pack.sources);
    ignore_free(c->exclude);
    strv_done(&c->archives);
    free(c->texts);
    strv_done(&c->owned);
    strv_done(&c->shown);
    free(c->typed_dest);
    free(c->dest);
    free(c->chown);
    free(c->chmod);
    for (size_t i = 0; i < c->n_remotes; i++)
        remote_done(&c->remotes[i]);
    free(c->remotes);
    source_done(&c->source);
    str_done(&c->recipe);
}

/* ---- what ---- */

/* Whether a local source of ADD may be an archive that is unpacked, as far as its first bytes tell: of a compressed one
 * it is known only when it is unpacked. Names say nothing. */
static bool is_archive(const struct copy *c, const char *source) {
    char start[512];
    const char *unpack = df_flag(c->in, "unpack");
    if (c->in->kind != DF_ADD || str_eq(unpack, "false"))
        return false;
    autofree char *clean = path_clean(source);
    autofd int fd = path_find_in_root(c->pack.root, clean + strspn(clean, "/"), O_RDONLY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    ssize_t n = pread(fd, start, sizeof start, 0);
    return n > 0 && context_is_archive(start, (size_t)n);
}

static struct err *take_heredoc(struct copy *c, const struct df_heredoc *h) {
    struct expand x = exec_expand(c->x);
    autostr struct str data = STR_INIT;
    x.raw_quotes = true;
    if (h->expand)
        TRY(expand_word(&x, h->data, &data));
    else
        str_append(&data, h->data);
    strv_push_take(&c->owned, str_take(&data));
    c->texts = mem_resize(c->texts, c->pack.n_texts + 1, sizeof *c->texts);
    c->texts[c->pack.n_texts++] = (struct pack_text){h->name, c->owned.v[c->owned.n - 1]};
    return NULL;
}

static struct err *take_remote(struct copy *c, const char *url) {
    c->remotes = mem_resize(c->remotes, c->n_remotes + 1, sizeof *c->remotes);
    return remote_new(c->x, c->in, url, &c->remotes[c->n_remotes++]);
}

static struct err *find_sources(struct copy *c) {
    const struct df_instruction *in = c->in;
    for (size_t i = 0; i + 1 < in->args.n; i++) {
        const struct df_heredoc *h = df_heredoc_of(in, in->args.v[i]);
        autofree char *word = NULL;
        if (h) {
            TRY(take_heredoc(c, h));
            continue;
        }
        TRY(exec_word(c->x, in->args.v[i], &word));
        strv_push(&c->shown, word);
        if (in->kind == DF_ADD && remote_is(word)) {
            TRY(take_remote(c, word));
            continue;
        }
        strv_push_take(&c->pack.sources, take_ptr(&word));
    }
    c->pack.texts = c->texts;
    return NULL;
}

static struct err *find_source(struct copy *c) {
    TRY(source_find(c->x, df_flag(c->in, "from"), &c->source));
    if (c->pack.sources.n && !c->source.layers)
        TRY(source_open(&c->source));
    c->pack.root = c->source.root;
    c->pack.ignore = c->source.ignore;
    c->pack.uid = c->source.uid;
    c->pack.gid = c->source.gid;
    return NULL;
}

/* Only ADD has archives, and it takes files of the context alone. */
static void split_archives(struct copy *c) {
    for (size_t i = 0; i < c->pack.sources.n;) {
        if (!is_archive(c, c->pack.sources.v[i])) {
            i++;
            continue;
        }
        strv_push(&c->archives, c->pack.sources.v[i]);
        strv_remove(&c->pack.sources, i);
    }
}

/* ---- where to, and whose ---- */

static struct err *find_dest(struct copy *c) {
    const char *dir = json_text(exec_config(c->x), "WorkingDir");
    TRY(exec_word(c->x, c->in->args.v[c->in->args.n - 1], &c->typed_dest));
    const char *word = c->typed_dest;
    autofree char *base = path_join("/", dir);
    autofree char *joined = path_join(base, word);
    c->dest = path_clean(joined);
    c->pack.dest = c->dest;
    c->pack.dest_is_dir = str_ends(word, "/") || str_ends(word, "/.") || str_eq(word, ".") || !*word;
    for (size_t i = 0; i < c->n_remotes; i++)
        if (c->pack.dest_is_dir && !c->remotes[i].git && !c->remotes[i].name)
            return err_hint(err_new(ERR_USAGE, "could not determine the filename for %s", c->remotes[i].url),
                            "name the file in the destination");
    if (c->in->args.n > 2 && !c->pack.dest_is_dir)
        return err_new(
            ERR_USAGE,
            "When using %s with more than one source file, the destination must be a directory and end with a /",
            df_kind_name(c->in->kind));
    return NULL;
}

static struct err *find_mode(struct copy *c) {
    const char *typed = df_flag(c->in, "chmod");
    if (!typed)
        return NULL;
    TRY(exec_word(c->x, typed, &c->chmod));
    TRY(chmod_parse(c->chmod, &c->mode));
    c->pack.mode = &c->mode;
    return NULL;
}

/* The id of a name in a file like /etc/passwd of the image; `group` (may be NULL) gets the fourth field. */
static struct err *look_up(int root, const char *file, const char *name, int64_t *ret, int64_t *group) {
    autostr struct str text = STR_INIT;
    autostrv struct strv lines = {.n = 0};
    autofd int fd = path_find_in_root(root, file, O_RDONLY | O_NONBLOCK);
    if (fd >= 0)
        TRY(io_read_all(fd, (size_t)4 << 20, file, &text));
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n; i++) {
        autostrv struct strv f = {.n = 0};
        strv_split(&f, lines.v[i], ':');
        if (f.n < 3 || !str_eq(f.v[0], name) || !str_to_i64(f.v[2], 0, UINT32_MAX - 1, ret))
            continue;
        if (group && f.n > 3)
            (void)str_to_i64(f.v[3], 0, UINT32_MAX - 1, group);
        return NULL;
    }
    return err_new(ERR_USAGE, "unable to convert uid/gid chown string to host mapping: can't find %s for %s in %s",
                   group ? "uid" : "gid", name, file);
}

/* "user[:group]" by number or by the image's own files. A user alone is its own number as a group, as docker has it. */
static struct err *resolve_owner(const char *text, int root, int64_t *ret_uid, int64_t *ret_gid) {
    const char *colon = strchr(text, ':');
    autofree char *user = mem_dupn(text, strcspn(text, ":"));
    int64_t uid = 0, gid = -1;
    if (!str_to_i64(user, 0, UINT32_MAX - 1, &uid))
        TRY(look_up(root, "etc/passwd", user, &uid, &gid));
    if (colon && !str_to_i64(colon + 1, 0, UINT32_MAX - 1, &gid))
        TRY(look_up(root, "etc/group", colon + 1, &gid, NULL));
    *ret_uid = uid;
    *ret_gid = gid >= 0 ? gid : uid;
    return NULL;
}

/* ---- the cache ---- */

/* What a checksum vouches for is not fetched to know what it is. */
static struct err *remote_digests(struct copy *c) {
    for (size_t i = 0; i < c->n_remotes; i++) {
        struct remote *r = &c->remotes[i];
        struct source s = SOURCE_INIT;
        struct pack p;
        char digest[DIGEST_LEN + 1];
        str_appendf(&c->recipe, "remote %s\n", r->url);
        if (r->checksum)
            continue;
        TRY(remote_fetch(r));
        s.x = c->x;
        s.root = r->files.dir;
        remote_pack(r, &c->pack, &p);
        struct err *e = source_digest(&s, &p, "", digest);
        strv_done(&p.sources);
        TRY_CTX(e, "%s", r->url);
        str_appendf(&c->recipe, "content %s\n", digest);
    }
    return NULL;
}

/* The digest of what is copied. */
static struct err *content_digest(struct copy *c) {
    char digest[DIGEST_LEN + 1] = "";
    struct pack p = c->pack;
    autostrv struct strv sources = {.n = 0};
    strv_extend(&sources, &c->pack.sources);
    strv_extend(&sources, &c->archives);
    p.sources = sources;
    TRY(source_digest(&c->source, &p, str_c(&c->recipe), digest));
    str_appendf(&c->recipe, "content %s\n", digest);
    return remote_digests(c);
}

static void settings(struct copy *c) {
    for (size_t i = 0; i < c->in->n_flags; i++)
        str_appendf(&c->recipe, "flag %s=%s\n", c->in->flags[i].name, c->in->flags[i].value);
    for (size_t i = 0; i < c->pack.sources.n; i++)
        str_appendf(&c->recipe, "source %s\n", c->pack.sources.v[i]);
    for (size_t i = 0; i < c->archives.n; i++)
        str_appendf(&c->recipe, "archive %s\n", c->archives.v[i]);
    for (size_t i = 0; i < c->pack.n_texts; i++)
        str_appendf(&c->recipe, "text %s %zu %s\n", c->texts[i].name, strlen(c->texts[i].data), c->texts[i].data);
    str_appendf(&c->recipe, "dest %s%s\nowner %s\nmode %s\n", c->dest, c->pack.dest_is_dir ? "/" : "",
                c->chown ? c->chown : "", c->chmod ? c->chmod : "");
}

/* ---- doing it ---- */

struct making {
    int root;
    const char *path;
    int64_t uid, gid;
};

static struct err *make_dirs(void *ctx) {
    const struct making *m = ctx;
    autofd int fd = -1;
    return path_mkdirs_in_root(m->root, m->path, 0755, (uid_t)m->uid, (gid_t)m->gid, &fd);
}

struct archive {
    int root;
    const char *path;
};

static struct err *place_archive(struct copy *c, struct engine_work *w, int root, const struct archive *a) {
    autofree char *clean = path_clean(a->path);
    autofd int fd = -1;
    autofd int dir = -1;
    struct making m = {root, c->dest, c->pack.uid, c->pack.gid};
    TRY(engine_build_call(c->x->o->engine, make_dirs, &m));
    TRY(path_open_in_root(root, c->dest, O_RDONLY | O_DIRECTORY, 0, &dir));
    TRY(path_open_in_root(a->root, clean + strspn(clean, "/"), O_RDONLY, 0, &fd));
    TRY_CTX(engine_work_place(w, dir, fd), "ADD %s", a->path);
    TRY_CTX(engine_work_placed(w), "ADD %s", a->path);
    return NULL;
}

/* One that turns out to be none is a file that is copied: it changes the lists, and what was begun is not wanted. */
static struct err *place_archives(struct copy *c, struct engine_work *w, int root, bool *ret_again) {
    for (size_t i = 0; i < c->archives.n; i++) {
        struct err *e = place_archive(c, w, root, &(struct archive){c->pack.root, c->archives.v[i]});
        *ret_again = e && err_kind(e) == ERR_UNSUPPORTED && !df_flag_set(c->in, "unpack");
        if (!*ret_again) {
            TRY(e);
            continue;
        }
        err_free(e);
        strv_push(&c->pack.sources, c->archives.v[i]);
        strv_remove(&c->archives, i);
        return NULL;
    }
    return NULL;
}

/* Fetched files; one that --unpack is said of, or a repository, goes into the destination as a tree. */
static struct err *place_remotes(struct copy *c, struct engine_work *w, int root) {
    for (size_t i = 0; i < c->n_remotes; i++) {
        struct remote *r = &c->remotes[i];
        struct pack p;
        TRY(remote_fetch(r));
        if (!r->git && df_flag_set(c->in, "unpack")) {
            TRY(place_archive(c, w, root, &(struct archive){r->files.dir, r->name ? r->name : "download"}));
            continue;
        }
        remote_pack(r, &c->pack, &p);
        struct err *e = source_place(c->x, w, root, &p);
        strv_done(&p.sources);
        TRY_CTX(e, "ADD %s", r->url);
    }
    return NULL;
}

static struct err *find_owner(struct copy *c, int root) {
    struct err *e = resolve_owner(c->chown, root, &c->pack.uid, &c->pack.gid);
    return e && c->link ? err_hint(e, "with --link no file of the image is read: give the owner as numbers") : e;
}

static struct err *try_copy(struct copy *c, struct store_layer_ref *ret, bool *ret_again) {
    static const struct state nothing = {.n = 0};
    struct exec *x = c->x;
    const struct state *s = exec_state(x);
    autowork w = NULL;
    int root;
    TRY(exec_root(x, c->link ? &nothing : s, &w));
    TRY(engine_work_root(w, &root));
    if (c->pack.sources.n)
        TRY(source_open(&c->source));
    c->pack.root = c->source.root;
    if (c->chown)
        TRY(find_owner(c, root));
    TRY(source_place(x, w, root, &c->pack));
    TRY(place_archives(c, w, root, ret_again));
    if (*ret_again)
        return NULL;
    TRY(place_remotes(c, w, root));
    return exec_layer(x, w, s, ret);
}

static struct err *do_copy(struct copy *c, struct store_layer_ref *ret) {
    bool again;
    do {
        again = false;
        TRY(try_copy(c, ret, &again));
    } while (again);
    return NULL;
}

/* "COPY --chown=1:2 a b <<EOF /c # buildkit": not all flags, and heredocs behind the files. */
static void history(struct copy *c) {
    autostrv struct strv words = {.n = 0};
    if (c->pack.parents)
        strv_push(&words, "--parents");
    if (c->chown)
        strv_pushf(&words, "--chown=%s", c->chown);
    if (c->chmod)
        strv_pushf(&words, "--chmod=%s", c->chmod);
    strv_extend(&words, &c->shown);
    for (size_t i = 0; i < c->pack.n_texts; i++)
        strv_pushf(&words, "<<%s", c->pack.texts[i].name);
    strv_push(&words, c->typed_dest);
    exec_history(c->x, c->in->kind, &words);
}

/* Which flags are for which sources. */
static struct err *check_remote(const struct copy *c) {
    bool keep = df_flag_set(c->in, "keep-git-dir"), git = false;
    for (size_t i = 0; i < c->n_remotes; i++)
        git |= c->remotes[i].git;
    if (df_flag(c->in, "checksum") && (c->n_remotes != 1 || c->pack.sources.n))
        return err_new(ERR_USAGE, c->n_remotes ? "checksum can't be specified for multiple sources"
                                               : "checksum requires HTTP(S) or Git sources");
    if (keep && !git)
        return err_new(ERR_USAGE, "--keep-git-dir is for sources that are git repositories");
    return NULL;
}

static struct err *prepare(struct copy *c) {
    autostrv struct strv exclude = {.n = 0};
    const char *chown = df_flag(c->in, "chown");
    c->pack.parents = df_flag_set(c->in, "parents");
    df_flag_all(c->in, "exclude", &exclude);
    TRY(ignore_new(&exclude, &c->exclude));
    c->pack.exclude = c->exclude;
    TRY(find_sources(c));
    TRY(check_remote(c));
    TRY(find_dest(c));
    TRY(find_mode(c));
    if (chown)
        TRY(exec_word(c->x, chown, &c->chown));
    TRY(find_source(c));
    split_archives(c);
    settings(c);
    return content_digest(c);
}

static struct err *copy(struct copy *c) {
    struct exec *x = c->x;
    struct cache_step step = {.text = c->in->text, .link = c->link};
    bool hit = false;
    struct store_layer_ref layer;
    TRY(prepare(c));
    TRY(cache_key(x, str_c(&c->recipe), &step));
    TRY(cache_take(x, &step, &hit));
    if (!hit) {
        TRY(do_copy(c, &layer));
        TRY(cache_put(x, &step, &layer));
    }
    history(c);
    hit ? progress_cached(&x->progress) : progress_done(&x->progress);
    return NULL;
}

struct err *exec_copy(struct exec *x, const struct df_instruction *in) {
    struct copy c = {.x = x, .in = in, .source = SOURCE_INIT, .link = df_flag_set(in, "link")};
    str_appendf(&c.recipe, "%s\n", df_kind_name(in->kind));
    exec_vertex(x, in);
    struct err *e = copy(&c);
    copy_done(&c);
    return e;
}

/* ---- WORKDIR ---- */

static struct err *make_workdir(struct exec *x, const char *path, struct store_layer_ref *ret) {
    struct state *s = exec_state(x);
    const char *user = json_text(exec_config(x), "User");
    autowork w = NULL;
    struct making m = {.path = path};
    TRY(exec_root(x, s, &w));
    TRY(engine_work_root(w, &m.root));
    if (*user)
        TRY(resolve_owner(user, m.root, &m.uid, &m.gid));
    TRY(engine_build_call(x->o->engine, make_dirs, &m));
    return exec_layer(x, w, s, ret);
}

struct err *exec_workdir(struct exec *x, const struct df_instruction *in) {
    autofree char *word = NULL;
    struct cache_step step = {.text = in->text};
    bool hit = false;
    struct store_layer_ref layer;
    exec_vertex(x, in);
    TRY(exec_word(x, in->args.v[0], &word));
    autofree char *base = path_join("/", json_text(exec_config(x), "WorkingDir"));
    autofree char *joined = path_join(base, word);
    autofree char *clean = path_clean(joined);
    autofree char *recipe = mem_printf("WORKDIR %s\nuser %s\n", clean, json_text(exec_config(x), "User"));
    json_set_str(exec_config(x), "WorkingDir", clean);
    autofree char *by = mem_printf("WORKDIR %s", clean);
    if (str_eq(clean, "/")) {
        exec_history_text(x, by, false);
        progress_done(&x->progress);
        return NULL;
    }
    TRY(cache_key(x, recipe, &step));
    TRY(cache_take(x, &step, &hit));
    if (!hit) {
        TRY(make_workdir(x, clean, &layer));
        TRY(cache_put(x, &step, &layer));
    }
    exec_history_text(x, by, true);
    hit ? progress_cached(&x->progress) : progress_done(&x->progress);
    return NULL;
}
