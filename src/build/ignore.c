/* ignore: see ignore_int.h. */
#include "build/ignore_int.h"

#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "build/dockerfile_int.h"
#include "build/glob_int.h"

struct rule {
    struct glob glob;
    char *pattern;
    bool keep; /* "!" */
};

struct ignore {
    struct rule *rule;
    size_t n;
    bool any_keep;
};

void ignore_free(struct ignore *ig) {
    for (size_t i = 0; ig && i < ig->n; i++) {
        glob_done(&ig->rule[i].glob);
        free(ig->rule[i].pattern);
    }
    if (ig)
        free(ig->rule);
    free(ig);
}

/* Whether a relative path leads above its start. */
static bool climbs_out(const char *path) {
    autostrv struct strv parts = {.n = 0};
    long depth = 0;
    strv_split(&parts, path, '/');
    for (size_t i = 0; i < parts.n; i++) {
        bool up = str_eq(parts.v[i], "..");
        depth += up ? -1 : *parts.v[i] && !str_eq(parts.v[i], ".");
        if (depth < 0)
            return true;
    }
    return false;
}

/* As Go's path.Clean, without a '/' at its start. What leads out of the context stays as it is, and matches nothing. */
static char *clean_pattern(const char *text) {
    if (*text != '/' && climbs_out(text))
        return mem_dup(text);
    autofree char *clean = path_clean(text);
    return mem_dup(*clean == '/' && clean[1] ? clean + 1 : clean);
}

static struct err *add(struct ignore *ig, const char *typed) {
    autofree char *text = df_trimmed(typed, strlen(typed));
    bool keep = *text == '!';
    autofree char *bare = df_trimmed(text + keep, strlen(text + keep));
    if (!*text)
        return NULL;
    if (!*bare)
        return err_new(ERR_USAGE, "illegal exclusion pattern: \"!\"");
    autofree char *clean = clean_pattern(bare);
    struct glob glob;
    if (str_eq(clean, ".")) /* ignored, as docker's documentation has it */
        return NULL;
    TRY(glob_compile(clean, GLOB_PATHS, &glob));
    ig->rule = mem_resize(ig->rule, ig->n + 1, sizeof *ig->rule);
    ig->rule[ig->n++] = (struct rule){.glob = glob, .pattern = take_ptr(&clean), .keep = keep};
    ig->any_keep |= keep;
    return NULL;
}

struct err *ignore_new(const struct strv *patterns, struct ignore **ret) {
    autoignore ig = mem_alloc(sizeof *ig);
    for (size_t i = 0; i < patterns->n; i++)
        TRY(add(ig, patterns->v[i]));
    *ret = take_ptr(&ig);
    return NULL;
}

struct err *ignore_parse(const char *text, struct ignore **ret) {
    autoignore ig = mem_alloc(sizeof *ig);
    autostrv struct strv lines = {.n = 0};
    strv_split(&lines, str_starts(text, "\xef\xbb\xbf") ? text + 3 : text, '\n');
    for (size_t i = 0; i < lines.n; i++)
        if (lines.v[i][0] != '#')
            TRY_CTX(add(ig, lines.v[i]), ".dockerignore, line %zu", i + 1);
    *ret = take_ptr(&ig);
    return NULL;
}

struct err *ignore_read(int dir, const char *name, struct ignore **ret) {
    autostr struct str text = STR_INIT;
    autofd int fd = path_find_in_root(dir, name, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    TRY(io_read_all(fd, IGNORE_MAX, name, &text));
    return ignore_parse(str_c(&text), ret);
}

/* A directory's rule is that of all below it. */
static bool rule_covers(const struct rule *r, const char *path) {
    autofree char *part = mem_dup(path);
    for (;;) {
        if (glob_matches(&r->glob, part))
            return true;
        char *slash = strrchr(part, '/');
        if (!slash)
            return false;
        *slash = 0;
    }
}

bool ignore_path(const struct ignore *ig, const char *path) {
    bool out = false;
    for (size_t i = 0; ig && i < ig->n; i++)
        if (out == ig->rule[i].keep && rule_covers(&ig->rule[i], path))
            out = !ig->rule[i].keep;
    return out;
}

bool ignore_has_exceptions(const struct ignore *ig) { return ig && ig->any_keep; }

/* The pattern's fixed beginning leads into the directory, or the directory lies within it. */
static bool may_lead_below(const char *pattern, const char *directory) {
    size_t fixed = strcspn(pattern, "*?[\\"), n = strlen(directory);
    size_t common = fixed < n ? fixed : n;
    if (strncmp(pattern, directory, common) != 0)
        return false;
    return fixed <= n || pattern[n] == '/';
}

bool ignore_may_keep_below(const struct ignore *ig, const char *directory) {
    for (size_t i = 0; ig && ig->any_keep && i < ig->n; i++)
        if (ig->rule[i].keep && may_lead_below(ig->rule[i].pattern, directory))
            return true;
    return false;
}
