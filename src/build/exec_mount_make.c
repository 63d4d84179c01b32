/*
 * exec_mount_make: what RUN --mount asks for, made. A bind is an overlay of layers: those of the stage or image that it
 * is from, or a snapshot of the files of the context, so that nothing that the command does, and no link, reaches the
 * user's own files. A cache is a directory of the store, held by a lock as its sharing says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "build/exec_run_int.h"
#include "build/pack_int.h"

/* Appends ",key=value" in the CSV of --mount. */
static void option(struct str *out, const char *key, const char *value) {
    bool quote = strpbrk(value, ",\"\n") != NULL;
    str_append(out, quote ? ",\"" : ",");
    str_appendf(out, "%s=", key);
    for (const char *p = value; *p; p++) {
        if (*p == '"')
            str_append_c(out, '"');
        str_append_c(out, *p);
    }
    if (quote)
        str_append_c(out, '"');
}

struct made {
    const char *type, *source, *target;
    bool read_only;
    const char *more; /* ",…", or NULL */
};

static void add_option(struct run *r, const struct made *m) {
    autostr struct str text = STR_INIT;
    str_appendf(&text, "type=%s", m->type);
    if (m->source)
        option(&text, "source", m->source);
    option(&text, "target", m->target);
    str_append(&text, m->read_only ? ",readonly" : "");
    str_append(&text, m->more ? m->more : "");
    strv_push(&r->options.mounts, str_c(&text));
    strv_push(&r->targets, m->target);
}

/* ---- files of the build's ---- */

struct err *mounts_tmp(struct run *r, int *ret_fd) {
    if (!r->tmp)
        TRY(store_tmp_new(r->x->store, &r->tmp, &r->tmp_fd));
    *ret_fd = r->tmp_fd;
    return NULL;
}

static struct err *own(void *ctx) {
    const struct owner *o = ctx;
    autofd int fd = -1;
    TRY(fd_open_at(o->dir, o->name, O_PATH | O_NOFOLLOW, 0, &fd));
    if (fchownat(fd, "", (uid_t)o->uid, (gid_t)o->gid, AT_EMPTY_PATH) < 0)
        return err_sys(errno, "give %s to %lld:%lld", o->name, (long long)o->uid, (long long)o->gid);
    if (o->mode >= 0 && fchmodat(o->dir, o->name, (mode_t)o->mode, 0) < 0)
        return err_sys(errno, "set the mode of %s", o->name);
    return NULL;
}

struct err *mounts_own(struct run *r, const struct owner *o) {
    struct owner all = *o;
    all.uid = o->uid < 0 ? 0 : o->uid;
    all.gid = o->gid < 0 ? 0 : o->gid;
    return engine_build_call(r->x->o->engine, own, &all);
}

struct err *mounts_file(struct run *r, const struct mounted_file *f, const char *target) {
    autofree char *name = mem_printf("file%zu", r->files++);
    int dir;
    TRY(mounts_tmp(r, &dir));
    TRY(io_write_file(dir, name, f->data, f->len, f->mode, 0));
    const struct owner o = {dir, name, f->uid, f->gid, (int64_t)f->mode};
    if (f->uid > 0 || f->gid > 0)
        TRY(mounts_own(r, &o));
    autofree char *source = mem_printf("%s/tmp/%s/%s", store_root(r->x->store), r->tmp, name);
    add_option(r, &(struct made){.type = "bind", .source = source, .target = target, .read_only = true});
    return NULL;
}

/* ---- bind ---- */

/* Names the layers for an image mount; *ret is the name. */
static void add_tree(struct run *r, const struct strv *layers, char **ret) {
    struct json *tree = json_object();
    *ret = mem_printf("tree%zu", r->n_mounts + json_count(r->trees));
    json_set_str(tree, "Id", *ret);
    json_set_strv(tree, "Layers", layers);
    if (!r->trees)
        r->trees = json_object();
    json_set(r->trees, *ret, tree);
}

/* A directory is the snapshot's root; anything else lies in it under its own name. */
static struct err *snapshot(struct source *s, const struct mount *m, struct strv *layers, char **ret_part) {
    struct pack p;
    struct store_layer_ref layer;
    struct stat st;
    TRY(source_open(s));
    source_pack(s, m->field[M_SOURCE], &p);
    autofree char *clean = path_clean(p.sources.v[0]);
    autofd int fd = path_find_in_root(s->root, clean, O_PATH);
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        *ret_part = mem_dup(path_base(clean));
    struct err *e = source_snapshot(s, &p, m->content, &layer);
    strv_done(&p.sources);
    TRY(e);
    strv_push(layers, layer.chain_id);
    image_layer_done(&layer);
    return NULL;
}

static struct err *make_bind(struct run *r, const struct mount *m) {
    autosource s = SOURCE_INIT;
    autostrv struct strv layers = {.n = 0};
    autofree char *part = NULL;
    autofree char *name = NULL;
    autostr struct str more = STR_INIT;
    TRY(source_find(r->x, m->field[M_FROM], &s));
    if (s.layers && s.layers->n) {
        autofree char *clean = path_clean(m->field[M_SOURCE] ? m->field[M_SOURCE] : "/");
        state_layers(s.layers, &layers);
        const char *below = clean + strspn(clean, "/");
        part = *below && !str_eq(below, ".") ? mem_dup(below) : NULL;
    } else {
        TRY(snapshot(&s, m, &layers, &part));
    }
    add_tree(r, &layers, &name);
    if (part)
        option(&more, "image-subpath", part);
    if (!m->read_only)
        str_append(&more, ",rw");
    add_option(r, &(struct made){.type = "image", .source = name, .target = m->field[M_TARGET], .more = str_c(&more)});
    return NULL;
}

static struct err *make_tmpfs(struct run *r, const struct mount *m) {
    autofree char *more = m->size >= 0 ? mem_printf(",exec,tmpfs-size=%lld", (long long)m->size) : mem_dup(",exec");
    const struct made made = {.type = "tmpfs", .target = m->field[M_TARGET], .read_only = m->read_only, .more = more};
    add_option(r, &made);
    return NULL;
}

/* ---- cache ---- */

struct cache_dir {
    struct run *r;
    const struct mount *m;
    int dir;    /* builds/mounts */
    char *name; /* of the directory in it */
};

/* What makes caches differ: the id, what they begin with, and whose they are. */
static struct err *cache_name(const struct mount *m, char ret[DIGEST_LEN + 1]) {
    autostr struct str id = STR_INIT;
    str_append(&id, m->field[M_ID]);
    if (m->field[M_FROM])
        str_appendf(&id, "\nfrom %s", m->content);
    if (m->uid > 0 || m->gid > 0 || (m->mode >= 0 && m->mode != 0755))
        str_appendf(&id, "\nowner %lld:%lld %llo", (long long)(m->uid < 0 ? 0 : m->uid),
                    (long long)(m->gid < 0 ? 0 : m->gid), (unsigned long long)(m->mode < 0 ? 0755 : m->mode));
    return digest_of(str_c(&id), id.len, ret);
}

static struct err *fill_cache(const struct cache_dir *c, int dir) {
    autosource s = SOURCE_INIT;
    struct pack p;
    static const struct state nothing = {.n = 0};
    autowork w = NULL;
    int unused;
    TRY(source_find(c->r->x, c->m->field[M_FROM], &s));
    TRY(source_open(&s));
    source_pack(&s, c->m->field[M_SOURCE], &p);
    struct err *e = exec_root(c->r->x, &nothing, &w);
    if (!e)
        e = engine_work_root(w, &unused);
    if (!e)
        e = source_place(c->r->x, w, dir, &p);
    strv_done(&p.sources);
    return e;
}

static struct err *lock_file(const struct cache_dir *c, int *ret_fd) {
    autofree char *name = mem_printf("%s.lock", c->name);
    return fd_open_at(c->dir, name, O_RDWR | O_CREAT, 0600, ret_fd);
}

/* For who lists them. */
static struct err *note_id(const struct cache_dir *c) {
    autofd int fd = -1;
    const char *id = c->m->field[M_ID];
    TRY(lock_file(c, &fd));
    if (ftruncate(fd, 0) < 0)
        return err_sys(errno, "note the id of a cache mount");
    return io_write_all(fd, id, strnlen(id, 4096));
}

static struct err *make_new(const struct cache_dir *c) {
    autofree char *new = mem_printf("%s.new", c->name);
    autofd int dir = -1;
    if (faccessat(c->dir, c->name, F_OK, 0) == 0)
        return NULL;
    TRY(io_remove_tree(c->dir, new));
    TRY(io_mkdirs(c->dir, new, 0755));
    TRY(fd_open_dir(c->dir, new, &dir));
    if (c->m->field[M_FROM])
        TRY(fill_cache(c, dir));
    const struct owner o = {c->dir, new, c->m->uid, c->m->gid, c->m->mode < 0 ? 0755 : c->m->mode};
    TRY(mounts_own(c->r, &o));
    TRY(note_id(c));
    return renameat(c->dir, new, c->dir, c->name) < 0 ? err_sys(errno, "name a cache mount") : NULL;
}

/* A new one is made beside its place, by one build at a time, and is there at once with what it begins with. */
static struct err *new_cache(const struct cache_dir *c) {
    while (flock(c->dir, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_sys(errno, "lock the cache mounts");
    struct err *e = make_new(c);
    flock(c->dir, LOCK_UN);
    return e;
}

/* The first directory of the id that no other build has for itself. */
static struct err *lock_private(struct cache_dir *c, int *ret_fd) {
    autofree char *base = mem_dup(c->name);
    for (unsigned i = 0;; i++) {
        autofd int fd = -1;
        bool got = false;
        free(c->name);
        c->name = i ? mem_printf("%s.%u", base, i) : mem_dup(base);
        TRY(lock_file(c, &fd));
        TRY(io_try_lock(fd, IO_LOCK_EXCLUSIVE, &got));
        if (!got)
            continue;
        *ret_fd = take_fd(&fd);
        return NULL;
    }
}

/* Who shares one waits for nobody who shares it, too. */
static struct err *lock_shared(const struct cache_dir *c, int *ret_fd) {
    for (;;) {
        autofd int fd = -1;
        TRY(new_cache(c));
        TRY(lock_file(c, &fd));
        TRY(io_lock(fd, IO_LOCK_SHARED));
        if (faccessat(c->dir, c->name, F_OK, 0) < 0) /* pruned meanwhile */
            continue;
        *ret_fd = take_fd(&fd);
        return NULL;
    }
}

static struct err *lock_cache(struct cache_dir *c, int *ret_fd) {
    const char *sharing = c->m->field[M_SHARING];
    if (str_eq(sharing, "private")) {
        TRY(lock_private(c, ret_fd));
        return new_cache(c);
    }
    if (!str_eq(sharing, "locked"))
        return lock_shared(c, ret_fd);
    autofd int fd = -1;
    TRY(lock_file(c, &fd));
    TRY(io_lock(fd, IO_LOCK_EXCLUSIVE));
    TRY(new_cache(c));
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *make_cache(struct run *r, const struct mount *m) {
    char digest[DIGEST_LEN + 1];
    autofd int dir = -1;
    autofd int lock = -1;
    TRY(cache_name(m, digest));
    TRY(io_mkdirs(store_dirfd(r->x->store, ""), "builds/mounts", 0755));
    TRY(fd_open_dir(store_dirfd(r->x->store, ""), "builds/mounts", &dir));
    struct cache_dir c = {r, m, dir, mem_dup(digest_hex(digest))};
    struct err *e = lock_cache(&c, &lock);
    autofree char *source = mem_printf("%s/builds/mounts/%s", store_root(r->x->store), c.name);
    free(c.name);
    TRY(e);
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    if (futimens(lock, now) < 0)
        log_debug("cache mount %s keeps its old time", m->field[M_ID]);
    r->locks = mem_resize(r->locks, r->n_locks + 1, sizeof *r->locks);
    r->locks[r->n_locks++] = take_fd(&lock);
    const struct made made = {
        .type = "bind", .source = source, .target = m->field[M_TARGET], .read_only = m->read_only};
    add_option(r, &made);
    return NULL;
}

/* ---- secret, ssh ---- */

/* Of a list like --secret: the entry "id=<id>,…", split; false when there is none. */
static bool entry_of(const struct strv *list, const char *id, struct strv *ret) {
    for (size_t i = 0; i < list->n; i++) {
        autostrv struct strv parts = {.n = 0};
        strv_split(&parts, list->v[i], ',');
        if (!str_eq(strv_env_get(&parts, "id"), id))
            continue;
        strv_extend(ret, &parts);
        return true;
    }
    return false;
}

/* The text of a --secret "id=x,src=file" or "id=x,env=NAME". */
static struct err *read_secret(struct run *r, const char *id, struct str *out, bool *ret_found) {
    const struct build_options *o = r->x->o;
    autostrv struct strv parts = {.n = 0};
    *ret_found = entry_of(o->secrets, id, &parts);
    if (!*ret_found)
        return NULL;
    const char *env = strv_env_get(&parts, "env");
    const char *src = strv_env_get(&parts, "src") ? strv_env_get(&parts, "src") : strv_env_get(&parts, "source");
    if (src) {
        autofd int fd = -1;
        TRY(fd_open_at(AT_FDCWD, src, O_RDONLY, 0, &fd));
        return io_read_all(fd, (size_t)500 << 10, src, out);
    }
    const char *value = host_env(o->host, env ? env : id);
    str_append(out, value ? value : "");
    *ret_found = value != NULL;
    return NULL;
}

static struct err *make_secret(struct run *r, const struct mount *m) {
    const char *id = m->field[M_ID], *env = m->field[M_ENV];
    autostr struct str data = STR_INIT;
    bool found = false;
    TRY(read_secret(r, id, &data, &found));
    if (!found && m->required)
        return err_hint(err_new(ERR_NOT_FOUND, "secret %s: not found", id), "give it with --secret id=%s,src=FILE", id);
    if (!found)
        return NULL;
    if (env)
        strv_pushf(&r->options.env, "%s=%s", env, str_c(&data));
    if (!m->field[M_TARGET])
        return NULL;
    const struct mounted_file f = {str_c(&data), data.len, m->mode < 0 ? 0400 : (mode_t)m->mode, m->uid, m->gid};
    return mounts_file(r, &f, m->field[M_TARGET]);
}

/* --ssh "default", "id", "id=socket": the agent's socket; NULL: it was not given. */
static struct err *find_agent(const struct run *r, const char *id, const char **ret) {
    const struct build_options *o = r->x->o;
    size_t n = strlen(id);
    struct stat st;
    *ret = NULL;
    for (size_t i = 0; i < o->ssh->n && !*ret; i++) {
        const char *text = o->ssh->v[i];
        if (strncmp(text, id, n) != 0 || (text[n] && text[n] != '='))
            continue;
        *ret = text[n] ? text + n + 1 : host_env(o->host, "SSH_AUTH_SOCK");
        if (!*ret || !**ret)
            return err_hint(err_new(ERR_NOT_FOUND, "--ssh %s: there is no agent: SSH_AUTH_SOCK is not set", id),
                            "start one with 'eval $(ssh-agent)' and add the key with 'ssh-add', or use --ssh %s=SOCKET",
                            id);
        if (stat(*ret, &st) < 0)
            return err_sys(errno, "--ssh %s: %s", id, *ret);
        if (!S_ISSOCK(st.st_mode))
            return err_hint(err_new(ERR_UNSUPPORTED, "--ssh %s: %s is not the socket of an agent", id, *ret),
                            "keys stay with an agent: add it there with 'ssh-add %s', and use --ssh default", *ret);
    }
    return NULL;
}

/* The command sees a socket of its own, with the owner and mode that it wants: agents answer none but their user. */
static struct err *make_ssh(struct run *r, const struct mount *m) {
    const char *id = m->field[M_ID], *socket = NULL;
    autofree char *name = mem_printf("agent%zu", r->files++);
    autofree char *variable = mem_printf("SSH_AUTH_SOCK=%s", m->field[M_TARGET]);
    int dir;
    TRY(find_agent(r, id, &socket));
    if (!socket && m->required)
        return err_hint(err_new(ERR_NOT_FOUND, "unset ssh forward key %s", id), "give the agent with --ssh %s", id);
    if (!socket)
        return NULL;
    TRY(mounts_tmp(r, &dir));
    r->agents = mem_resize(r->agents, r->n_agents + 1, sizeof *r->agents);
    TRY(agent_start(dir, name, socket, &r->agents[r->n_agents]));
    r->n_agents++;
    const struct owner o = {dir, name, m->uid, m->gid, m->mode < 0 ? 0600 : m->mode};
    TRY(mounts_own(r, &o));
    autofree char *source = mem_printf("%s/tmp/%s/%s", store_root(r->x->store), r->tmp, name);
    add_option(r, &(struct made){.type = "bind", .source = source, .target = m->field[M_TARGET]});
    if (r->n_agents == 1)
        strv_push(&r->options.env, variable);
    return NULL;
}

/* ---- all ---- */

struct err *mounts_make(struct run *r) {
    static struct err *(*const fns[])(struct run *, const struct mount *) = {[M_BIND] = make_bind,
                                                                             [M_CACHE] = make_cache,
                                                                             [M_TMPFS] = make_tmpfs,
                                                                             [M_SECRET] = make_secret,
                                                                             [M_SSH] = make_ssh};
    for (size_t i = 0; i < r->n_mounts; i++)
        TRY_CTX(fns[r->mount[i].type](r, &r->mount[i]), "RUN --mount on %s",
                r->mount[i].field[M_TARGET] ? r->mount[i].field[M_TARGET] : r->mount[i].field[M_ENV]);
    return NULL;
}

void mounts_done(struct run *r) {
    for (size_t i = 0; i < r->n_mounts; i++)
        for (size_t f = 0; f < M_FIELDS; f++)
            free(r->mount[i].field[f]);
    free(r->mount);
    for (size_t i = 0; i < r->n_agents; i++)
        agent_stop(&r->agents[i]);
    free(r->agents);
    for (size_t i = 0; i < r->n_locks; i++) {
        err_free(io_unlock(r->locks[i])); /* a child may have the descriptor, too */
        fd_close(r->locks[i]);
    }
    free(r->locks);
    strv_done(&r->targets);
    json_free(r->trees);
    if (r->tmp)
        err_free(store_tmp_remove(r->x->store, r->tmp));
    fd_close(r->tmp_fd);
    free(r->tmp);
}
