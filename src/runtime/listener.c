/*
 * listener: seccomp's user notification. A profile may leave system calls to somebody outside of the container
 * (SCMP_ACT_NOTIFY): an agent that listens on a socket, linux.seccomp.listenerPath, gets the descriptor over which the
 * kernel asks it, and tells whose it is by the "container process state" that comes along: one state a connection,
 * which is closed then.
 *
 * The filter is installed by the process that it is for, at the last moment before execve; the descriptor comes to who
 * has made it, over the sync socket. That one is outside: the agent's path and the process's number are the host's. So
 * the agent may answer even those calls with which the process gets to its program.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "runtime/runtime_int.h"
#include "spec/spec.h"

enum { PATIENCE = 10 }; /* seconds that an agent may leave us waiting for room */

/* The seccomp section, in *own where it had to be parsed. */
static const struct json *section(const struct json *config, struct json **own) {
    const char *profile = config_annotation(config, SPEC_ANN_SECCOMP);
    if (!profile)
        return json_path(config, "linux.seccomp");
    if (!strstr(profile, "listenerPath"))
        return NULL;
    err_free(json_parse(profile, strlen(profile), "seccomp profile", 0, own)); /* its errors are the compiler's */
    return *own;
}

bool listener_named(const struct json *config) {
    autojson own = NULL;
    const char *path = json_str_value(json_get(section(config, &own), "listenerPath"));
    return path && *path;
}

static struct json *process_state(const struct hook_state *st, const char *metadata) {
    struct json *j = json_object(), *fds = json_array(), *state = hooks_state(st);
    json_push_str(fds, "seccompFd");
    json_set_str(j, "ociVersion", json_text(state, "ociVersion"));
    json_set(j, "fds", fds);
    json_set_int(j, "pid", st->pid);
    if (metadata && *metadata)
        json_set_str(j, "metadata", metadata);
    json_set(j, "state", state);
    return j;
}

struct err *listener_tell(const struct hook_state *st, int notify_fd) {
    const struct timeval patience = {.tv_sec = PATIENCE};
    autostr struct str text = STR_INIT;
    autojson own = NULL;
    autofd int agent = -1;
    const struct json *seccomp = section(st->config, &own);
    const char *path = json_str_value(json_get(seccomp, "listenerPath"));
    if (!path)
        return err_new(ERR_USAGE, "the seccomp filter has a listener, and the config has no listenerPath");
    autojson state = process_state(st, json_str_value(json_get(seccomp, "listenerMetadata")));
    json_render(state, JSON_COMPACT, &text);
    TRY_CTX(fd_unix_connect(AT_FDCWD, path, &agent), "seccomp listener");
    (void)setsockopt(agent, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    TRY_CTX(fd_unix_send(agent, text.ptr, text.len, notify_fd), "seccomp listener %s", path);
    return NULL;
}
