/* compress: see compress.h. */
#include "storage/compress.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "storage/store_int.h"
#include "storage/unpack_int.h"

#define OUT_NAME "blob"

struct store_compress_job {
    struct unpack helper;
    char *tmp;
    int tmp_fd;
    char *diff_id;
};

static void job_free(struct store *s, struct store_compress_job *job) {
    unpack_stop(&job->helper);
    if (job->tmp)
        err_free(store_tmp_remove(s, job->tmp)); /* what is left is debris */
    fd_close(job->tmp_fd);
    free(job->tmp);
    free(job->diff_id);
    free(job);
}

static struct err *start(struct store *s, const char *format, struct store_compress_job *job) {
    autofd int in = -1, out = -1;
    TRY(store_blob_open(s, job->diff_id, &in, NULL));
    TRY(store_tmp_new(s, &job->tmp, &job->tmp_fd));
    TRY(fd_open_at(job->tmp_fd, OUT_NAME, O_RDWR | O_CREAT | O_EXCL, 0600, &out));
    TRY(unpack_start(s, -1, &job->helper));
    autojson order = json_object();
    json_set_str(order, "op", "compress");
    json_set_str(order, "format", format);
    const int fds[] = {in, out};
    return msg_send(job->helper.chan, order, fds, ARRAY_LEN(fds));
}

struct err *store_compress_start(struct store *s, const char *diff_id, const char *format,
                                 struct store_compress_job **ret) {
    struct store_compress_job *job = mem_alloc(sizeof *job);
    *job = (struct store_compress_job){.helper = {.pid = -1, .pidfd = -1}, .tmp_fd = -1, .diff_id = mem_dup(diff_id)};
    struct err *e = start(s, format, job);
    if (e) {
        job_free(s, job);
        return err_wrap(e, "compress layer %s", diff_id);
    }
    *ret = job;
    return NULL;
}

static struct err *finish(struct store *s, struct store_compress_job *job, char ret_digest[DIGEST_LEN + 1],
                          int64_t *ret_size) {
    autojson m = NULL;
    struct json *ok;
    const char *digest, *diff_id;
    TRY(unpack_recv(&job->helper, &m));
    TRY(json_get_object(m, "ok", &ok));
    TRY(json_get_str(ok, "digest", &digest));
    TRY(json_get_str(ok, "diff_id", &diff_id));
    TRY(json_get_i64(ok, "size", ret_size));
    if (!digest_ok(digest) || !str_eq(diff_id, job->diff_id))
        return err_new(ERR_CORRUPT, "its blob has the digest %s", diff_id);
    TRY(store_blob_adopt(s, digest, job->tmp_fd, OUT_NAME));
    memcpy(ret_digest, digest, DIGEST_LEN + 1);
    return NULL;
}

struct err *store_compress_finish(struct store *s, struct store_compress_job *take_job, char ret_digest[72],
                                  int64_t *ret_size) {
    struct err *e = finish(s, take_job, ret_digest, ret_size);
    if (e)
        e = err_wrap(e, "compress layer %s", take_job->diff_id);
    job_free(s, take_job);
    return e;
}

void store_compress_cancel(struct store *s, struct store_compress_job *take_job) { job_free(s, take_job); }
