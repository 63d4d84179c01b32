/* check_scope: what is known at an instruction: variables, and what a stage has said so far. See check_int.h. */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "build/check_int.h"
#include "build/dockerfile_int.h"
#include "build/expand_int.h"

void check_scope_done(struct check_scope *s) {
    free(s->name);
    free(s->image);
    strv_done(&s->env);
    strv_done(&s->declared);
}

void check_lookup_done(struct check_lookup *l) {
    strv_done(&l->found);
    strv_done(&l->missing);
}

const char *check_given(const struct check_input *in, const char *name) { return strv_env_get(in->given, name); }

const struct json *check_scope_image(const struct check_input *in, const struct check_scope *s, bool *ret_blind) {
    const struct json *config = s->image && in->image ? in->image(in->ctx, s->image) : NULL;
    *ret_blind = s->image && !config;
    return config;
}

/* ---- variables ---- */

static const char *image_variable(struct check_lookup *l, const char *name) {
    size_t n = strlen(name);
    bool blind;
    const struct json *config = check_scope_image(l->in, l->scope, &blind);
    l->blind |= blind;
    JSON_EACH(entry, json_get(config, "Env")) {
        const char *v = json_str_value(entry);
        if (v && !strncmp(v, name, n) && v[n] == '=')
            return v + n + 1;
    }
    return NULL;
}

static const char *look(void *ctx, const char *name) {
    struct check_lookup *l = ctx;
    const char *value = strv_env_get(&l->scope->env, name);
    if (!value)
        value = image_variable(l, name);
    struct strv *list = value ? &l->found : &l->missing;
    strv_add(list, name);
    return value;
}

static struct expand expander(struct check_lookup *l) {
    return (struct expand){.get = look, .ctx = l, .escape = l->in->d->escape};
}

void check_expand(struct check_lookup *l, const char *word, struct str *out) {
    const struct expand x = expander(l);
    err_free(expand_word(&x, word, out));
}

static void expand_flags(struct check_lookup *l, const struct df_instruction *in) {
    static const char *const expanded[] = {"chmod", "chown", "exclude", "mount"};
    for (size_t i = 0; i < in->n_flags; i++)
        for (size_t k = 0; k < ARRAY_LEN(expanded); k++) {
            autostr struct str out = STR_INIT;
            if (str_eq(in->flags[i].name, expanded[k]))
                check_expand(l, in->flags[i].value, &out);
        }
}

static void expand_heredocs(struct check_lookup *l, const struct df_instruction *in) {
    struct expand x = expander(l);
    x.raw_quotes = true;
    for (size_t i = 0; i < in->n_heredocs; i++) {
        autostr struct str out = STR_INIT;
        if (in->heredocs[i].expand)
            err_free(expand_word(&x, in->heredocs[i].data, &out));
    }
}

/* Of an ARG only a default is expanded, and only where it counts. */
static const char *text_of(const struct check_lookup *l, const struct df_instruction *in, const char *arg) {
    const char *eq = strchr(arg, '=');
    autofree char *name = mem_dupn(arg, strcspn(arg, "="));
    if (in->kind != DF_ARG)
        return arg;
    return eq && !check_given(l->in, name) ? eq + 1 : "";
}

void check_expand_all(struct check_lookup *l, const struct df_instruction *in) {
    static const bool words[DF_KIND_COUNT] = {
        [DF_ADD] = true,   [DF_ARG] = true,  [DF_COPY] = true,       [DF_ENV] = true,    [DF_EXPOSE] = true,
        [DF_LABEL] = true, [DF_USER] = true, [DF_STOPSIGNAL] = true, [DF_VOLUME] = true, [DF_WORKDIR] = true,
    };
    for (size_t i = 0; words[in->kind] && i < in->args.n; i++) {
        autostr struct str out = STR_INIT;
        check_expand(l, text_of(l, in, in->args.v[i]), &out);
    }
    expand_flags(l, in);
    if (in->kind == DF_ADD || in->kind == DF_COPY)
        expand_heredocs(l, in);
}

/* ---- what instructions change ---- */

struct applying {
    const struct check_input *in;
    const struct check_scope *global;
    bool defaults;
    struct check_scope *s;
};

static void set(struct check_scope *s, const char *name, const char *value) {
    autofree char *assignment = mem_printf("%s=%s", name, value);
    strv_env_set(&s->env, assignment);
}

static void apply_arg(const struct applying *a, const char *arg) {
    const char *eq = strchr(arg, '=');
    autofree char *name = mem_dupn(arg, strcspn(arg, "="));
    autostr struct str value = STR_INIT;
    autochecklookup l = {.in = a->in, .scope = a->s};
    const char *given = a->defaults ? NULL : check_given(a->in, name);
    strv_push(&a->s->declared, name);
    if (!given && !eq && a->global)
        given = strv_env_get(&a->global->env, name);
    if (!given && !eq)
        return;
    if (!given)
        check_expand(&l, eq + 1, &value);
    set(a->s, name, given ? given : str_c(&value));
}

/* All values are found before the first one is set. */
static void apply_env(const struct applying *a, const struct df_instruction *in) {
    autostrv struct strv new = {.n = 0};
    autochecklookup l = {.in = a->in, .scope = a->s};
    for (size_t i = 0; i < in->args.n; i++) {
        autostr struct str out = STR_INIT;
        check_expand(&l, in->args.v[i], &out);
        if (strchr(str_c(&out), '='))
            strv_push(&new, str_c(&out));
    }
    for (size_t i = 0; i < new.n; i++)
        strv_env_set(&a->s->env, new.v[i]);
}

void check_scope_apply(const struct check_input *in, const struct check_scope *global, bool defaults,
                       const struct df_instruction *instruction, struct check_scope *s) {
    const struct applying a = {in, global, defaults, s};
    for (size_t i = 0; instruction->kind == DF_ARG && i < instruction->args.n; i++)
        apply_arg(&a, instruction->args.v[i]);
    if (instruction->kind == DF_ENV)
        apply_env(&a, instruction);
    if (instruction->kind == DF_CMD)
        s->cmd = instruction;
    if (instruction->kind == DF_ENTRYPOINT)
        s->entrypoint = instruction;
    if (instruction->kind == DF_HEALTHCHECK)
        s->health = instruction;
    s->shell |= instruction->kind == DF_SHELL;
    s->workdir |= instruction->kind == DF_WORKDIR;
}
