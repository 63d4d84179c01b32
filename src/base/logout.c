/* logout: see logout.h. Files are read as systemd reads them: the main one from the first place that has it, then
 * drop-ins of all places in the order of their names, of which the first place's hides others of the same name. */
#include "base/logout.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

enum { FILE_MAX = 64 << 10 };
static const char *const places[] = {"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"};

struct settings {
    bool kill;
    struct strv only, exclude;
};

static bool is_there(const char *root, const char *path) {
    autofree char *full = mem_printf("%s%s", root, path);
    return access(full, F_OK) == 0;
}

static bool read_text(const char *root, const char *path, struct str *out) {
    autofree char *full = mem_printf("%s%s", root, path);
    autoerr e = io_read_file(AT_FDCWD, full, FILE_MAX, out);
    return !e;
}

/* ---- logind.conf ---- */

static bool is_true(const char *value) {
    static const char *const words[] = {"1", "yes", "y", "true", "t", "on"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

/* An empty value forgets what other files have said. */
static void add_names(struct strv *to, char *value) {
    if (!*value)
        strv_done(to);
    for (char *name = strsep(&value, " \t"); name; name = strsep(&value, " \t"))
        if (*name)
            strv_push(to, name);
}

static char *trim(char *s) {
    s += strspn(s, " \t");
    for (size_t n = strlen(s); n && strchr(" \t\r", s[n - 1]); n--)
        s[n - 1] = '\0';
    return s;
}

static void take_line(struct settings *s, char *line) {
    char *value = strchr(line, '=');
    if (!value)
        return;
    *value++ = '\0';
    value = trim(value);
    const char *key = trim(line);
    if (str_eq(key, "KillUserProcesses"))
        s->kill = is_true(value);
    else if (str_eq(key, "KillOnlyUsers"))
        add_names(&s->only, value);
    else if (str_eq(key, "KillExcludeUsers"))
        add_names(&s->exclude, value);
}

static bool take_file(struct settings *s, const char *root, const char *path) {
    autostr struct str text = STR_INIT_MAX(FILE_MAX);
    bool ours = false;
    if (!read_text(root, path, &text))
        return false;
    char *rest = text.ptr;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        line = trim(line);
        if (*line == '[')
            ours = str_eq(line, "[Login]");
        else if (ours && *line != '#' && *line != ';')
            take_line(s, line);
    }
    return true;
}

/* ---- drop-ins ---- */

static struct err *list_one(void *ctx, const char *name, unsigned char d_type) {
    (void)d_type;
    struct strv *names = ctx;
    size_t n = strlen(name);
    if (n > 5 && str_eq(name + n - 5, ".conf") && !strv_has(names, name))
        strv_push(names, name);
    return NULL;
}

static char *drop_in(size_t place, const char *name) { return mem_printf("%s/logind.conf.d/%s", places[place], name); }

static void list_drop_ins(const char *root, struct strv *names) {
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        autofree char *path = mem_printf("%s%s/logind.conf.d", root, places[i]);
        autofd int dir = -1;
        autoerr none = fd_open_dir(AT_FDCWD, path, &dir);
        if (!none)
            err_free(io_each_entry(dir, list_one, names));
    }
    strv_sort(names);
}

static void take_first(struct settings *s, const char *root, const char *name) {
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(places) && !found; i++) {
        autofree char *path = name ? drop_in(i, name) : mem_printf("%s/logind.conf", places[i]);
        found = take_file(s, root, path);
    }
}

static bool logind_kills(const char *root, const char *user) {
    autostrv struct strv names = {.n = 0};
    struct settings s = {0};
    strv_push(&s.exclude, "root");
    take_first(&s, root, NULL);
    list_drop_ins(root, &names);
    for (size_t i = 0; i < names.n; i++)
        take_first(&s, root, names.v[i]);
    bool listed = s.only.n ? strv_has(&s.only, user) : s.kill;
    bool kills = listed && !strv_has(&s.exclude, user);
    strv_done(&s.only);
    strv_done(&s.exclude);
    return kills;
}

/* ---- where we are ---- */

static bool read_cgroup(const char *root, pid_t pid, struct str *out) {
    autofree char *path = mem_printf("/proc/%d/cgroup", (int)pid);
    return (pid && read_text(root, path, out)) || read_text(root, "/proc/self/cgroup", out);
}

enum logout_end logout_end(const char *root, const char *user, uid_t uid, pid_t pid) {
    autostr struct str cgroups = STR_INIT_MAX(FILE_MAX);
    if (!is_there(root, "/run/systemd/system") || !read_cgroup(root, pid, &cgroups))
        return LOGOUT_LEAVES;
    autofree char *session = mem_printf(":/user.slice/user-%u.slice/session-", (unsigned)uid);
    autofree char *manager = mem_printf(":/user.slice/user-%u.slice/user@%u.service", (unsigned)uid, (unsigned)uid);
    autofree char *linger = mem_printf("/var/lib/systemd/linger/%s", user);
    if (strstr(str_c(&cgroups), manager))
        return is_there(root, linger) ? LOGOUT_LEAVES : LOGOUT_MANAGER;
    return strstr(str_c(&cgroups), session) && logind_kills(root, user) ? LOGOUT_SESSION : LOGOUT_LEAVES;
}

const char *logout_way_out(enum logout_end end) {
    static const char *const ways[] = {[LOGOUT_SESSION] =
                                           "loginctl enable-linger; systemd-run --user --scope coracle run -d …",
                                       [LOGOUT_MANAGER] = "loginctl enable-linger"};
    return ways[end];
}
