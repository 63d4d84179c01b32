/* health: the checks at work; see health_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/monitor_int.h"
#include "spec/spec.h"

enum { EVENT_OUTPUT, EVENT_END };
enum { PIPE_READS = 32 }; /* more than a pipe holds: what the test left running may go on writing */

/* ---- a run ---- */

static struct err *plan_of(const struct json *config, struct json **ret) {
    const char *text = json_str_value(json_get(json_get(config, "annotations"), SPEC_ANN_HEALTH));
    *ret = NULL;
    return text ? json_parse(text, strlen(text), SPEC_ANN_HEALTH, 0, ret) : NULL;
}

static int64_t age(const struct health *h) { return clock_boot() - h->began; }

static void schedule(struct mon *o) { (void)timer_after(o, DEADLINE_HEALTH, health_pause(o->health, age(o->health))); }

void health_begin(struct mon *o) {
    autojson plan = NULL;
    autoerr damaged = plan_of(o->m->config, &plan);
    if (damaged || !plan)
        return;
    if (!o->health)
        o->health = mem_alloc(sizeof *o->health);
    health_read(plan, o->health);
    o->health->began = clock_boot();
    err_free(health_record(o->m->dir_fd, 0, NULL));
    schedule(o);
}

/* ---- one check ---- */

static void forget(struct mon *o) {
    struct health *h = o->health;
    timer_clear(o, DEADLINE_CHECK);
    if (h->out_fd >= 0)
        mon_unwatch(o, h->out_fd);
    if (h->pidfd >= 0)
        mon_unwatch(o, h->pidfd);
    fd_replace(&h->out_fd, -1);
    fd_replace(&h->pidfd, -1);
    free(take_ptr(&h->output));
    h->pid = 0;
    h->n = 0;
    h->late = h->truncated = false;
}

/* The container's own process with the test's arguments. */
static struct err *process_of(const struct json *config, struct json **ret) {
    autojson plan = NULL;
    autojson p = json_copy(json_get(config, "process"));
    TRY(plan_of(config, &plan));
    if (!p || !json_count(json_get(plan, "Args")))
        return err_new(ERR_CORRUPT, "the container's configuration has no health check");
    json_set(p, "args", json_copy(json_get(plan, "Args")));
    json_set_bool(p, "terminal", false);
    json_set_str(p, "user_text", json_text(json_get(config, "annotations"), SPEC_ANN_USER));
    *ret = take_ptr(&p);
    return NULL;
}

static struct err *spawn(struct mon *o, int out, struct runtime_proc *ret) {
    autojson config = NULL;
    autojson process = NULL;
    autofd int null = -1;
    TRY(json_read_file(o->m->dir_fd, "config.json", &config));
    TRY(process_of(config, &process));
    TRY(fd_open_at(AT_FDCWD, "/dev/null", O_RDONLY, 0, &null));
    const struct runtime_exec x = {
        .target = o->proc.pid,
        .target_pidfd = o->proc.pidfd,
        .id = o->m->id,
        .config = config,
        .process = process,
        .stdio = {null, out, out},
        .tied = true,
    };
    return runtime_exec(&x, ret);
}

static struct err *begin(struct mon *o) {
    struct health *h = o->health;
    struct runtime_proc proc = {.pid = 0, .pidfd = -1, .sync_fd = -1, .console = -1};
    int p[2];
    TRY(fd_pipe(0, p));
    h->out_fd = p[0];
    autofd int theirs = p[1];
    TRY(fd_set_nonblock(h->out_fd, true));
    TRY(spawn(o, theirs, &proc));
    h->pid = proc.pid;
    h->pidfd = proc.pidfd;
    h->output = mem_alloc(HEALTH_OUTPUT_MAX);
    if (!mon_watch(o, h->out_fd, (union ref){.kind = REF_HEALTH, .index = EVENT_OUTPUT}, EPOLLIN) ||
        !mon_watch(o, h->pidfd, (union ref){.kind = REF_HEALTH, .index = EVENT_END}, EPOLLIN))
        return err_sys(errno, "watch the health check");
    return NULL;
}

/* What unhealthiness leads to, as podman has it. A kill is a failure, and what follows is the restart policy's. */
static void act(struct mon *o) {
    switch (o->health->action) {
    case HEALTH_NONE:
        return;
    case HEALTH_KILL:
        stop_signal(o, SIGKILL);
        return;
    case HEALTH_RESTART:
        o->once_more = true;
        stop_own(o);
        return;
    case HEALTH_STOP:
        o->leaving = true;
        stop_own(o);
        return;
    }
}

static void tell_change(struct mon *o) {
    autofree char *action = mem_printf("health_status: %s", health_name(o->health));
    err_free(mon_state_write(o, o->state.status, ""));
    mon_tell(o, action, NULL);
}

static void conclude(struct mon *o, int code, const char *output, size_t n) {
    struct health *h = o->health;
    const struct health_result r = {.start = h->start,
                                    .end = clock_now(),
                                    .code = code,
                                    .output = output,
                                    .n = n,
                                    .truncated = h->truncated && output == h->output};
    bool changed = health_judge(h, code, age(h));
    err_free(health_record(o->m->dir_fd, h->streak, &r));
    if (changed)
        tell_change(o);
    forget(o);
    control_answer_health(o, code);
    schedule(o);
    o->dirty = true;
    if (changed && h->status == HEALTH_UNHEALTHY)
        act(o);
}

/* The test is the leader of a session of its own: what it started is in its process group. */
static void kill_check(const struct health *h) {
    (void)kill(-h->pid, SIGKILL);
    (void)kill(h->pid, SIGKILL);
}

/* -1 for what was killed because it took too long. */
static int reap(const struct health *h) {
    siginfo_t si = {0};
    int rc;
    do
        rc = waitid(P_PIDFD, (id_t)h->pidfd, &si, WEXITED | __WALL);
    while (rc < 0 && errno == EINTR);
    return rc < 0 || h->late ? -1 : si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

void health_check(struct mon *o) {
    struct health *h = o->health;
    if (!h || h->pid)
        return;
    if (strcmp(o->state.status, "paused") == 0) {
        schedule(o);
        return;
    }
    timer_clear(o, DEADLINE_HEALTH);
    h->start = clock_now();
    autoerr failed = begin(o);
    if (!failed && timer_after(o, DEADLINE_CHECK, h->timeout))
        return;
    autostr struct str text = STR_INIT;
    if (failed)
        err_format(failed, &text);
    if (h->pid) {
        kill_check(h);
        (void)reap(h);
    }
    conclude(o, -1, str_c(&text), text.len);
}

/* ---- events ---- */

/* One read; what is more than is kept is thrown away. */
static ssize_t take_output(struct health *h) {
    char rest[HEALTH_OUTPUT_MAX];
    size_t room = HEALTH_OUTPUT_MAX - h->n;
    ssize_t n = read(h->out_fd, room ? h->output + h->n : rest, room ? room : sizeof rest);
    if (n > 0 && room)
        h->n += (size_t)n;
    else if (n > 0)
        h->truncated = true;
    return n;
}

/* A process that ended because its container did has not failed. */
static bool container_ended(const struct mon *o) {
    struct pollfd p = {.fd = o->proc.pidfd, .events = POLLIN};
    return o->over || poll(&p, 1, 0) != 0;
}

static void ended(struct mon *o) {
    struct health *h = o->health;
    if (container_ended(o)) /* health_end() follows */
        return;
    for (int i = 0; i < PIPE_READS && take_output(h) > 0; i++)
        ;
    int code = reap(h);
    if (!h->late) {
        conclude(o, code, h->output, h->n);
        return;
    }
    autostr struct str text = STR_INIT;
    str_append(&text, "Health check exceeded timeout (");
    clock_format_go(h->timeout, &text);
    str_append_c(&text, ')');
    conclude(o, -1, str_c(&text), text.len);
}

void health_event(struct mon *o, unsigned index) {
    struct health *h = o->health;
    if (!h || !h->pid)
        return;
    if (index == EVENT_END)
        ended(o);
    else if (take_output(h) == 0) /* closed; the end comes by itself */
        mon_unwatch(o, h->out_fd);
}

void health_timeout(struct mon *o) {
    struct health *h = o->health;
    if (!h || !h->pid)
        return;
    h->late = true;
    kill_check(h);
}

void health_end(struct mon *o) {
    struct health *h = o->health;
    if (!h)
        return;
    if (h->pid) {
        kill_check(h);
        (void)reap(h);
    }
    forget(o);
    h->status = HEALTH_UNHEALTHY; /* as docker says of a container that does not run */
}
