/*
 * watch: --memory without a memory cgroup. A timer looks at what the container's processes have in RAM, the sooner
 * again the closer that is to the limit: what can be filled until the next look is a tenth of what is left. Above it
 * PID 1 is killed, and with it all others, as the kernel's OOM killer would have done in a cgroup. Nothing of this
 * exists for a container without the flag.
 */
#include <signal.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "monitor/monitor_int.h"

#define INTERVAL_MIN (2 * NSEC_PER_MSEC)
#define INTERVAL_MAX (250 * NSEC_PER_MSEC)
#define FILL_RATE INT64_C(4) /* bytes a nanosecond that a container may touch at most: 4 GB/s */

void watch_look(struct mon *o) {
    int64_t used = 0, limit = o->emulation.memory;
    if (!limit)
        return;
    autoerr unseen = runtime_survey_memory(o->proc.pid, &o->survey, limit, &used);
    if (!unseen && used > limit) {
        o->over_memory = true;
        stop_signal(o, SIGKILL);
        return;
    }
    int64_t after = (limit - used) / FILL_RATE;
    after = after < INTERVAL_MIN ? INTERVAL_MIN : after > INTERVAL_MAX ? INTERVAL_MAX : after;
    (void)timer_after(o, DEADLINE_WATCH, after);
}

struct err *watch_begin(struct mon *o) {
    o->over_memory = false;
    if (o->emulation.memory && !timer_after(o, DEADLINE_WATCH, INTERVAL_MIN))
        return err_new(ERR_SYSTEM, "cannot set a timer to watch the container's memory");
    return NULL;
}

void watch_end(struct mon *o) { runtime_survey_done(&o->survey); }

/* ---- other limits for a container that runs ---- */

struct err *watch_update(struct mon *o) {
    autojson config = NULL;
    struct runtime_emulation e;
    TRY(json_read_file(o->m->dir_fd, "config.json", &config));
    TRY(runtime_limits_plan(config, &o->cgroup, &e, NULL));
    TRY(runtime_resources_apply(json_path(config, "linux.resources"), &o->cgroup));
    if (e.cpus)
        TRY(runtime_affinity(o->proc.pid, e.cpus));
    e.cpus = NULL; /* it is the config's, which goes */
    o->emulation = e;
    return watch_begin(o);
}
