/* lifecycle: start, kill, delete. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime_int.h"

/* ---- start ---- */

/* Whoever takes the socket's name away is the one that starts; it stays connected meanwhile. */
static struct err *claim(const struct record *r, int *ret_conn) {
    autofd int conn = -1;
    TRY(start_connect(r->dir, &conn));
    if (unlinkat(r->dir, OCI_START_SOCKET, 0) < 0)
        return errno == ENOENT ? err_new(ERR_CONFLICT, "container %s is being started already", r->id)
                               : err_sys(errno, "start %s", r->id);
    *ret_conn = take_fd(&conn);
    return NULL;
}

struct err *container_start(const struct oci *o, const char *id) {
    autorecord r = RECORD_INIT;
    autojson config = NULL;
    autofd int conn = -1;
    autofd int pidfd = -1;
    TRY(record_open(o, id, &r));
    if (r.status != STATUS_CREATED)
        return err_new(ERR_CONFLICT, "cannot start a container that is %s: %s", status_name(r.status), id);
    TRY(record_config(&r, &config));
    TRY(fd_dup(r.pidfd, &pidfd));
    TRY(claim(&r, &conn));
    struct runtime_proc p = {.pid = r.pid,
                             .pidfd = take_fd(&pidfd),
                             .sync_fd = take_fd(&conn),
                             .console = -1,
                             .config = config,
                             .id = r.id,
                             .bundle = json_str_value(json_get(r.state, "bundle"))};
    TRY(runtime_start(&p));
    fd_replace(&p.pidfd, -1);
    return runtime_poststart(config, p.id, p.bundle, p.pid);
}

struct err *one_id(int argc, char **argv, const char **ret) {
    int i = 0;
    TRY(opts_parse(NULL, 0, argc, argv, &i));
    if (i != argc - 1)
        return err_new(ERR_USAGE, "%s takes one container id", argv[0]);
    *ret = argv[i];
    return NULL;
}

struct err *cmd_start(struct oci *o, int argc, char **argv, int *ret_code) {
    const char *id = NULL;
    TRY(one_id(argc, argv, &id));
    *ret_code = 0;
    return container_start(o, id);
}

/* ---- kill ---- */

struct siblings {
    struct stat pidns; /* of the container's first process */
    int signo;
};

static struct err *signal_sibling(void *ctx, const char *name, unsigned char d_type) {
    const struct siblings *s = ctx;
    struct stat st;
    int64_t pid;
    uint64_t start;
    (void)d_type;
    if (!str_to_i64(name, 1, INT32_MAX, &pid))
        return NULL;
    autofree char *link = mem_printf("/proc/%s/ns/pid", name);
    autofd int pidfd = -1;
    autoerr gone = proc_start_time((pid_t)pid, &start);
    if (!gone)
        gone = proc_open((pid_t)pid, start, &pidfd);
    if (gone || stat(link, &st) < 0 || st.st_ino != s->pidns.st_ino || st.st_dev != s->pidns.st_dev)
        return NULL;
    autoerr ended = proc_signal(pidfd, s->signo);
    return ended && err_kind(ended) != ERR_NOT_FOUND ? take_ptr(&ended) : NULL;
}

/* All processes of the container's pid namespace; only the first one where it shares the caller's. */
static struct err *signal_all(const struct record *r, int signo) {
    struct siblings s = {.signo = signo};
    struct stat own;
    autofd int proc = -1;
    autofree char *link = mem_printf("/proc/%d/ns/pid", (int)r->pid);
    if (stat(link, &s.pidns) < 0 || stat("/proc/self/ns/pid", &own) < 0 || own.st_ino == s.pidns.st_ino)
        return proc_signal(r->pidfd, signo);
    TRY(fd_open_dir(AT_FDCWD, "/proc", &proc));
    return io_each_entry(proc, signal_sibling, &s);
}

struct err *cmd_kill(struct oci *o, int argc, char **argv, int *ret_code) {
    bool all = false;
    const struct opt opts[] = {{"all", 'a', OPT_FLAG, &all}};
    autorecord r = RECORD_INIT;
    int i = 0, signo = SIGTERM;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc - 1 && i != argc - 2)
        return err_new(ERR_USAGE, "kill takes a container id and a signal");
    if (i == argc - 2)
        TRY(proc_signal_parse(argv[i + 1], &signo));
    TRY(record_open(o, argv[i], &r));
    *ret_code = 0;
    if (r.pidfd < 0)
        return all ? NULL : err_new(ERR_CONFLICT, "container not running: %s", r.id);
    TRY(all ? signal_all(&r, signo) : proc_signal(r.pidfd, signo));
    return signo == SIGKILL ? container_resume(&r) : NULL; /* what stands still in a freezer does not die */
}

/* ---- delete ---- */

static struct err *end_process(struct record *r) {
    bool ended;
    struct err *e = proc_signal(r->pidfd, SIGKILL);
    if (!e)
        e = container_resume(r);
    if (e && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    return e ? e : proc_wait_end(r->pidfd, -1, &ended);
}

struct err *container_delete(const struct oci *o, const char *id, bool force) {
    autorecord r = RECORD_INIT;
    autojson config = NULL;
    struct err *e = record_open(o, id, &r);
    if (e && force && err_kind(e) == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    if (e)
        return e;
    if (r.pidfd >= 0 && (r.status == STATUS_RUNNING || r.status == STATUS_PAUSED) && !force)
        return err_hint(
            err_new(ERR_IN_USE, "cannot delete container %s that is not stopped: %s", id, status_name(r.status)),
            "kill it first, or use --force");
    if (r.pidfd >= 0)
        TRY(end_process(&r));
    autostrv struct strv cgroups = {.n = 0};
    TRY(json_get_strv_opt(r.state, "cgroups", &cgroups));
    runtime_cgroup_remove(&cgroups);
    autoerr unread = record_config(&r, &config);
    TRY(record_remove(o, id));
    return unread ? NULL : runtime_poststop(config, id, json_str_value(json_get(r.state, "bundle")));
}

struct err *cmd_delete(struct oci *o, int argc, char **argv, int *ret_code) {
    bool force = false;
    const struct opt opts[] = {{"force", 'f', OPT_FLAG, &force}};
    int i = 0;
    TRY(opts_parse(opts, ARRAY_LEN(opts), argc, argv, &i));
    if (i != argc - 1)
        return err_new(ERR_USAGE, "delete takes one container id");
    *ret_code = 0;
    return container_delete(o, argv[i], force);
}
