/* template_exec: walks the tree over a JSON value. Steps and output are bounded; and/or stop at the first value that
 * decides. */
#include "cli/template_int.h"

#include <string.h>
#include <strings.h>

struct variable {
    const char *name;
    const struct json *value;
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct exec {
    struct str *out;
    const struct json *root;
    struct template_pool pool;
    struct variable vars[64];
    size_t n_vars;
    const struct template_at *at; /* what is being executed, for errors */
    int flags;
    long steps;
    enum flow flow;
};

const struct json *template_keep(struct template_pool *pool, struct json *take_value) {
    if (pool->n == pool->cap) {
        pool->cap = pool->cap ? pool->cap * 2 : 16;
        pool->owned = mem_resize(pool->owned, pool->cap, sizeof *pool->owned);
    }
    pool->owned[pool->n++] = take_value;
    pool->bytes += json_str_value(take_value) ? strlen(json_str_value(take_value)) : 0;
    return take_value;
}

bool template_hidden(const struct json *member) {
    const char *key = json_key(member);
    return key && str_starts(key, "__");
}

static struct err *exec_err(const struct exec *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static struct err *exec_err(const struct exec *x, const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    const char *prefix = x->flags & TEMPLATE_ROW ? "failed to execute template" : "template parsing error";
    if (!x->at || !x->at->source)
        return err_new(ERR_USAGE, "%s: template: :1: executing \"\": %s", prefix, str_c(&s));
    return err_new(ERR_USAGE, "%s: template: :%d:%zu: executing \"\" at <%s>: %s", prefix, x->at->line, x->at->column,
                   x->at->source, str_c(&s));
}

static struct err *count_step(struct exec *x) {
    if (++x->steps > TEMPLATE_STEPS_MAX || x->out->len > TEMPLATE_OUTPUT_MAX || x->pool.bytes > TEMPLATE_OUTPUT_MAX)
        return err_new(ERR_USAGE, "template: it produces too much output or takes too long");
    return NULL;
}

/* ---- values ---- */

static struct err *eval_pipeline(struct exec *x, const struct pipeline *p, const struct json *dot,
                                 const struct json **ret);

/* A key that an object does not have; `last` when nothing follows it in the chain. */
static struct err *missing(struct exec *x, const struct json *object, const char *key, bool last,
                           const struct json **ret) {
    *ret = NULL;
    if (x->flags & TEMPLATE_ROW)
        return exec_err(x, "can't evaluate field %s in a row", key);
    if (!(x->flags & TEMPLATE_INSPECT) || template_is_map(json_key(object)))
        return NULL;
    if (last && template_zero(&x->pool, json_key(object), key, ret))
        return NULL;
    return exec_err(x, "map has no entry for key \"%s\"", key);
}

/* OCI's members are called as Go's, but for the case of letters. */
static const struct json *folded(const struct json *v, const char *key) {
    JSON_EACH(member, v)
    if (!strcasecmp(json_key(member), key))
        return member;
    return NULL;
}

static struct err *field_of(struct exec *x, const struct json *v, const struct strv *chain, size_t i,
                            const struct json **ret) {
    const char *key = chain->v[i];
    if (v && json_type(v) != JSON_OBJECT && json_type(v) != JSON_NULL)
        return exec_err(x, "can't evaluate field %s in type %s", key,
                        x->flags & TEMPLATE_ROW ? template_type_name(v) : "interface {}");
    if (!v || json_type(v) == JSON_NULL)
        return i > 0 ? exec_err(x, "nil pointer evaluating interface {}.%s", key) : missing(x, v, key, false, ret);
    const struct json *member = str_starts(key, "__") ? NULL : json_get(v, key);
    if (!member && x->flags & TEMPLATE_INSPECT)
        member = json_get(v, template_json_name(key));
    if (!member && x->flags & TEMPLATE_OCI)
        member = folded(v, key);
    if (!member)
        return missing(x, v, key, i + 1 == chain->n, ret);
    *ret = member;
    return NULL;
}

static struct err *follow(struct exec *x, const struct operand *o, const struct json *v, const struct json **ret) {
    for (size_t i = 0; i < o->chain.n; i++) {
        x->at = &o->at;
        TRY(field_of(x, v, &o->chain, i, &v));
    }
    *ret = v;
    return NULL;
}

static struct err *variable_of(const struct exec *x, const char *name, const struct json **ret) {
    if (!*name) {
        *ret = x->root;
        return NULL;
    }
    for (size_t i = x->n_vars; i > 0; i--) {
        if (!strcmp(x->vars[i - 1].name, name)) {
            *ret = x->vars[i - 1].value;
            return NULL;
        }
    }
    return exec_err(x, "undefined variable: $%s", name);
}

static struct err *set_variable(struct exec *x, const char *name, const struct json *value, bool assign) {
    for (size_t i = x->n_vars; assign && i > 0; i--) {
        if (!strcmp(x->vars[i - 1].name, name)) {
            x->vars[i - 1].value = value;
            return NULL;
        }
    }
    if (assign)
        return exec_err(x, "undefined variable: $%s", name);
    if (x->n_vars == ARRAY_LEN(x->vars))
        return exec_err(x, "too many variables");
    x->vars[x->n_vars++] = (struct variable){name, value};
    return NULL;
}

/* Calls it, and tells where its error happened: wrong numbers of arguments at its name, others at the whole call. */
static struct err *call_function(struct exec *x, struct template_call *call, const struct template_at *name,
                                 const struct template_at *whole, const struct json **ret) {
    bool arity = false;
    autoerr e = template_call(call, ret, &arity);
    if (!e)
        return NULL;
    autostr struct str s = STR_INIT;
    err_format(e, &s);
    x->at = arity ? name : whole;
    return exec_err(x, "%s", str_c(&s));
}

static struct err *eval_operand(struct exec *x, const struct operand *o, const struct json *dot,
                                const struct json **ret) {
    const struct json *v = NULL;
    switch (o->kind) {
    case OP_DOT:
        v = dot;
        break;
    case OP_VARIABLE:
        TRY(variable_of(x, o->name, &v));
        break;
    case OP_LITERAL:
        v = o->literal;
        break;
    case OP_PIPELINE:
        TRY(eval_pipeline(x, o->sub, dot, &v));
        break;
    case OP_FUNCTION: {
        struct template_call call = {.pool = &x->pool, .name = o->name, .header = x->flags & TEMPLATE_HEADER};
        TRY(call_function(x, &call, &o->at, &o->at, &v));
        break;
    }
    }
    return follow(x, o, v, ret);
}

/* ---- commands and pipelines ---- */

/* and: the first false value or the last; or: the first true one or the last. */
static struct err *eval_logic(struct exec *x, const struct command *c, const struct json *dot, const struct json **last,
                              const struct json **ret) {
    bool wanted = !strcmp(c->args[0].name, "or");
    const struct json *v = NULL;
    x->at = &c->args[0].at;
    if (c->n == 1 && !last)
        return exec_err(x, "wrong number of args for %s: want at least 1 got 0", c->args[0].name);
    for (size_t i = 1; i < c->n; i++) {
        TRY(eval_operand(x, &c->args[i], dot, &v));
        if (template_truth(v) == wanted) {
            *ret = v;
            return NULL;
        }
    }
    *ret = last ? *last : v;
    return NULL;
}

static struct err *eval_function(struct exec *x, const struct command *c, const struct json *dot,
                                 const struct json **last, const struct json **ret) {
    struct template_call call = {.pool = &x->pool, .name = c->args[0].name, .header = x->flags & TEMPLATE_HEADER};
    for (size_t i = 1; i < c->n; i++)
        TRY(eval_operand(x, &c->args[i], dot, &call.args[call.n++]));
    if (last)
        call.args[call.n++] = *last;
    const struct json *v = NULL;
    TRY(call_function(x, &call, &c->args[0].at, &c->at, &v));
    return follow(x, &c->args[0], v, ret);
}

/* `.Label "key"`: the one method that docker's rows have. */
static struct err *eval_label(struct exec *x, const struct command *c, const struct json *dot, const struct json **last,
                              const struct json **ret) {
    const struct json *key = last ? *last : NULL;
    const struct operand *o = &c->args[0];
    const struct json *labels = json_get(dot, "__labels");
    bool is_label =
        o->kind == OP_DOT && o->chain.n == 1 && !strcmp(o->chain.v[0], "Label") && c->n + (last != NULL) == 2;
    x->at = &o->at;
    if (!is_label || (!labels && !json_get(dot, "Labels") && !(x->flags & TEMPLATE_HEADER))) {
        const char *name = o->chain.n ? o->chain.v[o->chain.n - 1] : NULL;
        return name ? exec_err(x, "%s is not a method but has arguments", name)
                    : exec_err(x, "can't give argument to non-function %s", o->at.source);
    }
    if (!last)
        TRY(eval_operand(x, &c->args[1], dot, &key));
    if (x->flags & TEMPLATE_HEADER) {
        *ret = key;
        return NULL;
    }
    const char *name = json_str_value(key);
    const struct json *value = name ? json_get(labels, name) : NULL;
    *ret = value ? value : template_keep(&x->pool, json_string(""));
    return NULL;
}

static struct err *eval_command(struct exec *x, const struct command *c, const struct json *dot,
                                const struct json **last, const struct json **ret) {
    TRY(count_step(x));
    const struct operand *head = &c->args[0];
    if (head->kind == OP_FUNCTION && (!strcmp(head->name, "and") || !strcmp(head->name, "or")))
        return eval_logic(x, c, dot, last, ret);
    if (head->kind == OP_FUNCTION)
        return eval_function(x, c, dot, last, ret);
    if (c->n > 1 || last)
        return eval_label(x, c, dot, last, ret);
    x->at = &head->at;
    if (head->kind == OP_LITERAL && json_type(head->literal) == JSON_NULL)
        return exec_err(x, "nil is not a command");
    return eval_operand(x, head, dot, ret);
}

static struct err *eval_pipeline(struct exec *x, const struct pipeline *p, const struct json *dot,
                                 const struct json **ret) {
    const struct json *v = NULL;
    for (size_t i = 0; i < p->n; i++)
        TRY(eval_command(x, &p->commands[i], dot, i ? &v : NULL, &v));
    *ret = v;
    return NULL;
}

/* ---- nodes ---- */

static struct err *run_list(struct exec *x, const struct node_list *l, const struct json *dot);

static struct err *run_action(struct exec *x, const struct pipeline *p, const struct json *dot) {
    const struct json *v = NULL;
    TRY(eval_pipeline(x, p, dot, &v));
    if (p->n_declares)
        return set_variable(x, p->declares[0], v, p->assigns);
    if (v && json_type(v) == JSON_NULL && x->flags & TEMPLATE_INSPECT)
        str_append(x->out, template_null_text(json_key(v)));
    else
        template_print(v, x->out);
    return NULL;
}

static struct err *run_branch(struct exec *x, const struct node *n, const struct json *dot) {
    size_t scope = x->n_vars;
    const struct json *v = NULL;
    TRY(eval_pipeline(x, n->pipe, dot, &v));
    if (n->pipe->n_declares)
        TRY(set_variable(x, n->pipe->declares[0], v, n->pipe->assigns));
    bool truth = template_truth(v);
    TRY(run_list(x, truth ? &n->body : &n->otherwise, truth && n->kind == NODE_WITH ? v : dot));
    x->n_vars = scope;
    return NULL;
}

static struct err *run_round(struct exec *x, const struct node *n, const struct json *key, const struct json *value) {
    size_t scope = x->n_vars;
    const struct pipeline *p = n->pipe;
    TRY(count_step(x));
    if (p->n_declares == 1)
        TRY(set_variable(x, p->declares[0], value, p->assigns));
    if (p->n_declares == 2) {
        TRY(set_variable(x, p->declares[0], key, p->assigns));
        TRY(set_variable(x, p->declares[1], value, p->assigns));
    }
    TRY(run_list(x, &n->body, value));
    x->n_vars = scope;
    return NULL;
}

/* The members to range over: arrays in order, objects by key, a number counts up to itself. Owned array. */
static const struct json **rounds_of(struct exec *x, const struct json *v, size_t *ret_n) {
    if (json_type(v) != JSON_NUMBER)
        return template_items(v, ret_n);
    int64_t upto = json_int_value(v, 0);
    size_t n = upto < 0 ? 0 : upto > TEMPLATE_STEPS_MAX ? TEMPLATE_STEPS_MAX : (size_t)upto;
    const struct json **items = mem_array(n + 1, sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i] = template_keep(&x->pool, json_int((int64_t)i));
    *ret_n = n;
    return items;
}

static struct err *run_rounds(struct exec *x, const struct node *n, const struct json *v, const struct json **items,
                              size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct json *key = json_type(v) == JSON_OBJECT ? template_keep(&x->pool, json_string(json_key(items[i])))
                                                             : template_keep(&x->pool, json_int((int64_t)i));
        TRY(run_round(x, n, key, items[i]));
        enum flow flow = x->flow;
        x->flow = FLOW_ON;
        if (flow == FLOW_BREAK)
            break;
    }
    return NULL;
}

static struct err *run_range(struct exec *x, const struct node *n, const struct json *dot) {
    const struct json *v = NULL;
    TRY(eval_pipeline(x, n->pipe, dot, &v));
    if (v && json_type(v) != JSON_ARRAY && json_type(v) != JSON_OBJECT && json_type(v) != JSON_NUMBER &&
        json_type(v) != JSON_NULL)
        return exec_err(x, "range can't iterate over %s",
                        json_str_value(v)           ? json_str_value(v)
                        : json_bool_value(v, false) ? "true"
                                                    : "false");
    if (!v || json_type(v) == JSON_NULL)
        return run_list(x, &n->otherwise, dot);
    size_t count = 0, scope = x->n_vars;
    const struct json **items = rounds_of(x, v, &count);
    struct err *e = count ? run_rounds(x, n, v, items, count) : run_list(x, &n->otherwise, dot);
    free(items);
    x->n_vars = scope;
    return e;
}

static struct err *run_node(struct exec *x, const struct node *n, const struct json *dot) {
    TRY(count_step(x));
    switch (n->kind) {
    case NODE_TEXT:
        str_append(x->out, n->text);
        break;
    case NODE_ACTION:
        return run_action(x, n->pipe, dot);
    case NODE_IF:
    case NODE_WITH:
        return run_branch(x, n, dot);
    case NODE_RANGE:
        return run_range(x, n, dot);
    case NODE_BREAK:
        x->flow = FLOW_BREAK;
        break;
    case NODE_CONTINUE:
        x->flow = FLOW_CONTINUE;
        break;
    }
    return NULL;
}

static struct err *run_list(struct exec *x, const struct node_list *l, const struct json *dot) {
    for (size_t i = 0; i < l->n && x->flow == FLOW_ON; i++)
        TRY(run_node(x, &l->nodes[i], dot));
    return NULL;
}

struct err *template_execute_with(const struct template *t, const struct json *data, int flags, struct str *out) {
    struct exec x = {.out = out, .root = data, .flags = flags};
    struct err *e = run_list(&x, &t->root, data);
    for (size_t i = 0; i < x.pool.n; i++)
        json_free(x.pool.owned[i]);
    free(x.pool.owned);
    return e;
}

struct err *template_execute(const struct template *t, const struct json *data, struct str *out) {
    return template_execute_with(t, data, 0, out);
}
