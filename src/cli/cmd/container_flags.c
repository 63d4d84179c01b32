/* From typed options to a new container: files that options name, defaults that depend on other flags, the pull's
 * progress, the cidfile. */
#include "cli/cmd/container_flags_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void container_flags_done(void *opts) {
    struct container_flags *f = opts;
    free(f->o.image);
    free(f->o.cwd);
    strv_done(&f->o.command);
    strv_done(&f->o.env_files);
    strv_done(&f->o.label_files);
}

static struct err *read_files(const struct strv *paths, struct strv *texts) {
    for (size_t i = 0; i < paths->n; i++) {
        char *text = NULL;
        TRY(cli_read_text(paths->v[i], &text));
        strv_push_take(texts, text);
    }
    return NULL;
}

/* seccomp=FILE becomes seccomp=<text>; the words docker knows stay. */
static struct err *read_seccomp(struct strv *opts) {
    for (size_t i = 0; i < opts->n; i++) {
        const char *value = opts->v[i] + strlen("seccomp=");
        if ((!str_starts(opts->v[i], "seccomp=") && !str_starts(opts->v[i], "seccomp:")) ||
            !strcmp(value, "unconfined") || !strcmp(value, "builtin"))
            continue;
        autofree char *text = NULL;
        TRY_CTX(cli_read_text(value, &text), "opening seccomp profile (%s) failed", value);
        free(opts->v[i]);
        opts->v[i] = mem_printf("seccomp=%s", text);
    }
    return NULL;
}

static struct err *attach_streams(struct container_flags *f) {
    struct container_options *o = &f->o;
    if (f->attach.n && o->detach)
        return err_new(ERR_USAGE, "conflicting options: cannot specify both --attach and --detach");
    for (size_t i = 0; i < f->attach.n; i++) {
        const char *s = f->attach.v[i];
        bool in = !strcasecmp(s, "stdin"), out = !strcasecmp(s, "stdout"), err = !strcasecmp(s, "stderr");
        if (!in && !out && !err)
            return err_new(
                ERR_USAGE,
                "invalid argument \"%s\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR", s);
        o->attach_stdin |= in;
        o->attach_stdout |= out;
        o->attach_stderr |= err;
    }
    if (!f->attach.n && !o->detach) {
        o->attach_stdin = o->interactive;
        o->attach_stdout = o->attach_stderr = true;
    }
    return NULL;
}

/* Whose namespace it shares by one of its options, or NULL. */
static const char *shares_with(const struct container_options *o) {
    static const char prefix[] = "container:";
    const char *const modes[] = {o->networks.n ? o->networks.v[0] : NULL, o->pid, o->ipc};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (modes[i] && str_starts(modes[i], prefix))
            return modes[i] + sizeof prefix - 1;
    return NULL;
}

static void set_default(char **option, const char *configured) {
    if (!*option && configured)
        *option = mem_dup(configured);
}

/* What is wanted where the command line says nothing. Who shares namespaces with a container has its ids, as they would
 * be of no use with others. */
static void take_defaults(const struct cli_ctx *c, struct container_options *o) {
    const struct config *config = c->config;
    const char *other = shares_with(o), *ids = config->userns ? config->userns : engine_userns_default(c->engine, o);
    autofree char *same = other ? mem_printf("container:%s", other) : NULL;
    if (!o->uidmap.n && !o->gidmap.n)
        set_default(&o->userns, ids && same ? same : ids);
    set_default(&o->ipc, config->ipc_mode);
    set_default(&o->cgroupns, config->cgroupns_mode);
    set_default(&o->resources.cgroup_parent, config->cgroup_parent);
}

struct err *container_flags_finish(struct cli_ctx *c, struct container_flags *f) {
    struct container_options *o = &f->o;
    o->image = mem_dup(c->args[0]);
    for (int i = 1; i < c->n_args; i++)
        strv_push(&o->command, c->args[i]);
    o->cwd = getcwd(NULL, 0);
    o->no_passwd = !f->passwd;
    cli_add_proxies(c, &o->env);
    take_defaults(c, o);
    TRY(read_files(&f->env_file, &o->env_files));
    TRY(read_files(&f->label_file, &o->label_files));
    TRY(read_seccomp(&o->security_opt));
    TRY(attach_streams(f));
    if (f->cidfile && faccessat(AT_FDCWD, f->cidfile, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_new(ERR_USAGE, "container ID file found, make sure the other container isn't running or delete %s",
                       f->cidfile);
    return NULL;
}

static void say_missing(void *ctx, const char *reference) {
    (void)ctx;
    fprintf(stderr, "Unable to find image '%s' locally\n", reference);
}

/* Made before the container is, as docker does: where it cannot be, no container is made. */
static struct err *make_cidfile(const char *path, int *ret_fd) {
    if (!path)
        return NULL;
    TRY_CTX(fd_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644, ret_fd),
            "failed to create the container ID file");
    return NULL;
}

static struct err *create_container(struct cli_ctx *c, const struct container_flags *f,
                                    const struct engine_create *create, struct engine_created *ret) {
    autostrv struct strv warnings = {.n = 0};
    autofd int cidfile = -1;
    TRY(make_cidfile(f->cidfile, &cidfile));
    struct err *e = engine_container_create(c->engine, create, ret, &warnings);
    if (!e && f->cidfile)
        e = io_write_all(cidfile, ret->id, strlen(ret->id));
    else if (f->cidfile)
        unlink(f->cidfile);
    cli_warnings(&warnings);
    return e;
}

static struct err *print_spec(struct cli_ctx *c, const struct engine_create *create) {
    autojson spec = NULL;
    autostr struct str text = STR_INIT;
    TRY(engine_container_spec(c->engine, create, &spec));
    json_render(spec, JSON_PRETTY, &text);
    fprintf(c->out, "%s\n", str_c(&text));
    return NULL;
}

static struct err *expand_template(const char *text, const struct json *data, char **ret) {
    struct template *t = NULL;
    autostr struct str out = STR_INIT;
    TRY(template_parse(text, &t));
    struct err *e = template_execute_with(t, data, TEMPLATE_ROW, &out);
    template_free(t);
    if (!e)
        *ret = str_take(&out);
    return e;
}

struct err *container_flags_create(struct cli_ctx *c, struct container_flags *f, bool to_start,
                                   struct engine_created *ret) {
    struct cli_progress *progress = cli_progress_new(stderr, c->host->stderr_tty, f->quiet);
    int interrupted = -1;
    struct engine_create create = {
        .options = &f->o,
        .progress = {cli_progress_event, progress},
        .missing = f->quiet ? NULL : say_missing,
        .interrupted_fd = &interrupted,
        .expand = expand_template,
        .to_start = to_start,
    };
    struct err *e = f->print_spec ? print_spec(c, &create) : create_container(c, f, &create, ret);
    cli_progress_done(progress);
    return e;
}
