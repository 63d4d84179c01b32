/* check: the checks, a table of small functions. See check_int.h. */
#include "build/check_int.h"

#include <stdarg.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "build/dockerfile_int.h"
#include "build/git_int.h"
#include "build/ignore_int.h"
#include "build/plan_int.h"
#include "image/image.h"

struct rule;
struct place {
    const struct check_input *in;
    const struct check_config *config;
    struct check_config own; /* of the instruction that is looked at */
    const struct rule *rule; /* that looks */
    struct check_warnings *out;
    struct check_scope global, defaults; /* before the first FROM; the same without any --build-arg */
    struct check_scope *stage;
    size_t n;
    bool lower; /* most instructions are in lower case */
};

static struct check_scope *here(const struct place *p) { return &p->stage[p->n - 1]; }

/* ---- warnings ---- */

struct lines {
    unsigned first, last;
};

__attribute__((format(printf, 3, 0))) static void add_warning(struct place *p, struct lines at, const char *fmt,
                                                              va_list ap);

static struct lines lines_of(const struct df_instruction *in) { return (struct lines){in->first, in->last}; }

__attribute__((format(printf, 3, 4))) static void warn(struct place *p, struct lines at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_warning(p, at, fmt, ap);
    va_end(ap);
}

/* " (did you mean $x?)", or "": what differs by two letters at most. */
static char *suggestion(const char *name, const struct strv *known, const char *mark) {
    const char *near = NULL;
    size_t best = 3;
    for (size_t i = 0; i < known->n; i++) {
        autofree char *other = mem_dupn(known->v[i], strcspn(known->v[i], "="));
        size_t d = str_distance(name, other);
        if (d < best) {
            best = d;
            near = known->v[i];
        }
    }
    return near ? mem_printf(" (did you mean %s%.*s?)", mark, (int)strcspn(near, "="), near) : mem_dup("");
}

/* ---- of names and words ---- */

static char *cased(const char *s, bool lower) {
    char *copy = mem_dup(s);
    for (char *c = copy; *c; c++) {
        bool is_upper = *c >= 'A' && *c <= 'Z', is_lower = *c >= 'a' && *c <= 'z';
        if (lower ? is_upper : is_lower)
            *c = (char)(*c ^ 0x20);
    }
    return copy;
}

static bool is_cased(const char *s, bool lower) {
    autofree char *copy = cased(s, lower);
    return str_eq(copy, s);
}

static void stage_name_casing(struct place *p, const struct df_instruction *in) {
    if (in->args.n == 3 && !is_cased(in->args.v[2], true))
        warn(p, lines_of(in), "Stage name '%s' should be lowercase", in->args.v[2]);
}

static void from_as_casing(struct place *p, const struct df_instruction *in) {
    autofree char *from = df_typed_name(in);
    if (in->args.n == 3 && !is_cased(in->args.v[1], is_cased(from, true)))
        warn(p, lines_of(in), "'%s' and '%s' keywords' casing do not match", in->args.v[1], from);
}

static void no_empty_continuation(struct place *p, const struct df_instruction *in) {
    unsigned line = in->empty_continuation;
    if (line)
        warn(p, (struct lines){line, line}, "Empty continuation line");
}

static void consistent_casing(struct place *p, const struct df_instruction *in) {
    autofree char *name = df_typed_name(in);
    if (!is_cased(name, p->lower))
        warn(p, lines_of(in), "Command '%s' should match the case of the command majority (%s)", name,
             p->lower ? "lowercase" : "uppercase");
}

static void duplicate_stage_name(struct place *p, const struct df_instruction *in) {
    const char *name = here(p)->name;
    bool found = false;
    for (size_t i = 0; name && i + 1 < p->n; i++)
        found |= str_eq(p->stage[i].name, name);
    if (found)
        warn(p, lines_of(in), "Duplicate stage name \"%s\", stage names should be unique", name);
}

static void reserved_stage_name(struct place *p, const struct df_instruction *in) {
    const char *name = here(p)->name;
    if (str_eq(name, "context") || str_eq(name, "scratch"))
        warn(p, lines_of(in), "Stage name should not use the same name as reserved stage \"%s\"", name);
}

static void json_args_recommended(struct place *p, const struct df_instruction *in) {
    bool blind;
    if (in->json || !in->args.n || here(p)->shell)
        return;
    const struct json *config = check_scope_image(p->in, here(p), &blind);
    autofree char *name = df_typed_name(in);
    if (!blind && !json_count(json_get(config, "Shell")))
        warn(p, lines_of(in), "JSON arguments recommended for %s to prevent unintended behavior related to OS signals",
             name);
}

static void maintainer_deprecated(struct place *p, const struct df_instruction *in) {
    warn(p, lines_of(in), "Maintainer instruction is deprecated in favor of using label");
}

/* ---- of FROM and its arguments ---- */

static void undefined_in(struct place *p, const struct df_instruction *in, const char *word) {
    autochecklookup l = {.in = p->in, .scope = &p->global};
    autostr struct str out = STR_INIT;
    autostrv struct strv known = {.n = 0};
    check_expand(&l, word, &out);
    strv_extend(&known, &p->global.declared);
    strv_extend(&known, &p->global.env);
    for (size_t i = 0; i < l.missing.n; i++) {
        autofree char *near = suggestion(l.missing.v[i], &known, "");
        if (!strv_has(&p->global.declared, l.missing.v[i]))
            warn(p, lines_of(in), "FROM argument '%s' is not declared%s", l.missing.v[i], near);
    }
}

static void undefined_arg_in_from(struct place *p, const struct df_instruction *in) {
    const char *platform = df_flag(in, "platform");
    undefined_in(p, in, in->args.v[0]);
    if (platform)
        undefined_in(p, in, platform);
}

static void redundant_target_platform(struct place *p, const struct df_instruction *in) {
    autochecklookup l = {.in = p->in, .scope = &p->global};
    autostr struct str out = STR_INIT;
    const char *platform = df_flag(in, "platform"), *target = strv_env_get(&p->global.env, "TARGETPLATFORM");
    if (!platform)
        return;
    check_expand(&l, platform, &out);
    if (l.found.n == 1 && !l.missing.n && str_eq(l.found.v[0], "TARGETPLATFORM") && str_eq(str_c(&out), target))
        warn(p, lines_of(in), "Setting platform to predefined %s in FROM is redundant as this is the default behavior",
             platform);
}

/* "linux/arm64/v8" as os/arch[/variant], the usual variant left away; NULL where it is no platform. */
static char *normal_platform(const char *text) {
    struct image_platform p = {.os = NULL};
    autoerr e = image_platform_parse(NULL, text, &p);
    if (e)
        return NULL;
    char *normal = mem_printf("%s/%s%s%s", p.os, p.arch, *p.variant ? "/" : "", p.variant);
    image_platform_done(&p);
    return normal;
}

static bool same_machine(const char *a, const char *b) {
    size_t n = strcspn(a, "/") + 1;
    n += strcspn(a + n, "/");
    return !strncmp(a, b, n) && (!b[n] || b[n] == '/');
}

/* An image that has no other platform is taken as it is. */
static void invalid_base_platform(struct place *p, const struct df_instruction *in) {
    autochecklookup l = {.in = p->in, .scope = &p->global};
    autostr struct str typed = STR_INIT;
    const char *flag = df_flag(in, "platform"), *target = strv_env_get(&p->global.env, "TARGETPLATFORM");
    const char *is = p->in->platform && here(p)->own_image ? p->in->platform(p->in->ctx, p->n - 1) : NULL;
    check_expand(&l, flag ? flag : target ? target : "", &typed);
    autofree char *actual = is ? normal_platform(is) : NULL;
    autofree char *expected = normal_platform(str_c(&typed));
    if (actual && expected && !same_machine(actual, expected))
        warn(p, lines_of(in), "Base image %s was pulled with platform \"%s\", expected \"%s\" for current build",
             here(p)->image, actual, expected);
}

static void const_platform(struct place *p, const struct df_instruction *in) {
    const char *platform = df_flag(in, "platform"), *name = here(p)->name;
    struct image_platform parsed = {.os = NULL};
    if (!platform || strchr(platform, '$'))
        return;
    autoerr e = image_platform_parse(NULL, platform, &parsed);
    if (e)
        return;
    if (!name || (!strstr(name, parsed.os) && !strstr(name, parsed.arch)))
        warn(p, lines_of(in), "FROM --platform flag should not use constant value \"%s\"", platform);
    image_platform_done(&parsed);
}

static void invalid_default_arg(struct place *p, const struct df_instruction *in) {
    autochecklookup l = {.in = p->in, .scope = &p->defaults};
    autostr struct str out = STR_INIT;
    struct image_ref ref = {.domain = NULL};
    if (!strchr(in->args.v[0], '$'))
        return;
    check_expand(&l, in->args.v[0], &out);
    autoerr e = image_ref_parse(str_c(&out), &ref);
    if (e)
        warn(p, lines_of(in), "Default value for ARG %s results in empty or invalid base image name", in->args.v[0]);
    image_ref_done(&ref);
}

/* A description is "# NAME what it is", right above an ARG or a FROM. */
static void invalid_description(struct place *p, const struct df_instruction *in) {
    const char *line = in->comments.n ? in->comments.v[in->comments.n - 1] : NULL;
    bool from = in->kind == DF_FROM, named = false;
    if (!line || (from && in->args.n != 3))
        return;
    autofree char *word = mem_dupn(line, strcspn(line, " "));
    for (size_t i = 0; !from && i < in->args.n; i++)
        named |= strlen(word) == strcspn(in->args.v[i], "=") && str_starts(in->args.v[i], word);
    if (named || (from && str_eq(word, here(p)->name)))
        return;
    const char *first = in->args.v[0];
    autofree char *key = from             ? mem_dup(here(p)->name)
                         : in->args.n > 1 ? mem_dup("<arg_key>")
                                          : mem_dupn(first, strcspn(first, "="));
    warn(p, lines_of(in), "Comment for %s should follow the format: `# %s <description>`", df_kind_name(in->kind), key);
}

/* ---- within a stage ---- */

static void undefined_var(struct place *p, const struct df_instruction *in) {
    autochecklookup l = {.in = p->in, .scope = here(p)};
    autostrv struct strv known = {.n = 0};
    bool blind;
    check_expand_all(&l, in);
    if (l.blind || !l.missing.n)
        return;
    strv_extend(&known, &here(p)->env);
    JSON_EACH(entry, json_get(check_scope_image(p->in, here(p), &blind), "Env"))
    strv_push(&known, json_str_value(entry) ? json_str_value(entry) : "");
    for (size_t i = 0; i < l.missing.n; i++) {
        autofree char *near = suggestion(l.missing.v[i], &known, "$");
        if (!strv_has(&here(p)->declared, l.missing.v[i]))
            warn(p, lines_of(in), "Usage of undefined variable '$%s'%s", l.missing.v[i], near);
    }
}

static void workdir_relative_path(struct place *p, const struct df_instruction *in) {
    autochecklookup l = {.in = p->in, .scope = here(p)};
    autostr struct str path = STR_INIT;
    if (here(p)->workdir)
        return;
    check_expand(&l, in->args.v[0], &path);
    if (!l.blind && *str_c(&path) != '/')
        warn(p, lines_of(in), "Relative workdir \"%s\" can have unexpected results if the base image changes",
             str_c(&path));
}

/* The one that is of no effect is the one before. */
static void multiple_instructions(struct place *p, const struct df_instruction *in) {
    const struct check_scope *s = here(p);
    const struct df_instruction *before = in->kind == DF_CMD          ? s->cmd
                                          : in->kind == DF_ENTRYPOINT ? s->entrypoint
                                                                      : s->health;
    autofree char *name = df_typed_name(in);
    if (before)
        warn(p, lines_of(before),
             "Multiple %s instructions should not be used in the same stage because only the last one will be used",
             name);
}

static void legacy_key_value(struct place *p, const struct df_instruction *in) {
    autostrv struct strv words = {.n = 0};
    autofree char *name = df_typed_name(in);
    df_words(in->rest, p->in->d->escape, &words);
    if (words.n && !strchr(words.v[0], '='))
        warn(p, lines_of(in), "\"%s key=value\" should be used instead of legacy \"%s key value\" format", name, name);
}

static bool has_word(const char *name, const char *const *words, size_t n) {
    autofree char *lower = cased(name, true);
    autostrv struct strv parts = {.n = 0};
    strv_split(&parts, lower, '_');
    for (size_t i = 0; i < n; i++)
        if (strv_has(&parts, words[i]))
            return true;
    return false;
}

static void secrets_used(struct place *p, const struct df_instruction *in) {
    static const char *const secret[] = {"apikey",   "auth",  "credential", "credentials", "key",
                                         "password", "pword", "passwd",     "secret",      "token"};
    static const char *const harmless[] = {"public", "file", "version"};
    for (size_t i = 0; i < in->args.n; i++) {
        autofree char *name = mem_dupn(in->args.v[i], strcspn(in->args.v[i], "="));
        if (has_word(name, secret, ARRAY_LEN(secret)) && !has_word(name, harmless, ARRAY_LEN(harmless)))
            warn(p, lines_of(in), "Do not use ARG or ENV instructions for sensitive data (%s \"%s\")",
                 df_kind_name(in->kind), name);
    }
}

/* The root is never what is left out; with "!" nobody can tell without the files. */
static void copy_ignored_file(struct place *p, const struct df_instruction *in) {
    if (!p->in->ignore || ignore_has_exceptions(p->in->ignore) || df_flag(in, "from"))
        return;
    for (size_t i = 0; i + 1 < in->args.n; i++) {
        autochecklookup l = {.in = p->in, .scope = here(p)};
        autostr struct str source = STR_INIT;
        check_expand(&l, in->args.v[i], &source);
        const char *text = str_c(&source);
        if (df_heredoc_of(in, in->args.v[i]) || strstr(text, "://") || git_url_is(text))
            continue;
        autofree char *clean = path_clean(text);
        const char *path = clean + strspn(clean, "/");
        if (*path && !str_eq(path, ".") && ignore_path(p->in->ignore, path))
            warn(p, lines_of(in), "Attempting to %s file \"%s\" that is excluded by .dockerignore",
                 in->kind == DF_ADD ? "Add" : "Copy", path);
    }
}

static void each_port(struct place *p, const struct df_instruction *in, bool (*wrong)(const char *port),
                      const char *before, const char *after) {
    for (size_t i = 0; i < in->args.n; i++) {
        autochecklookup l = {.in = p->in, .scope = here(p)};
        autostr struct str text = STR_INIT;
        autostrv struct strv ports = {.n = 0};
        check_expand(&l, in->args.v[i], &text);
        strv_split(&ports, str_c(&text), ' ');
        for (size_t k = 0; k < ports.n; k++)
            if (wrong(ports.v[k]))
                warn(p, lines_of(in), "%s'%s'%s", before, ports.v[k], after);
    }
}

static bool proto_not_lower(const char *port) {
    const char *slash = strchr(port, '/');
    return slash && !is_cased(slash, true);
}

static void expose_proto_casing(struct place *p, const struct df_instruction *in) {
    each_port(p, in, proto_not_lower, "Defined protocol ", " in EXPOSE instruction should be lowercase");
}

static bool names_host(const char *port) { return strchr(port, ':') != NULL; }

static void expose_invalid_format(struct place *p, const struct df_instruction *in) {
    each_port(p, in, names_host, "EXPOSE instruction should not define an IP address or host-port mapping, found ", "");
}

/* ---- the table ---- */

enum where {
    WHERE_BUILT,  /* in stages that are needed */
    WHERE_STAGES, /* in all of them */
    WHERE_FILE    /* and before the first one */
};
#define K(kind) (1U << DF_##kind)
enum { EVERY = ~0U >> 1 };

struct rule {
    const char *name, *page, *description;
    void (*fn)(struct place *p, const struct df_instruction *in);
    unsigned kinds;
    enum where where;
    bool experimental;
};

static const struct rule rules[] = {
    {"StageNameCasing", "stage-name-casing", "Stage names should be lowercase", stage_name_casing, K(FROM),
     WHERE_STAGES, false},
    {"FromAsCasing", "from-as-casing", "The 'as' keyword should match the case of the 'from' keyword", from_as_casing,
     K(FROM), WHERE_STAGES, false},
    {"NoEmptyContinuation", "no-empty-continuation", "Empty continuation lines will become errors in a future release",
     no_empty_continuation, EVERY, WHERE_FILE, false},
    {"ConsistentInstructionCasing", "consistent-instruction-casing",
     "All commands within the Dockerfile should use the same casing (either upper or lower)", consistent_casing, EVERY,
     WHERE_STAGES, false},
    {"DuplicateStageName", "duplicate-stage-name", "Stage names should be unique", duplicate_stage_name, K(FROM),
     WHERE_STAGES, false},
    {"ReservedStageName", "reserved-stage-name", "Reserved words should not be used as stage names",
     reserved_stage_name, K(FROM), WHERE_STAGES, false},
    {"JSONArgsRecommended", "json-args-recommended",
     "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
     json_args_recommended, K(CMD) | K(ENTRYPOINT), WHERE_BUILT, false},
    {"MaintainerDeprecated", "maintainer-deprecated",
     "The MAINTAINER instruction is deprecated, use a label instead to define an image author", maintainer_deprecated,
     K(MAINTAINER), WHERE_STAGES, false},
    {"UndefinedArgInFrom", "undefined-arg-in-from", "FROM command must use declared ARGs", undefined_arg_in_from,
     K(FROM), WHERE_STAGES, false},
    {"WorkdirRelativePath", "workdir-relative-path",
     "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base "
     "image changes",
     workdir_relative_path, K(WORKDIR), WHERE_BUILT, false},
    {"UndefinedVar", "undefined-var", "Variables should be defined before their use", undefined_var, EVERY & ~K(FROM),
     WHERE_BUILT, false},
    {"MultipleInstructionsDisallowed", "multiple-instructions-disallowed",
     "Multiple instructions of the same type should not be used in the same stage", multiple_instructions,
     K(CMD) | K(ENTRYPOINT) | K(HEALTHCHECK), WHERE_BUILT, false},
    {"LegacyKeyValueFormat", "legacy-key-value-format",
     "Legacy key/value format with whitespace separator should not be used", legacy_key_value, K(ENV) | K(LABEL),
     WHERE_BUILT, false},
    {"InvalidBaseImagePlatform", NULL, "Base image platform does not match expected target platform",
     invalid_base_platform, K(FROM), WHERE_BUILT, false},
    {"RedundantTargetPlatform", "redundant-target-platform",
     "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
     redundant_target_platform, K(FROM), WHERE_STAGES, false},
    {"SecretsUsedInArgOrEnv", "secrets-used-in-arg-or-env",
     "Sensitive data should not be used in the ARG or ENV commands", secrets_used, K(ARG) | K(ENV), WHERE_BUILT, false},
    {"InvalidDefaultArgInFrom", "invalid-default-arg-in-from",
     "Default value for global ARG results in an empty or invalid base image name", invalid_default_arg, K(FROM),
     WHERE_STAGES, false},
    {"FromPlatformFlagConstDisallowed", "from-platform-flag-const-disallowed",
     "FROM --platform flag should not use a constant value", const_platform, K(FROM), WHERE_STAGES, false},
    {"CopyIgnoredFile", "copy-ignored-file", "Attempting to Copy file that is excluded by .dockerignore",
     copy_ignored_file, K(COPY) | K(ADD), WHERE_BUILT, false},
    {"InvalidDefinitionDescription", "invalid-definition-description",
     "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not "
     "intended to be a description comment, add an empty line or comment between the instruction and the comment.",
     invalid_description, K(FROM) | K(ARG), WHERE_FILE, true},
    {"ExposeProtoCasing", "expose-proto-casing", "Protocol in EXPOSE instruction should be lowercase",
     expose_proto_casing, K(EXPOSE), WHERE_BUILT, false},
    {"ExposeInvalidFormat", "expose-invalid-format",
     "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future "
     "release",
     expose_invalid_format, K(EXPOSE), WHERE_BUILT, false},
};

static void add_warning(struct place *p, struct lines at, const char *fmt, va_list ap) {
    struct check_warnings *w = p->out;
    autostr struct str detail = STR_INIT;
    size_t i = w->n;
    str_append_v(&detail, fmt, ap);
    w->v = mem_resize(w->v, w->n + 1, sizeof *w->v);
    for (; i > 0 && w->v[i - 1].first > at.first; i--)
        w->v[i] = w->v[i - 1];
    w->n++;
    w->v[i] = (struct check_warning){.name = p->rule->name,
                                     .page = p->rule->page,
                                     .description = p->rule->description,
                                     .detail = str_take(&detail),
                                     .first = at.first,
                                     .last = at.last};
}

/* ---- going through ---- */

static bool is_named(const struct check_config *c, const struct rule *r) {
    return r->experimental ? c->experimental_all || strv_has(&c->experimental, r->name)
                           : c->skip_all || strv_has(&c->skip, r->name);
}

/* What the file says, and what stands above the instruction. */
static bool is_wanted(const struct place *p, const struct rule *r) {
    return (is_named(p->config, r) || is_named(&p->own, r)) == r->experimental;
}

static bool is_about(const struct place *p, const struct rule *r, const struct df_instruction *in) {
    if (!(r->kinds & (1U << in->kind)))
        return false;
    if (!p->n)
        return r->where == WHERE_FILE;
    return r->where != WHERE_BUILT || here(p)->needed;
}

/* One "# check=" that nobody can read is a comment. */
static void look_at(struct place *p, const struct df_instruction *in) {
    check_config_done(&p->own);
    p->own = (struct check_config){.error = false};
    err_free(check_config_parse(in->check, &p->own));
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        p->rule = &rules[i];
        if (is_wanted(p, p->rule) && is_about(p, p->rule, in))
            p->rule->fn(p, in);
    }
}

/* A stage that starts from another one has all of its variables. */
static void inherit(const struct place *p, const char *base, struct check_scope *s) {
    for (size_t i = p->n; i-- > 0;) {
        const struct check_scope *other = &p->stage[i];
        if (!other->name || strcasecmp(other->name, base) != 0)
            continue;
        strv_extend(&s->env, &other->env);
        strv_extend(&s->declared, &other->declared);
        s->image = other->image ? mem_dup(other->image) : NULL;
        s->shell = other->shell;
        s->workdir = other->workdir;
        return;
    }
    strv_push(&s->env, "PATH=");
    s->image = *base && !str_eq(base, "scratch") ? mem_dup(base) : NULL;
    s->own_image = s->image != NULL;
}

static void begin_stage(struct place *p, const struct df_instruction *in) {
    const struct plan *plan = p->in->plan;
    autochecklookup l = {.in = p->in, .scope = &p->global};
    autostr struct str base = STR_INIT;
    struct check_scope s = {.from = in, .needed = !plan || (p->n < plan->n && plan->stage[p->n].needed)};
    check_expand(&l, in->args.v[0], &base);
    s.name = in->args.n == 3 ? cased(in->args.v[2], true) : NULL;
    inherit(p, str_c(&base), &s);
    p->stage = mem_resize(p->stage, p->n + 1, sizeof *p->stage);
    p->stage[p->n++] = s;
}

/* Counts those that are wholly in one case; a tie is upper case's. */
static bool mostly_lower(const struct dockerfile *d) {
    size_t lower = 0, upper = 0;
    bool staged = false;
    for (size_t i = 0; i < d->n; i++) {
        autofree char *name = df_typed_name(&d->v[i]);
        staged |= d->v[i].kind == DF_FROM;
        lower += staged && is_cased(name, true);
        upper += staged && is_cased(name, false);
    }
    return lower > upper;
}

void check_dockerfile(const struct check_input *in, const struct check_config *config, struct check_warnings *ret) {
    struct place p = {.in = in, .config = config, .out = ret, .lower = mostly_lower(in->d)};
    strv_extend(&p.global.env, in->predefined);
    strv_extend(&p.defaults.env, in->predefined);
    for (size_t i = 0; i < in->d->n; i++) {
        const struct df_instruction *instruction = &in->d->v[i];
        if (instruction->kind == DF_FROM)
            begin_stage(&p, instruction);
        look_at(&p, instruction);
        if (p.n)
            check_scope_apply(in, &p.global, false, instruction, here(&p));
        else {
            check_scope_apply(in, NULL, false, instruction, &p.global);
            check_scope_apply(in, NULL, true, instruction, &p.defaults);
        }
    }
    for (size_t i = 0; i < p.n; i++)
        check_scope_done(&p.stage[i]);
    free(p.stage);
    check_config_done(&p.own);
    check_scope_done(&p.global);
    check_scope_done(&p.defaults);
}

void check_warnings_done(struct check_warnings *w) {
    for (size_t i = 0; i < w->n; i++)
        free(w->v[i].detail);
    free(w->v);
    *w = (struct check_warnings){.n = 0};
}

struct err *check_error(const struct check_config *config, const struct check_warnings *w) {
    autostrv struct strv names = {.n = 0};
    for (size_t i = 0; config->error && i < w->n; i++)
        strv_add(&names, w->v[i].name);
    if (!names.n)
        return NULL;
    strv_sort(&names);
    autofree char *list = strv_join(&names, ", ");
    return err_new(ERR_USAGE, "lint violation found for rules: %s", list);
}
