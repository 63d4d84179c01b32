/* host: probing; subordinate ids are in host_ids.c. */
#include "base/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

const char *host_env(const struct host *h, const char *name) {
    size_t n = strlen(name);
    for (char *const *e = h->environ; e && *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

/* The value of a variable, or NULL when it is unset or empty. */
static const char *env_set(const struct host *h, const char *name) {
    const char *v = host_env(h, name);
    return v && *v ? v : NULL;
}

/* The same for directories, which count only when absolute (XDG base directory specification). */
static const char *env_dir(const struct host *h, const char *name) {
    const char *v = env_set(h, name);
    return v && *v == '/' ? v : NULL;
}

/* Login name and home from the environment; passwd costs a library or three and is asked only for what is missing. */
static void probe_user(struct host *h) {
    const char *user = env_set(h, "USER"), *home = env_dir(h, "HOME");
    if (!user)
        user = env_set(h, "LOGNAME");
    struct passwd pw, *found = NULL;
    autofree char *buf = NULL;
    if (!user || !home) {
        buf = mem_alloc(4096);
        if (getpwuid_r(h->uid, &pw, buf, 4096, &found) != 0)
            found = NULL;
    }
    if (!user)
        user = found ? found->pw_name : NULL;
    if (!home)
        home = found && found->pw_dir[0] == '/' ? found->pw_dir : NULL;
    h->user = user ? mem_dup(user) : mem_printf("%u", (unsigned)h->uid);
    h->home = mem_dup(home);
}

/* $VARIABLE/coracle, or ~/fallback/coracle, or NULL. */
static char *xdg_dir(const struct host *h, const char *variable, const char *fallback) {
    const char *dir = env_dir(h, variable);
    if (dir)
        return mem_printf("%s/coracle", dir);
    return h->home ? mem_printf("%s/%s/coracle", h->home, fallback) : NULL;
}

static struct err *probe_roots(struct host *h, const char *root) {
    if (!root)
        root = env_set(h, "CORACLE_ROOT");
    if (root && *root != '/') {
        autofree char *cwd = getcwd(NULL, 0);
        if (!cwd)
            return err_sys(errno, "find the current directory");
        h->data_root = path_join(cwd, root);
    } else {
        h->data_root = root ? mem_dup(root) : xdg_dir(h, "XDG_DATA_HOME", ".local/share");
    }
    if (!h->data_root)
        return err_hint(err_new(ERR_NOT_FOUND, "no place for the store: user '%s' has no home directory", h->user),
                        "set HOME, or give a directory with --root or CORACLE_ROOT");
    h->config_dir = xdg_dir(h, "XDG_CONFIG_HOME", ".config");
    if (!h->config_dir)
        h->config_dir = mem_printf("%s/config", h->data_root);
    const char *docker = env_set(h, "DOCKER_CONFIG");
    h->docker_config_dir = docker    ? mem_dup(docker)
                           : h->home ? mem_printf("%s/.docker", h->home)
                                     : mem_printf("%s/docker", h->config_dir);
    return NULL;
}

/* A directory of ours that nobody else may write to; `forbidden` are the mode bits it must not have. */
static bool is_private_dir(const struct host *h, const char *path, mode_t forbidden) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == h->uid && !(st.st_mode & forbidden);
}

static struct err *probe_run_root(struct host *h) {
    const char *xdg = env_dir(h, "XDG_RUNTIME_DIR");
    if (xdg && is_private_dir(h, xdg, 0022) && access(xdg, W_OK | X_OK) == 0) {
        h->run_root = mem_printf("%s/coracle", xdg);
        return NULL;
    }
    h->run_root = mem_printf("/tmp/coracle-%u", (unsigned)h->uid);
    if (mkdir(h->run_root, 0700) < 0 && errno != EEXIST)
        return err_hint(err_sys(errno, "make directory %s", h->run_root),
                        "set XDG_RUNTIME_DIR to a directory of your own");
    if (!is_private_dir(h, h->run_root, 0077))
        return err_hint(err_new(ERR_DENIED, "%s is not a private directory of user '%s'", h->run_root, h->user),
                        "remove it, or set XDG_RUNTIME_DIR to a directory of your own");
    return NULL;
}

static struct err *probe_libexec(struct host *h) {
    autofree char *exe = mem_alloc(PATH_MAX);
    ssize_t n = readlink("/proc/self/exe", exe, PATH_MAX - 1);
    if (n < 0)
        return err_hint(err_sys(errno, "read /proc/self/exe"), "mount procfs on /proc");
    const char *original =
        host_env(h, "CORACLE_EXE"); /* a protected copy in memory (runtime_protect_self) has no place */
    if (original && str_starts(exe, "/memfd:"))
        mem_set(&exe, original);
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    autofree char *beside = mem_printf("%s/coracle-unpack", exe);
    autofree char *installed = mem_printf("%s/../libexec/coracle", exe);
    h->libexec_dir = faccessat(AT_FDCWD, beside, F_OK, 0) == 0 ? mem_dup(exe) : path_clean(installed);
    return NULL;
}

static const struct {
    const char *machine, *arch, *variant;
} architectures[] = {
    {"x86_64", "amd64", ""},
    {"aarch64", "arm64", "v8"},
    {"armv7l", "arm", "v7"},
    {"armv8l", "arm", "v7"},
    {"armv6l", "arm", "v6"},
    {"i386", "386", ""},
    {"i486", "386", ""},
    {"i586", "386", ""},
    {"i686", "386", ""},
    {"ppc64le", "ppc64le", ""},
    {"s390x", "s390x", ""},
    {"riscv64", "riscv64", ""},
    {"loongarch64", "loong64", ""},
    {"mips64", "mips64le", ""},
};

static void probe_kernel(struct host *h) {
    struct utsname u;
    uname(&u); /* cannot fail with a valid buffer */
    h->kernel = mem_dup(u.release);
    h->hostname = mem_dup(u.nodename);
    h->arch = "unknown";
    h->variant = "";
    for (size_t i = 0; i < ARRAY_LEN(architectures); i++)
        if (strcmp(architectures[i].machine, u.machine) == 0) {
            h->arch = architectures[i].arch;
            h->variant = architectures[i].variant;
        }
}

static enum cgroup_mode probe_cgroup(void) {
    struct statfs fs;
    if (statfs("/sys/fs/cgroup", &fs) < 0)
        return CGROUP_NONE;
    if (fs.f_type == CGROUP2_SUPER_MAGIC)
        return CGROUP_V2;
    if (fs.f_type != TMPFS_MAGIC)
        return CGROUP_NONE;
    if (statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        return CGROUP_HYBRID;
    if (statfs("/sys/fs/cgroup/memory", &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
        return CGROUP_V1;
    return CGROUP_NONE;
}

static void probe_boot_id(struct host *h) {
    autostr struct str id = STR_INIT;
    struct err *e = io_read_record(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &id, NULL);
    err_free(e); /* some sandboxes hide it: an empty one equals itself, which is all that is asked of it */
    h->boot_id = mem_dupn(str_c(&id), strcspn(str_c(&id), "\n"));
}

static struct err *probe(struct host *h, const char *root) {
    h->uid = getuid();
    h->gid = getgid();
    h->environ = environ;
    h->stdin_tty = isatty(STDIN_FILENO);
    h->stdout_tty = isatty(STDOUT_FILENO);
    h->stderr_tty = isatty(STDERR_FILENO);
    h->default_platform = mem_dup(env_set(h, "DOCKER_DEFAULT_PLATFORM"));
    probe_user(h);
    probe_kernel(h);
    probe_boot_id(h);
    h->cgroup = probe_cgroup();
    TRY(probe_roots(h, root));
    TRY(probe_run_root(h));
    return probe_libexec(h);
}

struct err *host_probe(const char *root, struct host **ret) {
    struct host *h = mem_alloc(sizeof *h);
    struct err *e = probe(h, root);
    if (e)
        host_free(h);
    else
        *ret = h;
    return e;
}

void host_free(struct host *h) {
    if (!h)
        return;
    free(h->user);
    free(h->home);
    free(h->data_root);
    free(h->run_root);
    free(h->config_dir);
    free(h->docker_config_dir);
    free(h->libexec_dir);
    free(h->boot_id);
    free(h->kernel);
    free(h->hostname);
    free(h->default_platform);
    free(h);
}

bool host_has_selinux(void) { return access("/sys/fs/selinux/enforce", F_OK) == 0; }

static bool is_program(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

struct err *host_find_program(const struct host *h, const char *name, const char *package_hint, char **ret) {
    const char *path = env_set(h, "PATH");
    autostrv struct strv dirs = {0};
    if (str_starts(name, "coracle-"))
        strv_push(&dirs, h->libexec_dir);
    strv_split(&dirs, path ? path : "/usr/local/bin:/usr/bin:/bin", ':');
    strv_split(&dirs, "/usr/local/sbin:/usr/sbin:/sbin", ':'); /* a user's PATH often lacks them */
    for (size_t i = 0; i < dirs.n; i++) {
        if (dirs.v[i][0] != '/')
            continue; /* never a program from the current directory */
        autofree char *full = path_join(dirs.v[i], name);
        if (is_program(full)) {
            *ret = take_ptr(&full);
            return NULL;
        }
    }
    struct err *e = err_new(ERR_NOT_FOUND, "program '%s' not found", name);
    return package_hint ? err_hint(e, "install the package '%s'", package_hint) : e;
}
