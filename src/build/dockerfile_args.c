/* dockerfile_args: each instruction's own grammar, and what can be wrong with it before anything runs. */
#include "build/dockerfile_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

/* How words are found, and how many there must be. */
enum shape {
    SHAPE_COMMAND, /* a JSON array, or one text for a shell */
    SHAPE_LIST,    /* a JSON array, or words between blanks */
    SHAPE_WORDS,   /* words between blanks */
    SHAPE_PAIRS,   /* NAME=VALUE…, or the old "NAME the rest" */
    SHAPE_NAMES,   /* NAME or NAME=VALUE… */
    SHAPE_ONE,     /* one text */
    SHAPE_OWN,     /* its check finds them */
};

struct grammar {
    const char *name;
    enum shape shape;
    size_t least;
    struct err *(*check)(struct df_instruction *in, char escape);
};

/* ---- checks ---- */

static struct err *check_copy(struct df_instruction *in, char escape) {
    (void)escape;
    const char *name = df_kind_name(in->kind);
    struct df_heredoc h;
    bool chomp;
    if (in->args.n < 2)
        return err_new(ERR_USAGE,
                       "%s requires at least two arguments, but only one was provided. Destination could not be "
                       "determined",
                       name);
    if (in->json || !df_heredoc_word(in->args.v[in->args.n - 1], &h, &chomp))
        return NULL;
    free(h.name);
    return err_new(ERR_USAGE, "%s cannot accept a heredoc as a destination", name);
}

static struct err *check_names(struct df_instruction *in, char escape) {
    (void)escape;
    for (size_t i = 0; i < in->args.n; i++)
        if (in->args.v[i][0] == '=')
            return err_new(ERR_USAGE, "%s names can not be blank", df_kind_name(in->kind));
    return NULL;
}

static bool stage_name_ok(const char *s) {
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')))
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("-_.", *s)))
            return false;
    return true;
}

static struct err *check_from(struct df_instruction *in, char escape) {
    (void)escape;
    if (in->args.n != 1 && (in->args.n != 3 || strcasecmp(in->args.v[1], "as") != 0))
        return err_new(ERR_USAGE, "FROM requires either one or three arguments");
    if (in->args.n == 3 && !stage_name_ok(in->args.v[2]))
        return err_new(ERR_USAGE,
                       "invalid name for build stage: \"%s\", name can't start with a number or contain symbols",
                       in->args.v[2]);
    return NULL;
}

static struct err *check_shell(struct df_instruction *in, char escape) {
    (void)escape;
    return in->json ? NULL : err_new(ERR_USAGE, "SHELL requires the arguments to be in JSON form");
}

static struct err *check_volume(struct df_instruction *in, char escape) {
    (void)escape;
    for (size_t i = 0; i < in->args.n; i++)
        if (!in->args.v[i][strspn(in->args.v[i], " \t\r\n\v\f")])
            return err_new(ERR_USAGE, "VOLUME specified can not be an empty string");
    return NULL;
}

static struct err *check_durations(const struct df_instruction *in) {
    static const char *const names[] = {"interval", "timeout", "start-period", "start-interval"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *text = df_flag(in, names[i]);
        int64_t ns = 0;
        if (!text || !*text)
            continue;
        TRY(clock_parse_duration(text, &ns));
        if (ns != 0 && ns < 1000000)
            return err_new(ERR_USAGE, "Interval \"%s\" cannot be less than 1ms", names[i]);
    }
    const char *retries = df_flag(in, "retries");
    int64_t n = 0;
    if (retries && *retries == '-')
        return err_new(ERR_USAGE, "--retries cannot be negative (%s)", retries);
    if (retries && *retries && !str_to_i64(retries, 0, INT32_MAX, &n))
        return err_new(ERR_USAGE, "--retries: \"%s\" is not a number", retries);
    return NULL;
}

/* NONE, or CMD and a command in one of the two forms. */
static struct err *check_health(struct df_instruction *in, char escape) {
    (void)escape;
    size_t n = 0;
    while (in->rest[n] && !df_blank(in->rest[n]))
        n++;
    autofree char *type = mem_dupn(in->rest, n);
    const char *command = in->rest + n;
    while (df_blank(*command))
        command++;
    if (!*type)
        return err_new(ERR_USAGE, "HEALTHCHECK requires at least one argument");
    if (!strcasecmp(type, "NONE")) {
        strv_push(&in->args, "NONE");
        return *command ? err_new(ERR_USAGE, "HEALTHCHECK NONE takes no arguments") : NULL;
    }
    if (strcasecmp(type, "CMD") != 0)
        return err_new(ERR_USAGE, "unknown type \"%s\" in HEALTHCHECK (try CMD)", type);
    strv_push(&in->args, "CMD");
    TRY(df_json_words(command, &in->args, &in->json));
    if (!in->json && *command)
        strv_push(&in->args, command);
    if (in->args.n == 1)
        return err_new(ERR_USAGE, "missing command after HEALTHCHECK CMD");
    return check_durations(in);
}

/* A trigger is one line of an image's config. */
static struct err *no_heredoc(const struct df_instruction *in, const char *text) {
    bool may = (in->kind == DF_RUN || in->kind == DF_COPY || in->kind == DF_ADD) && !in->json;
    autostrv struct strv words = {.n = 0};
    if (may)
        df_words(text, '\\', &words);
    for (size_t i = 0; i < words.n; i++) {
        struct df_heredoc h;
        bool chomp;
        if (!df_heredoc_word(words.v[i], &h, &chomp))
            continue;
        free(h.name);
        return err_new(ERR_USAGE, "ONBUILD cannot accept a heredoc: a trigger is one line");
    }
    return NULL;
}

/* What an image that is built on this one will run: looked at here, as its author sees the error then. */
static struct err *check_onbuild(struct df_instruction *in, char escape) {
    size_t n = 0;
    while (in->rest[n] && !df_blank(in->rest[n]))
        n++;
    autofree char *name = mem_dupn(in->rest, n);
    struct df_instruction inner = {.text = NULL};
    if (!strcasecmp(name, "ONBUILD"))
        return err_new(ERR_USAGE, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    TRY(df_kind_of(name, &inner.kind));
    if (inner.kind == DF_FROM || inner.kind == DF_MAINTAINER)
        return err_new(ERR_USAGE, "%s isn't allowed as an ONBUILD trigger", df_kind_name(inner.kind));
    const char *rest = in->rest + n;
    struct err *e = df_take_flags(&inner, &rest);
    inner.rest = mem_dup(rest);
    if (!e)
        e = df_parse_args(&inner, escape);
    for (size_t i = 0; !e && i < inner.args.n; i++)
        e = no_heredoc(&inner, inner.args.v[i]);
    df_instruction_done(&inner);
    TRY(e);
    strv_push(&in->args, in->rest);
    return NULL;
}

static struct err *check_run(struct df_instruction *in, char escape) {
    (void)escape;
    const char *security = df_flag(in, "security"), *network = df_flag(in, "network");
    if (network && !str_eq(network, "default") && !str_eq(network, "none") && !str_eq(network, "host"))
        return err_new(ERR_USAGE, "invalid network mode: %s", network);
    if (security && !str_eq(security, "sandbox") && !str_eq(security, "insecure"))
        return err_new(ERR_USAGE, "security %s is not valid", security);
    return NULL;
}

static const struct grammar grammars[DF_KIND_COUNT] = {
    [DF_ADD] = {"ADD", SHAPE_LIST, 1, check_copy},
    [DF_ARG] = {"ARG", SHAPE_NAMES, 1, check_names},
    [DF_CMD] = {"CMD", SHAPE_COMMAND, 0, NULL},
    [DF_COPY] = {"COPY", SHAPE_LIST, 1, check_copy},
    [DF_ENTRYPOINT] = {"ENTRYPOINT", SHAPE_COMMAND, 0, NULL},
    [DF_ENV] = {"ENV", SHAPE_PAIRS, 1, check_names},
    [DF_EXPOSE] = {"EXPOSE", SHAPE_WORDS, 1, NULL},
    [DF_FROM] = {"FROM", SHAPE_WORDS, 0, check_from},
    [DF_HEALTHCHECK] = {"HEALTHCHECK", SHAPE_OWN, 0, check_health},
    [DF_LABEL] = {"LABEL", SHAPE_PAIRS, 1, check_names},
    [DF_MAINTAINER] = {"MAINTAINER", SHAPE_ONE, 1, NULL},
    [DF_ONBUILD] = {"ONBUILD", SHAPE_OWN, 1, check_onbuild},
    [DF_RUN] = {"RUN", SHAPE_COMMAND, 1, check_run},
    [DF_SHELL] = {"SHELL", SHAPE_COMMAND, 1, check_shell},
    [DF_STOPSIGNAL] = {"STOPSIGNAL", SHAPE_ONE, 1, NULL},
    [DF_USER] = {"USER", SHAPE_ONE, 1, NULL},
    [DF_VOLUME] = {"VOLUME", SHAPE_LIST, 1, check_volume},
    [DF_WORKDIR] = {"WORKDIR", SHAPE_ONE, 1, NULL},
};

const char *df_kind_name(enum df_kind kind) { return grammars[kind].name; }

char *df_typed_name(const struct df_instruction *in) {
    size_t n = 0;
    while (in->text[n] && !df_blank(in->text[n]))
        n++;
    return mem_dupn(in->text, n);
}

/* ---- names ---- */

struct err *df_kind_of(const char *name, enum df_kind *ret) {
    autofree char *upper = mem_dup(name);
    const char *near = NULL;
    size_t best = 3;
    for (char *p = upper; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    for (int i = 0; i < DF_KIND_COUNT; i++) {
        size_t d = str_distance(upper, grammars[i].name);
        if (d == 0) {
            *ret = (enum df_kind)i;
            return NULL;
        }
        if (d < best) {
            best = d;
            near = grammars[i].name;
        }
    }
    if (near)
        return err_new(ERR_USAGE, "unknown instruction: %s (did you mean %s?)", name, near);
    return err_new(ERR_USAGE, "unknown instruction: %s", name);
}

/* ---- shapes ---- */

static struct err *parse_pairs(struct df_instruction *in, char escape) {
    autostrv struct strv words = {.n = 0};
    df_words(in->rest, escape, &words);
    if (!words.n)
        return NULL;
    if (strchr(words.v[0], '=')) {
        for (size_t i = 0; i < words.n; i++)
            if (!strchr(words.v[i], '='))
                return err_new(ERR_USAGE, "Syntax error - can't find = in \"%s\". Must be of the form: name=value",
                               words.v[i]);
        strv_extend(&in->args, &words);
        return NULL;
    }
    const char *value = in->rest;
    while (*value && !df_blank(*value))
        value++;
    autofree char *name = mem_dupn(in->rest, (size_t)(value - in->rest));
    while (df_blank(*value))
        value++;
    if (!*value)
        return err_new(ERR_USAGE, "%s must have two arguments", df_kind_name(in->kind));
    strv_pushf(&in->args, "%s=%s", name, value);
    return NULL;
}

static void blank_words(const char *text, struct strv *out) {
    for (const char *p = text;;) {
        while (df_blank(*p))
            p++;
        const char *start = p;
        while (*p && !df_blank(*p))
            p++;
        if (p == start)
            return;
        strv_push_take(out, mem_dupn(start, (size_t)(p - start)));
    }
}

static struct err *parse_shape(struct df_instruction *in, enum shape shape, char escape) {
    if (shape == SHAPE_COMMAND || shape == SHAPE_LIST)
        TRY(df_json_words(in->rest, &in->args, &in->json));
    if (in->json)
        return NULL;
    switch (shape) {
    case SHAPE_COMMAND:
    case SHAPE_ONE:
        if (*in->rest)
            strv_push(&in->args, in->rest);
        break;
    case SHAPE_LIST:
    case SHAPE_WORDS:
        blank_words(in->rest, &in->args);
        break;
    case SHAPE_PAIRS:
        return parse_pairs(in, escape);
    case SHAPE_NAMES:
        df_words(in->rest, escape, &in->args);
        break;
    case SHAPE_OWN:
        break;
    }
    return NULL;
}

struct err *df_parse_args(struct df_instruction *in, char escape) {
    const struct grammar *g = &grammars[in->kind];
    TRY(parse_shape(in, g->shape, escape));
    if (g->shape == SHAPE_ONE && in->args.n != 1)
        return err_new(ERR_USAGE, "%s requires exactly one argument", g->name);
    if (g->shape != SHAPE_OWN && in->args.n < g->least)
        return err_new(ERR_USAGE, "%s requires at least one argument", g->name);
    if (in->kind == DF_ONBUILD && !*in->rest)
        return err_new(ERR_USAGE, "ONBUILD requires at least one argument");
    return g->check ? g->check(in, escape) : NULL;
}

void df_instruction_done(struct df_instruction *in) {
    free(in->text);
    free(in->rest);
    for (size_t i = 0; i < in->n_flags; i++) {
        free(in->flags[i].name);
        free(in->flags[i].value);
    }
    free(in->flags);
    strv_done(&in->args);
    for (size_t i = 0; i < in->n_heredocs; i++) {
        free(in->heredocs[i].name);
        free(in->heredocs[i].data);
    }
    free(in->heredocs);
    strv_done(&in->comments);
    free(in->check);
}
