/*
 * exec_run: RUN. A container of our own runtime over the layers so far, with docker's capabilities and seccomp filter,
 * the image's user, directory and environment, and the ARGs in effect; what it has changed is the layer.
 */
#include "build/exec_int.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host.h"
#include "base/io.h"
#include "base/path.h"
#include "spec/spec.h"

static const char *const proxies[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
                                      "ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy"};

struct run {
    struct exec *x;
    const struct df_instruction *in;
    struct strv command;
    struct container_options options;
    struct str recipe;   /* what counts for the cache */
    struct strv targets; /* where something is mounted */
    char *tmp;           /* files that are mounted: secrets, scripts */
    int tmp_fd;
    size_t files;
};

static void run_done(struct run *r) {
    strv_done(&r->command);
    strv_done(&r->targets);
    /* `options` is a shallow copy of the caller's: what was added here is freed here */
    strv_done(&r->options.command);
    strv_done(&r->options.env);
    strv_done(&r->options.mounts);
    strv_done(&r->options.tmpfs);
    strv_done(&r->options.networks);
    str_done(&r->recipe);
    if (r->tmp)
        err_free(store_tmp_remove(r->x->store, r->tmp));
    fd_close(r->tmp_fd);
    free(r->tmp);
}

/* ---- the command ---- */

/* A file that the command sees at `dest`, read-only. */
static struct err *mount_file(struct run *r, const char *data, size_t n, mode_t mode, const char *dest) {
    strv_push(&r->targets, dest);
    autofree char *name = mem_printf("file%zu", r->files++);
    if (!r->tmp)
        TRY(store_tmp_new(r->x->store, &r->tmp, &r->tmp_fd));
    TRY(io_write_file(r->tmp_fd, name, data, n, mode, 0));
    strv_pushf(&r->options.mounts, "type=bind,source=%s/tmp/%s/%s,target=%s,readonly", store_root(r->x->store), r->tmp,
               name, dest);
    return NULL;
}

/* One heredoc alone is the script, or, with "#!", a program; with more about it, all is the shell's. */
static struct err *heredoc_command(struct run *r) {
    const struct df_instruction *in = r->in;
    const struct df_heredoc *h = df_heredoc_of(in, in->args.v[0]);
    autostr struct str text = STR_INIT;
    if (h && in->n_heredocs == 1 && str_starts(h->data, "#!")) {
        str_appendf(&text, "/dev/pipes/%s", h->name);
        TRY(mount_file(r, h->data, strlen(h->data), 0755, str_c(&text)));
        str_appendf(&r->recipe, "program %s\n", h->data);
    } else if (h && in->n_heredocs == 1) {
        str_append(&text, h->data);
    } else {
        str_append(&text, in->args.v[0]);
        for (size_t i = 0; i < in->n_heredocs; i++)
            str_appendf(&text, "\n%s%s", in->heredocs[i].data, in->heredocs[i].name);
    }
    exec_command(r->x, in, str_c(&text), &r->command);
    return NULL;
}

static struct err *find_command(struct run *r) {
    if (r->in->n_heredocs)
        return heredoc_command(r);
    exec_command(r->x, r->in, r->in->args.v[0], &r->command);
    return NULL;
}

/* ---- mounts ---- */

struct mount {
    struct strmap fields; /* "target" → "/x"; a word alone → "true" */
    const char *type, *target;
};

static const char *field(const struct mount *m, const char *name, const char *other) {
    const char *v = strmap_get(&m->fields, name);
    return v || !other ? v : strmap_get(&m->fields, other);
}

static struct err *parse_mount(struct run *r, const char *text, struct mount *ret) {
    static const char *const known[] = {"type",     "target", "dst",  "destination", "source", "src",      "from",
                                        "readonly", "ro",     "rw",   "readwrite",   "id",     "required", "mode",
                                        "uid",      "gid",    "size", "sharing",     "env"};
    autostrv struct strv parts = {.n = 0};
    strv_split(&parts, text, ',');
    for (size_t i = 0; i < parts.n; i++) {
        const char *eq = strchr(parts.v[i], '=');
        autofree char *key = mem_dupn(parts.v[i], strcspn(parts.v[i], "="));
        autofree char *value = NULL;
        bool ok = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            ok |= str_eq(known[k], key);
        if (!ok)
            return err_new(ERR_USAGE, "unexpected key '%s' in '%s'", key, parts.v[i]);
        TRY(exec_word(r->x, eq ? eq + 1 : "true", &value));
        strmap_set(&ret->fields, key, value);
    }
    ret->type = field(ret, "type", NULL) ? field(ret, "type", NULL) : "bind";
    ret->target = field(ret, "target", "dst") ? field(ret, "target", "dst") : field(ret, "destination", NULL);
    return NULL;
}

/* What a key of a mount must not be, where only one value of it can be had. */
static struct err *refuse(const struct mount *m, const char *key, const char *only, const char *why) {
    const char *v = strmap_get(&m->fields, key);
    if (!v || str_eq(v, only))
        return NULL;
    return err_new(ERR_UNSUPPORTED, "--mount=type=%s,%s=%s: %s", m->type, key, v, why);
}

static struct err *absolute_target(struct run *r, const struct mount *m, char **ret) {
    const char *dir = json_text(exec_config(r->x), "WorkingDir");
    if (!m->target || !*m->target)
        return err_new(ERR_USAGE, "--mount=type=%s: target is required", m->type);
    autofree char *base = path_join("/", dir);
    autofree char *joined = path_join(base, m->target);
    *ret = path_clean(joined);
    if (strpbrk(*ret, ",:"))
        return err_new(ERR_UNSUPPORTED, "--mount: a target cannot have ',' or ':' in it: %s", *ret);
    return NULL;
}

static struct err *mount_tmpfs(struct run *r, const struct mount *m, const char *target) {
    strv_push(&r->targets, target);
    const char *size = field(m, "size", NULL);
    int64_t bytes = 0;
    if (size)
        TRY(engine_parse_bytes(size, &bytes));
    if (size)
        strv_pushf(&r->options.tmpfs, "%s:exec,size=%lld", target, (long long)bytes);
    else
        strv_pushf(&r->options.tmpfs, "%s:exec", target);
    return NULL;
}

/* A directory of the store, by the digest of its id. */
static struct err *mount_cache(struct run *r, const struct mount *m, const char *target) {
    const char *typed = field(m, "id", NULL);
    autofree char *id = mem_printf("%s", typed ? typed : target);
    char digest[DIGEST_LEN + 1];
    autofree char *name = NULL;
    strv_push(&r->targets, target);
    TRY(refuse(m, "sharing", "shared", "builds on this machine share a cache mount"));
    TRY(refuse(m, "from", "", "a cache mount begins empty"));
    TRY(refuse(m, "uid", "0", "a cache mount belongs to root"));
    TRY(refuse(m, "gid", "0", "a cache mount belongs to root"));
    TRY(refuse(m, "mode", "0755", "a cache mount has mode 0755"));
    TRY(digest_of(id, strlen(id), digest));
    name = mem_printf("builds/mounts/%s", digest_hex(digest));
    TRY(io_mkdirs(store_dirfd(r->x->store, ""), name, 0755));
    bool ro = str_eq(field(m, "readonly", "ro"), "true");
    strv_pushf(&r->options.mounts, "type=bind,source=%s/%s,target=%s%s", store_root(r->x->store), name, target,
               ro ? ",readonly" : "");
    return NULL;
}

/* The text of a --secret "id=x,src=file" or "id=x,env=NAME". */
static struct err *read_secret(struct run *r, const char *id, struct str *out, bool *ret_found) {
    const struct build_options *o = r->x->o;
    for (size_t i = 0; i < o->secrets->n; i++) {
        autostrv struct strv parts = {.n = 0};
        autofd int fd = -1;
        strv_split(&parts, o->secrets->v[i], ',');
        const char *have = strv_env_get(&parts, "id"), *env = strv_env_get(&parts, "env");
        const char *src = strv_env_get(&parts, "src") ? strv_env_get(&parts, "src") : strv_env_get(&parts, "source");
        if (!str_eq(have, id))
            continue;
        *ret_found = true;
        const char *value = host_env(o->host, env ? env : id);
        if (src) {
            TRY(fd_open_at(AT_FDCWD, src, O_RDONLY, 0, &fd));
            return io_read_all(fd, (size_t)500 << 10, src, out);
        }
        str_append(out, value ? value : "");
        *ret_found = value != NULL;
        return NULL;
    }
    return NULL;
}

static struct err *mount_secret(struct run *r, const struct mount *m) {
    const char *id = field(m, "id", NULL), *env = field(m, "env", NULL);
    autostr struct str data = STR_INIT;
    autofree char *target = NULL;
    bool found = false;
    TRY(refuse(m, "uid", "0", "a secret belongs to root"));
    TRY(refuse(m, "gid", "0", "a secret belongs to root"));
    if (!id && !m->target)
        return err_new(ERR_USAGE, "one of source, target required");
    if (!id)
        id = path_base(m->target);
    TRY(read_secret(r, id, &data, &found));
    if (!found && str_eq(field(m, "required", NULL), "true"))
        return err_hint(err_new(ERR_NOT_FOUND, "secret %s: not found", id), "give it with --secret id=%s,src=FILE", id);
    if (!found)
        return NULL;
    if (env)
        strv_pushf(&r->options.env, "%s=%s", env, str_c(&data));
    if (env && !m->target)
        return NULL;
    struct mount at = *m;
    autofree char *usual = mem_printf("/run/secrets/%s", id);
    if (!at.target)
        at.target = usual;
    TRY(absolute_target(r, &at, &target));
    uint64_t mode = 0400;
    if (field(m, "mode", NULL) && !str_to_u64(field(m, "mode", NULL), 8, 0777, &mode))
        return err_new(ERR_USAGE, "invalid value %s for mode", field(m, "mode", NULL));
    return mount_file(r, str_c(&data), data.len, (mode_t)mode, target);
}

static struct err *mount_typed(struct run *r, const struct mount *m) {
    autofree char *target = NULL;
    if (str_eq(m->type, "secret"))
        return mount_secret(r, m);
    if (str_eq(m->type, "bind") || str_eq(m->type, "ssh"))
        return err_hint(err_new(ERR_UNSUPPORTED, "RUN --mount=type=%s is not supported", m->type),
                        str_eq(m->type, "ssh") ? "use --mount=type=secret for a key"
                                               : "COPY the files in a stage of their own");
    bool tmpfs = str_eq(m->type, "tmpfs");
    if (!tmpfs && !str_eq(m->type, "cache"))
        return err_new(ERR_USAGE, "unsupported mount type \"%s\"", m->type);
    TRY(absolute_target(r, m, &target));
    return tmpfs ? mount_tmpfs(r, m, target) : mount_cache(r, m, target);
}

static struct err *add_mount(struct run *r, const char *text) {
    struct mount m = {.type = NULL};
    struct err *e = parse_mount(r, text, &m);
    if (!e)
        e = mount_typed(r, &m);
    strmap_done(&m.fields);
    return e;
}

static struct err *add_mounts(struct run *r) {
    autostrv struct strv mounts = {.n = 0};
    df_flag_all(r->in, "mount", &mounts);
    for (size_t i = 0; i < mounts.n; i++) {
        TRY_CTX(add_mount(r, mounts.v[i]), "RUN --mount=%s", mounts.v[i]);
        str_appendf(&r->recipe, "mount %s\n", mounts.v[i]); /* what a secret holds does not count */
    }
    return NULL;
}

/* ---- the recipe ---- */

static bool is_proxy(const char *name, size_t n) {
    for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
        if (strlen(proxies[i]) == n && !strncmp(proxies[i], name, n))
            return true;
    return false;
}

/* ARGs are environment, but what ENV has set wins. Proxies are given without an ARG, and never count for the cache. */
static void add_environment(struct run *r) {
    const struct state *s = exec_state(r->x);
    autostrv struct strv env = {.n = 0};
    err_free(json_get_strv_opt(exec_config(r->x), "Env", &env)); /* it was read before: an image's config is checked */
    for (size_t i = 0; i < env.n; i++)
        str_appendf(&r->recipe, "env %s\n", env.v[i]);
    for (size_t i = 0; i < s->args.n; i++) {
        size_t n = strcspn(s->args.v[i], "=");
        autofree char *name = mem_dupn(s->args.v[i], n);
        if (strv_env_get(&env, name))
            continue;
        strv_push(&r->options.env, s->args.v[i]);
        if (!is_proxy(name, n))
            str_appendf(&r->recipe, "arg %s\n", s->args.v[i]);
    }
    for (size_t i = 0; i < r->x->o->args->n; i++) {
        const char *arg = r->x->o->args->v[i];
        if (strchr(arg, '=') && is_proxy(arg, strcspn(arg, "=")))
            strv_push(&r->options.env, arg);
    }
}

static void add_settings(struct run *r) {
    const struct df_instruction *in = r->in;
    const struct container_options *given = r->x->o->run;
    const char *network = df_flag(in, "network");
    if (network && !str_eq(network, "default"))
        strv_push(&r->options.networks, network);
    else
        strv_extend(&r->options.networks, &given->networks);
    for (size_t i = 0; i < r->options.networks.n; i++)
        str_appendf(&r->recipe, "network %s\n", r->options.networks.v[i]);
    for (size_t i = 0; i < given->add_host.n; i++)
        str_appendf(&r->recipe, "host %s\n", given->add_host.v[i]);
    str_appendf(&r->recipe, "user %s\ndirectory %s\n", json_text(exec_config(r->x), "User"),
                json_text(exec_config(r->x), "WorkingDir"));
    for (size_t i = 0; i < r->command.n; i++)
        str_appendf(&r->recipe, "word %zu %s\n", strlen(r->command.v[i]), r->command.v[i]);
    strv_extend(&r->options.command, &r->command);
}

/* ---- running ---- */

/* docker's words: the container's last lines, then what did not go well. */
static struct err *failed(struct run *r, int code, const struct str *last) {
    struct exec *x = r->x;
    autofree char *words = strv_join(&r->command, " ");
    struct err *e = err_new(ERR_SYSTEM, "process \"%s\" did not complete successfully: exit code: %d", words, code);
    progress_failed(&x->progress, e);
    autofree char *shown = mem_printf("------\n > %s:\n%s------\n", r->in->text, str_c(last));
    if (x->progress.fd >= 0)
        progress_text(&x->progress, shown);
    else
        str_append(x->excerpt, shown);
    return e;
}

/* What was made for something to be mounted on: not the command's work, and not to be in the layer. */
struct stubs {
    const struct strv *targets;
    int before, after; /* roots */
};

/* Removes an empty file or directory that was not there before; false when there is none. */
static bool remove_stub(const struct stubs *s, const char *path) {
    struct stat st;
    autofd int old = path_find_in_root(s->before, path, O_PATH | O_NOFOLLOW);
    autofree char *parent = mem_dupn(path, (size_t)(path_base(path) - path));
    autofd int dir = path_find_in_root(s->after, *parent ? parent : ".", O_PATH | O_DIRECTORY);
    if (old >= 0 || dir < 0 || fstatat(dir, path_base(path), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (S_ISDIR(st.st_mode))
        return unlinkat(dir, path_base(path), AT_REMOVEDIR) == 0;
    return S_ISREG(st.st_mode) && st.st_size == 0 && unlinkat(dir, path_base(path), 0) == 0;
}

static struct err *remove_stubs(void *ctx) {
    const struct stubs *s = ctx;
    for (size_t i = 0; i < s->targets->n; i++) {
        autofree char *path = mem_dup(s->targets->v[i] + strspn(s->targets->v[i], "/"));
        while (*path && remove_stub(s, path)) {
            char *slash = strrchr(path, '/');
            *(slash ? slash : path) = 0;
        }
    }
    return NULL;
}

static struct err *clean_mounts(struct run *r, struct engine_work *w) {
    autowork base = NULL;
    struct stubs s = {.targets = &r->targets};
    if (!r->targets.n)
        return NULL;
    TRY(exec_root(r->x, exec_state(r->x), &base));
    TRY(engine_work_root(base, &s.before));
    TRY(engine_work_root(w, &s.after));
    return engine_build_call(r->x->o->engine, remove_stubs, &s);
}

static struct err *execute(struct run *r, struct store_layer_ref *ret) {
    struct exec *x = r->x;
    struct state *s = exec_state(x);
    autowork w = NULL;
    autostr struct str last = STR_INIT;
    struct progress_tail tail;
    int code = 0;
    TRY(exec_work(x, &r->options, &w));
    TRY(progress_tail_start(&x->progress, &tail));
    const struct monitor_io io = {.in = -1, .out = tail.in, .err = tail.in, .sig_proxy = true};
    struct err *e = engine_work_run(w, &io, &code);
    progress_tail_end(&tail, &last);
    TRY(e);
    if (code != 0)
        return failed(r, code, &last);
    TRY(clean_mounts(r, w));
    return engine_work_layer(w, s->n ? s->layers[s->n - 1].chain_id : NULL, ret);
}

/* "RUN |1 A=b /bin/sh -c make # buildkit". */
static void history(struct run *r) {
    const struct state *s = exec_state(r->x);
    autostr struct str by = STR_INIT;
    autofree char *words = strv_join(&r->command, " ");
    str_append(&by, "RUN ");
    if (s->args.n)
        str_appendf(&by, "|%zu ", s->args.n);
    for (size_t i = 0; i < s->args.n; i++)
        str_appendf(&by, "%s ", s->args.v[i]);
    str_appendf(&by, "%s # buildkit", words);
    exec_history(r->x, str_c(&by), true);
}

static struct err *run(struct run *r) {
    struct exec *x = r->x;
    char key[DIGEST_LEN + 1];
    bool hit = false;
    struct store_layer_ref layer;
    if (str_eq(df_flag(r->in, "security"), "insecure"))
        return err_new(ERR_UNSUPPORTED, "RUN --security=insecure is not allowed: builds run without privileges");
    if (df_flag(r->in, "device"))
        return err_new(ERR_UNSUPPORTED, "RUN --device is not supported: builds have no devices of the host's");
    TRY(find_command(r));
    TRY(add_mounts(r));
    add_environment(r);
    add_settings(r);
    TRY(cache_key(x, str_c(&r->recipe), key));
    TRY(cache_take(x, key, &hit));
    if (!hit) {
        TRY(execute(r, &layer));
        TRY(cache_put(x, key, r->in->text, &layer));
    }
    history(r);
    hit ? progress_cached(&x->progress) : progress_done(&x->progress);
    return NULL;
}

struct err *exec_run(struct exec *x, const struct df_instruction *in) {
    struct run r = {.x = x, .in = in, .options = *x->o->run, .tmp_fd = -1};
    /* vectors that are added to are our own; the others are borrowed */
    r.options.command = r.options.env = r.options.mounts = r.options.tmpfs = r.options.networks = (struct strv){.n = 0};
    str_append(&r.recipe, "RUN\n");
    exec_vertex(x, in);
    struct err *e = run(&r);
    run_done(&r);
    return e;
}
