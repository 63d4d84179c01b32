/*
 * init: the first process of a container between clone3 and execve. Everything it does is one of the stages below, in
 * this order; the name of the one that failed goes into the error. Up to "pivot_root" the host's paths resolve.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"
#include "runtime/user_int.h"
#include "spec/spec.h"

/*
 * Nothing that the caller has open may be reached from here on, not even by a path like /proc/self/fd/N in the config
 * (CVE-2024-21626): all but what is needed is closed now, not just at execve.
 */
static void close_others(const struct init *in) {
    const struct runtime_create *c = in->c;
    size_t n = 0;
    size_t sources = in->nested ? in->nested->n : 0;
    size_t ids = in->ids ? in->ids->n : 0;
    autofree int *keep = mem_array(7 + ARRAY_LEN(c->join) + RUNTIME_PRESERVE_MAX + sources + ids, sizeof *keep);
    keep[n++] = in->l.sync;
    keep[n++] = in->root;
    keep[n++] = in->l.exe;
    for (size_t i = 0; i < sources; i++)
        keep[n++] = in->nested->sources[i];
    for (size_t i = 0; i < ids; i++)
        keep[n++] = in->ids->v[i].userns;
    for (int i = 0; i < 3; i++)
        keep[n++] = c->stdio[i];
    if (c->detach)
        keep[n++] = c->start_listener;
    for (int i = 0; i < c->n_join; i++)
        keep[n++] = c->join[i].fd;
    for (int i = 0; i < c->preserve_fds; i++)
        keep[n++] = 3 + i;
    fd_close_all_but(keep, n);
}

static struct err *stage_isolate(struct init *in) {
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(errno, "prctl");
    if (in->l.tied && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_sys(errno, "prctl");
    close_others(in);
    (void)umask(0); /* modes are meant as they are written here; the program gets its own */
    (void)setsid(); /* fails only for a session leader, which a new process is not */
    return NULL;
}

/* pid and user namespaces were joined by the middle process: they only take effect for children, or come first. With a
 * user namespace of its own it has joined all of them. */
static struct err *stage_join(struct init *in) {
    if (in->nested)
        return NULL;
    for (int i = 0; i < in->c->n_join; i++) {
        unsigned flag = in->c->join[i].clone_flag;
        if (flag & (CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNS))
            continue;
        if (setns(in->c->join[i].fd, (int)flag) < 0)
            return err_sys(errno, "join a namespace of another container");
    }
    return NULL;
}

static bool wants_propagation(const struct json *mounts) {
    JSON_EACH(it, mounts)
    JSON_EACH(o, json_get(it, "options")) {
        const char *word = json_str_value(o);
        if (word && (str_ends(word, "slave") || str_ends(word, "shared")))
            return true;
    }
    return false;
}

struct err *mounts_propagation(struct init *in) {
    const char *root = json_str_value(json_get(in->linux_, "rootfsPropagation"));
    in->slave = (root && (str_ends(root, "slave") || str_ends(root, "shared"))) ||
                wants_propagation(json_get(in->c->config, "mounts"));
    if (mount(NULL, "/", NULL, MS_REC | (in->slave ? MS_SLAVE : MS_PRIVATE), NULL) < 0)
        return err_sys(errno, "set mount propagation");
    return NULL;
}

/* What covers masked files must be the real thing (CVE-2025-31133), so it is opened and looked at once. */
static struct err *stage_null(struct init *in) {
    struct stat st;
    TRY(fd_open_at(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW, 0, &in->null));
    if (fstat(in->null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return err_new(ERR_CORRUPT, "/dev/null of this machine is not the null device");
    return NULL;
}

/*
 * coracle-init is executed through a read-only mount of its own, so that /proc/1/exe does not lead to a writable file.
 */
struct err *init_program_open(struct init *in) {
    const struct mount_opts ro = {.attrs = MOUNT_ATTR_RDONLY};
    if (in->l.exe >= 0 || !str_eq(config_annotation(in->c->config, SPEC_ANN_INIT), "true") || !in->c->init_program)
        return NULL;
    return mount_fs_clone(AT_FDCWD, in->c->init_program, &ro, &in->l.exe);
}

static struct err *stage_hooks(struct init *in) {
    const struct json *config = in->c->config;
    struct sync_msg m;
    if (hooks_any(config, "prestart") || hooks_any(config, "createRuntime")) {
        TRY(sync_send(in->l.sync, SYNC_HOOKS, 0, -1));
        TRY(sync_recv(in->l.sync, &m));
        if (m.type != SYNC_GO)
            _exit(1);
    }
    if (!hooks_any(config, "createContainer"))
        return NULL;
    const struct hook_state st = {config, in->c->id, in->c->bundle, "creating", getpid()};
    return hooks_run("createContainer", &st);
}

static struct err *stage_names(struct init *in) {
    const char *host = json_str_value(json_get(in->c->config, "hostname"));
    const char *domain = json_str_value(json_get(in->c->config, "domainname"));
    if (!(in->made & CLONE_NEWUTS))
        return NULL;
    if (host && *host && sethostname(host, strlen(host)) < 0)
        return err_sys(errno, "set the host name to %s", host);
    if (domain && *domain && setdomainname(domain, strlen(domain)) < 0)
        return err_sys(errno, "set the domain name to %s", domain);
    return NULL;
}

static struct err *stage_network(struct init *in) {
    if (!(in->made & CLONE_NEWNET))
        return NULL;
    if (in->c->network) {
        autofd int netns = -1;
        TRY(fd_open_at(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0, &netns));
        TRY(sync_send(in->l.sync, SYNC_NETNS, 0, netns));
    }
    if (sys_link_up("lo") < 0)
        return err_sys(errno, "bring the loopback interface up");
    return NULL;
}

static unsigned long propagation_of(const char *word) {
    if (!word)
        return 0;
    if (str_ends(word, "private"))
        return MS_PRIVATE;
    if (str_ends(word, "slave"))
        return MS_SLAVE;
    return str_ends(word, "shared") ? MS_SHARED : MS_UNBINDABLE;
}

static struct err *stage_pivot(struct init *in) {
    unsigned long propagation = propagation_of(json_str_value(json_get(in->linux_, "rootfsPropagation")));
    if (fchdir(in->root) < 0 || sys_pivot_root(".", ".") < 0)
        return err_sys(errno, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0)
        return err_sys(errno, "detach the host's root");
    if (chdir("/") < 0)
        return err_sys(errno, "enter /");
    if (propagation && mount(NULL, "/", NULL, propagation | MS_REC, NULL) < 0)
        return err_sys(errno, "set mount propagation");
    return NULL;
}

static struct err *stage_launch(struct init *in) {
    TRY(launch_settle(&in->l));
    if (in->l.exe < 0)
        return NULL;
    autostrv struct strv with_init = {.v = NULL};
    strv_push(&with_init, "/sbin/docker-init");
    strv_push(&with_init, "--");
    strv_extend(&with_init, &in->l.args);
    struct strv tmp = in->l.args;
    in->l.args = with_init;
    with_init = tmp;
    return NULL;
}

/* Our maker goes now; who connects takes its place. One that goes away again without a word is not the one. */
static struct err *wait_starter(struct init *in) {
    struct sync_msg m = {.type = SYNC_EOF};
    do {
        int conn = accept4(in->c->start_listener, NULL, NULL, SOCK_CLOEXEC);
        if (conn < 0 && errno != EINTR && errno != ECONNABORTED)
            return err_sys(errno, "wait for the start");
        if (conn < 0)
            continue;
        fd_replace(&in->l.sync, conn);
        TRY(sync_recv(conn, &m));
    } while (m.type != SYNC_GO);
    return NULL;
}

static struct err *stage_ready(struct init *in) {
    TRY(sync_send(in->l.sync, SYNC_READY, 0, in->l.master));
    fd_replace(&in->l.master, -1);
    return NULL;
}

/* Whether there is more to do after the start than to execute: then the walls are not up yet while we wait. */
static bool waits_first(const struct init *in) { return in->c->detach || hooks_any(in->c->config, "startContainer"); }

static struct err *stage_wait(struct init *in) {
    struct sync_msg m = {.type = SYNC_EOF};
    if (!waits_first(in))
        return NULL;
    TRY(sync_recv(in->l.sync, &m));
    if (m.type != SYNC_GO) /* the monitor is gone or has thought better of it */
        _exit(1);
    if (in->c->detach)
        TRY(wait_starter(in));
    const struct hook_state st = {in->c->config, in->c->id, in->c->bundle, "created", getpid()};
    return hooks_run("startContainer", &st);
}

/* As a rule the walls go up while the monitor is still busy; what is left to do under the filter is one read and the
 * exec. */
static struct err *stage_go(struct init *in) {
    char go[16];
    ssize_t n;
    if (waits_first(in))
        return NULL;
    do
        n = read(in->l.sync, go, sizeof go);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(errno, "wait for the start");
    if (n == 0 || go[0] != SYNC_GO)
        _exit(1);
    return NULL;
}

static struct err *stage_volumes(struct init *in) {
    return in->c->prepare && !in->nested ? in->c->prepare(in->c->ctx, in->root) : NULL;
}

static struct err *stage_accounts(struct init *in) {
    const struct json *config = in->c->config;
    TRY(user_entry_add(in->root, "/etc/passwd", config_annotation(config, SPEC_ANN_PASSWD)));
    return user_entry_add(in->root, "/etc/group", config_annotation(config, SPEC_ANN_GROUP));
}

static struct err *stage_prepare(struct init *in) { return launch_prepare(&in->l); }
static struct err *stage_walls(struct init *in) { return walls_raise(&in->l); }
static struct err *stage_exec(struct init *in) { return launch_exec(&in->l); }

static const struct stage {
    const char *name; /* NULL: the error speaks for itself */
    struct err *(*fn)(struct init *in);
} stages[] = {
    {"isolate the process", stage_isolate},
    {"read the configuration", stage_prepare},
    {"join namespaces", stage_join},
    {"time namespace", timens_enter},
    {"network", stage_network}, /* early: it is plugged in while the mounts are made */
    {"prepare mounts", mounts_propagation},
    {"prepare mounts", stage_null},
    {"root file system", rootfs_attach},
    {"init program", init_program_open},
    {"accounts", stage_accounts},
    {NULL, stage_volumes},
    {NULL, mounts_apply},
    {"devices", devices_make},
    {"console", console_make},
    {NULL, sysctls_apply},
    {NULL, stage_hooks},
    {NULL, masks_apply},
    {NULL, readonly_apply},
    {"names", stage_names},
    {"change the root", stage_pivot},
    {NULL, stage_launch},
    {NULL, stage_ready},
    {NULL, stage_wait},
    {NULL, stage_walls},
    {NULL, stage_go},
    {NULL, stage_exec},
};

void init_main(struct init *in) {
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        struct err *e = stages[i].fn(in);
        if (!e)
            continue;
        if (stages[i].name)
            e = err_wrap(e, "%s", stages[i].name);
        sync_send_err(in->l.sync, e);
        break;
    }
    _exit(1);
}
