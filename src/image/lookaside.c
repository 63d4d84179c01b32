/*
 * lookaside: where the simple signatures of a repository lie (containers-registries.d(5)). The files of
 * ~/.config/containers/registries.d, or where there is no such directory of /etc/containers/registries.d, are YAML; of
 * that only what they are made of is read: maps of maps of plain values, by indentation. Anything else is refused, for
 * a file that is misread would leave signatures unseen.
 *
 *     default-docker:
 *       lookaside: file:///var/lib/containers/sigstore
 *     docker:
 *       registry.example.com/team:
 *         lookaside: https://signatures.example.com
 */
#include "image/trust_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"

#define FILE_MAX ((size_t)1 << 20)

/* ---- the text ---- */

enum { LEVELS = 3 };
struct reading {
    const struct strv *scopes;
    size_t *rank;
    char **ret;
    char *keys[LEVELS];
    size_t indents[LEVELS];
    size_t depth;
};

/* A key or value without its quotes; owned. */
static char *scalar(const char *s, size_t n) {
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\r'))
        n--;
    if (n >= 2 && (*s == '"' || *s == '\'') && s[n - 1] == *s)
        return mem_dupn(s + 1, n - 2);
    return mem_dupn(s, n);
}

/* Length of a line without its comment. */
static size_t content_len(const char *line) {
    for (size_t i = 0; line[i]; i++)
        if (line[i] == '#' && (i == 0 || line[i - 1] == ' '))
            return i;
    return strlen(line);
}

/* The ':' that ends a key: the last one, or one before a blank. */
static const char *key_end(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] == ':' && (i + 1 == n || s[i + 1] == ' ' || s[i + 1] == '\r'))
            return s + i;
    return NULL;
}

/* A place for signatures: taken when its scope is better than what there was. The default is worse than any scope. */
static void take_value(struct reading *r, const char *key, const char *value) {
    size_t rank = r->scopes->n;
    if (!str_eq(key, "lookaside") && !str_eq(key, "sigstore"))
        return;
    if (r->depth == 2 && str_eq(r->keys[0], "docker"))
        for (rank = 0; rank < r->scopes->n && !str_eq(r->keys[1], r->scopes->v[rank]);)
            rank++;
    else if (r->depth != 1 || !str_eq(r->keys[0], "default-docker"))
        return;
    if ((r->depth == 2 && rank == r->scopes->n) || (*r->ret && rank >= *r->rank))
        return;
    *r->rank = rank;
    mem_set(r->ret, value);
}

static struct err *read_line(struct reading *r, const char *line, size_t number) {
    size_t n = content_len(line), indent = strspn(line, " ");
    while (n > indent && strchr(" \r", line[n - 1]))
        n--;
    if (n <= indent || (indent == 0 && str_starts(line, "---")))
        return NULL;
    const char *s = line + indent, *colon = key_end(s, n - indent);
    if (!colon || strchr("-[{&*!|>%@`?\t", *s))
        return err_new(ERR_CORRUPT, "line %zu is not \"key: value\"", number);
    while (r->depth > 0 && r->indents[r->depth - 1] >= indent)
        free(r->keys[--r->depth]);
    autofree char *key = scalar(s, (size_t)(colon - s));
    size_t rest = n - indent - (size_t)(colon + 1 - s), blank = strspn(colon + 1, " ");
    if (rest > blank) {
        autofree char *value = scalar(colon + 1 + blank, rest - blank);
        if (strchr("[{&*!|>", *value))
            return err_new(ERR_CORRUPT, "line %zu has a value that is no plain one", number);
        if (str_ends(value, "/"))
            value[strlen(value) - 1] = '\0';
        take_value(r, key, value);
        return NULL;
    }
    if (r->depth == LEVELS)
        return err_new(ERR_CORRUPT, "line %zu is nested too deep", number);
    r->indents[r->depth] = indent;
    r->keys[r->depth++] = take_ptr(&key);
    return NULL;
}

struct err *lookaside_parse(const char *text, const struct strv *scopes, size_t *rank, char **ret) {
    struct reading r = {.scopes = scopes, .rank = rank, .ret = ret};
    autostrv struct strv lines = {.n = 0};
    struct err *e = NULL;
    strv_split(&lines, text, '\n');
    for (size_t i = 0; i < lines.n && !e; i++)
        e = read_line(&r, lines.v[i], i + 1);
    while (r.depth > 0)
        free(r.keys[--r.depth]);
    return e;
}

/* ---- the files ---- */

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int is_yaml(const struct dirent *d) { return str_ends(d->d_name, ".yaml"); }

static struct err *read_file(const char *dir, const char *name, struct reading *r) {
    autofd int fd = -1;
    autostr struct str text = STR_INIT_MAX(FILE_MAX);
    autofree char *path = mem_printf("%s/%s", dir, name);
    TRY(fd_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd));
    TRY(io_read_all(fd, FILE_MAX, path, &text));
    TRY_CTX(lookaside_parse(str_c(&text), r->scopes, r->rank, r->ret), "%s", path);
    return NULL;
}

/* *ret_there: the directory exists, and so no other one counts. */
static struct err *read_dir(const char *dir, struct reading *r, bool *ret_there) {
    struct dirent **names = NULL;
    struct err *e = NULL;
    int n = scandir(dir, &names, is_yaml, by_name);
    *ret_there = n >= 0;
    if (n < 0)
        return errno == ENOENT || errno == ENOTDIR ? NULL : err_sys(errno, "read %s", dir);
    for (int i = 0; i < n; i++) {
        if (!e)
            e = read_file(dir, names[i]->d_name, r);
        free(names[i]);
    }
    free(names);
    return e;
}

struct err *lookaside_find(const struct host *h, const struct image_ref *ref, char **ret) {
    autostrv struct strv scopes = {.n = 0};
    size_t rank = 0;
    char *found = NULL;
    bool there = false;
    const struct trust_source source = {.transport = "docker", .ref = ref};
    struct reading r = {.scopes = &scopes, .rank = &rank, .ret = &found};
    const char *base = h->config_dir ? path_base(h->config_dir) : NULL;
    trust_scopes(&source, &scopes);
    strv_remove(&scopes, scopes.n - 1); /* the transport's own default is a matter of policies */
    struct err *e = NULL;
    if (base) {
        autofree char *dir = mem_printf("%.*scontainers/registries.d", (int)(base - h->config_dir), h->config_dir);
        e = read_dir(dir, &r, &there);
    }
    if (!e && !there)
        e = read_dir("/etc/containers/registries.d", &r, &there);
    if (!e && !found && !h->home)
        e = err_new(ERR_NOT_FOUND, "no look-aside storage of signatures is configured, and there is no home directory");
    if (e) {
        free(found);
        return err_wrap(e, "registries.d");
    }
    *ret = found ? found : mem_printf("file://%s/.local/share/containers/sigstore", h->home);
    return NULL;
}
