/*
 * again: from the end of a run to the next start, in the same process. It has the lock, the log, the control socket and
 * its place in the user namespace already; what the start shed is read anew (m->again). Between the two the container
 * is "restarting": it has no process, its monitor waits in the same loop for the one deadline or for somebody who does
 * not want the start any more. As with docker everybody who waited for this run, or was attached to it, is told how it
 * ended, whatever comes then.
 */
#include <stdio.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "monitor/monitor_int.h"

static bool wanted(struct mon *o, int64_t *ret_delay) {
    int64_t ran = o->x.finished - o->started;
    if (o->by_user || o->leaving || !o->m->again)
        return false;
    if (!o->once_more)
        return restart_wanted(&o->restart, o->x.code, ran, ret_delay);
    *ret_delay = restart_count(&o->restart, ran);
    return true;
}

/* What belonged to the run goes; the next one makes its own. */
static void let_go(struct mon *o) {
    mon_log_end(o);
    stdio_done(o);
    o->in = (struct input){.fd = -1};
    for (int i = 0; i < 2; i++)
        o->out[i] = (struct output){.fd = -1};
    ending_network(o);
    mon_unwatch(o, o->proc.pidfd);
    fd_replace(&o->proc.pidfd, -1);
    o->proc = (struct runtime_proc){.pidfd = -1, .sync_fd = -1, .console = -1};
    autofree char *bundle = mon_bundle(o);
    err_free(runtime_poststop(o->m->config, o->m->id, bundle));
}

/* False when the start is not wanted any more, or no timer can be had to wait for it. */
static bool wait_for_start(struct mon *o, int64_t delay) {
    o->waiting = true;
    o->over = false;
    err_free(mon_state_write(o, "restarting", o->error));
    mon_tell_end(o);
    control_answer_run(o);
    autoerr alone = runtime_userns_offer(o->run_fd, &o->userns_listen);
    if (!alone)
        (void)mon_watch(o, o->userns_listen, (union ref){.kind = REF_USERNS}, EPOLLIN);
    bool timed = timer_after(o, DEADLINE_RESTART, delay);
    if (timed)
        mon_loop(o);
    timer_clear(o, DEADLINE_RESTART);
    if (!alone)
        runtime_userns_withdraw(o->run_fd, take_fd(&o->userns_listen));
    o->waiting = false;
    return timed && !o->by_user && !o->leaving;
}

static struct err *start(struct mon *o) {
    o->over = o->once_more = o->killed_at_once = o->lean = false;
    o->second_look = 0;
    o->error[0] = '\0';
    o->x = (struct monitor_exit){.code = 0};
    o->oom_before = runtime_cgroup_oom_kills(&o->cgroup);
    json_free(take_ptr(&o->m->config));
    TRY(o->m->again(o->m->ctx));
    return mon_start_run(o);
}

/* As docker has it, a restart that fails is the last one. */
static void give_up(struct mon *o, struct err *take_err) {
    autoerr e = take_err;
    autostr struct str text = STR_INIT;
    err_format(e, &text);
    mon_copy_text(o->error, sizeof o->error, str_c(&text));
    o->x = (struct monitor_exit){.code = mon_code_of(e), .finished = clock_now()};
    health_end(o);
}

bool mon_again(struct mon *o) {
    int64_t delay;
    if (!wanted(o, &delay))
        return false;
    let_go(o);
    if (!wait_for_start(o, delay))
        return false;
    struct err *failed = start(o);
    if (failed)
        give_up(o, failed);
    return !failed;
}

void again_cancel(struct mon *o) { o->over = true; }
