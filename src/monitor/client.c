/* client: commands talking to a monitor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/str.h"
#include "monitor/monitor.h"

enum { ANSWER_MAX = 4096 };

static struct err *not_running(const char *id) {
    return err_new(ERR_NOT_FOUND, "no monitor is listening for container %.12s", id);
}

struct err *monitor_connect(const struct host *h, const char *id, int *ret_fd) {
    if (!path_is_component(id))
        return err_new(ERR_NOT_FOUND, "No such container: %s", id);
    autofree char *path = path_join(h->run_root, id);
    autofd int dir = -1;
    struct err *e = fd_open_dir(AT_FDCWD, path, &dir);
    if (!e)
        e = fd_unix_connect(dir, "control", ret_fd);
    if (!e || err_kind(e) != ERR_NOT_FOUND)
        return e;
    err_free(e);
    return not_running(id);
}

/* Connects and sends the request {"op":…}; the caller adds its members first. */
static struct err *request(const struct host *h, const char *id, const struct json *j, struct msg_chan **ret) {
    int fd = -1;
    TRY(monitor_connect(h, id, &fd));
    struct msg_chan *c = msg_chan_new(fd);
    struct err *e = msg_send(c, j, NULL, 0);
    if (!e) {
        *ret = c;
        return NULL;
    }
    msg_chan_free(c);
    if (!msg_is_gone(e))
        return e;
    err_free(e);
    return not_running(id);
}

static struct json *op(const char *name) {
    struct json *j = json_object();
    json_set_str(j, "op", name);
    return j;
}

/* The answer; not_found when the monitor ended without one. */
static struct err *receive(struct msg_chan *c, const char *id, struct json **ret) {
    autojson j = NULL;
    struct err *e = msg_recv(c, &j, NULL, NULL);
    if (msg_is_gone(e)) {
        err_free(e);
        return not_running(id);
    }
    TRY(e);
    if (!j)
        return not_running(id);
    TRY(msg_err_of(j));
    *ret = take_ptr(&j);
    return NULL;
}

static struct err *ask(const struct host *h, const char *id, const struct json *j, struct msg_chan **ret,
                       struct json **ret_answer) {
    TRY(request(h, id, j, ret));
    return receive(*ret, id, ret_answer);
}

/* Reads to the end of the connection, which comes when the monitor has let go of the container. */
static void await_end(struct msg_chan *c) {
    char rest[256];
    ssize_t n;
    do
        n = read(msg_chan_fd(c), rest, sizeof rest);
    while (n > 0 || (n < 0 && errno == EINTR));
}

struct err *monitor_kill(const struct host *h, const char *id, int signo) {
    autojson j = op("kill");
    json_set_int(j, "signal", signo);
    automsg c = NULL;
    autojson answer = NULL;
    TRY(ask(h, id, j, &c, &answer));
    if (signo == SIGKILL)
        await_end(c);
    return NULL;
}

static struct err *order(const struct host *h, const char *id, const char *name) {
    autojson j = op(name);
    automsg c = NULL;
    autojson answer = NULL;
    return ask(h, id, j, &c, &answer);
}

struct err *monitor_pause(const struct host *h, const char *id) {
    return order(h, id, "pause");
}
struct err *monitor_update(const struct host *h, const char *id) {
    return order(h, id, "update");
}

struct err *monitor_unpause(const struct host *h, const char *id) {
    return order(h, id, "unpause");
}

static struct err *code_of(const struct json *answer, int *ret) {
    int64_t code;
    TRY(json_get_i64(answer, "code", &code));
    *ret = (int)code;
    return NULL;
}

struct err *monitor_stop(const struct host *h, const char *id, int signo, int timeout_s, int *ret_code,
                         bool *ret_at_once) {
    autojson j = op("stop");
    json_set_int(j, "signal", signo);
    json_set_int(j, "timeout", timeout_s);
    automsg c = NULL;
    autojson answer = NULL;
    TRY(ask(h, id, j, &c, &answer));
    TRY(code_of(answer, ret_code));
    if (ret_at_once)
        *ret_at_once = json_bool_value(json_get(answer, "killed_at_once"), false);
    await_end(c);
    return NULL;
}

struct err *monitor_wait(const struct host *h, const char *id, int *ret_code) {
    autojson j = op("wait");
    automsg c = NULL;
    autojson answer = NULL;
    TRY(ask(h, id, j, &c, &answer));
    TRY(code_of(answer, ret_code));
    await_end(c);
    return NULL;
}

struct err *monitor_hold(const struct host *h, const char *id, struct msg_chan **ret) {
    autojson j = op("hold");
    automsg c = NULL;
    autojson answer = NULL;
    TRY(ask(h, id, j, &c, &answer));
    *ret = take_ptr(&c);
    return NULL;
}

struct err *monitor_release(struct msg_chan *take_hold) {
    automsg c = take_hold;
    autojson answer = NULL;
    shutdown(msg_chan_fd(c), SHUT_WR);
    struct err *e = msg_recv(c, &answer, NULL, NULL);
    if (msg_is_gone(e)) { /* it has ended */
        err_free(e);
        return NULL;
    }
    TRY(e);
    return answer ? msg_err_of(answer) : NULL;
}

struct err *monitor_set_restart(const struct host *h, const char *id, const char *name, int max) {
    autojson j = op("restart-policy");
    autojson answer = NULL;
    automsg c = NULL;
    json_set_str(j, "name", name);
    json_set_int(j, "max", max);
    return ask(h, id, j, &c, &answer);
}

struct err *monitor_health(const struct host *h, const char *id, int *ret_code) {
    autojson j = op("health");
    autojson answer = NULL;
    automsg c = NULL;
    TRY(ask(h, id, j, &c, &answer));
    return code_of(answer, ret_code);
}

/* ---- attach ---- */

static struct err *send_line(int fd, const char *id, const struct json *j) {
    autostr struct str s = STR_INIT;
    json_render(j, JSON_COMPACT, &s);
    str_append_c(&s, '\n');
    for (size_t done = 0; done < s.len;) {
        ssize_t n = send(fd, s.ptr + done, s.len - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET)
            return not_running(id);
        else if (errno != EINTR)
            return err_sys(errno, "ask the container's monitor");
    }
    return NULL;
}

/* Reads one line and not a byte more: frames follow it. */
static struct err *receive_line(int fd, const char *id, char *line, size_t *ret_n) {
    size_t n = 0;
    while (n < ANSWER_MAX) {
        ssize_t k = recv(fd, line + n, ANSWER_MAX - n, MSG_PEEK);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return not_running(id);
        const char *newline = memchr(line + n, '\n', (size_t)k);
        size_t take = newline ? (size_t)(newline - line) - n + 1 : (size_t)k;
        if (recv(fd, line + n, take, 0) != (ssize_t)take)
            return not_running(id);
        n += take;
        if (newline) {
            *ret_n = n - 1;
            return NULL;
        }
    }
    return err_new(ERR_CORRUPT, "the container's monitor answers with nonsense");
}

struct err *monitor_attach(const struct host *h, const char *id, bool in, bool out, bool err, bool *ret_tty,
                           int *ret_fd) {
    autofd int fd = -1;
    TRY(monitor_connect(h, id, &fd));
    autojson j = op("attach");
    json_set_bool(j, "stdin", in);
    json_set_bool(j, "stdout", out);
    json_set_bool(j, "stderr", err);
    TRY(send_line(fd, id, j));
    char line[ANSWER_MAX];
    size_t n;
    TRY(receive_line(fd, id, line, &n));
    autojson answer = NULL;
    TRY(json_parse(line, n, "answer of the container's monitor", 0, &answer));
    TRY(msg_err_of(answer));
    if (ret_tty)
        *ret_tty = json_bool_value(json_get(answer, "tty"), false);
    *ret_fd = take_fd(&fd);
    return NULL;
}
