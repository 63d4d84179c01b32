/* dockerfile: lines: directives, comments, continuations, heredocs. See dockerfile_int.h. */
#include "build/dockerfile_int.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define INSTRUCTIONS_MAX 10000

struct reader {
    struct strv lines; /* without their ends */
    size_t next;       /* index of the next one */
    bool staged;       /* there was a FROM */
    struct strv comments;
    char *check;                 /* see df_instruction, as are the comments */
    unsigned empty_continuation; /* of the instruction that is read */
    struct dockerfile *d;
    struct df_fault *fault;
};

static const char *skip_blank(const char *p) {
    while (df_blank(*p))
        p++;
    return p;
}

static bool is_comment(const char *line) { return *skip_blank(line) == '#'; }

char *df_trimmed(const char *s, size_t n) {
    while (n > 0 && df_blank(*s)) {
        s++;
        n--;
    }
    while (n > 0 && df_blank(s[n - 1]))
        n--;
    return mem_dupn(s, n);
}

static char *trimmed(const char *s) { return df_trimmed(s, strlen(s)); }

/* ---- directives ---- */

/* "# key = value"; false when the line is none. */
static bool directive(const char *line, char **ret_key, char **ret_value) {
    const char *p = skip_blank(line), *key;
    if (*p != '#')
        return false;
    key = p = skip_blank(p + 1);
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (p > key && *p >= '0' && *p <= '9'))
        p++;
    size_t n = (size_t)(p - key);
    p = skip_blank(p);
    if (!n || *p != '=' || !*skip_blank(p + 1))
        return false;
    *ret_key = mem_dupn(key, n);
    *ret_value = trimmed(p + 1);
    return true;
}

static struct err *set_escape(struct dockerfile *d, const char *value) {
    if (!str_eq(value, "\\") && !str_eq(value, "`"))
        return err_new(ERR_USAGE, "invalid escape token '%s' does not match ` or \\", value);
    d->escape = *value;
    return NULL;
}

static struct err *apply_directive(struct dockerfile *d, const char *key, const char *value, bool *ret_known) {
    bool escape = !strcasecmp(key, "escape");
    char **text = !strcasecmp(key, "syntax") ? &d->syntax : !strcasecmp(key, "check") ? &d->check : NULL;
    *ret_known = escape || text;
    if (escape ? d->escape != 0 : text && *text)
        return err_new(ERR_USAGE, "only one %s parser directive can be used", key);
    if (escape)
        return set_escape(d, value);
    if (text)
        *text = mem_dup(value);
    return NULL;
}

static struct err *read_directives(struct reader *r) {
    for (size_t i = 0; i < r->lines.n; i++) {
        autofree char *key = NULL;
        autofree char *value = NULL;
        bool known = false;
        if (!directive(r->lines.v[i], &key, &value))
            break;
        *r->fault = (struct df_fault){(unsigned)i + 1, (unsigned)i + 1};
        TRY(apply_directive(r->d, key, value, &known));
        if (!known)
            break;
        r->next = i + 1;
    }
    if (!r->d->escape)
        r->d->escape = '\\';
    return NULL;
}

/* ---- lines ---- */

/* Takes the escape character, and blanks behind it, from a line's end; a doubled one is none. */
static bool continues(char *line, char escape) {
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    if (!n || line[n - 1] != escape || (n > 1 && line[n - 2] == escape))
        return false;
    line[n - 1] = 0;
    return true;
}

static void forget_comments(struct reader *r) {
    strv_done(&r->comments);
    free(take_ptr(&r->check));
}

/* What follows a blank behind "check=VALUE" is the reason for it. */
static void take_comment(struct reader *r, const char *line) {
    autofree char *text = trimmed(line + 1);
    autofree char *key = NULL;
    autofree char *value = NULL;
    if (!*text)
        forget_comments(r);
    else if (!directive(line, &key, &value) || strcasecmp(key, "check") != 0)
        strv_push(&r->comments, text);
    else if (!r->check)
        r->check = mem_dupn(value, strcspn(value, " "));
}

/* Up to the next instruction. Comments describe what stands right below them: an empty line, or an empty comment, makes
 * them comments of nothing. */
static void skip_to_instruction(struct reader *r) {
    forget_comments(r);
    for (; r->next < r->lines.n; r->next++) {
        const char *line = skip_blank(r->lines.v[r->next]);
        if (*line && *line != '#')
            return;
        if (*line)
            take_comment(r, line);
        else
            forget_comments(r);
    }
}

/* The next instruction as one line; false at the end. Comments and empty lines between continued ones are not of it. */
static bool logical_line(struct reader *r, struct str *out) {
    skip_to_instruction(r);
    if (r->next == r->lines.n)
        return false;
    r->fault->first = (unsigned)r->next + 1;
    bool empty = false;
    bool more = continues(r->lines.v[r->next], r->d->escape);
    str_append(out, skip_blank(r->lines.v[r->next++]));
    while (more && r->next < r->lines.n) {
        char *line = r->lines.v[r->next++];
        if (is_comment(line))
            continue;
        if (!*skip_blank(line)) {
            empty = true;
            continue;
        }
        more = continues(line, r->d->escape);
        str_append(out, line);
    }
    r->fault->last = (unsigned)r->next;
    r->empty_continuation = empty ? r->fault->last : 0;
    return true;
}

/* ---- heredocs ---- */

static bool takes_heredoc(const struct df_instruction *in) {
    return (in->kind == DF_RUN || in->kind == DF_COPY || in->kind == DF_ADD) && !in->json;
}

static struct err *read_heredoc(struct reader *r, struct df_heredoc *h, bool chomp) {
    autostr struct str data = STR_INIT_MAX(DOCKERFILE_MAX);
    while (r->next < r->lines.n) {
        const char *line = r->lines.v[r->next++];
        if (chomp)
            line += strspn(line, "\t");
        size_t n = strlen(line);
        n -= n > 0 && line[n - 1] == '\r';
        r->fault->last = (unsigned)r->next;
        if (strlen(h->name) == n && !strncmp(line, h->name, n)) {
            h->data = str_take(&data);
            return NULL;
        }
        str_append(&data, line);
        str_append_c(&data, '\n');
    }
    return err_new(ERR_USAGE, "unterminated heredoc");
}

static struct err *read_heredocs(struct reader *r, struct df_instruction *in) {
    autostr struct str chomp = STR_INIT;
    if (!takes_heredoc(in) || !strstr(in->rest, "<<"))
        return NULL;
    df_heredocs_of_line(in->rest, in, &chomp);
    for (size_t i = 0; i < in->n_heredocs; i++)
        TRY(read_heredoc(r, &in->heredocs[i], chomp.ptr[i] == '1'));
    return NULL;
}

/* ---- instructions ---- */

/* Splits "NAME --flags rest" and looks at each part. */
static struct err *read_instruction(struct df_instruction *in, const char *line, char escape) {
    in->text = trimmed(line);
    autofree char *name = df_typed_name(in);
    const char *rest = in->text + strlen(name);
    TRY(df_kind_of(name, &in->kind));
    TRY(df_take_flags(in, &rest));
    in->rest = trimmed(rest);
    return df_parse_args(in, escape);
}

static struct err *append(struct reader *r, const char *line, struct df_instruction *in) {
    struct dockerfile *d = r->d;
    TRY(read_instruction(in, line, d->escape));
    TRY(read_heredocs(r, in));
    r->staged |= in->kind == DF_FROM;
    if (!r->staged && in->kind != DF_ARG)
        return err_new(ERR_USAGE, "no build stage in current context");
    if (d->n == INSTRUCTIONS_MAX)
        return err_new(ERR_USAGE, "more than %d instructions", INSTRUCTIONS_MAX);
    in->first = r->fault->first;
    in->last = r->fault->last;
    in->empty_continuation = r->empty_continuation;
    in->comments = r->comments;
    r->comments = (struct strv){.n = 0};
    in->check = take_ptr(&r->check);
    d->v = mem_resize(d->v, d->n + 1, sizeof *d->v);
    d->v[d->n++] = *in;
    *in = (struct df_instruction){.text = NULL};
    return NULL;
}

static struct err *read_all(struct reader *r) {
    TRY(read_directives(r));
    for (;;) {
        autostr struct str line = STR_INIT_MAX(DOCKERFILE_MAX);
        struct df_instruction in = {.text = NULL};
        if (!logical_line(r, &line))
            break;
        if (!*skip_blank(str_c(&line))) /* a '\' alone */
            continue;
        struct err *e = append(r, str_c(&line), &in);
        df_instruction_done(&in);
        if (e)
            return err_wrap(e, "dockerfile parse error on line %u", r->fault->first);
    }
    *r->fault = (struct df_fault){0, 0};
    if (r->staged)
        return NULL;
    return r->d->n ? err_new(ERR_USAGE, "dockerfile contains no stages to build")
                   : err_new(ERR_USAGE, "file with no instructions");
}

static void hand_over(struct dockerfile *d, struct dockerfile *ret) {
    *ret = *d;
    *d = (struct dockerfile){.n = 0};
}

struct err *dockerfile_parse(const char *text, size_t n, struct dockerfile *ret, struct df_fault *fault) {
    autodockerfile d = {.n = 0};
    struct reader r = {.d = &d, .fault = fault};
    *fault = (struct df_fault){0, 0};
    if (n > DOCKERFILE_MAX)
        return err_new(ERR_USAGE, "the Dockerfile is larger than %zu bytes", DOCKERFILE_MAX);
    if (memchr(text, 0, n))
        return err_new(ERR_USAGE, "the Dockerfile has a NUL byte: it is no text");
    autofree char *copy = mem_dupn(text, n);
    const char *start = str_starts(copy, "\xef\xbb\xbf") ? copy + 3 : copy;
    size_t len = strlen(start);
    if (len > 0 && start[len - 1] == '\n')
        copy[(size_t)(start - copy) + len - 1] = 0;
    strv_split(&r.lines, start, '\n');
    for (size_t i = 0; i < r.lines.n; i++) {
        size_t end = strlen(r.lines.v[i]);
        if (end > 0 && r.lines.v[i][end - 1] == '\r')
            r.lines.v[i][end - 1] = 0;
    }
    struct err *e = read_all(&r);
    strv_done(&r.lines);
    forget_comments(&r);
    TRY(e);
    hand_over(&d, ret);
    return NULL;
}

struct err *dockerfile_parse_trigger(const char *text, struct dockerfile *ret) {
    autodockerfile d = {.escape = '\\', .v = mem_array(1, sizeof *d.v), .n = 1};
    TRY_CTX(read_instruction(&d.v[0], text, '\\'), "ONBUILD trigger \"%s\"", text);
    hand_over(&d, ret);
    return NULL;
}

void dockerfile_done(struct dockerfile *d) {
    for (size_t i = 0; i < d->n; i++)
        df_instruction_done(&d->v[i]);
    free(d->v);
    free(d->syntax);
    free(d->check);
    *d = (struct dockerfile){.n = 0};
}

/* ---- where an error is ---- */

/* The lines around a place that are shown with it: fewer where there are several, and more on one side where the other
 * is at the text's end. */
static void widen(const struct df_fault *fault, unsigned n, unsigned *ret_from, unsigned *ret_to) {
    unsigned from = fault->first, to = fault->last < n ? fault->last : n;
    unsigned wanted = from == to ? 4 : 2;
    for (unsigned p = 0; p < wanted; p++) {
        if (from > 1) {
            from--;
            p++;
        }
        if (to < n) {
            to++;
            p++;
        }
    }
    *ret_from = from;
    *ret_to = to;
}

void df_excerpt(const char *text, const char *name, const struct df_fault *fault, struct str *out) {
    static const char rule[] = "--------------------\n";
    autostrv struct strv lines = {.n = 0};
    unsigned from, to;
    strv_split(&lines, text, '\n');
    if (!fault->first || fault->first > lines.n)
        return;
    widen(fault, (unsigned)lines.n, &from, &to);
    str_appendf(out, "%s:%u\n%s", name, fault->first, rule);
    for (unsigned i = from; i <= to; i++) {
        size_t end = strlen(lines.v[i - 1]);
        if (end > 0 && lines.v[i - 1][end - 1] == '\r')
            lines.v[i - 1][end - 1] = 0;
        bool here = i >= fault->first && i <= fault->last;
        str_appendf(out, " %3u | %s ", i, here ? ">>>" : "   ");
        str_append_visible(out, lines.v[i - 1]);
        str_append_c(out, '\n');
    }
    str_append(out, rule);
}
