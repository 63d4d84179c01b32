/* tell: what happens to the container while nobody else looks, as events of docker's. */
#include <stdio.h>

#include "base/clock.h"
#include "monitor/monitor_int.h"

enum { NUMBER = 24 };

void mon_tell(const struct mon *o, const char *action, const char *const *attributes) {
    if (o->m->event)
        o->m->event(o->m->ctx, action, attributes);
}

void mon_tell_kill(const struct mon *o, int signo) {
    char text[NUMBER];
    const char *const attributes[] = {"signal", text, NULL};
    snprintf(text, sizeof text, "%d", signo);
    mon_tell(o, "kill", attributes);
}

void mon_tell_resize(const struct mon *o, unsigned short rows, unsigned short cols) {
    char height[NUMBER], width[NUMBER];
    const char *const attributes[] = {"height", height, "width", width, NULL};
    snprintf(height, sizeof height, "%hu", rows);
    snprintf(width, sizeof width, "%hu", cols);
    mon_tell(o, "resize", attributes);
}

void mon_tell_end(const struct mon *o) {
    char code[NUMBER], seconds[NUMBER];
    const char *const attributes[] = {"execDuration", seconds, "exitCode", code, NULL};
    snprintf(code, sizeof code, "%d", o->x.code);
    snprintf(seconds, sizeof seconds, "%lld", (long long)((o->x.finished - o->started) / NSEC_PER_SEC));
    if (o->x.oom_killed)
        mon_tell(o, "oom", NULL);
    mon_tell(o, "die", attributes);
}
