/* hooks: the OCI lifecycle hooks. Each gets the container's state as JSON on standard input. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sys/sys.h"
#include "runtime/runtime_int.h"

bool hooks_any(const struct json *config, const char *name) {
    return json_count(json_get(json_get(config, "hooks"), name)) > 0;
}

struct json *hooks_state(const struct hook_state *st) {
    struct json *j = json_object();
    const struct json *annotations = json_get(st->config, "annotations");
    const char *version = json_str_value(json_get(st->config, "ociVersion"));
    json_set_str(j, "ociVersion", version ? version : "1.0.2");
    json_set_str(j, "id", st->id);
    json_set_str(j, "status", st->status);
    if (st->pid > 0)
        json_set_int(j, "pid", st->pid);
    json_set_str(j, "bundle", st->bundle ? st->bundle : "/");
    if (annotations)
        json_set(j, "annotations", json_copy(annotations));
    return j;
}

/* The state is small and goes into a memory file, so that a hook that never reads it cannot block us. */
static struct err *state_fd(const struct hook_state *st, int *ret_fd) {
    autostr struct str text = STR_INIT;
    autofd int fd = sys_memfd("state", 1U /* MFD_CLOEXEC */);
    if (fd < 0)
        return err_sys(errno, "make the state for a hook");
    autojson state = hooks_state(st);
    json_render(state, JSON_COMPACT, &text);
    TRY(io_write_all(fd, text.ptr, text.len));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "make the state for a hook");
    *ret_fd = take_fd(&fd);
    return NULL;
}

static struct err *wait_hook(pid_t pid, int pidfd, int64_t timeout, const char *path) {
    bool ended = false;
    int code;
    TRY(proc_wait_end(pidfd, timeout > 0 ? timeout * NSEC_PER_SEC : -1, &ended));
    if (!ended)
        (void)sys_pidfd_send_signal(pidfd, SIGKILL);
    TRY(proc_reap(pid, &code));
    if (!ended)
        return err_new(ERR_TIMEOUT, "hook %s did not end within %lld s", path, (long long)timeout);
    return code ? err_new(ERR_SYSTEM, "hook %s ended with code %d", path, code) : NULL;
}

static struct err *run_hook(const struct json *hook, const struct hook_state *st) {
    const char *path;
    int64_t timeout;
    pid_t pid;
    autostrv struct strv args = {.v = NULL}, env = {.v = NULL};
    autofd int state = -1;
    autofd int pidfd = -1;
    TRY(json_get_str(hook, "path", &path));
    TRY(json_get_strv_opt(hook, "args", &args));
    TRY(json_get_strv_opt(hook, "env", &env));
    TRY(json_get_i64_opt(hook, "timeout", 0, &timeout));
    if (!args.n)
        strv_push(&args, path);
    TRY(state_fd(st, &state));
    const struct proc_spawn spawn = {
        .path = path, .argv = args.v, .envp = env.v, .stdio = {state, STDOUT_FILENO, STDERR_FILENO}};
    TRY_CTX(proc_spawn(&spawn, &pid, &pidfd), "hook %s", path);
    return wait_hook(pid, pidfd, timeout, path);
}

struct err *hooks_run(const char *name, const struct hook_state *st) {
    JSON_EACH(it, json_get(json_get(st->config, "hooks"), name))
    TRY_CTX(run_hook(it, st), "%s", name);
    return NULL;
}

struct err *runtime_poststart(const struct json *config, const char *id, const char *bundle, pid_t pid) {
    const struct hook_state st = {config, id, bundle, "running", pid};
    return hooks_run("poststart", &st);
}

struct err *runtime_poststop(const struct json *config, const char *id, const char *bundle) {
    const struct hook_state st = {config, id, bundle, "stopped", 0};
    struct err *first = NULL;
    JSON_EACH(it, json_get(json_get(config, "hooks"), "poststop")) {
        struct err *e = run_hook(it, &st);
        if (first)
            err_free(e);
        else
            first = e ? err_wrap(e, "poststop") : NULL;
    }
    return first;
}
