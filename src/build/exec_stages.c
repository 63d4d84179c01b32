/*
 * exec_stages: the stages of a build as a graph. Each stage that the target needs is built by a process of its own, as
 * soon as the stages that it takes from are there, so what does not depend on each other is done side by side. Such a
 * process says what there is to say by progress events (progress_int.h), and at its end what the stage has become, or
 * the error and its place:
 *
 *     {"state":true} + memory file      {"fault":[first line, last line], "broken":[indexes of caches]}, {"error":{…}}
 *
 * Nobody is asked to stop. When a stage fails or the user interrupts, the others' processes are killed; with each die
 * the helpers that it has started and the monitor of the container that it runs, and what they leave is in the works'
 * own directory (engine/build.h). So the end of a build that was killed itself is the same.
 */
#include "build/exec_int.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/msg.h"
#include "base/proc.h"
#include "build/board_int.h"

struct worker {
    size_t stage;
    pid_t pid;
    struct msg_chan *chan; /* NULL: it has ended */
};

struct crew {
    struct exec *x;
    struct worker *w;
    size_t n;
    bool *begun; /* by stage */
};

/* ---- in the process of a stage ---- */

static void say_to_crew(void *ctx, const struct json *event, int fd) {
    err_free(msg_send(ctx, event, &fd, fd >= 0)); /* if nobody listens, we are about to be killed */
}

static struct err *send_state(struct msg_chan *chan, const struct exec *x) {
    autofd int fd = -1;
    autojson j = json_object();
    TRY(state_pack(x, &fd));
    json_set_bool(j, "state", true);
    return msg_send(chan, j, &fd, 1);
}

static void send_failure(struct msg_chan *chan, const struct exec *x, const struct err *e) {
    autojson j = json_object();
    struct json *lines = json_array(), *broken = json_array();
    json_push(lines, json_int(x->fault.first));
    json_push(lines, json_int(x->fault.last));
    json_set(j, "fault", lines);
    for (size_t i = 0; i < x->caches.n_from; i++)
        if (x->caches.from[i].broken)
            json_push(broken, json_int((int64_t)i));
    json_set(j, "broken", broken);
    err_free(msg_send(chan, j, NULL, 0));
    err_free(msg_send_err(chan, e));
}

__attribute__((noreturn)) static void be_worker(struct crew *c, size_t stage, int take_socket, pid_t parent) {
    struct exec *x = c->x;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    for (size_t i = 0; i < c->n; i++)
        msg_chan_free(c->w[i].chan);
    struct msg_chan *chan = msg_chan_new(take_socket);
    x->progress = (struct progress){.say = say_to_crew, .ctx = chan};
    struct err *e = exec_stage(x, stage);
    if (!e)
        e = send_state(chan, x);
    if (e)
        send_failure(chan, x, e);
    _exit(e != NULL);
}

/* ---- the crew ---- */

static struct err *begin(struct crew *c, size_t stage) {
    int pair[2];
    pid_t parent = getpid();
    TRY(fd_socketpair(SOCK_STREAM, pair));
    autofd int ours = pair[0];
    autofd int theirs = pair[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "fork");
    if (pid == 0) {
        fd_replace(&ours, -1);
        be_worker(c, stage, take_fd(&theirs), parent);
    }
    c->w[c->n++] = (struct worker){.stage = stage, .pid = pid, .chan = msg_chan_new(take_fd(&ours))};
    c->begun[stage] = true;
    return NULL;
}

static bool ready(const struct crew *c, size_t stage) {
    const struct plan_stage *p = &c->x->plan.stage[stage];
    bool all = p->needed && !c->begun[stage];
    for (size_t i = 0; i < p->n_from; i++)
        all &= c->x->state[p->from_stages[i]].config != NULL;
    return all;
}

static struct err *begin_ready(struct crew *c) {
    for (size_t i = 0; i < c->x->plan.n; i++)
        if (ready(c, i))
            TRY(begin(c, i));
    return NULL;
}

static void dismiss(struct worker *w) {
    int code;
    msg_chan_free(take_ptr(&w->chan));
    err_free(proc_reap(w->pid, &code));
}

/* Why a stage was not built: on the board, and as the build's error with its place. */
static struct err *failed(struct crew *c, struct worker *w, struct err *take_e) {
    struct exec *x = c->x;
    autostr struct str text = STR_INIT;
    err_format(take_e, &text);
    board_fail(x->board, w->stage + 1, str_c(&text));
    x->failed = w->stage + 1;
    dismiss(w);
    return take_e;
}

/* The next message of a stage's process. */
static struct err *listen_to(struct crew *c, struct worker *w) {
    struct exec *x = c->x;
    autojson m = NULL;
    int fds[1] = {-1};
    size_t n = 1;
    struct err *e = msg_recv(w->chan, &m, fds, &n);
    autofd int fd = n ? fds[0] : -1;
    if (!e && !m)
        e = err_new(ERR_SYSTEM, "the process that builds stage %s was killed", x->plan.stage[w->stage].name);
    if (!e)
        e = msg_err_of(m);
    if (e)
        return failed(c, w, e);
    const struct json *fault = json_get(m, "fault");
    if (fault) {
        x->fault.first = (unsigned)json_int_value(json_first(fault), 0);
        x->fault.last = (unsigned)json_int_value(json_next(json_first(fault)), 0);
        JSON_EACH(i, json_get(m, "broken"))
        x->caches.from[json_int_value(i, 0)].broken = true;
    } else if (json_get(m, "state")) {
        dismiss(w);
        return state_unpack(x, fd, &x->state[w->stage]);
    } else {
        board_event(x->board, w->stage + 1, m, take_fd(&fd));
        if (json_get(m, "shell")) /* the user is in it: nothing is drawn, and others wait with what they have to say */
            return listen_to(c, w);
    }
    return NULL;
}

static struct err *listen_all(struct crew *c, struct worker *w) {
    do
        TRY(listen_to(c, w));
    while (w->chan && msg_pending(w->chan));
    return NULL;
}

/* ---- waiting ---- */

static bool at_work(const struct crew *c) {
    bool any = false;
    for (size_t i = 0; i < c->n; i++)
        any |= c->w[i].chan != NULL;
    return any;
}

/* First the interrupt, then the stages in their order, then the outputs of commands. */
static size_t wanted(const struct crew *c, struct pollfd *fds) {
    size_t n = 0;
    fds[n++] = (struct pollfd){.fd = c->x->o->interrupted_fd ? *c->x->o->interrupted_fd : -1, .events = POLLIN};
    for (size_t i = 0; i < c->n; i++)
        fds[n++] = (struct pollfd){.fd = c->w[i].chan ? msg_chan_fd(c->w[i].chan) : -1, .events = POLLIN};
    return n + board_fds(c->x->board, fds + n);
}

/* Output before what is said of it: its lines come first. */
static struct err *attend(struct crew *c, const struct pollfd *fds, size_t n) {
    if (fds[0].revents)
        return err_new(ERR_INTERRUPTED, "canceled");
    for (size_t i = 1 + c->n; i < n; i++)
        if (fds[i].revents)
            board_read(c->x->board, fds[i].fd);
    for (size_t i = 0, workers = c->n; i < workers; i++)
        if (fds[1 + i].revents)
            TRY(listen_all(c, &c->w[i]));
    return NULL;
}

static struct err *wait_once(struct crew *c) {
    autofree struct pollfd *fds = mem_array(1 + c->n + c->x->board->n, sizeof *fds);
    size_t n = wanted(c, fds);
    int got = poll(fds, n, board_timeout(c->x->board));
    if (got < 0 && errno != EINTR)
        return err_sys(errno, "wait for the stages");
    if (got > 0)
        TRY(attend(c, fds, n));
    board_tick(c->x->board);
    return NULL;
}

static struct err *work(struct crew *c) {
    do {
        TRY(begin_ready(c));
        TRY(wait_once(c));
    } while (at_work(c) || !c->x->state[c->x->plan.target].config);
    return NULL;
}

static void kill_rest(struct crew *c) {
    for (size_t i = 0; i < c->n; i++)
        if (c->w[i].chan)
            kill(c->w[i].pid, SIGKILL);
    for (size_t i = 0; i < c->n; i++) {
        if (!c->w[i].chan)
            continue;
        dismiss(&c->w[i]);
        board_fail(c->x->board, c->w[i].stage + 1, NULL);
    }
}

static struct err *build_stages(struct exec *x) {
    struct crew c = {
        .x = x, .w = mem_array(x->plan.n, sizeof(struct worker)), .begun = mem_array(x->plan.n, sizeof(bool))};
    struct err *e = work(&c);
    kill_rest(&c);
    free(c.w);
    free(c.begun);
    return e;
}

/* ---- with what caches have promised ---- */

/* The image's layers are wanted, whoever has them. */
static struct err *fetch_image(struct exec *x) {
    if (!caches_missing(x, exec_state(x)))
        return caches_fetch(x, exec_state(x));
    progress_vertex(&x->progress, "importing the image's layers from the cache");
    TRY(caches_fetch(x, exec_state(x)));
    progress_done(&x->progress);
    return NULL;
}

/* A cache that does not have what it has promised is done without, from the start; what was done is in our own. */
struct err *exec_stages(struct exec *x) {
    for (;;) {
        struct err *e = build_stages(x);
        x->at = x->plan.target;
        if (!e)
            e = fetch_image(x);
        if (!e || !caches_drop_broken(x))
            return e;
        autostr struct str why = STR_INIT;
        err_format(e, &why);
        board_fail(x->board, 0, str_c(&why));
        err_free(e);
        x->failed = 0;
        for (size_t i = 0; i < x->plan.n; i++)
            state_done(&x->state[i]);
    }
}
