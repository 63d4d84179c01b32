/*
 * userns: the user's namespace. Joining one that lives costs a tenth of a millisecond, making one twenty times that,
 * so any live container serves as its holder: the one that run_root/userns names, else one with a run directory.
 *
 * It is the container's first process whose namespace link is opened, not the monitor's: that would have to be dumpable
 * for it, and then lie open to a container with --pid=host and CAP_SYS_PTRACE, as they share the user namespace. But a
 * container may have gone on into a namespace of its own making, where ids mean what it likes: only one right below
 * ours is taken. A monitor that waits to start its container again offers its own (userns_offer.c). When the last
 * container has ended, userns_keep.c has it a moment longer.
 *
 * Containers can only join each other's namespaces, and share a network, in one user namespace. So that commands that
 * start at the same time agree on one, a new one is made under a lock, and the command that made it is recorded with
 * the descriptor that it has of it, until its monitor takes over: "pid starttime [descriptor ids]". A container with a
 * map of its own is in a namespace below (userns_nest.c); then the one above its own is meant: descriptor 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/idmap.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

enum { RECORD_MAX = 128, MAP_MAX = 4096 };
const char userns_record[] = "userns", userns_kept[] = "userns.kept"; /* in the run directory */
static const char holder_file[] = "init";                             /* in one of a container */

/* Where hidepid= keeps /proc from us of a process of ours that is not dumpable: as many ids as we would give. */
static uint32_t usual_ids(const struct host *h, pid_t pid) {
    struct id_map ids = {.n_uid = 0};
    autoerr none = kill(pid, 0) == 0 ? host_id_map(h, &ids) : NULL;
    return none ? 0 : idmap_total(ids.uid, ids.n_uid);
}

/* Number of ids in the uid map of a process, 0 if it cannot be read or does not map root to the user. */
static uint32_t mapped_ids(const struct host *h, pid_t pid) {
    char file[32];
    unsigned inside, outside, count;
    uint32_t total = 0;
    bool root = false;
    autostr struct str text = STR_INIT_MAX(MAP_MAX);
    autostrv struct strv lines = {.v = NULL};
    (void)snprintf(file, sizeof file, "/proc/%d/uid_map", (int)pid);
    autoerr e = io_read_file(AT_FDCWD, file, MAP_MAX, &text);
    if (e)
        return err_errno(e) == ENOENT || err_errno(e) == EPERM ? usual_ids(h, pid) : 0;
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n; i++) {
        if (sscanf(lines.v[i], "%u %u %u", &inside, &outside, &count) != 3)
            continue;
        root |= inside == 0 && outside == h->uid;
        total += count;
    }
    return root ? total : 0;
}

enum { INSIDE = -1, BELOW = 0 };
struct holder {
    int64_t pid, fd; /* fd: a descriptor of a process that is not inside, or one of these */
    uint64_t start, ids;
};

static bool parse_holder(const char *text, struct holder *ret) {
    autostrv struct strv words = {.v = NULL};
    autofree char *line = mem_dupn(text, strcspn(text, "\n"));
    struct holder r = {.fd = INSIDE};
    strv_split(&words, line, ' ');
    if (words.n < 2 || !str_to_i64(words.v[0], 1, INT32_MAX, &r.pid) ||
        !str_to_u64(words.v[1], 10, UINT64_MAX, &r.start))
        return false;
    if (words.n == 4 &&
        (!str_to_i64(words.v[2], BELOW, INT32_MAX, &r.fd) || !str_to_u64(words.v[3], 10, UINT32_MAX, &r.ids)))
        return false;
    *ret = r;
    return true;
}

static bool same_as_ours(int ns) { return fd_is_at(ns, AT_FDCWD, "/proc/self/ns/user", 0); }

/* Made by this user in our own user namespace, and not by somebody further down. */
static bool is_ours(const struct host *h, int ns) {
    uid_t owner;
    autofd int parent = sys_ns_parent(ns);
    return sys_ns_owner_uid(ns, &owner) == 0 && owner == h->uid && parent >= 0 && same_as_ours(parent);
}

/* The namespace of a holder, if all is as it should be. */
static bool open_holder(const struct host *h, const char *text, int *ret_fd, uint32_t *ret_ids) {
    struct holder holder;
    autofd int pidfd = -1;
    char link[64];
    if (!parse_holder(text, &holder))
        return false;
    autoerr gone = proc_open((pid_t)holder.pid, holder.start, &pidfd);
    if (gone)
        return false;
    if (holder.fd <= BELOW)
        (void)snprintf(link, sizeof link, "/proc/%d/ns/user", (int)holder.pid);
    else
        (void)snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)holder.pid, (int)holder.fd);
    autofd int ns = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (ns >= 0 && holder.fd == BELOW)
        fd_replace(&ns, sys_ns_parent(ns));
    if (ns < 0 || !is_ours(h, ns))
        return false;
    uint32_t ids = holder.fd == INSIDE ? mapped_ids(h, (pid_t)holder.pid) : (uint32_t)holder.ids;
    if (ids < 2 || sys_pidfd_send_signal(pidfd, 0) < 0) /* still the same process after all these look-ups */
        return false;
    *ret_fd = take_fd(&ns);
    *ret_ids = ids;
    return true;
}

static bool open_record(const struct host *h, int dir, const char *name, int *ret_fd, uint32_t *ret_ids) {
    autostr struct str text = STR_INIT_MAX(RECORD_MAX);
    autoerr e = io_read_file(dir, name, RECORD_MAX, &text);
    return !e && open_holder(h, str_c(&text), ret_fd, ret_ids);
}

bool runtime_userns_is_ours(const struct host *h, int ns, pid_t inside, uint32_t *ret_ids) {
    *ret_ids = is_ours(h, ns) ? mapped_ids(h, inside) : 0;
    return *ret_ids >= 2;
}

/* That of a monitor which waits to start its container again. */
static bool open_offer(const struct host *h, int run, const char *id, int *ret_fd, uint32_t *ret_ids) {
    pid_t monitor;
    int fd = -1;
    bool offered = userns_ask(run, id, h->uid, &fd, &monitor);
    autofd int ns = fd;
    if (!offered || !runtime_userns_is_ours(h, ns, monitor, ret_ids))
        return false;
    *ret_fd = take_fd(&ns);
    return true;
}

struct scan {
    const struct host *h;
    int run, fd;
    uint32_t ids;
};

static struct err *scan_one(void *ctx, const char *name, unsigned char d_type) {
    struct scan *s = ctx;
    (void)d_type;
    if (s->fd >= 0 || !path_is_hex64(name))
        return NULL;
    autofree char *file = path_join(name, holder_file);
    if (!open_record(s->h, s->run, file, &s->fd, &s->ids))
        (void)open_offer(s->h, s->run, name, &s->fd, &s->ids);
    return NULL;
}

/* We are root of a user namespace already (a container that runs coracle): that one serves, as far as its ids go on. */
static bool inside_already(uint32_t *ret_ids) {
    autostr struct str text = STR_INIT_MAX(MAP_MAX);
    autostrv struct strv lines = {.v = NULL};
    unsigned inside, outside, count;
    uint32_t total = 0;
    if (geteuid() != 0)
        return false;
    autoerr e = io_read_file(AT_FDCWD, "/proc/self/uid_map", MAP_MAX, &text);
    if (e)
        return false;
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n && sscanf(lines.v[i], "%u %u %u", &inside, &outside, &count) == 3; i++) {
        if (inside != total || (outside == inside && count == UINT32_MAX)) /* a gap, or not a namespace of a user's */
            break;
        total += count;
    }
    *ret_ids = total;
    return total > 0;
}

/* What somebody is in goes before what is only kept: they may be two (docs/adr/kept-namespace.md). */
static bool find_live(const struct host *h, int run, int *ret_fd, uint32_t *ret_ids) {
    if (open_record(h, run, userns_record, ret_fd, ret_ids))
        return true;
    struct scan s = {h, run, -1, 0};
    err_free(io_each_entry(run, scan_one, &s));
    if (s.fd < 0)
        return open_record(h, run, userns_kept, ret_fd, ret_ids);
    *ret_fd = s.fd;
    *ret_ids = s.ids;
    return true;
}

struct err *userns_write_record(int dir, const char *name, pid_t pid, int fd, uint32_t ids) {
    autostr struct str text = STR_INIT;
    uint64_t start;
    TRY(proc_start_time(pid, &start));
    str_appendf(&text, "%d %llu", (int)pid, (unsigned long long)start);
    if (fd >= 0)
        str_appendf(&text, " %d %u", fd, ids);
    str_append_c(&text, '\n');
    return io_write_file(dir, name, text.ptr, text.len, 0600, 0);
}

/* The first start of a login makes it: two at the same time agree on a namespace there. */
static struct err *open_run_root(const struct host *h, int *ret) {
    struct err *e = fd_open_dir(AT_FDCWD, h->run_root, ret);
    if (!e || (mkdir(h->run_root, 0700) < 0 && errno != EEXIST))
        return e;
    err_free(e);
    return fd_open_dir(AT_FDCWD, h->run_root, ret);
}

static struct err *find_or_make(const struct host *h, int *ret_fd, uint32_t *ret_ids) {
    autofd int run = -1;
    autofd int lock = -1;
    autoerr nowhere = open_run_root(h, &run);
    if (nowhere)
        return userns_make(h, ret_fd, ret_ids);
    if (find_live(h, run, ret_fd, ret_ids))
        return NULL;
    TRY(fd_open_at(run, "userns.lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &lock));
    TRY(io_lock(lock, IO_LOCK_EXCLUSIVE));
    if (find_live(h, run, ret_fd, ret_ids)) /* made while we waited */
        return NULL;
    TRY(userns_make(h, ret_fd, ret_ids));
    /* Without a record the next command makes one of its own. */
    err_free(userns_write_record(run, userns_record, getpid(), *ret_fd, *ret_ids));
    userns_keep(run, *ret_fd, *ret_ids);
    return NULL;
}

bool runtime_userns_inside(void) {
    uint32_t ids;
    return inside_already(&ids);
}

struct err *runtime_userns_get(const struct host *h, int *ret_fd, uint32_t *ret_ids) {
    uint32_t ids = 0;
    int fd = -1;
    if (inside_already(&ids))
        TRY(fd_open_at(AT_FDCWD, "/proc/self/ns/user", O_RDONLY, 0, &fd));
    else
        TRY(find_or_make(h, &fd, &ids));
    *ret_fd = fd;
    if (ret_ids)
        *ret_ids = ids;
    return NULL;
}

static struct err *close_to_others(void) {
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? err_sys(errno, "prctl") : NULL;
}

/* Closed before it is in reach of the namespace's root, a container's with the host's pid namespace, too; and once
 * more, for a change of ids may have opened it. */
struct err *runtime_userns_enter(int userns_fd) {
    TRY(close_to_others());
    if (setns(userns_fd, CLONE_NEWUSER) < 0 && (errno != EINVAL || !same_as_ours(userns_fd)))
        return err_sys(errno, "enter the user namespace");
    /* A map that was made without newgidmap forbids setgroups; the groups that are left have no name inside. */
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return err_sys(errno, "drop supplementary groups");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "become root of the user namespace");
    return close_to_others();
}

struct err *runtime_userns_publish(const struct host *h, int run_fd, pid_t init, bool nested) {
    autofd int run = -1;
    int fd = nested ? BELOW : INSIDE;
    uint32_t ids = nested ? mapped_ids(h, getpid()) : 0;
    TRY(fd_open_dir(AT_FDCWD, h->run_root, &run));
    TRY(userns_write_record(run_fd, holder_file, init, fd, ids));
    return userns_write_record(run, userns_record, init, fd, ids);
}

/* The shared one is right below the user's own, or, for who is root in it already, his. */
struct err *runtime_userns_shared_by(pid_t pid, int *ret_fd) {
    char link[32];
    autofd int ns = -1;
    (void)snprintf(link, sizeof link, "/proc/%d/ns/user", (int)pid);
    TRY(fd_open_at(AT_FDCWD, link, O_RDONLY, 0, &ns));
    autofd int parent = sys_ns_parent(ns);
    bool below = parent >= 0 && (geteuid() == 0 ? !same_as_ours(ns) : !same_as_ours(parent));
    *ret_fd = below ? take_fd(&parent) : take_fd(&ns);
    return NULL;
}

/* ---- a call inside ---- */

static struct err *call_inside(int userns_fd, struct err *(*fn)(void *ctx), void *ctx) {
    if (userns_fd >= 0)
        TRY(runtime_userns_enter(userns_fd));
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) /* after the change of ids, which clears it */
        return err_sys(errno, "prctl");
    return fn(ctx);
}

static void call_child(int out, int userns_fd, struct err *(*fn)(void *ctx), void *ctx) {
    autostr struct str text = STR_INIT;
    struct err *e = call_inside(userns_fd, fn, ctx);
    if (!e)
        _exit(0);
    err_encode(e, &text);
    err_free(io_write_all(out, text.ptr, text.len));
    _exit(1);
}

struct err *runtime_userns_call(int userns_fd, struct err *(*fn)(void *ctx), void *ctx) {
    autostr struct str text = STR_INIT_MAX(1 << 20);
    int p[2], code;
    TRY(fd_pipe(0, p));
    autofd int from = p[0];
    autofd int to = p[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "fork");
    if (pid == 0)
        call_child(to, userns_fd, fn, ctx);
    fd_replace(&to, -1);
    struct err *e = io_read_all(from, 1 << 20, "the process in the user namespace", &text);
    TRY(err_first(e, proc_reap(pid, &code)));
    if (text.len)
        return err_decode(text.ptr, text.len);
    return code ? err_new(ERR_SYSTEM, "the process in the user namespace ended with code %d", code) : NULL;
}
