/* exec_check: the build checks of a build: what they are asked with, and how warnings are shown. */
#include <string.h>

#include "base/base64.h"
#include "base/host.h"
#include "build/check_int.h"
#include "build/exec_int.h"

#define PAGES "https://docs.docker.com/go/dockerfile/rule/"

/* ---- asking ---- */

/* Configurations that were looked for; NULL: it is not here. */
struct images {
    struct exec *x;
    struct strv references;
    struct json **config;
    char *platform; /* that was asked for last */
};

static struct err *read_image(struct exec *x, const char *reference, struct json **ret) {
    char id[65];
    struct store_image *img = NULL;
    autojson whole = NULL;
    TRY(engine_image_find(x->o->engine, reference, id, NULL));
    TRY(store_image_get(x->store, id, &img));
    struct err *e = image_config(x->store, img, &whole);
    store_image_free(img);
    TRY(e);
    struct json *config = json_get(whole, "config");
    *ret = config ? json_copy(config) : json_object();
    return NULL;
}

/* A build context of files that stands for an image has no configuration. */
static struct json *find_image(struct exec *x, const char *reference) {
    const char *named = source_named(x, reference);
    autofree char *image = NULL;
    struct json *config = NULL;
    if (named && !source_is_image(named, &image))
        return json_object();
    err_free(read_image(x, image ? image : reference, &config)); /* it is not here */
    return config;
}

static const struct json *image_of(void *ctx, const char *reference) {
    struct images *i = ctx;
    size_t at = 0;
    while (at < i->references.n && !str_eq(i->references.v[at], reference))
        at++;
    if (at == i->references.n) {
        strv_push(&i->references, reference);
        i->config = mem_resize(i->config, at + 1, sizeof *i->config);
        i->config[at] = find_image(i->x, reference);
    }
    return i->config[at];
}

/* Known once the stage is built: until then nobody knows which image it will get. */
static const char *platform_of(void *ctx, size_t stage) {
    struct images *i = ctx;
    const struct exec *x = i->x;
    const struct json *config = x->state ? x->state[stage].config : NULL;
    if (!config || source_named(x, x->plan.stage[stage].base))
        return NULL;
    const char *variant = json_text(config, "variant");
    free(i->platform);
    i->platform = mem_printf("%s/%s%s%s", json_text(config, "os"), json_text(config, "architecture"),
                             *variant ? "/" : "", variant);
    return i->platform;
}

static void images_done(struct images *i) {
    free(i->platform);
    for (size_t k = 0; k < i->references.n; k++)
        json_free(i->config[k]);
    free(i->config);
    strv_done(&i->references);
}

void exec_given_args(const struct exec *x, struct strv *out) {
    for (size_t i = 0; i < x->o->args->n; i++) {
        const char *arg = x->o->args->v[i];
        const char *value = strchr(arg, '=') ? NULL : host_env(x->o->host, arg);
        if (strchr(arg, '='))
            strv_env_set(out, arg);
        else if (value)
            strv_pushf(out, "%s=%s", arg, value);
    }
}

struct err *exec_check_config(struct exec *x) {
    static const char argument[] = "BUILDKIT_DOCKERFILE_CHECK";
    autostrv struct strv given = {.n = 0};
    exec_given_args(x, &given);
    const char *wanted = strv_env_get(&given, argument);
    if (wanted)
        strv_push(&x->used, argument);
    return check_config_parse(wanted ? wanted : x->d.check, &x->checks);
}

struct err *exec_check(struct exec *x, const struct plan *plan, struct check_warnings *ret) {
    autostrv struct strv given = {.n = 0}, predefined = {.n = 0};
    autocheckwarnings own = {.n = 0};
    struct check_warnings *w = ret ? ret : &own;
    struct images images = {.x = x};
    exec_given_args(x, &given);
    TRY(exec_predefined(x, &predefined));
    const struct check_input in = {.d = &x->d,
                                   .predefined = &predefined,
                                   .given = &given,
                                   .ignore = x->ignore,
                                   .plan = plan,
                                   .image = image_of,
                                   .platform = platform_of,
                                   .ctx = &images};
    check_dockerfile(&in, &x->checks, w);
    images_done(&images);
    if (w->n && x->checks.error)
        x->fault = (struct df_fault){w->v[0].first, w->v[0].last};
    return check_error(&x->checks, w);
}

/* ---- showing ---- */

static void excerpt(const struct exec *x, const struct check_warning *w, struct str *out) {
    const struct df_fault lines = {w->first, w->last};
    df_excerpt(str_c(&x->text), x->file, &lines, out);
}

static void one_line(const struct check_warning *w, struct str *out) {
    str_appendf(out, "%s: ", w->name);
    str_append_visible(out, w->detail);
    str_appendf(out, " (line %u)", w->first);
}

/* BuildKit's status objects have warnings of their own. */
static void tell(const struct exec *x, const struct check_warnings *w) {
    for (size_t i = 0; i < w->n; i++) {
        autostr struct str line = STR_INIT;
        one_line(&w->v[i], &line);
        progress_text(&x->progress, str_c(&line));
    }
}

void exec_check_summary(const struct exec *x, const struct check_warnings *w, struct str *out) {
    bool all = x->o->explain;
    if (x->o->look.form == BUILD_RAWJSON)
        tell(x, w);
    if (!w->n || x->o->look.form == BUILD_RAWJSON || x->o->look.form == BUILD_SILENT)
        return;
    str_appendf(out, "\n %zu warning%s found%s:\n", w->n, w->n == 1 ? "" : "s",
                all ? "" : " (use coracle --debug to expand)");
    for (size_t i = 0; i < w->n; i++) {
        str_append(out, " - ");
        one_line(&w->v[i], out);
        str_append_c(out, '\n');
        if (!all)
            continue;
        str_appendf(out, "%s\n", w->v[i].description);
        if (w->v[i].page)
            str_appendf(out, "More info: " PAGES "%s/\n", w->v[i].page);
        excerpt(x, &w->v[i], out);
        str_append_c(out, '\n');
    }
}

void exec_check_text(const struct exec *x, const struct check_warnings *w, struct str *out) {
    if (!w->n) {
        str_append(out, "Check complete, no warnings found.\n");
        return;
    }
    str_appendf(out, "Check complete, %zu warning%s been found!\n", w->n, w->n == 1 ? " has" : "s have");
    for (size_t i = 0; i < w->n; i++) {
        str_appendf(out, "\nWARNING: %s", w->v[i].name);
        if (w->v[i].page)
            str_appendf(out, " - " PAGES "%s/", w->v[i].page);
        str_append_c(out, '\n');
        str_append_visible(out, w->v[i].detail);
        str_append_c(out, '\n');
        excerpt(x, &w->v[i], out);
    }
}

static struct json *line_of(unsigned line) {
    struct json *j = json_object();
    json_set_int(j, "line", line);
    return j;
}

struct json *exec_location(unsigned first, unsigned last) {
    struct json *j = json_object(), *ranges = json_array(), *range = json_object();
    json_set(range, "start", line_of(first));
    json_set(range, "end", line_of(last));
    json_push(ranges, range);
    json_set(j, "ranges", ranges);
    return j;
}

struct json *exec_check_json(const struct exec *x, const struct check_warnings *w) {
    struct json *j = json_object(), *warnings = json_array(), *sources = json_array(), *source = json_object();
    autostr struct str data = STR_INIT;
    for (size_t i = 0; i < w->n; i++) {
        struct json *one = json_object();
        autofree char *url = w->v[i].page ? mem_printf(PAGES "%s/", w->v[i].page) : NULL;
        json_set_str(one, "ruleName", w->v[i].name);
        json_set_str(one, "description", w->v[i].description);
        if (url)
            json_set_str(one, "url", url);
        json_set_str(one, "detail", w->v[i].detail);
        json_set(one, "location", exec_location(w->v[i].first, w->v[i].last));
        json_push(warnings, one);
    }
    base64_encode(x->text.ptr, x->text.len, &data);
    json_set_str(source, "fileName", x->file);
    json_set_str(source, "language", "Dockerfile");
    json_set_str(source, "data", str_c(&data));
    json_push(sources, source);
    json_set(j, "warnings", warnings);
    json_set(j, "sources", sources);
    return j;
}
