/*
 * changes: Dockerfile instructions applied to an image config's "config" object, for import and commit. The words of an
 * instruction are split as the Dockerfile grammar does: blanks separate, quotes join, a backslash takes the next byte
 * as it is, and $NAME or ${NAME} (not in single quotes) is what the config's Env says so far.
 */
#include "image/image.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#define CHANGE_MAX ((size_t)64 << 10)

struct change {
    struct json *config; /* what is changed */
    const char *name;    /* "ENV" */
    const char *rest;    /* everything after it, trimmed */
    bool *cmd_set;       /* a CMD stood among the changes so far */
};

static struct err *bad(const struct change *c, const char *why) {
    return err_new(ERR_USAGE, "invalid change \"%s %s\": %s", c->name, c->rest, why);
}

/* ---- words ---- */

static const char *env_value(const struct json *config, const char *name, size_t n) {
    JSON_EACH(entry, json_get(config, "Env")) {
        const char *v = json_str_value(entry);
        if (v && !strncmp(v, name, n) && v[n] == '=')
            return v + n + 1;
    }
    return "";
}

static bool is_name(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* Expands the variable that *p points at the '$' of. */
static void expand(const struct json *config, const char **p, struct str *out) {
    const char *name = *p + 1;
    bool braces = *name == '{';
    name += braces;
    size_t n = 0;
    while (is_name(name[n], n == 0))
        n++;
    if (n == 0 || (braces && name[n] != '}')) {
        str_append_c(out, '$');
        (*p)++;
        return;
    }
    str_append(out, env_value(config, name, n));
    *p = name + n + braces;
}

/* One word from *p up to a blank outside quotes; false when a quote is left open. */
static bool take_word(const struct json *config, const char **p, struct str *out) {
    char quote = 0;
    while (**p && (quote || (**p != ' ' && **p != '\t'))) {
        char c = **p;
        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? 0 : c;
            (*p)++;
        } else if (c == '\\' && quote != '\'' && (*p)[1]) {
            str_append_c(out, (*p)[1]);
            *p += 2;
        } else if (c == '$' && quote != '\'') {
            expand(config, p, out);
        } else {
            str_append_c(out, c);
            (*p)++;
        }
    }
    return !quote;
}

static struct err *split_words(const struct change *c, struct strv *out) {
    for (const char *p = c->rest; *p; p += strspn(p, " \t")) {
        autostr struct str word = STR_INIT_MAX(CHANGE_MAX);
        if (!take_word(c->config, &p, &word))
            return bad(c, "a quote is not closed");
        strv_push(out, str_c(&word));
    }
    return NULL;
}

/* A JSON array of strings; false when the text is none, and then it is meant for a shell. */
static bool json_form(const char *text, struct strv *out) {
    autojson j = NULL;
    if (*text != '[')
        return false;
    autoerr e = json_parse(text, strlen(text), "instruction", 0, &j);
    if (e || json_type(j) != JSON_ARRAY)
        return false;
    JSON_EACH(item, j) {
        if (!json_str_value(item)) {
            strv_done(out);
            return false;
        }
        strv_push(out, json_str_value(item));
    }
    return true;
}

static void command_words(const char *text, struct strv *out) {
    if (json_form(text, out))
        return;
    strv_push(out, "/bin/sh");
    strv_push(out, "-c");
    strv_push(out, text);
}

static struct err *list_words(const struct change *c, struct strv *out) {
    if (!json_form(c->rest, out))
        TRY(split_words(c, out));
    return out->n ? NULL : bad(c, "it needs at least one argument");
}

/* The member `key` as an object, made when it is missing. */
static struct json *object_at(struct json *config, const char *key) {
    struct json *o = json_get(config, key);
    if (json_type(o) == JSON_OBJECT)
        return o;
    json_set(config, key, json_object());
    return json_get(config, key);
}

/* ---- instructions ---- */

static struct err *do_cmd(const struct change *c) {
    autostrv struct strv words = {0};
    command_words(c->rest, &words);
    json_set_strv(c->config, "Cmd", &words);
    *c->cmd_set = true;
    return NULL;
}

static struct err *do_entrypoint(const struct change *c) {
    autostrv struct strv words = {0};
    command_words(c->rest, &words);
    json_set_strv(c->config, "Entrypoint", &words);
    if (!*c->cmd_set) /* the old arguments were for the old program */
        json_remove(c->config, "Cmd");
    return NULL;
}

/* KEY=VALUE words, or the old form "KEY the rest". */
static struct err *pairs(const struct change *c, struct strv *out) {
    size_t first = strcspn(c->rest, " \t=");
    if (c->rest[first] == '=')
        return split_words(c, out);
    const char *value = c->rest + first + strspn(c->rest + first, " \t");
    if (!*value)
        return bad(c, "it needs NAME=VALUE");
    struct change tail = *c;
    tail.rest = value;
    autostrv struct strv words = {0};
    TRY(split_words(&tail, &words));
    autofree char *joined = strv_join(&words, " ");
    strv_pushf(out, "%.*s=%s", (int)first, c->rest, joined);
    return NULL;
}

static struct err *do_env(const struct change *c) {
    autostrv struct strv words = {0}, env = {0};
    TRY(pairs(c, &words));
    TRY(json_get_strv_opt(c->config, "Env", &env));
    for (size_t i = 0; i < words.n; i++) {
        const char *eq = strchr(words.v[i], '=');
        if (!eq || eq == words.v[i])
            return bad(c, "it needs NAME=VALUE");
        strv_env_set(&env, words.v[i]);
    }
    json_set_strv(c->config, "Env", &env);
    return NULL;
}

static struct err *do_label(const struct change *c) {
    autostrv struct strv words = {0};
    TRY(pairs(c, &words));
    struct json *labels = object_at(c->config, "Labels");
    for (size_t i = 0; i < words.n; i++) {
        const char *eq = strchr(words.v[i], '=');
        if (!eq || eq == words.v[i])
            return bad(c, "it needs NAME=VALUE");
        autofree char *key = mem_dupn(words.v[i], (size_t)(eq - words.v[i]));
        json_set_str(labels, key, eq + 1);
    }
    return NULL;
}

/* "80", "80/udp", "8000-8010/tcp". */
static struct err *expose_one(const struct change *c, const char *text, struct json *ports) {
    autofree char *range = mem_dupn(text, strcspn(text, "/"));
    const char *proto = strchr(text, '/') ? strchr(text, '/') + 1 : "tcp";
    char *dash = strchr(range, '-');
    int64_t from = 0, to = 0;
    if (strcasecmp(proto, "tcp") != 0 && strcasecmp(proto, "udp") != 0 && strcasecmp(proto, "sctp") != 0)
        return bad(c, "the protocol must be tcp, udp or sctp");
    if (dash)
        *dash = 0;
    if (!str_to_i64(range, 1, 65535, &from) || !str_to_i64(dash ? dash + 1 : range, from, 65535, &to))
        return bad(c, "a port must be a number from 1 to 65535");
    for (int64_t port = from; port <= to; port++) {
        autofree char *key = mem_printf("%lld/%s", (long long)port, proto);
        for (char *p = key; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        json_set(ports, key, json_object());
    }
    return NULL;
}

static struct err *do_expose(const struct change *c) {
    autostrv struct strv words = {0};
    TRY(list_words(c, &words));
    struct json *ports = object_at(c->config, "ExposedPorts");
    for (size_t i = 0; i < words.n; i++)
        TRY(expose_one(c, words.v[i], ports));
    return NULL;
}

static struct err *do_volume(const struct change *c) {
    autostrv struct strv words = {0};
    TRY(list_words(c, &words));
    struct json *volumes = object_at(c->config, "Volumes");
    for (size_t i = 0; i < words.n; i++) {
        if (!*words.v[i])
            return bad(c, "a volume needs a path");
        json_set(volumes, words.v[i], json_object());
    }
    return NULL;
}

static struct err *one_word(const struct change *c, char **ret) {
    autostrv struct strv words = {0};
    TRY(split_words(c, &words));
    if (words.n != 1 || !*words.v[0])
        return bad(c, "it needs exactly one argument");
    *ret = mem_dup(words.v[0]);
    return NULL;
}

static struct err *do_user(const struct change *c) {
    autofree char *word = NULL;
    TRY(one_word(c, &word));
    json_set_str(c->config, "User", word);
    return NULL;
}

static struct err *do_workdir(const struct change *c) {
    autofree char *word = NULL;
    TRY(one_word(c, &word));
    const char *old = json_str_value(json_get(c->config, "WorkingDir"));
    autofree char *base = path_join("/", old ? old : "");
    autofree char *joined = path_join(base, word);
    autofree char *clean = path_clean(joined);
    json_set_str(c->config, "WorkingDir", clean);
    return NULL;
}

static struct err *do_stopsignal(const struct change *c) {
    autofree char *word = NULL;
    int number = 0;
    TRY(one_word(c, &word));
    TRY(proc_signal_parse(word, &number));
    json_set_str(c->config, "StopSignal", word);
    return NULL;
}

static struct err *do_onbuild(const struct change *c) {
    static const char *const forbidden[] = {"ONBUILD", "FROM", "MAINTAINER"};
    size_t n = strcspn(c->rest, " \t");
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        if (strlen(forbidden[i]) == n && !strncasecmp(c->rest, forbidden[i], n))
            return bad(c, "that instruction is not allowed as a trigger");
    autostrv struct strv triggers = {0};
    TRY(json_get_strv_opt(c->config, "OnBuild", &triggers));
    strv_push(&triggers, c->rest);
    json_set_strv(c->config, "OnBuild", &triggers);
    return NULL;
}

/* "--interval=30s" and the like into the object. */
static struct err *health_option(const struct change *c, const char *word, struct json *health) {
    static const struct {
        const char *flag, *key;
    } durations[] = {{"--interval=", "Interval"},
                     {"--timeout=", "Timeout"},
                     {"--start-period=", "StartPeriod"},
                     {"--start-interval=", "StartInterval"}};
    int64_t v = 0;
    for (size_t i = 0; i < ARRAY_LEN(durations); i++)
        if (str_starts(word, durations[i].flag)) {
            TRY(clock_parse_duration(word + strlen(durations[i].flag), &v));
            json_set_int(health, durations[i].key, v);
            return NULL;
        }
    if (str_starts(word, "--retries=") && str_to_i64(word + strlen("--retries="), 0, INT32_MAX, &v)) {
        json_set_int(health, "Retries", v);
        return NULL;
    }
    return bad(c, "unknown health check option");
}

static struct err *do_healthcheck(const struct change *c) {
    autojson health = json_object();
    autostrv struct strv test = {0};
    const char *p = c->rest;
    while (str_starts(p, "--")) {
        autofree char *word = mem_dupn(p, strcspn(p, " \t"));
        TRY(health_option(c, word, health));
        p += strlen(word);
        p += strspn(p, " \t");
    }
    if (!strcasecmp(p, "NONE")) {
        strv_push(&test, "NONE");
    } else if (!strncasecmp(p, "CMD ", 4)) {
        p += 4 + strspn(p + 4, " \t");
        autostrv struct strv words = {0};
        bool exec = json_form(p, &words);
        strv_push(&test, exec ? "CMD" : "CMD-SHELL");
        if (exec)
            strv_extend(&test, &words);
        else
            strv_push(&test, p);
    } else {
        return bad(c, "it must be NONE or CMD and a command");
    }
    json_set_strv(health, "Test", &test);
    json_set(c->config, "Healthcheck", take_ptr(&health));
    return NULL;
}

static const struct {
    const char *name;
    struct err *(*apply)(const struct change *c);
} instructions[] = {
    {"CMD", do_cmd},         {"ENTRYPOINT", do_entrypoint},   {"ENV", do_env},
    {"EXPOSE", do_expose},   {"HEALTHCHECK", do_healthcheck}, {"LABEL", do_label},
    {"ONBUILD", do_onbuild}, {"STOPSIGNAL", do_stopsignal},   {"USER", do_user},
    {"VOLUME", do_volume},   {"WORKDIR", do_workdir},
};

static struct err *apply_one(struct json *config, const char *text, bool *cmd_set) {
    autofree char *line = mem_dup(text + strspn(text, " \t\r\n"));
    for (size_t n = strlen(line); n > 0 && strchr(" \t\r\n", line[n - 1]); n--)
        line[n - 1] = 0;
    size_t n = strcspn(line, " \t");
    autofree char *name = mem_dupn(line, n);
    struct change c = {.config = config, .name = name, .rest = line + n + strspn(line + n, " \t"), .cmd_set = cmd_set};
    for (size_t i = 0; i < ARRAY_LEN(instructions); i++) {
        if (strcasecmp(name, instructions[i].name) != 0)
            continue;
        if (!*c.rest)
            return err_new(ERR_USAGE, "invalid change \"%s\": %s needs an argument", line, instructions[i].name);
        /* cppcheck-suppress[returnDanglingLifetime] an error never points into what it is about */
        return instructions[i].apply(&c);
    }
    return err_hint(err_new(ERR_USAGE, "%s is not a valid change command", *name ? name : "an empty text"),
                    "allowed: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR");
}

struct err *image_changes_apply(struct json *config, const struct strv *changes) {
    bool cmd_set = false;
    for (size_t i = 0; changes && i < changes->n; i++) {
        if (strlen(changes->v[i]) > CHANGE_MAX)
            return err_new(ERR_USAGE, "a change is longer than %zu bytes", CHANGE_MAX);
        TRY(apply_one(config, changes->v[i], &cmd_set));
    }
    return NULL;
}
