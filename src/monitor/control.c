/* control: the socket and its requests. Whoever may open it is the user; a process of the container's subordinate ids
 * is not. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "monitor/monitor_int.h"

static const char socket_name[] = "control";

struct err *control_listen(struct mon *o) {
    TRY_CTX(fd_unix_listen(o->run_fd, socket_name, &o->listen_fd), "control socket of container %s", o->m->id);
    TRY(fd_set_nonblock(o->listen_fd, true));
    if (!mon_watch(o, o->listen_fd, (union ref){.kind = REF_LISTEN}, EPOLLIN))
        return err_sys(errno, "watch the control socket");
    return NULL;
}

void control_accept(struct mon *o) {
    int fd = accept4(o->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != geteuid())
        fd_close(fd);
    else
        client_new(o, fd);
}

/* ---- answers ---- */

static void answer(struct mon *o, struct client *c, const char *text) {
    const struct iovec v = {(void *)(uintptr_t)text, strlen(text)};
    client_send(o, c, &v, 1);
}

static struct err *answer_ok(struct mon *o, struct client *c, enum client_state next) {
    answer(o, c, "{\"ok\":true}\n");
    c->state = next;
    return NULL;
}

static void answer_error(struct mon *o, struct client *c, const struct err *e) {
    autostr struct str s = STR_INIT;
    str_append(&s, "{\"error\":");
    err_encode(e, &s);
    str_append(&s, "}\n");
    answer(o, c, str_c(&s));
    c->state = CLIENT_CLOSING;
}

/* ---- requests ---- */

static struct err *get_number(const struct json *j, const char *key, int64_t min, int64_t max, int64_t *ret) {
    TRY(json_get_i64(j, key, ret));
    if (*ret < min || *ret > max)
        return err_new(ERR_USAGE, "%s is out of range", key);
    return NULL;
}

static struct err *op_kill(struct mon *o, struct client *c, const struct json *j) {
    int64_t signo;
    TRY(get_number(j, "signal", 1, 64, &signo));
    stop_by_user(o, (int)signo);
    stop_signal(o, (int)signo);
    /* Nothing survives SIGKILL: its sender may read on to wait for the end. */
    return answer_ok(o, c, signo == 9 ? CLIENT_END : CLIENT_CLOSING);
}

static struct err *op_stop(struct mon *o, struct client *c, const struct json *j) {
    int64_t signo, timeout;
    TRY(get_number(j, "signal", 1, 64, &signo));
    TRY(get_number(j, "timeout", -1, INT32_MAX, &timeout));
    stop_by_user(o, SIGKILL);
    if (!o->waiting)
        stop_begin(o, (int)signo, timeout);
    c->state = CLIENT_STOP;
    return NULL;
}

static struct err *op_wait(struct mon *o, struct client *c, const struct json *j) {
    (void)o;
    (void)j;
    c->state = CLIENT_CODE;
    return NULL;
}

static struct err *op_pause(struct mon *o, struct client *c, const struct json *j) {
    (void)j;
    TRY(pause_begin(o));
    return answer_ok(o, c, CLIENT_CLOSING);
}

static struct err *op_hold(struct mon *o, struct client *c, const struct json *j) {
    (void)j;
    TRY(pause_hold(o));
    return answer_ok(o, c, CLIENT_HOLD);
}

static struct err *op_restart_policy(struct mon *o, struct client *c, const struct json *j) {
    int64_t max;
    const char *name;
    TRY(json_get_str(j, "name", &name));
    TRY(get_number(j, "max", 0, INT32_MAX, &max));
    if (!monitor_restart_named(name, (int)max, &o->restart.policy))
        return err_new(ERR_USAGE, "invalid restart policy '%s'", name);
    return answer_ok(o, c, CLIENT_CLOSING);
}

static struct err *op_unpause(struct mon *o, struct client *c, const struct json *j) {
    (void)j;
    TRY(pause_end(o));
    return answer_ok(o, c, CLIENT_CLOSING);
}

static struct err *op_update(struct mon *o, struct client *c, const struct json *j) {
    (void)j;
    TRY(watch_update(o));
    return answer_ok(o, c, CLIENT_CLOSING);
}

static struct err *op_health(struct mon *o, struct client *c, const struct json *j) {
    (void)j;
    if (!o->health || o->waiting)
        return err_new(ERR_CONFLICT, "container %s has no defined healthcheck", o->m->id);
    c->state = CLIENT_HEALTH;
    health_check(o);
    return NULL;
}

static struct err *op_resize(struct mon *o, struct client *c, const struct json *j) {
    int64_t rows, cols;
    TRY(get_number(j, "rows", 0, UINT16_MAX, &rows));
    TRY(get_number(j, "cols", 0, UINT16_MAX, &cols));
    stdio_resize(o, (unsigned short)rows, (unsigned short)cols);
    return answer_ok(o, c, CLIENT_CLOSING);
}

static struct err *op_attach(struct mon *o, struct client *c, const struct json *j) {
    bool in, out, err;
    if (o->waiting)
        return err_new(ERR_CONFLICT, "cannot attach to a restarting container, wait until it is running");
    TRY(json_get_bool_opt(j, "stdin", false, &in));
    TRY(json_get_bool_opt(j, "stdout", true, &out));
    TRY(json_get_bool_opt(j, "stderr", true, &err));
    answer(o, c, o->m->terminal ? "{\"ok\":true,\"tty\":true}\n" : "{\"ok\":true,\"tty\":false}\n");
    client_attach(c, in, out, err);
    return NULL;
}

/* One line a request; what they do is told in monitor.h. */
static const struct {
    const char *op;
    struct err *(*run)(struct mon *o, struct client *c, const struct json *j);
} ops[] = {
    {"kill", op_kill},     {"stop", op_stop},       {"wait", op_wait},
    {"resize", op_resize}, {"attach", op_attach},   {"restart-policy", op_restart_policy},
    {"pause", op_pause},   {"unpause", op_unpause}, {"health", op_health},
    {"update", op_update}, {"hold", op_hold},
};

static struct err *run_request(struct mon *o, struct client *c, const char *line, size_t n) {
    autojson j = NULL;
    const char *op;
    TRY(json_parse(line, n, "request", JSON_REFUSE_DUPLICATES, &j));
    TRY(json_get_str(j, "op", &op));
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strcmp(ops[i].op, op) == 0)
            return ops[i].run(o, c, j);
    return err_new(ERR_UNSUPPORTED, "the container's monitor does not know the request '%s'", op);
}

void control_request(struct mon *o, struct client *c, const char *line, size_t n) {
    autoerr e = run_request(o, c, line, n);
    if (e)
        answer_error(o, c, e);
}

void control_release(struct mon *o, struct client *c) {
    c->state = CLIENT_CLOSING;
    autoerr e = pause_release(o);
    if (e)
        answer_error(o, c, e);
}

/* ---- the end ---- */

static void answer_end(struct mon *o, struct client *c) {
    char text[96];
    uint8_t exit_frame[FRAME_HEAD + 4];
    struct iovec v = {exit_frame, sizeof exit_frame};
    uint32_t code = (uint32_t)o->x.code;
    switch (c->state) {
    case CLIENT_ATTACHED:
        frame_head(exit_frame, FRAME_EXIT, 4);
        for (int i = 0; i < 4; i++)
            exit_frame[FRAME_HEAD + i] = (uint8_t)(code >> (24 - 8 * i));
        client_send(o, c, &v, 1);
        return;
    case CLIENT_CODE:
        snprintf(text, sizeof text, "{\"code\":%d}\n", o->x.code);
        answer(o, c, text);
        return;
    case CLIENT_STOP:
        snprintf(text, sizeof text, "{\"ok\":true,\"code\":%d,\"killed_at_once\":%s}\n", o->x.code,
                 o->killed_at_once ? "true" : "false");
        answer(o, c, text);
        return;
    case CLIENT_HEALTH:
    case CLIENT_HOLD:
    case CLIENT_REQUEST:
    case CLIENT_END:
    case CLIENT_CLOSING:
        return;
    }
}

void control_answer_end(struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i])
            answer_end(o, o->clients[i]);
}

/* What a connection was for has been done: it ends when its last byte is sent. */
static void close_after_answer(struct client *c) {
    c->state = CLIENT_CLOSING;
    if (!c->waiting.len)
        shutdown(c->fd, SHUT_RDWR); /* not dropped: this may be in answer to what it asks just now */
}

void control_answer_run(struct mon *o) {
    for (size_t i = 0; i < o->client_top; i++) {
        struct client *c = o->clients[i];
        if (!c || c->state == CLIENT_REQUEST || c->state == CLIENT_CLOSING)
            continue;
        answer_end(o, c);
        close_after_answer(c);
    }
}

void control_answer_health(struct mon *o, int code) {
    char text[32];
    snprintf(text, sizeof text, "{\"code\":%d}\n", code);
    for (size_t i = 0; i < o->client_top; i++)
        if (o->clients[i] && o->clients[i]->state == CLIENT_HEALTH) {
            answer(o, o->clients[i], text);
            close_after_answer(o->clients[i]);
        }
}

void control_done(struct mon *o) {
    if (o->listen_fd < 0)
        return;
    unlinkat(o->run_fd, socket_name, 0);
    fd_replace(&o->listen_fd, -1);
}
