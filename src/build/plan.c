/* plan: see plan_int.h. */
#include "build/plan_int.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "build/expand_int.h"

bool plan_is_step(enum df_kind kind) {
    return kind == DF_RUN || kind == DF_COPY || kind == DF_ADD || kind == DF_WORKDIR;
}

size_t plan_find(const struct plan *p, const char *name, size_t before) {
    uint64_t n = 0;
    for (size_t i = before; i-- > 0;)
        if (p->stage[i].named && !strcasecmp(p->stage[i].name, name))
            return i;
    return str_to_u64(name, 10, SIZE_MAX, &n) && n < before ? (size_t)n : PLAN_NONE;
}

/* The length of a name without ":latest". */
static size_t bare_len(const char *name, size_t n) {
    static const char latest[] = ":latest";
    size_t l = sizeof latest - 1;
    return n > l && !strncmp(name + n - l, latest, l) ? n - l : n;
}

const char *plan_context(const struct strv *contexts, const char *name) {
    size_t n = bare_len(name, strlen(name));
    for (size_t i = 0; i < contexts->n; i++) {
        const char *text = contexts->v[i];
        size_t end = strcspn(text, "=");
        if (text[end] && bare_len(text, end) == n && !strncasecmp(text, name, n))
            return text + end + 1;
    }
    return NULL;
}

static struct err *expanded(const struct expand *x, const char *text, char **ret) {
    autostr struct str out = STR_INIT;
    TRY(expand_word(x, text, &out));
    *ret = str_take(&out);
    return NULL;
}

static struct err *add_stage(struct plan *p, const struct df_instruction *in, const struct expand *global) {
    autofree char *base = NULL;
    autofree char *platform = NULL;
    const char *typed = df_flag(in, "platform");
    TRY(expanded(global, in->args.v[0], &base));
    if (typed)
        TRY(expanded(global, typed, &platform));
    if (!*base)
        return err_new(ERR_USAGE, "base name (%s) should not be blank", in->args.v[0]);
    bool named = in->args.n == 3;
    p->stage = mem_resize(p->stage, p->n + 1, sizeof *p->stage);
    p->stage[p->n] = (struct plan_stage){.from = in,
                                         .first = in + 1,
                                         .name = named ? mem_dup(in->args.v[2]) : mem_printf("stage-%zu", p->n),
                                         .named = named,
                                         .base_stage = PLAN_NONE,
                                         .steps = 1};
    for (size_t i = plan_context(p->contexts, base) ? 0 : p->n; i-- > 0;)
        if (p->stage[i].named && !strcasecmp(p->stage[i].name, base) && p->stage[p->n].base_stage == PLAN_NONE)
            p->stage[p->n].base_stage = i;
    p->stage[p->n].base = take_ptr(&base);
    p->stage[p->n].platform = platform && *platform ? take_ptr(&platform) : NULL;
    p->n++;
    return NULL;
}

/* A value of "type=bind,from=x,target=/y", appended. */
static void mount_from(const char *spec, struct strv *out) {
    autostrv struct strv fields = {.n = 0};
    strv_split(&fields, spec, ',');
    for (size_t i = 0; i < fields.n; i++)
        if (str_starts(fields.v[i], "from="))
            strv_push(out, fields.v[i] + strlen("from="));
}

static void take_from(struct plan_stage *s, size_t other) {
    for (size_t i = 0; i < s->n_from; i++)
        if (s->from_stages[i] == other)
            return;
    s->from_stages = mem_resize(s->from_stages, s->n_from + 1, sizeof *s->from_stages);
    s->from_stages[s->n_from++] = other;
}

static void need(struct plan *p, size_t index) {
    struct plan_stage *s = &p->stage[index];
    if (s->needed)
        return;
    s->needed = true;
    if (s->base_stage != PLAN_NONE)
        take_from(s, s->base_stage);
    for (size_t i = 0; i < s->n; i++) {
        autostrv struct strv from = {.n = 0}, mounts = {.n = 0};
        df_flag_all(&s->first[i], "from", &from);
        df_flag_all(&s->first[i], "mount", &mounts);
        for (size_t m = 0; m < mounts.n; m++)
            mount_from(mounts.v[m], &from);
        for (size_t f = 0; f < from.n; f++) {
            size_t other = plan_context(p->contexts, from.v[f]) ? PLAN_NONE : plan_find(p, from.v[f], index);
            if (other != PLAN_NONE)
                take_from(s, other);
        }
    }
    for (size_t i = 0; i < s->n_from; i++)
        need(p, s->from_stages[i]);
}

static struct err *choose_target(struct plan *p, const char *target) {
    if (!p->n)
        return err_new(ERR_USAGE, "dockerfile contains no stages to build");
    p->target = p->n - 1;
    if (target && *target) {
        p->target = plan_find(p, target, p->n);
        if (p->target == PLAN_NONE)
            return err_new(ERR_USAGE, "target stage \"%s\" could not be found", target);
    }
    need(p, p->target);
    return NULL;
}

struct err *plan_make(const struct dockerfile *d, const struct expand *global, const struct plan_wish *wish,
                      struct plan *ret, struct df_fault *fault) {
    struct plan p = {.contexts = wish->contexts};
    struct err *e = NULL;
    for (size_t i = 0; !e && i < d->n; i++) {
        const struct df_instruction *in = &d->v[i];
        *fault = (struct df_fault){in->first, in->last};
        if (in->kind == DF_FROM) {
            e = add_stage(&p, in, global);
        } else if (p.n) {
            p.stage[p.n - 1].n++;
            p.stage[p.n - 1].steps += plan_is_step(in->kind);
        }
    }
    if (!e) {
        *fault = (struct df_fault){0, 0};
        e = choose_target(&p, wish->target);
    }
    if (e) {
        plan_done(&p);
        return e;
    }
    *ret = p;
    return NULL;
}

void plan_done(struct plan *p) {
    for (size_t i = 0; i < p->n; i++) {
        free(p->stage[i].base);
        free(p->stage[i].platform);
        free(p->stage[i].name);
        free(p->stage[i].from_stages);
    }
    free(p->stage);
    *p = (struct plan){.n = 0};
}
