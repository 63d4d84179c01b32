/*
 * cgroup: a cgroup v2 directory for a container, where the user may make one (a delegated subtree, as systemd gives to
 * a login session). Nothing here is ever a reason for a container not to start.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/runtime_int.h"

enum { CGROUP_FILE_MAX = 64 << 10, REMOVE_TIMEOUT_MS = 2000 };
static const char prefix[] = "coracle-";

/* The path after "0::" in a /proc/PID/cgroup file; owned, NULL where there is none. */
static char *v2_path(const char *file) {
    autostr struct str text = STR_INIT_MAX(CGROUP_FILE_MAX);
    autoerr e = io_read_file(AT_FDCWD, file, CGROUP_FILE_MAX, &text);
    if (e)
        return NULL;
    const char *line = str_starts(str_c(&text), "0::") ? str_c(&text) : strstr(str_c(&text), "\n0::");
    if (!line)
        return NULL;
    line += *line == '\n' ? 4 : 3;
    return mem_dupn(line, strcspn(line, "\n"));
}

static const char *mount_point(void) {
    return access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
}

int cgroup_of(pid_t pid) {
    char file[32];
    (void)snprintf(file, sizeof file, "/proc/%d/cgroup", (int)pid);
    autofree char *path = v2_path(file);
    if (!path || !str_starts(path_base(path), prefix))
        return -1;
    autofree char *full = mem_printf("%s%s", mount_point(), path);
    return open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Delegated: ours, and writable. */
static bool usable(const char *dir, uid_t uid) {
    struct stat st;
    autofree char *procs = path_join(dir, "cgroup.procs");
    return stat(dir, &st) == 0 && st.st_uid == uid && access(dir, W_OK) == 0 && access(procs, W_OK) == 0;
}

/* Hands on to the children what the parent has. A controller that cannot be enabled is left out. */
static void enable_controllers(const char *parent) {
    autostr struct str have = STR_INIT_MAX(CGROUP_FILE_MAX);
    autostrv struct strv names = {.v = NULL};
    autofd int dir = -1;
    autofd int control = -1;
    autoerr opened = fd_open_dir(AT_FDCWD, parent, &dir);
    if (opened)
        return;
    autoerr e = io_read_file(dir, "cgroup.controllers", CGROUP_FILE_MAX, &have);
    control = openat(dir, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
    if (e || control < 0)
        return;
    autofree char *line = mem_dupn(str_c(&have), strcspn(str_c(&have), "\n"));
    strv_split(&names, line, ' ');
    for (size_t i = 0; i < names.n; i++) {
        autofree char *word = mem_printf("+%s", names.v[i]);
        if (write(control, word, strlen(word)) < 0)
            continue;
    }
}

struct err *runtime_cgroup_make(const struct host *h, const char *id, int *ret_fd, char **ret_path) {
    *ret_fd = -1;
    *ret_path = NULL;
    if (h->cgroup != CGROUP_V2 && h->cgroup != CGROUP_HYBRID)
        return NULL;
    autofree char *path = v2_path("/proc/self/cgroup");
    if (!path)
        return NULL;
    autofree char *own = mem_printf("%s%s", mount_point(), path);
    autofree char *above = mem_printf("%s/..", own);
    bool beside = strcmp(path, "/") != 0 && usable(above, h->uid);
    if (!beside && !usable(own, h->uid))
        return NULL;
    autofree char *parent = path_clean(beside ? above : own);
    autofree char *dir = mem_printf("%s/%s%.12s", parent, prefix, id);
    enable_controllers(parent);
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return NULL;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        (void)rmdir(dir);
        return NULL;
    }
    *ret_fd = fd;
    *ret_path = take_ptr(&dir);
    return NULL;
}

static void kill_and_wait(int dir) {
    autofd int killer = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    autofd int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    char text[256];
    if (killer < 0 || events < 0 || write(killer, "1", 1) < 0)
        return;
    for (;;) {
        ssize_t n = pread(events, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        struct pollfd p = {.fd = events, .events = POLLPRI};
        if (n <= 0 || strstr(text, "populated 0") || poll(&p, 1, REMOVE_TIMEOUT_MS) <= 0)
            return;
    }
}

void runtime_cgroup_remove(const char *path) {
    if (!path || rmdir(path) == 0 || errno != EBUSY)
        return;
    autofd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        kill_and_wait(dir);
    (void)rmdir(path);
}

uint64_t runtime_cgroup_oom_kills(int cgroup_fd) {
    autostr struct str text = STR_INIT_MAX(CGROUP_FILE_MAX);
    uint64_t count = 0;
    if (cgroup_fd < 0)
        return 0;
    autoerr e = io_read_file(cgroup_fd, "memory.events", CGROUP_FILE_MAX, &text);
    const char *at = e ? NULL : strstr(str_c(&text), "oom_kill ");
    if (at) {
        at += strlen("oom_kill ");
        autofree char *number = mem_dupn(at, strcspn(at, "\n"));
        (void)str_to_u64(number, 10, UINT64_MAX, &count);
    }
    return count;
}
