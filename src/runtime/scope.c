/*
 * scope: a cgroup from systemd, for sessions that have none of their own to make others in. Who came in by ssh or at
 * the console lives in a scope of the system's manager; the user's own manager, where it runs, has a delegated tree
 * beside it. Over D-Bus it is asked for a transient scope with Delegate=yes around a process of ours (the documented
 * way, systemd.io/CGROUP_DELEGATION); the tree of that scope is then the user's:
 *
 *     …/user@1000.service/app.slice/coracle-<id>-<random>.scope/monitor        the process that asked
 *                                                              /coracle-<id>   the container (cgroup.c makes it)
 *                                                              /exec           commands that enter it
 *
 * Processes are in leaves only, as cgroup v2 wants it. The scope goes when the last one has ended. Moving a process out
 * of the session's scope is not ours to do but systemd's, so a command that enters the container later asks for it,
 * too.
 *
 * This costs tens of milliseconds, and is done only for a container with limits that nothing else would hold: never on
 * the way of one without. sd-bus is libsystemd's, opened when it is needed, in a child: a monitor would keep it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/library.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define SCOPE_SUFFIX ".scope"
static const int64_t job_timeout = 10 * NSEC_PER_SEC;

/* ---- what we use of sd-bus (sd-bus(3)); its headers are not needed to build ---- */

struct sd_bus;
struct sd_bus_message;
struct sd_bus_error {
    const char *name, *message;
    int need_free;
};
typedef int sd_bus_handler(struct sd_bus_message *m, void *userdata, struct sd_bus_error *ret);

struct sd {
    int (*bus_new)(struct sd_bus **ret);
    int (*set_address)(struct sd_bus *bus, const char *address);
    int (*set_bus_client)(struct sd_bus *bus, int b);
    int (*start)(struct sd_bus *bus);
    int (*call_method)(struct sd_bus *bus, const char *destination, const char *path, const char *interface,
                       const char *member, struct sd_bus_error *ret_error, struct sd_bus_message **reply,
                       const char *types, ...);
    int (*match_signal)(struct sd_bus *bus, void **ret_slot, const char *sender, const char *path,
                        const char *interface, const char *member, sd_bus_handler *callback, void *userdata);
    int (*message_read)(struct sd_bus_message *m, const char *types, ...);
    int (*process)(struct sd_bus *bus, struct sd_bus_message **ret);
    int (*wait)(struct sd_bus *bus, uint64_t timeout_usec);
};

static struct err *sd_load(struct sd *sd) {
    void *lib = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (lib && library_symbol(lib, "sd_bus_new", &sd->bus_new) &&
        library_symbol(lib, "sd_bus_set_address", &sd->set_address) &&
        library_symbol(lib, "sd_bus_set_bus_client", &sd->set_bus_client) &&
        library_symbol(lib, "sd_bus_start", &sd->start) &&
        library_symbol(lib, "sd_bus_call_method", &sd->call_method) &&
        library_symbol(lib, "sd_bus_match_signal", &sd->match_signal) &&
        library_symbol(lib, "sd_bus_message_read", &sd->message_read) &&
        library_symbol(lib, "sd_bus_process", &sd->process) && library_symbol(lib, "sd_bus_wait", &sd->wait))
        return NULL;
    return err_hint(err_new(ERR_UNSUPPORTED, "libsystemd is not available"), "install the package 'libsystemd0'");
}

/* ---- a call to the user's manager, in a child: what it opens ends with that ---- */

struct call {
    const char *unit;
    const char *subgroup; /* NULL: the unit is to be made; else it is entered there */
    pid_t pid;
};

struct job {
    const struct sd *sd;
    const char *path;
    bool over, done;
};

static char *bus_socket(void) { return mem_printf("/run/user/%u/bus", (unsigned)geteuid()); }

static struct err *bus_err(int r, const struct sd_bus_error *e, const char *what) {
    return err_sys(-r, "%s%s%s", what, e && e->message ? ": " : "", e && e->message ? e->message : "");
}

static struct err *bus_connect(const struct sd *sd, struct sd_bus **ret) {
    autofree char *socket = bus_socket();
    autofree char *address = mem_printf("unix:path=%s", socket);
    int r = sd->bus_new(ret);
    if (r >= 0)
        r = sd->set_address(*ret, address);
    if (r >= 0)
        r = sd->set_bus_client(*ret, 1);
    if (r >= 0)
        r = sd->start(*ret);
    return r < 0 ? bus_err(r, NULL, "connect to the bus of the user's systemd") : NULL;
}

static int on_job_removed(struct sd_bus_message *m, void *userdata, struct sd_bus_error *unused) {
    struct job *job = userdata;
    const char *path, *unit, *result;
    uint32_t id;
    (void)unused;
    if (job->sd->message_read(m, "uoss", &id, &path, &unit, &result) >= 0 && job->path && !strcmp(path, job->path)) {
        job->over = true;
        job->done = !strcmp(result, "done");
    }
    return 0;
}

static struct err *await_job(struct sd_bus *bus, struct job *job) {
    int64_t deadline = clock_boot() + job_timeout;
    while (!job->over) {
        int r = job->sd->process(bus, NULL);
        if (r > 0)
            continue;
        int64_t left = deadline - clock_boot();
        if (r >= 0 && left > 0)
            r = job->sd->wait(bus, (uint64_t)left / 1000);
        if (r < 0)
            return bus_err(r, NULL, "wait for the user's systemd");
        if (left <= 0)
            return err_new(ERR_TIMEOUT, "the user's systemd does not answer");
    }
    return job->done ? NULL : err_new(ERR_SYSTEM, "the user's systemd could not make a scope");
}

static struct err *make_unit(const struct sd *sd, struct sd_bus *bus, const struct call *c) {
    struct job job = {.sd = sd};
    struct sd_bus_error e = {.name = NULL};
    struct sd_bus_message *reply = NULL;
    void *slot = NULL;
    int r = sd->match_signal(bus, &slot, SYSTEMD, SYSTEMD_PATH, MANAGER, "JobRemoved", on_job_removed, &job);
    if (r >= 0)
        r = sd->call_method(bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "Subscribe", NULL, NULL, "");
    if (r >= 0)
        r = sd->call_method(bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "StartTransientUnit", &e, &reply, "ssa(sv)a(sa(sv))",
                            c->unit, "fail", 4, "Description", "s", "A container of coracle", "Delegate", "b", 1,
                            "CollectMode", "s", "inactive-or-failed", "PIDs", "au", 1, (uint32_t)c->pid, 0);
    if (r >= 0)
        r = sd->message_read(reply, "o", &job.path);
    return r < 0 ? bus_err(r, &e, "ask the user's systemd for a scope") : await_job(bus, &job);
}

static struct err *enter_unit(const struct sd *sd, struct sd_bus *bus, const struct call *c) {
    struct sd_bus_error e = {.name = NULL};
    int r = sd->call_method(bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "AttachProcessesToUnit", &e, NULL, "ssau", c->unit,
                            c->subgroup, 1, (uint32_t)c->pid);
    return r < 0 ? bus_err(r, &e, "ask the user's systemd to enter a scope") : NULL;
}

static struct err *call_systemd(void *ctx) {
    const struct call *c = ctx;
    struct sd sd;
    struct sd_bus *bus = NULL;
    TRY(sd_load(&sd));
    TRY(bus_connect(&sd, &bus));
    return c->subgroup ? enter_unit(&sd, bus, c) : make_unit(&sd, bus, c);
}

/* ---- the caller's cgroup ---- */

static bool own_line(struct cgroup_line *ret) {
    struct cgroup_lines lines;
    bool found = false;
    cgroup_lines_read(0, NULL, &lines);
    for (size_t i = 0; i < lines.n && !found; i++) {
        if (!lines.v[i].v2)
            continue;
        ret->v2 = true;
        ret->mount = take_ptr(&lines.v[i].mount);
        ret->path = take_ptr(&lines.v[i].path);
        found = true;
    }
    cgroup_lines_done(&lines);
    return found;
}

/* From the scope itself to its leaf, so that it may have others. */
static struct err *enter_leaf(const char *unit) {
    struct cgroup_line own = {.v2 = false};
    autofd int dir = -1;
    if (!own_line(&own))
        return err_new(ERR_SYSTEM, "the scope has no cgroup");
    autofree char *mount = own.mount, *path = own.path;
    if (!str_eq(path_base(path), unit))
        return err_new(ERR_SYSTEM, "the user's systemd has put this process into %s", path);
    autofree char *leaf = mem_printf("%s%s/monitor", mount, path);
    if (mkdir(leaf, 0755) < 0 && errno != EEXIST)
        return err_sys(errno, "make cgroup %s", leaf);
    TRY(fd_open_dir(AT_FDCWD, leaf, &dir));
    return cgroup_write(dir, "cgroup.procs", "0");
}

static struct err *make_scope(const char *id) {
    autofree char *unit =
        mem_printf("%s%.12s-%08llx" SCOPE_SUFFIX, cgroup_prefix, id, (unsigned long long)id_random_u64() >> 32);
    struct call c = {.unit = unit, .pid = getpid()};
    TRY(runtime_userns_call(-1, call_systemd, &c));
    return enter_leaf(unit);
}

bool scope_offered(const struct host *h) {
    autofree char *socket = bus_socket();
    return h->cgroup == CGROUP_V2 && access(socket, W_OK) == 0;
}

bool scope_wanted(const struct host *h, const struct json *config) {
    autofree char *parent = runtime_cgroup_parent(config);
    return !parent && json_count(json_path(config, "linux.resources")) && !cgroup_offered(h) && scope_offered(h);
}

void runtime_cgroup_claim(const struct host *h, const char *id, const struct json *config) {
    autoerr none = scope_wanted(h, config) ? make_scope(id) : NULL;
    if (!none)
        return;
    autostr struct str why = STR_INIT;
    err_format(none, &why);
    log_debug("no scope: %s", str_c(&why)); /* what that means for the limits their plan says */
}

/* ---- commands that enter ---- */

/* "…/<unit>/coracle-<id>" → the unit and its directory; false where that is no scope of ours. */
static bool scope_of(pid_t target, char **ret_unit, char **ret_dir) {
    struct cgroup_lines lines;
    cgroup_lines_read(target, cgroup_prefix, &lines);
    for (size_t i = 0; i < lines.n && !*ret_unit; i++) {
        const char *path = lines.v[i].path, *slash = strrchr(path, '/');
        autofree char *above = mem_dupn(path, slash ? (size_t)(slash - path) : 0);
        const char *unit = path_base(above);
        if (!lines.v[i].v2 || !str_starts(unit, cgroup_prefix) || !str_ends(unit, SCOPE_SUFFIX))
            continue;
        *ret_unit = mem_dup(unit);
        *ret_dir = mem_printf("%s%s", lines.v[i].mount, above);
    }
    cgroup_lines_done(&lines);
    return *ret_unit != NULL;
}

void scope_enter(pid_t target) {
    autofree char *unit = NULL, *dir = NULL;
    struct cgroup_line own = {.v2 = false};
    if (!scope_of(target, &unit, &dir) || !own_line(&own))
        return;
    free(own.mount);
    autofree char *path = own.path;
    autofree char *leaf = path_join(dir, "exec");
    autofree char *inside = mem_printf("/%s/", unit);
    if (strstr(path, inside) || (mkdir(leaf, 0755) < 0 && errno != EEXIST))
        return;
    struct call c = {.unit = unit, .subgroup = "/exec", .pid = getpid()};
    autoerr refused = runtime_userns_call(-1, call_systemd, &c);
    if (refused)
        log_debug("entering the scope %s was refused", unit); /* and so will be the container's cgroup, which says so */
}
