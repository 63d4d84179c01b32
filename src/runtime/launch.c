/* launch: from an OCI process object to a program about to run, for the first process of a container and for exec. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const char *config_annotation(const struct json *config, const char *key) {
    return json_str_value(json_get(json_get(config, "annotations"), key));
}

/* ---- what the config says ---- */

static struct err *prepare_seccomp(struct launch *l) {
    const char *profile = config_annotation(l->config, SPEC_ANN_SECCOMP);
    const struct json *section = json_path(l->config, "linux.seccomp");
    if (l->privileged || str_eq(profile, "unconfined") || (!profile && !section))
        return NULL;
    if (!profile)
        return runtime_seccomp_compile_oci(section, &l->filter, &l->n_filter, &l->filter_flags);
    return runtime_seccomp_compile(strcmp(profile, "default") == 0 ? NULL : profile, l->caps.bounding, &l->filter,
                                   &l->n_filter, &l->filter_flags);
}

static bool wants_nnp(const struct json *process) {
    return json_bool_value(json_get(process, "noNewPrivileges"), false);
}

struct err *launch_prepare(struct launch *l) {
    const struct json *first = json_get(l->config, "process");
    const struct json *caps = json_get(l->process, "capabilities");
    TRY(json_get_strv_opt(l->process, "args", &l->args));
    TRY(json_get_strv_opt(l->process, "env", &l->env));
    if (!l->args.n || !*l->args.v[0])
        return err_new(ERR_USAGE, "no command specified");
    TRY(caps_load(caps ? caps : json_get(first, "capabilities"), l->privileged, &l->caps));
    l->no_new_privs = wants_nnp(l->process) || (!l->privileged && wants_nnp(first));
    return prepare_seccomp(l);
}

/* ---- user ---- */

static struct err *extra_groups(const struct launch *l, struct strv *out) {
    const char *text = config_annotation(l->config, SPEC_ANN_GROUPS);
    autojson j = NULL;
    if (!text)
        return NULL;
    TRY(json_parse(text, strlen(text), SPEC_ANN_GROUPS, 0, &j));
    JSON_EACH(it, j)
    if (json_str_value(it))
        strv_push(out, json_str_value(it));
    return NULL;
}

/* An OCI user has numbers; its home is still looked up, as a missing HOME comes from it. */
static struct err *numeric_user(struct launch *l, const struct json *user, int root) {
    const struct strv none = {.v = NULL};
    char text[32];
    uint64_t uid, gid;
    TRY(json_get_u64_opt(user, "uid", 0, &uid));
    TRY(json_get_u64_opt(user, "gid", 0, &gid));
    if (uid >= UINT32_MAX || gid >= UINT32_MAX)
        return err_new(ERR_USAGE, "user %llu:%llu is out of range", (unsigned long long)uid, (unsigned long long)gid);
    (void)snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)uid, (unsigned long long)gid);
    err_free(runtime_user_resolve(root, text, &none, &l->user));
    l->user.uid = (uid_t)uid;
    l->user.gid = (gid_t)gid;
    l->user.n_groups = 0;
    JSON_EACH(it, json_get(user, "additionalGids")) {
        int64_t id = json_int_value(it, -1);
        if (id < 0 || id >= UINT32_MAX || l->user.n_groups == ARRAY_LEN(l->user.groups))
            return err_new(ERR_USAGE, "additional group %lld is out of range", (long long)id);
        l->user.groups[l->user.n_groups++] = (gid_t)id;
    }
    l->user.groups_asked = l->user.n_groups > 0;
    return NULL;
}

static struct err *settle_user(struct launch *l, int root) {
    autostrv struct strv groups = {.v = NULL};
    const struct json *user = json_get(l->process, "user");
    const char *text = json_str_value(json_get(l->process, "user_text"));
    if (!text)
        text = config_annotation(l->config, SPEC_ANN_USER);
    if (text) {
        TRY(extra_groups(l, &groups));
        TRY(runtime_user_resolve(root, text, &groups, &l->user));
    } else {
        TRY(numeric_user(l, user, root));
    }
    if (!strv_env_get(&l->env, "HOME")) {
        autostr struct str home = STR_INIT;
        str_append(&home, "HOME=");
        str_append(&home, *l->user.home ? l->user.home : "/");
        strv_push(&l->env, str_c(&home));
    }
    (void)umask((mode_t)json_int_value(json_get(user, "umask"), 0022) & 0777);
    return NULL;
}

/* ---- working directory ---- */

/*
 * Never through a magic link (/proc/self/fd/N would lead out, CVE-2024-21626); made if it is missing. Whatever it
 * was, the kernel must then be able to name it from the root.
 */
static struct err *settle_cwd(const struct launch *l, int root) {
    const char *cwd = json_str_value(json_get(l->process, "cwd"));
    char where[PATH_MAX];
    autofd int dir = -1;
    if (!cwd || !*cwd)
        cwd = "/";
    if (*cwd != '/')
        return err_new(ERR_USAGE, "working directory %s is not absolute", cwd);
    autoerr e = path_open_in_root(root, cwd, O_PATH | O_DIRECTORY, 0, &dir);
    if (e && (err_errno(e) != ENOENT || !l->make_cwd))
        return err_wrap(take_ptr(&e), "working directory %s", cwd);
    if (e)
        TRY_CTX(path_mkdirs_in_root(root, cwd, 0755, (uid_t)-1, (gid_t)-1, &dir), "working directory %s", cwd);
    if (fchdir(dir) < 0)
        return err_sys(errno, "enter %s", cwd);
    if (!getcwd(where, sizeof where) || *where != '/')
        return err_new(ERR_DENIED, "working directory %s is outside of the container", cwd);
    return NULL;
}

/* ---- program ---- */

static int check_program(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    return access(path, X_OK) < 0 ? errno : 0;
}

static struct err *program_error(const char *name, int why) {
    if (why == ENOENT || why == ENOTDIR)
        return err_new(ERR_EXEC_NOT_FOUND, "exec: \"%s\": stat %s: no such file or directory", name, name);
    if (why == EISDIR)
        return err_new(ERR_EXEC_DENIED, "exec: \"%s\": is a directory", name);
    return err_new(ERR_EXEC_DENIED, "exec: \"%s\": permission denied", name);
}

/* As a shell does: the first executable in PATH; one that is there but not executable is what the user hears of. */
static struct err *find_program(struct launch *l) {
    const char *name = l->args.v[0];
    const char *path = strv_env_get(&l->env, "PATH");
    autostrv struct strv dirs = {.v = NULL};
    bool denied = false;
    if (strchr(name, '/')) {
        int why = check_program(name);
        mem_set(&l->program, name);
        return why ? program_error(name, why) : NULL;
    }
    strv_split(&dirs, path ? path : default_path, ':');
    for (size_t i = 0; i < dirs.n; i++) {
        autofree char *full = path_join(*dirs.v[i] ? dirs.v[i] : ".", name);
        int why = check_program(full);
        if (why == 0) {
            l->program = take_ptr(&full);
            return NULL;
        }
        denied |= why == EACCES;
    }
    return denied ? program_error(name, EACCES)
                  : err_new(ERR_EXEC_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", name);
}

/* So that the program may open /dev/stdout again: what it writes to must belong to it. Files of others stay as they
 * are. */
static void own_stdio(const struct launch *l) {
    struct stat st;
    if (l->terminal) {
        if (l->user.uid && fchown(l->slave, l->user.uid, (gid_t)-1) < 0)
            return; /* the tty group of devpts stays; a missing permission shows where it is used */
        return;
    }
    for (int i = 0; l->user.uid && i < 3; i++)
        if (l->stdio[i] >= 0 && fstat(l->stdio[i], &st) == 0 && S_ISFIFO(st.st_mode) &&
            fchown(l->stdio[i], l->user.uid, l->user.gid) < 0)
            continue;
}

struct err *launch_settle(struct launch *l) {
    autofd int root = -1;
    TRY(fd_open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, &root));
    TRY(settle_user(l, root));
    TRY(settle_cwd(l, root));
    own_stdio(l);
    return find_program(l);
}

/* ---- exec ---- */

static struct err *exec_error(const struct launch *l, int why) {
    const char *name = l->program;
    if (why == ENOENT || why == ENOTDIR)
        return err_hint(err_new(ERR_EXEC_NOT_FOUND, "exec %s: no such file or directory", name),
                        "the file is there, but the interpreter that it names is not");
    if (why == ENOEXEC)
        return err_new(ERR_EXEC_DENIED, "exec %s: exec format error", name);
    if (why == EACCES || why == EPERM)
        return err_new(ERR_EXEC_DENIED, "exec: \"%s\": permission denied", name);
    return err_with_kind(err_sys(why, "exec %s", name), ERR_EXEC_DENIED);
}

struct err *launch_exec(struct launch *l) {
    if (l->exe >= 0)
        (void)execveat(l->exe, "", l->args.v, l->env.v, AT_EMPTY_PATH);
    else
        (void)execve(l->program, l->args.v, l->env.v);
    return exec_error(l, errno);
}

void launch_done(struct launch *l) {
    strv_done(&l->args);
    strv_done(&l->env);
    mem_set(&l->program, NULL);
    free(l->filter);
    l->filter = NULL;
}
