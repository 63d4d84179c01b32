/* files: trees to tars and back, by coracle-unpack: what cp, export and commit are made of. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/sys/sys.h"
#include "storage/files.h"
#include "storage/store_int.h"
#include "storage/unpack_int.h"

struct store_files_job {
    struct unpack helper;
    void (*progress)(void *ctx, int64_t bytes);
    void *progress_ctx;
};

static struct err *names_file(const struct store_gather *g, int *ret_fd) {
    autofd int fd = sys_memfd("names", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "make a memory file");
    TRY(io_write_all(fd, g->name, strlen(g->name) + 1));
    TRY(io_write_all(fd, g->as, strlen(g->as) + 1));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "rewind a memory file");
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *job_start(const struct store *s, int userns_fd, const struct json *order, const int fds[4],
                             struct store_files_job **ret) {
    struct store_files_job *job = mem_alloc(sizeof *job);
    struct err *e = unpack_start(s, userns_fd, &job->helper);
    if (e) {
        free(job);
        return e;
    }
    size_t n = 0;
    while (n < 4 && fds[n] >= 0)
        n++;
    e = msg_send(job->helper.chan, order, fds, n);
    if (e) {
        unpack_stop(&job->helper);
        free(job);
        return e;
    }
    *ret = job;
    return NULL;
}

struct err *store_gather_start(const struct store *s, const struct store_gather *g, struct store_files_job **ret) {
    autofd int names = -1;
    if (g->changes_fd < 0)
        TRY(names_file(g, &names));
    autojson order = json_object();
    json_set_str(order, "op", "gather");
    json_set_bool(order, "changes", g->changes_fd >= 0);
    json_set_bool(order, "as_root", g->as_root);
    json_set_bool(order, "sparse", g->sparse);
    json_set_bool(order, "digest", g->digest);
    if (g->clamp)
        json_set_int(order, "latest", g->latest);
    json_set_bool(order, "progress", g->progress != NULL);
    const int fds[4] = {g->out_fd, g->dir_fd, g->changes_fd >= 0 ? g->changes_fd : names, g->root_fd};
    TRY(job_start(s, g->userns_fd, order, fds, ret));
    (*ret)->progress = g->progress;
    (*ret)->progress_ctx = g->progress_ctx;
    return NULL;
}

struct err *store_place_start(const struct store *s, const struct store_place *p, struct store_files_job **ret) {
    autojson order = json_object();
    json_set_str(order, "op", "place");
    json_set_int(order, "ids", p->ids);
    json_set_bool(order, "own", p->own);
    json_set_bool(order, "as_root", p->as_root);
    json_set_bool(order, "follow", p->mounts_fd >= 0);
    const int fds[4] = {p->in_fd, p->dir_fd, p->mounts_fd, -1};
    return job_start(s, p->userns_fd, order, fds, ret);
}

/* Its last message. */
static struct err *receive(struct store_files_job *job, struct json **ret) {
    for (;;) {
        autojson m = NULL;
        TRY(unpack_recv(&job->helper, &m));
        const struct json *progress = json_get(m, "progress");
        if (!progress) {
            *ret = take_ptr(&m);
            return NULL;
        }
        if (job->progress)
            job->progress(job->progress_ctx, json_int_value(progress, 0));
    }
}

static struct err *finish(struct store_files_job *take_job, struct json **ret) {
    struct err *e = receive(take_job, ret);
    unpack_stop(&take_job->helper);
    free(take_job);
    return e;
}

struct err *store_gather_finish(struct store_files_job *take_job, int64_t *ret_bytes, char ret_digest[DIGEST_LEN + 1]) {
    autojson m = NULL;
    TRY(finish(take_job, &m));
    const char *digest = json_text(json_get(m, "ok"), "digest");
    if (!digest_ok(digest))
        return err_new(ERR_CORRUPT, "coracle-unpack has sent no digest");
    memcpy(ret_digest, digest, DIGEST_LEN + 1);
    *ret_bytes = json_int_value(json_path(m, "ok.bytes"), 0);
    return NULL;
}

struct err *store_files_finish(struct store_files_job *take_job, int64_t *ret_bytes) {
    autojson m = NULL;
    struct err *e = finish(take_job, &m);
    if (!e && ret_bytes)
        *ret_bytes = json_int_value(json_path(m, "ok.bytes"), 0);
    return e;
}
