/* cgroup_find: /proc/PID/cgroup, the mount points of its hierarchies, and reading and writing their small files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

enum { CGROUP_FILE_MAX = 64 << 10 };
const char cgroup_prefix[] = "coracle-";

static const struct {
    const char *name;
    enum runtime_controller controller;
} controllers[] = {
    {"cpu", RUNTIME_CPU},   {"cpuacct", RUNTIME_CPUACCT}, {"cpuset", RUNTIME_CPUSET},   {"memory", RUNTIME_MEMORY},
    {"pids", RUNTIME_PIDS}, {"blkio", RUNTIME_IO},        {"freezer", RUNTIME_FREEZER},
};

static unsigned controller_bit(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
        if (strcmp(controllers[i].name, name) == 0)
            return 1u << controllers[i].controller;
    return 0;
}

static const char *v2_mount(void) {
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
        return "/sys/fs/cgroup";
    return access("/sys/fs/cgroup/unified/cgroup.controllers", F_OK) == 0 ? "/sys/fs/cgroup/unified" : NULL;
}

/* "cpu,cpuacct" is mounted under that name, or under one of the two. */
static char *v1_mount(const char *list, const struct strv *names) {
    autofree char *whole = mem_printf("/sys/fs/cgroup/%s", list);
    if (access(whole, F_OK) == 0)
        return take_ptr(&whole);
    for (size_t i = 0; i < names->n; i++) {
        autofree char *one = mem_printf("/sys/fs/cgroup/%s", names->v[i]);
        if (access(one, F_OK) == 0)
            return take_ptr(&one);
    }
    return NULL;
}

/* "4:memory:/user/x" or "0::/user/x", without its newline. */
static bool parse_line(const char *line, const char *wanted, struct cgroup_line *ret) {
    const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
    if (!path || path[1] != '/' || (wanted && !str_starts(path_base(path + 1), wanted)))
        return false;
    autofree char *text = mem_dupn(list + 1, (size_t)(path - list - 1));
    struct cgroup_line l = {.v2 = !*text};
    autostrv struct strv names = {.n = 0};
    strv_split(&names, text, ',');
    for (size_t i = 0; !l.v2 && i < names.n; i++)
        l.controllers |= controller_bit(names.v[i]);
    if (!l.v2 && !l.controllers)
        return false;
    l.mount = l.v2 ? mem_dup(v2_mount()) : v1_mount(text, &names);
    if (!l.mount)
        return false;
    l.path = mem_dup(path + 1);
    *ret = l;
    return true;
}

void cgroup_lines_read(pid_t pid, const char *wanted, struct cgroup_lines *ret) {
    char file[32];
    autostr struct str text = STR_INIT_MAX(CGROUP_FILE_MAX);
    autostrv struct strv lines = {.n = 0};
    ret->n = 0;
    if (pid)
        (void)snprintf(file, sizeof file, "/proc/%d/cgroup", (int)pid);
    autoerr unread = io_read_record(AT_FDCWD, pid ? file : "/proc/self/cgroup", CGROUP_FILE_MAX, &text, NULL);
    if (unread)
        return;
    strv_split(&lines, str_c(&text), '\n');
    for (size_t i = 0; i < lines.n && ret->n < ARRAY_LEN(ret->v); i++)
        ret->n += parse_line(lines.v[i], wanted, &ret->v[ret->n]);
}

void cgroup_lines_done(struct cgroup_lines *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].mount);
        free(l->v[i].path);
    }
    l->n = 0;
}

bool cgroup_has(int dir, const char *file) { return faccessat(dir, file, F_OK, 0) == 0; }

bool cgroup_read(int dir, const char *file, struct str *out) {
    autoerr unread = io_read_file(dir, file, CGROUP_FILE_MAX, out);
    return !unread;
}

uint64_t cgroup_number(int dir, const char *file, const char *key) {
    autostr struct str text = STR_INIT_MAX(CGROUP_FILE_MAX);
    uint64_t value = 0;
    if (!cgroup_read(dir, file, &text))
        return 0;
    size_t n = strlen(key);
    for (const char *line = str_c(&text); line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, n) != 0 || (n && line[n] != ' '))
            continue;
        const char *digits = line + n + (n ? 1 : 0);
        autofree char *number = mem_dupn(digits, strcspn(digits, "\n"));
        (void)str_to_u64(number, 10, UINT64_MAX, &value);
        break;
    }
    return value;
}

struct err *cgroup_write(int dir, const char *file, const char *value) {
    autofd int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return err_sys(errno, "set %s to %s", file, value);
    return NULL;
}
