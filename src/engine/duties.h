/*
 * duties: what a container's monitor does for it without being asked (monitor.h), as commands see it: restart policies
 * and health checks. Part of engine.h.
 */
#pragma once

#include <stdbool.h>

struct engine;
struct engine_row;
struct err;

/* `update --restart`: changes the policy ("on-failure:3") of a container, running or not. */
struct err *engine_container_set_restart(struct engine *e, const char *name, const char *policy)
    __attribute__((warn_unused_result));
/* Carries out the health check once, now. *ret_code as monitor_health(). conflict when there is none. */
struct err *engine_container_healthcheck(struct engine *e, const char *name, int *ret_code)
    __attribute__((warn_unused_result));
/* The name of the row's restart policy ("no", "always" …); static. */
const char *engine_row_restart(const struct engine_row *r);
/* Whether it should run after the machine was restarted: always, and unless-stopped where nobody stopped it. */
bool engine_row_on_boot(const struct engine_row *r);
