/* record: what there is of a container between two commands: a directory, and the process that it names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"

const char *status_name(enum status s) {
    static const char *const names[] = {"creating", "created", "running", "paused", "stopped"};
    return names[s];
}

/* runc's rule: word characters and "+-.", and of course nothing that is a path. */
static struct err *check_id(const char *id) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
    if (!path_is_component(id) || strspn(id, allowed) != strlen(id))
        return err_new(ERR_USAGE, "invalid container ID format: '%s'", id);
    return NULL;
}

/* The pidfd of the process while it lives; a zombie counts as ended. */
static struct err *open_process(struct record *r) {
    autofd int pidfd = -1;
    int64_t pid;
    uint64_t start;
    bool ended = false;
    TRY(json_get_i64_opt(r->state, "pid", 0, &pid));
    TRY(json_get_u64_opt(r->state, "startTime", 0, &start));
    r->pid = (pid_t)pid;
    if (pid <= 0)
        return NULL;
    autoerr gone = proc_open((pid_t)pid, start, &pidfd);
    if (gone)
        return err_kind(gone) == ERR_NOT_FOUND ? NULL : take_ptr(&gone);
    TRY(proc_wait_end(pidfd, 0, &ended));
    if (!ended)
        r->pidfd = take_fd(&pidfd);
    return NULL;
}

static void find_status(struct record *r) {
    if (r->pid <= 0)
        r->status = STATUS_CREATING;
    else if (r->pidfd < 0)
        r->status = STATUS_STOPPED;
    else if (faccessat(r->dir, OCI_PAUSED, F_OK, 0) == 0)
        r->status = STATUS_PAUSED;
    else
        r->status = faccessat(r->dir, OCI_START_SOCKET, F_OK, 0) == 0 ? STATUS_CREATED : STATUS_RUNNING;
}

static struct err *read_record(struct record *r) {
    struct err *e = json_read_file(r->dir, OCI_STATE, &r->state);
    if (e && err_kind(e) == ERR_NOT_FOUND) { /* create has not come further, or was killed */
        err_free(e);
        r->state = json_object();
        json_set_str(r->state, "ociVersion", OCI_VERSION);
        json_set_str(r->state, "id", r->id);
        return NULL;
    }
    return e;
}

struct err *record_open(const struct oci *o, const char *id, struct record *ret) {
    struct record r = {.dir = -1, .pidfd = -1};
    TRY(check_id(id));
    if (o->root_fd < 0)
        return err_new(ERR_NOT_FOUND, "container does not exist: %s", id);
    autoerr e = fd_open_dir(o->root_fd, id, &r.dir);
    if (e && err_errno(e) == ENOENT)
        return err_new(ERR_NOT_FOUND, "container does not exist: %s", id);
    r.id = mem_dup(id);
    if (!e)
        e = read_record(&r);
    if (!e)
        e = open_process(&r);
    if (e) {
        record_done(&r);
        return err_wrap(take_ptr(&e), "container %s", id);
    }
    find_status(&r);
    *ret = r;
    return NULL;
}

void record_done(struct record *r) {
    free(r->id);
    json_free(r->state);
    fd_close(r->dir);
    fd_close(r->pidfd);
    *r = (struct record)RECORD_INIT;
}

struct err *record_reserve(struct oci *o, const char *id, int *ret_dir) {
    TRY(check_id(id));
    if (o->root_fd < 0) {
        TRY(io_mkdirs(AT_FDCWD, o->root, 0700));
        TRY(fd_open_dir(AT_FDCWD, o->root, &o->root_fd));
    }
    if (mkdirat(o->root_fd, id, 0700) < 0 && errno == EEXIST)
        return err_new(ERR_CONFLICT, "container with id exists: %s", id);
    return fd_open_dir(o->root_fd, id, ret_dir);
}

struct err *record_remove(const struct oci *o, const char *id) {
    return io_remove_tree(o->root_fd, id);
}

struct err *record_config(const struct record *r, struct json **ret) {
    TRY_CTX(json_read_file(r->dir, OCI_CONFIG, ret), "container %s", r->id);
    return NULL;
}

struct each {
    const struct oci *o;
    struct err *(*fn)(void *ctx, const struct record *r);
    void *ctx;
};

static struct err *each_one(void *ctx, const char *name, unsigned char d_type) {
    const struct each *each = ctx;
    autorecord r = RECORD_INIT;
    (void)d_type;
    autoerr bad = record_open(each->o, name, &r);
    return bad ? NULL : each->fn(each->ctx, &r);
}

struct err *record_each(const struct oci *o, struct err *(*fn)(void *ctx, const struct record *r), void *ctx) {
    struct each each = {o, fn, ctx};
    return o->root_fd < 0 ? NULL : io_each_entry(o->root_fd, each_one, &each);
}

struct json *record_view(const struct record *r) {
    static const char *const copied[] = {"bundle", "rootfs", "created", "owner", "annotations"};
    struct json *v = json_object();
    json_set_str(v, "ociVersion", OCI_VERSION);
    json_set_str(v, "id", r->id);
    json_set_int(v, "pid", r->status == STATUS_STOPPED ? 0 : r->pid);
    json_set_str(v, "status", status_name(r->status));
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        if (json_get(r->state, copied[i]))
            json_set(v, copied[i], json_copy(json_get(r->state, copied[i])));
    return v;
}

struct err *pid_file_write(const char *path, pid_t pid) {
    char text[16];
    autofd int dir = -1;
    autofree char *copy = mem_dup(path);
    char *slash = strrchr(copy, '/');
    if (slash)
        *slash = '\0';
    TRY_CTX(fd_open_dir(AT_FDCWD, !slash ? "." : *copy ? copy : "/", &dir), "pid file");
    int n = snprintf(text, sizeof text, "%d", (int)pid);
    TRY_CTX(io_write_file(dir, path_base(path), text, (size_t)n, 0644, 0), "pid file %s", path);
    return NULL;
}
