/* --log-driver and --log-opt of a container: the defaults of the configuration, what goes with each entry, the tag. */
#include <regex.h>

#include "base/id.h"
#include "spec/log.h"
#include "spec/spec_int.h"

/* All that goes with an entry is in every entry. */
enum { ATTRS_MAX = 64 << 10 };

/* ---- options ---- */

static struct err *collect_options(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    const struct config *c = x->in->config;
    bool is_default = !o->log_driver || !*o->log_driver || (c && str_eq(o->log_driver, c->log_driver));
    for (size_t i = 0; c && is_default && i < c->log_opts.n; i++)
        strmap_set(&x->log_opts, c->log_opts.e[i].key, c->log_opts.e[i].value);
    if (str_eq(x->log_driver, "none") && o->log_opt.n)
        return err_new(ERR_USAGE, "invalid logging opts for driver none");
    for (size_t i = 0; i < o->log_opt.n; i++) {
        const char *text = o->log_opt.v[i];
        if (*text == '=' || !strchr(text, '='))
            return err_new(ERR_USAGE, "invalid logging option '%s': use key=value", text);
        strmap_set_pair(&x->log_opts, text);
    }
    spec_sort_map(&x->log_opts);
    return NULL;
}

/* ---- labels and variables ---- */

/* journald's field names: capital letters, digits and "_", which is not the first. Owned. */
static char *field_name(const char *key) {
    autostr struct str s = STR_INIT;
    for (; *key; key++) {
        char c = *key;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - ('a' - 'A'));
        else if ((c < 'A' || c > 'Z') && (c < '0' || c > '9'))
            c = '_';
        if (s.len || c != '_')
            str_append_c(&s, c);
    }
    return str_take(&s);
}

static void add(struct strmap *out, enum spec_log_kind kind, const char *key, const char *value) {
    autofree char *name = kind == SPEC_LOG_JOURNALD ? field_name(key) : mem_dup(key);
    if (*name)
        strmap_set(out, name, value);
}

/* Which names an option's list or regular expression wants. */
struct wanted {
    struct strv names;
    regex_t regex;
    bool has_regex;
};

static void wanted_done(struct wanted *w) {
    strv_done(&w->names);
    if (w->has_regex)
        regfree(&w->regex);
}

static struct err *wanted_make(const struct spec_ctx *x, const char *list_key, const char *regex_key,
                               struct wanted *w) {
    const char *list = strmap_get(&x->log_opts, list_key), *regex = strmap_get(&x->log_opts, regex_key);
    if (list && *list)
        strv_split(&w->names, list, ',');
    if (!regex || !*regex)
        return NULL;
    int rc = regcomp(&w->regex, regex, REG_EXTENDED | REG_NOSUB);
    w->has_regex = rc == 0;
    if (rc) {
        char why[128];
        regerror(rc, &w->regex, why, sizeof why);
        return err_new(ERR_USAGE, "invalid log opt %s: '%s': %s", regex_key, regex, why);
    }
    return NULL;
}

static bool is_wanted(const struct wanted *w, const char *name) {
    return strv_has(&w->names, name) || (w->has_regex && regexec(&w->regex, name, 0, NULL, 0) == 0);
}

static struct err *add_labels(const struct spec_ctx *x, enum spec_log_kind kind, struct strmap *out) {
    __attribute__((cleanup(wanted_done))) struct wanted w = {.has_regex = false};
    TRY(wanted_make(x, "labels", "labels-regex", &w));
    for (size_t i = 0; i < x->labels.n; i++)
        if (is_wanted(&w, x->labels.e[i].key))
            add(out, kind, x->labels.e[i].key, x->labels.e[i].value);
    return NULL;
}

static struct err *add_variables(const struct spec_ctx *x, enum spec_log_kind kind, struct strmap *out) {
    __attribute__((cleanup(wanted_done))) struct wanted w = {.has_regex = false};
    TRY(wanted_make(x, "env", "env-regex", &w));
    for (size_t i = 0; i < x->config_env.n; i++) {
        const char *text = x->config_env.v[i];
        size_t len = strcspn(text, "=");
        autofree char *name = mem_dupn(text, len);
        if (text[len] && is_wanted(&w, name))
            add(out, kind, name, text + len + 1);
    }
    return NULL;
}

/* ---- tag ---- */

/* What docker's templates may name: the fields and methods of its logger.Info. */
static struct json *tag_data(const struct spec_ctx *x) {
    const struct spec_input *in = x->in;
    struct json *j = json_object();
    autofree char *short_id = mem_dupn(in->id, strnlen(in->id, ID_SHORT_LEN));
    const char *image_id = in->image_id ? in->image_id : "";
    autofree char *short_image = mem_dupn(image_id, strnlen(image_id, ID_SHORT_LEN));
    autofree char *image = mem_printf("sha256:%s", image_id), *name = mem_printf("/%s", in->name);
    const struct {
        const char *key, *value;
    } fields[] = {
        {"ID", short_id},
        {"FullID", in->id},
        {"Name", in->name},
        {"ImageID", short_image},
        {"ImageFullID", image},
        {"ImageName", in->image_name},
        {"DaemonName", "docker"},
        {"ContainerID", in->id},
        {"ContainerName", name},
        {"ContainerImageID", image},
        {"ContainerImageName", in->image_name},
        {"Hostname", in->host->hostname},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        json_set_str(j, fields[i].key, fields[i].value ? fields[i].value : "");
    return j;
}

static struct err *make_tag(struct spec_ctx *x, enum spec_log_kind kind) {
    const char *given = strmap_get(&x->log_opts, "tag");
    const char *text = given && *given ? given : spec_log_default_tag(kind);
    if (!text)
        return NULL;
    if (!strstr(text, "{{")) {
        x->log_tag = mem_dup(text);
    } else if (str_eq(text, "{{.ID}}")) {
        x->log_tag = mem_dupn(x->in->id, strnlen(x->in->id, ID_SHORT_LEN));
    } else {
        if (!x->in->expand)
            return err_new(ERR_UNSUPPORTED, "log opt tag: templates are not available here");
        autojson data = tag_data(x);
        TRY_CTX(x->in->expand(text, data, &x->log_tag), "invalid log opt tag");
    }
    if (spec_has_control(x->log_tag))
        return err_new(ERR_USAGE, "invalid log opt tag: '%s' holds control characters", x->log_tag);
    if (kind == SPEC_LOG_JSON_FILE) /* it has no other place for it */
        strmap_set(&x->log_attrs, "tag", x->log_tag);
    return NULL;
}

/* ---- the whole ---- */

static void say_unused(struct spec_ctx *x) {
    static const char *const keys[] = {"labels", "labels-regex", "env", "env-regex"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strmap_get(&x->log_opts, keys[i]))
            strv_pushf(x->warnings, "log opt %s has no effect with syslog, whose messages carry the tag only", keys[i]);
}

struct err *spec_resolve_log(struct spec_ctx *x) {
    const struct config *c = x->in->config;
    struct spec_log log;
    x->log_driver = "json-file";
    if (x->o->log_driver && *x->o->log_driver)
        x->log_driver = x->o->log_driver;
    else if (c && c->log_driver && *c->log_driver)
        x->log_driver = c->log_driver;
    TRY(collect_options(x));
    TRY(spec_log_parse(x->log_driver, &x->log_opts, &log));
    if (log.kind == SPEC_LOG_PASSTHROUGH && x->o->tty)
        return err_hint(err_new(ERR_USAGE, "conflicting options: --log-driver passthrough and --tty"),
                        "leave out -t, or use another log driver");
    if (!x->log_opts.n && !spec_log_default_tag(log.kind))
        return NULL;
    TRY(add_labels(x, log.kind, &x->log_attrs));
    TRY(add_variables(x, log.kind, &x->log_attrs));
    if (log.kind == SPEC_LOG_SYSLOG)
        say_unused(x);
    TRY(make_tag(x, log.kind));
    size_t bytes = 0;
    for (size_t i = 0; i < x->log_attrs.n; i++)
        bytes += strlen(x->log_attrs.e[i].key) + strlen(x->log_attrs.e[i].value);
    if (bytes > ATTRS_MAX)
        return err_new(ERR_USAGE, "log opts labels and env choose more than %d bytes, which every log entry would have",
                       ATTRS_MAX);
    spec_sort_map(&x->log_attrs);
    return NULL;
}
