/* ending: what a container leaves behind, in an order that loses nothing: output, log, record, answers, tree, lock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "monitor/monitor_int.h"

enum { CODE_START_FAILED = 128, CODE_NOT_FOUND = 127, CODE_NOT_EXECUTABLE = 126 };

/* ---- state.json ---- */

void mon_copy_text(char *to, size_t size, const char *text) {
    size_t n = strlen(text);
    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(to, text, n);
    to[n] = '\0';
}

/* The record of the run before; nobody else writes it while the lock is ours. */
static void recall(struct mon *o) {
    if (*o->state.status)
        return;
    autoerr none = monitor_state_read(o->m->dir_fd, &o->state);
    if (none)
        o->state = (struct monitor_state){0};
}

struct err *mon_state_prepare(struct mon *o, pid_t init) {
    recall(o);
    return proc_start_time(init, &o->init_start);
}

struct err *mon_state_write(struct mon *o, const char *status, const char *error) {
    recall(o);
    struct monitor_state *s = &o->state;
    bool running = strcmp(status, "running") == 0 || strcmp(status, "paused") == 0,
         ended = strcmp(status, "exited") == 0 || strcmp(status, "restarting") == 0;
    mon_copy_text(s->status, sizeof s->status, status);
    mon_copy_text(s->error, sizeof s->error, error);
    mon_copy_text(s->boot_id, sizeof s->boot_id, o->m->host->boot_id ? o->m->host->boot_id : "");
    s->pid = running ? o->proc.pid : 0;
    if (running && o->init_start == PROC_START_HIDDEN) /* before it executed its program */
        err_free(proc_start_time(o->proc.pid, &o->init_start));
    s->pid_start = running ? o->init_start : 0;
    s->monitor_pid = running || o->waiting ? getpid() : 0;
    s->restart_count = o->restart.count;
    s->stopped_by_user = o->by_user && !running;
    mon_copy_text(s->health, sizeof s->health, health_name(o->health));
    s->exit_code = o->x.code;
    s->oom_killed = o->x.oom_killed;
    if (running)
        s->started = o->started;
    else if (ended)
        s->finished = o->x.finished;
    return monitor_state_write(o->m->dir_fd, s);
}

/* ---- the last steps, shared ---- */

static void remove_run_dir(struct mon *o) {
    autofree char *self = mem_printf("../%s", o->m->id);
    unlinkat(o->run_fd, "init", 0);
    if (o->cgroup.paths.n)
        unlinkat(o->run_fd, "cgroup", 0);
    unlinkat(o->run_fd, "monitor", 0); /* last: by it a sweep knows whose the directory was */
    unlinkat(o->run_fd, self, AT_REMOVEDIR);
    fd_replace(&o->run_fd, -1);
}

static void finish(struct mon *o) __attribute__((noreturn));
static void finish(struct mon *o) {
    runtime_cgroup_remove(&o->cgroup.paths);
    if (o->run_fd >= 0)
        remove_run_dir(o);
    runtime_cgroup_done(&o->cgroup);
    if (o->m->ended)
        o->m->ended(o->m->ctx, &o->x);
    /* The lock first: whoever reads a connection to its end then finds the container free. */
    fd_close(o->m->lock_fd);
    _exit(0);
}

/* ---- a container that ran ---- */

static void reap(struct mon *o) {
    siginfo_t si = {0};
    int rc;
    do
        rc = waitid(P_PIDFD, (id_t)o->proc.pidfd, &si, WEXITED);
    while (rc < 0 && errno == EINTR);
    o->x.code = rc < 0 ? 255 : si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
    o->x.finished = clock_now();
    o->x.oom_killed = o->over_memory || runtime_cgroup_oom_kills(&o->cgroup) > o->oom_before;
}

void ending_run(struct mon *o) {
    for (unsigned i = 0; i < DEADLINES; i++)
        timer_clear(o, (enum deadline)i);
    reap(o);
    pause_forget(o);
    watch_end(o);
    served_end(o);
    health_end(o);
    stdio_drain(o);
}

void ending_network(struct mon *o) {
    if (o->network_fd >= 0)
        mon_unwatch(o, o->network_fd);
    o->network_fd = -1;
    if (o->m->network_end)
        o->m->network_end(o->m->ctx);
}

void ending(struct mon *o) {
    ending_network(o); /* before anybody is told: net_ended() counts on it */
    mon_log_close(o);
    /* Also of one that vanishes: who has it open learns its exit code from the record. No space: the next command sees
     * a free lock and says so. */
    err_free(mon_state_write(o, "exited", o->error));
    if (o->proc.pid > 0) /* not between two runs */
        mon_tell_end(o);
    control_accept(o);
    clients_last_requests(o);
    control_done(o);
    stdio_done(o);
    if (o->m->vanish)
        o->m->vanish(o->m->ctx);
    control_answer_end(o);
    clients_deliver(o);
    autofree char *bundle = mon_bundle(o);
    if (o->proc.pid > 0)
        err_free(runtime_poststop(o->m->config, o->m->id, bundle));
    finish(o);
}

/* ---- one that did not ---- */

int mon_code_of(const struct err *e) {
    if (err_kind(e) == ERR_EXEC_NOT_FOUND)
        return CODE_NOT_FOUND;
    return err_kind(e) == ERR_EXEC_DENIED ? CODE_NOT_EXECUTABLE : CODE_START_FAILED;
}

void ending_failed(struct mon *o, struct err *take_err) {
    autostr struct str text = STR_INIT;
    err_format(take_err, &text);
    if (o->proc.pid > 0)
        runtime_proc_done(&o->proc);
    mon_log_close(o);
    o->x = (struct monitor_exit){.code = mon_code_of(take_err), .finished = clock_now()};
    err_free(mon_state_write(o, "created", str_c(&text)));
    if (o->m->vanish)
        o->m->vanish(o->m->ctx);
    struct msg_chan *sync = msg_chan_new(take_fd(&o->m->sync_fd));
    err_free(msg_send_err(sync, take_err));
    control_done(o);
    control_answer_end(o);
    clients_deliver(o);
    finish(o);
}
