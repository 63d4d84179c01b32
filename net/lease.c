/*
 * lease: requests and answers, and the connection that a container's monitor keeps.
 *
 * The helper either answers or dies, so nothing here has a time-out. A helper that ends a connection without an answer
 * was about to go (its last lease had ended) or has crashed: the request is sent again, to the next helper. Nothing is
 * done twice by that, for what the first one had begun ended with its connection, or is taken away by the next. One
 * helper can fail a request twice: when it has taken the connection, and again when the next connection gets into the
 * queue of its socket, which the kernel may close a little later. The third one meets another helper for sure, and that
 * may be killed as well: a lease that is not taken up again is lost, so there is patience for some of them.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/net_int.h"

enum { TRIES = 9 };

struct request {
    const struct json *j;
    int fds[2];
    size_t n_fds;
    bool start;              /* the helper when none runs */
    int userns_fd;           /* that it is to enter; -1: we are inside */
    pid_t *started;          /* NULL, or who starts it does not wait for the answer */
    struct net_asked *asked; /* NULL, or what became of it is told */
};

struct answer {
    struct json *j;
    struct msg_chan *chan;
    int fds[MSG_FDS];
    size_t n_fds;
};

static void answer_done(struct answer *a) {
    json_free(a->j);
    msg_chan_free(a->chan);
    for (size_t i = 0; i < a->n_fds; i++)
        fd_close(a->fds[i]);
    *a = (struct answer){0};
}
#define autoanswer __attribute__((cleanup(answer_done))) struct answer

/* Sends and receives once. Success without an answer: the helper is gone. */
static struct err *exchange(const struct request *r, struct answer *a) {
    struct err *e = msg_send(a->chan, r->j, r->fds, r->n_fds);
    if (msg_is_gone(e)) {
        err_free(e);
        return NULL;
    }
    TRY(e);
    return msg_recv(a->chan, &a->j, a->fds, &a->n_fds);
}

/* A helper to ask. */
static struct err *reach(const struct host *h, const struct request *r, bool again, struct msg_chan **ret) {
    int fd = -1;
    struct err *e = r->start ? net_helper_reach(h, r->userns_fd, r->started, &fd) : net_helper_connect(h, &fd);
    if (r->asked) {
        r->asked->none = e && err_kind(e) == ERR_NOT_FOUND;
        r->asked->repeated |= again;
    }
    TRY(e);
    *ret = msg_chan_new(fd);
    return NULL;
}

static struct err *call(const struct host *h, const struct request *r, struct answer *a) {
    for (int i = 0; i < TRIES && !a->j; i++) {
        answer_done(a);
        TRY(reach(h, r, i > 0, &a->chan));
        if (r->started && *r->started) {
            err_free(msg_send(a->chan, r->j, r->fds, r->n_fds)); /* one that has failed already: who attaches sees it */
            return NULL;
        }
        TRY(exchange(r, a));
    }
    if (!a->j)
        return err_hint(err_sys(ECONNRESET, "coracle-net ended without an answer"),
                        "the machine may be out of memory (see the kernel's log); a container needs nothing of this "
                        "with --network host, and with --network none");
    return msg_err_of(a->j);
}

/* ---- leases ---- */

void net_lease_done(struct net_lease *l) {
    msg_chan_free(l->chan);
    fd_close(l->helper_netns);
    json_free(l->answer);
    *l = (struct net_lease)NET_LEASE_INIT;
}

/* Asks for a lease and puts it in the place of `l`, which stays as it is on failure. */
static struct err *take_lease(const struct host *h, const struct request *r, struct net_lease *l) {
    autoanswer a = {0};
    TRY(call(h, r, &a));
    if (!a.n_fds)
        return err_new(ERR_CORRUPT, "coracle-net answered without its network namespace");
    net_lease_done(l);
    l->fd = msg_chan_fd(a.chan);
    l->chan = take_ptr(&a.chan);
    l->answer = take_ptr(&a.j);
    l->helper_netns = take_fd(&a.fds[0]);
    return NULL;
}

static struct json *hello(bool moves) {
    struct json *j = json_object();
    json_set_str(j, "op", "hello");
    json_set_bool(j, "moves", moves);
    return j;
}

void net_prepared_done(struct net_prepared *p) {
    msg_chan_free(p->hold);
    fd_close(p->userns);
    if (p->started)
        err_free(proc_reap(p->started, &(int){0}));
    *p = (struct net_prepared)NET_PREPARED_INIT;
}

struct err *net_prepare(const struct host *h, int userns_fd, bool moves, struct net_prepared *ret) {
    autojson j = hello(moves);
    autoanswer a = {0};
    const struct request r = {
        .j = j, .fds = {userns_fd}, .n_fds = 1, .start = true, .userns_fd = userns_fd, .started = &ret->started};
    TRY(call(h, &r, &a));
    ret->hold = take_ptr(&a.chan);
    if (a.n_fds)
        ret->userns = take_fd(&a.fds[0]);
    ret->in_userns = (pid_t)json_int_value(json_get(a.j, "pid"), 0);
    return NULL;
}

struct err *net_level(const struct host *h, int userns_fd, struct json **ret) {
    autojson j = hello(true); /* that of one namespace is that of the other */
    autoanswer a = {0};
    const struct request r = {.j = j, .fds = {userns_fd}, .n_fds = 1, .start = true, .userns_fd = userns_fd};
    TRY(call(h, &r, &a));
    *ret = take_ptr(&a.j);
    return NULL;
}

struct err *net_attach(const struct host *h, const struct json *request, int netns_fd, struct net_lease *ret) {
    const struct request r = {.j = request, .fds = {netns_fd}, .n_fds = 1, .start = true, .userns_fd = -1};
    struct net_lease l = NET_LEASE_INIT;
    TRY(take_lease(h, &r, &l));
    *ret = l;
    return NULL;
}

struct err *net_restore(const struct host *h, int netns_fd, struct net_lease *l) {
    const struct json *state = json_get(l->answer, "restore");
    if (!state || l->helper_netns < 0)
        return err_new(ERR_CORRUPT, "coracle-net gave nothing to restore the network from");
    autojson j = json_object();
    json_set_str(j, "op", "restore");
    json_set(j, "restore", json_copy(state));
    const struct request r = {.j = j, .fds = {netns_fd, l->helper_netns}, .n_fds = 2, .start = true, .userns_fd = -1};
    return take_lease(h, &r, l);
}

/* The members of an event replace those of the answer; what it does not name stays. */
static bool apply(struct net_lease *l, const struct json *event) {
    if (!str_eq(json_str_value(json_get(event, "event")), "changed"))
        return false;
    JSON_EACH(m, event)
    if (strcmp(json_key(m), "event") != 0)
        json_set(l->answer, json_key(m), json_copy(m));
    return true;
}

struct err *net_lease_read(struct net_lease *l, bool *ret_changed) {
    bool changed = false;
    do {
        autojson event = NULL;
        TRY(msg_recv(l->chan, &event, NULL, NULL));
        if (!event)
            return err_new(ERR_NOT_FOUND, "coracle-net has ended");
        changed |= apply(l, event);
    } while (msg_pending(l->chan));
    *ret_changed = changed;
    return NULL;
}

void net_ended(const struct host *h, const char *id) {
    autojson request = json_object();
    autojson answer = NULL;
    json_set_str(request, "op", "ended");
    json_set_str(request, "id", id);
    err_free(net_ask(h, request, NULL, &answer)); /* not_found: with the last one the helper has ended, too */
}

static struct err *ask(const struct host *h, const struct request *r, struct json **ret) {
    autoanswer a = {0};
    TRY(call(h, r, &a));
    *ret = take_ptr(&a.j);
    return NULL;
}

struct err *net_ask(const struct host *h, const struct json *request, struct net_asked *asked, struct json **ret) {
    return ask(h, &(struct request){.j = request, .asked = asked}, ret);
}

struct err *net_ask_own(const struct host *h, const struct json *request, struct json **ret) {
    return ask(h, &(struct request){.j = request, .start = true, .userns_fd = -1}, ret);
}
