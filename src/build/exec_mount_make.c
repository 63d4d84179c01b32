/*
 * exec_mount_make: what RUN --mount asks for, made. A bind is an overlay of layers: those of the stage or image that it
 * is from, or a snapshot of the files of the context, so that nothing that the command does, and no link, reaches the
 * user's own files. Caches are in exec_mount_cache.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host.h"
#include "base/io.h"
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

void mounts_add(struct run *r, const struct made *m) {
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
    const struct made made = {
        .type = "bind", .source = source, .target = target, .read_only = true, .more = MADE_PRIVATE};
    mounts_add(r, &made);
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
        TRY(caches_fetch(r->x, s.layers));
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
    mounts_add(r, &(struct made){.type = "image", .source = name, .target = m->field[M_TARGET], .more = str_c(&more)});
    return NULL;
}

static struct err *make_tmpfs(struct run *r, const struct mount *m) {
    autofree char *more = m->size >= 0 ? mem_printf(",exec,tmpfs-size=%lld", (long long)m->size) : mem_dup(",exec");
    const struct made made = {.type = "tmpfs", .target = m->field[M_TARGET], .read_only = m->read_only, .more = more};
    mounts_add(r, &made);
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
    const struct made made = {.type = "bind", .source = source, .target = m->field[M_TARGET], .more = MADE_PRIVATE};
    mounts_add(r, &made);
    if (r->n_agents == 1)
        strv_push(&r->options.env, variable);
    return NULL;
}

/* ---- all ---- */

struct err *mounts_make(struct run *r) {
    static struct err *(*const fns[])(struct run *, const struct mount *) = {[M_BIND] = make_bind,
                                                                             [M_CACHE] = mounts_cache,
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
