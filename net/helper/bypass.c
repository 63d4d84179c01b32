/*
 * bypass: TCP out of containers, by a socket of the host's instead of packet by packet.
 *
 * The rules of the helper's namespace hold the first packet of a connection and hand us a copy (queue.c). We connect
 * on the host's side and let the packet go when that has an outcome: with a mark that makes the rules refuse it as the
 * other side did, or on to our listener (REDIRECT), where we find the connection by its four numbers and join the two.
 * To the program in the container a connect(2) takes as long, and ends, as it would on the host.
 *
 *   held    the host's connect is on the way; repeated SYNs of the same connection are dropped
 *   ready   connected; the client's handshake with our listener comes next, or (it gave up) a time-out
 *
 * Without the queue, or when it is full (the kernel lets packets pass then), a connection arrives that we know nothing
 * of. It is joined with a connect that is on the way, and reset when that fails: the client saw a connection for a
 * moment, which is the price of such kernels.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys/sys.h"
#include "net/helper/helper_int.h"

enum {
    BUCKETS = 256,
    PENDING_MAX = 1024,  /* as many packets as the kernel's queue holds */
    A_TURN = 64,         /* packets or connections, then it is somebody else's turn */
    FETCH_WITHIN_S = 10, /* a handshake with a client that is on this machine */
    ORIGINAL_DST = 80    /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST */
};

struct pending {
    struct watch w; /* the host's socket */
    struct timer unfetched;
    struct tuple tuple;
    uint32_t packet;
    bool held;
    struct share *share;
    struct pending *next; /* in its bucket */
};

struct bypass {
    struct watch listen4, listen6, queue;
    struct pending *bucket[BUCKETS];
    size_t n;
    struct json *verdicts; /* of this round, NULL: none */
};

/* ---- the table ---- */

/* FNV-1a, over all but the client's port (see fetch()). Entries are bounded, so that a container that finds collisions
 * gains nothing. */
static size_t bucket_of(const struct tuple *t) {
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < sizeof t->src.b; i++)
        h = ((h ^ t->src.b[i]) * 16777619U ^ t->dst.b[i]) * 16777619U;
    return (h ^ t->dport) * 16777619U % BUCKETS;
}

static bool same_ends(const struct tuple *a, const struct tuple *b) {
    return a->dport == b->dport && net_addr_contains(&a->src, &b->src) && net_addr_contains(&a->dst, &b->dst);
}

static struct pending *find(const struct bypass *b, const struct tuple *t) {
    for (struct pending *p = b->bucket[bucket_of(t)]; p; p = p->next)
        if (p->tuple.sport == t->sport && same_ends(&p->tuple, t))
            return p;
    return NULL;
}

/*
 * What was dialled for a connection that has arrived. To our listener all connections of a client go to one address, so
 * two with the same port of the client's (to different servers, as is its right) would be one to TCP: the redirection
 * gives the second another port. One that is not found by its port takes any that is ready for its client and server;
 * nothing has gone over it yet, so one is as good as another.
 */
static struct pending *fetch(const struct bypass *b, const struct tuple *t) {
    struct pending *p = find(b, t);
    if (p)
        return p;
    for (p = b->bucket[bucket_of(t)]; p; p = p->next)
        if (!p->held && same_ends(&p->tuple, t))
            return p;
    return NULL;
}

static void forget(struct loop *l, struct pending *p) {
    struct pending **link = &l->bypass->bucket[bucket_of(&p->tuple)];
    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
    l->bypass->n--;
    loop_untimer(l, &p->unfetched);
    loop_drop(l, &p->w);
    if (p->share)
        share_give(l, p->share);
    free(p);
}

/* ---- verdicts ---- */

static void decide(struct bypass *b, uint32_t packet, int mark) {
    struct json *one = json_array();
    json_push(one, json_uint(packet));
    json_push(one, json_int(mark));
    if (!b->verdicts)
        b->verdicts = json_array();
    json_push(b->verdicts, one);
}

void bypass_settle(struct loop *l) {
    if (!l->bypass || !l->bypass->verdicts)
        return;
    autojson m = json_object();
    json_set(m, "verdicts", take_ptr(&l->bypass->verdicts));
    loop_tell(l, m);
}

/* How the packet goes on after a connect that failed: as the network would have had it. */
static int mark_of(int code) {
    switch (code) {
    case ECONNREFUSED:
        return MARK_REFUSED;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case EACCES:
    case EPERM:
        return MARK_HOST_UNREACHABLE;
    case ENETUNREACH:
    case ENETDOWN:
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:
    case EINVAL:
        return MARK_NET_UNREACHABLE;
    default: /* a time-out; or we are out of something, and the client's next try may find it */
        return VERDICT_DROP;
    }
}

/* ---- the host's side ---- */

/* A socket that is connecting (or connected) to where the tuple goes, or -1 with errno. */
static int dial(const struct loop *l, const struct tuple *t) {
    struct sockaddr_storage to;
    socklen_t len = sockaddr_make(&t->dst, t->dport, &to);
    if (policy_denies(l, &t->dst)) {
        errno = ENETUNREACH;
        return -1;
    }
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    relay_prepare(fd);
    if (sys_connect(fd, (const struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS)
        return fd;
    fd_close(fd);
    return -1;
}

static void unfetched(struct loop *l, struct timer *t) {
    forget(l, (struct pending *)(void *)((char *)t - offsetof(struct pending, unfetched)));
}

static void host_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct pending *p = (struct pending *)(void *)w;
    int code = 0;
    socklen_t len = sizeof code;
    (void)events;
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        code = errno;
    decide(l->bypass, p->packet, code ? mark_of(code) : 0);
    p->held = false;
    if (code) {
        forget(l, p);
        return;
    }
    loop_park(l, w);
    loop_timer(l, &p->unfetched, FETCH_WITHIN_S * NSEC_PER_SEC);
}

/* ---- held packets ---- */

static void hold(struct loop *l, const struct held *h) {
    struct bypass *b = l->bypass;
    struct share *share = share_take(l, &h->tuple.src);
    if (!share) { /* as in a network that is full: the client tries again, and may find room */
        decide(b, h->id, VERDICT_DROP);
        return;
    }
    int fd = dial(l, &h->tuple);
    if (fd < 0) {
        decide(b, h->id, mark_of(errno));
        share_give(l, share);
        return;
    }
    struct pending *p = mem_alloc(sizeof *p);
    *p = (struct pending){.w = {.fd = fd, .ready = host_ready},
                          .unfetched.fire = unfetched,
                          .tuple = h->tuple,
                          .packet = h->id,
                          .held = true,
                          .share = share};
    struct pending **link = &b->bucket[bucket_of(&p->tuple)];
    p->next = *link;
    *link = p;
    b->n++;
    if (!loop_add(l, &p->w, EPOLLOUT)) {
        decide(b, h->id, VERDICT_DROP);
        forget(l, p);
    }
}

static void packet_held(struct loop *l, const struct held *h) {
    struct bypass *b = l->bypass;
    const struct pending *p = h->is_syn ? find(b, &h->tuple) : NULL;
    if (p)
        decide(b, h->id, p->held ? VERDICT_DROP : 0);
    else if (!h->is_syn || b->n >= PENDING_MAX)
        decide(b, h->id, 0); /* to the listener, which does without */
    else
        hold(l, h);
}

static void queue_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct held held;
    (void)events;
    for (int i = 0; i < A_TURN; i++) {
        ssize_t n = recv(w->fd, l->buffer, LOOP_BUFFER, MSG_DONTWAIT);
        if (n < 0 && errno != ENOBUFS) /* ENOBUFS: packets passed by us, that is all */
            return;
        if (n > 0 && queue_parse(l->buffer, (size_t)n, &held))
            packet_held(l, &held);
    }
}

/* ---- connections ---- */

/* Where the client wanted to; false when it wanted to us. */
static bool original(int fd, const struct sockaddr_storage *peer, struct tuple *ret) {
    struct sockaddr_storage to = {0}, own = {0};
    socklen_t len = sizeof to, own_len = sizeof own;
    int level = peer->ss_family == AF_INET6 ? SOL_IPV6 : SOL_IP;
    uint16_t own_port;
    if (getsockopt(fd, level, ORIGINAL_DST, &to, &len) != 0 || getsockname(fd, (struct sockaddr *)&own, &own_len) != 0)
        return false;
    ret->src = sockaddr_read(peer, &ret->sport);
    ret->dst = sockaddr_read(&to, &ret->dport);
    struct net_addr own_addr = sockaddr_read(&own, &own_port);
    return own_port != ret->dport || !net_addr_contains(&own_addr, &ret->dst);
}

/* What was dialled for it, with its share. */
static int take_dialled(struct loop *l, struct pending *p, struct share **ret_share) {
    if (p->held) /* its packet passed by us in another copy */
        decide(l->bypass, p->packet, VERDICT_DROP);
    loop_park(l, &p->w);
    int fd = take_fd(&p->w.fd);
    *ret_share = take_ptr(&p->share);
    forget(l, p);
    return fd;
}

static void join(struct loop *l, int client, const struct tuple *t) {
    struct pending *p = fetch(l->bypass, t);
    bool connecting = !p || p->held;
    struct share *share = p ? NULL : share_take(l, &t->src);
    int host = p ? take_dialled(l, p, &share) : share ? dial(l, t) : -1;
    if (host >= 0) {
        relay_start(l, share_relays(share), client, host, connecting);
        return;
    }
    relay_reset(client);
    if (share)
        share_give(l, share);
}

static void listener_ready(struct loop *l, struct watch *w, uint32_t events) {
    struct sockaddr_storage peer;
    struct tuple t;
    (void)events;
    for (int i = 0; i < A_TURN; i++) {
        int fd = loop_accept(l, w->fd, &peer);
        if (fd < 0)
            return;
        if (original(fd, &peer, &t))
            join(l, fd, &t);
        else
            relay_reset(fd);
    }
}

static struct err *watch_it(struct loop *l, struct watch *w, int take_fd,
                            void (*ready)(struct loop *, struct watch *, uint32_t)) {
    *w = (struct watch){.fd = take_fd, .ready = ready};
    if (take_fd < 0)
        return NULL;
    TRY(fd_set_nonblock(take_fd, true));
    return loop_add(l, w, EPOLLIN) ? NULL : err_sys(errno, "watch a socket of the bypass");
}

struct err *bypass_start(struct loop *l, int listen4, int listen6, int nfqueue) {
    if (l->bypass)
        return err_new(ERR_CONFLICT, "there is a bypass already");
    l->bypass = mem_alloc(sizeof *l->bypass);
    struct bypass *b = l->bypass;
    relay_prepare_inside(listen4);
    relay_prepare_inside(listen6);
    TRY(watch_it(l, &b->listen4, listen4, listener_ready));
    TRY(watch_it(l, &b->listen6, listen6, listener_ready));
    return watch_it(l, &b->queue, nfqueue, queue_ready);
}
