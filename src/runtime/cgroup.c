/*
 * cgroup: the directories of a container in the hierarchies where the user may make them: a delegated subtree of
 * cgroup v2, as systemd gives to a login session, and hierarchies of version 1 that the administrator handed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

enum { REMOVE_TIMEOUT_MS = 5000, LOOK_AGAIN_MS = 2, DEPTH_MAX = 32 };

void runtime_cgroup_done(struct runtime_cgroup *g) {
    fd_replace(&g->v2, -1);
    for (size_t i = 0; i < ARRAY_LEN(g->v1); i++)
        fd_replace(&g->v1[i], -1);
    strv_done(&g->paths);
}

/* ---- opening ---- */

static void take_v1(struct runtime_cgroup *g, unsigned controllers, const char *path) {
    for (unsigned i = 0; i < RUNTIME_CONTROLLERS; i++)
        if (controllers & (1u << i))
            fd_replace(&g->v1[i], open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void runtime_cgroup_open(pid_t pid, struct runtime_cgroup *ret) {
    struct cgroup_lines lines;
    *ret = (struct runtime_cgroup)RUNTIME_CGROUP_NONE;
    cgroup_lines_read(pid, cgroup_prefix, &lines);
    for (size_t i = 0; i < lines.n; i++) {
        autofree char *full = mem_printf("%s%s", lines.v[i].mount, lines.v[i].path);
        if (lines.v[i].v2)
            fd_replace(&ret->v2, open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        else
            take_v1(ret, lines.v[i].controllers, full);
    }
    cgroup_lines_done(&lines);
}

int runtime_cgroup_dir(const struct runtime_cgroup *g, enum runtime_controller c, bool *ret_v1) {
    static const char *const proof[] = {"cpu.max",  "cpu.stat", "cpuset.cpus",  "memory.max",
                                        "pids.max", "io.max",   "cgroup.freeze"};
    _Static_assert(ARRAY_LEN(proof) == RUNTIME_CONTROLLERS, "a file of each controller");
    if (ret_v1)
        *ret_v1 = g->v1[c] >= 0;
    if (g->v1[c] >= 0)
        return g->v1[c];
    return g->v2 >= 0 && cgroup_has(g->v2, proof[c]) ? g->v2 : -1;
}

struct err *runtime_cgroup_join_v1(const struct runtime_cgroup *g, pid_t pid) {
    char text[16];
    (void)snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = 0; i < ARRAY_LEN(g->v1); i++)
        if (g->v1[i] >= 0)
            TRY_CTX(cgroup_write(g->v1[i], "cgroup.procs", text), "enter the container's cgroup");
    return NULL;
}

uint64_t runtime_cgroup_oom_kills(const struct runtime_cgroup *g) {
    bool v1;
    int dir = runtime_cgroup_dir(g, RUNTIME_MEMORY, &v1);
    return dir < 0 ? 0 : cgroup_number(dir, v1 ? "memory.oom_control" : "memory.events", "oom_kill");
}

/* ---- making ---- */

/* Delegated: ours, and writable. */
static bool usable(const char *dir, uid_t uid) {
    struct stat st;
    autofree char *procs = path_join(dir, "cgroup.procs");
    return stat(dir, &st) == 0 && st.st_uid == uid && access(dir, W_OK) == 0 && access(procs, W_OK) == 0;
}

/* Hands on to the children what the parent has. A controller that cannot be enabled is left out. */
static void enable_controllers(const char *parent) {
    autostr struct str have = STR_INIT;
    autostr struct str given = STR_INIT;
    autostrv struct strv names = {.n = 0};
    autostrv struct strv enabled = {.n = 0};
    autofd int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || !cgroup_read(dir, "cgroup.controllers", &have) ||
        !cgroup_read(dir, "cgroup.subtree_control", &given))
        return;
    autofree char *line = mem_dupn(str_c(&have), strcspn(str_c(&have), "\n"));
    autofree char *on = mem_dupn(str_c(&given), strcspn(str_c(&given), "\n"));
    strv_split(&names, line, ' ');
    strv_split(&enabled, on, ' ');
    for (size_t i = 0; i < names.n; i++) {
        autofree char *word = mem_printf("+%s", names.v[i]);
        if (!strv_has(&enabled, names.v[i]))
            err_free(cgroup_write(dir, "cgroup.subtree_control", word));
    }
}

/* A new cpuset of version 1 lets nobody in before it has processors and memory. */
static void inherit_cpuset(int dir) {
    static const char *const files[][2] = {{"../cpuset.cpus", "cpuset.cpus"}, {"../cpuset.mems", "cpuset.mems"}};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        autostr struct str text = STR_INIT;
        if (cgroup_read(dir, files[i][0], &text))
            err_free(cgroup_write(dir, files[i][1], str_c(&text)));
    }
}

/* The same for the directories that were made on the way to a parent: those that have none yet. */
static void fill_cpusets(const char *mount, const char *path) {
    for (const char *end = path + strcspn(path + 1, "/") + 1;; end += strcspn(end + 1, "/") + 1) {
        autofree char *dir = mem_printf("%s%.*s", mount, (int)(end - path), path);
        autofd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        autostr struct str cpus = STR_INIT;
        if (fd >= 0 && cgroup_read(fd, "cpuset.cpus", &cpus) && *str_c(&cpus) == '\n')
            inherit_cpuset(fd);
        if (!*end)
            return;
    }
}

/* The directory below which ours goes, owned, or NULL. */
static char *parent_of(const struct host *h, const struct cgroup_line *l, const char *parent) {
    if (parent) {
        autofree char *below = *parent == '/' ? mem_dup(parent) : path_join(l->path, parent);
        autofree char *clean = path_clean(below);
        autofree char *full = mem_printf("%s%s", l->mount, clean);
        err_free(io_mkdirs(AT_FDCWD, full, 0755)); /* as docker makes it; whether that worked is looked at below */
        if (l->controllers & (1u << RUNTIME_CPUSET))
            fill_cpusets(l->mount, clean);
        return access(full, W_OK) == 0 ? take_ptr(&full) : NULL;
    }
    autofree char *own = mem_printf("%s%s", l->mount, l->path);
    autofree char *above = mem_printf("%s/..", own);
    if (l->v2 && strcmp(l->path, "/") != 0 && usable(above, h->uid))
        return path_clean(above);
    return usable(own, h->uid) ? take_ptr(&own) : NULL;
}

static void make_one(const struct cgroup_line *l, const char *parent, const char *id, struct runtime_cgroup *g) {
    autofree char *dir = mem_printf("%s/%s%.12s", parent, cgroup_prefix, id);
    if (l->v2)
        enable_controllers(parent);
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return;
    if (l->v2)
        fd_replace(&g->v2, open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    else
        take_v1(g, l->controllers, dir);
    if (l->controllers & (1u << RUNTIME_CPUSET))
        inherit_cpuset(g->v1[RUNTIME_CPUSET]);
    strv_push_take(&g->paths, take_ptr(&dir));
}

bool cgroup_offered(const struct host *h) {
    struct cgroup_lines lines;
    bool offered = false;
    cgroup_lines_read(0, NULL, &lines);
    for (size_t i = 0; i < lines.n && !offered; i++) {
        autofree char *below = lines.v[i].v2 ? parent_of(h, &lines.v[i], NULL) : NULL;
        offered = below != NULL;
    }
    cgroup_lines_done(&lines);
    return offered;
}

struct err *runtime_cgroup_make(const struct host *h, const char *id, const char *parent, struct runtime_cgroup *ret) {
    struct cgroup_lines lines;
    struct runtime_cgroup g = RUNTIME_CGROUP_NONE;
    *ret = g;
    if (h->cgroup == CGROUP_NONE && !parent)
        return NULL;
    cgroup_lines_read(0, NULL, &lines);
    for (size_t i = 0; i < lines.n; i++) {
        autofree char *below = parent_of(h, &lines.v[i], parent);
        if (below)
            make_one(&lines.v[i], below, id, &g);
    }
    cgroup_lines_done(&lines);
    if (parent && !g.paths.n)
        return err_hint(err_new(ERR_DENIED, "--cgroup-parent %s: this user may make no cgroup there", parent),
                        "have the administrator make it and give it to you (chown), or leave the option out");
    *ret = g;
    return NULL;
}

char *runtime_cgroup_parent(const struct json *config) {
    const char *path = json_str_value(json_path(config, "linux.cgroupsPath"));
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return NULL;
    return slash == path ? mem_dup("/") : mem_dupn(path, (size_t)(slash - path));
}

/* ---- removing ---- */

/* Only version 2 has a file for it. */
static void kill_and_wait(int dir) {
    autofd int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    autoerr unable = cgroup_write(dir, "cgroup.kill", "1");
    char text[256];
    if (unable || events < 0)
        return;
    for (;;) {
        ssize_t n = pread(events, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        struct pollfd p = {.fd = events, .events = POLLPRI};
        if (n <= 0 || strstr(text, "populated 0") || poll(&p, 1, REMOVE_TIMEOUT_MS) <= 0)
            return;
    }
}

struct removal {
    int parent;
    unsigned depth;
};

static struct err *remove_children(void *ctx, const char *name, unsigned char d_type);

static struct err *remove_dir(int parent, const char *name, unsigned depth) {
    struct removal below = {.parent = -1, .depth = depth + 1};
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || depth == DEPTH_MAX)
        return NULL;
    TRY(fd_open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &below.parent));
    if (depth == 0)
        kill_and_wait(below.parent);
    struct err *e = io_each_entry(below.parent, remove_children, &below);
    fd_close(below.parent);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
    return e;
}

static struct err *remove_children(void *ctx, const char *name, unsigned char d_type) {
    const struct removal *r = ctx;
    return d_type == 4 /* DT_DIR */ ? remove_dir(r->parent, name, r->depth) : NULL;
}

/*
 * In version 1 a process that has been reaped is still in its cgroup for a moment, and nothing tells when that ends: so
 * it is tried again.
 */
static void remove_one(const char *path) {
    if (rmdir(path) == 0 || errno != EBUSY)
        return;
    err_free(remove_dir(AT_FDCWD, path, 0));
    int64_t end = clock_boot() + REMOVE_TIMEOUT_MS * NSEC_PER_MSEC;
    while (rmdir(path) < 0 && errno == EBUSY && clock_boot() < end)
        (void)poll(NULL, 0, LOOK_AGAIN_MS);
}

/* In version 1 what was killed while it was frozen dies when it is thawed. */
static void thaw(const char *path) {
    autofree char *file = mem_printf("%s/freezer.state", path);
    if (access(file, F_OK) == 0)
        err_free(cgroup_write(AT_FDCWD, file, "THAWED"));
}

void runtime_cgroup_remove(const struct strv *paths) {
    for (size_t i = 0; i < paths->n; i++)
        thaw(paths->v[i]);
    for (size_t i = 0; i < paths->n; i++)
        remove_one(paths->v[i]);
}
