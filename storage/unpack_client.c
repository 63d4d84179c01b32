/* unpack_client: layers by coracle-unpack. It makes the files; this side verifies, syncs and renames. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/proc.h"
#include "storage/store_int.h"
#include "storage/unpack_int.h"

#define CHANNEL_FD 3
#define USERNS_FD 4

struct store_unpack_job {
    struct unpack helper;
    char *tmp; /* tmp/<tmp> holds diff/ */
    int tmp_fd;
    char *chain_id, *blob_digest, *diff_id; /* expected; NULL where unknown */
    bool known;                             /* the input has that blob_digest */
    char *parent;                           /* of an unknown chain_id, or NULL */
    int64_t blob_size;                      /* expected, or -1 */
};

/* ---- the process ---- */

struct err *unpack_start(const struct store *s, int userns_fd, struct unpack *ret) {
    autofree char *path = NULL;
    TRY(host_find_program(store_host(s), "coracle-unpack", NULL, &path));
    int pair[2];
    TRY(fd_socketpair(SOCK_STREAM, pair));
    autofd int theirs = pair[1];
    struct unpack u = {.pid = -1, .pidfd = -1, .chan = msg_chan_new(pair[0])};
    char *const argv[] = {path, NULL};
    struct proc_spawn p = {.path = path,
                           .argv = argv,
                           .stdio = {-1, -1, STDERR_FILENO},
                           .fds = {{.from = theirs, .to = CHANNEL_FD}, {.from = userns_fd, .to = USERNS_FD}},
                           .n_fds = userns_fd >= 0 ? 2 : 1,
                           .die_with_parent = true};
    struct err *e = proc_spawn(&p, &u.pid, &u.pidfd);
    if (e) {
        msg_chan_free(u.chan);
        return e;
    }
    *ret = u;
    return NULL;
}

/* Why there was no answer. */
static struct err *explain_end(struct unpack *u) {
    int code = 0;
    fd_replace(&u->pidfd, -1);
    TRY(proc_reap(u->pid, &code));
    u->pid = -1;
    if (code <= 128)
        return err_new(ERR_SYSTEM, "coracle-unpack ended with status %d and without a result", code);
    struct err *e = err_new(ERR_SYSTEM, "coracle-unpack was killed by %s", proc_signal_name(code - 128));
    return code == 128 + SIGKILL ? err_hint(e, "the machine may be out of memory; see the kernel's log") : e;
}

struct err *unpack_recv(struct unpack *u, struct json **ret) {
    autojson m = NULL;
    TRY(msg_recv(u->chan, &m, NULL, NULL));
    if (!m)
        return explain_end(u);
    TRY(msg_err_of(m));
    *ret = take_ptr(&m);
    return NULL;
}

void unpack_stop(struct unpack *u) {
    msg_chan_free(take_ptr(&u->chan));
    if (u->pid > 0) {
        int code;
        err_free(proc_signal(u->pidfd, SIGKILL)); /* it may have gone already */
        err_free(proc_reap(u->pid, &code));
    }
    u->pid = -1;
    fd_replace(&u->pidfd, -1);
}

/* ---- layers ---- */

/* Frees the job. Closing the descriptor of an unfinished directory makes it debris, which store_collect() deletes. */
static void job_free(struct store_unpack_job *job) {
    unpack_stop(&job->helper);
    fd_close(job->tmp_fd);
    free(job->tmp);
    free(job->chain_id);
    free(job->blob_digest);
    free(job->diff_id);
    free(job->parent);
    free(job);
}

/* *ret_fd: the layer in a directory that others share, if it is to be referred to; "data" says where it is. */
static struct err *refer_to_shared(struct store *s, const struct store_unpack_job *job, const struct store_unpack *u,
                                   int *ret_fd) {
    autofree char *path = NULL;
    if (!u->refer || !u->chain_id || !store_overlay_shifts(s))
        return NULL;
    autofd int fd = store_shared_layer(s, u->chain_id, &path);
    if (fd < 0)
        return NULL;
    autofree char *data = path_join(path, "data");
    if (symlinkat(data, job->tmp_fd, "data") < 0)
        return err_sys(errno, "note where the layer's data is");
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *send_order(struct store *s, struct store_unpack_job *job, const struct store_unpack *u) {
    autofd int diff = -1;
    if (mkdirat(job->tmp_fd, "diff", 0755) != 0)
        return err_sys(errno, "make a layer directory");
    TRY(fd_open_dir(job->tmp_fd, "diff", &diff));
    autofd int shared = -1;
    TRY(refer_to_shared(s, job, u, &shared));
    int fds[5] = {u->input_fd, diff};
    size_t n = 2;
    if (u->bell_fd >= 0)
        fds[n++] = u->bell_fd;
    if (u->copy_fd >= 0)
        fds[n++] = u->copy_fd;
    if (shared >= 0)
        fds[n++] = shared;
    autojson order = json_object();
    json_set_str(order, "op", "layer");
    json_set_int(order, "ids", u->ids);
    json_set_bool(order, "bell", u->bell_fd >= 0);
    json_set_bool(order, "copy", u->copy_fd >= 0);
    json_set_bool(order, "refer", shared >= 0);
    json_set_bool(order, "known", job->known);
    return msg_send(job->helper.chan, order, fds, n);
}

static struct err *job_start(struct store *s, const struct store_unpack *u, struct store_unpack_job *job) {
    TRY(store_tmp_new(s, &job->tmp, &job->tmp_fd));
    TRY(unpack_start(s, u->userns_fd, &job->helper));
    return send_order(s, job, u);
}

struct err *store_unpack_start(struct store *s, const struct store_unpack *u, struct store_unpack_job **ret) {
    if ((u->chain_id && !digest_ok(u->chain_id)) || (u->blob_digest && !digest_ok(u->blob_digest)) ||
        (u->diff_id && !digest_ok(u->diff_id)) || (u->parent && !digest_ok(u->parent)))
        return err_new(ERR_CORRUPT, "a layer's digest is not a sha256 digest");
    struct store_unpack_job *job = mem_alloc(sizeof *job);
    *job = (struct store_unpack_job){.helper = {.pid = -1, .pidfd = -1},
                                     .tmp_fd = -1,
                                     .chain_id = mem_dup(u->chain_id),
                                     .blob_digest = mem_dup(u->blob_digest),
                                     .known = u->known && u->blob_digest,
                                     .diff_id = mem_dup(u->diff_id),
                                     .parent = mem_dup(u->parent),
                                     .blob_size = u->blob_size};
    struct err *e = job_start(s, u, job);
    if (e) {
        job_free(job);
        return err_wrap(e, "unpack a layer");
    }
    *ret = job;
    return NULL;
}

int store_unpack_fd(const struct store_unpack_job *job) { return msg_chan_fd(job->helper.chan); }

void store_unpack_cancel(struct store *s, struct store_unpack_job *take_job) {
    (void)s;
    job_free(take_job);
}

static struct err *get_digest(const struct json *j, const char *key, char ret[DIGEST_LEN + 1]) {
    const char *text;
    TRY(json_get_str(j, key, &text));
    if (!digest_ok(text))
        return err_new(ERR_CORRUPT, "%s is not a digest", key);
    memcpy(ret, text, DIGEST_LEN + 1);
    return NULL;
}

static struct err *read_result(struct store_unpack_job *job, struct store_unpacked *r) {
    autojson m = NULL;
    struct json *ok;
    TRY(unpack_recv(&job->helper, &m));
    TRY(json_get_object(m, "ok", &ok));
    if (job->known)
        memcpy(r->blob_digest, job->blob_digest, DIGEST_LEN + 1);
    else
        TRY(get_digest(ok, "blob_digest", r->blob_digest));
    TRY(get_digest(ok, "diff_id", r->diff_id));
    TRY(json_get_i64(ok, "blob_size", &r->blob_size));
    TRY(json_get_i64(ok, "diff_size", &r->diff_size));
    TRY(json_get_i64(ok, "entries", &r->entries));
    return json_get_i64(ok, "skipped_devices", &r->skipped_devices);
}

static struct err *verify(const struct store_unpack_job *job, const struct store_unpacked *r) {
    if (job->blob_size >= 0 && r->blob_size != job->blob_size)
        return err_new(ERR_CORRUPT, "the layer has %lld bytes where %lld were promised", (long long)r->blob_size,
                       (long long)job->blob_size);
    if (job->blob_digest && !str_eq(job->blob_digest, r->blob_digest))
        return err_new(ERR_CORRUPT, "the layer's content has the digest %s", r->blob_digest);
    if (job->diff_id && !str_eq(job->diff_id, r->diff_id))
        return err_new(ERR_CORRUPT, "the unpacked layer is %s, but the image's config says %s", r->diff_id,
                       job->diff_id);
    return NULL;
}

static struct err *write_info(int tmp_fd, const struct store_unpacked *r) {
    autojson info = json_object();
    autostr struct str when = STR_INIT;
    clock_format_rfc3339(clock_now(), &when);
    json_set_str(info, "chain_id", r->chain_id);
    json_set_str(info, "diff_id", r->diff_id);
    json_set_int(info, "diff_size", r->diff_size);
    json_set_str(info, "blob", r->blob_digest);
    json_set_int(info, "blob_size", r->blob_size);
    json_set_int(info, "entries", r->entries);
    json_set_int(info, "skipped_devices", r->skipped_devices);
    json_set_str(info, "created", str_c(&when));
    return json_write_file(tmp_fd, "info.json", info, 0644, 0); /* the syncfs below makes it last */
}

static struct err *show_layer(const struct store *s, const char *name, const struct store_unpacked *r) {
    int layers = -1, tmp = -1;
    TRY(store_dir(s, STORE_LAYERS, &layers));
    TRY(store_dir(s, STORE_TMP, &tmp));
    if (renameat(tmp, name, layers, digest_hex(r->chain_id)) != 0) {
        if (errno != EEXIST && errno != ENOTEMPTY)
            return err_sys(errno, "move the layer into the store");
        log_debug("layer %s arrived meanwhile", r->chain_id);
    }
    return io_sync(layers);
}

/* The blob's name lasts before the layer is seen, as who finds a layer that was made here looks for its blob. */
static struct err *show_blob(const struct store *s, int tmp_fd, const struct store_unpacked *r) {
    int blobs;
    TRY(store_dir(s, STORE_BLOBS, &blobs));
    TRY(store_blob_show(s, r->blob_digest, tmp_fd, "blob"));
    return io_sync(blobs);
}

struct err *store_layer_commit(struct store *s, const char *name, int tmp_fd, const struct store_unpacked *r,
                               bool blob) {
    TRY(write_info(tmp_fd, r));
    if (blob)
        TRY(store_blob_seal(tmp_fd, "blob"));
    if (syncfs(tmp_fd) != 0)
        return err_sys(errno, "write the layer to disk");
    if (blob)
        TRY(show_blob(s, tmp_fd, r));
    return show_layer(s, name, r);
}

struct err *store_layer_adopt(struct store *s, const char *name, int tmp_fd, const char *parent,
                              struct store_unpacked *r) {
    TRY(store_chain_id(parent, r->diff_id, r->chain_id));
    return store_layer_commit(s, name, tmp_fd, r, true);
}

static struct err *receive(struct store_unpack_job *job, struct store_unpacked *r) {
    TRY(read_result(job, r));
    TRY(verify(job, r));
    if (job->chain_id)
        memcpy(r->chain_id, job->chain_id, DIGEST_LEN + 1);
    else
        TRY(store_chain_id(job->parent, r->diff_id, r->chain_id));
    return NULL;
}

static struct err *finish(struct store *s, struct store_unpack_job *job, struct store_unpacked *r) {
    TRY(receive(job, r));
    return store_layer_commit(s, job->tmp, job->tmp_fd, r, false);
}

struct err *unpack_keep(struct store_unpack_job *take_job, char **ret_tmp, int *ret_hold) {
    struct store_unpacked r = {.blob_size = -1};
    struct err *e = receive(take_job, &r);
    if (!e)
        e = write_info(take_job->tmp_fd, &r);
    if (!e) {
        *ret_tmp = take_ptr(&take_job->tmp);
        *ret_hold = take_fd(&take_job->tmp_fd);
    }
    job_free(take_job);
    return e;
}

struct err *store_unpack_finish(struct store *s, struct store_unpack_job *take_job, struct store_unpacked *ret) {
    struct store_unpacked r = {.blob_size = -1};
    struct err *e = finish(s, take_job, &r);
    if (e)
        e = err_wrap(e, "unpack layer%s%s", take_job->blob_digest ? " " : "",
                     take_job->blob_digest ? take_job->blob_digest : "");
    job_free(take_job);
    if (!e)
        *ret = r;
    return e;
}
