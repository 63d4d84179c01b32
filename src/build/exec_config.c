/* exec_config: instructions that only change the image's configuration, as BuildKit changes it. */
#include "build/exec_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/path.h"
#include "base/proc.h"
#include "build/history_int.h"

static struct json *object_at(struct json *config, const char *key) {
    if (json_type(json_get(config, key)) != JSON_OBJECT)
        json_set(config, key, json_object());
    return json_get(config, key);
}

/* "a=b" as its two words, each with its variables replaced. */
static struct err *pair(struct exec *x, const char *text, char **ret_key, char **ret_value) {
    autofree char *raw = mem_dupn(text, strcspn(text, "="));
    autofree char *key = NULL;
    TRY(exec_word(x, raw, &key));
    TRY(exec_word(x, text + strlen(raw) + 1, ret_value));
    *ret_key = take_ptr(&key);
    return NULL;
}

/* An instruction that is being done: `words` get what it is in the history. */
struct configuring {
    struct exec *x;
    const struct df_instruction *in;
    struct strv words;
};

/* All values are found before the first one is set: "ENV A=1 B=$A" has the old A. */
static struct err *pairs(struct configuring *c, struct strmap *out) {
    for (size_t i = 0; i < c->in->args.n; i++) {
        autofree char *key = NULL;
        autofree char *value = NULL;
        TRY(pair(c->x, c->in->args.v[i], &key, &value));
        strmap_set(out, key, value);
        strv_pushf(&c->words, "%s=%s", key, value);
    }
    return NULL;
}

static struct err *do_env(struct configuring *c) {
    autostrmap struct strmap new = {.n = 0};
    autostrv struct strv env = {.n = 0};
    TRY(pairs(c, &new));
    TRY(json_get_strv_opt(exec_config(c->x), "Env", &env));
    for (size_t i = 0; i < new.n; i++) {
        autofree char *assignment = mem_printf("%s=%s", new.e[i].key, new.e[i].value);
        strv_env_set(&env, assignment);
    }
    json_set_strv(exec_config(c->x), "Env", &env);
    return NULL;
}

static struct err *do_label(struct configuring *c) {
    autostrmap struct strmap new = {.n = 0};
    TRY(pairs(c, &new));
    struct json *labels = object_at(exec_config(c->x), "Labels");
    for (size_t i = 0; i < new.n; i++)
        json_set_str(labels, new.e[i].key, new.e[i].value);
    return NULL;
}

/* Those that image_changes_apply() knows get their words without variables, quoted so that they stay as they are. */
static struct err *apply(struct json *config, enum df_kind kind, const struct strv *words) {
    autostrv struct strv change = {.n = 0};
    autostr struct str line = STR_INIT;
    str_append(&line, df_kind_name(kind));
    for (size_t i = 0; i < words->n; i++) {
        str_append_c(&line, ' ');
        for (const char *p = words->v[i]; *p; p++) {
            if (strchr(" \t\"'\\$", *p))
                str_append_c(&line, '\\');
            str_append_c(&line, *p);
        }
    }
    strv_push(&change, str_c(&line));
    return image_changes_apply(config, &change);
}

static struct err *do_words(struct configuring *c) {
    for (size_t i = 0; i < c->in->args.n; i++) {
        autofree char *word = NULL;
        TRY(exec_word(c->x, c->in->args.v[i], &word));
        strv_push_take(&c->words, take_ptr(&word));
    }
    return apply(exec_config(c->x), c->in->kind, &c->words);
}

/* Each port of a range is one, with its protocol. */
static struct err *add_ports(struct configuring *c, const char *text) {
    autostrv struct strv word = {.n = 0};
    autojson alone = json_object();
    struct json *ports = object_at(exec_config(c->x), "ExposedPorts");
    strv_push(&word, text);
    TRY(apply(alone, DF_EXPOSE, &word));
    JSON_EACH(port, json_get(alone, "ExposedPorts")) {
        strv_push(&c->words, json_key(port));
        json_set(ports, json_key(port), json_object());
    }
    return NULL;
}

static struct err *do_expose(struct configuring *c) {
    autostrv struct strv typed = {.n = 0};
    const struct expand how = exec_expand(c->x);
    for (size_t i = 0; i < c->in->args.n; i++)
        TRY(expand_words(&how, c->in->args.v[i], &typed));
    for (size_t i = 0; i < typed.n; i++)
        TRY(add_ports(c, typed.v[i]));
    return NULL;
}

void exec_command(struct exec *x, const struct df_instruction *in, const char *text, struct strv *out) {
    const struct json *shell = json_get(exec_config(x), "Shell");
    if (in->json) {
        strv_extend(out, &in->args);
        return;
    }
    JSON_EACH(word, shell)
    strv_push(out, json_str_value(word));
    if (!json_count(shell)) {
        strv_push(out, "/bin/sh");
        strv_push(out, "-c");
    }
    strv_push(out, text);
}

static struct err *do_cmd(struct configuring *c) {
    struct json *config = exec_config(c->x);
    const char *key = c->in->kind == DF_CMD ? "Cmd" : "Entrypoint";
    if (c->in->args.n)
        exec_command(c->x, c->in, c->in->args.v[0], &c->words);
    if (c->words.n)
        json_set_strv(config, key, &c->words);
    else
        json_remove(config, key);
    if (c->in->kind == DF_CMD)
        exec_state(c->x)->cmd_set = true;
    else if (!exec_state(c->x)->cmd_set)
        json_remove(config, "Cmd");
    return NULL;
}

static struct err *do_shell(struct configuring *c) {
    strv_extend(&c->words, &c->in->args);
    json_set_strv(exec_config(c->x), "Shell", &c->words);
    return NULL;
}

static struct err *do_onbuild(struct configuring *c) {
    autostrv struct strv triggers = {.n = 0};
    TRY(json_get_strv_opt(exec_config(c->x), "OnBuild", &triggers));
    strv_push(&triggers, c->in->args.v[0]);
    json_set_strv(exec_config(c->x), "OnBuild", &triggers);
    return NULL;
}

static struct err *do_maintainer(struct configuring *c) {
    strv_push(&c->words, c->in->args.v[0]);
    json_set_str(exec_state(c->x)->config, "author", c->words.v[0]);
    return NULL;
}

static struct err *health_times(const struct df_instruction *in, struct json *health) {
    static const char *const names[][2] = {{"interval", "Interval"},
                                           {"timeout", "Timeout"},
                                           {"start-period", "StartPeriod"},
                                           {"start-interval", "StartInterval"}};
    int64_t v = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *text = df_flag(in, names[i][0]);
        if (!text || !*text)
            continue;
        TRY(clock_parse_duration(text, &v));
        if (v)
            json_set_int(health, names[i][1], v);
    }
    const char *retries = df_flag(in, "retries");
    if (retries && str_to_i64(retries, 1, INT32_MAX, &v))
        json_set_int(health, "Retries", v);
    return NULL;
}

static struct err *do_healthcheck(struct configuring *c) {
    const struct df_instruction *in = c->in;
    autojson health = json_object();
    autostrv struct strv test = {.n = 0};
    bool none = str_eq(in->args.v[0], "NONE");
    strv_push(&test, none ? "NONE" : in->json ? "CMD" : "CMD-SHELL");
    for (size_t i = 1; i < in->args.n; i++)
        strv_push(&test, in->args.v[i]);
    json_set_strv(health, "Test", &test);
    if (!none)
        TRY(health_times(in, health));
    json_set(exec_config(c->x), "Healthcheck", take_ptr(&health));
    return NULL;
}

/* ---- ARG ---- */

/* What a --build-arg says: "NAME=VALUE", or NAME with the caller's value. NULL: nothing. Borrowed. */
static const char *given_arg(struct exec *x, const char *name) {
    size_t n = strlen(name);
    for (size_t i = x->o->args->n; i-- > 0;) {
        const char *arg = x->o->args->v[i];
        if (strncmp(arg, name, n) != 0 || (arg[n] && arg[n] != '='))
            continue;
        strv_add(&x->used, name);
        return arg[n] ? arg + n + 1 : host_env(x->o->host, name);
    }
    return NULL;
}

static struct err *arg_value(struct exec *x, const char *name, const char *def, bool global, char **ret) {
    const char *given = given_arg(x, name);
    if (!given && !def && !global)
        given = strv_env_get(&x->global, name);
    if (given)
        *ret = mem_dup(given);
    else if (def)
        TRY(exec_word(x, def, ret));
    return NULL;
}

struct err *exec_arg(struct exec *x, const struct df_instruction *in, bool global) {
    struct strv *args = global ? &x->global : &exec_state(x)->args;
    autostrv struct strv words = {.n = 0};
    for (size_t i = 0; i < in->args.n; i++) {
        const char *eq = strchr(in->args.v[i], '=');
        autofree char *name = mem_dupn(in->args.v[i], strcspn(in->args.v[i], "="));
        autofree char *value = NULL;
        TRY(arg_value(x, name, eq ? eq + 1 : NULL, global, &value));
        autofree char *assignment = mem_printf("%s%s%s", name, value ? "=" : "", value ? value : "");
        strv_push(&words, assignment);
        if (value)
            strv_env_set(args, assignment);
        if (!global && !strv_has(&exec_state(x)->declared, name))
            strv_push(&exec_state(x)->declared, name);
    }
    if (!global)
        exec_history(x, DF_ARG, &words);
    return NULL;
}

/* A check's members are in the history where the words of others are. */
static void note(struct configuring *c) {
    autostr struct str by = STR_INIT;
    if (c->in->kind == DF_HEALTHCHECK) {
        history_health(json_get(exec_config(c->x), "Healthcheck"), &by);
        exec_history_text(c->x, str_c(&by), false);
    } else if (c->in->kind != DF_ONBUILD) {
        exec_history(c->x, c->in->kind, &c->words);
    }
}

struct err *exec_configure(struct exec *x, const struct df_instruction *in) {
    static struct err *(*const fns[DF_KIND_COUNT])(struct configuring *) = {
        [DF_CMD] = do_cmd,
        [DF_ENTRYPOINT] = do_cmd,
        [DF_ENV] = do_env,
        [DF_EXPOSE] = do_expose,
        [DF_HEALTHCHECK] = do_healthcheck,
        [DF_LABEL] = do_label,
        [DF_ONBUILD] = do_onbuild,
        [DF_MAINTAINER] = do_maintainer,
        [DF_SHELL] = do_shell,
        [DF_USER] = do_words,
        [DF_VOLUME] = do_words,
        [DF_STOPSIGNAL] = do_words,
    };
    struct configuring c = {.x = x, .in = in};
    struct err *e = fns[in->kind](&c);
    if (!e)
        note(&c);
    strv_done(&c.words);
    return e;
}
