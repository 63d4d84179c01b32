/* dockerfile_words: what follows an instruction's name: flags, words, JSON arrays, heredoc marks. */
#include "build/dockerfile_int.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "build/expand_int.h"

/* ---- flags ---- */

enum flag_type { FLAG_TEXT, FLAG_LIST, FLAG_BOOL };

static const struct flag_def {
    enum df_kind kind;
    enum flag_type type;
    const char *name;
} flag_defs[] = {
    {DF_ADD, FLAG_TEXT, "chmod"},
    {DF_ADD, FLAG_TEXT, "checksum"},
    {DF_ADD, FLAG_TEXT, "chown"},
    {DF_ADD, FLAG_LIST, "exclude"},
    {DF_ADD, FLAG_BOOL, "keep-git-dir"},
    {DF_ADD, FLAG_BOOL, "link"},
    {DF_ADD, FLAG_BOOL, "unpack"},
    {DF_COPY, FLAG_TEXT, "chmod"},
    {DF_COPY, FLAG_TEXT, "chown"},
    {DF_COPY, FLAG_LIST, "exclude"},
    {DF_COPY, FLAG_TEXT, "from"},
    {DF_COPY, FLAG_BOOL, "link"},
    {DF_COPY, FLAG_BOOL, "parents"},
    {DF_FROM, FLAG_TEXT, "platform"},
    {DF_HEALTHCHECK, FLAG_TEXT, "interval"},
    {DF_HEALTHCHECK, FLAG_TEXT, "retries"},
    {DF_HEALTHCHECK, FLAG_TEXT, "start-interval"},
    {DF_HEALTHCHECK, FLAG_TEXT, "start-period"},
    {DF_HEALTHCHECK, FLAG_TEXT, "timeout"},
    {DF_RUN, FLAG_LIST, "device"},
    {DF_RUN, FLAG_LIST, "mount"},
    {DF_RUN, FLAG_TEXT, "network"},
    {DF_RUN, FLAG_TEXT, "security"},
};

static const struct flag_def *find_flag(enum df_kind kind, const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(flag_defs); i++)
        if (flag_defs[i].kind == kind && str_eq(flag_defs[i].name, name))
            return &flag_defs[i];
    return NULL;
}

static struct err *bool_value(const char *name, const char *value, const char **ret) {
    if (!value || !strcasecmp(value, "true"))
        *ret = "true";
    else if (!*value)
        return err_new(ERR_USAGE, "missing a value on flag: --%s", name);
    else if (!strcasecmp(value, "false"))
        *ret = "false";
    else
        return err_new(ERR_USAGE, "expecting boolean value for flag --%s, not: %s", name, value);
    return NULL;
}

/* "--name" or "--name=value". */
static struct err *add_flag(struct df_instruction *in, const char *word) {
    autofree char *name = mem_dupn(word + 2, strcspn(word + 2, "="));
    const char *value = strchr(word, '=');
    const struct flag_def *def = find_flag(in->kind, name);
    if (value)
        value++;
    if (!def)
        return err_new(ERR_USAGE, "unknown flag: --%s", name);
    if (def->type != FLAG_LIST && df_flag(in, name))
        return err_new(ERR_USAGE, "duplicate flag specified: --%s", name);
    if (def->type == FLAG_BOOL)
        TRY(bool_value(name, value, &value));
    if (!value)
        return err_new(ERR_USAGE, "missing a value on flag: --%s", name);
    in->flags = mem_resize(in->flags, in->n_flags + 1, sizeof *in->flags);
    in->flags[in->n_flags++] = (struct df_flag){take_ptr(&name), mem_dup(value)};
    return NULL;
}

/* One word up to a blank; quotes join and are taken away, a backslash takes the next byte as it is. */
static void take_flag_word(const char **rest, struct str *out) {
    const char *p = *rest;
    for (char quote = 0; *p && (quote || !df_blank(*p)); p++) {
        if (quote ? *p == quote : *p == '"' || *p == '\'') {
            quote = quote ? 0 : *p;
            continue;
        }
        if (*p == '\\' && p[1])
            p++;
        str_append_c(out, *p);
    }
    *rest = p;
}

struct err *df_take_flags(struct df_instruction *in, const char **rest) {
    for (;;) {
        autostr struct str word = STR_INIT;
        while (df_blank(**rest))
            (*rest)++;
        if (!str_starts(*rest, "--"))
            return NULL;
        take_flag_word(rest, &word);
        if (str_eq(str_c(&word), "--"))
            return NULL;
        TRY(add_flag(in, str_c(&word)));
    }
}

const char *df_flag(const struct df_instruction *in, const char *name) {
    for (size_t i = 0; i < in->n_flags; i++)
        if (str_eq(in->flags[i].name, name))
            return in->flags[i].value;
    return NULL;
}

bool df_flag_set(const struct df_instruction *in, const char *name) { return str_eq(df_flag(in, name), "true"); }

void df_flag_all(const struct df_instruction *in, const char *name, struct strv *out) {
    for (size_t i = 0; i < in->n_flags; i++)
        if (str_eq(in->flags[i].name, name))
            strv_push(out, in->flags[i].value);
}

/* ---- words ---- */

void df_words(const char *text, char escape, struct strv *out) {
    for (const char *p = text;;) {
        while (df_blank(*p))
            p++;
        const char *start = p;
        char quote = 0;
        for (; *p && (quote || !df_blank(*p)); p++) {
            if (*p == escape && p[1] && quote != '\'')
                p++;
            else if (quote ? *p == quote : *p == '"' || *p == '\'')
                quote = quote ? 0 : *p;
        }
        if (p == start)
            return;
        strv_push_take(out, mem_dupn(start, (size_t)(p - start)));
    }
}

/* Bytes of the JSON array at the start of the text, 0 when it does not end: as Go's decoder, which reads one value. */
static size_t array_len(const char *text) {
    long depth = 0;
    bool string = false;
    for (size_t i = 0; text[i]; i++) {
        if (string) {
            if (text[i] == '\\' && text[i + 1])
                i++;
            else
                string = text[i] != '"';
            continue;
        }
        string = text[i] == '"';
        depth += (text[i] == '[') - (text[i] == ']');
        if (depth == 0)
            return i + 1;
    }
    return 0;
}

struct err *df_json_words(const char *text, struct strv *out, bool *ret_is) {
    autojson j = NULL;
    *ret_is = false;
    while (df_blank(*text))
        text++;
    size_t n = *text == '[' ? array_len(text) : 0;
    if (!n)
        return NULL;
    autoerr e = json_parse(text, n, "instruction", 0, &j);
    if (e || json_type(j) != JSON_ARRAY)
        return NULL;
    JSON_EACH(item, j)
    if (!json_str_value(item))
        return err_new(ERR_USAGE, "when using JSON array syntax, arrays must be comprised of strings only");
    JSON_EACH(item, j)
    strv_push(out, json_str_value(item));
    *ret_is = true;
    return NULL;
}

/* ---- heredocs ---- */

static const char *nothing(void *ctx, const char *name) {
    (void)ctx;
    (void)name;
    return NULL;
}

bool df_heredoc_word(const char *word, struct df_heredoc *ret, bool *ret_chomp) {
    const struct expand x = {.get = nothing, .escape = '\\', .keep_unset = true};
    autostrv struct strv words = {.n = 0};
    while (*word >= '0' && *word <= '9')
        word++;
    if (!str_starts(word, "<<"))
        return false;
    word += 2;
    bool chomp = *word == '-';
    word += chomp;
    if (!*word || strchr(word, '<'))
        return false;
    autoerr e = expand_words(&x, word, &words);
    if (e || words.n != 1)
        return false;
    *ret = (struct df_heredoc){.name = mem_dup(words.v[0]), .expand = str_eq(words.v[0], word)};
    *ret_chomp = chomp;
    return true;
}

void df_heredocs_of_line(const char *line, struct df_instruction *in, struct str *chomp) {
    autostrv struct strv words = {.n = 0};
    df_words(line, '\\', &words);
    for (size_t i = 0; i < words.n; i++) {
        struct df_heredoc h;
        bool tabs;
        if (!df_heredoc_word(words.v[i], &h, &tabs))
            continue;
        in->heredocs = mem_resize(in->heredocs, in->n_heredocs + 1, sizeof *in->heredocs);
        in->heredocs[in->n_heredocs++] = h;
        str_append_c(chomp, tabs ? '1' : '0');
    }
}

const struct df_heredoc *df_heredoc_of(const struct df_instruction *in, const char *word) {
    struct df_heredoc h;
    bool chomp;
    const struct df_heredoc *found = NULL;
    if (!in->n_heredocs || in->json || !df_heredoc_word(word, &h, &chomp))
        return NULL;
    for (size_t i = 0; i < in->n_heredocs && !found; i++)
        if (str_eq(in->heredocs[i].name, h.name))
            found = &in->heredocs[i];
    free(h.name);
    return found;
}
