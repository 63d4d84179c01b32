/*
 * top_columns: the columns of top that need no ps: those of "-ef", as the host's ps shows them, and podman's
 * descriptors, most of them as the container sees them.
 */
#include "engine/engine_int.h"
#include "engine/top_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"

enum { TEXT_MAX = 1 << 16, PASSWD_MAX = 1 << 20, PTS_FIRST = 136, PTS_LAST = 143 };

/* What a column is made of: the process, and what is the same for all of them. */
struct look {
    struct proc_stat st;
    struct str status, map_uid, map_gid;
    const char *host_users, *users, *host_groups, *groups; /* texts of passwd and group */
    int64_t now, boot;                                     /* ns; of the clock, and when the machine was started */
    long hertz;
};

static int64_t ns_of(const struct look *l, uint64_t ticks) {
    return (int64_t)ticks / l->hertz * NSEC_PER_SEC + (int64_t)ticks % l->hertz * (NSEC_PER_SEC / l->hertz);
}

/* The n-th word of a line of /proc/PID/status; -1: the last. Borrowed text of *ret_n bytes. */
static const char *status_word(const struct look *l, const char *key, int n, size_t *ret_n) {
    const char *at = strstr(str_c(&l->status), key), *word = "";
    *ret_n = 0;
    if (!at)
        return word;
    at += strlen(key);
    for (int i = 0; (n < 0 || i <= n) && *(at += strspn(at, " \t")) && *at != '\n'; i++) {
        word = at;
        *ret_n = strcspn(at, " \t\n");
        at += *ret_n;
    }
    return word;
}

static int64_t status_id(const struct look *l, const char *key, int n) {
    size_t len;
    const char *word = status_word(l, key, n, &len);
    return len ? strtoll(word, NULL, 10) : -1;
}

static void append_status(const struct look *l, const char *key, int n, struct str *out) {
    size_t len;
    const char *word = status_word(l, key, n, &len);
    str_append_n(out, word, len);
}

/* ---- names of ids ---- */

/* The first field of the line whose third is the id, as passwd and group have it; else the number. */
static void append_name(const char *text, int64_t id, struct str *out) {
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t name = strcspn(line, ":\n");
        const char *rest = line + name + (line[name] == ':');
        rest += strcspn(rest, ":\n");
        if (*rest == ':' && rest[1] >= '0' && rest[1] <= '9' && strtoll(rest + 1, NULL, 10) == id) {
            str_append_n(out, line, name);
            return;
        }
    }
    str_appendf(out, "%lld", (long long)id);
}

/* An id of the host's as the process sees it: the lines of uid_map are "inside outside count". */
static int64_t inside(const struct str *map, int64_t id) {
    for (const char *line = str_c(map); *line; line += strcspn(line, "\n"), line += *line == '\n') {
        long long in, out, count;
        if (sscanf(line, "%lld %lld %lld", &in, &out, &count) == 3 && id >= out && id < out + count)
            return in + (id - out);
    }
    return id;
}

/* Of the four ids in a line of status the effective one is the second. */
static void col_user(const struct look *l, struct str *out) {
    append_name(l->users, inside(&l->map_uid, status_id(l, "\nUid:", 1)), out);
}
static void col_ruser(const struct look *l, struct str *out) {
    append_name(l->users, inside(&l->map_uid, status_id(l, "\nUid:", 0)), out);
}
static void col_huser(const struct look *l, struct str *out) {
    append_name(l->host_users, status_id(l, "\nUid:", 1), out);
}
static void col_group(const struct look *l, struct str *out) {
    append_name(l->groups, inside(&l->map_gid, status_id(l, "\nGid:", 1)), out);
}
static void col_rgroup(const struct look *l, struct str *out) {
    append_name(l->groups, inside(&l->map_gid, status_id(l, "\nGid:", 0)), out);
}
static void col_hgroup(const struct look *l, struct str *out) {
    append_name(l->host_groups, status_id(l, "\nGid:", 1), out);
}

/* ---- numbers and times ---- */

static void col_hpid(const struct look *l, struct str *out) { str_appendf(out, "%d", (int)l->st.pid); }
static void col_hppid(const struct look *l, struct str *out) { str_appendf(out, "%d", (int)l->st.ppid); }
static void col_pid(const struct look *l, struct str *out) { append_status(l, "\nNSpid:", -1, out); }
static void col_pgid(const struct look *l, struct str *out) { append_status(l, "\nNSpgid:", -1, out); }
static void col_nice(const struct look *l, struct str *out) { str_appendf(out, "%d", l->st.nice); }
static void col_vsz(const struct look *l, struct str *out) {
    str_appendf(out, "%llu", (unsigned long long)l->st.vsize >> 10);
}
static void col_rss(const struct look *l, struct str *out) {
    str_appendf(out, "%llu", (unsigned long long)l->st.rss >> 10);
}
static void col_state(const struct look *l, struct str *out) { str_append_c(out, l->st.state); }

/* How many namespaces the process is known in. */
static int depth(const struct str *status) {
    const struct look l = {.status = *status};
    int n = 0;
    size_t len;
    for (const char *word, *last = NULL; (word = status_word(&l, "\nNSpid:", n, &len)) != last && len; n++)
        last = word;
    return n;
}

/* The parent as the process sees it; 0: it is outside. */
static void col_ppid(const struct look *l, struct str *out) {
    struct look parent = {.now = 0};
    int own = depth(&l->status);
    if (proc_file_read(l->st.ppid, "status", TEXT_MAX, &parent.status) && depth(&parent.status) >= own)
        append_status(&parent, "\nNSpid:", own - 1, out);
    else
        str_append_c(out, '0');
    str_done(&parent.status);
}

/* CPU time in per cent of the life so far. */
static double cpu_share(const struct look *l) {
    int64_t life = l->now - l->boot - ns_of(l, l->st.start), cpu = ns_of(l, l->st.utime + l->st.stime);
    return life > 0 ? 100.0 * (double)cpu / (double)life : 0;
}
static void col_c(const struct look *l, struct str *out) {
    double share = cpu_share(l);
    str_appendf(out, "%d", share > 99 ? 99 : (int)share);
}
static void col_pcpu(const struct look *l, struct str *out) { str_appendf(out, "%.3f", cpu_share(l)); }

/* ps: the hour of today's, else the day, of another year's only that. */
static void col_stime(const struct look *l, struct str *out) {
    const time_t begun = (time_t)((l->boot + ns_of(l, l->st.start)) / NSEC_PER_SEC),
                 now = (time_t)(l->now / NSEC_PER_SEC);
    struct tm then, today;
    char text[16] = "";
    size_t n;
    if (!localtime_r(&begun, &then) || !localtime_r(&now, &today))
        return;
    if (then.tm_year != today.tm_year)
        n = strftime(text, sizeof text, "%Y", &then);
    else if (then.tm_yday != today.tm_yday)
        n = strftime(text, sizeof text, "%b%d", &then);
    else
        n = strftime(text, sizeof text, "%H:%M", &then);
    str_append_n(out, text, n);
}

static void col_time(const struct look *l, struct str *out) {
    long long s = ns_of(l, l->st.utime + l->st.stime) / NSEC_PER_SEC, days = s / 86400;
    if (days)
        str_appendf(out, "%lld-", days);
    str_appendf(out, "%02lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
}
static void col_cpu_go(const struct look *l, struct str *out) {
    int64_t cpu = ns_of(l, l->st.utime + l->st.stime);
    clock_format_go(cpu - cpu % NSEC_PER_SEC, out);
}
static void col_etime(const struct look *l, struct str *out) {
    int64_t life = l->now - l->boot - ns_of(l, l->st.start);
    clock_format_go(life > 0 ? life : 0, out);
}

/* ---- words ---- */

static void col_tty(const struct look *l, struct str *out) {
    unsigned device = (unsigned)l->st.tty, major_no = major(device), minor_no = minor(device);
    if (major_no >= PTS_FIRST && major_no <= PTS_LAST)
        str_appendf(out, "pts/%u", minor_no + (major_no - PTS_FIRST) * 256);
    else if (major_no == 4 && minor_no < 64)
        str_appendf(out, "tty%u", minor_no);
    else
        str_append_c(out, '?');
}
static void col_comm(const struct look *l, struct str *out) { str_append(out, l->st.comm); }

/* A kernel thread or a zombie has no command line. */
static void col_args(const struct look *l, struct str *out) {
    autostr struct str text = STR_INIT;
    if (!proc_file_read(l->st.pid, "cmdline", TEXT_MAX, &text)) {
        str_appendf(out, l->st.state == 'Z' ? "[%s] <defunct>" : "[%s]", l->st.comm);
        return;
    }
    while (text.len && !text.ptr[text.len - 1])
        text.len--;
    for (size_t i = 0; i < text.len; i++)
        str_append_c(out, text.ptr[i] && text.ptr[i] != '\n' && text.ptr[i] != '\t' ? text.ptr[i] : ' ');
}

static void col_seccomp(const struct look *l, struct str *out) {
    static const char *const words[] = {"disabled", "strict", "filter"};
    int64_t mode = status_id(l, "\nSeccomp:", 0);
    str_append(out, mode >= 0 && mode < (int64_t)ARRAY_LEN(words) ? words[mode] : "?");
}

static void col_label(const struct look *l, struct str *out) {
    autostr struct str text = STR_INIT;
    if (proc_file_read(l->st.pid, "attr/current", 4096, &text))
        str_append_n(out, str_c(&text), strcspn(str_c(&text), "\n"));
    else
        str_append_c(out, '?');
}

/* "full", "none", or the names without CAP_. */
static void append_caps(const struct look *l, const char *key, struct str *out) {
    size_t n;
    unsigned long long mask = strtoull(status_word(l, key, 0, &n), NULL, 16), full = 0;
    const char *comma = "", *name;
    for (int i = 0; i < 64 && engine_cap_name(i); i++)
        full |= 1ULL << i;
    if (!mask || (mask & full) == full) {
        str_append(out, mask ? "full" : "none");
        return;
    }
    for (int i = 0; i < 64 && (name = engine_cap_name(i)); i++) {
        if (mask & 1ULL << i) {
            str_appendf(out, "%s%s", comma, name + strlen("CAP_"));
            comma = ",";
        }
    }
}
static void col_capamb(const struct look *l, struct str *out) { append_caps(l, "\nCapAmb:", out); }
static void col_capbnd(const struct look *l, struct str *out) { append_caps(l, "\nCapBnd:", out); }
static void col_capeff(const struct look *l, struct str *out) { append_caps(l, "\nCapEff:", out); }
static void col_capinh(const struct look *l, struct str *out) { append_caps(l, "\nCapInh:", out); }
static void col_capprm(const struct look *l, struct str *out) { append_caps(l, "\nCapPrm:", out); }

/* ---- the table ---- */

static const struct column {
    const char *word, *title;
    void (*print)(const struct look *l, struct str *out);
} columns[] = {
    {"args", "COMMAND", col_args},
    {"capamb", "AMBIENT CAPS", col_capamb},
    {"capbnd", "BOUNDING CAPS", col_capbnd},
    {"capeff", "EFFECTIVE CAPS", col_capeff},
    {"capinh", "INHERITED CAPS", col_capinh},
    {"capprm", "PERMITTED CAPS", col_capprm},
    {"comm", "COMMAND", col_comm},
    {"etime", "ELAPSED", col_etime},
    {"group", "GROUP", col_group},
    {"hgroup", "HGROUP", col_hgroup},
    {"hpid", "HPID", col_hpid},
    {"huser", "HUSER", col_huser},
    {"label", "LABEL", col_label},
    {"nice", "NI", col_nice},
    {"pcpu", "%CPU", col_pcpu},
    {"pgid", "PGID", col_pgid},
    {"pid", "PID", col_pid},
    {"ppid", "PPID", col_ppid},
    {"rgroup", "RGROUP", col_rgroup},
    {"rss", "RSS", col_rss},
    {"ruser", "RUSER", col_ruser},
    {"seccomp", "SECCOMP", col_seccomp},
    {"state", "STATE", col_state},
    {"stime", "STIME", col_stime},
    {"time", "TIME", col_cpu_go},
    {"tty", "TTY", col_tty},
    {"user", "USER", col_user},
    {"vsz", "VSZ", col_vsz},
};

/* What "-ef" gives; ids are the host's. */
static const struct column full_format[] = {
    {"", "UID", col_huser},   {"", "PID", col_hpid}, {"", "PPID", col_hppid}, {"", "C", col_c},
    {"", "STIME", col_stime}, {"", "TTY", col_tty},  {"", "TIME", col_time},  {"", "CMD", col_args},
};

static const struct column *column_of(const char *word) {
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (!strcmp(columns[i].word, word))
            return &columns[i];
    return NULL;
}

bool top_words(const struct strv *options, struct strv *ret_columns) {
    autostrv struct strv words = {.n = 0};
    for (size_t i = 0; i < options->n; i++) {
        autofree char *text = mem_dup(options->v[i]);
        for (char *c = text; *c; c++)
            *c = (char)(*c == ',' ? ' ' : *c);
        strv_split(&words, text, ' ');
    }
    for (size_t i = 0; i < words.n; i++)
        if (*words.v[i] && !column_of(words.v[i]))
            return words.n == 1 && !strcmp(words.v[i], "-ef");
    for (size_t i = 0; i < words.n; i++)
        if (*words.v[i])
            strv_push(ret_columns, words.v[i]);
    return true;
}

static void add_row(struct look *l, const struct column *const *wanted, size_t n, struct json *rows) {
    struct json *row = json_array();
    for (size_t i = 0; i < n; i++) {
        autostr struct str cell = STR_INIT;
        wanted[i]->print(l, &cell);
        json_push_str(row, str_c(&cell));
    }
    json_push(rows, row);
}

/* A file of the container's, which may be anything: read as far as it is a small regular one. Owned. */
static char *read_inside(pid_t init, const char *file) {
    autofree char *path = mem_printf("/proc/%d/root", (int)init);
    autofd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd int fd = root >= 0 ? path_find_in_root(root, file, O_RDONLY | O_NONBLOCK) : -1;
    autostr struct str text = STR_INIT;
    autoerr bad = fd >= 0 ? io_read_all(fd, PASSWD_MAX, file, &text) : NULL;
    if (bad)
        str_clear(&text);
    return str_take(&text);
}

static char *read_host(const char *file) {
    autostr struct str text = STR_INIT;
    autoerr bad = io_read_file(AT_FDCWD, file, PASSWD_MAX, &text);
    if (bad)
        str_clear(&text);
    return str_take(&text);
}

void top_columns(pid_t init, const struct procs *procs, const struct strv *words, struct json *titles,
                 struct json *rows) {
    const struct column *wanted[ARRAY_LEN(columns)];
    size_t n = 0;
    for (; !words->n && n < ARRAY_LEN(full_format); n++)
        wanted[n] = &full_format[n];
    for (; n < words->n && n < ARRAY_LEN(wanted); n++)
        wanted[n] = column_of(words->v[n]);
    for (size_t i = 0; i < n; i++)
        json_push_str(titles, wanted[i]->title);
    autofree char *host_users = read_host("/etc/passwd"), *host_groups = read_host("/etc/group");
    autofree char *users = words->n ? read_inside(init, "/etc/passwd") : mem_dup("");
    autofree char *groups = words->n ? read_inside(init, "/etc/group") : mem_dup("");
    for (size_t i = 0; i < procs->n; i++) {
        struct look l = {.host_users = host_users,
                         .host_groups = host_groups,
                         .users = users,
                         .groups = groups,
                         .now = clock_now(),
                         .hertz = sysconf(_SC_CLK_TCK)};
        pid_t pid = procs->v[i].pid;
        l.boot = l.now - clock_boot();
        if (proc_stat_read(pid, &l.st) && proc_file_read(pid, "status", TEXT_MAX, &l.status)) {
            proc_file_read(pid, "uid_map", TEXT_MAX, &l.map_uid);
            proc_file_read(pid, "gid_map", TEXT_MAX, &l.map_gid);
            add_row(&l, wanted, n, rows);
        }
        str_done(&l.status);
        str_done(&l.map_uid);
        str_done(&l.map_gid);
    }
}
