/*
 * coracle-fetch: the HTTP client of coracle, one process a pull, push or login. It holds a channel to its parent
 * (descriptor 3), the descriptors that each request brings along, and nothing else: it knows no store, no namespace and
 * no credential but the headers that it is given. It ends when the channel does. fetch_int.h describes requests and
 * answers.
 *
 * One loop, no threads of ours, no sleeps: libcurl's sockets and the channel are waited for
 * together; the timeout is the next attempt's due time.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/wall.h"
#include "fetch/fetch_int.h"

#define CHANNEL_FD 3
#define TRANSFERS_MAX 64
#define WAIT_MAX_MS 60000

struct fetcher {
    CURLM *multi;
    struct msg_chan *chan;
    struct transfer *t[TRANSFERS_MAX];
    size_t n;
    bool over; /* the parent is gone */
};

CURLM *fetcher_multi(const struct fetcher *f) { return f->multi; }

void fetcher_send(struct fetcher *f, const struct json *j) {
    autoerr e = msg_send(f->chan, j, NULL, 0);
    if (e)
        f->over = true;
}

static void isolate(void) {
    const struct rlimit none = {0, 0};
    const int keep[] = {CHANNEL_FD};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* tokens pass through here: no core, no ptrace */
    (void)setrlimit(RLIMIT_CORE, &none);
    fd_close_all_but(keep, ARRAY_LEN(keep));
    (void)wall_read_only(); /* it reads certificates, and writes to what it was given */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN); /* the parent decides what Ctrl-C means and closes the channel */
}

static void forget(struct fetcher *f, size_t i) {
    struct transfer *t = f->t[i];
    if (t->state == TRANSFER_RUNNING)
        curl_multi_remove_handle(f->multi, t->easy);
    transfer_free(t);
    f->t[i] = f->t[--f->n];
}

static void cancel(struct fetcher *f, int64_t id) {
    for (size_t i = 0; i < f->n; i++)
        if (f->t[i]->req.id == id) {
            forget(f, i);
            return;
        }
}

/* Its descriptors: what is sent, or where the answer goes, and a bell. */
static struct err *take_fds(const struct request *req, const struct json *j, int fds[MSG_FDS], struct sink *sink,
                            int *ret_source) {
    bool file = json_bool_value(json_get(j, "file"), false), bell = json_bool_value(json_get(j, "bell"), false);
    if (req->length >= 0 && !file)
        return err_new(ERR_USAGE, "nothing to send");
    if (req->length >= 0)
        *ret_source = take_fd(&fds[0]);
    return sink_init(sink, file ? take_fd(&fds[0]) : -1, bell ? take_fd(&fds[file ? 1 : 0]) : -1,
                     req->length < 0 ? req->offset : 0, req->max);
}

/* Makes the transfer that a request describes; fds are taken. */
static struct err *accept_request(struct fetcher *f, const struct json *j, int fds[MSG_FDS], size_t n_fds) {
    struct request req = {0};
    struct sink sink = {.file = -1, .bell = -1};
    autofd int source = -1;
    size_t wanted = json_bool_value(json_get(j, "file"), false) + (size_t)json_bool_value(json_get(j, "bell"), false);
    struct err *e = request_parse(j, &req);
    if (!e && f->n == TRANSFERS_MAX)
        e = err_new(ERR_USAGE, "more than %d transfers at once", TRANSFERS_MAX);
    if (!e && n_fds != wanted)
        e = err_new(ERR_USAGE, "request came with %zu descriptors", n_fds);
    if (!e)
        e = take_fds(&req, j, fds, &sink, &source);
    if (!e)
        f->t[f->n++] = transfer_new(f, &req, &sink, take_fd(&source));
    request_done(&req);
    sink_done(&sink);
    return e;
}

static void handle_message(struct fetcher *f) {
    autojson j = NULL;
    int fds[MSG_FDS];
    size_t n_fds = 0;
    autoerr e = msg_recv(f->chan, &j, fds, &n_fds);
    if (e || !j) {
        f->over = true;
        return;
    }
    struct json *cancelled = json_get(j, "cancel");
    autoerr bad = NULL;
    if (cancelled)
        cancel(f, json_int_value(cancelled, -1));
    else
        bad = accept_request(f, j, fds, n_fds);
    for (size_t i = 0; i < n_fds; i++)
        fd_close(fds[i]);
    if (bad)
        f->over = msg_send_err(f->chan, bad) != NULL || f->over;
}

static void start_due(struct fetcher *f) {
    int64_t now = clock_boot();
    for (size_t i = 0; i < f->n; i++)
        if (f->t[i]->state == TRANSFER_WAITING && f->t[i]->due <= now)
            transfer_start(f->t[i]);
}

static void take_results(struct fetcher *f) {
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(f->multi, &left); m; m = curl_multi_info_read(f->multi, &left)) {
        struct transfer *t = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        if (m->msg == CURLMSG_DONE && t)
            transfer_ended(t, code);
    }
}

static void reap(struct fetcher *f) {
    for (size_t i = f->n; i-- > 0;)
        if (f->t[i]->state == TRANSFER_OVER) {
            transfer_say_done(f->t[i]);
            forget(f, i);
        }
}

static int wait_ms(const struct fetcher *f) {
    int64_t now = clock_boot(), wait = WAIT_MAX_MS * NSEC_PER_MSEC;
    for (size_t i = 0; i < f->n; i++)
        if (f->t[i]->state == TRANSFER_WAITING && f->t[i]->due - now < wait)
            wait = f->t[i]->due - now;
    return wait <= 0 ? 0 : (int)((wait + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

static void wait_for_events(struct fetcher *f) {
    struct curl_waitfd chan = {.fd = msg_chan_fd(f->chan), .events = CURL_WAIT_POLLIN};
    int ready = 0;
    bool pending = msg_pending(f->chan);
    if (curl_multi_poll(f->multi, &chan, 1, pending ? 0 : wait_ms(f), &ready))
        f->over = true;
    else if (pending || (chan.revents & CURL_WAIT_POLLIN))
        handle_message(f);
}

int main(void) {
    struct stat st;
    fd_guard_stdio();
    if (fstat(CHANNEL_FD, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        fputs("coracle-fetch is a helper of coracle: it is not run by hand\n", stderr);
        return 2;
    }
    isolate();
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return EXIT_FAILURE;
    struct fetcher f = {.multi = curl_multi_init(), .chan = msg_chan_new(CHANNEL_FD)};
    if (!f.multi)
        return EXIT_FAILURE;
    while (!f.over) {
        int running = 0;
        start_due(&f);
        if (curl_multi_perform(f.multi, &running))
            break;
        take_results(&f);
        reap(&f);
        if (wait_ms(&f) > 0 || f.n == 0)
            wait_for_events(&f);
    }
    /* Nothing is torn down in order: the kernel closes what is open faster than libcurl does. */
    return EXIT_SUCCESS;
}
