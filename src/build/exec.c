/* exec: a build from its start to its image. See build.h. */
#include "build/exec_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/io.h"
#include "base/path.h"
#include "build/board_int.h"
#include "build/history_int.h"
#include "build/ignore_int.h"
#include "build/platforms_int.h"
#include "spec/spec.h"

/* ---- variables ---- */

struct json *exec_config(struct exec *x) {
    return json_get(exec_state(x)->config, "config");
}

static const char *stage_variable(void *ctx, const char *name) {
    struct exec *x = ctx;
    size_t n = strlen(name);
    JSON_EACH(entry, json_get(exec_config(x), "Env")) {
        const char *v = json_str_value(entry);
        if (v && !strncmp(v, name, n) && v[n] == '=')
            return v + n + 1;
    }
    return strv_env_get(&exec_state(x)->args, name);
}

static const char *global_variable(void *ctx, const char *name) {
    const struct exec *x = ctx;
    return strv_env_get(&x->global, name);
}

struct expand exec_expand(struct exec *x) {
    return (struct expand){
        .get = x->plan.n ? stage_variable : global_variable, .ctx = x, .escape = x->d.escape ? x->d.escape : '\\'};
}

struct err *exec_word(struct exec *x, const char *word, char **ret) {
    const struct expand how = exec_expand(x);
    autostr struct str out = STR_INIT;
    TRY(expand_word(&how, word, &out));
    *ret = str_take(&out);
    return NULL;
}

/* ---- what people see ---- */

void exec_vertex(struct exec *x, const struct df_instruction *in) {
    const struct plan_stage *s = &x->plan.stage[x->at];
    autofree char *stage = x->plan.n > 1 || s->named ? mem_printf("%s ", s->name) : mem_dup("");
    autofree char *platform = x->platforms.n > 1 ? mem_printf("%s ", x->platform) : mem_dup("");
    progress_vertex(&x->progress, "[%s%s%zu/%zu] %s", platform, stage, ++x->step, s->steps, in->text);
}

void exec_time(const struct exec *x, struct str *out) {
    const struct state *s = &x->state[x->at];
    clock_format_rfc3339(x->epoch >= 0 ? x->epoch : s->when, out);
}

void exec_history_text(struct exec *x, const char *created_by, bool layer) {
    struct json *entry = json_object();
    autostr struct str when = STR_INIT;
    exec_time(x, &when);
    json_set_str(entry, "created", str_c(&when));
    json_set_str(entry, "created_by", created_by);
    json_set_str(entry, "comment", "buildkit.dockerfile.v0");
    if (!layer)
        json_set_bool(entry, "empty_layer", true);
    json_push(json_get(exec_state(x)->config, "history"), entry);
}

void exec_history(struct exec *x, enum df_kind kind, const struct strv *words) {
    autostr struct str by = STR_INIT;
    history_entry(kind, words, &by);
    exec_history_text(x, str_c(&by), plan_is_step(kind));
}

/* ---- RUN's container ---- */

/* What the image would start, and where its volumes are, is not the build's business. */
static struct json *working_config(const struct json *config) {
    static const char *const drop[] = {"Entrypoint", "Cmd", "Volumes", "Healthcheck", "ExposedPorts", "StopSignal"};
    struct json *j = json_copy(config);
    for (size_t i = 0; i < ARRAY_LEN(drop); i++)
        json_remove(json_get(j, "config"), drop[i]);
    json_remove(j, "history");
    return j;
}

struct err *exec_work(struct exec *x, const struct container_options *options, const struct json *trees,
                      struct engine_work **ret) {
    autostrv struct strv layers = {.n = 0};
    autojson config = working_config(exec_state(x)->config);
    struct container_options o = *options;
    TRY(caches_fetch(x, exec_state(x)));
    state_layers(exec_state(x), &layers);
    o.image = (char[]){"build"};
    o.cwd = (char[]){"/"};
    o.no_healthcheck = true;
    o.stop_timeout = -1;
    o.attach_stdout = o.attach_stderr = true;
    const struct engine_base base = {.image_config = config, .layers = &layers, .trees = trees};
    return engine_work_new(x->o->engine, &base, &o, ret);
}

struct err *exec_root(struct exec *x, const struct state *s, struct engine_work **ret) {
    autostrv struct strv layers = {.n = 0};
    TRY(caches_fetch(x, s));
    state_layers(s, &layers);
    return engine_work_on(x->o->engine, &layers, ret);
}

/* ---- the context and the Dockerfile ---- */

static struct err *open_context(struct exec *x) {
    const struct build_options *o = x->o;
    bool input = str_eq(o->context, "-");
    if (input && str_eq(o->file, "-"))
        return err_new(ERR_USAGE, "invalid argument: can't use stdin for both build context and dockerfile");
    if (input || context_is_remote(o->context))
        progress_vertex(&x->progress, "[internal] load remote build context");
    TRY(context_open(o, x->store, o->context, &x->context_files));
    x->context = x->context_files.dir;
    if (x->context_files.remote)
        progress_done(&x->progress);
    return NULL;
}

/* The usual one is in the context; another is where the user says, or, of a context from elsewhere, in that. */
static struct err *open_dockerfile(const struct exec *x, int *ret_fd) {
    const char *file = x->o->file;
    bool inside = !file || x->context_files.remote;
    struct err *e = inside ? path_open_in_root(x->context, file ? file : "Dockerfile", O_RDONLY, 0, ret_fd)
                           : fd_open_at(AT_FDCWD, file, O_RDONLY, 0, ret_fd);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e ? err_wrap(e, "failed to read dockerfile") : NULL;
    err_free(e);
    return err_new(ERR_NOT_FOUND, "failed to read dockerfile: open %s: no such file or directory", x->file);
}

static struct err *read_dockerfile(struct exec *x) {
    const char *file = x->o->file;
    autofd int fd = -1;
    bool input = str_eq(file, "-");
    x->file = input || !file ? "Dockerfile" : path_base(file);
    if (x->context_files.is_dockerfile) {
        str_append_n(&x->text, x->context_files.dockerfile.ptr, x->context_files.dockerfile.len);
        return NULL;
    }
    if (file && context_is_remote(file))
        return context_fetch_text(x->o, x->store, file, &x->text);
    if (!input)
        TRY(open_dockerfile(x, &fd));
    return io_read_all(input ? x->o->in_fd : fd, DOCKERFILE_MAX, "the Dockerfile", &x->text);
}

/* <file>.dockerignore beside the Dockerfile, else the context's. */
static struct err *read_ignore(struct exec *x) {
    const char *file = x->o->file;
    bool given = file && !str_eq(file, "-") && !context_is_remote(file);
    autofree char *own = mem_printf("%s.dockerignore", given ? file : "Dockerfile");
    if (x->context < 0)
        return NULL;
    if (given && !x->context_files.remote && access(own, F_OK) == 0) {
        autofd int fd = -1;
        autostr struct str text = STR_INIT;
        TRY(fd_open_at(AT_FDCWD, own, O_RDONLY | O_NONBLOCK, 0, &fd));
        TRY(io_read_all(fd, IGNORE_MAX, own, &text));
        return ignore_parse(str_c(&text), &x->ignore);
    }
    if (!file || (given && x->context_files.remote))
        TRY(ignore_read(x->context, own, &x->ignore));
    return x->ignore ? NULL : ignore_read(x->context, ".dockerignore", &x->ignore);
}

/* ---- variables that are always there ---- */

static void platform_args(const char *prefix, const struct image_platform *p, struct strv *out) {
    const char *dash = *p->variant ? "/" : "";
    strv_pushf(out, "%sPLATFORM=%s/%s%s%s", prefix, p->os, p->arch, dash, p->variant);
    strv_pushf(out, "%sOS=%s", prefix, p->os);
    strv_pushf(out, "%sARCH=%s", prefix, p->arch);
    strv_pushf(out, "%sVARIANT=%s", prefix, p->variant);
}

struct err *exec_predefined(const struct exec *x, struct strv *out) {
    struct image_platform p = {.os = NULL}, own = {.os = NULL};
    TRY(image_platform_parse(x->o->host, x->platform, &p));
    platform_args("TARGET", &p, out);
    image_platform_done(&p);
    TRY(image_platform_parse(NULL, NULL, &own));
    platform_args("BUILD", &own, out);
    image_platform_done(&own);
    strv_pushf(out, "TARGETSTAGE=%s", x->o->target ? x->o->target : "default");
    return NULL;
}

static struct err *global_args(struct exec *x) {
    TRY(exec_predefined(x, &x->global));
    for (size_t i = 0; i < x->d.n && x->d.v[i].kind == DF_ARG; i++) {
        x->fault = (struct df_fault){x->d.v[i].first, x->d.v[i].last};
        TRY(exec_arg(x, &x->d.v[i], true));
    }
    return NULL;
}

/* ---- stages ---- */

static struct err *stage_arg(struct exec *x, const struct df_instruction *in) { return exec_arg(x, in, false); }

static struct err *instruction(struct exec *x, const struct df_instruction *in) {
    static struct err *(*const fns[DF_KIND_COUNT])(struct exec *, const struct df_instruction *) = {
        [DF_ADD] = exec_copy, [DF_ARG] = stage_arg,        [DF_COPY] = exec_copy,
        [DF_RUN] = exec_run,  [DF_WORKDIR] = exec_workdir,
    };
    return fns[in->kind] ? fns[in->kind](x, in) : exec_configure(x, in);
}

/* What the base image wants done by who builds on it. */
static struct err *triggers(struct exec *x) {
    autostrv struct strv list = {.n = 0};
    TRY(json_get_strv_opt(exec_config(x), "OnBuild", &list));
    json_remove(exec_config(x), "OnBuild");
    for (size_t i = 0; i < list.n; i++) {
        autodockerfile d = {.n = 0};
        TRY(dockerfile_parse_trigger(list.v[i], &d));
        x->plan.stage[x->at].steps += plan_is_step(d.v[0].kind);
        TRY_CTX(instruction(x, &d.v[0]), "ONBUILD %s", list.v[i]);
    }
    return NULL;
}

struct err *exec_stage(struct exec *x, size_t index) {
    const struct plan_stage *p = &x->plan.stage[index];
    x->at = index;
    x->step = 0;
    x->fault = (struct df_fault){p->from->first, p->from->last};
    TRY(exec_from(x));
    TRY(triggers(x));
    for (size_t i = 0; i < p->n; i++) {
        x->fault = (struct df_fault){p->first[i].first, p->first[i].last};
        TRY(instruction(x, &p->first[i]));
    }
    x->fault = (struct df_fault){0, 0};
    return NULL;
}

/* ---- from start to end ---- */

static struct err *parse_tags(const struct build_options *o, struct strv *canonical, struct strv *shown) {
    for (size_t i = 0; i < o->tags->n; i++) {
        struct image_ref ref = {.domain = NULL};
        TRY_CTX(engine_ref_parse(o->engine, o->tags->v[i], &ref), "invalid tag \"%s\"", o->tags->v[i]);
        bool digest = ref.digest != NULL;
        autofree char *name = image_ref_canonical(&ref);
        image_ref_done(&ref);
        if (digest)
            return err_new(ERR_USAGE, "invalid tag \"%s\": a tag cannot have a digest", o->tags->v[i]);
        strv_push(canonical, name);
        strv_push(shown, name);
    }
    return NULL;
}

/* --build-arg that no ARG took: said, as BuildKit does. */
static void unused_args(struct exec *x) {
    autostrv struct strv unused = {.n = 0};
    for (size_t i = 0; i < x->o->args->n; i++) {
        autofree char *name = mem_dupn(x->o->args->v[i], strcspn(x->o->args->v[i], "="));
        if (!strv_has(&x->used, name) && !strcasestr(name, "_proxy"))
            strv_push(&unused, name);
    }
    if (!unused.n)
        return;
    autofree char *list = strv_join(&unused, " ");
    autofree char *text = mem_printf("[Warning] One or more build-args [%s] were not consumed\n", list);
    progress_text(&x->progress, text);
}

/* --build-arg SOURCE_DATE_EPOCH, or the variable of the environment, as buildx takes it. */
static struct err *find_epoch(struct exec *x) {
    const char *text = strv_env_get(x->o->args, "SOURCE_DATE_EPOCH");
    int64_t seconds = 0;
    x->epoch = -1;
    x->latest = INT64_MAX;
    if (!text)
        text = host_env(x->o->host, "SOURCE_DATE_EPOCH");
    else
        strv_push(&x->used, "SOURCE_DATE_EPOCH");
    if (!text || !*text)
        return NULL;
    if (!str_to_i64(text, 0, INT64_MAX / NSEC_PER_SEC, &seconds))
        return err_new(ERR_USAGE, "invalid SOURCE_DATE_EPOCH: %s", text);
    x->epoch = seconds * NSEC_PER_SEC;
    if (x->o->rewrite_times)
        x->latest = seconds;
    return NULL;
}

struct err *exec_plan(struct exec *x) {
    TRY(global_args(x));
    const struct expand global = exec_expand(x);
    const struct plan_wish wish = {.target = x->o->target, .contexts = x->o->contexts};
    return plan_make(&x->d, &global, &wish, &x->plan, &x->fault);
}

void exec_forget_stages(struct exec *x) {
    for (size_t i = 0; x->state && i < x->plan.n; i++)
        state_done(&x->state[i]);
    free(take_ptr(&x->state));
    plan_done(&x->plan);
    json_free(take_ptr(&x->materials));
    strv_done(&x->global);
}

struct err *exec_load(struct exec *x) {
    TRY(platforms_parse(x->o->host, x->o->platforms, &x->platforms));
    x->platform = x->platforms.n ? x->platforms.v[0] : NULL;
    TRY(find_epoch(x));
    TRY(open_context(x));
    progress_vertex(&x->progress, "[internal] load build definition from %s", x->o->file ? x->o->file : "Dockerfile");
    TRY(read_dockerfile(x));
    TRY(dockerfile_parse(str_c(&x->text), x->text.len, &x->d, &x->fault));
    TRY(exec_check_config(x));
    progress_done(&x->progress);
    progress_vertex(&x->progress, "[internal] load .dockerignore");
    TRY(read_ignore(x));
    progress_done(&x->progress);
    return exec_plan(x);
}

static struct err *run_all(struct exec *x, struct build_result *ret) {
    autostrv struct strv names = {.n = 0};
    TRY(parse_tags(x->o, &names, &ret->names));
    TRY(caches_parse(x->o, &x->caches));
    TRY(squash_check(x));
    TRY(exec_load(x));
    TRY(export_annotations_parse(x->o->annotations, export_wants_index(x), &x->annotations));
    if (x->checks.error)
        TRY(exec_check(x, &x->plan, NULL));
    TRY(caches_open(x));
    TRY(platforms_build(x, &names, ret));
    unused_args(x);
    return caches_write(x);
}

static void exec_done(struct exec *x) {
    exec_forget_stages(x);
    dockerfile_done(&x->d);
    str_done(&x->text);
    strv_done(&x->used);
    strv_done(&x->platforms);
    export_annotations_done(&x->annotations);
    caches_done(&x->caches);
    ignore_free(x->ignore);
    check_config_done(&x->checks);
    context_done(x->store, &x->context_files);
}

static void say_to_board(void *ctx, const struct json *event, int fd) {
    struct exec *x = ctx;
    autofd int own = -1;
    if (fd >= 0)
        err_free(fd_dup(fd, &own));
    board_event(x->board, 0, event, take_fd(&own));
}

/* What the command that failed has said last, and where it stands in the Dockerfile. */
static void explain(struct exec *x, const struct err *e, struct str *excerpt) {
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    board_fail(x->board, 0, str_c(&text));
    board_last_lines(x->board, x->failed, excerpt);
    if (x->fault.first && err_kind(e) != ERR_INTERRUPTED)
        df_excerpt(str_c(&x->text), x->file, &x->fault, excerpt);
}

struct err *exec_do(const struct build_options *o, struct err *(*fn)(struct exec *x, void *ctx), void *ctx,
                    struct str *excerpt) {
    struct board board;
    struct exec x = {.o = o, .context = -1, .context_files = CONTEXT_INIT, .board = &board, .started = clock_now()};
    struct engine_works works = ENGINE_WORKS_INIT;
    x.progress = (struct progress){.say = say_to_board, .ctx = &x};
    board_init(&board, &o->look);
    struct err *e = engine_works_begin(o->engine, &works);
    x.store = works.store;
    if (!e)
        e = fn(&x, ctx);
    if (e)
        explain(&x, e, excerpt);
    board_tick(&board);
    exec_done(&x);
    board_done(&board);
    engine_works_end(o->engine, &works);
    return e ? err_wrap(e, "failed to build: failed to solve") : NULL;
}

/* Warnings come at the end, however that is: then it is known what the images say. */
static struct err *build(struct exec *x, void *ctx) {
    struct build_result *ret = ctx;
    autocheckwarnings w = {.n = 0};
    struct err *e = run_all(x, ret);
    struct df_fault fault = x->fault;
    if (x->plan.n)
        err_free(exec_check(x, &x->plan, &w));
    x->fault = fault;
    exec_check_summary(x, &w, &ret->warnings);
    return e;
}

struct err *build_run(const struct build_options *o, struct build_result *ret, struct str *excerpt) {
    *ret = (struct build_result){.passing = -1};
    return exec_do(o, build, ret, excerpt);
}

void build_result_done(struct build_result *r) {
    strv_done(&r->names);
    str_done(&r->warnings);
    for (size_t i = 0; i < r->n_members; i++)
        free(r->members[i].platform);
    free(r->members);
}
