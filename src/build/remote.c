/* remote: see remote_int.h. */
#include "build/remote_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "build/git_int.h"
#include "build/pack_int.h"
#include "image/image.h"

bool remote_is(const char *source) { return context_is_remote(source); }

void remote_done(struct remote *r) {
    free(r->url);
    free(r->name);
    if (r->x)
        context_done(r->x->store, &r->files);
}

/* The last part of a URL's path; NULL: it has none. */
static char *url_name(const char *url) {
    const char *path = strchr(strstr(url, "://") + 3, '/');
    if (!path)
        return NULL;
    autofree char *bare = mem_dupn(path, strcspn(path, "?#"));
    autofree char *clean = path_clean(bare);
    const char *base = path_base(clean);
    return str_ends(bare, "/") || !path_is_component(base) ? NULL : mem_dup(base);
}

static struct err *check_sum(const struct remote *r) {
    if (!r->checksum || r->git || digest_ok(r->checksum))
        return NULL;
    if (!strchr(r->checksum, ':') || str_starts(r->checksum, "sha256:"))
        return err_new(ERR_USAGE, "invalid checksum digest format: %s", r->checksum);
    return err_hint(err_new(ERR_UNSUPPORTED, "--checksum=%s: only sha256 is computed", r->checksum),
                    "give the file's sha256");
}

struct err *remote_new(struct exec *x, const struct df_instruction *in, const char *source, struct remote *ret) {
    struct remote r = {.x = x, .url = mem_dup(source), .git = git_url_is(source), .files = CONTEXT_INIT};
    r.checksum = df_flag(in, "checksum");
    r.keep_git_dir = df_flag_set(in, "keep-git-dir");
    if (!r.git)
        r.name = url_name(source);
    *ret = r;
    TRY(check_sum(&r));
    if (r.checksum)
        attest_material(x, source, r.checksum); /* it may be cached, and is not fetched then */
    return NULL;
}

/* ---- fetching ---- */

/* A URL's file has mode 0600, and the time that the server tells. */
static struct err *download(struct remote *r) {
    const struct build_options *o = r->x->o;
    struct context *c = &r->files;
    autofd int file = -1;
    char digest[DIGEST_LEN + 1];
    int64_t modified = 0;
    TRY(context_new_directory(r->x->store, c));
    TRY(fd_open_at(c->dir, r->name ? r->name : "download", O_RDWR | O_CREAT | O_EXCL, 0600, &file));
    TRY(image_download(o->host, r->url, o->interrupted_fd, file, &modified));
    const struct timespec times[2] = {{.tv_sec = modified}, {.tv_sec = modified}};
    if (futimens(file, times) < 0)
        return err_sys(errno, "set the time of %s", r->url);
    if (!r->checksum && !r->x->o->attest->provenance)
        return NULL;
    if (lseek(file, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind %s", r->url);
    TRY(digest_of_fd(file, digest, NULL));
    if (!r->checksum || str_eq(digest, r->checksum)) {
        attest_material(r->x, r->url, digest);
        return NULL;
    }
    return err_new(ERR_CORRUPT, "digest mismatch %s: %s (expected)", digest, r->checksum);
}

/* A repository's checksum is its commit, or the beginning of it. */
static struct err *check_commit(const struct remote *r, const char *commit) {
    if (!r->checksum || (strlen(r->checksum) >= 7 && str_starts(commit, r->checksum)))
        return NULL;
    return err_new(ERR_CORRUPT, "expected checksum to match %s, got %s", r->checksum, commit);
}

static struct err *clone(struct remote *r) {
    struct context_git git = {.url = r->url, .keep_git_dir = r->keep_git_dir};
    TRY(context_git(r->x->o, r->x->store, &git, &r->files));
    attest_material(r->x, r->url, git.commit);
    return check_commit(r, git.commit);
}

struct err *remote_fetch(struct remote *r) {
    if (r->fetched)
        return NULL;
    r->fetched = true;
    return r->git ? clone(r) : download(r);
}

void remote_pack(const struct remote *r, const struct pack *how, struct pack *ret) {
    *ret = *how;
    ret->root = r->files.dir;
    ret->literal = true;
    ret->ignore = NULL;
    ret->parents = false;
    ret->texts = NULL;
    ret->n_texts = 0;
    ret->sources = (struct strv){.n = 0};
    strv_push(&ret->sources, r->git ? "/" : r->name ? r->name : "download");
}
