/*
 * describe: what a Dockerfile says without building it: its checks, the parameters that a target takes, its targets.
 * Each is BuildKit's "subrequest" of that name: an object for programs, in the form that BuildKit gives it, and the
 * text that buildx makes of it.
 */
#include <string.h>

#include "base/base64.h"
#include "base/path.h"
#include "build/check_int.h"
#include "build/exec_int.h"

/* ---- tables ---- */

/* Rows of cells as Go's tabwriter aligns them: all cells but a row's last are as wide as the widest, and a gap. */
struct table {
    struct strv cells;
    size_t columns, gap;
};

static void row(struct table *t, const char *a, const char *b, const char *c) {
    strv_push(&t->cells, a);
    strv_push(&t->cells, b);
    if (t->columns == 3)
        strv_push(&t->cells, c);
}

static void table_print(struct table *t, struct str *out) {
    size_t width[3] = {0};
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t n = strlen(t->cells.v[i]);
        width[i % t->columns] = n > width[i % t->columns] ? n : width[i % t->columns];
    }
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t column = i % t->columns, n = strlen(t->cells.v[i]);
        str_append_visible(out, t->cells.v[i]);
        if (column + 1 < t->columns)
            str_appendf(out, "%*s", (int)(width[column] + t->gap - n), "");
        else
            str_append_c(out, '\n');
    }
    strv_done(&t->cells);
}

/* ---- what comments say ---- */

/* "# NAME what it is": the latter, borrowed, or "". */
static const char *description_of(const struct df_instruction *in, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < in->comments.n; i++) {
        const char *line = in->comments.v[i];
        if (n && str_starts(line, name) && line[n] == ' ')
            return line + n + 1;
    }
    return "";
}

static void set_unless_empty(struct json *j, const char *key, const char *value) {
    if (*value)
        json_set_str(j, key, value);
}

static void set_sources(const struct exec *x, struct json *j) {
    struct json *sources = json_array();
    autostr struct str data = STR_INIT;
    base64_encode(x->text.ptr, x->text.len, &data);
    json_push_str(sources, str_c(&data));
    json_set(j, "sources", sources);
}

static char *lower(const char *s) {
    char *copy = mem_dup(s);
    for (char *c = copy; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    return copy;
}

/* The stage's name as BuildKit knows it; "" for one that has none. Owned. */
static char *stage_name(const struct df_instruction *from) {
    return from->args.n == 3 ? lower(from->args.v[2]) : mem_dup("");
}

/* ---- targets ---- */

static void one_target(const struct df_instruction *from, bool is_default, struct json *list, struct table *t) {
    struct json *j = json_object();
    autofree char *name = stage_name(from);
    const char *description = description_of(from, name), *platform = df_flag(from, "platform");
    autofree char *shown = mem_printf("%s%s%s", name, *name && is_default ? " " : "", is_default ? "(default)" : "");
    set_unless_empty(j, "name", name);
    if (is_default)
        json_set_bool(j, "default", true);
    set_unless_empty(j, "description", description);
    set_unless_empty(j, "base", from->args.v[0]);
    set_unless_empty(j, "platform", platform ? platform : "");
    json_set(j, "location", exec_location(from->first, from->last));
    json_push(list, j);
    row(t, shown, description, NULL);
}

static void targets(const struct exec *x, struct build_description *ret) {
    struct table t = {.columns = 2, .gap = 2};
    struct json *list = json_array();
    size_t left = 0;
    for (size_t i = 0; i < x->d.n; i++)
        left += x->d.v[i].kind == DF_FROM;
    row(&t, "TARGET", "DESCRIPTION", NULL);
    for (size_t i = 0; i < x->d.n; i++)
        if (x->d.v[i].kind == DF_FROM)
            one_target(&x->d.v[i], --left == 0, list, &t);
    ret->json = json_object();
    json_set(ret->json, "targets", list);
    set_sources(x, ret->json);
    table_print(&t, &ret->text);
}

/* ---- the outline ---- */

struct found {
    unsigned line;
    struct json *j;
};
struct list {
    struct found *v; /* by their lines */
    size_t n;
    struct strv names;
};
struct outline {
    struct exec *x;
    const struct check_input *in;
    struct check_scope global;
    struct list args, secrets, ssh;
};

/* False when the list has one of that name. */
static bool add(struct list *l, const char *name, const struct df_instruction *in, struct json **ret) {
    size_t i = l->n;
    if (strv_has(&l->names, name))
        return false;
    strv_push(&l->names, name);
    *ret = json_object();
    json_set_str(*ret, "name", name);
    json_set(*ret, "location", exec_location(in->first, in->last));
    l->v = mem_resize(l->v, l->n + 1, sizeof *l->v);
    for (; i > 0 && l->v[i - 1].line > in->first; i--)
        l->v[i] = l->v[i - 1];
    l->v[i] = (struct found){in->first, *ret};
    l->n++;
    return true;
}

static void add_arg(struct outline *o, const char *name, const char *value, const struct df_instruction *in) {
    struct json *j;
    if (!add(&o->args, name, in, &j))
        return;
    set_unless_empty(j, "description", description_of(in, name));
    set_unless_empty(j, "value", value ? value : "");
}

/* The ARG before the first FROM that says what a name is, and where in it; NULL: there is none. */
static const struct df_instruction *global_arg(const struct outline *o, const char *name, const char **ret_text) {
    const struct df_instruction *found = NULL;
    const struct dockerfile *d = &o->x->d;
    for (size_t i = 0; i < d->n && d->v[i].kind == DF_ARG; i++)
        for (size_t k = 0; k < d->v[i].args.n; k++)
            if (strlen(name) == strcspn(d->v[i].args.v[k], "=") && str_starts(d->v[i].args.v[k], name)) {
                found = &d->v[i];
                *ret_text = d->v[i].args.v[k];
            }
    return found;
}

/* One that is used, and those that its default is made of. */
static void add_global(struct outline *o, const char *name) {
    const char *text = "";
    const struct df_instruction *in = global_arg(o, name, &text);
    autochecklookup l = {.in = o->in, .scope = &o->global};
    autostr struct str out = STR_INIT;
    if (!in || strv_has(&o->args.names, name))
        return;
    add_arg(o, name, strv_env_get(&o->global.env, name), in);
    if (!strchr(text, '=') || check_given(o->in, name))
        return;
    check_expand(&l, strchr(text, '=') + 1, &out);
    for (size_t i = 0; i < l.found.n; i++)
        add_global(o, l.found.v[i]);
}

static void add_globals_of(struct outline *o, const char *word) {
    autochecklookup l = {.in = o->in, .scope = &o->global};
    autostr struct str out = STR_INIT;
    check_expand(&l, word, &out);
    for (size_t i = 0; i < l.found.n; i++)
        add_global(o, l.found.v[i]);
}

/* One without a value of its own has that of the global scope, and is that one. */
static void add_stage_arg(struct outline *o, const struct check_scope *s, const struct df_instruction *in,
                          const char *arg) {
    autofree char *name = mem_dupn(arg, strcspn(arg, "="));
    if (strchr(arg, '=') || check_given(o->in, name) || !strv_env_get(&o->global.env, name))
        add_arg(o, name, strv_env_get(&s->env, name), in);
    else
        add_global(o, name);
}

struct mount_words {
    const char *type, *id, *target;
    bool required;
};

static void read_mount(const struct strv *fields, struct mount_words *ret) {
    *ret = (struct mount_words){.type = "bind"};
    for (size_t i = 0; i < fields->n; i++) {
        const char *field = fields->v[i], *value = strchr(field, '=');
        value = value ? value + 1 : "true";
        if (str_starts(field, "type="))
            ret->type = value;
        else if (str_starts(field, "id="))
            ret->id = value;
        else if (str_starts(field, "target=") || str_starts(field, "dst=") || str_starts(field, "destination="))
            ret->target = value;
        else if (str_starts(field, "required"))
            ret->required = str_eq(value, "true");
    }
}

static void add_mounts(struct outline *o, const struct df_instruction *in) {
    autostrv struct strv mounts = {.n = 0};
    df_flag_all(in, "mount", &mounts);
    for (size_t i = 0; i < mounts.n; i++) {
        autostrv struct strv fields = {.n = 0};
        struct mount_words m;
        struct json *j;
        strv_split(&fields, mounts.v[i], ',');
        read_mount(&fields, &m);
        bool secret = str_eq(m.type, "secret");
        if (!secret && !str_eq(m.type, "ssh"))
            continue;
        const char *id = m.id ? m.id : secret && m.target ? path_base(m.target) : "default";
        if (add(secret ? &o->secrets : &o->ssh, id, in, &j) && m.required)
            json_set_bool(j, "required", true);
    }
}

/* Goes through a stage with the variables of those that it starts from; `record`: what it takes is taken down. */
static void walk(struct outline *o, size_t index, struct check_scope *s, bool record) {
    const struct plan_stage *p = &o->x->plan.stage[index];
    const char *platform = df_flag(p->from, "platform");
    if (p->base_stage != PLAN_NONE)
        walk(o, p->base_stage, s, false);
    if (record) {
        add_globals_of(o, p->from->args.v[0]);
        add_globals_of(o, platform ? platform : "");
    }
    for (size_t i = 0; i < p->n; i++) {
        const struct df_instruction *in = &p->first[i];
        check_scope_apply(o->in, &o->global, false, in, s);
        for (size_t k = 0; record && in->kind == DF_ARG && k < in->args.n; k++)
            add_stage_arg(o, s, in, in->args.v[k]);
        if (record && in->kind == DF_RUN)
            add_mounts(o, in);
    }
}

static void hand_list(struct list *l, struct json *j, const char *key) {
    struct json *array = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_push(array, l->v[i].j);
    if (l->n)
        json_set(j, key, array);
    else
        json_free(array);
    free(l->v);
    strv_done(&l->names);
}

static void list_text(const struct json *j, const char *key, const char *title, struct str *out) {
    struct table t = {.columns = str_eq(key, "args") ? 3 : 2, .gap = 3};
    const struct json *list = json_get(j, key);
    if (!list)
        return;
    row(&t, title, t.columns == 3 ? "VALUE" : "REQUIRED", "DESCRIPTION");
    JSON_EACH(one, list)
    row(&t, json_text(one, "name"),
        t.columns == 3 ? json_text(one, "value") : (json_get(one, "required") ? "true" : ""),
        json_text(one, "description"));
    table_print(&t, out);
    str_append_c(out, '\n');
}

static void outline_text(const struct json *j, struct str *out) {
    struct table t = {.columns = 2, .gap = 1};
    const char *name = json_text(j, "name"), *description = json_text(j, "description");
    if (*name || *description) {
        row(&t, "TARGET:", name, NULL);
        if (*description)
            row(&t, "DESCRIPTION:", description, NULL);
        table_print(&t, out);
        str_append_c(out, '\n');
    }
    list_text(j, "args", "BUILD ARG", out);
    list_text(j, "secrets", "SECRET", out);
    list_text(j, "ssh", "SSH", out);
}

static void take_down(struct outline *o, size_t index) {
    struct check_scope s = {.from = o->x->plan.stage[index].from};
    walk(o, index, &s, true);
    check_scope_done(&s);
}

static struct err *outline(struct exec *x, struct build_description *ret) {
    autostrv struct strv given = {.n = 0}, predefined = {.n = 0};
    const struct check_input in = {.d = &x->d, .predefined = &predefined, .given = &given};
    struct outline o = {.x = x, .in = &in};
    const struct df_instruction *from = x->plan.stage[x->plan.target].from;
    autofree char *name = stage_name(from);
    exec_given_args(x, &given);
    TRY(exec_predefined(x, &predefined));
    strv_extend(&o.global.env, &predefined);
    for (size_t i = 0; i < x->d.n && x->d.v[i].kind == DF_ARG; i++)
        check_scope_apply(&in, NULL, false, &x->d.v[i], &o.global);
    take_down(&o, x->plan.target);
    for (size_t i = x->plan.n; i-- > 0;)
        if (x->plan.stage[i].needed && i != x->plan.target)
            take_down(&o, i);
    ret->json = json_object();
    set_unless_empty(ret->json, "name", name);
    set_unless_empty(ret->json, "description", description_of(from, name));
    hand_list(&o.args, ret->json, "args");
    hand_list(&o.secrets, ret->json, "secrets");
    hand_list(&o.ssh, ret->json, "ssh");
    set_sources(x, ret->json);
    outline_text(ret->json, &ret->text);
    check_scope_done(&o.global);
    return NULL;
}

/* ---- all of them ---- */

/* Without a target all stages are looked into, also those that a build would leave out. */
static struct err *check(struct exec *x, struct build_description *ret) {
    autocheckwarnings w = {.n = 0};
    struct err *e = exec_check(x, x->o->target && x->plan.n ? &x->plan : NULL, &w);
    ret->json = exec_check_json(x, &w);
    ret->found = w.n > 0;
    exec_check_text(x, &w, &ret->text);
    return e;
}

struct description {
    enum build_call call;
    struct build_description *ret;
};

/* What is wrong only when it comes to building is no matter for the list of targets, and comes after warnings. */
static struct err *describe(struct exec *x, void *ctx) {
    const struct description *d = ctx;
    struct err *e = exec_load(x);
    struct df_fault fault = x->fault;
    if (!x->d.n)
        return e;
    if (d->call == BUILD_CALL_TARGETS) {
        err_free(e);
        targets(x, d->ret);
        return NULL;
    }
    if (d->call == BUILD_CALL_OUTLINE)
        return e ? e : outline(x, d->ret);
    struct err *violation = check(x, d->ret);
    if (!e)
        return violation;
    err_free(violation);
    x->fault = fault;
    if (!d->ret->found)
        str_clear(&d->ret->text);
    return e;
}

struct err *build_describe(const struct build_options *o, enum build_call call, struct build_description *ret,
                           struct str *excerpt) {
    struct description d = {call, ret};
    *ret = (struct build_description){.json = NULL};
    return exec_do(o, describe, &d, excerpt);
}

void build_description_done(struct build_description *d) {
    json_free(d->json);
    str_done(&d->text);
}
