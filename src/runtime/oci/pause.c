/*
 * pause, resume: by the cgroup's freezer, else by signals (runtime/freeze.c). That a container stands still is in its
 * directory, with what has to be remembered of it; the file comes before and goes after the deed, so that whoever is
 * killed in between leaves a container that can be resumed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "runtime/oci/oci_int.h"
#include "runtime/runtime.h"

static struct err *write_stopped(const struct record *r, const struct runtime_stopped *s) {
    autojson j = json_object();
    struct json *pids = json_array();
    for (size_t i = 0; i < s->n; i++)
        json_push(pids, json_int(s->pids[i]));
    json_set(j, "stopped", pids);
    return json_write_file(r->dir, OCI_PAUSED, j, 0600, 0);
}

static struct err *read_stopped(const struct record *r, struct runtime_stopped *ret) {
    autojson j = NULL;
    struct json *pids;
    TRY(json_read_file(r->dir, OCI_PAUSED, &j));
    TRY(json_get_array_opt(j, "stopped", &pids));
    ret->pids = mem_array(json_count(pids) + 1, sizeof *ret->pids);
    JSON_EACH(it, pids)
    ret->pids[ret->n++] = (pid_t)json_int_value(it, 0);
    return NULL;
}

static struct err *forget(const struct record *r) {
    return unlinkat(r->dir, OCI_PAUSED, 0) < 0 && errno != ENOENT ? err_sys(errno, "resume %s", r->id) : NULL;
}

struct err *container_resume(struct record *r) {
    struct runtime_stopped s = {.n = 0};
    autocgroup g = RUNTIME_CGROUP_NONE;
    if (r->status != STATUS_PAUSED)
        return NULL;
    TRY(read_stopped(r, &s));
    runtime_cgroup_open(r->pid, &g);
    struct err *e = runtime_thaw(&g, r->pid, &s);
    free(s.pids);
    TRY(e);
    r->status = STATUS_RUNNING;
    return forget(r);
}

static struct err *pause_running(struct record *r) {
    struct runtime_stopped s = {.n = 0};
    autocgroup g = RUNTIME_CGROUP_NONE;
    runtime_cgroup_open(r->pid, &g);
    TRY(write_stopped(r, &s));
    struct err *e = runtime_freeze(&g, r->pid, &s);
    if (!e)
        e = write_stopped(r, &s);
    free(s.pids);
    if (e)
        err_free(forget(r));
    return e;
}

struct err *cmd_pause(struct oci *o, int argc, char **argv, int *ret_code) {
    autorecord r = RECORD_INIT;
    const char *id = NULL;
    TRY(one_id(argc, argv, &id));
    TRY(record_open(o, id, &r));
    if (r.status != STATUS_RUNNING && r.status != STATUS_CREATED)
        return err_new(ERR_CONFLICT, "cannot pause a container that is %s: %s", status_name(r.status), id);
    *ret_code = 0;
    return pause_running(&r);
}

struct err *cmd_resume(struct oci *o, int argc, char **argv, int *ret_code) {
    autorecord r = RECORD_INIT;
    const char *id = NULL;
    TRY(one_id(argc, argv, &id));
    TRY(record_open(o, id, &r));
    if (r.status != STATUS_PAUSED)
        return err_new(ERR_CONFLICT, "cannot resume a container that is %s: %s", status_name(r.status), id);
    *ret_code = 0;
    return container_resume(&r);
}
