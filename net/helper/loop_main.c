/*
 * loop_main: the loop's process, and what the warden tells it. A message with a "seq" is answered; the others cannot
 * fail in a way that somebody could do something about, and go to the debug log. The end of the channel is the end of
 * this process.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "net/helper/helper_int.h"

/* ---- messages ---- */

struct descriptors {
    int v[MSG_FDS];
    size_t n;
};

static int take_nth(struct descriptors *d, size_t i) { return i < d->n ? take_fd(&d->v[i]) : -1; }

struct err *loop_addr(const struct json *m, const char *key, struct net_addr *ret) {
    const char *text;
    TRY(json_get_str_opt(m, key, "", &text));
    return *text ? net_addr_parse(text, ret) : NULL;
}

static struct err *op_uplink(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    struct uplink_wanted want = {.mtu = UPLINK_MTU};
    const struct {
        const char *key;
        struct net_addr *to;
    } addrs[] = {{"subnet", &want.near.net[0]},  {"subnet6", &want.near.net[1]}, {"gateway", &want.gateway[0]},
                 {"gateway6", &want.gateway[1]}, {"from", &want.from[0]},        {"from6", &want.from[1]}};
    int64_t mtu;
    (void)answer;
    TRY(json_get_str(m, "kind", &want.kind));
    TRY(json_get_str_opt(m, "id", NULL, &want.id));
    TRY(json_get_i64_opt(m, "mtu", UPLINK_MTU, &mtu));
    TRY(json_get_bool_opt(m, "loopback", false, &want.near.loopback));
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++)
        TRY(loop_addr(m, addrs[i].key, addrs[i].to));
    want.mtu = (int)mtu;
    return uplink_start(l, take_nth(d, 0), &want);
}

static struct err *op_unlink(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    const char *id;
    (void)d, (void)answer;
    TRY(json_get_str(m, "id", &id));
    uplink_end(l, id);
    return NULL;
}

static struct err *op_bypass(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)m, (void)answer;
    return bypass_start(l, take_nth(d, 0), take_nth(d, 1), take_nth(d, 2));
}

static struct err *op_inner(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)answer;
    bool v6 = json_int_value(json_get(m, "family"), 4) == 6;
    const char *proto, *id;
    TRY(json_get_str(m, "proto", &proto));
    TRY(json_get_str_opt(m, "id", NULL, &id));
    inner_add(l, id, v6 ? AF_INET6 : AF_INET, strcmp(proto, "udp") == 0, d->v, d->n);
    d->n = 0;
    return NULL;
}

static struct err *op_publish(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    uint16_t port = 0;
    (void)d;
    TRY(publish(l, m, &port));
    json_set_int(answer, "host_port", port);
    return NULL;
}

static struct err *op_unpublish(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)d, (void)answer;
    unpublish(l, m);
    return NULL;
}

static struct err *op_deny(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)d, (void)answer;
    policy_set(l, json_get(m, "nets"));
    return NULL;
}

static struct err *op_dns(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    (void)answer;
    dns_message(l, m, d->v, d->n);
    d->n = 0;
    return NULL;
}

static const struct {
    const char *op;
    struct err *(*serve)(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer);
} ops[] = {
    {"uplink", op_uplink}, {"unlink", op_unlink},   {"bypass", op_bypass},       {"inner", op_inner},
    {"deny", op_deny},     {"publish", op_publish}, {"unpublish", op_unpublish}, {"dns", op_dns},
    {"undns", op_dns},     {"names", op_dns},       {"scope", op_dns},           {"resolv", op_dns},
};

static struct err *serve(struct loop *l, const struct json *m, struct descriptors *d, struct json *answer) {
    const char *op;
    TRY(json_get_str(m, "op", &op));
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strcmp(ops[i].op, op) == 0)
            return ops[i].serve(l, m, d, answer);
    return err_new(ERR_UNSUPPORTED, "unknown request '%s'", op);
}

/* While something is kept for the warden, the socket's having room is an event. */
static void kept_on(struct loop *l, struct err *take_e, bool kept) {
    autoerr e = take_e;
    if (e)
        exit(0); /* the warden is gone */
    if (kept == l->kept_for_warden)
        return;
    l->kept_for_warden = kept;
    loop_mod(l, &l->channel, EPOLLIN | (kept ? EPOLLOUT : 0));
}

/* The warden may be telling us something that does not fit into its socket: to wait for it here could be for ever. */
void loop_tell(struct loop *l, const struct json *message) {
    bool kept = false;
    struct err *e = msg_post(l->warden, message, &kept);
    kept_on(l, e, kept);
}

static void tell_rest(struct loop *l) {
    bool kept = false;
    struct err *e = msg_flush(l->warden, &kept);
    kept_on(l, e, kept);
}

/* Answers a request that has a number; `e` is NULL when it was done. */
static void answer_request(struct loop *l, const struct json *m, struct json *answer, const struct err *e) {
    autostr struct str text = STR_INIT;
    int64_t seq = json_int_value(json_get(m, "seq"), -1);
    if (e)
        err_format(e, &text);
    if (e)
        log_debug("request of the warden: %s", str_c(&text));
    if (seq < 0)
        return;
    json_set_int(answer, "seq", seq);
    if (e) {
        autojson as_json = NULL;
        str_clear(&text);
        err_encode(e, &text);
        autoerr bad = json_parse(text.ptr, text.len, "error", 0, &as_json);
        if (!bad)
            json_set(answer, "error", take_ptr(&as_json));
    }
    loop_tell(l, answer);
}

static void channel_ready(struct loop *l, struct watch *w, uint32_t events) {
    (void)w;
    if (events & EPOLLOUT)
        tell_rest(l);
    if (!(events & ~(uint32_t)EPOLLOUT))
        return;
    do {
        autojson m = NULL;
        autojson answer = json_object();
        struct descriptors d = {.n = 0};
        autoerr e = msg_recv(l->warden, &m, d.v, &d.n);
        if (e || !m)
            exit(0);
        autoerr failure = serve(l, m, &d, answer);
        for (size_t i = 0; i < d.n; i++)
            fd_close(d.v[i]);
        answer_request(l, m, answer, failure);
    } while (msg_pending(l->warden));
}

/* ---- the process ---- */

static struct err *begin(struct loop *l, int warden_fd) {
    l->warden = msg_chan_new(warden_fd);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_sys(errno, "ignore SIGPIPE");
    policy_set(l, NULL);
    TRY(sandbox_enter());
    l->channel = (struct watch){.fd = warden_fd, .ready = channel_ready};
    if (!loop_add(l, &l->channel, EPOLLIN))
        return err_sys(errno, "watch the warden's channel");
    return NULL;
}

void loop_main(int warden_fd) {
    struct loop l;
    fd_close_all_but(&warden_fd, 1);
    autoerr none = loop_init(&l);
    autoerr e = none ? take_ptr(&none) : begin(&l, warden_fd);
    if (e) {
        if (l.warden)
            err_free(msg_send_err(l.warden, e));
        exit(1);
    }
    autojson ready = json_object();
    json_set_bool(ready, "ready", true);
    loop_tell(&l, ready);
    for (;;) {
        loop_round(&l);
        bypass_settle(&l);
    }
}
