/* context: see context_int.h. */
#include "build/context_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "build/build.h"
#include "build/dockerfile_int.h"
#include "build/git_int.h"
#include "image/image.h"
#include "storage/files.h"
#include "storage/store.h"

enum { TAR_BLOCK = 512, TAR_SUM = 148, TAR_SUM_LEN = 8 };

void context_done(struct store *s, struct context *c) {
    fd_close(c->dir);
    str_done(&c->dockerfile);
    if (c->tmp)
        err_free(store_tmp_remove(s, c->tmp));
    fd_close(c->tmp_fd);
    free(c->tmp);
}

bool context_is_remote(const char *text) {
    return git_url_is(text) || str_starts(text, "http://") || str_starts(text, "https://");
}

/* ---- archives ---- */

/* The sum of a header's bytes, its own field counted as blanks. */
static bool tar_header_ok(const unsigned char *h) {
    autofree char *field = mem_dupn((const char *)h + TAR_SUM, TAR_SUM_LEN);
    uint64_t want = 0, sum = 0;
    char *digits = field + strspn(field, " ");
    digits[strspn(digits, "01234567")] = 0;
    if (!str_to_u64(digits, 8, UINT32_MAX, &want))
        return false;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= TAR_SUM && i < TAR_SUM + TAR_SUM_LEN ? ' ' : h[i];
    return sum == want;
}

bool context_is_archive(const void *start, size_t n) {
    static const struct {
        const char *magic;
        size_t n;
    } compressed[] = {{"\x1f\x8b", 2},
                      {"BZh", 3},
                      {"\xfd"
                       "7zXZ\0",
                       6},
                      {"\x28\xb5\x2f\xfd", 4}};
    for (size_t i = 0; i < ARRAY_LEN(compressed); i++)
        if (n >= compressed[i].n && !memcmp(start, compressed[i].magic, compressed[i].n))
            return true;
    return n >= TAR_BLOCK && tar_header_ok(start);
}

/* ---- directories that are made ---- */

struct err *context_new_directory(struct store *s, struct context *c) {
    c->remote = true;
    TRY(store_tmp_new(s, &c->tmp, &c->tmp_fd));
    TRY(io_mkdirs(c->tmp_fd, "context", 0755));
    return fd_open_dir(c->tmp_fd, "context", &c->dir);
}

static struct err *unpack(struct store *s, int file, struct context *c) {
    struct store_files_job *job = NULL;
    TRY(context_new_directory(s, c));
    const struct store_place p = {.in_fd = file, .dir_fd = c->dir, .mounts_fd = -1, .userns_fd = -1, .ids = UINT32_MAX};
    TRY(store_place_start(s, &p, &job));
    return store_files_finish(job, NULL);
}

/* A file of nobody's, at its start: an archive, or the text of a Dockerfile. */
static struct err *take_file(struct store *s, int file, struct context *c) {
    unsigned char start[TAR_BLOCK];
    ssize_t n = pread(file, start, sizeof start, 0);
    if (n < 0)
        return err_sys(errno, "read the context");
    c->remote = true;
    if (context_is_archive(start, (size_t)n))
        return unpack(s, file, c);
    c->is_dockerfile = true;
    return io_read_all(file, DOCKERFILE_MAX, "the Dockerfile", &c->dockerfile);
}

static struct err *unnamed_file(struct store *s, int *ret_fd) {
    return fd_open_at(store_dirfd(s, "tmp"), ".", O_TMPFILE | O_RDWR, 0600, ret_fd);
}

static struct err *rewind_file(int fd) { return lseek(fd, 0, SEEK_SET) < 0 ? err_sys(errno, "rewind a file") : NULL; }

static struct err *from_input(const struct build_options *o, struct store *s, struct context *c) {
    autofd int file = -1;
    TRY(unnamed_file(s, &file));
    TRY_CTX(io_copy(o->in_fd, file, UINT64_MAX, NULL), "read the context from standard input");
    TRY(rewind_file(file));
    return take_file(s, file, c);
}

static struct err *download(const struct build_options *o, struct store *s, const char *url, int *ret_fd) {
    autofd int file = -1;
    TRY(unnamed_file(s, &file));
    TRY_CTX(image_download(o->host, url, o->interrupted_fd, file, NULL), "failed to load remote");
    TRY(rewind_file(file));
    *ret_fd = take_fd(&file);
    return NULL;
}

static struct err *from_url(const struct build_options *o, struct store *s, const char *url, struct context *c) {
    autofd int file = -1;
    TRY(download(o, s, url, &file));
    return take_file(s, file, c);
}

struct err *context_fetch_text(const struct build_options *o, struct store *s, const char *url, struct str *out) {
    autofd int file = -1;
    TRY(download(o, s, url, &file));
    return io_read_all(file, DOCKERFILE_MAX, "the Dockerfile", out);
}

struct err *context_git(const struct build_options *o, struct store *s, struct context_git *g, struct context *ret) {
    autogiturl url = {.remote = NULL};
    autofd int sub = -1;
    TRY(git_url_parse(g->url, &url));
    TRY(context_new_directory(s, ret));
    autofree char *path = mem_printf("%s/tmp/%s/context", store_root(s), ret->tmp);
    const struct git_fetch fetch = {
        .host = o->host, .text = g->url, .url = &url, .directory = path, .keep_git_dir = g->keep_git_dir};
    TRY(git_fetch(&fetch, g->commit));
    memcpy(ret->commit, g->commit, sizeof ret->commit);
    if (!url.subdir)
        return NULL;
    TRY_CTX(path_open_in_root(ret->dir, url.subdir, O_RDONLY | O_DIRECTORY, 0, &sub), "%s: %s", g->url, url.subdir);
    fd_replace(&ret->dir, take_fd(&sub));
    return NULL;
}

/* ---- what the user named ---- */

static struct err *directory(const char *path, struct context *c) {
    struct err *e = fd_open_dir(AT_FDCWD, path, &c->dir);
    if (e && err_errno(e) == ENOENT) {
        err_free(e);
        return err_new(ERR_NOT_FOUND, "unable to prepare context: path \"%s\" not found", path);
    }
    return e ? err_wrap(e, "unable to prepare context") : NULL;
}

struct err *context_open(const struct build_options *o, struct store *s, const char *text, struct context *ret) {
    struct context_git git = {.url = text,
                              .keep_git_dir = str_eq(strv_env_get(o->args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR"), "1")};
    if (str_eq(text, "-"))
        return from_input(o, s, ret);
    if (git_url_is(text))
        return context_git(o, s, &git, ret);
    if (context_is_remote(text))
        return from_url(o, s, text, ret);
    if (strstr(text, "://"))
        return err_hint(
            err_new(ERR_UNSUPPORTED, "%s: a build context is a directory, a git repository, or a tar", text),
            "git://, ssh://, http:// and https:// are fetched");
    return directory(text, ret);
}
