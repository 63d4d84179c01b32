/* Environment, labels, annotations: NAME=VALUE lists from files, flags and the image. */
#include "spec/spec_int.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* One line without its end; `line` is NUL-terminated. */
static struct err *env_line(const char *line, const char *what, struct strv *out) {
    line += strspn(line, " \t\v\f\r");
    if (!*line || *line == '#')
        return NULL;
    size_t name = strcspn(line, "=");
    if (name == 0)
        return err_new(ERR_USAGE, "invalid %s: no variable name on line '%s'", what, line);
    if (strcspn(line, " \t") < name)
        return err_new(ERR_USAGE, "invalid %s: variable '%.*s' contains whitespaces", what, (int)name, line);
    strv_push(out, line);
    return NULL;
}

struct err *spec_parse_env_file(const char *text, const char *what, struct strv *out) {
    if (str_starts(text, "\xef\xbb\xbf"))
        text += 3;
    for (unsigned n = 1; *text; n++) {
        size_t len = strcspn(text, "\n");
        if (!str_utf8_ok(text, len))
            return err_new(ERR_USAGE, "invalid %s: invalid utf8 bytes at line %u", what, n);
        size_t keep = len && text[len - 1] == '\r' ? len - 1 : len;
        autofree char *line = mem_dupn(text, keep);
        TRY(env_line(line, what, out));
        text += len + (text[len] == '\n');
    }
    return NULL;
}

/* NAME alone takes the host's value; *ret_set tells whether there was one. */
static struct err *take_from_host(struct spec_ctx *x, const char *name, bool *ret_set) {
    const char *value = host_env(x->in->host, name);
    *ret_set = value != NULL;
    if (!value)
        return NULL;
    if (!str_utf8_ok(value, strlen(value)))
        return err_new(ERR_USAGE, "the value of the environment variable %s is not valid UTF-8", name);
    autofree char *pair = mem_printf("%s=%s", name, value);
    strv_env_set(&x->config_env, pair);
    return NULL;
}

static struct err *add_env(struct spec_ctx *x, const char *entry, bool from_file) {
    if (!*entry || *entry == '=')
        return err_new(ERR_USAGE, "invalid environment variable: %s", entry);
    if (strchr(entry, '=')) {
        strv_env_set(&x->config_env, entry);
        return NULL;
    }
    bool set;
    TRY(take_from_host(x, entry, &set));
    /* docker: -e NAME without a value on the host also takes away the image's NAME; a line of a file does not. */
    if (!set && !from_file) {
        strv_env_unset(&x->config_env, entry);
        strv_push(&x->unset_env, entry);
    }
    return NULL;
}

static struct err *user_env(struct spec_ctx *x) {
    for (size_t i = 0; i < x->o->env_files.n; i++) {
        autostrv struct strv lines = {0};
        TRY(spec_parse_env_file(x->o->env_files.v[i], "env file", &lines));
        for (size_t j = 0; j < lines.n; j++)
            TRY(add_env(x, lines.v[j], true));
    }
    for (size_t i = 0; i < x->o->env.n; i++)
        TRY(add_env(x, x->o->env.v[i], false));
    return NULL;
}

/* An image's entry counts only as NAME=VALUE: a bare NAME must never let a variable of the host in. */
static struct err *image_env(struct spec_ctx *x) {
    autostrv struct strv image = {0};
    TRY(json_get_strv_opt(x->img, "Env", &image));
    for (size_t i = 0; i < image.n; i++) {
        size_t len = strcspn(image.v[i], "=");
        if (len == 0 || !image.v[i][len])
            continue;
        autofree char *name = mem_dupn(image.v[i], len);
        if (!strv_env_get(&x->config_env, name) && !strv_has(&x->unset_env, name))
            strv_push(&x->config_env, image.v[i]);
    }
    return NULL;
}

/* --env-host: all that the caller has, below all else; what says how things are on the host is not for a container. */
static struct err *host_environment(struct spec_ctx *x) {
    static const char *const of_host[] = {"HOME", "HOSTNAME", "PATH"};
    for (char *const *e = x->in->host->environ; e && *e; e++) {
        autofree char *name = mem_dupn(*e, strcspn(*e, "="));
        bool left_out = !*name || strv_env_get(&x->config_env, name) || strv_has(&x->unset_env, name);
        for (size_t i = 0; i < ARRAY_LEN(of_host); i++)
            left_out |= str_eq(name, of_host[i]);
        if (!left_out)
            TRY(take_from_host(x, name, &(bool){false}));
    }
    return NULL;
}

static void default_env(struct spec_ctx *x) {
    strv_push(&x->env, DEFAULT_PATH);
    strv_pushf(&x->env, "HOSTNAME=%s", x->hostname);
    if (x->o->tty)
        strv_push(&x->env, "TERM=xterm");
}

/* HOME is left out: the runtime takes it from the container's passwd. */
struct err *spec_resolve_env(struct spec_ctx *x) {
    const struct container_options *o = x->o;
    strv_extend(&x->unset_env, &o->unset_env);
    if (x->timezone) /* else an image's TZ would hide /etc/localtime */
        strv_push(&x->unset_env, "TZ");
    TRY(user_env(x));
    if (!o->unset_env_all)
        TRY(image_env(x));
    if (o->env_host)
        TRY(host_environment(x));
    if (!o->unset_env_all)
        default_env(x);
    for (size_t i = 0; i < x->config_env.n; i++)
        strv_env_set(&x->env, x->config_env.v[i]);
    for (size_t i = 0; i < x->unset_env.n; i++)
        if (!strv_env_get(&x->config_env, x->unset_env.v[i]))
            strv_env_unset(&x->env, x->unset_env.v[i]);
    return NULL;
}

static struct err *image_labels(struct spec_ctx *x) {
    autostrmap struct strmap image = {0};
    TRY(json_get_strmap_opt(x->img, "Labels", &image));
    for (size_t i = 0; i < image.n; i++)
        if (!strmap_get(&x->labels, image.e[i].key))
            strmap_set(&x->labels, image.e[i].key, image.e[i].value);
    return NULL;
}

static struct err *annotations(struct spec_ctx *x) {
    for (size_t i = 0; i < x->o->annotations.n; i++) {
        const char *a = x->o->annotations.v[i];
        if (!*a || *a == '=')
            return err_new(ERR_USAGE, "invalid annotation '%s': empty name", a);
        if (str_starts(a, SPEC_ANN_PREFIX))
            return err_new(ERR_USAGE, "invalid annotation '%s': names under %s belong to coracle", a, SPEC_ANN_PREFIX);
        strmap_set_pair(&x->annotations, a);
    }
    spec_sort_map(&x->annotations);
    return NULL;
}

struct err *spec_resolve_labels(struct spec_ctx *x) {
    autostrv struct strv pairs = {0};
    for (size_t i = 0; i < x->o->label_files.n; i++)
        TRY(spec_parse_env_file(x->o->label_files.v[i], "label file", &pairs));
    strv_extend(&pairs, &x->o->labels);
    for (size_t i = 0; i < pairs.n; i++) {
        if (!*pairs.v[i] || *pairs.v[i] == '=')
            return err_new(ERR_USAGE, "invalid label '%s': empty name", pairs.v[i]);
        strmap_set_pair(&x->labels, pairs.v[i]);
    }
    TRY(image_labels(x));
    spec_sort_map(&x->labels);
    return annotations(x);
}
