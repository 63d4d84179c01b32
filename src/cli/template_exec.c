/* template_exec: walks the tree over a JSON value. Steps and output are bounded; and/or stop at the first value that
 * decides. */
#include "cli/template_int.h"

#include <string.h>

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
    long steps;
    enum flow flow;
};

const struct json *template_keep(struct template_pool *pool, struct json *take_value) {
    if (pool->n == pool->cap) {
        pool->cap = pool->cap ? pool->cap * 2 : 16;
        pool->owned = mem_resize(pool->owned, pool->cap, sizeof *pool->owned);
    }
    pool->owned[pool->n++] = take_value;
    return take_value;
}

bool template_hidden(const struct json *member) {
    const char *key = json_key(member);
    return key && str_starts(key, "__");
}

static struct err *exec_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct err *exec_err(const char *fmt, ...) {
    autostr struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_append_v(&s, fmt, ap);
    va_end(ap);
    return err_new(ERR_USAGE, "template: :1: executing \"\": %s", str_c(&s));
}

static struct err *count_step(struct exec *x) {
    if (++x->steps > TEMPLATE_STEPS_MAX || x->out->len > TEMPLATE_OUTPUT_MAX)
        return err_new(ERR_USAGE, "template: it produces too much output or takes too long");
    return NULL;
}

/* ---- values ---- */

static struct err *eval_pipeline(struct exec *x, const struct pipeline *p, const struct json *dot,
                                 const struct json **ret);

static struct err *follow(const struct strv *chain, const struct json *v, const struct json **ret) {
    for (size_t i = 0; i < chain->n; i++) {
        if (v && json_type(v) != JSON_OBJECT && json_type(v) != JSON_NULL)
            return exec_err("can't evaluate field %s in a value that is not an object", chain->v[i]);
        if (!v || json_type(v) == JSON_NULL) {
            if (i > 0)
                return exec_err("nil pointer evaluating interface {}.%s", chain->v[i]);
        }
        v = str_starts(chain->v[i], "__") ? NULL : json_get(v, chain->v[i]);
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
    return exec_err("undefined variable: $%s", name);
}

static struct err *set_variable(struct exec *x, const char *name, const struct json *value, bool assign) {
    for (size_t i = x->n_vars; assign && i > 0; i--) {
        if (!strcmp(x->vars[i - 1].name, name)) {
            x->vars[i - 1].value = value;
            return NULL;
        }
    }
    if (x->n_vars == ARRAY_LEN(x->vars))
        return exec_err("too many variables");
    x->vars[x->n_vars++] = (struct variable){name, value};
    return NULL;
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
        struct template_call call = {.pool = &x->pool, .name = o->name};
        TRY(template_call(&call, &v));
        break;
    }
    }
    return follow(&o->chain, v, ret);
}

/* ---- commands and pipelines ---- */

/* and: the first false value or the last; or: the first true one or the last. */
static struct err *eval_logic(struct exec *x, const struct command *c, const struct json *dot, const struct json **last,
                              const struct json **ret) {
    bool wanted = !strcmp(c->args[0].name, "or");
    const struct json *v = NULL;
    if (c->n == 1 && !last)
        return exec_err("wrong number of args for %s: want at least 1 got 0", c->args[0].name);
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
    struct template_call call = {.pool = &x->pool, .name = c->args[0].name};
    for (size_t i = 1; i < c->n; i++)
        TRY(eval_operand(x, &c->args[i], dot, &call.args[call.n++]));
    if (last)
        call.args[call.n++] = *last;
    const struct json *v = NULL;
    TRY(template_call(&call, &v));
    return follow(&c->args[0].chain, v, ret);
}

/* `.Label "key"`: the one method that docker's rows have. */
static struct err *eval_label(struct exec *x, const struct command *c, const struct json *dot, const struct json **last,
                              const struct json **ret) {
    const struct json *key = last ? *last : NULL;
    const struct operand *o = &c->args[0];
    const struct json *labels = json_get(dot, "__labels");
    bool is_label =
        o->kind == OP_DOT && o->chain.n == 1 && !strcmp(o->chain.v[0], "Label") && c->n + (last != NULL) == 2;
    if (!is_label || (!labels && !json_get(dot, "Labels")))
        return exec_err("can't give argument to non-function %s%s", o->chain.n ? "." : "",
                        o->chain.n ? o->chain.v[o->chain.n - 1] : "value");
    if (!last)
        TRY(eval_operand(x, &c->args[1], dot, &key));
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

/* ---- nodes
 * ---------------------------------------------------------------------------------------------------------------------
 */

static struct err *run_list(struct exec *x, const struct node_list *l, const struct json *dot);

static struct err *run_action(struct exec *x, const struct pipeline *p, const struct json *dot) {
    const struct json *v = NULL;
    TRY(eval_pipeline(x, p, dot, &v));
    if (p->n_declares)
        return set_variable(x, p->declares[0], v, p->assigns);
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

static int by_key(const void *a, const void *b) {
    return strcmp(json_key(*(const struct json *const *)a), json_key(*(const struct json *const *)b));
}

/* The members to range over: arrays in order, objects by key, a number counts up to itself. Owned array. */
static const struct json **rounds_of(struct exec *x, const struct json *v, size_t *ret_n) {
    bool counts = json_type(v) == JSON_NUMBER;
    int64_t upto = counts ? json_int_value(v, 0) : 0;
    size_t cap = counts ? (size_t)(upto < 0 ? 0 : upto > 100000 ? 100000 : upto) : json_count(v), n = 0;
    const struct json **items = mem_array(cap + 1, sizeof *items);
    for (size_t i = 0; counts && i < cap; i++)
        items[n++] = template_keep(&x->pool, json_int((int64_t)i));
    JSON_EACH(m, counts ? NULL : v)
    if (!template_hidden(m))
        items[n++] = m;
    if (json_type(v) == JSON_OBJECT)
        qsort(items, n, sizeof *items, by_key);
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
        return exec_err("range can't iterate over %s", json_str_value(v) ? json_str_value(v) : "a boolean");
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

struct err *template_execute(const struct template *t, const struct json *data, struct str *out) {
    struct exec x = {.out = out, .root = data};
    struct err *e = run_list(&x, &t->root, data);
    for (size_t i = 0; i < x.pool.n; i++)
        json_free(x.pool.owned[i]);
    free(x.pool.owned);
    return e;
}
