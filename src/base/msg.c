/*
 * msg: see msg.h. Which line do received descriptors belong to? The kernel ends a read with the segment that carried
 * descriptors, and a sender puts each line into segments of its own, so the answer is: to the last line that begins in
 * what this read brought.
 */
#include "base/msg.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/err_int.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum { READ_CHUNK = 4096, PENDING_MAX = 2 };

struct pending {
    size_t at; /* offset in `in` of the line's first byte */
    int fds[MSG_FDS];
    size_t n;
};

struct msg_chan {
    int fd;
    struct str in;
    size_t begin;                        /* of the next line in `in` */
    size_t scanned;                      /* no newline in [begin, scanned) */
    struct pending pending[PENDING_MAX]; /* for the line being read and the last one begun */
    size_t n_pending;
    struct str out; /* posted and not sent yet, from `sent` on */
    size_t sent;
};

struct msg_chan *msg_chan_new(int take_fd) {
    struct msg_chan *c = mem_alloc(sizeof *c);
    c->fd = take_fd;
    c->in = (struct str)STR_INIT_MAX(2 * MSG_MAX);
    c->out = (struct str)STR_INIT_MAX(MSG_KEEP_MAX);
    return c;
}

static void close_fds(const int *fds, size_t n) {
    for (size_t i = 0; i < n; i++)
        fd_close(fds[i]);
}

void msg_chan_free(struct msg_chan *c) {
    if (!c)
        return;
    for (size_t i = 0; i < c->n_pending; i++)
        close_fds(c->pending[i].fds, c->pending[i].n);
    fd_close(c->fd);
    str_done(&c->in);
    str_done(&c->out);
    free(c);
}

int msg_chan_fd(const struct msg_chan *c) { return c->fd; }

static void wait_for(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    poll(&p, 1, -1);
}

static struct err *send_line(struct msg_chan *c, const struct str *line, const int *fds, size_t n) {
    union {
        char buf[CMSG_SPACE(MSG_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    size_t sent = 0;
    while (sent < line->len) {
        struct iovec iov = {.iov_base = line->ptr + sent, .iov_len = line->len - sent};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
        if (n && !sent) {
            mh.msg_control = control.buf;
            mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
            struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
            cm->cmsg_level = SOL_SOCKET;
            cm->cmsg_type = SCM_RIGHTS;
            cm->cmsg_len = CMSG_LEN(n * sizeof(int));
            memcpy(CMSG_DATA(cm), fds, n * sizeof(int));
        }
        ssize_t k = sendmsg(c->fd, &mh, MSG_NOSIGNAL);
        if (k >= 0)
            sent += (size_t)k;
        else if (errno == EAGAIN)
            wait_for(c->fd, POLLOUT);
        else if (errno != EINTR)
            return err_sys(errno, "send a message");
    }
    return NULL;
}

static struct err *finish_and_send(struct msg_chan *c, struct str *line, const int *fds, size_t n) {
    str_append_c(line, '\n');
    if (!str_ok(line) || line->len > MSG_MAX || n > MSG_FDS)
        return err_sys(EMSGSIZE, "send a message");
    return send_line(c, line, fds, n);
}

struct err *msg_send(struct msg_chan *c, const struct json *j, const int *fds, size_t n) {
    autostr struct str line = STR_INIT;
    json_render(j, JSON_COMPACT, &line);
    return finish_and_send(c, &line, fds, n);
}

struct err *msg_send_err(struct msg_chan *c, const struct err *e) {
    autostr struct str line = STR_INIT;
    str_append(&line, "{\"error\":");
    err_encode(e, &line);
    str_append_c(&line, '}');
    return finish_and_send(c, &line, NULL, 0);
}

struct err *msg_flush(struct msg_chan *c, bool *ret_kept) {
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            c->sent += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return err_sys(errno, "send a message");
    }
    *ret_kept = c->sent < c->out.len;
    if (!*ret_kept) {
        str_clear(&c->out);
        c->sent = 0;
    }
    return NULL;
}

struct err *msg_post(struct msg_chan *c, const struct json *j, bool *ret_kept) {
    c->out.len -= c->sent;
    if (c->sent)
        memmove(c->out.ptr, c->out.ptr + c->sent, c->out.len + 1);
    c->sent = 0;
    json_render(j, JSON_COMPACT, &c->out);
    str_append_c(&c->out, '\n');
    if (!str_ok(&c->out))
        return err_sys(EMSGSIZE, "send a message");
    return msg_flush(c, ret_kept);
}

struct err *msg_err_of(const struct json *j) {
    const struct json *e = json_get(j, "error");
    return e ? err_from_json(e) : NULL;
}

/* Takes received descriptors; they belong to the last line that begins at or after `from`. */
static struct err *keep_fds(struct msg_chan *c, size_t from, const int *fds, size_t n) {
    size_t at = c->in.len;
    /* A line begins at `begin` or after a newline; the newline at the very end begins nothing yet. */
    for (size_t i = c->in.len - 1; i-- > from;)
        if (c->in.ptr[i] == '\n') {
            at = i + 1;
            break;
        }
    if (at == c->in.len && (from == c->begin || (from && c->in.ptr[from - 1] == '\n')))
        at = from;
    if (at == c->in.len || c->n_pending == PENDING_MAX) {
        close_fds(fds, n);
        return err_new(ERR_CORRUPT, "descriptors without a message");
    }
    struct pending *p = &c->pending[c->n_pending++];
    p->at = at;
    p->n = n;
    memcpy(p->fds, fds, n * sizeof *fds);
    return NULL;
}

static struct err *take_control(struct msg_chan *c, struct msghdr *mh, size_t from) {
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        int fds[MSG_FDS];
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(cm), n * sizeof(int));
        TRY(keep_fds(c, from, fds, n));
    }
    if (mh->msg_flags & MSG_CTRUNC)
        return err_new(ERR_CORRUPT, "too many descriptors in a message");
    return NULL;
}

/* Drops what was handed out already. */
static void compact(struct msg_chan *c) {
    if (!c->begin)
        return;
    c->in.len -= c->begin;
    memmove(c->in.ptr, c->in.ptr + c->begin, c->in.len + 1);
    for (size_t i = 0; i < c->n_pending; i++)
        c->pending[i].at -= c->begin;
    c->scanned -= c->begin;
    c->begin = 0;
}

/* One read; *ret_eof when the peer has closed. */
static struct err *fill(struct msg_chan *c, bool *ret_eof) {
    union {
        char buf[CMSG_SPACE(MSG_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    compact(c);
    if (c->in.len > MSG_MAX)
        return err_new(ERR_CORRUPT, "message is longer than %zu bytes", MSG_MAX);
    size_t want = c->in.len < READ_CHUNK ? READ_CHUNK : c->in.len < 65536 ? c->in.len : 65536;
    size_t from = c->in.len;
    struct iovec iov = {.iov_base = str_reserve(&c->in, want), .iov_len = want};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        if (errno == EAGAIN)
            wait_for(c->fd, POLLIN);
        return NULL;
    }
    *ret_eof = n == 0 || (n < 0 && errno == ECONNRESET); /* reset: it died with our bytes unread */
    if (n < 0)
        return *ret_eof ? NULL : err_sys(errno, "receive a message");
    c->in.len += (size_t)n;
    c->in.ptr[c->in.len] = '\0';
    return n ? take_control(c, &mh, from) : NULL;
}

/* The end of the next line, or NULL when it is not whole yet. */
static const char *line_end(struct msg_chan *c) {
    if (!c->in.ptr)
        return NULL;
    const char *end = memchr(c->in.ptr + c->scanned, '\n', c->in.len - c->scanned);
    if (!end)
        c->scanned = c->in.len;
    return end;
}

/* Hands out, or closes, the descriptors of the line that begins at c->begin. */
static void give_fds(struct msg_chan *c, int *fds, size_t *n_fds) {
    if (n_fds)
        *n_fds = 0;
    if (!c->n_pending || c->pending[0].at != c->begin)
        return;
    struct pending p = c->pending[0];
    c->pending[0] = c->pending[1];
    c->n_pending--;
    if (!fds || !n_fds) {
        close_fds(p.fds, p.n);
        return;
    }
    memcpy(fds, p.fds, p.n * sizeof *fds);
    *n_fds = p.n;
}

bool msg_is_gone(const struct err *e) { return e && (err_errno(e) == EPIPE || err_errno(e) == ECONNRESET); }

int msg_pending(const struct msg_chan *c) {
    return c->in.ptr && memchr(c->in.ptr + c->begin, '\n', c->in.len - c->begin) != NULL;
}

struct err *msg_recv(struct msg_chan *c, struct json **ret, int *fds, size_t *n_fds) {
    const char *end;
    bool eof = false;
    while (!(end = line_end(c)) && !eof)
        TRY(fill(c, &eof));
    if (!end) {
        if (c->in.len > c->begin)
            return err_new(ERR_CORRUPT, "message is cut short");
        give_fds(c, fds, n_fds);
        *ret = NULL;
        return NULL;
    }
    size_t len = (size_t)(end - (c->in.ptr + c->begin));
    if (len > MSG_MAX)
        return err_new(ERR_CORRUPT, "message is longer than %zu bytes", MSG_MAX);
    struct json *j = NULL;
    struct err *e = json_parse(c->in.ptr + c->begin, len, "message", 0, &j);
    if (e) {
        fds = NULL; /* closes them */
    } else if (json_type(j) != JSON_OBJECT) {
        json_free(j);
        e = err_new(ERR_CORRUPT, "message is not an object");
        fds = NULL;
    }
    give_fds(c, fds, n_fds);
    c->begin += len + 1;
    c->scanned = c->begin;
    if (!e)
        *ret = j;
    return e;
}
