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
    autostr struct str text = STR_INIT;
    return proc_file_read(pid, "stat", 1024, &text) && proc_stat_parse(str_c(&text), ret);
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
    ino_t *namespaces; /* the containers' */
    size_t n_namespaces;
    ino_t host;
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
    for (size_t i = 0; i < f->n_namespaces; i++)
        if (f->namespaces[i] == mnt)
            return (ssize_t)i;
    return NOBODY;
}

static void add_found(struct finding *f, pid_t pid, ssize_t container) {
    if ((f->found.n & (f->found.n - 1)) == 0) /* doubles */
        f->found.v = mem_resize(f->found.v, f->found.n ? 2 * f->found.n : 1, sizeof *f->found.v);
    f->found.v[f->found.n++] = (struct procs_one){.pid = pid, .container = (size_t)container};
}

static struct err *look_at(void *ctx, const char *name, unsigned char d_type) {
    struct finding *f = ctx;
    int64_t number;
    struct proc_stat st;
    (void)d_type;
    if (!str_to_i64(name, 1, INT32_MAX, &number))
        return NULL;
    pid_t pid = (pid_t)number;
    ino_t mnt = mount_namespace(f->proc, pid);
    if (!mnt || mnt == f->host)
        return NULL;
    ssize_t owner = owner_of(f, mnt);
    if (owner != NOBODY) {
        add_found(f, pid, owner);
    } else if (proc_stat_read(pid, &st)) {
        if ((f->n_strays & (f->n_strays - 1)) == 0)
            f->strays = mem_resize(f->strays, f->n_strays ? 2 * f->n_strays : 1, sizeof *f->strays);
        f->strays[f->n_strays++] = (struct stray){.pid = pid, .parent = st.ppid};
    }
    return NULL;
}

static int by_pid(const void *a, const void *b) {
    pid_t x = ((const struct procs_one *)a)->pid, y = ((const struct procs_one *)b)->pid;
    return (x > y) - (x < y);
}

/* Whoever descends from a container's process is the container's; a generation a round. */
static void adopt_strays(struct finding *f) {
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < f->n_strays; i++) {
            const struct procs_one key = {.pid = f->strays[i].parent};
            const struct procs_one *parent =
                f->found.n ? bsearch(&key, f->found.v, f->found.n, sizeof key, by_pid) : NULL;
            if (!parent)
                continue;
            add_found(f, f->strays[i].pid, (ssize_t)parent->container);
            f->strays[i--] = f->strays[--f->n_strays];
            qsort(f->found.v, f->found.n, sizeof *f->found.v, by_pid);
            more = true;
        }
    }
}

struct err *procs_find(const pid_t *inits, size_t n_inits, struct procs *ret) {
    autofd int proc = -1;
    TRY(fd_open_dir(AT_FDCWD, "/proc", &proc));
    struct finding f = {.proc = proc, .namespaces = mem_array(n_inits + 1, sizeof(ino_t)), .n_namespaces = n_inits};
    f.host = mount_namespace(proc, getpid());
    for (size_t i = 0; i < n_inits; i++)
        f.namespaces[i] = mount_namespace(proc, inits[i]);
    struct err *e = io_each_entry(proc, look_at, &f);
    if (!e && f.found.n) {
        qsort(f.found.v, f.found.n, sizeof *f.found.v, by_pid);
        adopt_strays(&f);
    }
    free(f.namespaces);
    free(f.strays);
    if (e)
        procs_done(&f.found);
    else
        *ret = f.found;
    return e;
}

void procs_done(struct procs *p) {
    free(p->v);
    *p = (struct procs){.n = 0};
}
