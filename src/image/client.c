/* client: see client_int.h. */
#include "image/client_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"

#define XFERS_MAX 64

struct fetch_client {
    struct msg_chan *chan;
    pid_t pid;
    int pidfd;
    int interrupted_fd; /* borrowed, -1: none */
    int64_t last_id;
    struct fetch_xfer *running[XFERS_MAX];
    size_t n;
};

/*
 * The proxies, in the one spelling that libcurl reads. Upper case goes first, as in Go. Loopback is never proxied,
 * whatever NO_PROXY says.
 */
static void proxy_environment(const struct host *h, struct strv *out) {
    static const char *const names[][3] = {{"HTTP_PROXY", "http_proxy", "http_proxy"},
                                           {"HTTPS_PROXY", "https_proxy", "https_proxy"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *v = host_env(h, names[i][0]);
        if (!v || !*v)
            v = host_env(h, names[i][1]);
        if (v && *v)
            strv_pushf(out, "%s=%s", names[i][2], v);
    }
    const char *no = host_env(h, "NO_PROXY");
    if (!no || !*no)
        no = host_env(h, "no_proxy");
    if (str_eq(no, "*"))
        strv_push(out, "no_proxy=*");
    else
        strv_pushf(out, "no_proxy=localhost,127.0.0.0/8,[::1],::1%s%s", no && *no ? "," : "", no ? no : "");
}

static struct err *spawn(const struct host *h, struct fetch_client *c, int helper_end) {
    autofree char *path = NULL;
    TRY(host_find_program(h, "coracle-fetch", "coracle", &path));
    autostrv struct strv env = {0}; /* all that the helper gets */
    proxy_environment(h, &env);
    /* GnuTLS comes along for libcurl's RTMP only; where libcurl itself uses it, it sets it up by itself. */
    strv_push(&env, "GNUTLS_NO_IMPLICIT_INIT=1");
    char *argv[] = {path, NULL};
    const struct proc_spawn p = {
        .path = path,
        .argv = argv,
        .envp = env.v,
        .stdio = {-1, -1, 2},
        .fds = {{.from = helper_end, .to = 3}},
        .n_fds = 1,
        .die_with_parent = true,
    };
    return proc_spawn(&p, &c->pid, &c->pidfd);
}

struct err *fetch_client_new(const struct host *h, const int *interrupted_fd, struct fetch_client **ret) {
    int pair[2];
    TRY(fd_socketpair(SOCK_STREAM, pair));
    struct fetch_client *c = mem_alloc(sizeof *c);
    *c = (struct fetch_client){.pid = -1, .pidfd = -1, .interrupted_fd = interrupted_fd ? *interrupted_fd : -1};
    c->chan = msg_chan_new(pair[0]);
    struct err *e = spawn(h, c, pair[1]);
    fd_close(pair[1]);
    if (e) {
        fetch_client_free(c);
        return err_wrap(e, "start the download helper");
    }
    *ret = c;
    return NULL;
}

void fetch_client_free(struct fetch_client *c) {
    if (!c)
        return;
    msg_chan_free(c->chan);
    if (c->pidfd >= 0) {
        int code = 0;
        err_free(proc_signal(c->pidfd, SIGKILL)); /* it owns nothing worth a farewell */
        err_free(proc_reap(c->pid, &code));
        fd_close(c->pidfd);
    }
    free(c);
}

static struct json *request_json(const struct fetch_req *req, int64_t id) {
    static const struct strv none = {0};
    struct json *j = json_object();
    json_set_int(j, "id", id);
    json_set_str(j, "url", req->url);
    json_set_str(j, "method", req->method ? req->method : "GET");
    json_set_strv(j, "headers", req->headers ? req->headers : &none);
    json_set_int(j, "max", req->max);
    json_set_int(j, "size", req->size);
    json_set_int(j, "offset", req->offset);
    json_set_bool(j, "file", req->file >= 0);
    json_set_bool(j, "bell", req->bell >= 0);
    if (req->send)
        json_set_int(j, "length", req->length);
    if (req->delay)
        json_set_int(j, "delay", req->delay / NSEC_PER_MSEC);
    if (req->seconds)
        json_set_int(j, "seconds", req->seconds);
    if (req->attempts)
        json_set_int(j, "attempts", req->attempts);
    if (req->body)
        json_set_str(j, "body", req->body);
    if (req->tls) {
        json_set_bool(j, "insecure", req->tls->insecure);
        json_set_strv(j, "ca", &req->tls->ca);
        if (req->tls->cert && req->tls->key) {
            json_set_str(j, "cert", req->tls->cert);
            json_set_str(j, "key", req->tls->key);
        }
    }
    return j;
}

struct err *fetch_start(struct fetch_client *c, const struct fetch_req *req, struct fetch_xfer *x) {
    if (c->n == XFERS_MAX)
        return err_new(ERR_SYSTEM, "too many downloads at once");
    autojson j = request_json(req, ++c->last_id);
    int fds[2];
    size_t n = 0;
    if (req->file >= 0)
        fds[n++] = req->file;
    if (req->bell >= 0)
        fds[n++] = req->bell;
    TRY_CTX(msg_send(c->chan, j, fds, n), "ask the download helper");
    *x = (struct fetch_xfer){.id = c->last_id, .bytes = req->offset};
    c->running[c->n++] = x;
    return NULL;
}

static void unregister(struct fetch_client *c, const struct fetch_xfer *x) {
    for (size_t i = 0; i < c->n; i++)
        if (c->running[i] == x) {
            c->running[i] = c->running[--c->n];
            return;
        }
}

void fetch_xfer_done(struct fetch_client *c, struct fetch_xfer *x) {
    if (x->id && !x->done) {
        autojson j = json_object();
        json_set_int(j, "cancel", x->id);
        err_free(msg_send(c->chan, j, NULL, 0));
        unregister(c, x);
    }
    strmap_done(&x->headers);
    free(x->body);
    free(x->location);
    free(x->misled);
    err_free(x->err);
    *x = (struct fetch_xfer){0};
}

static struct err *read_answer(const struct json *j, struct fetch_xfer *x) {
    const char *body = NULL, *location = NULL, *misled = NULL;
    TRY(json_get_i64_opt(j, "progress", x->bytes, &x->bytes));
    if (!json_bool_value(json_get(j, "done"), false))
        return NULL;
    TRY(json_get_i64_opt(j, "status", 0, &x->status));
    TRY(json_get_i64_opt(j, "curl", 0, &x->curl));
    TRY(json_get_i64_opt(j, "size", x->bytes, &x->bytes));
    TRY(json_get_strmap_opt(j, "headers", &x->headers));
    TRY(json_get_str_opt(j, "body", NULL, &body));
    TRY(json_get_str_opt(j, "location", NULL, &location));
    TRY(json_get_str_opt(j, "misled", NULL, &misled));
    mem_set(&x->body, body);
    mem_set(&x->location, location);
    mem_set(&x->misled, misled);
    x->elsewhere = json_bool_value(json_get(j, "elsewhere"), false);
    x->err = msg_err_of(j);
    x->done = true;
    return NULL;
}

struct err *fetch_client_receive(struct fetch_client *c) {
    autojson j = NULL;
    TRY_CTX(msg_recv(c->chan, &j, NULL, NULL), "download helper");
    if (!j)
        return err_new(ERR_SYSTEM, "the download helper ended unexpectedly");
    int64_t id = json_int_value(json_get(j, "id"), 0);
    for (size_t i = 0; i < c->n; i++) {
        struct fetch_xfer *x = c->running[i];
        if (x->id != id)
            continue;
        TRY(read_answer(j, x));
        if (x->done)
            unregister(c, x);
        return NULL;
    }
    return id ? NULL : msg_err_of(j); /* an answer to what was cancelled meanwhile is nobody's */
}

struct err *fetch_wait(struct fetch_client *c, struct fetch_xfer *x) {
    while (!x->done) {
        struct pollfd p[2] = {{.fd = msg_chan_fd(c->chan), .events = POLLIN},
                              {.fd = c->interrupted_fd, .events = POLLIN}};
        if (!msg_pending(c->chan)) {
            if (poll(p, 2, -1) < 0 && errno != EINTR)
                return err_sys(errno, "wait for the download helper");
            if (p[1].revents & POLLIN)
                return err_new(ERR_INTERRUPTED, "interrupted");
            if (!p[0].revents)
                continue;
        }
        TRY(fetch_client_receive(c));
    }
    return NULL;
}

int fetch_client_fd(const struct fetch_client *c) { return msg_chan_fd(c->chan); }
bool fetch_client_pending(const struct fetch_client *c) { return msg_pending(c->chan); }
