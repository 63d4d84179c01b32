/*
 * exec_run: RUN. A container of our own runtime over the layers so far, with docker's capabilities and seccomp filter,
 * the image's user, directory and environment, and the ARGs in effect; what it has changed is the layer.
 */
#include "build/exec_run_int.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host.h"
#include "base/io.h"
#include "base/path.h"
#include "build/platforms_int.h"
#include "spec/spec.h"

static const char *const proxies[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
                                      "ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy"};

static void run_done(struct run *r) {
    strv_done(&r->command);
    mounts_done(r);
    /* `options` is a shallow copy of the caller's: what was added here is freed here */
    strv_done(&r->options.command);
    strv_done(&r->options.env);
    strv_done(&r->options.mounts);
    strv_done(&r->options.tmpfs);
    strv_done(&r->options.networks);
    str_done(&r->recipe);
}

/* ---- the command ---- */

/* One heredoc alone is the script, or, with "#!", a program; with more about it, all is the shell's. */
static struct err *heredoc_command(struct run *r) {
    const struct df_instruction *in = r->in;
    const struct df_heredoc *h = df_heredoc_of(in, in->args.v[0]);
    autostr struct str text = STR_INIT;
    if (h && in->n_heredocs == 1 && str_starts(h->data, "#!")) {
        str_appendf(&text, "/dev/pipes/%s", h->name);
        const struct mounted_file f = {.data = h->data, .len = strlen(h->data), .mode = 0755};
        TRY(mounts_file(r, &f, str_c(&text)));
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

static struct err *failed(const struct run *r, int code) {
    autofree char *words = strv_join(&r->command, " ");
    struct err *e = err_new(ERR_SYSTEM, "process \"%s\" did not complete successfully: exit code: %d", words, code);
    return r->x->o->debug_shell ? e : err_hint(e, "build with --debug-shell for a shell where it failed");
}

/* The shell itself, not to run one command. */
static const char *shell_of(struct exec *x) {
    const char *shell = json_str_value(json_first(json_get(exec_config(x), "Shell")));
    return shell ? shell : "/bin/sh";
}

/* On the user's terminal, with what the command had: its mounts, variables, user and directory. */
static struct err *run_shell(struct run *r, const char *shell) {
    struct container_options o = r->options;
    autowork w = NULL;
    int code;
    o.command = (struct strv){.n = 0};
    o.tty = o.interactive = o.attach_stdin = true;
    strv_push(&o.command, shell);
    struct err *e = exec_work(r->x, &o, r->trees, &w);
    strv_done(&o.command);
    TRY(e);
    const struct monitor_io io = {
        .in = STDIN_FILENO, .out = STDOUT_FILENO, .err = STDOUT_FILENO, .tty = true, .detach_keys = ""};
    return engine_work_run(w, &io, &code);
}

/* What the command has left becomes a layer of nobody's, and the shell's container lies on that. */
static struct err *over_failed(struct run *r, struct engine_work *w, const char *shell, int code) {
    struct exec *x = r->x;
    struct store_layer_ref layer;
    autofree char *text = mem_printf(
        "The command has failed with exit code %d. This is %s in its container; 'exit' ends the build.\n", code, shell);
    TRY(exec_layer(x, w, exec_state(x), &layer));
    state_push(exec_state(x), &layer);
    progress_shell(&x->progress, text);
    return run_shell(r, shell);
}

/* --debug-shell. What the build ends with is that the command has failed, also where the image has no shell. */
static void debug_shell(struct run *r, struct engine_work *w, int code) {
    const char *shell = shell_of(r->x);
    autostr struct str why = STR_INIT;
    autoerr e = over_failed(r, w, shell, code);
    if (!e)
        return;
    err_format(e, &why);
    autofree char *text = mem_printf("[Warning] --debug-shell: %s: %s\n", shell, str_c(&why));
    progress_text(&r->x->progress, text);
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
    TRY(binfmt_check(x->o->host, json_text(exec_state(x)->config, "architecture")));
    autowork w = NULL;
    autofd int out = -1;
    int code = 0;
    TRY(mounts_make(r));
    TRY(exec_work(x, &r->options, r->trees, &w));
    TRY(progress_output(&x->progress, &out));
    const struct monitor_io io = {.in = -1, .out = out, .err = out};
    TRY(engine_work_run(w, &io, &code));
    fd_replace(&out, -1);
    if (code != 0 && x->o->debug_shell)
        debug_shell(r, w, code);
    if (code != 0)
        return failed(r, code);
    TRY(clean_mounts(r, w));
    return exec_layer(x, w, exec_state(x), ret);
}

/* "RUN |1 A=b /bin/sh -c make # buildkit": all ARGs, with what the command had as their values. */
static void history(struct run *r) {
    struct exec *x = r->x;
    const struct strv *declared = &exec_state(x)->declared;
    const struct expand now = exec_expand(x);
    autostrv struct strv words = {.n = 0};
    if (declared->n)
        strv_pushf(&words, "|%zu", declared->n);
    for (size_t i = 0; i < declared->n; i++) {
        const char *value = now.get(now.ctx, declared->v[i]);
        strv_pushf(&words, "%s=%s", declared->v[i], value ? value : "");
    }
    strv_extend(&words, &r->command);
    exec_history(x, DF_RUN, &words);
}

/* What a Dockerfile, or an image's ONBUILD, wants and does not get by itself. */
static struct err *check_entitled(const struct run *r) {
    if (str_eq(df_flag(r->in, "security"), "insecure"))
        return err_new(ERR_UNSUPPORTED, "RUN --security=insecure is not allowed: builds run without privileges");
    if (df_flag(r->in, "device"))
        return err_new(ERR_UNSUPPORTED, "RUN --device is not supported: builds have no devices of the host's");
    if (str_eq(df_flag(r->in, "network"), "host") && !r->x->o->host_network)
        return err_hint(err_new(ERR_DENIED, "network.host is not allowed"),
                        "RUN --network=host reaches what listens on this machine only; build with --allow network.host "
                        "if you trust the Dockerfile and the images that it is from");
    return NULL;
}

static struct err *run(struct run *r) {
    struct exec *x = r->x;
    struct cache_step step = {.text = r->in->text};
    bool hit = false;
    struct store_layer_ref layer;
    TRY(check_entitled(r));
    TRY(find_command(r));
    TRY(mounts_read(r));
    add_environment(r);
    add_settings(r);
    TRY(cache_key(x, str_c(&r->recipe), &step));
    TRY(cache_take(x, &step, &hit));
    if (!hit) {
        TRY(execute(r, &layer));
        TRY(cache_put(x, &step, &layer));
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
