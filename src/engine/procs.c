/* procs: see procs_int.h. */
#include "engine/procs_int.h"

#include "engine/engine_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the kernel says ---- */

bool proc_file_read(pid_t pid, const char *file, size_t max, struct str *out) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    /* The kernel gives a page at most, and less only at the end, or where a line would not fit any more. */
    enum { PAGE = 4096, LINE = 1024 };
    for (bool more = true; more && max;) {
        size_t room = max < PAGE ? max : PAGE;
        char *to = str_reserve(out, room);
        ssize_t n = to ? read(fd, to, room) : 0;
        if (n <= 0)
            break;
        out->len += (size_t)n;
        out->ptr[out->len] = '\0';
        max -= (size_t)n;
        more = n > PAGE - LINE;
    }
    return out->len > 0;
}

bool proc_stat_parse(const char *text, struct proc_stat *ret) {
    const char *open = strchr(text, '('), *close = strrchr(text, ')'); /* the name between may hold anything */
    struct proc_stat s = {.pid = (pid_t)strtol(text, NULL, 10)};
    unsigned long long utime, stime, start, vsize;
    long cutime, cstime;
    long long rss;
    if (!open || !close || close < open || s.pid <= 0)
        return false;
    size_t n = (size_t)(close - open - 1);
    n = n < sizeof s.comm ? n : sizeof s.comm - 1;
    memcpy(s.comm, open + 1, n);
    int got = sscanf(
        close + 1, " %c %d %d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %ld %ld %*d %d %d %*d %llu %llu %lld", &s.state,
        &s.ppid, &s.pgid, &s.tty, &utime, &stime, &cutime, &cstime, &s.nice, &s.threads, &start, &vsize, &rss);
    if (got != 13)
        return false;
    s.utime = utime;
    s.stime = stime;
    s.cutime = cutime > 0 ? (uint64_t)cutime : 0;
    s.cstime = cstime > 0 ? (uint64_t)cstime : 0;
    s.start = start;
    s.vsize = vsize;
    s.rss = rss > 0 ? (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    *ret = s;
    return true;
}

bool proc_stat_read(pid_t pid, struct proc_stat *ret) {
    char path[32], text[1024]; /* on the stack: of a thousand processes it is all that is read */
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return proc_stat_parse(text, ret);
}

uint64_t proc_number(const char *text, const char *key) {
    for (const char *at = text; (at = strstr(at, key)); at++)
        if (at == text || at[-1] == '\n' || at[-1] == ' ')
            return strtoull(at + strlen(key), NULL, 10);
    return 0;
}

/* ---- whose it is ---- */

enum { NOBODY = -1 };

struct stray { /* in a mount namespace of its own making */
    pid_t pid, parent;
};

struct finding {
    int proc;
    const pid_t *inits; /* NULL: of procs_again() */
    ino_t host;
    const struct procs *before; /* or NULL */
    struct procs found;
    struct stray *strays;
    size_t n_strays;
};

/* 0: not ours to look at, or gone. */
static ino_t mount_namespace(int proc, pid_t pid) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "%d/ns/mnt", (int)pid);
    return fstatat(proc, path, &st, 0) == 0 ? st.st_ino : 0;
}

static ssize_t owner_of(const struct finding *f, ino_t mnt) {
    for (size_t i = 0; i < f->found.n_namespaces; i++)
        if (f->found.namespaces[i] == mnt)
            return (ssize_t)i;
    return NOBODY;
}

/* Room for one more in an array that doubles. */
static void *grown(void *v, size_t n, size_t size) { return n & (n - 1) ? v : mem_resize(v, n ? 2 * n : 1, size); }

static void add_found(struct finding *f, pid_t pid, ssize_t container, uint64_t start) {
    f->found.v = grown(f->found.v, f->found.n, sizeof *f->found.v);
    f->found.v[f->found.n++] = (struct procs_one){.pid = pid, .container = (size_t)container, .start = start};
}

static void add_other(struct finding *f, pid_t pid) {
    f->found.others = grown(f->found.others, f->found.n_others, sizeof *f->found.others);
    f->found.others[f->found.n_others++] = pid;
}

/* A first process's namespace is known: it is the container's. */
static ino_t namespace_of(const struct finding *f, pid_t pid) {
    for (size_t i = 0; f->inits && i < f->found.n_namespaces; i++)
        if (f->inits[i] == pid)
            return f->found.namespaces[i];
    return mount_namespace(f->proc, pid);
}

static void ask_whose(struct finding *f, pid_t pid) {
    struct proc_stat st;
    ino_t mnt = namespace_of(f, pid);
    ssize_t owner = mnt && mnt != f->host ? owner_of(f, mnt) : NOBODY;
    if (owner != NOBODY) {
        add_found(f, pid, owner, 0);
    } else if (!mnt || mnt == f->host) {
        add_other(f, pid);
    } else if (proc_stat_read(pid, &st)) {
        f->strays = grown(f->strays, f->n_strays, sizeof *f->strays);
        f->strays[f->n_strays++] = (struct stray){.pid = pid, .parent = st.ppid};
    }
}

static int by_number(const void *a, const void *b) {
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

static int by_pid(const void *a, const void *b) {
    pid_t x = ((const struct procs_one *)a)->pid, y = ((const struct procs_one *)b)->pid;
    return (x > y) - (x < y);
}

static const struct procs_one *find_pid(const struct procs *in, pid_t pid) {
    const struct procs_one key = {.pid = pid};
    return in->n ? bsearch(&key, in->v, in->n, sizeof key, by_pid) : NULL;
}

static struct err *look_at(void *ctx, const char *name, unsigned char d_type) {
    struct finding *f = ctx;
    int64_t number;
    (void)d_type;
    if (!str_to_i64(name, 1, INT32_MAX, &number))
        return NULL;
    pid_t pid = (pid_t)number;
    const struct procs *before = f->before;
    const struct procs_one *known = before ? find_pid(before, pid) : NULL;
    if (known)
        add_found(f, pid, (ssize_t)known->container, known->start);
    else if (before && before->n_others && bsearch(&pid, before->others, before->n_others, sizeof pid, by_number))
        add_other(f, pid);
    else
        ask_whose(f, pid);
    return NULL;
}

/* Whoever descends from a container's process is the container's; a generation a round. */
static void adopt_strays(struct finding *f) {
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < f->n_strays; i++) {
            const struct procs_one *parent = find_pid(&f->found, f->strays[i].parent);
            if (!parent)
                continue;
            add_found(f, f->strays[i].pid, (ssize_t)parent->container, 0);
            f->strays[i--] = f->strays[--f->n_strays];
            qsort(f->found.v, f->found.n, sizeof *f->found.v, by_pid);
            more = true;
        }
    }
}

/* Takes what is in f->found over into *ret, with all processes that there are. */
static struct err *pass(struct finding *f, struct procs *ret) {
    f->host = mount_namespace(f->proc, getpid());
    struct err *e = io_each_entry(f->proc, look_at, f);
    if (!e && f->found.n) {
        qsort(f->found.v, f->found.n, sizeof *f->found.v, by_pid);
        adopt_strays(f);
    }
    if (!e && f->found.n_others)
        qsort(f->found.others, f->found.n_others, sizeof *f->found.others, by_number);
    free(f->strays);
    if (e)
        procs_done(&f->found);
    else
        *ret = f->found;
    return e;
}

struct err *procs_find(const pid_t *inits, size_t n_inits, struct procs *ret) {
    autofd int proc = -1;
    TRY(fd_open_dir(AT_FDCWD, "/proc", &proc));
    struct finding f = {.proc = proc, .inits = inits};
    f.found.namespaces = mem_array(n_inits + 1, sizeof(ino_t));
    f.found.n_namespaces = n_inits;
    for (size_t i = 0; i < n_inits; i++)
        f.found.namespaces[i] = inits[i] ? mount_namespace(proc, inits[i]) : 0;
    return pass(&f, ret);
}

struct err *procs_again(struct procs *p) {
    autofd int proc = -1;
    TRY(fd_open_dir(AT_FDCWD, "/proc", &proc));
    struct procs before = *p;
    struct finding f = {.proc = proc, .before = &before};
    f.found.namespaces = take_ptr(&before.namespaces);
    f.found.n_namespaces = before.n_namespaces;
    *p = (struct procs){.n = 0};
    struct err *e = pass(&f, p);
    procs_done(&before);
    return e;
}

void procs_done(struct procs *p) {
    free(p->v);
    free(p->others);
    free(p->namespaces);
    *p = (struct procs){.n = 0};
}
